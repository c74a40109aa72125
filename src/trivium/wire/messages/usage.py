"""Usage of Messages (wire notes, section 4).

`input_tokens` excludes cache reads and writes, unlike in the other APIs. `message_delta` overrides `message_start`
field by field. It has no split of the writes by lifetime: the split of the start stays, and what the total outgrew it
by has a lifetime nobody told. A split is the same tokens as the total, never more of them.
"""

from __future__ import annotations

from typing import Any

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


class MessagesUsage:
    """The usage of one message, from `message_start`, `message_delta` or a whole body."""

    def __init__(self) -> None:
        self._figures = Figures(_KEYS)

    def read(self, usage: Any, metadata: Any = None) -> Usage | None:
        """The usage as it is known after one more object; `metadata` is Vercel's `provider_metadata`."""
        figures, said = self._figures, mapping(usage)
        figures.read(said, mapping(mapping(metadata).get("gateway")))
        split = mapping(said.get(_SPLIT)).values()
        if said.get("cache_creation_input_tokens") is None and any(count(part) is not None for part in split):
            # A split without a total (Vercel's message_delta) is a total.
            figures.put("written", figures["written_5m"] + figures["written_1h"])
        return figures.usage(self._counted())

    def _counted(self) -> Usage:
        figures = self._figures
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
        **({"server_tool_use": server_tools(usage)} if usage.server_tools else {}),
        **({"service_tier": ANTHROPIC_TIERS.get(usage.service_tier, usage.service_tier)} if usage.service_tier else {}),
        **costs(usage),
    }


_NOTHING = Usage()


def _split(usage: Usage) -> dict[str, int]:
    return {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }
