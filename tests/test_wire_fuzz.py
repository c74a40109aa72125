"""A slice of the fuzzing that `fuzz_wire` does at length, and the hostile streams that it would only find by luck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import fuzz_wire
from fuzz_wire import Case, Found, complaints, fuzz, run
from support_seeds import Seeds
from support_streams import chunk, sse
from support_translation import translated
from trivium.canon.api import Api

SEEDS = Seeds(recorded=False)


@pytest.mark.parametrize("part", range(6))
def test_damage_is_survived(part: int) -> None:
    found = fuzz(range(part * 100, part * 100 + 100), 0, SEEDS, measured=20)
    assert complaints(found) == []
    assert sum(found.words.values()) == 100


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_case: Case, _rnd: Random) -> str:
        raise KeyError("oh")

    monkeypatch.setattr(fuzz_wire, "run", breaks)
    assert "KeyError: 'oh'" in complaints(fuzz([1], 0, SEEDS))[0]
    found = Found()
    found.keep(2, 0, fuzz_wire.SECONDS * 2, fuzz_wire.MEMORY * 3)
    assert complaints(found) == ["case 2: 200% of its time (0 bytes)", "case 2: 300% of its memory (0 bytes)"]


# Nesting: at which depth reading still goes well, and writing would not, depends on the stack.

_USE = {"type": "tool_use", "id": "t", "name": "f", "input": {"z": 0}}
_TOKENS = {"content": [{"token": "x", "z": 0}]}
_USER = {"role": "user", "content": "x"}
_TEXT = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"}
_SIGNED = {"type": "reasoning.text", "text": "x", "signature": "s", "z": 0}
_ARGUED = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"z": 0}}}
_PLACES: list[tuple[str, Api, Any]] = [
    ("stream", Api.CHAT, {"choices": [{"delta": {"content": "x"}, "logprobs": _TOKENS}]}),
    ("stream", Api.CHAT, chunk(reasoning_details=[_SIGNED])),
    ("stream", Api.CHAT, chunk(tool_calls=[_ARGUED])),
    ("stream", Api.CHAT, {"error": {"z": 0}}),
    ("stream", Api.MESSAGES, {"type": "content_block_start", "index": 0, "content_block": _USE}),
    ("stream", Api.RESPONSES, {**_TEXT, "logprobs": [{"z": 0}]}),
    ("body", Api.CHAT, {"choices": [{"message": {"content": "x"}, "logprobs": _TOKENS}]}),
    ("body", Api.CHAT, {"choices": [{"message": {"tool_calls": [_ARGUED], "reasoning_details": [_SIGNED]}}]}),
    ("body", Api.MESSAGES, {"content": [_USE]}),
    ("request", Api.CHAT, {"messages": [_USER], "metadata": {"z": 0}}),
    ("request", Api.CHAT, {"messages": [_USER, {"role": "assistant", "reasoning_details": [_SIGNED]}]}),
    ("request", Api.MESSAGES, {"messages": [_USER, {"role": "assistant", "content": [_USE]}]}),
    ("request", Api.MESSAGES, {"messages": [_USER], "tools": [{"name": "f", "input_schema": {"z": 0}}]}),
]


@pytest.mark.parametrize("place", range(len(_PLACES)))
def test_no_depth_of_nesting_escapes(place: int) -> None:
    kind, api, said = _PLACES[place]
    for depth in (90, 300, *range(900, 1000)):
        nested = '{"a":' * depth + "1" + "}" * depth
        data = json.dumps(said).replace('"z": 0', f'"z": {nested}').encode()
        run(Case(kind, api, b"data: %b\n\n" % data if kind == "stream" else data, b""), Random(0))


# Streams that are made to take time: each event is small, and each brings something that is looked at again later.

MANY = 6_000
START = {"type": "message_start", "message": {"id": "m", "model": "m"}}
Block = dict[str, Any]


def blocks(**block: Any) -> bytes:
    return sse(START, *({"type": "content_block_start", "index": at, "content_block": block} for at in range(MANY)))


def deltas(*made: Callable[[int], dict[str, Any]]) -> bytes:
    return sse(*(make(at) for at in range(MANY) for make in made), chunk("stop"))


def items(**item: Any) -> bytes:
    done = ({"type": "response.output_item.done", "output_index": at, "item": item} for at in range(MANY))
    last = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [item] * MANY}}
    return sse(*done, last)


SUMMARY = [{"type": "summary_text", "text": "x"}]
HOSTILE: dict[str, tuple[Api, Callable[[], bytes]]] = {
    "paragraphs": (Api.MESSAGES, lambda: blocks(type="thinking", thinking="x")),
    "seals": (Api.MESSAGES, lambda: blocks(type="redacted_thinking", data="x")),
    "texts": (Api.MESSAGES, lambda: blocks(type="text", text="x")),
    "open calls": (Api.MESSAGES, lambda: blocks(type="tool_use", id="t", name="f", input={})),
    "strange blocks": (Api.MESSAGES, lambda: blocks(type="unheard of")),
    "kinds in turns": (Api.CHAT, lambda: deltas(lambda _: chunk(content="x"), lambda _: chunk(reasoning="y"))),
    "nameless calls": (Api.CHAT, lambda: deltas(lambda at: chunk(tool_calls=[{"index": at, "function": {}}]))),
    "names of tools": (Api.CHAT, lambda: deltas(lambda at: {"usage": {"server_tool_use": {f"t{at}": 1}}})),
    "names of members": (Api.CHAT, lambda: deltas(lambda at: {f"m{at}": 1})),
    "finishes": (Api.CHAT, lambda: deltas(lambda at: chunk(f"f{at}"))),
    "items": (Api.RESPONSES, lambda: items(type="message", content=[{"type": "output_text", "text": "x"}])),
    "summaries": (Api.RESPONSES, lambda: items(type="reasoning", summary=SUMMARY)),
    "a long summary": (Api.RESPONSES, lambda: sse({"object": "response", "output": [
        {"type": "reasoning", "summary": SUMMARY * MANY, "encrypted_content": "x"}]})),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_stream_takes_more_than_its_length(name: str) -> None:
    source, make = HOSTILE[name]
    data = make()
    began = time.process_time()
    for to in Api:
        translated(source, to, [data])
    assert time.process_time() - began < 2
