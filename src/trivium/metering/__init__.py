"""What a call was and what it used, as values. Pure."""
