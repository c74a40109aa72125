"""What records come to as metrics, and that no stranger can make them many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support_records import record
from trivium.metering.record import Outcome, Record
from trivium.telemetry.counts import Counts
from trivium.telemetry.hub import Ended
from trivium.telemetry.instruments import DURATION, FIRST_TOKEN, OTHER, PER_TOKEN, QUEUE, Histogram

GOOD: dict[str, Any] = {
    "provider": "up",
    "upstream_model": "m",
    "outcome": Outcome.SUCCESS,
    "payer": "house",
    "queue_us": 200,
    "ttfb_us": 300_200,
    "total_us": 1_300_000,
}


def known(provider: str | None, model: str | None) -> tuple[str, str]:
    if provider is None:
        return "none", "none"
    return provider, model if model is not None and model.startswith("m") else OTHER


def counted(*records: Record, most: int = 500) -> dict[str, dict[tuple[str, ...], Any]]:
    counts = Counts(known, max_models=most)
    counts.take([Ended(one, None) for one in records])
    return {family.instrument.name: dict(family.points) for family in counts.families()}


def test_requests_count_by_outcome_and_aggregates_for_all_they_stand_for() -> None:
    refused = record("r", outcome=Outcome.REFUSED, status=401, error_code="invalid_api_key", requests=40)
    told = counted(record("a", **GOOD), record("b", **GOOD), refused)
    assert told["trivium_requests_total"] == {
        ("messages", "generate", "up", "m", "success"): 2,
        ("messages", "generate", "none", "none", "refused"): 40,
    }
    assert told["trivium_errors_total"] == {("messages", "none", "invalid_api_key"): 40}
    assert sum(sum(one.counts) for one in told[DURATION.name].values()) == 2  # nobody knows how long the forty took


def test_times_fall_into_the_bucket_that_holds_them_and_add_up() -> None:
    told = counted(record("a", **GOOD), record("b", **{**GOOD, "total_us": 10_000}))
    duration = told[DURATION.name]["messages", "up", "m", "success"]
    at = dict(zip([*DURATION.bounds, None], duration.counts, strict=True))
    assert (at[0.01], at[2.56], sum(duration.counts)) == (1, 1, 2)  # the upper bound belongs to its bucket
    assert duration.sum == 1.31
    assert told[QUEUE.name]["messages",].sum == 0.0004
    assert told["trivium_upstream_first_byte_seconds"]["up", "m"].sum == 0.6


def test_the_longest_answers_have_a_bucket_too() -> None:
    duration = counted(record("a", **{**GOOD, "total_us": 900_000_000}))[DURATION.name][
        "messages", "up", "m", "success"
    ]
    assert duration.counts[-1] == 1


def test_first_tokens_are_those_of_streams_that_succeeded() -> None:
    stream = {**GOOD, "first_token_us": 300_000, "output_tokens": 11, "usage_known": True}
    cut = {**stream, "outcome": Outcome.FAILED}
    told = counted(record("a", **stream), record("b", **cut), record("c", **GOOD))
    assert told[FIRST_TOKEN.name]["up", "m"].sum == 0.3
    assert told[PER_TOKEN.name]["up", "m"].sum == 0.1  # 1 s for the ten behind the first
    assert sum(told[PER_TOKEN.name]["up", "m"].counts) == 1


def test_tokens_count_once_and_only_where_there_is_a_figure() -> None:
    usage = {
        "input_uncached_tokens": 10,
        "cache_read_tokens": 20,
        "cache_write_5m_tokens": 30,
        "output_tokens": 40,
        "reasoning_tokens": 25,
        "audio_input_tokens": 5,
        "usage_known": True,
    }
    told = counted(record("a", **GOOD, **usage), record("b", **GOOD))
    assert told["trivium_tokens_total"] == {
        ("up", "m", "input_uncached"): 10,
        ("up", "m", "cache_read"): 20,
        ("up", "m", "cache_write_5m"): 30,
        ("up", "m", "output"): 40,
    }
    assert told["trivium_reasoning_tokens_total"] == {("up", "m"): 25}
    usage_in, usage_out = (told["gen_ai_client_token_usage"]["up", "m", kind] for kind in ("input", "output"))
    assert (usage_in.sum, usage_out.sum, sum(usage_in.counts)) == (60, 40, 1)


def test_estimated_tokens_count_as_what_they_cost_does() -> None:
    cut = {**GOOD, "outcome": Outcome.ABORTED, "cost_nano": 1_000_000_000, "cost_source": "estimated"}
    told = counted(record("a", **cut, input_uncached_tokens=10, output_tokens=3))
    assert told["trivium_tokens_total"] == {("up", "m", "input_uncached"): 10, ("up", "m", "output"): 3}
    assert told["gen_ai_client_token_usage"]["up", "m", "output"].sum == 3


def test_money_is_dollars_by_who_paid() -> None:
    own = {**GOOD, "payer": "byok", "cost_nano": 0, "market_cost_nano": 2_000_000_000}
    told = counted(record("a", **GOOD, cost_nano=1_500_000_000, market_cost_nano=1_000_000_000), record("b", **own))
    assert told["trivium_cost_usd_total"] == {("up", "m", "house"): 1.5, ("up", "m", "byok"): 0}
    assert told["trivium_market_cost_usd_total"] == {("up", "m", "house"): 1, ("up", "m", "byok"): 2}


def test_failed_attempts_count_for_the_route_that_failed() -> None:
    routing = '{"why":"x","tried":[{"route":"a/one#2","status":500,"code":"upstream_error","why":"w","ms":3}]}'
    told = counted(record("a", **GOOD, routing=routing))
    assert told["trivium_failed_attempts_total"] == {("a", "upstream_error"): 1}


def test_each_code_that_the_page_says_callers_are_told_is_counted_as_itself() -> None:
    page = (Path(__file__).parents[1] / "docs/errors.md").read_text(encoding="utf-8").partition("\n## Codes\n")[2]
    codes = {code for row in re.findall(r"\n\| \S.*? \| (`.+?) \|", page) for code in re.findall(r"`(\w+)`", row)}
    failed = [record(code, outcome=Outcome.FAILED, status=500, error_code=code) for code in codes]
    assert len(codes) > 40
    assert {code for _, _, code in counted(*failed)["trivium_errors_total"]} == codes


def test_a_hostile_upstream_makes_no_new_codes() -> None:
    hostile = [record(f"r{n}", **{**GOOD, "error_code": f"made-up-{n}"}) for n in range(50)]
    told = counted(*hostile, record("a", **{**GOOD, "error_code": "overloaded_error"}))
    assert told["trivium_errors_total"] == {("messages", "up", OTHER): 50, ("messages", "up", "overloaded_error"): 1}


def test_a_hostile_client_makes_no_new_models_and_takes_no_memory() -> None:
    counts = Counts(known, max_models=500)
    for number in range(1000):
        counts.take([Ended(record("r", **{**GOOD, "upstream_model": f"x{number}"}), None)])
    assert {labels[3] for family in counts.families() for labels, _ in family.points if len(labels) == 5} == {OTHER}
    assert len(counts._cells) == 1


def test_beyond_so_many_models_they_are_one() -> None:
    records = [record("r", **{**GOOD, "upstream_model": f"m{number % 7}"}) for number in range(70)]
    told = counted(*records, most=5)["trivium_requests_total"]
    assert len(told) == 6
    assert told["messages", "generate", "up", OTHER, "success"] == 20


def test_families_are_a_copy() -> None:
    counts = Counts(known, max_models=1)
    counts.take([Ended(record("a", **GOOD), None)])
    (before,) = [family for family in counts.families() if family.instrument is DURATION]
    counts.take([Ended(record("b", **GOOD), None)])
    ((_, value),) = before.points  # put into units only now
    assert isinstance(value, Histogram)
    assert sum(value.counts) == 1
