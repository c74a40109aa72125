"""May this caller do this, now? Pure decisions over values."""
