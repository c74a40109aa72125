"""What lasts: the only home of SQL."""
