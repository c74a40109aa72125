"""What the vendors promise of a stream, held against the bytes of one: the order of its events and what repeats what.

`check` reads a stream of an API as the strictest of its SDKs would and asserts every promise. A stream that failed ends
as its API ends one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trivium.canon.api import Api

Said = dict[str, Any]


def told(stream: bytes) -> list[Said]:
    """The events as objects, keep-alives apart; `[DONE]` is one of that type."""
    assert stream == b"" or stream.endswith(b"\n\n")
    found: list[Said] = []
    for block in stream.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        *head, data = block.split("\n")
        assert data.startswith("data: "), block
        if data == "data: [DONE]":
            found.append({"type": "[DONE]"})
            continue
        said = json.loads(data.removeprefix("data: "))
        assert isinstance(said, dict)
        assert [f"event: {said['type']}"] == head if head else "type" not in said, block
        found.append(said)
    return found


def check(api: Api, stream: bytes, *, failed: bool = False) -> list[Said]:
    """The events of a stream that keeps all promises."""
    events = told(stream)
    _CHECKS[api]([event for event in events if event.get("type") != "ping"], failed)
    return events


# Chat Completions.


def _chat(events: list[Said], failed: bool) -> None:
    if failed:
        last = events.pop()
        assert last.keys() == {"error"}
        assert last["error"].keys() == {"message", "type", "param", "code"}
        if not events:
            return
    else:
        assert events.pop() == {"type": "[DONE]"}
    heads = {(event["id"], event["object"], event["created"], event["model"]) for event in events}
    assert len(heads) == 1, heads
    assert {kind for _, kind, *_ in heads} == {"chat.completion.chunk"}
    if not failed and not events[-1]["choices"]:
        assert "usage" in events.pop()
    choices = [event["choices"][0] for event in events]
    assert all(len(event["choices"]) == 1 and event["choices"][0]["index"] == 0 for event in events)
    finishes = [choice["finish_reason"] for choice in choices]
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert failed or choices[-1]["delta"] == {}
    assert [("role" in choice["delta"]) for choice in choices] == [True] + [False] * (len(choices) - 1)
    _chat_calls([call for choice in choices for call in choice["delta"].get("tool_calls", ())])


def _chat_calls(fragments: list[Said]) -> None:
    """Numbered as they begin; one is over when the next begins."""
    count = 0
    for fragment in fragments:
        if "id" in fragment:
            assert fragment["index"] == count
            assert fragment["id"]
            kind = fragment[fragment["type"]]
            assert [member for member in kind if member != "name"] in (["arguments"], ["input"])
            assert type(kind["name"]) is str
            assert "" in kind.values()
            count += 1
        assert fragment["index"] == count - 1


# Messages.

_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set[str](),
    "tool_use": {"input_json_delta"},
}


def _messages(events: list[Said], failed: bool) -> None:
    if failed:
        last = events.pop()
        assert last.keys() == {"type", "error", "request_id"}
        assert {"type", "message"} <= last["error"].keys()
        if not events:
            return
    else:
        assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
        assert {"stop_reason", "stop_sequence"} == events[-2]["delta"].keys()
        assert "output_tokens" in events[-2]["usage"]
        del events[-2:]
    start = events.pop(0)
    message = start["message"]
    assert start["type"] == "message_start"
    assert (message["content"], message["stop_reason"], message["role"]) == ([], None, "assistant")
    assert {"input_tokens", "output_tokens"} <= message["usage"].keys()
    _blocks(events, failed)


def _blocks(events: list[Said], failed: bool) -> None:
    """Contiguous and never side by side; a signature is the last of its block."""
    count, kind, seen = 0, "", list[str]()
    for event in events:
        assert event["index"] == count
        if event["type"] == "content_block_start":
            assert kind == ""
            kind, seen = event["content_block"]["type"], []
        elif event["type"] == "content_block_stop":
            assert kind
            kind, count = "", count + 1
        else:
            assert event["type"] == "content_block_delta"
            assert event["delta"]["type"] in _DELTAS[kind]
            assert "signature_delta" not in seen
            seen.append(event["delta"]["type"])
    assert kind == "" or failed


# Responses.


def _responses(events: list[Said], failed: bool) -> None:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    if failed:
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-1]["response"]["status"] == "failed"
        assert events[-1]["response"]["error"]
        last = events[-1]["response"]
        del events[-2:]
        if not events:
            return
    else:
        last = events.pop()
        assert last["type"] in ("response.completed", "response.incomplete")
        last = last["response"]
        assert last["status"] in ("completed", "incomplete")
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    first = events[0]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    items = _Items(events[2:])
    if not failed:
        assert first["id"] == last["id"]
        assert items.open is None
        assert last["output"] == items.done
        cut = [item["type"] for item in items.done if item.get("status") == "incomplete"]
        assert last["status"] == "incomplete" or not cut
        assert "message" not in cut or items.done[-1]["status"] == "incomplete"


class _Items:
    """The items of a stream; each begins, speaks and ends before the next."""

    def __init__(self, events: list[Said]) -> None:
        self.open: Said | None = None
        self.done: list[Said] = []
        self._parts: list[Said] = []
        self._part: Said | None = None
        self._said = ""
        self._notes: list[Said] = []
        self._chances: list[Said] = []
        self._over = False
        for event in events:
            assert event["output_index"] == len(self.done)
            self._take(event["type"].removeprefix("response."), event)
        ids = [item["id"] for item in self.done]
        assert len(set(ids)) == len(ids)

    def _take(self, kind: str, event: Said) -> None:
        if kind == "output_item.added":
            assert self.open is None
            self.open, self._parts, self._said, self._over = event["item"], [], "", False
            assert self.open.get("status", "in_progress") == "in_progress"
            assert not any(self.open.get(name) for name in ("content", "summary", "arguments", "input"))
        elif kind == "output_item.done":
            self._close(event["item"])
        else:
            assert self.open is not None
            assert event["item_id"] == self.open["id"]
            self._speak(kind, event)

    def _close(self, item: Said) -> None:
        assert self.open is not None
        assert self._part is None
        assert item.get("status", "completed") in ("completed", "incomplete")
        assert {**self.open, "status": 0}.keys() <= {**item, "status": 0}.keys()
        for name in ("content", "summary"):
            assert item.get(name, []) == (self._parts if name in item else [])
        for name in ("arguments", "input"):
            assert item.get(name, "") == (self._said if name in item else "")
            assert name not in item or self._over
        self.done.append(item)
        self.open = None

    def _speak(self, kind: str, event: Said) -> None:
        place = event.get("content_index", event.get("summary_index"))
        assert place is None or place == len(self._parts)
        if kind.endswith("part.added"):
            assert self._part is None
            self._part, self._said, self._notes, self._chances, self._over = event["part"], "", [], [], False
        elif kind.endswith("part.done"):
            assert self._over
            assert event["part"] == self._whole_part()
            self._parts.append(event["part"])
            self._part = None
        elif kind.endswith(".delta"):
            assert not self._over
            self._said += event["delta"]
            self._chances += event.get("logprobs", [])
        elif kind.endswith("annotation.added"):
            assert event["annotation_index"] == len(self._notes)
            self._notes.append(event["annotation"])
        else:
            assert kind.endswith(".done")
            assert not self._over
            assert self._said in event.values()
            self._over = True

    def _whole_part(self) -> Said:
        assert self._part is not None
        kind = self._part["type"]
        notes = {"annotations": self._notes, "logprobs": self._chances} if kind == "output_text" else {}
        return {**self._part, "refusal" if kind == "refusal" else "text": self._said, **notes}


_CHECKS: dict[Api, Callable[[list[Said], bool], None]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}
