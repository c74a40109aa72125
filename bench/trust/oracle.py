"""The charge rule once more, from `docs/charging.md` alone: what a call may be charged, in exact fractions.

It shares no code with Trivium. Its price is made so that every charge has to be rounded.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from stories import GENERATION_COST, Plot, Told, Usage

RATES = {
    "input": "2.3456789",
    "cache_read": "0.2345679",
    "cache_write_5m": "2.9320987",
    "cache_write_1h": "4.6913579",
    "output": "11.7283947",
}
"""USD per million tokens."""
BYTES_PER_TOKEN = Fraction("3.6")
_ORDER = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class Due(NamedTuple):
    """A charge in nanodollars, and how the record must say that it was found."""

    nano: int
    source: str | None
    estimated: bool = False


NOTHING = Due(0, None)


class Asked(NamedTuple):
    """What of the request an estimate goes by."""

    size: int
    """Bytes."""
    max_tokens: int


def due(told: Told, plot: Plot, delivered: int, asked: Asked, *, reached: bool) -> Due:
    """What is due for an answer of which so much was told and so many bytes of content were delivered.

    `reached`: the upstream answered, so that its id of the generation is known.
    """
    lacks = told.cost is None or not told.complete
    if plot.keeps_records and plot.recorded and reached and lacks:
        return Due(rounded(GENERATION_COST), "reported")
    if told.cost is not None:
        return Due(rounded(told.cost), "reported")
    tokens = min(-(-delivered // BYTES_PER_TOKEN), asked.max_tokens)
    if told.usage is not None:
        if told.complete or tokens <= told.usage.output:
            return Due(priced(told.usage), "computed")
        return Due(priced(told.usage._replace(output=int(tokens))), "estimated", estimated=True)
    if not delivered:
        return NOTHING
    input = max(1, round(asked.size / BYTES_PER_TOKEN))
    return Due(priced(Usage(uncached=input, output=int(tokens))), "estimated", estimated=True)


def priced(usage: Usage) -> int:
    parts = [count * Fraction(RATES[name]) for count, name in zip(usage, _ORDER, strict=True)]
    return rounded(sum(parts, Fraction(0)) / 10**6)


def rounded(usd: Fraction) -> int:
    """To nanodollars, half to even, as Python rounds fractions."""
    return round(usd * 10**9)
