"""Clients of one API before an upstream that speaks only another: conversations as each SDK leads them, and what the
upstream heard of them, read from its own dialect by nothing of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from openai import ContentFilterFinishReasonError, LengthFinishReasonError

from gateway import Running, running
from support_sdks import Clients, clients
from support_vendors import faults
from trivium.canon.api import Api
from trivium.mock import Match, Reply, Rule

APIS = ("chat", "responses", "messages")
DIRECTIONS = [(client, upstream) for client in APIS for upstream in APIS]
ACROSS = [(client, upstream) for client, upstream in DIRECTIONS if client != upstream]
OTHERS = {upstream: [client for client in APIS if client != upstream] for upstream in APIS}
"""By the upstream's API, the clients that need a translation."""
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
ANTHROPIC = 'type = "anthropic"\nkey = "sk-house"\napis = ["messages"]'
"""Anthropic's own row of the provider table: what a model takes follows from its name."""

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@contextlib.asynccontextmanager
async def before(
    upstream: str, *rules: Rule | Reply, provider: str = "", judged: bool = True, **options: Any
) -> AsyncIterator[tuple[Running, Clients]]:
    """A gateway before an upstream of one API, and its clients. `judged`: when all is over, no vendor would have found
    a fault in what the upstream was sent."""
    table = provider or f'apis = ["{upstream}"]'
    async with running(*rules, provider=table, **options) as house, clients(house.url, house.key) as on:
        yield house, on
        if judged:
            found = faults_of(house, upstream)
            assert found == [], found


def faults_of(house: Running, upstream: str) -> list[str]:
    """What the vendor would have refused of all that it was asked."""
    asked = [request.json for request in house.upstream.requests if not request.path.endswith("_tokens")]
    return [fault for body in asked for fault in faults(Api.parse(upstream), _judged(body))]


def _judged(body: dict[str, Any]) -> dict[str, Any]:
    """Without what OpenAI itself never says in Chat: an upstream that does is sent its own words."""
    if "messages" not in body:
        return body
    messages = [{key: said[key] for key in said if not key.startswith("reasoning_")} for said in body["messages"]]
    return {**body, "messages": messages}


# Conversations.


class Told(NamedTuple):
    """What an SDK's helper class made of an answer."""

    reasoning: str
    text: str
    calls: dict[str, tuple[str, Any]]
    """By id: the tool's name and its arguments."""
    finish: str


def by_model(replies: dict[str, Reply]) -> list[Rule]:
    """Which of the replies one gets is a question of the model's name."""
    return [Rule(reply, Match(model=name)) for name, reply in replies.items()]


class Talk:
    """One conversation, streamed through the SDK's helper class; answers are sent back as the SDK's own values."""

    def __init__(self, on: Clients, *, tools: Iterable[str] = (), **options: Any) -> None:
        self.on = on
        self.said: list[Any] = [{"role": "user", "content": "Weather?"}]
        self.events: list[str] = []
        self.final: Any = None
        self.options: dict[str, Any] = {"model": "m", **options}
        if tools:
            self.options["tools"] = [self.tool(name) for name in tools]

    @staticmethod
    def tool(name: str) -> dict[str, Any]:
        raise NotImplementedError

    async def ask(self) -> Told:
        raise NotImplementedError

    def hand_in(self, results: dict[str, str], *, failed: Iterable[str] = ()) -> None:
        """Results of tools by the calls' ids; those of the failed ones are errors, where the API knows errors."""
        raise NotImplementedError

    def add(self, content: Any, role: str = "user") -> None:
        self.said.append({"role": role, "content": content})

    def steps(self) -> list[str]:
        """The types of the last answer's events, repetitions left out."""
        return [kind for kind, _ in groupby(self.events)]


class ChatTalk(Talk):
    @staticmethod
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "parameters": SCHEMA}}

    async def ask(self) -> Told:
        async with self.on.openai.chat.completions.stream(messages=self.said, **self.options) as stream:
            self.events = [event.type async for event in stream if event.type != "chunk"]
            try:
                self.final = await stream.get_final_completion()
            except (LengthFinishReasonError, ContentFilterFinishReasonError) as error:
                self.final = error.completion
        message, finish = self.final.choices[0].message, self.final.choices[0].finish_reason
        self.said.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        calls = {
            call.id: (call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []
        }
        reasoning = getattr(message, "reasoning_content", None) or ""
        return Told(reasoning, message.content or message.refusal or "", calls, finish)

    def hand_in(self, results: dict[str, str], *, failed: Iterable[str] = ()) -> None:
        for id, content in results.items():
            self.said.append({"role": "tool", "tool_call_id": id, "content": content})


class ResponsesTalk(Talk):
    @staticmethod
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "name": name, "parameters": SCHEMA, "strict": False}

    async def ask(self) -> Told:
        async with self.on.openai.responses.stream(input=self.said, **self.options) as stream:
            events: list[Any] = [event async for event in stream]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        self.events, self.final = [event.type for event in events], events[-1].response
        output = self.final.output
        self.said += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in output]
        thoughts = [part.text for item in output if item.type == "reasoning" for part in item.summary]
        calls = {item.call_id: (item.name, json.loads(item.arguments)) for item in output if item.type.endswith("call")}
        refusals = [part.refusal for item in output for part in _content(item) if part.type == "refusal"]
        details = self.final.incomplete_details
        finish = details.reason if details else self.final.status
        return Told("\n\n".join(thoughts), self.final.output_text or "".join(refusals), calls, finish)

    def hand_in(self, results: dict[str, str], *, failed: Iterable[str] = ()) -> None:
        for id, output in results.items():
            self.said.append({"type": "function_call_output", "call_id": id, "output": output})


