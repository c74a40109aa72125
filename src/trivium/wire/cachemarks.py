"""Prompt-cache marks, `cache_control: {type: ephemeral, ttl}`: Anthropic's, and OpenRouter's in Chat."""

from __future__ import annotations

from typing import Any

from trivium.wire.losses import Losses

_KNOWN = {"type", "ttl"}
_LIFETIMES = ("5m", "1h", None)
DEFAULT = "5m"


def mark_of(said: Any, at: str, losses: Losses) -> str | None:
    """The mark's lifetime; None where there is no mark."""
    if said is None:
        return None
    if type(said) is not dict or said.get("type") != "ephemeral" or said.get("ttl") not in _LIFETIMES:
        losses.add(f"{at}.cache_control", "an unknown kind of cache mark")
        return None
    if not said.keys() <= _KNOWN:
        losses.add(f"{at}.cache_control", "of a cache mark only its lifetime is known elsewhere")
    return said.get("ttl") or DEFAULT


def marked(part: dict[str, Any], cache: str | None) -> dict[str, Any]:
    """The part with its mark, if it has one."""
    if cache is None:
        return part
    lifetime = {} if cache == DEFAULT else {"ttl": cache}
    return {**part, "cache_control": {"type": "ephemeral", **lifetime}}
