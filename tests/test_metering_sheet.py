"""Prices as people write them: exact, or refused with the key that is wrong."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.metering.prices import TIERS, TOKEN_RATES, Rates, TierPrice, assembled
from trivium.metering.sheet import PriceFault, read_price, written


def toml(text: str) -> Any:
    return tomllib.loads(f"price = {text}")["price"]


def test_a_whole_table_arrives() -> None:
    price = read_price(
        toml(
            '{ input = "3", output = 15, cache_read = 0.3, cache_write = "3.75", cache_write_1h = "6", reasoning = "20"'
            ', audio_input = "40", audio_output = "80", image_input = "5", request = "12"'
            ', tools = { web_search = "10" },'
            ' over_200000 = { input = "6", cache_read = 0.6 }, tiers.batch = { input = "1.5", output = "7.5" } }'
        )
    )
    assert price.rates == Rates(
        input=3 * 10**9,
        output=15 * 10**9,
        cache_read=3 * 10**8,
        cache_write_5m=375 * 10**7,
        cache_write_1h=6 * 10**9,
        reasoning=20 * 10**9,
        audio_input=40 * 10**9,
        audio_output=80 * 10**9,
        image_input=5 * 10**9,
        request=12 * 10**12,
        tools={"web_search": 10 * 10**12},
    )
    long = price.at(200_001)
    assert (long.input, long.cache_read, long.output) == (6 * 10**9, 6 * 10**8, 15 * 10**9)
    batch = price.tiers["batch"].rates
    assert (batch.input, batch.output, batch.cache_read, batch.tools) == (
        15 * 10**8, 75 * 10**8, 3 * 10**8, {"web_search": 10 * 10**12},
    )  # fmt: skip


@pytest.mark.parametrize("written_as", ["0.3", "3e-1", "0.30", '"0.3"', '"0.300"', '"3e-1"'])
def test_an_amount_means_the_digits_it_was_written_with(written_as: str) -> None:
    assert read_price(toml(f"{{ input = {written_as}, output = 0 }}")).rates.input == 300_000_000


def test_a_rate_that_only_long_requests_tell_begins_as_its_bucket() -> None:
    price = read_price({"input": "3", "output": "15", "over_1000": {"cache_write_1h": "9", "reasoning": "30"}})
    assert (price.rates.cache_write_1h, price.rates.reasoning) == (3 * 10**9, 15 * 10**9)
    assert (price.at(1001).cache_write_1h, price.at(1001).reasoning) == (9 * 10**9, 30 * 10**9)


def test_one_that_has_no_bucket_begins_at_nothing() -> None:
    price = read_price({"input": "3", "output": "15", "over_1000": {"request": "12", "tools": {"web_search": "10"}}})
    assert (price.rates.request, price.rates.tools["web_search"]) == (0, 0)
    assert (price.at(1001).request, price.at(1001).tools["web_search"]) == (12 * 10**12, 10 * 10**12)


def test_one_that_a_tier_tells_for_long_requests_alone_begins_as_it_is_without_the_tier() -> None:
    batch = read_price(
        {"input": "3", "output": "15", "cache_read": "0.3", "tiers": {"batch": {"over_1000": {"cache_read": "0.2"}}}}
    ).tiers["batch"]
    assert (batch.at(1000).cache_read, batch.at(1001).cache_read) == (3 * 10**8, 2 * 10**8)


def test_a_million_dollars_is_the_most() -> None:
    assert read_price({"input": "1000000", "output": 0}).rates.input == 10**15
    with pytest.raises(PriceFault, match=r"at most 1000000 USD, got 1000000\.1"):
        read_price({"input": "1000000.1", "output": 0})


def test_a_tiers_rate_counts_at_every_length_unless_it_says_otherwise() -> None:
    price = read_price(
        {
            "input": "4",
            "output": "8",
            "over_100": {"input": "6"},
            "tiers": {"batch": {"input": "2"}, "flex": {"input": "2", "over_100": {"input": "3"}}},
        }
    )
    assert [price.tiers[name].at(101).input // 10**9 for name in ("batch", "flex")] == [2, 3]


@pytest.mark.parametrize(
    ("table", "place", "words"),
    [
        ('{ input = "-1", output = 1 }', "input: ", "not negative"),
        ("{ input = -0.0, output = 1 }", "input: ", "not negative"),
        ("{ input = nan, output = 1 }", "input: ", "not negative"),
        ("{ input = inf, output = 1 }", "input: ", "not negative"),
        ('{ input = "NaN", output = 1 }', "input: ", "got NaN"),
        ('{ input = "Infinity", output = 1 }', "input: ", "got Infinity"),
        ('{ input = "1e999999999", output = 1 }', "input: ", "not negative"),
        ('{ input = "1e99", output = 1 }', "input: ", "at most 1000000 USD"),
        ('{ input = "1000000.1", output = 1 }', "input: ", "at most 1000000 USD"),
        ('{ input = "0.0000000001", output = 1 }', "input: ", "finer than a billionth"),
        ("{ input = true, output = 1 }", "input: ", "got True"),
        ("{ input = [], output = 1 }", "input: ", "got []"),
        ("{ input = 2020-01-01, output = 1 }", "input: ", "an amount in USD"),
        ('{ input = "", output = 1 }', "input: ", "an amount in USD"),
        ('{ input = "1 ", output = 1 }', "input: ", "an amount in USD"),
        ('{ input = "\u0661", output = 1 }', "input: ", "an amount in USD"),
        ("{ input = 1 }", "output: ", "missing"),
        ("{}", "input: ", "missing"),
        ("{ inptu = 1 }", "inptu: ", "expected one of input, output, cache_read"),
        ("{ input = 1, output = 1, tools = { web_search = -1 } }", "tools.web_search: ", "not negative"),
        ("{ input = 1, output = 1, tools = { 'Web Search' = 1 } }", "tools.Web Search: ", "tool's name"),
        ("{ input = 1, output = 1, tools = 3 }", "tools: ", "a table"),
        ("{ input = 1, output = 1, over_0 = { input = 1 } }", "over_0: ", "unknown"),
        ("{ input = 1, output = 1, over_200k = { input = 1 } }", "over_200k: ", "unknown"),
        ("{ input = 1, output = 1, over_200 = { over_300 = { input = 1 } } }", "over_200.over_300: ", "unknown"),
        ("{ input = 1, output = 1, tiers.bach = { input = 1 } }", "tiers.bach: ", "batch, flex, priority, fast"),
        ("{ input = 1, output = 1, tiers.batch = { inptu = 1 } }", "tiers.batch.inptu: ", "unknown"),
        ("{ input = 1, output = 1, tiers.batch = { over_9 = { input = -1 } } }", "tiers.batch.over_9.input: ", "neg"),
        ("{ input = 1, output = 1, tiers = 3 }", "tiers: ", "a table"),
        ("3", "expected a table", ""),
    ],
)
def test_a_price_that_cannot_be_used_is_refused_with_the_key(table: str, place: str, words: str) -> None:
    with pytest.raises(PriceFault) as raised:
        read_price(toml(table))
    assert str(raised.value).startswith(place)
    assert words in str(raised.value)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["1", "-1"])),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["input", "output", "tools", "tiers", "batch", "over_5", "x", "cache_read"]), inner
        )
    ),
    max_leaves=8,
)


def amounts(price: TierPrice) -> list[int]:
    every = [price.rates, *(step.rates for step in price.long_context)]
    return [
        amount
        for rates in every
        for amount in (*(getattr(rates, name) or 0 for name in TOKEN_RATES), rates.request, *rates.tools.values())
    ]


@given(anything)
def test_whatever_is_given_is_a_price_without_negative_amounts_or_a_fault(table: object) -> None:
    try:
        price = read_price(table)
    except PriceFault:
        return
    assert all(0 <= amount <= 10**18 for tier in (price, *price.tiers.values()) for amount in amounts(tier))


rates = st.integers(0, 10**15)
curves = st.builds(
    lambda base, steps: ((-1, base), *sorted(steps.items())),
    rates,
    st.dictionaries(st.integers(1, 10**6), rates, max_size=3),
)
names = st.sampled_from([*TOKEN_RATES, "request", "tools.web_search", "tools.x"])
sheets = st.builds(
    lambda more, input, output: {**more, "input": input, "output": output},
    st.dictionaries(names, curves, max_size=5),
    curves,
    curves,
)


@given(sheets, st.dictionaries(st.sampled_from(TIERS), st.dictionaries(names, curves, max_size=4), max_size=3))
def test_what_is_written_is_read_as_it_was(sheet: Any, tiers: Any) -> None:
    price = assembled(sheet, tiers)
    again = read_price(written(price))
    for length in (0, 1, 10**3, 10**5, 10**6, 10**7):
        assert again.at(length) == price.at(length)
        for name in tiers:
            assert again.tiers[name].at(length) == price.tiers[name].at(length)
