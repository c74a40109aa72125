"""What the wire costs, without a network: CPU per streamed event that is translated, in each direction, per request of
60 KB that is, and per long request that passes.

    .venv/bin/python bench/wire.py [--repeat N]

An event is timed from its bytes to the bytes of the client's API: parsed, decoded, encoded. The streams are 400 pieces
of text as the APIs' owners send them, one event a chunk, and 20 a chunk as an upstream at full speed does. A coding
agent's request is read, checked and given the upstream's name of the model; it is measured besides where something is
held for it, and where its answer is a stream. Medians.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from trivium.canon.api import Api
from trivium.server.run import settle_down
from trivium.wire.body import members
from trivium.wire.destination import Destination
from trivium.wire.request import check_stateless, parse, render
from trivium.wire.size import measure
from trivium.wire.translate import Translation

PIECES = 400
TOGETHER = 20
KIB = 1024
LONG = ((60 * KIB, 0), (400 * KIB, 0), (60 * KIB, 10))
"""Bytes of an agent's requests, early on and after an hour, and screenshots among them."""
SCREENSHOT = base64.b64encode(bytes(range(256)) * 4 * 300).decode()
EVENT_GOAL = 12.0
REQUEST_GOAL = 600.0
"""Microseconds of one core (docs/performance.md)."""


def chat_stream() -> list[bytes]:
    head = {
        "id": "chatcmpl-" + "B" * 29,
        "object": "chat.completion.chunk",
        "created": 1_730_000_000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice], "usage": None}

    usage = {"prompt_tokens": 10, "completion_tokens": PIECES, "total_tokens": PIECES + 10}
    said = [
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": " token"})] * PIECES,
        chunk({}, "stop"),
        {**head, "choices": [], "usage": usage},
    ]
    return [b"data: %b\n\n" % _compact(one) for one in said] + [b"data: [DONE]\n\n"]


