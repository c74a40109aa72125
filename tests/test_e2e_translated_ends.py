"""How translated answers end: a failure is told as one whatever comes with it, and nothing follows an end."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import APIStatusError as AnthropicError
from openai import APIError as OpenAIError

from gateway import running
from support_sdks import clients
from support_streams import USAGE as USED
from support_streams import chunk, compact, sse
from support_translated import OTHERS
from trivium.mock import Reply

FATAL = {"type": "server_error", "code": "server_error", "message": "It burns."}
RESPONSE: dict[str, Any] = {"id": "r1", "object": "response", "model": "m", "output": []}
MESSAGE: dict[str, Any] = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
USAGE = {"input_tokens": 1, "output_tokens": 1}


def named(**said: Any) -> str:
    return f"event: {said['type']}\ndata: {compact(said)}"


def begun(id: str, text: str) -> list[str]:
    return [
        named(type="message_start", message={**MESSAGE, "id": id, "usage": USAGE}),
        named(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        named(type="content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    ]


STOPPED = [named(type="message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE), named(type="message_stop")]
SAID = [
    named(type="response.created", response={**RESPONSE, "status": "in_progress"}),
    named(type="response.output_text.delta", output_index=0, content_index=0, delta="So far"),
]
FAILURES: dict[str, list[Any]] = {
    "chat": [chunk(content="So far"), chunk("error"), "data: [DONE]"],
    "chat-hidden": [
        chunk(content="So far"),
        {**chunk("stop"), "choices": [{**chunk("stop")["choices"][0], "native_finish_reason": "error"}]},
        "data: [DONE]",
    ],
    "chat-late": [chunk(content="So far"), chunk("stop"), USED, "data: [DONE]", {"error": FATAL}],
    "responses": [*SAID, named(type="response.failed", response={**RESPONSE, "status": "failed", "error": FATAL})],
    "responses-late": [
        *SAID,
        named(type="response.completed", response={**RESPONSE, "status": "completed"}),
        named(type="error", error=FATAL),
    ],
    "messages": [*begun("m1", "So far"), named(type="error", error={"type": "api_error", "message": "No"}), *STOPPED],
    "messages-late": [*begun("m1", "So far"), *STOPPED, named(type="error", error=FATAL)],
    "messages-anew": [*begun("m1", "So far"), *begun("m2", "Again"), *STOPPED],
    "responses-anew": [
        *SAID,
        named(type="response.created", response={**RESPONSE, "id": "r2", "status": "in_progress"}),
        named(type="response.completed", response={**RESPONSE, "id": "r2", "status": "completed"}),
    ],
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_that_comes_in_one_piece_with_the_end_is_told_as_a_failure(name: str) -> None:
    upstream = name.split("-", maxsplit=1)[0]
    reply = Reply(sse=sse(*FAILURES[name]).decode())
    async with running(reply, provider=f'apis = ["{upstream}"]') as house, clients(house.url, house.key) as on:
        for client in OTHERS[upstream]:
            text, failure = await heard(client, on)
            assert (client, text, isinstance(failure, OpenAIError | AnthropicError)) == (client, "So far", True)
        assert {record["outcome"] for record in await house.records()} == {"failed"}


UNENDED: dict[str, list[Any]] = {
    "chat": [chunk(content="So far"), chunk("stop"), {"error": FATAL}],
    "messages": [*begun("m1", "So far"), STOPPED[0], named(type="error", error=FATAL)],
}


@pytest.mark.parametrize("abort", ["close", "reset"])
@pytest.mark.parametrize("upstream", UNENDED)
async def test_an_error_behind_the_finish_is_told_though_the_connection_failed_before_its_blank_line(
    upstream: str, abort: Any
) -> None:
    said = sse(*UNENDED[upstream]).decode().removesuffix("\n\n")
    reply = Reply(sse=said, abort=abort, abort_after_bytes=len(said))
    async with running(reply, provider=f'apis = ["{upstream}"]') as house, clients(house.url, house.key) as on:
        for client in OTHERS[upstream]:
            text, failure = await heard(client, on)
            assert (client, text, "It burns." in str(failure)) == (client, "So far", True)
        assert {record["error_message"] for record in await house.records()} == {"It burns."}


async def heard(client: str, on: Any) -> tuple[str, Exception | None]:
    """The text up to the failure, and the failure, by the SDK's plain streams."""
    text = ""
    try:
        async for event in await _stream(client, on):
            text += _text(client, event)
    except (OpenAIError, AnthropicError) as error:
        return text, error
    return text, None


async def _stream(client: str, on: Any) -> Any:
    question = [{"role": "user", "content": "Hi"}]
    if client == "chat":
        return await on.openai.chat.completions.create(model="m", messages=question, stream=True)
    if client == "responses":
        return await on.openai.responses.create(model="m", input="Hi", stream=True)
    return await on.anthropic.messages.create(model="m", messages=question, max_tokens=9, stream=True)


def _text(client: str, event: Any) -> str:
    if client == "chat":
        return "".join(choice.delta.content or "" for choice in event.choices)
    if client == "responses":
        return str(event.delta) if event.type == "response.output_text.delta" else ""
    return str(event.delta.text) if event.type == "content_block_delta" and event.delta.type == "text_delta" else ""


async def test_what_comes_behind_the_end_reaches_nobody() -> None:
    late = sse(chunk(content="So far"), chunk("stop"), "data: [DONE]", chunk(content="AFTER"), chunk("stop"))
    async with (
        running(Reply(sse=late.decode()), provider='apis = ["chat"]') as house,
        clients(house.url, house.key) as on,
    ):
        for client in OTHERS["chat"]:
            assert await heard(client, on) == ("So far", None)


async def test_an_answer_that_would_have_to_be_kept_beyond_the_budget_ends_in_an_error() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":"'}}
    second = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "x" * 1_000_000}}
    flood = sse(chunk(tool_calls=[first]), *[chunk(tool_calls=[second])] * 8)
    settings = "[server]\nmax_in_flight_bytes = 2_000_000"
    async with (
        running(Reply(sse=flood.decode()), provider='apis = ["chat"]', settings=settings) as house,
        clients(house.url, house.key) as on,
    ):
        for client in OTHERS["chat"]:
            assert (await heard(client, on))[1] is not None
            assert (await house.records())[0]["error_code"] == "overloaded"
        assert house.gateway.deps.in_flight.bytes == 0
