"""Names of arguments and members as people read them. Pure."""

from __future__ import annotations

_SAID = {
    "api": "API",
    "apis": "APIs",
    "email": "e-mail",
    "ip": "IP",
    "ttfb": "first byte",
    "url": "URL",
    "usd": "USD",
    "zdr": "zero data retention",
}


def words(name: str) -> str:
    """`input_tokens_per_minute` -> input tokens per minute; units of times and amounts are seen at the value."""
    plain = name.removesuffix("_ms").removesuffix("_nano").replace("_", " ")
    return " ".join(_SAID.get(word, word) for word in plain.split())
