"""Prices as values: their versions, and how sheets become them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_prices import price
from trivium.metering.prices import (
    FREE,
    TIERS,
    TOKEN_RATES,
    LongContext,
    Rates,
    assembled,
    content_of,
    flat,
    price_of,
    sheet_of,
    version_of,
)
from trivium.metering.sheet import read_price, written

rates = st.integers(0, 10**15)
curves = st.dictionaries(st.integers(0, 10**6), rates, max_size=3).flatmap(
    lambda steps: st.builds(lambda base: ((-1, base), *sorted(steps.items())), rates)
)
names = st.sampled_from([*TOKEN_RATES, "request", "tools.web_search", "tools.x"])
sheets = st.fixed_dictionaries({"input": curves, "output": curves}).flatmap(
    lambda base: st.dictionaries(names, curves, max_size=5).map(lambda more: {**more, **base})
)
tiers = st.dictionaries(st.sampled_from(TIERS), st.dictionaries(names, curves, max_size=4), max_size=3)


def test_a_version_is_the_hash_of_the_content_and_of_nothing_else() -> None:
    first = price("3", "15", tools={"a": "1", "b": "2"})
    assert version_of(first) == version_of(price(3.0, 15, tools={"b": 2, "a": 1.0}))
    assert version_of(first) != version_of(price("3", "15.000000001", tools={"a": "1", "b": "2"}))
    assert len(version_of(first)) == len("pr_") + 12


def test_the_versions_of_a_release_are_those_of_the_next() -> None:
    """Versions stand in records for ever: a price must not change its name with the program."""
    assert content_of(price("3", "15")) == '{"rates":{"input":3000000000,"output":15000000000}}'
    assert version_of(price("3", "15")) == "pr_663c09f0784e"
    whole = price(
        1, 2, over_5={"input": 3}, tools={"b": 1, "a": 1}, tiers={"flex": {"input": 0}, "batch": {"output": 1}}
    )
    assert version_of(whole) == "pr_4665f1ee8213"


@given(sheets, tiers)
def test_a_price_is_read_back_from_its_content_as_it_was(sheet: Any, of_tiers: Any) -> None:
    made = assembled(sheet, of_tiers)
    assert price_of(content_of(made)) == made
    assert version_of(price_of(content_of(made))) == version_of(made)


@given(sheets, tiers)
def test_a_price_and_its_sheets_say_the_same(sheet: Any, of_tiers: Any) -> None:
    made = assembled(sheet, of_tiers)
    again = assembled(sheet_of(made), {name: sheet_of(tier) for name, tier in made.tiers.items()})
    for length in (0, 1, 10, 10**3, 10**5, 10**6, 10**7):
        assert again.at(length) == made.at(length)
        for name, tier in made.tiers.items():
            assert again.tiers[name].at(length) == tier.at(length)


def test_each_rate_has_its_own_steps_of_the_length() -> None:
    made = assembled({"input": ((-1, 1), (100, 2)), "output": ((-1, 3), (200, 4))}, {})
    assert made.long_context == (
        LongContext(over=100, rates=Rates(input=2, output=3)),
        LongContext(over=200, rates=Rates(input=2, output=4)),
    )
    assert [made.at(length).input for length in (0, 100, 101, 10**9)] == [1, 1, 2, 2]


def test_what_a_tier_does_not_tell_costs_there_what_it_costs_otherwise() -> None:
    standard = {"input": ((-1, 10), (100, 20)), "output": flat(30), "tools.web_search": flat(7)}
    made = assembled(standard, {"batch": {"output": flat(15)}, "flex": {}})
    assert made.tiers["batch"].at(101) == Rates(input=20, output=15, tools={"web_search": 7})
    assert made.tiers["flex"].at(101) == made.at(101)


def test_what_is_free_in_a_tier_alone_stays_so() -> None:
    standard = {"input": flat(10), "output": flat(30), "request": flat(5)}
    made = assembled(standard, {"batch": {"request": flat(0)}})
    assert (made.rates.request, made.tiers["batch"].rates.request) == (5, 0)
    assert assembled(sheet_of(made), {"batch": sheet_of(made.tiers["batch"])}) == made
    assert written(made)["tiers"] == {"batch": {"request": "0"}}
    assert read_price(written(made)) == made


@pytest.mark.parametrize(
    ("table", "free"),
    [
        ({"input": 0, "output": 0}, True),
        ({"input": 0, "output": 0, "cache_read": 0, "tools": {"a": 0}}, True),
        ({"input": 0, "output": 1}, False),
        ({"input": 0, "output": 0, "request": 1}, False),
        ({"input": 0, "output": 0, "tools": {"a": 1}}, False),
        ({"input": 0, "output": 0, "over_100": {"input": 1}}, False),
        ({"input": 0, "output": 0, "tiers": {"priority": {"input": 1}}}, False),
    ],
)
def test_a_price_is_free_where_nothing_in_it_costs(table: dict[str, Any], free: bool) -> None:
    assert price(**table).is_free is free
    assert FREE.is_free
