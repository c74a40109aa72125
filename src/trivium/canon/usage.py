"""Token usage in buckets that mean the same for every API, and how providers differ in counting.

The buckets `input_uncached`, `cache_read` and the three `cache_write_*` are disjoint; together they are the input.
`output` includes `reasoning`. Audio and image counts are parts of input or output, not further tokens.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

DRAWN = "image_generation_"
"""Before the kinds of tokens, among `Usage.server_tools`, of the model that a tool draws with."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request's tokens. All counts are tokens unless named otherwise; none is ever negative."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_write_other: int = 0
    """Cache writes whose lifetime the provider does not tell."""
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int | None = None
    """Images and films of the answer; None: the provider does not tell how much of the output they are."""
    prediction_accepted: int = 0
    prediction_rejected: int = 0
    server_tools: dict[str, int] = {}
    """Calls of tools that the provider runs, by its name for the count without `_requests`; and the tokens (`DRAWN`) of
    one that is billed by them."""
    service_tier: str | None = None
    reported_cost: Decimal | None = None
    """What the provider says it charged its account, in USD. Under BYOK this is the provider's fee alone."""
    market_cost: Decimal | None = None
    """What the call is worth at the provider's list price in USD, whoever paid, where the provider tells."""
    is_byok: bool | None = None
    """Whether the vendor was paid through the account owner's own key; None: the provider does not tell."""
    generation_id: str | None = None
    """By which a gateway's own record of the call can be asked for, where it tells that beside the usage (Vercel)."""
    runs: tuple[Usage, ...] = ()
    """Where the model ran several times for the one answer, and the provider tells of each: their tokens, of which the
    above are the sums. The price of a long context goes by the input of one."""
    clamped: bool = False
    """A figure contradicted another, was negative or was no number, and was cut or ignored."""

    def without_costs(self) -> Usage:
        """The same where nobody is believed who says what it cost."""
        if self.reported_cost is None and self.market_cost is None:
            return self
        return msgspec.structs.replace(self, reported_cost=None, market_cost=None)

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h + self.cache_write_other

    @property
    def input(self) -> int:
        """All input tokens, cached and written ones included."""
        return self.input_uncached + self.cache_read + self.cache_write


class Conventions(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider's usage figures deviate from those of the API's owner. The default deviates in nothing."""

    reasoning_beside_output: bool = False
    """Output counts exclude reasoning (xAI Chat)."""
    output_from_total: bool = False
    """Hidden thinking shows only in the total: output = total - prompt (Google's OpenAI-compatible endpoint)."""
    audio_beside_input: bool = False
    """Prompt counts exclude audio tokens (Mistral)."""
    total_decides: bool = False
    """Nobody knows how the provider counts: where its own total proves that a figure lies beside, it is believed."""
    reasoning_may_lie_beside: bool = False
    """Output excludes reasoning for some of the models behind the provider (Vercel with Google's)."""
