"""What a client heard, as one whole answer of its API, whether it came whole or as a stream. Nothing of ours is used
for it: a reader that shared a mistake with the gateway would not see it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.feature import C, M
from trivium.canon.api import Api

Json = dict[str, Any]


def assembled(api: Api, stream: str) -> Json:
    """The whole answer that a stream comes to. An error in it is its `error`."""
    events = [event for event in _events(stream) if event.get("type") != "ping"]
    if api is C:
        return _chat(events)
    return _message(events) if api is M else _response(events)


def _events(stream: str) -> Iterator[Json]:
    for block in stream.split("\n\n"):
        for line in block.split("\n"):
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line.removeprefix("data: "))


def _chat(chunks: list[Json]) -> Json:
    message: Json = {}
    whole: Json = {}
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for choice in chunk.get("choices", []):
            _merge(message, choice.get("delta", {}))
            if choice.get("finish_reason"):
                whole["finish_reason"] = choice["finish_reason"]
    if details := message.get("reasoning_details"):
        message["reasoning_details"] = list(_by_index(details))
    return {**whole, "choices": [{"message": message, "finish_reason": whole.pop("finish_reason", None)}]}


def _merge(message: Json, delta: Json) -> None:
    """Texts go on, lists grow; calls are told in fragments, by their index."""
    for name, said in delta.items():
        if name == "tool_calls":
            calls = message.setdefault(name, [])
            for fragment in said or []:
                calls += [{} for _ in range(fragment["index"] + 1 - len(calls))]
                _merge_call(calls[fragment["index"]], fragment)
        elif name == "function_call":
            kept = message.setdefault(name, {})
            kept |= {part: kept.get(part, "") + text for part, text in said.items()}
        elif isinstance(said, str) and name != "role":
            message[name] = (message.get(name) or "") + said
        elif isinstance(said, list):
            message[name] = message.get(name, []) + said
        elif said is not None or name not in message:
            message[name] = said


def _merge_call(call: Json, fragment: Json) -> None:
    for name, said in fragment.items():
        if isinstance(said, dict):
            kept = call.setdefault(name, {})
            for part, text in said.items():
                kept[part] = kept.get(part, "") + text if isinstance(text, str) else text
        elif name != "index":
            call[name] = said


def _by_index(details: list[Json]) -> Iterator[Json]:
    """Fragments of reasoning details in one piece each."""
    whole: dict[Any, Json] = {}
    for detail in details:
        kept = whole.setdefault((detail["type"], detail["index"]), {})
        text = kept.get("text", "") + detail.get("text", "")
        kept |= {**detail, **({"text": text} if text else {})}
    return iter(whole.values())


def _response(events: list[Json]) -> Json:
    """The vendor's last event has it all. What only the stream can say is told by the events' types."""
    last: Json = next((event["response"] for event in reversed(events) if "response" in event), {})
    return {**last, "events": [event["type"] for event in events]}


def _message(events: list[Json]) -> Json:
    message: Json = {}
    for event in events:
        kind = event["type"]
        if kind == "message_start":
            message = {**event["message"], "content": []}
        elif kind == "content_block_start":
            message["content"].append({**event["content_block"]})
        elif kind == "content_block_delta":
            _extend(message["content"][event["index"]], event["delta"])
        elif kind == "message_delta":
            message |= {**event["delta"], "usage": message.get("usage", {}) | event.get("usage", {})}
        elif kind == "error":
            message["error"] = event["error"]
    for block in message.get("content", []):
        if "json" in block:
            block["input"] = json.loads(block.pop("json") or "{}")
    return message


_MEMBERS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("json", "partial_json"),
}


def _extend(block: Json, delta: Json) -> None:
    if delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    elif delta["type"] in _MEMBERS:
        member, name = _MEMBERS[delta["type"]]
        block[member] = block.get(member, "") + delta[name]
