"""The charge rule: what a request is charged, from what is known of it (`docs/charging.md` has examples).

1. The provider's own cost, where it tells one; under its BYOK that is the provider's fee.
2. Else its usage at the price of the book.
3. Of what no usage tells, an estimate from what was delivered. Nothing delivered costs nothing.

Figures may come from the answer or, later, from the provider's generation record; both arrive here as `Usage`. The
market cost stands beside the charge, whoever pays.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

import msgspec

from trivium.canon.usage import Usage
from trivium.metering.bound import delivered_tokens
from trivium.metering.cost import cost
from trivium.metering.prices import MILLION, Quote
from trivium.money import to_nano

_EXACT = Context(prec=400)
_FEE_PART = 20
"""OpenRouter's fee under BYOK is 5 % of the vendor's bill (vendors page, "Cost checks")."""
_FEE_TOLERANCE = Decimal("0.0000011")
_MANY_TOKENS = 100_000
_NOTHING = Usage()


class Payer(enum.StrEnum):
    """Who pays the provider."""

    HOUSE = "house"
    BYOK = "byok"
    """The caller's side, with its own key."""
    FEE = "byok_fee"
    """The same, through a gateway that takes a fee for that of the house: the fee is charged, as reported."""
    FREE = "free"
    """Nobody: the model costs nothing, or the house gives it away."""
    PROMOTION = "promotion"


OWN_KEY = frozenset({Payer.BYOK, Payer.FEE})
GIVEN_AWAY = frozenset({Payer.FREE, Payer.PROMOTION})
HOUSE = Payer.HOUSE
"""As in `canon/api.py`."""
CHARGED = frozenset({HOUSE, Payer.FEE})
"""Where the account of whoever calls is charged something."""


def payer_of(
    quote: Quote | None, *, byok: bool, fee: bool = False, promoted: bool = False, free: bool = False
) -> Payer:
    """Who pays for a call; `byok` says that the provider is the caller's, `fee` that the house pays a fee for it,
    `promoted` that the house gives it away for a while, `free` that it gives the model away."""
    if byok:
        return Payer.FEE if fee else Payer.BYOK
    if promoted:
        return Payer.PROMOTION
    return Payer.FREE if free or (quote is not None and quote.free) else HOUSE


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of an answer beside its usage."""

    input_tokens: int
    """Of the request, as far as an estimate goes."""
    content_bytes: int
    """Of content that went to the client."""
    output_most: int
    """Tokens that the answer can have had at the most."""
    complete: bool
    """The answer came to its end, so that its figures are the last ones."""
    service_tier: str | None = None
    """What the answer called it, for where there is no usage."""
    server_tools: Mapping[str, int] = {}
    """Calls of the provider's tools that the answer showed."""


WHOLE = Delivery(input_tokens=0, content_bytes=0, output_most=0, complete=True)
"""Of an answer whose usage says all there is to say: where there is none, nothing is charged."""


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is charged, and how that was found."""

    nano: int = 0
    market_nano: int | None = None
    source: str | None = None
    usage: Usage | None = None
    """What was charged for: the provider's figures, with estimates where they were missing."""
    flags: tuple[str, ...] = ()


NO_CHARGE = Charge()


def charge(
    usage: Usage | None,
    delivery: Delivery,
    quote: Quote | None,
    payer: Payer,
    asked_tier: str | None = None,
    *,
    tells_byok: bool = False,
) -> Charge:
    """The charge of an answer. `asked_tier` is the dearer service tier that the upstream was asked for, which counts
    where the answer names none; `tells_byok` says that the provider marks each reported cost with whether a key of the
    account paid."""
    counted, estimated = (usage, False) if delivery is WHOLE else _counted(usage, delivery)
    if counted is None:
        return NO_CHARGE
    flags = ["estimated"] if estimated else []
    known = usage or _NOTHING
    if counted.service_tier is None and asked_tier is not None:
        counted = msgspec.structs.replace(counted, service_tier=asked_tier)
    computed = cost(counted, quote, counted.service_tier) if quote is not None else None
    told = known.reported_cost
    if told is None and known.market_cost is not None:
        told = Decimal(0) if known.is_byok else known.market_cost
    market = _market(known, told, computed.base_nano if computed else None)
    if told is not None:
        nano, source = _with_markup(told, quote), "reported"
    elif computed is not None:
        nano, source = computed.nano, "estimated" if estimated else "computed"
    else:
        nano, source = 0, None
        flags.append("unpriced")
    if tells_byok and told is not None and _is_suspicious(known):
        flags.append("suspicious_cost")
    if counted.input_uncached > _MANY_TOKENS:
        flags.append("large_input")
    if payer is not HOUSE and not (payer is Payer.FEE and known.is_byok and told is not None):
        nano = 0
    return Charge(nano=nano, market_nano=market, source=source, usage=counted, flags=tuple(flags))


def _counted(usage: Usage | None, delivery: Delivery) -> tuple[Usage | None, bool]:
    """Usage to charge for, and whether any of it is an estimate; None for nothing at all."""
    delivered = min(delivered_tokens(delivery.content_bytes), delivery.output_most)
    if usage is not None and (delivery.complete or usage.reported_cost is not None):
        if usage.reported_cost is None and (lacking := _lacking(usage, delivery, delivered)):
            return msgspec.structs.replace(usage, **lacking, runs=()), True
        return usage, False
    if usage is not None:
        # What came before the end tells the input; its output is what the upstream had said by then, or less.
        if fewer := [tool for tool, calls in delivery.server_tools.items() if calls > usage.server_tools.get(tool, 0)]:
            tools = usage.server_tools | {tool: delivery.server_tools[tool] for tool in fewer}
            usage = msgspec.structs.replace(usage, server_tools=tools)
        if delivered > usage.output:
            return msgspec.structs.replace(usage, output=delivered, runs=()), True
        return usage, False
    if not delivered and not delivery.complete:
        return None, False
    said: dict[str, Any] = {"server_tools": {**delivery.server_tools}, "service_tier": delivery.service_tier}
    return Usage(input_uncached=delivery.input_tokens, output=delivered, image_output=0, **said), True


def _lacking(usage: Usage, delivery: Delivery, delivered: int) -> dict[str, int]:
    """Counts that a usage should have and has not: nobody asks with no token, and content is made of some. Images are
    none (`canon/size.content_of`)."""
    lacking = {}
    if not usage.input and delivery.input_tokens:
        lacking["input_uncached"] = delivery.input_tokens
    if not usage.output and delivered:
        lacking |= {"output": delivered, "image_output": 0}
    return lacking


def _market(usage: Usage, told: Decimal | None, computed: int | None) -> int | None:
    if usage.market_cost is not None:
        return to_nano(usage.market_cost)
    if told is not None and not usage.is_byok:
        return to_nano(told)
    return computed


def _with_markup(told: Decimal, quote: Quote | None) -> int:
    """One rounding, markup included."""
    markup = quote.markup_ppm if quote is not None else 0
    if not markup:
        return to_nano(told)
    return to_nano(_EXACT.divide(_EXACT.multiply(told, Decimal(MILLION + markup)), Decimal(MILLION)))


def _is_suspicious(usage: Usage) -> bool:
    """Combinations that the provider's rules do not explain; they are charged as reported all the same."""
    if usage.is_byok is None:
        return True
    if not usage.is_byok or not usage.reported_cost or usage.market_cost is None:
        return False
    upstream = usage.market_cost - usage.reported_cost
    return abs(_FEE_PART * usage.reported_cost - upstream) > _FEE_TOLERANCE
