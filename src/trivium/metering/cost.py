"""Usage and a quote make a cost. Exact integers up to the one rounding, which is half-even and includes the markup.

No token is charged twice: reasoning is taken out of the output, audio and images out of the input that no cache served,
audio and images out of the rest of the output, each cut to what is left there. Figures that contradict each other may
make a cost smaller than the provider's, never negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal

import msgspec

from trivium.canon.usage import Usage
from trivium.metering.prices import MILLION, Quote, Rates, TierPrice
from trivium.money import nano_text, usd_text

_EXACT = Context(prec=400)
_LINE_DIGITS = 15
"""A unit at a rate of 1 is 10^-15 USD."""
_MARKUP_DIGITS = 21


class Line(msgspec.Struct, frozen=True, gc=False):
    """So many units at a rate in nanodollars per million."""

    what: str
    units: int
    rate: int


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What a request costs."""

    lines: tuple[Line, ...]
    exact: int
    """The sum of the lines in 10^-6 nanodollars, without the markup."""
    markup_ppm: int
    nano: int
    """What is charged."""
    base_nano: int
    """What it costs without the markup."""


class ReceiptRow(msgspec.Struct, frozen=True):
    """A line of a receipt; its amount is exact."""

    what: str
    usd: str
    units: int | None = None
    usd_per_million: str | None = None


def cost(usage: Usage, quote: Quote, service_tier: str | None = None) -> Cost:
    """The cost of a request. A service tier that the price does not know is priced as the standard one."""
    lines = _lines(usage, quote.price.tiers.get(service_tier or "", quote.price))
    exact = 0
    for line in lines:
        exact += line.units * line.rate
    markup = quote.markup_ppm
    return Cost(
        lines=tuple(lines),
        exact=exact,
        markup_ppm=markup,
        nano=_rounded(exact * (MILLION + markup), MILLION * MILLION),
        base_nano=_rounded(exact, MILLION),
    )


def receipt(cost: Cost) -> list[ReceiptRow]:
    """Lines, markup, rounding and total; the amounts of all rows but the total add up to the total exactly."""
    rows = [
        ReceiptRow(line.what, _usd(line.units * line.rate, _LINE_DIGITS), line.units, nano_text(line.rate))
        for line in cost.lines
    ]
    markup = cost.exact * cost.markup_ppm
    if markup:
        rows.append(ReceiptRow("markup" if markup > 0 else "discount", _usd(markup, _MARKUP_DIGITS)))
    rounding = cost.nano * MILLION * MILLION - cost.exact * MILLION - markup
    if rounding:
        rows.append(ReceiptRow("rounding", _usd(rounding, _MARKUP_DIGITS)))
    return [*rows, ReceiptRow("total", nano_text(cost.nano))]


def _lines(usage: Usage, steps: TierPrice) -> list[Line]:
    lines: list[Line] = []
    if usage.runs and steps.long_context:
        rates = steps.at(max(run.input for run in usage.runs))
        lines += _of_runs(usage.runs, steps)
    else:
        rates = steps.at(usage.input)
        _put_tokens(lines, usage, rates)
    for tool, calls in usage.server_tools.items():
        _put(lines, tool, calls, rates.tools.get(tool, 0))
    _put(lines, "request", 1, rates.request)
    return lines


def _of_runs(runs: Sequence[Usage], steps: TierPrice) -> Iterator[Line]:
    """Each at the rates of its own length, with one line for all tokens of one kind and rate."""
    units: dict[tuple[str, int], int] = {}
    for run in runs:
        lines: list[Line] = []
        _put_tokens(lines, run, steps.at(run.input))
        for line in lines:
            units[line.what, line.rate] = units.get((line.what, line.rate), 0) + line.units
    return (Line(what, number, rate) for (what, rate), number in units.items())


def _put_tokens(lines: list[Line], usage: Usage, rates: Rates) -> None:
    input, output = usage.input_uncached, usage.output
    if usage.image_input or usage.audio_input:
        input -= _apart(lines, "image_input", usage.image_input, input, rates.image_input)
        input -= _apart(lines, "audio_input", usage.audio_input, input, rates.audio_input)
    if usage.reasoning or usage.audio_output:
        output -= _apart(lines, "reasoning", usage.reasoning, output, rates.reasoning)
        output -= _apart(lines, "audio_output", usage.audio_output, output, rates.audio_output)
    if rates.image_output is not None:
        images = usage.output - usage.reasoning if usage.image_output is None else usage.image_output
        output -= _apart(lines, "image_output", images, output, rates.image_output)
    _put(lines, "input", input, rates.input)
    _put(lines, "cache_read", usage.cache_read, rates.input if rates.cache_read is None else rates.cache_read)
    if usage.cache_write:
        _put_writes(lines, usage, rates)
    _put(lines, "output", output, rates.output)


def _put_writes(lines: list[Line], usage: Usage, rates: Rates) -> None:
    short = rates.input if rates.cache_write_5m is None else rates.cache_write_5m
    long = short if rates.cache_write_1h is None else rates.cache_write_1h
    _put(lines, "cache_write_5m", max(usage.cache_write_5m, 0) + max(usage.cache_write_other, 0), short)
    _put(lines, "cache_write_1h", usage.cache_write_1h, long)


def _put(lines: list[Line], what: str, units: int, rate: int) -> None:
    if units > 0 and rate:
        lines.append(Line(what, units, rate))


def _apart(lines: list[Line], what: str, units: int, left: int, rate: int | None) -> int:
    """Prices tokens that lie inside others, as many as there are left of those. How many it took."""
    if rate is None:
        return 0
    taken = max(min(units, left), 0)
    _put(lines, what, taken, rate)
    return taken


def _rounded(number: int, unit: int) -> int:
    """Half-even, of a number that is not negative."""
    whole, rest = divmod(number, unit)
    return whole + (rest * 2 > unit or (rest * 2 == unit and whole % 2))


def _usd(number: int, digits: int) -> str:
    return usd_text(Decimal(number).scaleb(-digits, _EXACT))
