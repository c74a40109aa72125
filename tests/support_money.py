"""Money in tests: customers with credits, and answers of an upstream that tell their usage and cost as vendors do.

Every test that uses `shop` ends with the auditor, who must find nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import msgspec

from gateway import ALL_APIS, CHAT, MESSAGES, RESPONSES, Running, running
from support_desk import check_told
from trivium.mock import Reply

PRICES = 'price = { input = "3", output = "15", cache_read = "0.3", cache_write_5m = "3.75", cache_write_1h = "6" }'
INPUT, OUTPUT = 3_000, 15_000
"""Nanodollars a token."""
METER = f'[models."up/*"]\n{PRICES}\noutput_limit = 1000\n'
CREDITS = f'{METER}[billing]\nmode = "credits"\nbuy_credits_url = "https://pay.example/credits"\n'
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
BODIES: dict[str, dict[str, Any]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
APIS = list(PATHS)
LIMITS = {"chat": "max_tokens", "responses": "max_output_tokens", "messages": "max_tokens"}
"""Where a request says how long its answer may be."""
VERCEL = f'type = "vercel"\nkey = "sk-vercel"\n{ALL_APIS}'
OPENROUTER = f'type = "openrouter"\nkey = "sk-openrouter"\n{ALL_APIS}'
NAMES = {
    "chat": ("prompt_tokens", "completion_tokens"),
    "responses": ("input_tokens", "output_tokens"),
    "messages": ("input_tokens", "output_tokens"),
}


def usage(api: str, input: int, output: int, **more: Any) -> dict[str, Any]:
    """A usage object in an API's words, with whatever a vendor adds to it."""
    names = NAMES[api]
    return {names[0]: input, names[1]: output, **more}


def whole(api: str, said: str, used: dict[str, Any] | None, gateway: dict[str, Any] | None = None) -> dict[str, Any]:
    """A whole answer; `gateway` is what Vercel tells beside it."""
    beside = {"provider_metadata": {"gateway": gateway}} if gateway else {}
    told = {"usage": used} if used is not None else {}
    if api == "chat":
        message = {"role": "assistant", "content": said, **beside}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "c1", "object": "chat.completion", "model": "m-1", "choices": [choice], **told}
    if api == "responses":
        return {**_response("completed", said), **told, **beside}
    block = {"type": "text", "text": said}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": [block]}
    return {**head, "stop_reason": "end_turn", **told, **beside}


def beginning(api: str, said: str = "", used: dict[str, Any] | None = None) -> str:
    """The events of a stream up to its text; Messages alone tells a usage so early."""
    if api == "chat":
        return _chunk({"role": "assistant", "content": ""}) + (_chunk({"content": said}) if said else "")
    if api == "responses":
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": _response("in_progress")}]
        if said:
            at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            part = {"type": "output_text", "text": "", "annotations": []}
            events += [
                {"type": "response.output_item.added", "output_index": 0, "item": item},
                {"type": "response.content_part.added", **at, "part": part},
                {"type": "response.output_text.delta", **at, "delta": said},
            ]
        return "".join(_event(event) for event in events)
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [],
        "stop_reason": None,
    }
    events = [{"type": "message_start", "message": {**message, "usage": used or usage("messages", 1, 1)}}]
    if said:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": said}
        events += [
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
        ]
    return "".join(_event(event) for event in events)


def ending(api: str, said: str, used: dict[str, Any] | None, gateway: dict[str, Any] | None = None) -> str:
    """The events of a stream behind its text."""
    beside = {"provider_metadata": {"gateway": gateway}} if gateway else {}
    told = {"usage": used} if used is not None else {}
    if api == "chat":
        counted = f"data: {json.dumps({'id': 'c1', 'choices': [], **told})}\n\n" if told else ""
        return _chunk(beside, finish="stop") + counted + "data: [DONE]\n\n"
    if api == "responses":
        return _event({"type": "response.completed", "response": whole(api, said, used, gateway)})
    stop = {"type": "content_block_stop", "index": 0}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, **told, **beside}
    return _event(stop) + _event(last) + _event({"type": "message_stop"})