def messages_stream() -> list[bytes]:
    message = {"id": "msg_" + "1" * 24, "type": "message", "role": "assistant", "model": "claude", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
    delta = {"type": "text_delta", "text": " token"}
    return [
        _named("message_start", message=message),
        _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[_named("content_block_delta", index=0, delta=delta)] * PIECES,
        _named("content_block_stop", index=0),
        _named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": PIECES}),
        _named("message_stop"),
    ]


def responses_stream() -> list[bytes]:
    response = {"id": "resp_1", "object": "response", "model": "gpt", "status": "in_progress", "output": []}
    item = {"id": "msg_" + "6" * 50, "type": "message", "role": "assistant", "content": [], "status": "in_progress"}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    whole = {**part, "text": " token" * PIECES}
    done = {**item, "content": [whole], "status": "completed"}
    usage = {"input_tokens": 10, "output_tokens": PIECES, "total_tokens": PIECES + 10}
    delta = {**place, "delta": " token", "logprobs": [], "obfuscation": "abcdefgh12"}
    return [
        _named("response.created", response=response),
        _named("response.in_progress", response=response),
        _named("response.output_item.added", output_index=0, item=item),
        _named("response.content_part.added", **place, part=part),
        *[_named("response.output_text.delta", sequence_number=n, **delta) for n in range(PIECES)],
        _named("response.output_text.done", **place, text=whole["text"]),
        _named("response.content_part.done", **place, part=whole),
        _named("response.output_item.done", output_index=0, item=done),
        _named("response.completed", response={**response, "status": "completed", "output": [done], "usage": usage}),
    ]


def agents_request(size: int = 60 * KIB, screenshots: int = 0) -> bytes:
    """A coding agent's Messages request: long instructions, tools, calls with their results, the first of which are
    screenshots. `size` is without these."""
    words = "the function returns a list of names unless the file is empty so read it first, "
    parameter = {"type": "string", "description": words}
    schema = {"type": "object", "properties": {f"p{n}": parameter for n in range(6)}, "required": ["p0"]}
    tools = [{"name": f"tool_{n}", "description": words * 8, "input_schema": schema} for n in range(14)]
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": words * 4}]}]
    for n in range(size // (3 * KIB)):
        id = f"toolu_{n:024}"
        call = {"type": "tool_use", "id": id, "name": f"tool_{n % 14}", "input": {"p0": "/src/main.py", "p1": words}}
        turns.append({"role": "assistant", "content": [{"type": "text", "text": words * 2}, call]})
        turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": words * 8}]})
    system = [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]
    body = {"model": "claude", "max_tokens": 32_000, "stream": True, "system": system, "tools": tools}
    body |= {"messages": turns, "thinking": {"type": "enabled", "budget_tokens": 31_999}}
    missing = size - len(_compact(body))
    system[0]["text"] = (words * (missing // len(words) + 1))[:missing]
    source = {"type": "base64", "media_type": "image/png", "data": SCREENSHOT}
    for turn in turns[2::2][:screenshots]:
        turn["content"][0]["content"] = [{"type": "image", "source": source}]
    return _compact(body)


STREAMS: dict[Api, Callable[[], list[bytes]]] = {
    Api.CHAT: chat_stream,
    Api.RESPONSES: responses_stream,
    Api.MESSAGES: messages_stream,
}


def translation(client: Api, upstream: Api) -> Translation:
    return Translation(client, Destination(api=upstream, model="m", origin="bench"), id="req_bench", created=1)


def event_cost(upstream: Api, client: Api, together: int, repeat: int) -> float:
    """Microseconds an event."""
    events = STREAMS[upstream]()
    chunks = [b"".join(events[at : at + together]) for at in range(0, len(events), together)]

    def once() -> None:
        stream = translation(client, upstream).stream()
        for chunk in chunks:
            stream.feed(chunk)
        stream.close()

    return _timed(once, repeat) / len(events)


def request_cost(body: bytes, upstream: Api, repeat: int) -> float:
    """Microseconds from a Messages request's bytes to the upstream's."""
    return _timed(lambda: translation(Api.MESSAGES, upstream).request(members(body)), repeat)


def passing_cost(body: bytes, api: Api, repeat: int) -> tuple[float, float]:
    """Microseconds for a request that an upstream of the same API gets, and for its size."""

    def passes() -> None:
        asked = parse(api, body)
        check_stateless(asked)
        render(asked, "the-upstreams-name")

    asked = parse(api, body)
    return _timed(passes, repeat), _timed(lambda: measure(asked), repeat)


def _timed(work: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        begun = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - begun) / 1000)
    return median(times)


def _named(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _compact({"type": kind, **members}))


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=25)
    repeat = parser.parse_args().repeat
    settle_down()
    print(f"{'upstream -> client':26}{'one a chunk':>14}{f'{TOGETHER} a chunk':>14}   us of CPU an event")
    worst = 0.0
    for upstream in Api:
        for client in Api:
            if client is not upstream:
                one, many = (event_cost(upstream, client, together, repeat) for together in (1, TOGETHER))
                print(f"{f'{upstream.short} -> {client.short}':26}{one:14.2f}{many:14.2f}")
                worst = max(worst, one)
    body = agents_request()
    costs = {api: request_cost(body, api, 10 * repeat) for api in (Api.CHAT, Api.RESPONSES)}
    for api, cost in costs.items():
        print(f"messages request of {len(body) / KIB:.0f} KB -> {api.short}: {cost:.0f} us of CPU")
    print(f"{'passed on':26}{'read, checked':>14}{'measured':>14}   us of CPU a request")
    for size, screenshots in LONG:
        said = agents_request(size, screenshots)
        bodies = {Api.MESSAGES: said} | {
            api: translation(Api.MESSAGES, api).request(members(said)).body for api in (Api.CHAT, Api.RESPONSES)
        }
        for api, one in bodies.items():
            read, measured = passing_cost(one, api, 4 * repeat)
            print(f"{f'{api.short}, {len(one) / KIB:.0f} KB':26}{read:14.0f}{measured:14.0f}")
    chat = costs[Api.CHAT]
    print(f"event={worst:.1f}us (at most {EVENT_GOAL:.0f}) request={chat:.0f}us (at most {REQUEST_GOAL:.0f})")


if __name__ == "__main__":
    main()
