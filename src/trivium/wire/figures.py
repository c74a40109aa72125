"""Usage figures as they come: along a stream a later one replaces an earlier one, field by field, and is never added.
They are of the whole answer so far, so a count that falls to 0 is none.

`Figures` reads usage objects by a table of their keys; `openai_usage` turns those of Chat and Responses into `Usage`
under a provider's conventions. Where these leave a doubt, the provider's own total settles what lies inside what.
What contradicts itself is cut and flagged: the total of the input stays, cache reads are cut to it, cache writes to
what reads leave, reasoning to the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from trivium.canon.usage import DRAWN, Conventions, Usage
from trivium.wire.lenient import amount, count, mapping, text

Keys = Mapping[str, "str | Keys"]
"""A provider's key -> our name of the figure, or the keys of the object that lies there. Of several figures with one
name the largest counts."""

_TOOLS = ("server_tool_use", "server_tool_use_details")
_MOST_TOOLS = 20
"""A stranger names them, and each object of a stream is told with all of them."""
_XAI_TICKS_PER_USD = 10
"""As a power of ten."""
_LONGEST_ID = 256
_LARGEST_COST = Decimal(10**6)
MOST_TOKENS = 10**8
"""Of one figure: ten times the longest context there is."""
_MOST_CALLS = 10**6
"""Of one tool, likewise. What is larger is flagged and ignored, as if it had not been said."""
_FINEST_COST = -40
"""Exponent of the last digit that is still believed."""


class Figures:
    """What the usage objects of one answer have said so far."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._counts: dict[str, int] = {}
        self._money: dict[str, Decimal] = {}
        self._tools: dict[str, int] = {}
        self._shown: dict[str, int] = {}
        self._byok: bool | None = None
        self._tier: str | None = None
        self._generation_id: str | None = None
        self._odd = False

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    def read(self, usage: dict[str, Any], gateway: Mapping[str, Any] | None = None) -> None:
        """Take in one usage object and, of Vercel, the `gateway` part of `provider_metadata`."""
        found: dict[str, int] = {}
        _collect(usage, self._keys, found)
        for figure, told in found.items():
            self.put(figure, told)
        for key in _TOOLS:
            for name, calls in mapping(usage.get(key)).items():
                self.called(name.removesuffix("_requests"), calls)
        self.tier(usage.get("service_tier"))
        self._generation_id = text((gateway or {}).get("generationId"))[:_LONGEST_ID] or self._generation_id
        self._read_money(usage, gateway or {})

    def put(self, name: str, number: int) -> None:
        """One figure by our name. A negative one is flagged and taken for nothing, one beyond all measure ignored."""
        self._odd |= not 0 <= number <= MOST_TOKENS
        if number <= MOST_TOKENS:
            self._counts[name] = max(number, 0) or self[name]

    def called(self, tool: str, calls: Any) -> None:
        """How often a provider's own tool was, as the provider tells; what is no number tells nothing."""
        known = tool in self._tools or len(self._tools) < _MOST_TOOLS
        if known and (number := count(calls)) is not None:
            self._odd |= number > _MOST_CALLS
            believed = max(number, 0) if number <= _MOST_CALLS else 0
            self._tools[tool] = believed or self._tools.get(tool, 0)

    def anew(self) -> None:
        """Another answer takes the place of the one before: its counts are its own."""
        self._counts.clear()

    def forget(self, *names: str) -> None:
        """Figures that are told anew as a whole: of these 0 is a count."""
        for name in names:
            self._counts.pop(name, None)

    def show(self, calls: Mapping[str, int]) -> None:
        """How often the answer itself shows that tools were called, of which no usage need speak."""
        self._shown.update(calls)

    def tier(self, service_tier: Any) -> None:
        self._tier = text(service_tier) or self._tier

    def _read_money(self, usage: dict[str, Any], gateway: Mapping[str, Any]) -> None:
        ticks = count(usage.get("cost_in_usd_ticks"))
        if ticks is not None:
            self._pay("reported", Decimal(ticks).scaleb(-_XAI_TICKS_PER_USD))
        for name, said in (
            ("reported", gateway.get("cost")),
            ("reported", usage.get("cost")),
            ("upstream", mapping(usage.get("cost_details")).get("upstream_inference_cost")),
            ("market", gateway.get("marketCost")),
            ("market", usage.get("market_cost")),
        ):
            if said is not None:
                self._pay(name, amount(said))
        if type(usage.get("is_byok")) is bool:
            self._byok = usage["is_byok"]

    def _pay(self, name: str, sum: Decimal | None) -> None:
        """One sum in USD; one that is negative, no number, or out of all proportion is flagged and ignored."""
        if sum is None:
            return
        exponent = sum.as_tuple().exponent
        if type(exponent) is int and exponent >= _FINEST_COST and 0 <= sum <= _LARGEST_COST:
            self._money[name] = sum
        else:
            self._odd = True

    def usage(self, counted: Usage) -> Usage | None:
        """The counts with all that is not counted in tokens; None if nothing was ever said."""
        if not (self._counts or self._money or self._tools):
            return None
        return msgspec.structs.replace(
            counted,
            server_tools={name: calls for name, calls in (self._shown | self._tools).items() if calls},
            service_tier=self._tier,
            reported_cost=self._money.get("reported"),
            market_cost=self._market_cost(),
            is_byok=self._byok,
            generation_id=self._generation_id,
            clamped=counted.clamped or self._odd,
        )

    def _market_cost(self) -> Decimal | None:
        """Of OpenRouter under BYOK: its own fee and the vendor's bill, which it reports apart."""
        if "market" in self._money or not self._byok or "upstream" not in self._money:
            return self._money.get("market")
        return self._money["upstream"] + self._money.get("reported", 0)