def streamed(api: str, said: str, used: dict[str, Any] | None, gateway: dict[str, Any] | None = None) -> str:
    """A stream that tells its figures where the vendor does, at its end."""
    return beginning(api, said) + ending(api, said, used, gateway)


def _response(status: str, said: str | None = None) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "output_text", "text": said, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m-1", "status": status}
    tail = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None}
    return {**head, **tail, "output": [item] if said is not None else []}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        f"data: {json.dumps({'id': 'c1', 'object': 'chat.completion.chunk', 'model': 'm-1', 'choices': [choice]})}\n\n"
    )


def _event(said: dict[str, Any]) -> str:
    return f"event: {said['type']}\ndata: {json.dumps(said)}\n\n"


def in_every_api(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Plays the test with each API as its `api`, all at once, since gateways take their time to begin and to end."""

    async def play(api: str, *arguments: Any, **named: Any) -> None:
        try:
            await test(*arguments, **named, api=api)
        except BaseException as error:
            error.add_note(f"with api = {api!r}")
            raise

    @functools.wraps(test)
    async def played(*arguments: Any, **named: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for api in APIS:
                group.create_task(play(api, *arguments, **named))

    asked = inspect.signature(test)
    others = [parameter for name, parameter in asked.parameters.items() if name != "api"]
    played.__signature__ = asked.replace(parameters=others)  # type: ignore[attr-defined] # what pytest goes by
    return played


@contextlib.asynccontextmanager
async def shop(*rules: Any, **options: Any) -> AsyncIterator[Running]:
    """A gateway whose books are in order when the test is over."""
    async with running(*rules, **options) as house:
        yield house
        await settled(house)
        report = await operate(house, "ledger.verify")
        assert report["findings"] == 0, [check for check in report["checks"] if check["found"]]


class Customer(msgspec.Struct, frozen=True):
    """An account with credits, and a key of it."""

    house: Running
    id: str
    key: str
    key_id: str

    async def balance(self) -> tuple[str, str]:
        """What there is, and what of it is held, in USD."""
        (found,) = await operate(self.house, "accounts.list", account=self.id)
        return found["balance_usd"], found["held_usd"]

    async def entries(self) -> list[tuple[str, str]]:
        """Kinds and amounts, oldest first."""
        found = await operate(self.house, "credits.entries", account=self.id)
        return [(entry["kind"], entry["usd"]) for entry in reversed(found)]


async def operate(house: Running, operation: str, **arguments: Any) -> Any:
    """What the operation answers with; of a list its items."""
    told = await house.gateway.operations.perform(operation, arguments)
    check_told(house.gateway.operations.table[operation], told)
    return told.get("items", told) if isinstance(told, dict) else told


async def customer(house: Running, usd: str = "1", id: str = "acme", **key: str) -> Customer:
    """A new account whose key the house's calls are made with from here on."""
    await operate(house, "accounts.create", name=id, id=id)
    if usd != "0":
        await operate(house, "credits.top_up", account=id, usd=usd)
    if "user" in key:
        await operate(house, "users.create", name=key["user"], id=key["user"])
    made = await operate(house, "keys.create", name=id, account=id, **key)
    house.key = made["key"]
    return Customer(house, id, made["key"], made["id"])


async def settled(house: Running) -> list[dict[str, Any]]:
    """All records, newest first, once every generation record has been asked for."""
    await house.records()
    await house.gateway.deps.lookups.close(5)
    return await house.records()


async def settled_one(house: Running) -> dict[str, Any]:
    (record,) = await settled(house)
    return record


async def receipt(house: Running, record: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await operate(house, "receipt", request=record["id"])
    return rows


async def leave(house: Running, path: str, body: dict[str, Any], after: bytes) -> None:
    """Asks for a stream, reads until these bytes have come, and goes."""
    headers = {"authorization": f"Bearer {house.key}"}
    async with aiohttp.ClientSession(read_bufsize=1024) as session:
        response = await session.post(house.url + path, headers=headers, json={**body, "stream": True})
        seen = b""
        async with asyncio.timeout(30):
            while after not in seen:
                seen += await response.content.readany()
        response.close()


def stalling(sse: str) -> Reply:
    """A stream that falls silent behind these events."""
    return Reply(sse=sse, abort="stall", abort_after_bytes=len(sse.encode()))
