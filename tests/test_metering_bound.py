"""What holds are sized by: no request exceeds it that a real tokenizer counts, and it is not wasteful."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.size import Size
from trivium.canon.usage import Usage
from trivium.metering import bound
from trivium.metering.bound import delivered_tokens, most_input, most_output, most_usage, usual_input, worst_usages
from trivium.metering.cost import cost
from trivium.metering.prices import TOKEN_RATES, Limits, LongContext, Price, Quote, Rates, TierPrice
from trivium.operations.wire import read_capture
from trivium.upstream.local_model import SERVER
from trivium.wire.request import parse
from trivium.wire.size import measure

ROOT = Path(__file__).resolve().parents[1]
RECORDINGS = ROOT.parent / "shared" / "wire" / "recordings"
CONTEXT = 200_000


def sized(**more: Any) -> Size:
    return Size(**{"text_bytes": 360, "text_tokens_most": 200, **more})


class TestInput:
    def test_the_best_guess_goes_by_bytes_and_media(self) -> None:
        assert usual_input(sized()) == 100
        assert usual_input(sized(media_tokens=50)) == 150
        assert usual_input(sized(sealed_bytes=180)) == 50
        assert usual_input(sized(text_bytes=0)) == 1

    def test_the_bound_has_room_for_what_vendors_add(self) -> None:
        assert most_input(sized()) == 200 + bound.PREAMBLE
        assert most_input(sized(media_tokens_most=5000, vendor_tools=2)) == (
            200 + 5000 + bound.PREAMBLE + 2 * bound.VENDOR_TOOL
        )

    def test_no_input_is_longer_than_the_context(self) -> None:
        assert most_input(sized(text_tokens_most=10**7), CONTEXT) == CONTEXT

    def test_each_call_of_a_hosted_tool_reads_all_once_more_with_what_was_found(self) -> None:
        own = most_input(sized())
        assert most_input(sized(server_tools={"web_search": 2})) == 3 * own + (1 + 2) * bound.TOOL_RESULT
        assert most_input(sized(server_tools={"web_search": 9}), 20_000) <= 10 * 20_000
        assert most_input(sized(server_tools={"a": 10**12}), 20_000) <= 101 * 20_000

    def test_a_long_conversation_that_is_summed_up_is_read_once_more(self) -> None:
        assert most_input(sized(compacts=True)) == most_input(sized())
        long = {"text_tokens_most": bound.LEAST_COMPACTED}
        assert most_input(sized(compacts=True, **long)) == 2 * most_input(sized(**long))
        assert most_input(sized(compacts=True, text_tokens_most=10**7), CONTEXT) == 2 * CONTEXT
        grown = {"server_tools": {"web_search": 5}}
        last = 200 + bound.PREAMBLE + 5 * bound.TOOL_RESULT
        assert most_input(sized(compacts=True, **grown)) == most_input(sized(**grown)) + last

    @given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 20), st.none() | st.integers(1, 10**6))
    def test_more_is_never_less(self, text: int, media: int, calls: int, context: int | None) -> None:
        less = sized(text_tokens_most=text, media_tokens_most=media, server_tools={"a": calls})
        more = sized(text_tokens_most=text + 1, media_tokens_most=media + 1, server_tools={"a": calls + 1})
        assert 0 < most_input(less, context) <= most_input(more, context)
        assert most_input(less, context) <= (context or 10**9) * (calls + 1)


class TestOutput:
    @pytest.mark.parametrize(
        ("asked", "limit", "most"),
        [
            (None, 8_000, 8_000),
            (100, 8_000, 100),
            (10**9, 8_000, 8_000),
            (0, 8_000, 0),
            (None, 10**9, CONTEXT),
            (None, None, bound.DEFAULT_OUTPUT),
            (100, None, 100),
            (50_000, None, 50_000),
            (10**9, None, bound.LARGEST_OUTPUT),
        ],
    )
    def test_what_was_asked_for_as_far_as_the_model_can(self, asked: int | None, limit: int | None, most: int) -> None:
        assert most_output(asked, CONTEXT, limit) == most

    def test_delivered_content_is_some_tokens_and_nothing_is_none(self) -> None:
        assert [delivered_tokens(size) for size in (0, 1, 3, 4, 36, 37)] == [0, 1, 1, 2, 10, 11]


PLAIN = TierPrice(rates=Rates(input=3, output=15))
LIMITS = Limits(CONTEXT, 8_000)


class TestUsage:
    def test_a_summary_is_an_answer_of_its_own(self) -> None:
        long = sized(compacts=True, text_tokens_most=60_000)
        assert most_usage(long, 100, Limits(output=8_000), TierPrice(rates=Rates())).output == 100 + 8_000
        assert most_usage(long, 100, Limits(), TierPrice(rates=Rates())).output == 100 + bound.DEFAULT_OUTPUT

    def test_a_plain_request(self) -> None:
        usage = most_usage(sized(), 50, LIMITS, PLAIN)
        assert (usage.input_uncached, usage.input, usage.output) == (1100, 1100, 50)
        assert not usage.server_tools

    def test_each_answer_has_its_output(self) -> None:
        assert most_usage(sized(answers=4), 50, LIMITS, PLAIN).output == 200

    @pytest.mark.parametrize(
        ("write", "marked", "bucket"),
        [
            ({}, {}, "input_uncached"),
            ({"cache_write_5m": 4}, {}, "cache_write_5m"),  # vendors write unasked
            ({"cache_write_5m": 1}, {}, "input_uncached"),  # Gemini's writes cost less
            ({"cache_write_5m": 4, "cache_write_1h": 6}, {"cache_1h": True}, "cache_write_1h"),
            ({"cache_write_5m": 4, "cache_write_1h": 6}, {}, "cache_write_5m"),
        ],
    )
    def test_input_is_priced_as_what_costs_the_most(
        self, write: dict[str, Any], marked: dict[str, bool], bucket: str
    ) -> None:
        price = TierPrice(rates=Rates(input=3, output=15, **write))
        usage = most_usage(sized(**marked), 50, LIMITS, price)
        assert (getattr(usage, bucket), usage.input) == (1100, 1100)

    def test_media_and_reasoning_are_priced_apart_where_that_is_dearer(self) -> None:
        size = sized(media_tokens_most=30, sound_tokens_most=9, images=1)
        dear = TierPrice(rates=Rates(input=3, output=15, image_input=10, audio_input=20, reasoning=20))
        usage = most_usage(size, 50, LIMITS, dear)
        assert (usage.input, usage.image_input, usage.audio_input, usage.reasoning) == (1130, 21, 9, 50)
        cheap = TierPrice(rates=Rates(input=3, output=15, image_input=1, audio_input=2, reasoning=2))
        usage = most_usage(size, 50, LIMITS, cheap)
        assert (usage.input, usage.image_input, usage.audio_input, usage.reasoning) == (1130, 0, 0, 0)

    def test_dear_media_are_not_priced_as_a_cheaper_write(self) -> None:
        price = TierPrice(rates=Rates(input=3, output=15, cache_write_5m=4, image_input=10))
        usage = most_usage(sized(media_tokens_most=30, images=1), 50, LIMITS, price)
        assert (usage.input_uncached, usage.image_input, usage.cache_write_5m) == (30, 30, 1100)

    def test_an_answer_in_sound_is_priced_as_sound(self) -> None:
        price = TierPrice(rates=Rates(input=3, output=15, audio_output=60, reasoning=20))
        assert most_usage(sized(speaks=True), 50, LIMITS, price).audio_output == 50
        assert most_usage(sized(), 50, LIMITS, price).audio_output == 0

    def test_calls_and_tier_are_told(self) -> None:
        size = sized(server_tools={"web_search": 3, "mcp": 0}, service_tier="priority")
        usage = most_usage(size, 50, LIMITS, PLAIN)
        assert (usage.server_tools, usage.service_tier) == ({"web_search": 3}, "priority")

    def test_who_draws_is_shown_what_the_conversation_has_and_what_was_drawn(self) -> None:
        size = sized(server_tools={"image_generation": 3}, drawn=48_000, images=2)
        assert most_usage(size, 50, LIMITS, PLAIN).server_tools == {
            "image_generation": 3,
            "image_generation_input": 3 * bound.DRAWING_PROMPT,
            "image_generation_image_input": (2 + 3 + 4) * bound.PICTURE_READ,
            "image_generation_output": 48_000,
        }
        many = sized(server_tools={"image_generation": 1}, drawn=500, images=90)
        assert most_usage(many, 50, LIMITS, PLAIN).server_tools["image_generation_image_input"] == 16 * 6_500

    @given(
        rates=st.builds(
            Rates,
            **{
                name: st.integers(0, 100) if name in ("input", "output") else st.none() | st.integers(0, 100)
                for name in TOKEN_RATES
            },
        ),
        written=st.integers(0, 1100),
        heard=st.integers(0, 9),
        seen=st.integers(0, 21),
        thought=st.integers(0, 50),
    )
    def test_no_usage_within_the_bounds_costs_more(
        self, rates: Rates, written: int, heard: int, seen: int, thought: int
    ) -> None:
        price = Price(rates=rates)
        quote = Quote(price=price, version="", source="", provider="up", model="m")
        size = sized(media_tokens_most=30, sound_tokens_most=9, images=1)
        usage = Usage(
            input_uncached=1130 - written,
            cache_write_5m=written,
            audio_input=heard,
            image_input=seen,
            output=50,
            reasoning=thought,
        )
        assert cost(usage, quote).exact <= cost(most_usage(size, 50, LIMITS, price), quote).exact

    @given(
        base=st.builds(Rates, input=st.integers(0, 100), audio_input=st.none() | st.integers(0, 100)),
        steps=st.lists(
            st.tuples(st.integers(1, 1200), st.integers(0, 100)), max_size=3, unique_by=lambda step: step[0]
        ),
        input=st.integers(0, 1130),
        heard=st.integers(0, 9),
    )
    def test_nor_does_a_shorter_one_where_a_longer_one_is_the_cheaper(
        self, base: Rates, steps: list[tuple[int, int]], input: int, heard: int
    ) -> None:
        price = Price(
            rates=base,
            long_context=tuple(
                LongContext(over=over, rates=msgspec.structs.replace(base, input=rate)) for over, rate in sorted(steps)
            ),
        )
        quote = Quote(price=price, version="", source="", provider="up", model="m")
        usage = Usage(input_uncached=input, audio_input=min(heard, input), output=50)
        worst = worst_usages(sized(media_tokens_most=30, sound_tokens_most=9), 50, LIMITS, price)
        assert cost(usage, quote).exact <= max(cost(one, quote).exact for one in worst)


def program() -> ModuleType:
    """`bench/trust/bound.py`."""
    spec = importlib.util.spec_from_file_location("trust_bound", ROOT / "bench" / "trust" / "bound.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec(SERVER) is None, reason="the embedded model is not installed")
def test_the_embedded_models_tokenizer_stays_within_the_bound() -> None:
    trust = program()
    ratios = []
    with trust.counter() as count:
        for number in range(150):
            asked = trust.request(2, number)
            actual = count(asked.counted)
            size = measure(parse(asked.api, asked.body))
            assert actual <= most_input(size), (number, asked.kind)
            # Without the room for vendors' own words: what the letters alone may come to.
            ratios.append(size.text_tokens_most / actual)
    assert median(ratios) < 3


APIS = {"chat": Api.CHAT, "responses": Api.RESPONSES, "messages": Api.MESSAGES, "count_tokens": Api.MESSAGES}
SHORTENED = "very very long system prompt"
"""Stands in recordings where there was one."""


def counted(folder: Path, api: Api) -> int:
    body = next(path for path in folder.iterdir() if path.stem == "response").read_bytes()
    if folder.parts[-3] == "count_tokens":
        return int(json.loads(body).get("input_tokens", 0))
    usage = read_capture(body, api, folder.parts[-2]).usage
    return usage.input if usage else 0


COUNTED = [
    (APIS[place], request)
    for place in APIS
    for request in sorted((RECORDINGS / place).glob("*/*/request.json"))
    if SHORTENED not in request.read_text()
]


@pytest.mark.skipif(not COUNTED, reason="no recordings at ../shared/wire")
def test_what_vendors_counted_stays_within_the_bound() -> None:
    exceeded = []
    for api, request in COUNTED:
        body = {"model": "m", **json.loads(request.read_bytes())}
        size = measure(parse(api, json.dumps(body, ensure_ascii=False).encode()))
        if counted(request.parent, api) > most_input(size):
            exceeded.append(request.parent.name)
    assert exceeded == []
