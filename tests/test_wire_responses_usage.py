"""Responses usage."""

import json
import sys
from collections import Counter
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest

from trivium.canon.conventions import DEFAULT, XAI
from trivium.canon.events import UsageReport
from trivium.canon.usage import Usage
from trivium.wire.responses.stream import StreamDecoder
from trivium.wire.responses.usage import ResponsesUsage
from trivium.wire.sse import ServerSentEvent


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


def test_what_the_tool_draws_is_told_beside_the_usage() -> None:
    """Of text and pictures in, and pictures out; a stream says nothing of it until its end."""
    reader, used = ResponsesUsage(DEFAULT), {"input_tokens": 2000, "output_tokens": 100}
    nothing = {"input_tokens": 0, "input_tokens_details": {"image_tokens": 0, "text_tokens": 0}, "output_tokens": 0}
    begun = reader.read({"usage": used, "tool_usage": {"image_gen": nothing, "web_search": {"num_requests": 0}}})
    assert begun and begun.server_tools == {}
    drawn = {"input_tokens": 1171, "input_tokens_details": {"image_tokens": 1000, "text_tokens": 171}}
    found = reader.read({"usage": used, "tool_usage": {"image_gen": {**drawn, "output_tokens": 6208}}})
    assert found and (found.input, found.output) == (2000, 100)
    assert found.server_tools == {
        "image_generation_input": 171,
        "image_generation_image_input": 1000,
        "image_generation_output": 6208,
    }
    odd = ResponsesUsage(DEFAULT).read({"usage": used, "tool_usage": {"image_gen": {"output_tokens": -7}}})
    assert odd and odd.server_tools == {}


@pytest.mark.parametrize("billed", [0, 3])
def test_searches_that_openai_says_it_bills_count_and_not_those_that_the_answer_shows(billed: int) -> None:
    response = {"usage": {"input_tokens": 1}, "tool_usage": {"web_search": {"num_requests": billed}}}
    found = ResponsesUsage(DEFAULT).read(response, {"web_search": 1, "file_search": 1})
    assert found
    assert found.server_tools == {"file_search": 1} | ({"web_search": billed} if billed else {})


def test_what_a_stream_begins_with_says_nothing_of_searches() -> None:
    reader = ResponsesUsage(DEFAULT)
    reader.read({"usage": None, "tool_usage": {"web_search": {"num_requests": 0}}})
    found = reader.read({"usage": {"input_tokens": 1}}, {"web_search": 1})
    assert found and found.server_tools == {"web_search": 1}


def decode(decoder: StreamDecoder, kind: str, **said: Any) -> list[Any]:
    return decoder.decode(ServerSentEvent(None, json.dumps({"type": f"response.{kind}", **said}).encode()))


def shown(decoder: StreamDecoder, tokens: int) -> dict[str, int]:
    """The calls of tools that a usage report has which comes between the items."""
    (report,) = decode(decoder, "in_progress", response={"usage": {"input_tokens": tokens}})
    assert isinstance(report, UsageReport)
    return dict(report.usage.server_tools)


def test_an_item_that_comes_again_is_counted_as_it_was_last() -> None:
    decoder = StreamDecoder()
    decode(decoder, "created", response={"id": "r1"})
    for at, kind in enumerate(("web_search_call", "web_search_call", "file_search_call")):
        for _ in range(2):
            decode(decoder, "output_item.done", output_index=at, item={"type": kind})
    assert shown(decoder, 1) == {"web_search": 2, "file_search": 1}
    decode(decoder, "output_item.done", output_index=1, item={"type": "web_search_call", "status": "failed"})
    assert shown(decoder, 2) == {"web_search": 1, "file_search": 1}
    decode(decoder, "created", response={"id": "r2"})
    for at in range(5):
        decode(decoder, "output_item.done", output_index=at, item={"type": "web_search_call"})
    assert shown(decoder, 3)["web_search"] == 5


def test_pictures_that_were_drawn_and_code_that_ran_are_calls_too() -> None:
    """Of a picture that is there some servers say to the end that it is being drawn."""
    decoder = StreamDecoder()
    decode(decoder, "created", response={"id": "r1"})
    drawn = {"type": "image_generation_call", "status": "generating", "result": "aGVsbG8="}
    items = [drawn, {**drawn, "result": None}, {"type": "code_interpreter_call", "status": "completed"}]
    for at, item in enumerate(items):
        decode(decoder, "output_item.done", output_index=at, item=item)
    assert shown(decoder, 1) == {"image_generation": 1, "code_interpreter": 1}


def test_a_usage_report_costs_the_same_behind_many_items_as_behind_few() -> None:
    def calls(items: int) -> int:
        decoder, seen = StreamDecoder(), Counter[str]()

        def count(_: FrameType, event: str, __: object) -> None:
            seen[event] += 1

        for at in range(items):
            decode(decoder, "output_item.done", output_index=at, item={"type": "web_search_call"})
        sys.setprofile(count)
        try:
            shown(decoder, 1)
        finally:
            sys.setprofile(None)
        return seen.total()

    calls(1)  # what happens at the first call alone
    assert calls(1000) == calls(10)
