"""Integer nanodollars (10^-9 USD) inside, decimal USD strings outside."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

NANO = 10**9
_ONE = Decimal(1)


def to_nano(usd: Decimal) -> int:
    """USD to nanodollars, rounded half-even: the one rounding of a request's cost. Raises ValueError unless finite."""
    if not usd.is_finite():
        raise ValueError(f"not an amount of money: {usd}")
    return int((usd * NANO).quantize(_ONE, rounding=ROUND_HALF_EVEN))


def usd_text(usd: Decimal) -> str:
    """A decimal string without exponent or trailing zeros: `0.00024885`."""
    text = format(usd.normalize(), "f")
    return "0" if text in ("-0", "0") else text


def nano_text(nano: int) -> str:
    """Nanodollars as a USD string: 248850 -> `0.00024885`."""
    return usd_text(Decimal(nano) / NANO)
