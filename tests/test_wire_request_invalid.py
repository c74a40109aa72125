"""Requests that cannot be understood or said elsewhere: each is refused, and the error names the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support_requests import (
    C,
    M,
    R,
    assistant,
    call,
    chat,
    flat,
    function,
    gave,
    item,
    messages,
    read,
    refused,
    render,
    responses,
    result,
    said,
    text,
    tool,
    use,
    user,
)
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.errors import FieldInvalid, InvalidJson, Untranslatable
from trivium.wire.chat.request import parse
from trivium.wire.losses import Losses

ODD: Any = 1
JSON_SCHEMA = {"type": "json_schema"}


def picture(url: Any) -> Body:
    return {"type": "image_url", "image_url": {"url": url}}


def shown(**source: Any) -> Body:
    return user({"type": "image", "source": source})


CHAT: list[tuple[Body, str]] = [
    ({}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": 1}]}, "messages[0].role"),
    (chat({"role": "user", "content": 1}), "messages[0].content"),
    (chat(user({"type": "text"})), "messages[0].content[0].text"),
    (chat({"role": "user", "content": ["hi"]}), "messages[0].content[0]"),
    (chat(user({"type": "image_url"})), "messages[0].content[0].image_url.url"),
    (chat(user(picture("x.png"))), "messages[0].content[0].image_url.url"),
    (chat(user(picture("data:,x"))), "messages[0].content[0].image_url.url"),
    (chat(user({"type": "input_audio"})), "messages[0].content[0].input_audio.format"),
    (chat(assistant(refusal=1)), "messages[0].refusal"),
    (chat(assistant(tool_calls="f")), "messages[0].tool_calls"),
    (chat(assistant(None, {"id": "a"})), "messages[0].tool_calls[0].function"),
    (chat(assistant(None, {"function": {}})), "messages[0].tool_calls[0].function.name"),
    (chat(assistant(None, call(arguments=ODD))), "messages[0].tool_calls[0].function.arguments"),
    (chat(gave(ODD)), "messages[0].tool_call_id"),
    (chat(tools={}), "tools"),
    (chat(tools=["f"]), "tools"),
    (chat(tools=[{"type": "function"}]), "tools[0].function.name"),
    (chat(tools=[function(schema=[])]), "tools[0].function.parameters"),
    (chat(tools=[{"type": "custom", "custom": {}}]), "tools[0].custom.name"),
    (chat(tool_choice="any"), "tool_choice"),
    (chat(tool_choice={"type": "function"}), "tool_choice"),
    (chat(parallel_tool_calls="no"), "parallel_tool_calls"),
    (chat(max_tokens=-1), "max_tokens"),
    (chat(max_completion_tokens="5"), "max_completion_tokens"),
    (chat(temperature="hot"), "temperature"),
    (chat(top_p=True), "top_p"),
    (chat(stop=[1]), "stop"),
    (chat(metadata=[]), "metadata"),
    (chat(reasoning="high"), "reasoning"),
    (chat(reasoning={"max_tokens": "x"}), "reasoning.max_tokens"),
    (chat(reasoning_effort=1), "reasoning_effort"),
    (chat(response_format="json"), "response_format"),
    (chat(response_format=JSON_SCHEMA | {"json_schema": {"strict": 1}}), "response_format.json_schema.strict"),
    (chat(response_format=JSON_SCHEMA | {"json_schema": {"schema": []}}), "response_format.json_schema.schema"),
    (chat(stream="yes"), "stream"),
]
RESPONSES: list[tuple[Body, str]] = [
    ({"input": 1}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    (responses({"content": "hi"}), "input[0].role"),
    (responses(item("message", role=None, content="hi")), "input[0].role"),
    (responses({"role": "user", "content": 1}), "input[0].content"),
    (responses({"role": "user", "content": [{"type": "input_text"}]}), "input[0].content[0].text"),
    (responses(user({"type": "input_image"})), "input[0].content[0].image_url"),
    (responses(user({"type": "input_image", "image_url": "x.png"})), "input[0].content[0].image_url"),
    (responses(user({"type": "input_file"})), "input[0].content[0].file_url"),
    (responses(user({"type": "input_file", "file_data": "data:,x"})), "input[0].content[0].file_data"),
    (responses(item("function_call", call_id="a")), "input[0].name"),
    (responses(item("function_call", call_id=1, name="f")), "input[0].call_id"),
    (responses(item("function_call", call_id="a", name="f", arguments={})), "input[0].arguments"),
    (responses(item("custom_tool_call", call_id="a", name="f", input=1)), "input[0].input"),
    (responses(item("function_call_output", call_id="a", output=1)), "input[0].output"),
    (responses(item("reasoning", summary="Hm.")), "input[0].summary"),
    (responses(instructions=["Be brief."]), "instructions"),
    (responses(tools=[flat("")]), "tools[0].name"),
    (responses(tools=[flat(schema="f")]), "tools[0].parameters"),
    (responses(tools=[{"type": "namespace", "tools": [{"type": "custom"}]}]), "tools[0].tools[0].name"),
    (responses(tools=[{"type": "custom", "name": "f", "format": "lark"}]), "tools[0].format"),
    (responses(tool_choice="any"), "tool_choice"),
    (responses(max_output_tokens=1.5), "max_output_tokens"),
    (responses(reasoning={"effort": 1}), "reasoning.effort"),
    (responses(text="json"), "text"),
    (responses(text={"verbosity": 1}), "text.verbosity"),
    (responses(text={"format": {"type": 1}}), "text.format.type"),
    (responses(text={"format": JSON_SCHEMA | {"schema": 1}}), "text.format.schema"),
    (responses(metadata="x"), "metadata"),
]
MESSAGES: list[tuple[Body, str]] = [
    ({}, "messages"),
    (messages({"content": "hi"}), "messages[0].role"),
    (messages({"role": "user", "content": 1}), "messages[0].content"),
    (messages({"role": "user", "content": ["hi"]}), "messages[0].content[0]"),
    (messages(user({"type": "text"})), "messages[0].content[0].text"),
    (messages(user({"type": "image"})), "messages[0].content[0].source.type"),
    (messages(shown(type="base64", data="x")), "messages[0].content[0].source.media_type"),
    (messages(shown(type="url")), "messages[0].content[0].source.url"),
    (messages(said({"type": "thinking"})), "messages[0].content[0].thinking"),
    (messages(said({"type": "redacted_thinking"})), "messages[0].content[0].data"),
    (messages(said({"type": "tool_use", "name": "f"})), "messages[0].content[0].id"),
    (messages(said({"type": "tool_use", "id": "a"})), "messages[0].content[0].name"),
    (messages(user({"type": "tool_result"})), "messages[0].content[0].tool_use_id"),
    (messages(user(result(content=1))), "messages[0].content[0].content"),
    (messages(user({"type": "document", "source": {"type": "text"}})), "messages[0].content[0].source.data"),
    (messages(system=1), "system"),
    (messages(system=[{"type": "text"}]), "system[0].text"),
    (messages(tools=[{"input_schema": {}}]), "tools[0].name"),
    (messages(tools=[tool(schema=[])]), "tools[0].input_schema"),
    (messages(tool_choice="auto"), "tool_choice"),
    (messages(tool_choice={"type": "tool"}), "tool_choice.type"),
    (messages(max_tokens="many"), "max_tokens"),
    (messages(stop_sequences="END"), "stop_sequences"),
    (messages(stop_sequences=[1]), "stop_sequences"),
    (messages(thinking="high"), "thinking"),
    (messages(thinking={"budget_tokens": "x"}), "thinking.budget_tokens"),
    (messages(output_config="high"), "output_config"),
    (messages(output_config={"effort": 1}), "output_config.effort"),
    (messages(output_config={"format": JSON_SCHEMA | {"schema": []}}), "output_config.format.schema"),
    (messages(output_format=1), "output_format"),
    (messages(metadata="anna"), "metadata"),
    (messages(metadata={"user_id": 1}), "metadata.user_id"),
]
INVALID = [
    pytest.param(api, body, field, id=f"{api.short}-{field}")
    for api, table in ((C, CHAT), (R, RESPONSES), (M, MESSAGES))
    for body, field in table
]
FOREIGN: list[tuple[Api, Body, str]] = [
    (C, chat(n=2), "n"),
    (C, chat(user({"type": "file", "file": {"file_id": "f"}})), "messages[0].content[0]"),
    (R, responses(prompt={"id": "p"}), "prompt"),
    (R, responses(user({"type": "input_image", "file_id": "f"})), "input[0].content[0].file_id"),
    (R, responses(user({"type": "input_file", "file_id": "f"})), "input[0].content[0].file_id"),
    (R, responses({"type": "compaction", "encrypted_content": "gAAA"}, user("on")), "input[0]"),
    (R, responses(user("hi"), {"type": "compaction_trigger"}), "input[1]"),
    (M, messages(shown(type="file", file_id="f")), "messages[0].content[0].source"),
    (M, messages(user({"type": "document", "source": {"type": "file"}})), "messages[0].content[0].source"),
    (M, messages(user({"type": "container_upload", "file_id": "f"})), "messages[0].content[0]"),
]
"""Wire notes, section 10: several answers, and ids of files, do not cross; nor does what a provider has summed up."""


@pytest.mark.parametrize(("api", "body", "field"), INVALID)
def test_what_cannot_be_understood_is_named(api: Api, body: Body, field: str) -> None:
    assert refused(api, body, FieldInvalid) == field


@pytest.mark.parametrize(("api", "body", "field"), FOREIGN, ids=[f"{a.short}-{f}" for a, _, f in FOREIGN])
def test_what_lies_with_a_provider_is_refused(api: Api, body: Body, field: str) -> None:
    assert refused(api, body, Untranslatable) == field


def test_broken_json_inside_a_field_is_named() -> None:
    with pytest.raises(InvalidJson, match="`tools`") as raised:
        parse({"messages": msgspec.Raw(b"[]"), "tools": msgspec.Raw(b'[{"\xff":1}]')}, Losses())
    assert raised.value.param == "tools"


EMPTY = [
    (C, chat() | {"messages": []}, "messages"),
    (C, chat(user("")), "messages"),
    (C, chat({"role": "critic", "content": "Bad."}), "messages"),
    (M, messages() | {"messages": []}, "messages"),
    (R, {}, "input"),
    (R, {"input": []}, "input"),
    (R, {"input": None}, "input"),
]


@pytest.mark.parametrize(("api", "body", "field"), EMPTY)
def test_a_conversation_in_which_nothing_is_said_is_refused(api: Api, body: Body, field: str) -> None:
    for to in Api:
        if to is not api:
            with pytest.raises(FieldInvalid) as raised:
                render(api, to, body)
            assert raised.value.param == field


def test_blanks_are_nothing_to_messages() -> None:
    """Trap 2 of the wire notes: it refuses texts without words."""
    for body in (chat(user(" \n")), chat(user(" "), response_format={"type": "json_object"})):
        with pytest.raises(FieldInvalid) as raised:
            render(C, M, body)
        assert raised.value.param == "messages"


def test_an_unknown_role_is_a_loss_and_no_error() -> None:
    for api, body, at in (
        (C, chat(user("hi"), {"role": "critic", "content": "Bad."}), "messages[1]"),
        (R, responses(user("hi"), {"role": "critic", "content": "Bad."}), "input[1]"),
        (M, messages(user("hi"), {"role": "critic", "content": "Bad."}), "messages[1]"),
    ):
        told, lost = read(api, body)
        assert (len(told.turns), lost) == (1, [at])


SPOKEN: list[tuple[Api, Body, str]] = [
    (C, chat({"role": "system", "content": [text("a"), picture("https://a.example")]}, user("hi")), "messages[0]"),
    (C, chat(assistant(content=[text("a"), picture("https://a.example")]), user("hi")), "messages[0]"),
    (C, chat(user(text("a"), {"type": "refusal", "refusal": "No."})), "messages[0]"),
    (M, messages(user(text("a"), use())), "messages[0]"),
    (M, messages(user("hi"), said(text("a"), result())), "messages[1]"),
    (M, messages(user("hi"), said(text("a"), *shown(type="url", url="https://a.example")["content"])), "messages[1]"),
]


@pytest.mark.parametrize(("api", "body", "at"), SPOKEN)
def test_what_its_speaker_can_say_nowhere_else_is_a_loss(api: Api, body: Body, at: str) -> None:
    for to in Api:
        if to is not api:
            assert render(api, to, body).lost == [f"{at}.content[1]"]


def test_the_result_of_a_tool_holds_texts_pictures_and_files() -> None:
    sound = {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}}
    told, lost = read(C, chat(gave("a", [text("a"), sound])))
    assert (len(told.turns), lost) == (1, ["messages[0].content[1]"])
