"""Trivium: an LLM gateway where three APIs meet. Start reading in `docs/architecture.md`."""

__version__ = "0.1.0"