def _content(item: Any) -> list[Any]:
    return list(item.content) if item.type == "message" else []


class MessagesTalk(Talk):
    @staticmethod
    def tool(name: str) -> dict[str, Any]:
        return {"name": name, "input_schema": SCHEMA}

    async def ask(self) -> Told:
        options = {"max_tokens": 4000, **self.options}
        async with self.on.anthropic.messages.stream(messages=self.said, **options) as stream:
            events: list[Any] = [event async for event in stream]
            self.final = await stream.get_final_message()
        blocks = self.final.content
        begun = [event.index for event in events if event.type == "content_block_start"]
        assert begun == list(range(len(blocks)))
        self.events = [event.type for event in events if event.type != "content_block_delta"]
        self.said.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in blocks]})
        return Told(
            "".join(block.thinking for block in blocks if block.type == "thinking"),
            "".join(block.text for block in blocks if block.type == "text"),
            {block.id: (block.name, block.input) for block in blocks if block.type == "tool_use"},
            self.final.stop_reason,
        )

    def hand_in(self, results: dict[str, str], *, failed: Iterable[str] = ()) -> None:
        self.add(
            [
                {"type": "tool_result", "tool_use_id": id, "content": content, "is_error": id in failed}
                for id, content in results.items()
            ]
        )


TALKS: dict[str, type[Talk]] = {"chat": ChatTalk, "responses": ResponsesTalk, "messages": MessagesTalk}


# What an upstream heard: one tuple for each thing said, in order.

Heard = tuple[str, ...]


def heard(house: Running, upstream: str, number: int = -1) -> list[Heard]:
    """The conversation in one of the requests, the last as a rule."""
    asked = [request for request in house.upstream.requests if not request.path.endswith("_tokens")]
    return list(_HEARD[upstream](asked[number].json))


def _of_chat(body: dict[str, Any]) -> Iterator[Heard]:
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            yield "result", message["tool_call_id"], _text(message["content"])
            continue
        if "reasoning_content" in message:
            yield "thought", message["reasoning_content"], ""
        for detail in message.get("reasoning_details", []):
            yield "thought", detail.get("text", ""), detail.get("signature") or detail["data"]
        yield from _of_parts(_SPEAKERS[role], message.get("content"))
        for call in message.get("tool_calls", []):
            yield "call", call["id"], call["function"]["name"], call["function"]["arguments"]


def _of_responses(body: dict[str, Any]) -> Iterator[Heard]:
    if "instructions" in body:
        yield "system", body["instructions"]
    for item in body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]:
        kind = item.get("type", "message")
        if kind == "message":
            yield from _of_parts(_SPEAKERS[item["role"]], item["content"])
        elif kind == "reasoning":
            pieces = [*item["summary"], *item.get("content", [])]
            yield "thought", "".join(part["text"] for part in pieces), item.get("encrypted_content", "")
        elif kind in ("function_call", "custom_tool_call"):
            yield "call", item["call_id"], item["name"], item["arguments" if kind == "function_call" else "input"]
        else:
            yield "result", item["call_id"], _text(item["output"])


def _of_messages(body: dict[str, Any]) -> Iterator[Heard]:
    yield from _of_parts("system", body.get("system"))
    for message in body["messages"]:
        content = message["content"]
        for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            kind = block["type"]
            if kind in ("thinking", "redacted_thinking"):
                yield "thought", block.get("thinking", ""), block.get("signature") or block["data"]
            elif kind == "tool_use":
                yield "call", block["id"], block["name"], json.dumps(block["input"], ensure_ascii=False)
            elif kind == "tool_result":
                said = _text(block.get("content", ""))
                yield "result", block["tool_use_id"], *(("error", said) if block.get("is_error") else (said,))
            else:
                yield from _of_parts(_SPEAKERS[message["role"]], [block])


_SPEAKERS = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_HEARD = {"chat": _of_chat, "responses": _of_responses, "messages": _of_messages}


def _of_parts(speaker: str, content: Any) -> Iterator[Heard]:
    if isinstance(content, str):
        yield speaker, content
        return
    for part in content or []:
        yield speaker, part["text"] if "text" in part else part["type"]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] if "text" in part else f"[{part['type']}]" for part in content)
