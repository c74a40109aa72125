"""Who can be called, as data. Provider names appear in this package alone."""
