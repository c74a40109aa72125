"""One request, step by step. Start reading in `handle.py`."""
