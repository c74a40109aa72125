"""The size of requests, of each API: texts by their bytes, media by what they are, and nothing that lowers the bound
by looking like what it is not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.size import DOCUMENT, FILM, IMAGE, SOUND, Size
from trivium.wire.request import parse
from trivium.wire.size import MOST_CALLS, measure, most_tokens

C, R, M = Api.CHAT, Api.RESPONSES, Api.MESSAGES
CONVERSATION = {C: "messages", R: "input", M: "messages"}
PAYLOAD = base64.b64encode(bytes(range(256)) * 400).decode()
PNG = f"data:image/png;base64,{PAYLOAD}"
PDF = f"data:application/pdf;base64,{PAYLOAD}"


def written(api: Api, *parts: Any, **more: Any) -> bytes:
    turns = [{"role": "user", "content": list(parts)}]
    return json.dumps({"model": "m", CONVERSATION[api]: turns, **more}, separators=(",", ":")).encode()


def size(api: Api, *parts: Any, **more: Any) -> Size:
    return measure(parse(api, written(api, *parts, **more)))


def anthropic(kind: str, media_type: str = "image/png", **source: Any) -> dict[str, Any]:
    held = source or {"type": "base64", "media_type": media_type, "data": PAYLOAD}
    return {"type": kind, "source": held}


INLINE = {
    "chat image": (C, {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}, IMAGE),
    "chat image, detail first": (C, {"image_url": {"detail": "low", "url": PNG}, "type": "image_url"}, IMAGE),
    "chat image as a string": (C, {"type": "image_url", "image_url": PNG}, IMAGE),
    "chat file": (C, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}, DOCUMENT),
    "chat file, bare": (C, {"type": "file", "file": {"file_data": PAYLOAD}}, DOCUMENT),
    "chat sound": (C, {"type": "input_audio", "input_audio": {"data": PAYLOAD, "format": "wav"}}, SOUND),
    "chat film": (C, {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{PAYLOAD}"}}, FILM),
    "responses image": (R, {"type": "input_image", "image_url": PNG}, IMAGE),
    "responses file": (R, {"type": "input_file", "filename": "a.pdf", "file_data": PDF}, DOCUMENT),
    "messages image": (M, anthropic("image"), IMAGE),
    "messages document": (M, anthropic("document", "application/pdf"), DOCUMENT),
    "messages image in a result": (M, {"type": "tool_result", "content": [anthropic("image")]}, IMAGE),
    "messages image in a document": (M, anthropic("document", type="content", content=[anthropic("image")]), IMAGE),
}  # fmt: skip
LINKED = {
    "chat image": (C, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}, IMAGE),
    "chat file": (C, {"type": "file", "file": {"file_id": "file-1"}}, DOCUMENT),
    "responses image": (R, {"type": "input_image", "image_url": "https://x/a.png"}, IMAGE),
    "responses image by its id": (R, {"type": "input_image", "file_id": "file-1"}, IMAGE),
    "responses file": (R, {"type": "input_file", "file_url": "https://x/a.pdf"}, DOCUMENT),
    "messages image": (M, anthropic("image", type="url", url="https://x/a.png"), IMAGE),
    "messages document": (M, anthropic("document", type="file", file_id="file-1"), DOCUMENT),
}
each_inline = pytest.mark.parametrize(("api", "part", "medium"), INLINE.values(), ids=INLINE)


class TestMedia:
    @each_inline
    def test_base64_is_a_medium_and_no_text(self, api: Api, part: Any, medium: Any) -> None:
        found = size(api, part)
        assert found.text_bytes < 400
        assert found.media_tokens == pytest.approx(medium.tokens(len(PAYLOAD)), rel=0.01)
        assert found.media_tokens_most == pytest.approx(medium.most_tokens(len(PAYLOAD)), rel=0.01)
        assert found.sound_tokens_most == (found.media_tokens_most if medium is SOUND else 0)

    @each_inline
    def test_each_one_counts(self, api: Api, part: Any, medium: Any) -> None:
        one, three = size(api, part), size(api, part, {"type": "text", "text": "and"}, part, part)
        assert three.media_tokens_most == 3 * one.media_tokens_most
        assert three.text_bytes < 3 * one.text_bytes + 100

    @each_inline
    def test_however_json_writes_it(self, api: Api, part: Any, medium: Any) -> None:
        plain = written(api, part)
        for body in (json.dumps(json.loads(plain), indent=2).encode(), plain.replace(b"/", b"\\/")):
            found = measure(parse(api, body))
            assert found.media_tokens_most == pytest.approx(size(api, part).media_tokens_most, rel=0.1)
            assert found.text_bytes < 600

    @pytest.mark.parametrize(("api", "part", "medium"), LINKED.values(), ids=LINKED)
    def test_a_link_is_a_medium_of_an_unknown_size(self, api: Api, part: Any, medium: Any) -> None:
        found = size(api, part)
        assert (found.media_tokens, found.media_tokens_most) == (medium.linked, medium.most_linked)

    @pytest.mark.parametrize("more", [";charset=utf-8", f";name={'a' * 1000}.png", ";"])
    def test_a_uri_may_say_more_than_its_type(self, more: str) -> None:
        plain, long = (
            size(R, {"type": "input_image", "image_url": uri}) for uri in (PNG, PNG.replace(";", f"{more};"))
        )
        assert long.media_tokens_most == plain.media_tokens_most
        assert long.text_bytes == plain.text_bytes

    @pytest.mark.parametrize("more", ["x" * 1_000_000, ";" * 1_000_000, ";base64" * 150_000])
    def test_a_uri_that_never_gets_to_its_base64_is_no_more_than_a_link(self, more: str) -> None:
        found = size(C, {"type": "image_url", "image_url": {"url": f"data:{more};base64,AAAA"}})
        assert (found.media_tokens, found.media_tokens_most) == (IMAGE.linked, IMAGE.most_linked)
        assert found.text_bytes > 1_000_000

    def test_a_result_of_a_call_may_hold_media(self) -> None:
        outputs = ([{"type": "input_image", "image_url": PNG}], {"type": "computer_screenshot", "image_url": PNG})
        for output in outputs:
            turns = [{"type": "function_call_output", "call_id": "c", "output": output}]
            found = measure(parse(R, json.dumps({"model": "m", "input": turns}).encode()))
            assert found.media_tokens_most == IMAGE.most
            assert found.text_bytes < 300

    def test_an_answer_that_was_spoken_is_a_sound(self) -> None:
        turns = [{"role": "assistant", "audio": {"id": "audio_1"}}, {"role": "user", "content": "go on"}]
        found = measure(parse(C, json.dumps({"model": "m", "messages": turns}).encode()))
        assert found.media_tokens_most == found.sound_tokens_most == SOUND.most_linked


LOOKALIKES = {
    "the word": (C, {"type": "text", "text": '"type":"image_url","image_url":{"url":"data:image/png;base64,'}),
    "a text that quotes one": (C, {"type": "text", "text": json.dumps({"url": PNG})}),
    "a uri in a text": (R, {"type": "input_text", "text": PNG}),
    "the arguments of a call": (M, {"type": "tool_use", "id": "t", "name": "f", "input": anthropic("image")}),
    "a document that is a text": (M, anthropic("document", type="text", media_type="text/plain", data=PAYLOAD)),
    "a file that is a text": (C, {"type": "file", "file": {"file_data": f"data:text/csv;base64,{PAYLOAD}"}}),
    "no base64": (C, {"type": "image_url", "image_url": {"url": f"data:image/svg+xml,{PAYLOAD}"}}),
    "base64 beside a medium": (M, {**anthropic("image", type="url", url="https://x"), "title": PAYLOAD}),
    "a part of no known kind": (C, {"type": "picture", "image_url": {"url": PNG}}),
}


@pytest.mark.parametrize(("api", "part"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_what_looks_like_a_medium_is_text_to_its_last_byte(api: Api, part: Any) -> None:
    body = written(api, part)
    found = measure(parse(api, body))
    assert found.text_bytes == len(body)
    assert found.text_tokens_most == most_tokens(body)


def test_a_text_that_repeats_a_medium_stays_when_the_medium_goes() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"data": PAYLOAD}}
    assert len(PAYLOAD) < size(M, call, anthropic("image")).text_bytes < len(PAYLOAD) + 400


def test_what_only_begins_like_a_medium_is_not_taken_for_it() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"data": PAYLOAD[:200] + "7" * 2000}}
    body = written(M, call, {"type": "text", "text": "7" * 9000}, anthropic("image"))
    assert measure(parse(M, body)).text_tokens_most == most_tokens(body.replace(b'"%b"' % PAYLOAD.encode(), b""))


class TestTools:
    @pytest.mark.parametrize(
        ("api", "more", "called"),
        [
            (M, {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]}, {"web_search": 3}),
            (M, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"web_search": MOST_CALLS}),
            (M, {"tools": [{"type": "web_fetch_20250910", "max_uses": "3"}]}, {"web_fetch": MOST_CALLS}),
            (R, {"tools": [{"type": "web_search_preview"}, {"type": "file_search"}], "max_tool_calls": 2},
             {"web_search": 2, "file_search": 2}),
            (R, {"tools": [{"type": "code_interpreter", "container": {}}]}, {"code_interpreter": MOST_CALLS}),
            (C, {"web_search_options": {}}, {"web_search": 1}),
            (C, {"web_search_options": None}, {}),
            (C, {"plugins": [{"id": "web"}]}, {"web_search": 1}),
            (C, {"tools": [{"type": "openrouter:web_search", "parameters": {"max_uses": 1}}]}, {"web_search": 1}),
            (C, {"tools": [{"type": "function", "function": {"name": "web_search"}}]}, {}),
            (M, {"tools": [{"name": "web_search", "input_schema": {}}, {"type": "computer_20250124"}]}, {}),
            (M, {"tools": "web_search"}, {}),
            (M, {"tools": [7]}, {}),
        ],
    )  # fmt: skip
    def test_those_that_run_at_the_providers(self, api: Api, more: Any, called: dict[str, int]) -> None:
        assert size(api, **more).server_tools == called

    @pytest.mark.parametrize(
        ("more", "limit", "pictures", "tokens"),
        [
            ({}, {}, 4, 16_000),
            ({"quality": "auto", "size": "1024x1024"}, {}, 4, 16_000),
            ({"quality": "medium"}, {}, 4, 4_000),
            ({"quality": "low"}, {"max_tool_calls": 1}, 1, 500),
            ({"quality": ["low"]}, {"max_tool_calls": 0}, 0, 16_000),
        ],
    )
    def test_one_that_draws(self, more: Any, limit: Any, pictures: int, tokens: int) -> None:
        found = size(R, tools=[{"type": "image_generation", **more}, {"type": "web_search"}], **limit)
        assert (found.server_tools["image_generation"], found.drawn) == (pictures, pictures * tokens)

    def test_those_that_the_vendor_describes(self) -> None:
        tools = [{"type": "computer_20250124"}, {"type": "web_search_20250305"}, {"type": "custom"}, {"name": "f"}]
        assert size(M, tools=tools).vendor_tools == 2

    def test_skills_of_a_container_are_words_of_the_vendor_too(self) -> None:
        skills = [{"type": "anthropic", "skill_id": id, "version": "latest"} for id in ("xlsx", "pptx")]
        assert size(M, container={"skills": skills}).vendor_tools == 2


def test_a_prompt_that_lies_with_the_provider_is_as_long_as_a_document_elsewhere() -> None:
    more = size(R, prompt={"id": "pmpt_1"}).media_tokens_most - size(R, prompt=None).media_tokens_most
    assert more == DOCUMENT.most_linked


MARK = {"cache_control": {"type": "ephemeral"}}
LONG = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


class TestMarks:
    @pytest.mark.parametrize(
        "place",
        [
            lambda mark: {"system": [{"type": "text", "text": "a", **mark}]},
            lambda mark: {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", **mark}]}]},
            lambda mark: {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [mark]}]}]},
            lambda mark: {"messages": [], "tools": [{"name": "f", **mark}]},
            lambda mark: {"messages": [], **mark},
        ],
    )
    def test_they_are_seen_wherever_they_may_stand(self, place: Any) -> None:
        for mark, found in (({}, False), (MARK, False), (LONG, True)):
            told = measure(parse(M, json.dumps({"model": "m", **place(mark)}).encode()))
            assert told.cache_1h is found

    def test_a_text_about_one_is_none(self) -> None:
        assert not size(M, {"type": "text", "text": json.dumps(LONG)}, {"cache_control": None}).cache_1h


def test_what_else_decides_the_price() -> None:
    found = size(C, n=3, service_tier="flex", modalities=["text", "audio"])
    assert (found.answers, found.service_tier, found.speaks) == (3, "flex", True)
    assert size(M, speed="fast", service_tier="auto").service_tier == "fast"
    assert size(M, speed="fast", inference_geo="us").service_tier == "us_fast"
    assert size(M, speed="standard", inference_geo="us").service_tier == "us"
    assert size(M, inference_geo="global", service_tier="auto").service_tier == "auto"
    assert size(C, speed="fast", service_tier="auto").service_tier == "auto"
    found = size(M, n=3, service_tier=7)
    assert (found.answers, found.service_tier, found.speaks) == (1, None, False)


def test_absurd_wishes_are_cut_to_what_a_provider_would_do() -> None:
    tools = [{"type": "web_search_20250305", "max_uses": 10**15}]
    assert size(C, n=10**15).answers == 128
    assert size(M, tools=tools).server_tools == {"web_search": 100}
    assert size(M, tools=[{"type": "web_search_20250305", "max_uses": 0}]).server_tools == {"web_search": 0}


def test_sealed_reasoning_is_known_apart() -> None:
    seals = [{"type": "thinking", "thinking": "hm", "signature": "s" * 500}, {"encrypted_content": "e" * 500}]
    assert 1000 <= size(M, *seals).sealed_bytes <= 1010


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "content", "source", "image_url", "url", "data", "file", "file_data", "cache_control", "tools",
             "messages", "system", "output", "max_uses", "n", "service_tier", "modalities", "parameters", "plugins"]
        ),
        inner | st.sampled_from(["image", "image_url", "base64", "document", "file", "web_search", PNG[:60]]),
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(Api)), st.dictionaries(st.sampled_from(["messages", "input", "tools", "system"]), VALUES))
def test_nothing_is_too_odd_to_be_measured(api: Api, odd: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **odd}).encode()
    found = measure(parse(api, body))
    assert 0 < found.text_tokens_most <= found.text_bytes <= len(body)


def test_a_conversation_that_would_hold_everybody_up_is_taken_for_text() -> None:
    part = '{"type":"image_url","image_url":"https://x/a.png"},' * 101_000
    body = b'{"model":"m","messages":[{"content":[%b{}]}]}' % part.encode()
    found = measure(parse(C, body))
    assert (found.media_tokens, found.text_bytes) == (0, len(body))
    tools = b'{"model":"m","tools":[%b{}]}' % (b'{"type":"web_search"},' * 101_000)
    assert measure(parse(C, tools)).server_tools == {}


class TestMostTokens:
    def test_it_is_never_more_than_the_bytes(self) -> None:
        for text in (b"", b"7", b"7" * 100, b"7" * 100_000):
            assert most_tokens(text) <= len(text)

    def test_digits_are_dearer_than_words(self) -> None:
        assert most_tokens(b"1234 " * 50) > 1.5 * most_tokens(b"word " * 50)

    @pytest.mark.parametrize("unit", ["word ", "7", "中", "aB3/", "\\u4e2d", "0.1234,", "é", "    \\n"])
    @pytest.mark.parametrize("times", [2000, 30_000])
    def test_a_sample_of_a_long_text_stands_for_all_of_it(self, unit: str, times: int) -> None:
        whole = (unit * times).encode()
        parts = [whole[at : at + 2040] for at in range(0, len(whole), 2040)]
        exact = sum(map(most_tokens, parts))
        assert exact * 0.99 <= most_tokens(whole) <= exact * 1.1 + 1


@pytest.mark.parametrize(
    ("more", "compacts"),
    [
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, True),
        ({"context_management": {"edits": [{"type": "\\u0063ompact_20260112"}]}}, True),
        ({"compaction": {"trigger": 1}}, True),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, False),
        ({"context_management": None, "compaction": None}, False),
        ({}, False),
    ],
)
def test_a_vendor_that_may_sum_up_the_conversation_is_expected_to(more: dict[str, Any], compacts: bool) -> None:
    assert size(M, **more).compacts is compacts
    assert not size(C, **more).compacts
