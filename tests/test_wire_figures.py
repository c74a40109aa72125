"""Usage figures: replaced and never added, in disjoint buckets, never negative."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.conventions import DEFAULT, GOOGLE_COMPAT, MISTRAL, UNKNOWN, VERCEL, XAI
from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import Figures, Keys, openai_usage

NAMES = ("prompt", "completion", "total", "cached", "written", "reasoning", "audio_input")
KEYS: Keys = {name: name for name in NAMES}


def counted(conventions: Conventions = DEFAULT, *, google: bool = False, **figures: int) -> Usage:
    known = Figures(KEYS)
    known.read(figures)
    return openai_usage(known, conventions, google=google)


def read(*usages: dict[str, Any], gateway: dict[str, Any] | None = None) -> Usage | None:
    known = Figures(KEYS)
    for usage in usages:
        known.read(usage, gateway)
    return known.usage(openai_usage(known, DEFAULT))


def test_the_last_value_of_each_figure_counts() -> None:
    usage = read({"prompt": 12, "completion": 0, "cached": 4}, {"completion": 5, "cached": None}, {"completion": 3})
    assert usage == Usage(input_uncached=8, cache_read=4, output=3)


def test_a_count_that_falls_to_0_is_none() -> None:
    """As envoyproxy/ai-gateway#1631 has it of `message_delta`; other servers send a last chunk of zeros."""
    told = {"prompt": 12, "completion": 5, "cached": 4, "server_tool_use": {"web_search_requests": 2}}
    usage = read(told, {**dict.fromkeys(NAMES, 0), "server_tool_use": {"web_search_requests": 0}})
    assert usage == Usage(input_uncached=8, cache_read=4, output=5, server_tools={"web_search": 2})
    assert read({"prompt": 12}, {"prompt": -1}) == Usage(input_uncached=12, clamped=True)


def test_usage_that_never_arrived_is_none_and_not_zero() -> None:
    assert read() is None
    assert read({}, {"prompt": None}, {"prompt": "12"}) is None
    assert read({"prompt": 0}) == Usage()


def test_of_several_places_the_largest_counts() -> None:
    figures = Figures({"details": {"cached": "cached"}, "cached": "cached"})
    figures.read({"details": {"cached": 0}, "cached": 7})
    assert figures["cached"] == 7


def test_cached_and_written_tokens_are_part_of_the_prompt() -> None:
    usage = counted(prompt=100, completion=20, cached=60, written=30, reasoning=5)
    assert usage == Usage(input_uncached=10, cache_read=60, cache_write_other=30, output=20, reasoning=5)
    assert usage.input == 100


def test_what_does_not_fit_is_cut_and_flagged_and_the_total_stays() -> None:
    usage = counted(prompt=2168, completion=100, cached=2161, written=2161)
    assert (usage.input, usage.cache_read, usage.cache_write, usage.clamped) == (2168, 2161, 7, True)
    usage = counted(prompt=298, completion=14, cached=387)
    assert (usage.input, usage.cache_read, usage.input_uncached, usage.clamped) == (298, 298, 0, True)
    usage = counted(prompt=43, completion=10, total=53, reasoning=11)
    assert (usage.output, usage.reasoning, usage.clamped) == (10, 10, True)


def test_xai_counts_reasoning_beside_output() -> None:
    assert counted(XAI, prompt=12, completion=2, reasoning=320, total=334).output == 322
    assert counted(XAI, prompt=12, completion=2, reasoning=320).output == 322


def test_a_total_that_leaves_no_room_keeps_reasoning_inside() -> None:
    assert counted(XAI, prompt=100, completion=50, reasoning=20, total=150).output == 50


def test_a_total_that_needs_reasoning_beside_output_proves_it_of_a_provider_nobody_knows() -> None:
    assert counted(UNKNOWN, prompt=307, completion=26, reasoning=255, total=588).output == 281
    assert counted(UNKNOWN, prompt=307, completion=26, reasoning=255).output == 26
    assert counted(prompt=307, completion=26, reasoning=255, total=588).output == 26


def test_and_so_does_a_total_that_needs_the_caches_beside_the_prompt() -> None:
    """As where Claude's figures were put into OpenAI's names (QuantumNous/new-api#5003). A prompt that is less than
    what was read of it proves nothing: of Grok at Azure the total says that it is whole."""

    def usage(conventions: Conventions, **total: int) -> Usage:
        return counted(conventions, google=False, prompt=5_000, completion=100, cached=4_000, written=500, **total)

    beside = Usage(input_uncached=5_000, cache_read=4_000, cache_write_other=500, output=100)
    assert usage(UNKNOWN, total=9_600) == beside
    for within in (usage(UNKNOWN, total=5_100), usage(UNKNOWN), usage(DEFAULT, total=9_600)):
        assert (within.input, within.input_uncached) == (5_000, 500)
    assert counted(UNKNOWN, prompt=298, completion=14, cached=387, total=312).input == 298


def test_googles_hidden_thinking_shows_in_the_total() -> None:
    assert counted(GOOGLE_COMPAT, prompt=35, completion=12, total=109).output == 74
    assert counted(GOOGLE_COMPAT, prompt=35, completion=12).output == 12
    assert counted(prompt=35, completion=12, total=109).output == 12


def test_mistral_counts_audio_beside_the_prompt() -> None:
    usage = counted(MISTRAL, prompt=9, completion=248, audio_input=375, total=632)
    assert (usage.input, usage.audio_input, usage.output) == (384, 375, 248)
    assert counted(prompt=20, completion=5, audio_input=15, total=25).input == 20


def test_vercel_with_a_google_model_counts_reasoning_beside_output() -> None:
    assert counted(VERCEL, prompt=57, completion=10, reasoning=37, total=67).output == 47
    assert counted(VERCEL, prompt=57, completion=50, reasoning=37, total=107).output == 50
    assert counted(VERCEL, prompt=57, completion=50, reasoning=37, total=107, google=True).output == 87


def test_server_tools_are_counted_by_name_and_none_is_not_a_count() -> None:
    usage = read(
        {"prompt": 1, "server_tool_use_details": {"web_search_requests": 2, "web_fetch_requests": 0, "x": "y"}}
    )
    assert usage
    assert usage.server_tools == {"web_search": 2}


@pytest.mark.parametrize(
    ("usage", "reported"),
    [
        ({"cost": Decimal("0.0004970133333333333")}, Decimal("0.0004970133333333333")),
        ({"cost": 0}, Decimal(0)),
        ({"cost": "0.001"}, Decimal("0.001")),
        ({"cost_in_usd_ticks": 2_488_500}, Decimal("0.00024885")),
    ],
)
def test_a_cost_is_read_to_its_last_digit(usage: dict[str, Any], reported: Decimal) -> None:
    found = read(usage)
    assert found
    assert found.reported_cost == reported
    assert not found.clamped


def test_under_byok_the_fee_is_reported_and_the_whole_spend_is_the_market_cost() -> None:
    usage = read(
        {"cost": Decimal("0.01"), "is_byok": True, "cost_details": {"upstream_inference_cost": Decimal("0.2")}}
    )
    assert usage
    assert (usage.reported_cost, usage.market_cost, usage.is_byok) == (Decimal("0.01"), Decimal("0.21"), True)


def test_without_byok_the_upstream_cost_is_the_same_money_and_not_added() -> None:
    usage = read(
        {"cost": Decimal("0.2"), "is_byok": False, "cost_details": {"upstream_inference_cost": Decimal("0.2")}}
    )
    assert usage
    assert (usage.reported_cost, usage.market_cost, usage.is_byok) == (Decimal("0.2"), None, False)


def test_the_gateways_costs_are_strings_and_the_usage_objects_come_first() -> None:
    usage = read({"prompt": 1}, gateway={"cost": "0.000300", "marketCost": "0.000375"})
    assert usage
    assert (usage.reported_cost, usage.market_cost) == (Decimal("0.0003"), Decimal("0.000375"))
    usage = read({"cost": Decimal("0.5")}, gateway={"cost": "0.4"})
    assert usage
    assert usage.reported_cost == Decimal("0.5")


@pytest.mark.parametrize("cost", ["NaN", "-Infinity", -1, Decimal("-0.1"), 10**12, "1e-999999"])
def test_a_cost_that_cannot_be_is_ignored_and_flagged(cost: Any) -> None:
    usage = read({"prompt": 1, "cost": cost})
    assert usage == Usage(input_uncached=1, clamped=True)


@pytest.mark.parametrize("cost", [None, {"total_cost": 1}, [], "free", True])
def test_a_cost_that_is_no_amount_is_passed_over(cost: Any) -> None:
    assert read({"prompt": 1, "cost": cost}) == Usage(input_uncached=1)


def test_a_negative_count_is_taken_for_nothing_and_flagged() -> None:
    assert read({"prompt": 1, "server_tool_use": {"web_search_requests": -2}}) == Usage(input_uncached=1)
    assert read({"prompt": -3, "completion": 2}) == Usage(output=2, clamped=True)


@given(
    figures=st.dictionaries(st.sampled_from(NAMES), st.integers(-5, 60)),
    conventions=st.sampled_from([DEFAULT, XAI, GOOGLE_COMPAT, MISTRAL, VERCEL]),
    google=st.booleans(),
)
def test_no_bucket_is_ever_negative_and_parts_fit_their_wholes(
    figures: dict[str, int], conventions: Conventions, google: bool
) -> None:
    usage = counted(conventions, google=google, **figures)
    assert min(usage.input_uncached, usage.cache_read, usage.cache_write, usage.output) >= 0
    assert usage.reasoning <= usage.output
    assert usage.audio_input <= usage.input
    assert usage.input >= max(figures.get("prompt", 0), 0)
