"""The HTTP edge, and the one place where the parts are put together (`deps.py`)."""
