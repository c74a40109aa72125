"""Prompt-cache marks, `cache_control: {type: ephemeral, ttl}`: Anthropic's, and OpenRouter's in Chat."""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.canon.parts import Audio, Reasoning, Refusal
from trivium.canon.request import Turn
from trivium.wire.losses import Losses

UNMARKED = (Reasoning, Refusal, Audio)
"""Parts that have no cache marks."""

_KNOWN = {"type", "ttl"}
_LIFETIMES = ("5m", "1h", None)
DEFAULT = "5m"


def mark_of(said: Any, at: str, losses: Losses) -> str | None:
    """The mark's lifetime; None where there is no mark."""
    if said is None:
        return None
    if type(said) is not dict or said.get("type") != "ephemeral" or said.get("ttl") not in _LIFETIMES:
        losses.add(f"{at}.cache_control".lstrip("."), "an unknown kind of cache mark")
        return None
    if not said.keys() <= _KNOWN:
        losses.add(f"{at}.cache_control".lstrip("."), "of a cache mark only its lifetime is known elsewhere")
    return said.get("ttl") or DEFAULT


def marked(part: dict[str, Any], cache: str | None) -> dict[str, Any]:
    """The part with its mark, if it has one."""
    if cache is None:
        return part
    lifetime = {} if cache == DEFAULT else {"ttl": cache}
    return {**part, "cache_control": {"type": "ephemeral", **lifetime}}


def marked_whole(turns: tuple[Turn, ...], cache: str | None) -> tuple[Turn, ...]:
    """With a mark for all of it, which is one at its last part (Anthropic's page on automatic caching)."""
    if cache is None:
        return turns
    for place in range(len(turns) - 1, -1, -1):
        parts = turns[place].parts
        for at in range(len(parts) - 1, -1, -1):
            if not isinstance(part := parts[at], UNMARKED):
                part = msgspec.structs.replace(part, cache=part.cache or cache)
                turn = Turn(turns[place].role, (*parts[:at], part, *parts[at + 1 :]))
                return (*turns[:place], turn, *turns[place + 1 :])
    return turns
