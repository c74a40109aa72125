"""Integer nanodollars (10^-9 USD) inside, decimal USD strings outside."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

NANO = 10**9
_ONE = Decimal(1)
_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)
"""More digits than any amount has, so that nothing is rounded on the way to the one rounding."""


def to_nano(usd: Decimal) -> int:
    """USD to nanodollars, rounded half-even: the one rounding of a request's cost. Raises ValueError unless finite."""
    if not usd.is_finite():
        raise ValueError(f"not an amount of money: {usd}")
    return int(_EXACT.quantize(_EXACT.multiply(usd, Decimal(NANO)), _ONE))


def usd_text(usd: Decimal) -> str:
    """A decimal string without exponent or trailing zeros: `0.00024885`."""
    text = format(_EXACT.normalize(usd), "f")
    return "0" if text in ("-0", "0") else text


def nano_text(nano: int) -> str:
    """Nanodollars as a USD string: 248850 -> `0.00024885`."""
    return usd_text(Decimal(nano).scaleb(-9, _EXACT))
