"""What a model costs, as integers that are never rounded again: nanodollars (10^-9 USD) per million units.

A unit is a token, a call of a server tool, or a request. A rate that is None is not priced apart and falls to the
bucket that the tokens lie in. A price has a version made of its content alone, so that a version always means the same
rates, and equal rates have one version wherever they came from.

A `Sheet` is a price as its sources tell it, rate by rate: each has its own steps of the input's length, and a service
tier tells the rates that differ. `assembled` turns it into a `Price`, in which nothing is left to look up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

MILLION = 10**6
TOKEN_RATES = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
)
"""Names of `Rates` that are per million tokens."""
BUCKETS = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""Where tokens lie whose own rate is not told."""
TOOL = "tools."
"""Before a tool's name in a sheet."""
TIERS = ("batch", "flex", "priority", "fast", "ultrafast", "us", "us_fast")
"""Service tiers that may have a price of their own; every other word is the standard one. Anthropic's fast mode is one
to us, and so is a model that runs in the USA alone (`inference_geo`)."""
DEARER = frozenset({"priority", "fast", "ultrafast", "us", "us_fast"})
"""Those that count by being asked for where the answer names none. What costs less has to be confirmed: many vendors
ignore a tier that they do not have, and no answer that somebody waits for is one of a batch."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nanodollars per million units."""

    input: int = 0
    output: int = 0
    cache_read: int | None = None
    cache_write_5m: int | None = None
    """Of writes whose lifetime nobody tells, too."""
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    """Of films, too. All of an answer that does not tell how much of it they are, but for what was thought."""
    request: int = 0
    tools: dict[str, int] = {}
    """By the names of `Usage.server_tools`; a tool without a rate costs nothing."""


class LongContext(msgspec.Struct, frozen=True, kw_only=True):
    """Prices all of a request whose input has more than `over` tokens, cached ones included."""

    over: int
    rates: Rates


class TierPrice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The price of one service tier."""

    rates: Rates
    long_context: tuple[LongContext, ...] = ()
    """By `over`, ascending; the last that is exceeded counts."""

    def at(self, input_tokens: int) -> Rates:
        """The rates of a request with that much input."""
        rates = self.rates
        for step in self.long_context:
            if input_tokens <= step.over:
                break
            rates = step.rates
        return rates


class Price(TierPrice, frozen=True, kw_only=True, omit_defaults=True):
    """The standard price, with the service tiers that have their own."""

    tiers: dict[str, TierPrice] = {}

    @property
    def is_free(self) -> bool:
        """Nothing in it costs anything."""
        priced = (self, *self.tiers.values())
        return not any(rate for tier in priced for curve in sheet_of(tier).values() for _, rate in curve)


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The price of one model at one moment for one account."""

    price: Price
    version: str
    source: str
    """`override`, `config`, `list`, `free`, or `dataset` and where in it."""
    provider: str
    model: str
    markup_ppm: int = 0
    """Parts per million on top of the price, a discount where negative; never below -1,000,000."""
    free: bool = False

    @property
    def is_set(self) -> bool:
        """The operator said it."""
        return self.source in ("override", "config")


class Limits(msgspec.Struct, frozen=True):
    """The most tokens of a model's context, of an answer and of an image; None where nobody tells."""

    context: int | None = None
    output: int | None = None
    image: int | None = None
    """Of models that count more for one than `canon/size.py` has."""


FREE = Price(rates=Rates())

Curve = tuple[tuple[int, int], ...]
"""((over, rate), ...), ascending; the first with over -1, which every request exceeds."""
Sheet = Mapping[str, Curve]
"""Curves by the names of `Rates`, tools as `tools.NAME`."""


def version_of(price: Price) -> str:
    """`pr_` + 12 hex digits of the content's hash."""
    return "pr_" + hashlib.sha256(content_of(price).encode()).hexdigest()[:12]


def content_of(price: Price) -> str:
    """The price as canonical JSON: equal prices have equal texts."""
    return msgspec.json.encode(price, order="sorted").decode()


def price_of(content: str) -> Price:
    """The price of a canonical JSON text. Raises ValueError."""
    return msgspec.json.decode(content, type=Price)


def flat(rate: int) -> Curve:
    """A curve that is the same at every length."""
    return ((-1, rate),)


def assembled(standard: Sheet, tiers: Mapping[str, Sheet]) -> Price:
    """The price that sheets tell. What a tier does not tell costs there what it costs otherwise."""
    base = _stepped(standard)
    return Price(
        rates=base.rates,
        long_context=base.long_context,
        tiers={name: _stepped({**standard, **sheet}) for name, sheet in tiers.items()},
    )


def sheet_of(price: TierPrice) -> Sheet:
    """The curves of one tier's rates, without steps that change nothing."""
    rates = [(-1, price.rates), *((step.over, step.rates) for step in price.long_context)]
    told = [(over, _named(one)) for over, one in rates]
    return {name: _steps([(over, one[name]) for over, one in told]) for name in told[0][1]}


def _named(rates: Rates) -> dict[str, int]:
    named = {name: rate for name in TOKEN_RATES if (rate := getattr(rates, name)) is not None}
    tools = {TOOL + name: rate for name, rate in rates.tools.items()}
    return {**named, "request": rates.request, **tools}


def _steps(points: list[tuple[int, int]]) -> Curve:
    return tuple(point for n, point in enumerate(points) if n == 0 or point[1] != points[n - 1][1])


def _stepped(sheet: Sheet) -> TierPrice:
    steps = sorted({over for curve in sheet.values() for over, _ in curve if over >= 0})
    return TierPrice(
        rates=_rates(sheet, -1),
        long_context=tuple(LongContext(over=over, rates=_rates(sheet, over)) for over in steps),
    )


def _rates(sheet: Sheet, over: int) -> Rates:
    told = {name: [rate for start, rate in curve if start <= over][-1] for name, curve in sheet.items()}
    tools = {name.removeprefix(TOOL): rate for name, rate in told.items() if name.startswith(TOOL)}
    return Rates(tools=tools, **{name: rate for name, rate in told.items() if not name.startswith(TOOL)})
