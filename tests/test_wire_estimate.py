"""Estimated input tokens: near what vendors count, never nothing, and not fooled by bytes that are no text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.parts import Audio, Data, Document, Image, Part, Text, ToolCall, ToolResult, Url
from trivium.canon.request import Format, Request, Role, Tool, Turn
from trivium.operations.wire import read_capture
from trivium.wire.body import members
from trivium.wire.estimate import estimate
from trivium.wire.translate import estimated

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"


def asked(*parts: Part, **more: Any) -> int:
    return estimate(Request(api=Api.CHAT, model="m", turns=(Turn(Role.USER, parts),), **more))


def test_a_text_of_english_has_about_a_token_for_four_letters() -> None:
    said = "The quick brown fox jumps over the lazy dog. " * 20
    assert len(said) / 5 < asked(Text(said)) < len(said) / 3


def test_other_scripts_have_more_tokens_for_a_letter() -> None:
    assert asked(Text("你好世界" * 50)) > 2 * asked(Text("abcd" * 50))


def test_a_run_of_blanks_is_about_one_token() -> None:
    assert asked(Text("a" + " " * 10_000 + "b")) == asked(Text("a  b"))


def test_nothing_is_still_something() -> None:
    assert estimate(Request(api=Api.CHAT, model="m", turns=())) == 1


def test_each_turn_and_tool_costs_something_of_its_own() -> None:
    turns = tuple(Turn(Role.USER, (Text("a"),)) for _ in range(10))
    assert estimate(Request(api=Api.CHAT, model="m", turns=turns)) > asked(Text("a" * 10))
    assert asked(tools=(Tool(name="f"), Tool(name="g"))) > asked(tools=(Tool(name="f"),)) > asked()


def test_all_that_the_model_reads_is_counted() -> None:
    long = "word " * 100
    bare = asked(Text("a"))
    for more in (
        asked(Text("a"), ToolCall("c", "f", json.dumps({"a": long}))),
        asked(Text("a"), ToolResult("c", (Text(long),))),
        asked(Text("a"), Document(Data("text/plain", base64.b64encode(long.encode()).decode()))),
        asked(Text("a"), tools=(Tool(name="f", description=long),)),
        asked(Text("a"), tools=(Tool(name="f", schema=json.dumps({"description": long}).encode()),)),
        asked(Text("a"), format=Format(schema=json.dumps({"description": long}).encode())),
    ):
        assert 100 < more - bare < 200


class TestMedia:
    @pytest.mark.parametrize("source", [Url("https://x/a.png"), Data("image/png", "A" * 1_000_000)])
    def test_an_image_costs_what_it_does_whatever_its_bytes(self, source: Any) -> None:
        assert 1000 < asked(Image(source)) < 2000
        assert asked(ToolResult("c", (Image(source),))) > 1000

    def test_a_document_has_a_page_at_least_and_a_large_one_more(self) -> None:
        page = asked(Document(Url("https://x/a.pdf")))
        assert 1500 < page == asked(Document(Data("application/pdf", "A" * 100)))
        assert asked(Document(Data("application/pdf", "A" * 1_000_000))) > 5 * page

    def test_sound_costs_by_its_length(self) -> None:
        assert asked(Audio("wav", "A" * 400_000)) > 10 * asked(Audio("wav", "A" * 4_000)) > 0


def test_no_text_is_too_odd_to_be_counted() -> None:
    assert asked(Text("\ud83d"), Document(Data("text/plain", "\u00fc")), ToolCall("c", "f", "\udcff")) > 0


HOSTED = ("web_search", "web_fetch", "advisor", "computer_", "defer_loading", "code_execution", '"n"')
MEDIA = ('"image', '"document"', '"file"', '"input_file', '"input_audio', '"conversation', '"previous_response_id": "')
REPETITIVE = "goodbye goodbye"
PLACES = [(Api.CHAT, "chat/openai"), (Api.RESPONSES, "responses/openai"), (Api.MESSAGES, "messages/anthropic"),
          (Api.MESSAGES, "count_tokens/anthropic")]  # fmt: skip
PREAMBLE = 550
"""Tokens of what Anthropic itself tells a model about tools and forms, at the most."""
THINKING = 30


def counted(folder: Path, api: Api) -> int:
    """The input tokens that the vendor counted; 0 where it told none."""
    body = next(path for path in folder.iterdir() if path.stem == "response").read_bytes()
    if "count_tokens" in folder.parts:
        return int(json.loads(body).get("input_tokens", 0))
    usage = read_capture(body, api, folder.parts[-2]).usage
    return usage.input if usage else 0


def in_words(request: Path) -> bool:
    """It holds nothing but words and tools of the client's own."""
    said = request.read_text()
    return not any(word in said for word in (*HOSTED, *MEDIA, REPETITIVE))


COUNTED = [
    pytest.param(api, request.parent, count, id=request.parent.name)
    for api, place in PLACES
    for request in sorted((RECORDINGS / place).glob("*/request.json"))
    if in_words(request) and (count := counted(request.parent, api))
]


@pytest.mark.skipif(not COUNTED, reason="no recordings at ../shared/wire")
@pytest.mark.parametrize(("api", "folder", "count"), COUNTED)
def test_an_estimate_is_within_a_factor_of_two_of_what_was_counted(api: Api, folder: Path, count: int) -> None:
    said = (folder / "request.json").read_bytes()
    known = members(said)
    guess = estimated(api, known)
    many = said.count(b'"function"') > 8  # OpenAI writes schemas in a form of its own, shorter than JSON
    assert guess <= (3 if many else 2) * count
    own = 0
    if api is Api.MESSAGES:
        own = PREAMBLE if {"tools", "output_config", "output_format"} & known.keys() else THINKING
    assert count <= 2 * guess + own
