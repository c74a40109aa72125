"""Generation records: what a gateway of many vendors (OpenRouter, Vercel) remembers of one past call.

The shape is that of both vendors' API references: `{"data": {...}}` with `native_tokens_*`, the counts of the model's
own tokenizer, which are the billed ones. The prompt includes what caches gave and took; whether the completion includes
the reasoning is the provider's convention. Under BYOK `total_cost` is the gateway's own fee and
`upstream_inference_cost` the vendor's bill beside it; otherwise the first includes the second. Never raises; odd
figures are ignored and flagged.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trivium.canon.conventions import DEFAULT
from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import GOOGLE, Figures, Keys, openai_usage
from trivium.wire.lenient import mapping, text
from trivium.wire.lenient import parse as parse_json

_KEYS: Keys = {
    "native_tokens_prompt": "prompt",
    "native_tokens_completion": "completion",
    "native_tokens_reasoning": "reasoning",
    "native_tokens_cached": "cached",
    "native_tokens_cache_creation": "written",  # Vercel; OpenRouter does not tell it
}


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says. Amounts are in USD."""

    usage: Usage
    """With the costs: `reported_cost` is what the gateway charged its account, `market_cost` under BYOK that and the
    vendor's bill."""
    counted: bool
    """Whether it tells tokens at all: where it does not, the zeros mean nothing."""
    provider_name: str | None = None
    """Who served the model behind the gateway, in the gateway's words."""

    def refined(self, usage: Usage | None, *, complete: bool) -> Usage:
        """The usage of an answer with what it lacked: costs where it told none, and all counts where the answer was not
        seen to its end."""
        if usage is None or (self.counted and not complete):
            return self.usage
        if usage.reported_cost is not None or usage.market_cost is not None:
            return usage
        costs = self.usage
        return msgspec.structs.replace(
            usage,
            reported_cost=costs.reported_cost,
            market_cost=costs.market_cost,
            is_byok=costs.is_byok if usage.is_byok is None else usage.is_byok,
            clamped=usage.clamped or costs.clamped,
        )

    @property
    def cost(self) -> Decimal | None:
        """What the gateway charged its account: under BYOK its fee alone."""
        return self.usage.reported_cost


def parse(body: bytes, conventions: Conventions = DEFAULT) -> Generation | None:
    """The record in the body of an answer; None where it holds none, or one without a single figure."""
    try:
        data = mapping(mapping(parse_json(body)).get("data"))
    except ValueError:
        return None
    figures = Figures(_KEYS)
    figures.read(_as_usage(data))
    provider_name = text(data.get("provider_name")) or None
    counts = openai_usage(figures, conventions, google=provider_name in GOOGLE)
    usage = figures.usage(counts)
    if usage is None:
        return None
    return Generation(
        usage=usage,
        counted="prompt" in figures or "completion" in figures,
        provider_name=provider_name,
    )


def _as_usage(data: dict[str, Any]) -> dict[str, Any]:
    """The record in the words in which answers tell their usage."""
    return {
        **{key: data.get(key) for key in _KEYS},
        "cost": data.get("total_cost"),
        "cost_details": {"upstream_inference_cost": data.get("upstream_inference_cost")},
        "is_byok": data.get("is_byok"),
        "service_tier": data.get("service_tier"),
        "server_tool_use": {"web_search_requests": data.get("billable_web_search_calls")},
    }
