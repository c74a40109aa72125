"""Nanodollars inside, decimal strings outside."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.money import nano_text, to_nano, usd_text


def test_amounts_are_written_without_exponent_and_idle_zeros() -> None:
    written = {"0.00024885": "0.00024885", "1E-9": "0.000000001", "1E+3": "1000", "10.50": "10.5", "100": "100"}
    assert {text: usd_text(Decimal(text)) for text in written} == written
    assert {usd_text(Decimal(zero)) for zero in ("0", "-0", "0.000", "0E-20", "0E+5")} == {"0"}
    assert nano_text(248_850) == "0.00024885"


def test_half_a_nanodollar_goes_to_the_even_neighbour() -> None:
    halves = ("0.0000000005", "0.0000000015", "0.0000000025", "-0.0000000005")
    assert [to_nano(Decimal(half)) for half in halves] == [0, 2, 2, 0]


@pytest.mark.parametrize("odd", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_is_a_value_error(odd: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        to_nano(Decimal(odd))


@settings(deadline=None)
@given(st.integers(0, 10**18))
def test_nanodollars_survive_the_way_out_and_back(nano: int) -> None:
    assert to_nano(Decimal(nano_text(nano))) == nano


@settings(deadline=None)
@given(st.integers(0, 10**15), st.integers(0, 12))
def test_rounding_is_exact_within_the_digits_that_decimal_carries(digits: int, places: int) -> None:
    assert to_nano(Decimal(digits).scaleb(-places)) == round(Fraction(digits, 10**places) * 10**9)


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        ("1000000000.0000000005000000000001", 10**18 + 1),
        ("123456789.00000000150000000000000000000001", 123_456_789_000_000_002),
    ],
)
def test_many_digits_are_rounded_once(usd: str, nano: int) -> None:
    assert usd_text(Decimal(usd)) == usd
    assert to_nano(Decimal(usd)) == nano


def test_an_amount_beyond_all_measure_is_an_integer_or_a_value_error() -> None:
    assert to_nano(Decimal("1E+25")) == 10**34
