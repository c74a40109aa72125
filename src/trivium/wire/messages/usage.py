"""Usage of Messages (wire notes, section 4).

`input_tokens` excludes cache reads and writes, unlike in the other APIs. `message_delta` overrides `message_start`
field by field. It has no split of the writes by lifetime: the split of the start stays, and what the total outgrew it
by has a lifetime nobody told. Servers that have one tell the whole split anew. A split is the same tokens as the total,
never more of them.

What summing up a long conversation took ("Compaction" at platform.claude.com/docs) stands in `iterations` alone and is
billed beside the rest; each run of the model that they tell of has a length, and so a price, of its own. Fast mode
("Fast mode", same place) is a `speed`, a model that runs in the USA alone ("Data residency") an `inference_geo`; each
has its own price like a service tier, and so have both together.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import msgspec

from trivium.canon.usage import Usage
from trivium.wire.figures import ANTHROPIC_TIERS, Figures, Keys, costs, server_tools
from trivium.wire.lenient import count, mapping

_SPLIT = "cache_creation"
_KEYS: Keys = {
    "input_tokens": "input",
    "cache_read_input_tokens": "read",
    "cache_creation_input_tokens": "written",
    _SPLIT: {"ephemeral_5m_input_tokens": "written_5m", "ephemeral_1h_input_tokens": "written_1h"},
    "output_tokens": "output",
    "output_tokens_details": {"thinking_tokens": "thinking"},
}
_TIERS = {(True, False): "fast", (False, True): "us", (True, True): "us_fast"}
"""By whether the model is fast, and runs in the USA alone."""
_USUAL = "standard"
"""The word for it of both `speed` and `service_tier`."""
_FAST, _US = {"speed": "fast"}, {"inference_geo": "us"}
_TOLD_AS = {"fast": _FAST, "us": _US, "us_fast": _FAST | _US}
_BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write_other",
    "output",
    "reasoning",
)
_told = operator.attrgetter(*_BUCKETS[:-1])
"""What iterations tell: no thinking, which Claude has no price of its own for."""
_MOST_ITERATIONS = 200
"""Twice the rounds in which a vendor calls its tools for one answer."""


class MessagesUsage:
    """The usage of one message, from `message_start`, `message_delta` or a whole body."""

    def __init__(self) -> None:
        self._figures = Figures(_KEYS)
        self._speed: Any = None
        self._place: Any = None
        self._iterations: list[dict[str, Any]] = []

    def anew(self) -> None:
        self._figures.anew()

    def read(self, usage: Any, metadata: Any = None) -> Usage | None:
        """The usage as it is known after one more object; `metadata` is Vercel's `provider_metadata`."""
        figures, said = self._figures, mapping(usage)
        if any((count(part) or 0) > 0 for part in mapping(said.get(_SPLIT)).values()):
            figures.forget("written_5m", "written_1h")
        figures.read(said, mapping(mapping(metadata).get("gateway")))
        _sum_up_writes(figures, said)
        self._speed = said.get("speed") or self._speed
        self._place = said.get("inference_geo") or self._place
        if type(iterations := said.get("iterations")) is list:
            self._iterations = [mapping(one) for one in iterations[:_MOST_ITERATIONS]]
        told = figures.usage(_with_runs(_counted(figures), self._iterations))
        tier = tier_of(self._speed, self._place)
        if tier is None and told and told.service_tier is None and self._speed == _USUAL:
            tier = _USUAL  # though it was asked to be fast
        return msgspec.structs.replace(told, service_tier=tier) if told and tier else told


def tier_of(speed: Any, place: Any) -> str | None:
    """The service tier that `speed` and `inference_geo` are to us; None where both are the usual ones."""
    return _TIERS.get((speed == "fast", place == "us"))


def _sum_up_writes(figures: Figures, said: dict[str, Any]) -> None:
    """A split without a total (Vercel's message_delta) is a total."""
    split = mapping(said.get(_SPLIT)).values()
    if said.get("cache_creation_input_tokens") is None and any(count(part) is not None for part in split):
        figures.put("written", figures["written_5m"] + figures["written_1h"])


def _with_runs(counted: Usage, iterations: list[dict[str, Any]]) -> Usage:
    """The message's own figures with the compactions beside them. What is neither is another model's, which no request
    may ask for; iterations of the message are its runs if they add up to it."""
    if not iterations:
        return counted
    beside = [_alone(one) for one in iterations if one.get("type") == "compaction"]
    own = [_alone(one) for one in iterations if one.get("type") == "message"]
    if not own or _told(functools.reduce(_sum, own)) != _told(counted):
        own = [counted]
    runs = (*beside, *own)
    if len(runs) == 1:
        return counted
    return msgspec.structs.replace(functools.reduce(_sum, beside, counted), runs=runs)


def _alone(iteration: dict[str, Any]) -> Usage:
    figures = Figures(_KEYS)
    figures.read(iteration)
    return figures.usage(_counted(figures)) or _NOTHING


def _sum(one: Usage, other: Usage) -> Usage:
    sums = {name: getattr(one, name) + getattr(other, name) for name in _BUCKETS}
    return msgspec.structs.replace(one, **sums, clamped=one.clamped or other.clamped)


def _counted(figures: Figures) -> Usage:
    written, output, thinking = figures["written"], figures["output"], figures["thinking"]
    five = min(figures["written_5m"], written)
    hour = min(figures["written_1h"], written - five)
    return Usage(
        input_uncached=figures["input"],
        cache_read=figures["read"],
        cache_write_5m=five,
        cache_write_1h=hour,
        cache_write_other=written - five - hour,
        output=output,
        reasoning=min(thinking, output),
        clamped=five + hour < figures["written_5m"] + figures["written_1h"] or output < thinking,
    )


def told(usage: Usage | None) -> dict[str, Any]:
    """The usage object of a message; zeros where nothing is known yet, as `message_start` has to say something."""
    usage = usage or _NOTHING
    return {
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        **({_SPLIT: _split(usage)} if usage.cache_write_5m or usage.cache_write_1h else {}),
        "output_tokens": usage.output,
        **({"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}),
        **({"server_tool_use": _NO_CALLS | calls} if (calls := server_tools(usage)) else {}),
        **(_tier(usage.service_tier) if usage.service_tier else {}),
        **costs(usage),
    }


_NOTHING = Usage()
_NO_CALLS = {"web_search_requests": 0, "web_fetch_requests": 0}
"""Clients find both wherever there is any (anthropic-sdk-python 2.14.0, `types/server_tool_usage.py`)."""


def _tier(service_tier: str) -> dict[str, str]:
    if said := _TOLD_AS.get(service_tier):
        return {"service_tier": ANTHROPIC_TIERS["default"], **said}
    return {"service_tier": ANTHROPIC_TIERS.get(service_tier, service_tier)}


def _split(usage: Usage) -> dict[str, int]:
    return {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }
