"""Messages usage: merged field by field, cache writes by their lifetime."""

from typing import Any

import pytest

from trivium.canon.usage import Usage
from trivium.wire.messages.usage import MessagesUsage, told


def read(*usages: dict[str, Any]) -> Usage | None:
    figures, usage = MessagesUsage(), None
    for said in usages:
        usage = figures.read(said)
    return usage


def written(total: int | None, five: int | None = None, hour: int | None = None) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    usage: dict[str, Any] = {} if total is None else {"cache_creation_input_tokens": total}
    return usage if five is None and hour is None else {**usage, "cache_creation": split}


def test_input_excludes_what_was_cached_and_the_total_includes_it() -> None:
    usage = read({"input_tokens": 10, "cache_read_input_tokens": 5, **written(50, 50, 0), "output_tokens": 7})
    assert usage == Usage(input_uncached=10, cache_read=5, cache_write_5m=50, output=7)
    assert usage
    assert usage.input == 65


@pytest.mark.parametrize(
    ("reports", "five", "hour", "other"),
    [
        ([written(30, 20, 10)], 20, 10, 0),
        ([written(30)], 0, 0, 30),
        ([written(30, 20, 10), written(30)], 20, 10, 0),
        ([written(3068, 3068, 0), written(3337)], 3068, 0, 269),
        ([written(0, 0, 0), written(46134)], 0, 0, 46134),
        ([written(30, 20, 10), written(None)], 20, 10, 0),
        ([written(0), written(None, 5, 3)], 5, 3, 0),
        ([written(9, 9, 0), written(None, 5, None)], 5, 0, 0),
        ([written(9, 9, 0), {"cache_creation": {}}, {"cache_creation": None}], 9, 0, 0),
    ],
)
def test_the_split_of_the_start_stays_and_what_outgrows_it_is_other(
    reports: list[dict[str, Any]], five: int, hour: int, other: int
) -> None:
    usage = read(*reports)
    assert usage == Usage(cache_write_5m=five, cache_write_1h=hour, cache_write_other=other)


def test_an_input_of_0_at_the_end_does_not_undo_that_of_the_start() -> None:
    start = {"input_tokens": 1_500, "cache_read_input_tokens": 100_000, **written(30, 20, 10), "output_tokens": 1}
    end = {"input_tokens": 0, "cache_read_input_tokens": 0, **written(0, 0, 0), "output_tokens": 47}
    assert read(start, end) == Usage(
        input_uncached=1_500, cache_read=100_000, cache_write_5m=20, cache_write_1h=10, output=47
    )


@pytest.mark.parametrize("total", [30, None])
def test_writes_that_turn_out_to_have_another_lifetime_are_no_further_ones(total: int | None) -> None:
    assert read(written(30, 30, 0), written(total, 0, 30)) == Usage(cache_write_1h=30)
    assert read(written(30, 0, 30), written(total, 30, 0)) == Usage(cache_write_5m=30)


def test_a_split_larger_than_its_total_is_cut_and_flagged() -> None:
    assert read(written(30, 20, 10), written(25)) == Usage(cache_write_5m=20, cache_write_1h=5, clamped=True)


