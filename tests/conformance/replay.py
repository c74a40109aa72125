"""How a client of each API goes on: it sends back what it heard, and the results of the calls in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.feature import C, M, R
from trivium.canon.api import Api

Json = dict[str, Any]
RESULT = "It is sunny."


def goes_on(api: Api, asked: Json, heard: Json) -> Json:
    """The next request of the conversation."""
    return _NEXT[api](asked, heard)


def _chat(asked: Json, heard: Json) -> Json:
    message = {name: said for name, said in heard["choices"][0]["message"].items() if said is not None}
    message.pop("annotations", None)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in message.get("tool_calls", [])
    ]
    return {**asked, "messages": [*asked["messages"], message, *(results or [_MORE])]}


def _responses(asked: Json, heard: Json) -> Json:
    """Without the ids that only a server with a memory knows."""
    said = [{name: value for name, value in item.items() if name != "id"} for item in heard["output"]]
    results = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": RESULT}
        for item in said
        if "call_id" in item
    ]
    return {**asked, "input": [*asked["input"], *said, *(results or [_MORE])]}


def _messages(asked: Json, heard: Json) -> Json:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": RESULT}
        for block in heard["content"]
        if block["type"] == "tool_use"
    ]
    said = {"role": "assistant", "content": heard["content"]}
    return {**asked, "messages": [*asked["messages"], said, {"role": "user", "content": results} if results else _MORE]}


_MORE = {"role": "user", "content": "Go on."}
_NEXT: dict[Api, Callable[[Json, Json], Json]] = {C: _chat, R: _responses, M: _messages}