def _collect(said: dict[str, Any], keys: Keys, found: dict[str, int]) -> None:
    for key, value in said.items():
        name = keys.get(key)
        if name is None:
            continue
        if type(name) is str:
            if (number := count(value)) is not None:
                found[name] = max(number, found.get(name, number))
        elif type(value) is dict and type(name) is dict:
            _collect(value, name, found)


GOOGLE = ("google", "vertex")
"""Vercel's names for the providers behind it that serve Google's models."""
OPENAI_TIERS = {"standard": "default", "us": "default", "us_fast": "fast"}
ANTHROPIC_TIERS = {"default": "standard"}
"""The usual service tier: the other vendor's word for it, and this one's. Where Claude runs OpenAI does not say."""


def costs(usage: Usage) -> dict[str, Any]:
    """What providers report of the cost, as OpenRouter and Vercel write it, in every API alike."""
    said = {"cost": usage.reported_cost, "market_cost": usage.market_cost, "is_byok": usage.is_byok}
    return {name: value for name, value in said.items() if value is not None}


def extras(usage: Usage) -> dict[str, Any]:
    """What the usage objects of both OpenAI APIs hold beyond the owner's, as gateways write it."""
    tools = {"server_tool_use_details": calls} if (calls := server_tools(usage)) else {}
    return {**tools, **costs(usage)}


def openai_tier(usage: Usage | None, *, native: bool) -> str | None:
    """The service tier as clients of both OpenAI APIs know it; `native`: they are told by one of these."""
    tier = usage.service_tier if usage else None
    return tier if native or tier is None else OPENAI_TIERS.get(tier, tier)


def server_tools(usage: Usage) -> dict[str, int]:
    """Calls, of whatever tools; tokens of the model that draws are none."""
    calls = usage.server_tools.items()
    return {f"{name}_requests": number for name, number in calls if not name.startswith(DRAWN)}


def openai_usage(figures: Figures, conventions: Conventions, *, google: bool = False) -> Usage:
    """Chat and Responses figures in disjoint buckets; `google` says that a model of Google's answered behind a gateway.

    Needs the names prompt, completion, total, cached, written, reasoning, and may have audio_input, audio_output,
    image_input, image_output, prediction_accepted, prediction_rejected.
    """
    prompt, completion, reasoning = figures["prompt"], figures["completion"], figures["reasoning"]
    input = prompt
    if _beside(figures, figures["audio_input"], conventions.audio_beside_input, conventions):
        input += figures["audio_input"]
    caches = figures["cached"] + figures["written"]
    if _beside(figures, caches, False, conventions):
        input += caches
    output = completion
    if conventions.output_from_total:
        output = max(completion, figures["total"] - prompt)
    elif _beside(figures, reasoning, conventions.reasoning_beside_output, conventions) or (
        conventions.reasoning_may_lie_beside and (google or reasoning > completion)
    ):
        output += reasoning
    read = min(figures["cached"], input)
    written = min(figures["written"], input - read)
    return Usage(
        input_uncached=input - read - written,
        cache_read=read,
        cache_write_other=written,
        output=output,
        reasoning=min(reasoning, output),
        audio_input=min(figures["audio_input"], input),
        audio_output=min(figures["audio_output"], output),
        image_input=min(figures["image_input"], input),
        image_output=min(figures["image_output"], output) if "image_output" in figures else None,
        prediction_accepted=figures["prediction_accepted"],
        prediction_rejected=figures["prediction_rejected"],
        clamped=read < figures["cached"] or written < figures["written"] or output < reasoning,
    )


def _beside(figures: Figures, figure: int, convention: bool, conventions: Conventions) -> bool:
    """Whether a figure lies beside the count that should include it. A provider that may count so is taken at the word
    of its total, for it need not do so in each API (xAI: Chat beside, Responses inside)."""
    sum = figures["prompt"] + figures["completion"]
    doubtful = convention or conventions.total_decides
    if doubtful and figure and "total" in figures and figures["total"] in (sum, sum + figure):
        return figures["total"] > sum
    return convention
