"""The official SDKs pointed at a gateway, and every way in which they can be asked for one answer.

No client retries: what it sends is what the gateway records.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import Any, NamedTuple

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

_PATIENCE = 60.0
"""Seconds: nothing here takes long, and a hang should say where."""


class Seen(NamedTuple):
    """What a client learned of an answer. Tokens as the canon counts them: `input` has the cached ones in it."""

    text: str
    input: int
    cached: int
    output: int


class Clients:
    """The clients of one gateway, each made when it is first asked for: making one takes longer than asking it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._common: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": _PATIENCE}

    @cached_property
    def openai(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self._url}/v1", **self._common)

    @cached_property
    def anthropic(self) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=self._url, **self._common)

    @cached_property
    def openai_sync(self) -> OpenAI:
        return OpenAI(base_url=f"{self._url}/v1", **self._common)

    @cached_property
    def anthropic_sync(self) -> Anthropic:
        return Anthropic(base_url=self._url, **self._common)

    async def close(self) -> None:
        for made in vars(self).values():
            if isinstance(made, AsyncOpenAI | AsyncAnthropic):
                await made.close()
            elif isinstance(made, OpenAI | Anthropic):
                made.close()


@contextlib.asynccontextmanager
async def clients(url: str, key: str) -> AsyncIterator[Clients]:
    made = Clients(url, key)
    try:
        yield made
    finally:
        await made.close()


# The question, without stream and model. Even a very small model knows how to end the answer, as long as it takes its
# likeliest words: the SDKs of OpenAI take an answer that was cut for an error.

QUESTION = "What is the capital of Italy?"
_LIKELIEST = {"temperature": 0}
CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": QUESTION}],
    "max_completion_tokens": 40,
    **_LIKELIEST,
}
RESPONSES: dict[str, Any] = {"input": QUESTION, "max_output_tokens": 40, **_LIKELIEST}
MESSAGES: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 40}
WITH_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


# What a client saw, from the SDKs' values.


def of_chat(text: str | None, usage: Any) -> Seen:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details else 0
    return Seen(text or "", usage.prompt_tokens, cached or 0, usage.completion_tokens)


def of_response(response: Any) -> Seen:
    usage = response.usage
    return Seen(response.output_text, usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens)


def of_message(message: Any) -> Seen:
    return _of_blocks("".join(block.text for block in message.content if block.type == "text"), message.usage)


def _of_blocks(text: str, usage: Any) -> Seen:
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Seen(text, usage.input_tokens + read + written, read, usage.output_tokens)


# The ways of asking, each from a client and a model's name to what was seen.


async def _chat(on: Clients, model: str) -> Seen:
    answer = await on.openai.chat.completions.create(model=model, **CHAT)
    return of_chat(answer.choices[0].message.content, answer.usage)


async def _chat_stream(on: Clients, model: str) -> Seen:
    text, usage = "", None
    async for chunk in await on.openai.chat.completions.create(model=model, **CHAT, **WITH_USAGE):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    return of_chat(text, usage)


async def _chat_helper(on: Clients, model: str) -> Seen:
    asked = on.openai.chat.completions.stream(model=model, stream_options={"include_usage": True}, **CHAT)
    async with asked as stream:
        answer = await stream.get_final_completion()
    return of_chat(answer.choices[0].message.content, answer.usage)


def _chat_sync(on: Clients, model: str) -> Seen:
    answer = on.openai_sync.chat.completions.create(model=model, **CHAT)
    return of_chat(answer.choices[0].message.content, answer.usage)


def _chat_sync_stream(on: Clients, model: str) -> Seen:
    text, usage = "", None
    for chunk in on.openai_sync.chat.completions.create(model=model, **CHAT, **WITH_USAGE):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    return of_chat(text, usage)


async def _responses(on: Clients, model: str) -> Seen:
    return of_response(await on.openai.responses.create(model=model, **RESPONSES))


async def _responses_stream(on: Clients, model: str) -> Seen:
    text, last = "", None
    async for event in await on.openai.responses.create(model=model, stream=True, **RESPONSES):
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    assert last is not None
    assert last.type in ("response.completed", "response.incomplete")
    return of_response(last.response)._replace(text=text)


async def _responses_helper(on: Clients, model: str) -> Seen:
    async with on.openai.responses.stream(model=model, **RESPONSES) as stream:
        return of_response(await stream.get_final_response())


def _responses_sync(on: Clients, model: str) -> Seen:
    return of_response(on.openai_sync.responses.create(model=model, **RESPONSES))


def _responses_sync_helper(on: Clients, model: str) -> Seen:
    with on.openai_sync.responses.stream(model=model, **RESPONSES) as stream:
        return of_response(stream.get_final_response())


async def _messages(on: Clients, model: str) -> Seen:
    return of_message(await on.anthropic.messages.create(model=model, **MESSAGES))


async def _messages_stream(on: Clients, model: str) -> Seen:
    """Usage as the API's documentation has it: the start's, replaced by what the last delta says."""
    text, usage = "", None
    async for event in await on.anthropic.messages.create(model=model, stream=True, **MESSAGES):
        if event.type == "message_start":
            usage = event.message.usage
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
        elif event.type == "message_delta" and usage is not None:
            usage = usage.model_copy(update=event.usage.model_dump(exclude_none=True))
    return _of_blocks(text, usage)


async def _messages_helper(on: Clients, model: str) -> Seen:
    async with on.anthropic.messages.stream(model=model, **MESSAGES) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        seen = of_message(await stream.get_final_message())
    assert seen.text == text
    return seen


def _messages_sync(on: Clients, model: str) -> Seen:
    return of_message(on.anthropic_sync.messages.create(model=model, **MESSAGES))


def _messages_sync_helper(on: Clients, model: str) -> Seen:
    with on.anthropic_sync.messages.stream(model=model, **MESSAGES) as stream:
        return of_message(stream.get_final_message())


Way = Callable[[Clients, str], Awaitable[Seen]]


def _threaded(way: Callable[[Clients, str], Seen]) -> Way:
    """A client that blocks must not block the gateway, which lives in the same loop."""
    return lambda on, model: asyncio.to_thread(way, on, model)


WAYS: dict[str, Way] = {
    "chat": _chat,
    "chat-stream": _chat_stream,
    "chat-helper": _chat_helper,
    "chat-sync": _threaded(_chat_sync),
    "chat-sync-stream": _threaded(_chat_sync_stream),
    "responses": _responses,
    "responses-stream": _responses_stream,
    "responses-helper": _responses_helper,
    "responses-sync": _threaded(_responses_sync),
    "responses-sync-helper": _threaded(_responses_sync_helper),
    "messages": _messages,
    "messages-stream": _messages_stream,
    "messages-helper": _messages_helper,
    "messages-sync": _threaded(_messages_sync),
    "messages-sync-helper": _threaded(_messages_sync_helper),
}
STREAMED = ("stream", "helper")


def recorded(record: dict[str, Any]) -> tuple[int, int, int]:
    """A record's tokens in the order of `Seen`."""
    written = sum(record[f"cache_write_{kind}_tokens"] for kind in ("5m", "1h", "other"))
    read = record["cache_read_tokens"]
    return record["input_uncached_tokens"] + read + written, read, record["output_tokens"]
