"""Streams of all three APIs as upstreams write them, one by one and by the thousand."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from trivium.canon.api import Api

ENDS = [b"\n", b"\r\n", b"\r"]


def compact(said: Any) -> str:
    """As upstreams write it."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def sse(*said: Any, end: bytes = b"\n") -> bytes:
    """Events of JSON values; a string is an event as it stands."""
    blocks = [one if isinstance(one, str) else f"data: {compact(one)}" for one in said]
    return b"".join(block.encode().replace(b"\n", end) + end * 2 for block in blocks)


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
CHAT = (chunk(role="assistant", content=""), chunk(content="Hi"), chunk("stop"), USAGE, "data: [DONE]")


# What models say: among it all the words that the byte search looks for.
TEXTS = st.lists(
    st.sampled_from(
        ['"usage":{"x":1}', '"usage"', "[DONE]", '"error"', '"finish_reason":"stop"', '"message_stop"', '"response"',
         "data: [DONE]\n\n", "event: error\r\n\r\n", '{"error":{"message":"no"}}', '_call"', "refusal", "\\", '"',
         "\u2028", "\u0085", "é", "😀", "word ", "\n\n", "\r", "\0", "x" * 90, "delta", ".delta", '"delta"']
    ),
    min_size=1, max_size=4,
).map("".join)  # fmt: skip
COUNTS = st.integers(0, 10**6)
PINGS = st.sampled_from([[], [], [": ping"], [": OPENROUTER PROCESSING"], [":"]])


@st.composite
def chat_words(draw: st.DrawFn) -> list[Any]:
    said: list[Any] = [*draw(PINGS), chunk(role="assistant", content="")]
    for kind in draw(st.lists(st.sampled_from(["content", "reasoning", "refusal", "call", "ping"]), max_size=6)):
        if kind == "call":
            call = {"index": 0, "id": "t1", "function": {"name": "f", "arguments": draw(TEXTS)}}
            said.append(chunk(tool_calls=[call]))
        else:
            said += draw(PINGS) if kind == "ping" else [chunk(**{kind: draw(TEXTS)})]
    return said


@st.composite
def chat_streams(draw: st.DrawFn) -> list[Any]:
    said = draw(chat_words())
    usage = {"prompt_tokens": draw(COUNTS), "completion_tokens": draw(COUNTS), "total_tokens": 0}
    ending = draw(st.sampled_from(["bare", "with finish", "groq", "none", "error", "cut", "done"]))
    if ending == "error":
        return [*said, {"error": {"message": draw(TEXTS), "type": "server_error", "code": 500}}]
    if ending in ("cut", "done"):
        return [*said, "data: [DONE]"] if ending == "done" else said
    last = chunk(draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"])))
    places: dict[str, Any] = {"with finish": {"usage": usage}, "groq": {"x_groq": {"id": "g", "usage": usage}}}
    last |= places.get(ending, {})
    said.append(last)
    if draw(st.booleans()):
        said = [one if isinstance(one, str) else {"usage": None, **one} for one in said]
    return [*said, *([{**USAGE, "usage": usage}] if ending == "bare" else []), "data: [DONE]"]


@st.composite
def messages_streams(draw: st.DrawFn) -> list[Any]:
    usage = {"input_tokens": draw(COUNTS), "output_tokens": 1, "cache_read_input_tokens": draw(COUNTS)}
    said: list[Any] = [{"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": usage}}]
    for at, kind in enumerate(draw(st.lists(st.sampled_from(["text", "thinking", "tool_use"]), max_size=3))):
        block: dict[str, Any] = {"type": kind, "id": "t", "name": "f", "input": {}, kind: ""}
        said.append({"type": "content_block_start", "index": at, "content_block": block})
        key = "partial_json" if kind == "tool_use" else kind
        delta = {"type": "input_json_delta" if kind == "tool_use" else f"{kind}_delta", key: draw(TEXTS)}
        said.append({"type": "content_block_delta", "index": at, "delta": delta})
        said += [{"type": "ping"}] if draw(st.booleans()) else draw(PINGS)
        said.append({"type": "content_block_stop", "index": at})
    ending = draw(st.sampled_from(["good", "good", "error", "cut"]))
    if ending == "error":
        said.append({"type": "error", "error": {"type": "overloaded_error", "message": draw(TEXTS)}})
    elif ending == "good":
        word = draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"]))
        usage = {"output_tokens": draw(COUNTS)}
        said.append({"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}, "usage": usage})
        said.append({"type": "message_stop"})
    return [named(one) for one in said]


@st.composite
def responses_streams(draw: st.DrawFn) -> list[Any]:
    shell: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "model": "m",
        "output": [],
        "error": None,
        "usage": None,
    }
    said: list[Any] = [{"type": "response.created", "response": {**shell, "status": "in_progress"}}, *draw(PINGS)]
    for at, kind in enumerate(draw(st.lists(st.sampled_from(["text", "call", "refusal", "reasoning"]), max_size=3))):
        item = {"type": "function_call", "call_id": "t", "name": "f"} if kind == "call" else {"type": "message"}
        said.append({"type": "response.output_item.added", "output_index": at, "item": item})
        name = {"text": "output_text", "call": "function_call_arguments", "reasoning": "reasoning_text"}.get(kind, kind)
        said.append({"type": f"response.{name}.delta", "output_index": at, "content_index": 0, "delta": draw(TEXTS)})
    ending = draw(st.sampled_from(["completed", "incomplete", "failed", "error", "cut"]))
    usage = {"input_tokens": draw(COUNTS), "output_tokens": draw(COUNTS)}
    if ending == "error":
        said.append({"type": "error", "code": "server_error", "message": draw(TEXTS), "param": None})
    elif ending != "cut":
        last = {**shell, "status": ending, "usage": usage}
        if ending == "failed":
            last["error"] = {"code": "server_error", "message": draw(TEXTS)}
        if ending == "incomplete":
            last["incomplete_details"] = {"reason": "max_output_tokens"}
        said.append({"type": f"response.{ending}", "response": last})
    for number, one in enumerate(said):
        if isinstance(one, dict):
            one["sequence_number"] = number
    return [named(one) for one in said]


def named(said: Any) -> str:
    return said if isinstance(said, str) else f"event: {said['type']}\ndata: {compact(said)}"


STREAMS = st.one_of(
    st.tuples(st.just(Api.CHAT), chat_streams()),
    st.tuples(st.just(Api.MESSAGES), messages_streams()),
    st.tuples(st.just(Api.RESPONSES), responses_streams()),
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[Api, list[bytes], list[bytes]]:
    """A stream as whole events, and the same bytes in chunks."""
    api, said = draw(STREAMS)
    end = draw(st.sampled_from(ENDS))
    blocks = [sse(one, end=end) for one in said]
    rest = b"".join(blocks)
    if draw(st.booleans()):
        rest = rest.removesuffix(end)
    sizes = draw(st.sampled_from([[1], [10**6]]) | st.lists(st.integers(1, 200), min_size=1, max_size=20))
    chunks: list[bytes] = []
    while rest:
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(rest[:size])
        rest = rest[size:]
    return api, blocks, chunks
