"""What a gateway remembers of a call, in canonical terms."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.conventions import VERCEL
from trivium.canon.usage import Usage
from trivium.wire.generation import Generation, parse

OPENROUTER = b"""{"data": {"id": "gen-1", "upstream_id": "chatcmpl-7", "total_cost": 0.0015, "cache_discount": 0.0002,
  "upstream_inference_cost": 0.0015, "created_at": "2026-07-15T23:33:19.433273+00:00", "model": "openai/gpt-5-mini",
  "app_id": 12345, "streamed": true, "cancelled": false, "provider_name": "OpenAI", "latency": 1250,
  "finish_reason": "stop", "tokens_prompt": 90, "tokens_completion": 30, "native_tokens_prompt": 100,
  "native_tokens_completion": 25, "native_tokens_completion_images": null, "native_tokens_reasoning": 5,
  "native_tokens_cached": 60, "num_search_results": null, "usage": 0.0015, "is_byok": false,
  "native_finish_reason": "completed", "service_tier": "priority"}}"""
VERCEL_BYOK = b"""{"data": {"id": "gen_01", "total_cost": 0.01, "upstream_inference_cost": 0.08, "usage": 0.01,
  "created_at": "2026-03-01T00:00:00Z", "model": "anthropic/claude-sonnet-4.6", "is_byok": true,
  "provider_name": "anthropic", "streamed": true, "finish_reason": "tool-calls", "latency": 123, "generation_time": 456,
  "native_tokens_prompt": 100, "native_tokens_completion": 50, "native_tokens_reasoning": 7,
  "native_tokens_cached": 20, "native_tokens_cache_creation": 5, "billable_web_search_calls": 2}}"""


def record(**said: Any) -> Generation | None:
    return parse(json.dumps({"data": said}).encode())


def known(**said: Any) -> Generation:
    found = record(**said)
    assert found is not None
    return found


def test_a_record_of_openrouter() -> None:
    assert parse(OPENROUTER) == Generation(
        usage=Usage(
            input_uncached=40,
            cache_read=60,
            output=25,
            reasoning=5,
            service_tier="priority",
            reported_cost=Decimal("0.0015"),
            is_byok=False,
        ),
        counted=True,
        provider_name="OpenAI",
    )


def test_a_record_of_vercel_under_byok_is_a_fee_and_a_vendors_bill() -> None:
    found = parse(VERCEL_BYOK)
    assert found is not None
    assert found.cost == Decimal("0.01")
    assert found.usage == Usage(
        input_uncached=75,
        cache_read=20,
        cache_write_other=5,
        output=50,
        reasoning=7,
        server_tools={"web_search": 2},
        reported_cost=Decimal("0.01"),
        market_cost=Decimal("0.09"),
        is_byok=True,
    )


def test_without_byok_the_vendors_bill_is_within_the_cost_and_is_not_added() -> None:
    found = known(total_cost=0.5, upstream_inference_cost=0.5, is_byok=False)
    assert (found.cost, found.usage.market_cost) == (Decimal("0.5"), None)


def test_a_cost_keeps_its_digits_and_may_be_a_string() -> None:
    assert known(total_cost="0.000375").cost == Decimal("0.000375")
    found = parse(b'{"data": {"total_cost": 0.12345678901234567890}}')
    assert found is not None
    assert found.cost == Decimal("0.12345678901234567890")


def test_without_counts_the_zeros_mean_nothing() -> None:
    found = known(total_cost=0.1)
    assert (found.counted, found.usage.input, found.usage.output) == (False, 0, 0)
    assert known(native_tokens_prompt=0).counted


def test_reasoning_lies_where_the_providers_conventions_say() -> None:
    said = {"native_tokens_prompt": 9, "native_tokens_completion": 2, "native_tokens_reasoning": 1}
    beside = json.dumps({"data": {**said, "provider_name": "vertex"}}).encode()
    within = json.dumps({"data": {**said, "provider_name": "openai"}}).encode()
    for body, conventions, output in ((beside, VERCEL, 3), (within, VERCEL, 2), (beside, None, 2)):
        found = parse(body, conventions) if conventions else parse(body)
        assert found is not None
        assert found.usage.output == output


@pytest.mark.parametrize("cost", ["NaN", "-0.1", -1, 1e30, "Infinity", "1e-99"])
def test_a_cost_that_cannot_be_is_ignored_and_flagged(cost: Any) -> None:
    found = known(total_cost=cost, native_tokens_prompt=5)
    assert (found.cost, found.usage.clamped, found.usage.input) == (None, True, 5)


def test_counts_that_contradict_each_other_are_cut_and_flagged() -> None:
    found = known(native_tokens_prompt=10, native_tokens_cached=50, native_tokens_completion=-3)
    assert (found.usage.input, found.usage.cache_read, found.usage.output) == (10, 10, 0)
    assert found.usage.clamped


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"data": null}',
        b'{"data": []}',
        b'{"data": {}}',
        b'{"data": {"id": "gen-1", "total_cost": null, "native_tokens_prompt": null}}',
        b'{"error": {"message": "Generation gen-1 not found", "code": 404}}',
        b'{"data": ' + b"[" * 100_000,
        b'{"data": {"total_cost": NaN}}',
    ],
)
def test_what_holds_no_figure_is_no_record(body: bytes) -> None:
    assert parse(body) is None


def test_words_of_another_type_or_unknown_are_none() -> None:
    found = known(total_cost=1, provider_name=[], is_byok="yes")
    assert (found.provider_name, found.usage.is_byok) == (None, None)


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers())
NAMES = [*json.loads(OPENROUTER)["data"], "native_tokens_cache_creation", "billable_web_search_calls"]


@given(st.dictionaries(st.sampled_from(NAMES), ODD))
def test_whatever_a_record_says_its_figures_can_be_used(said: dict[str, Any]) -> None:
    found = record(**said)
    if found is None:
        return
    usage = found.usage
    assert min(usage.input_uncached, usage.cache_read, usage.cache_write, usage.reasoning) >= 0
    assert usage.reasoning <= usage.output
    for cost in (found.cost, usage.market_cost):
        assert cost is None or cost >= 0
