"""Usage and a price make a cost: every token once, one rounding, and a receipt that adds up."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_prices import price, quote
from trivium.canon.usage import Usage
from trivium.metering.cost import Cost, cost, receipt
from trivium.metering.prices import TIERS

WHOLE: dict[str, Any] = {
    "cache_read": "0.3",
    "cache_write_5m": "3.75",
    "cache_write_1h": "6",
    "tools": {"web_search": "10"},
}


def nano(usage: Usage, tier: str | None = None, markup_ppm: int = 0, **rest: object) -> int:
    return cost(usage, quote(price(**{**WHOLE, **rest}), markup_ppm), tier).nano


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(), "0"),
        (Usage(input_uncached=1_000_000), "3"),
        (Usage(output=1_000_000), "15"),
        (Usage(cache_read=1_000_000), "0.3"),
        (Usage(cache_write_5m=1_000_000), "3.75"),
        (Usage(cache_write_1h=1_000_000), "6"),
        (Usage(cache_write_other=1_000_000), "3.75"),
        (Usage(server_tools={"web_search": 3}), "0.03"),
        (Usage(server_tools={"web_fetch": 3}), "0"),
        (Usage(input_uncached=10, cache_read=5, cache_write_5m=50), "0.000219"),
    ],
)
def test_each_bucket_is_priced_on_its_own(usage: Usage, usd: str) -> None:
    assert nano(usage) == Decimal(usd) * 10**9


def test_what_is_not_priced_apart_costs_what_its_bucket_does() -> None:
    plain = quote(price("3", "15"))
    for bucket in ("cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other"):
        bucketful: dict[str, Any] = {bucket: 1000}
        assert cost(Usage(**bucketful), plain).nano == cost(Usage(input_uncached=1000), plain).nano
    inside = Usage(input_uncached=100, output=100, reasoning=50, audio_input=50, audio_output=50, image_input=50)
    assert cost(inside, plain) == cost(Usage(input_uncached=100, output=100), plain)
    written = quote(price("3", "15", cache_write="4"))
    assert cost(Usage(cache_write_1h=1000), written).nano == cost(Usage(cache_write_5m=1000), written).nano


def test_what_is_priced_apart_at_nothing_costs_nothing() -> None:
    gift = quote(price("3", "15", cache_read=0, cache_write=0, reasoning=0, audio_input=0))
    usage = Usage(cache_read=10, cache_write_1h=10, output=10, reasoning=10, input_uncached=10, audio_input=10)
    assert cost(usage, gift).lines == ()


class TestTokensInsideOthers:
    RATES: ClassVar[dict[str, Any]] = {"reasoning": "20", "audio_output": "80", "audio_input": "40", "image_input": "5"}

    def test_they_are_taken_out_so_that_none_is_charged_twice(self) -> None:
        usage = Usage(input_uncached=100, output=100, reasoning=30, audio_output=20, audio_input=10, image_input=5)
        lines = cost(usage, quote(price(**self.RATES))).lines
        assert {line.what: line.units for line in lines} == {
            "image_input": 5, "audio_input": 10, "input": 85, "reasoning": 30, "audio_output": 20, "output": 50,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "usage"),
        [
            ("audio_input", Usage(input_uncached=10, audio_input=10)),
            ("image_input", Usage(input_uncached=10, image_input=10)),
            ("reasoning", Usage(output=10, reasoning=10)),
            ("audio_output", Usage(output=10, audio_output=10)),
        ],
    )
    def test_each_of_them_is_priced_where_there_is_no_other(self, name: str, usage: Usage) -> None:
        lines = cost(usage, quote(price(**self.RATES))).lines
        assert [(line.what, line.units) for line in lines] == [(name, 10)]

    def test_more_of_them_than_there_are_tokens_are_cut(self) -> None:
        usage = Usage(input_uncached=7, output=10, reasoning=8, audio_output=8, audio_input=100, image_input=4)
        lines = cost(usage, quote(price(**self.RATES))).lines
        assert {line.what: line.units for line in lines} == {
            "image_input": 4, "audio_input": 3, "reasoning": 8, "audio_output": 2,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("usage", "lines"),
        [
            (Usage(output=100, image_output=60), {"image_output": 60, "output": 40}),
            (Usage(output=100, image_output=60, reasoning=30), {"reasoning": 30, "image_output": 60, "output": 10}),
            (Usage(output=100, image_output=0), {"output": 100}),
            (Usage(output=100, image_output=200), {"image_output": 100}),
            (Usage(output=100, reasoning=30), {"reasoning": 30, "image_output": 70}),  # nobody tells what is no image
            (Usage(output=10, reasoning=20), {"reasoning": 10}),
        ],
    )
    def test_images_of_an_answer_are_all_of_it_but_its_thoughts_where_nobody_tells(
        self, usage: Usage, lines: dict[str, int]
    ) -> None:
        made = cost(usage, quote(price(**self.RATES, image_output="60"))).lines
        assert {line.what: line.units for line in made} == lines

    def test_where_they_have_no_rate_of_their_own_they_are_as_dear_as_words(self) -> None:
        drawn, said = Usage(output=100, image_output=60), Usage(output=100)
        assert cost(drawn, quote(price(**self.RATES))) == cost(said, quote(price(**self.RATES)))

    def test_those_that_a_cache_served_cost_what_the_cache_does(self) -> None:
        usage = Usage(input_uncached=10, cache_read=90, audio_input=50)
        lines = cost(usage, quote(price(**self.RATES, cache_read="0.3"))).lines
        assert {line.what: line.units for line in lines} == {"audio_input": 10, "cache_read": 90}


class TestLongContext:
    LONG: ClassVar[dict[str, Any]] = {"over_200000": {"input": "6", "output": "22.5"}}

    def test_all_of_the_request_is_priced_by_the_step_that_it_exceeds(self) -> None:
        assert nano(Usage(input_uncached=200_000, output=1000), **self.LONG) == 615 * 10**6
        assert nano(Usage(input_uncached=200_001, output=1000), **self.LONG) == 1_222_506_000

    def test_cached_input_counts_for_the_length(self) -> None:
        short = Usage(input_uncached=1, cache_read=199_999)
        long = Usage(input_uncached=1, cache_read=199_999, cache_write_1h=1)
        of = quote(price(**WHOLE, **self.LONG))
        assert [cost(usage, of).lines[0].rate for usage in (short, long)] == [3 * 10**9, 6 * 10**9]

    def test_of_an_answer_in_runs_the_longest_says_what_its_tools_cost(self) -> None:
        runs = (Usage(input_uncached=200_001), Usage(input_uncached=1))
        usage = Usage(input_uncached=200_002, server_tools={"web_search": 1}, runs=runs)
        of = quote(price(tools={"web_search": "10"}, over_200000={"tools": {"web_search": "20"}}))
        assert {line.what: line.rate for line in cost(usage, of).lines}["web_search"] == 20 * 10**12


class TestServiceTiers:
    TIERS: ClassVar[dict[str, Any]] = {
        "tiers": {"batch": {"input": "1.5", "output": "7.5"}, "priority": {"input": "6"}}
    }

    def test_a_tier_has_its_price(self) -> None:
        usage = Usage(input_uncached=1_000_000)
        assert cost(usage, quote(price(**self.TIERS)), "batch").nano == 15 * 10**8
        assert nano(usage, "priority", **self.TIERS) == 6 * 10**9

    @pytest.mark.parametrize("tier", [None, "", "default", "standard", "auto", "scale", "flex", "BATCH", "on_demand"])
    def test_any_other_word_is_the_standard_one(self, tier: str | None) -> None:
        made = cost(Usage(input_uncached=1_000_000), quote(price(**self.TIERS)), tier)
        assert made.nano == 3 * 10**9

    def test_tools_cost_in_a_tier_what_they_do_otherwise(self) -> None:
        assert nano(Usage(server_tools={"web_search": 1}), "batch", **self.TIERS) == 10**7


def test_a_request_itself_may_cost() -> None:
    assert nano(Usage(), request="12") == 12 * 10**6


class TestRounding:
    @pytest.mark.parametrize(
        ("rate", "tokens", "expected"),
        [
            ("0.0005", 1, 0),  # half a nanodollar: to the even one
            ("0.0005", 3, 2),
            ("0.0005", 5, 2),
            ("0.000500001", 1, 1),
            ("0.000499999", 1, 0),
        ],
    )
    def test_it_is_half_even_and_there_is_one(self, rate: str, tokens: int, expected: int) -> None:
        assert cost(Usage(input_uncached=tokens), quote(price(rate, 0))).nano == expected

    def test_the_lines_are_not_rounded_on_their_own(self) -> None:
        made = cost(Usage(input_uncached=1, output=1), quote(price("0.0004", "0.0004")))
        assert made.nano == 1

    def test_the_markup_is_inside(self) -> None:
        usage = Usage(input_uncached=1)
        assert cost(usage, quote(price("0.0004", 0), 500_000)).nano == 1
        assert cost(usage, quote(price("0.0004", 0), 250_000)).nano == 0


class TestMarkup:
    def test_it_lies_on_top_and_the_market_cost_is_without(self) -> None:
        made = cost(Usage(input_uncached=1_000_000), quote(price(), 50_000))
        assert (made.nano, made.base_nano, made.markup_ppm) == (3_150_000_000, 3_000_000_000, 50_000)

    @pytest.mark.parametrize(("ppm", "nano"), [(-250_000, 2_250_000_000), (-1_000_000, 0), (100_000_000, 303 * 10**9)])
    def test_a_discount_goes_down_to_nothing(self, ppm: int, nano: int) -> None:
        assert cost(Usage(input_uncached=1_000_000), quote(price(), ppm)).nano == nano


counts = st.integers(0, 10**7)
usages = st.builds(
    Usage,
    **dict.fromkeys(
        [
            "input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "output",
            "reasoning", "audio_input", "audio_output", "image_input",
        ],
        counts,
    ),
    server_tools=st.dictionaries(st.sampled_from(["web_search", "web_fetch"]), st.integers(0, 10**4)),
)  # fmt: skip
dollars = st.decimals(0, 1000, places=6)
tables = st.fixed_dictionaries(
    {"input": dollars, "output": dollars},
    optional={
        **dict.fromkeys(["cache_read", "cache_write", "cache_write_1h", "reasoning"], dollars),
        **dict.fromkeys(["audio_input", "audio_output", "image_input", "request"], dollars),
        "tools": st.fixed_dictionaries({"web_search": dollars}),
        "over_1000": st.fixed_dictionaries({"input": dollars, "output": dollars}),
        "tiers": st.dictionaries(st.sampled_from(TIERS), st.fixed_dictionaries({"input": dollars})),
    },
).map(lambda table: price(**_texts(table)))
markups = st.integers(-1_000_000, 10**8)


def _texts(table: Any) -> Any:
    return {key: _texts(value) if isinstance(value, dict) else format(value, "f") for key, value in table.items()}


def added(made: Cost) -> Fraction:
    return sum((Fraction(line.units * line.rate, 10**6) for line in made.lines), Fraction(0))


@given(usages, tables, markups, st.sampled_from([None, "default", *TIERS]))
def test_a_receipt_adds_up_to_its_total_and_the_total_is_the_charge(
    usage: Usage, of: Any, markup_ppm: int, tier: str | None
) -> None:
    made = cost(usage, quote(of, markup_ppm), tier)
    *rows, total = receipt(made)
    assert sum(Fraction(row.usd) for row in rows) == Fraction(total.usd) == Fraction(made.nano, 10**9)
    assert total.what == "total"


@given(usages, tables, markups, st.sampled_from([None, *TIERS]))
def test_a_cost_is_the_sum_of_its_lines_rounded_once_and_never_negative(
    usage: Usage, of: Any, markup_ppm: int, tier: str | None
) -> None:
    made = cost(usage, quote(of, markup_ppm), tier)
    exact = added(made)
    assert (made.base_nano, made.nano) == (round(exact), round(exact * (10**6 + markup_ppm) / 10**6))
    assert made.nano >= 0
    assert all(line.units > 0 and line.rate > 0 for line in made.lines)


@given(usages, tables)
def test_no_token_is_charged_twice_and_none_is_forgotten(usage: Usage, of: Any) -> None:
    free = {line.what for line in cost(usage, quote(of)).lines}
    units = {line.what: line.units for line in cost(usage, quote(of)).lines}
    inputs = sum(units.get(name, 0) for name in ("input", "audio_input", "image_input"))
    outputs = sum(units.get(name, 0) for name in ("output", "audio_output", "reasoning"))
    assert inputs <= usage.input_uncached
    assert outputs <= usage.output
    rates = of.at(usage.input)
    if rates.input and "audio_input" not in free and rates.audio_input != 0 and rates.image_input != 0:
        assert inputs == usage.input_uncached
    if rates.output and rates.reasoning != 0 and rates.audio_output != 0:
        assert outputs == usage.output


@given(usages, tables, st.integers(1, 1000))
def test_more_tokens_never_cost_less_at_the_same_rates(usage: Usage, of: Any, more: int) -> None:
    if of.long_context:
        return
    bigger = Usage(input_uncached=usage.input_uncached + more, output=usage.output + more)
    smaller = Usage(input_uncached=usage.input_uncached, output=usage.output)
    assert cost(bigger, quote(of)).nano >= cost(smaller, quote(of)).nano


def test_a_receipt_is_one_that_a_person_can_read() -> None:
    usage = Usage(input_uncached=1200, cache_read=9000, output=333, server_tools={"web_search": 2})
    rows = receipt(cost(usage, quote(price(**WHOLE), 33_333)))
    assert [(row.what, row.usd, row.units, row.usd_per_million) for row in rows] == [
        ("input", "0.0036", 1200, "3"),
        ("cache_read", "0.0027", 9000, "0.3"),
        ("output", "0.004995", 333, "15"),
        ("web_search", "0.02", 2, "10000"),
        ("markup", "0.001043156235", None, None),
        ("rounding", "-0.000000000235", None, None),
        ("total", "0.032338156", None, None),
    ]
    assert Decimal("0.032338156235").quantize(Decimal("1e-9"), ROUND_HALF_EVEN) == Decimal(rows[-1].usd)