def test_thinking_is_part_of_the_output() -> None:
    usage = read({"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 30}})
    assert usage == Usage(output=40, reasoning=30)


def test_server_tools_and_tier() -> None:
    tools = {"web_search_requests": 2, "web_fetch_requests": 0}
    usage = read({"input_tokens": 1, "server_tool_use": tools, "service_tier": "priority"}, {"server_tool_use": None})
    assert usage == Usage(input_uncached=1, server_tools={"web_search": 2}, service_tier="priority")


def test_tokens_of_the_iterations_are_not_added() -> None:
    iterations = [{"input_tokens": 408}, {"type": "message", "input_tokens": 9}, {"type": "advisor_message"}, None, 1]
    assert read({"input_tokens": 412, "iterations": iterations}) == Usage(input_uncached=412)


def test_but_those_of_compactions_are() -> None:
    """As in "Compaction" at platform.claude.com/docs: they are no part of the figures above."""
    compaction = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500, "cache_read_input_tokens": 7}
    message = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}
    usage = {"input_tokens": 23_000, "output_tokens": 1_000, **written(30, 20, 10)}
    whole = {**usage, "iterations": [{**compaction, **written(5, 5, 0)}, message]}
    beside = Usage(input_uncached=180_000, cache_read=7, cache_write_5m=5, output=3_500)
    own = Usage(input_uncached=23_000, cache_write_5m=20, cache_write_1h=10, output=1_000)
    summed = Usage(
        input_uncached=203_000, cache_read=7, cache_write_5m=25, cache_write_1h=10, output=4_500, runs=(beside, own)
    )
    assert read(whole) == summed
    assert read({"input_tokens": 23_000}, whole, whole) == summed, "a later list replaces an earlier one"
    odd = read(usage, {"iterations": [{**compaction, "input_tokens": -1}]})
    assert odd
    assert (odd.input_uncached, odd.output, odd.clamped) == (23_000, 4_500, True)
    many = read({"input_tokens": 1, "iterations": [compaction] * 10_000})
    assert many
    assert (many.input_uncached, many.output, len(many.runs)) == (1 + 200 * 180_000, 200 * 3_500, 201)


def test_runs_of_a_message_count_if_they_add_up_to_it() -> None:
    runs = [{"type": "message", "input_tokens": 60_000, "output_tokens": n} for n in (2, 3)]
    details = {"output_tokens_details": {"thinking_tokens": 4}}
    found = read({"input_tokens": 120_000, "output_tokens": 5, **details, "iterations": runs})
    assert found
    assert [(run.input, run.output) for run in found.runs] == [(60_000, 2), (60_000, 3)]
    assert (found.input, found.output, found.reasoning) == (120_000, 5, 4)
    odd = read({"input_tokens": 120_001, "output_tokens": 5, "iterations": runs})
    assert odd == Usage(input_uncached=120_001, output=5)


def test_fast_mode_is_a_tier_with_a_price_of_its_own() -> None:
    start = {"input_tokens": 1, "service_tier": "standard", "speed": "fast"}
    assert read(start) == Usage(input_uncached=1, service_tier="fast")
    assert read(start, {"output_tokens": 2, "service_tier": "standard"}) == Usage(
        input_uncached=1, output=2, service_tier="fast"
    )
    assert read({**start, "speed": "standard"}) == Usage(input_uncached=1, service_tier="standard")
    assert read(start, {"speed": "standard"}) == Usage(input_uncached=1, service_tier="standard"), "the last word"
    untold = {"input_tokens": 1, "speed": "standard"}
    assert read(untold) == Usage(input_uncached=1, service_tier="standard"), "it may have been asked to be fast"
    assert told(Usage(input_uncached=1, service_tier="fast")) | start == told(
        Usage(input_uncached=1, service_tier="fast")
    )


def test_a_model_that_runs_in_the_usa_alone_is_one_too() -> None:
    start = {"input_tokens": 1, "service_tier": "standard", "inference_geo": "us"}
    assert read(start, {"output_tokens": 2}) == Usage(input_uncached=1, output=2, service_tier="us")
    assert read({**start, "speed": "fast"}) == Usage(input_uncached=1, service_tier="us_fast")
    for elsewhere in ("global", "not_available", None, "eu", ["us"]):
        assert read({**start, "inference_geo": elsewhere}) == Usage(input_uncached=1, service_tier="standard")
    for tier in ("us", "us_fast"):
        assert read(told(Usage(input_uncached=1, service_tier=tier))) == Usage(input_uncached=1, service_tier=tier)


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None}, {"service_tier": "standard"}])
def test_usage_that_says_nothing_is_none(usage: dict[str, Any]) -> None:
    assert read(usage) is None


def test_tokens_of_the_model_that_draws_are_no_calls() -> None:
    drawn = {"image_generation_output": 6208}
    said = told(Usage(output=1, server_tools={"image_generation": 1, **drawn}))
    assert {name: calls for name, calls in said["server_tool_use"].items() if calls} == {"image_generation_requests": 1}
    assert "server_tool_use" not in told(Usage(output=1, server_tools=drawn))
