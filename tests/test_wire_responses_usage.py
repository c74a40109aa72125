"""Responses usage."""

from decimal import Decimal

from trivium.canon.conventions import DEFAULT, XAI
from trivium.canon.usage import Usage
from trivium.wire.responses.usage import ResponsesUsage


def test_input_includes_the_cache_and_output_includes_reasoning() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 15},
        "total_tokens": 120,
    }
    assert ResponsesUsage(DEFAULT).read({"usage": usage, "service_tier": "default"}) == Usage(
        input_uncached=10, cache_read=60, cache_write_other=30, output=20, reasoning=15, service_tier="default"
    )


def test_openrouter_adds_a_cost_and_xai_ticks() -> None:
    usage = {"input_tokens": 1, "cost": Decimal("0.0000468"), "is_byok": False}
    assert ResponsesUsage(DEFAULT).read({"usage": usage}) == Usage(
        input_uncached=1, reported_cost=Decimal("0.0000468"), is_byok=False
    )
    ticks = ResponsesUsage(XAI).read({"usage": {"input_tokens": 1, "cost_in_usd_ticks": 9_143_500}})
    assert ticks
    assert ticks.reported_cost == Decimal("0.00091435")


def test_xai_counts_reasoning_inside_output_here() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "total_tokens": 150,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    found = ResponsesUsage(XAI).read({"usage": usage})
    assert found
    assert found.output == 50


def test_calls_that_a_usage_tells_are_not_counted_again_by_what_the_answer_shows() -> None:
    used = {"input_tokens": 1, "server_tool_use_details": {"web_search_requests": 3}}
    found = ResponsesUsage(DEFAULT).read({"usage": used}, {"web_search": 4, "file_search": 1})
    assert found
    assert found.server_tools == {"web_search": 3, "file_search": 1}
