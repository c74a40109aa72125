"""Talking to providers: the only home of HTTP clients and of the embedded model's process."""
