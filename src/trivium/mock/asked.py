"""What a request asks for, read leniently from any dialect: a double answers odd requests too, it does not judge them.

`messages` of Chat and Messages and `input` of Responses are read as one list of entries. A Responses item without a
role is something the model said (a call, a reasoning item), unless its type ends in `_output`, which makes it a tool's
result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from trivium.mock.record import Recorded
from trivium.mock.script import Api

Endpoint = Literal[
    "chat",
    "responses",
    "messages",
    "embeddings",
    "fim",
    "count_tokens",
    "input_tokens",
    "models",
    "generation",
    "unknown",
]
GENERATING = ("chat", "responses", "messages", "embeddings", "fim")

_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "/chat/completions"): "chat",
    ("POST", "/responses"): "responses",
    ("POST", "/messages"): "messages",
    ("POST", "/embeddings"): "embeddings",
    ("POST", "/fim/completions"): "fim",
    ("POST", "/messages/count_tokens"): "count_tokens",
    ("POST", "/responses/input_tokens"): "input_tokens",
    ("GET", "/models"): "models",
    ("GET", "/generation"): "generation",
}
_DIALECTS: dict[Endpoint, Api] = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "count_tokens": "messages",
    "input_tokens": "responses",
}
_READ_BY_A_MODEL = ("messages", "input", "system", "instructions", "tools", "prompt", "suffix")
_CHARACTERS_PER_TOKEN = 4


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    arrived: float
    """Seconds since 1970."""
    endpoint: Endpoint
    dialect: Api
    path: str
    query: dict[str, str]
    """Of a repeated name the last."""
    headers: dict[str, str]
    """Names in lower case; of a repeated header the last."""
    body: bytes
    json: dict[str, Any] | None
    """None if the body is not a JSON object."""
    model: str
    stream: bool
    include_usage: bool
    """Chat's `stream_options.include_usage`; Mistral tells the usage of what it filled in any case."""
    tools: frozenset[str]
    """Names; of a tool in a namespace both the bare and the flat one."""
    user_text: str
    """Of the last user entry that has any."""
    has_tool_result: bool
    turn: int
    tokens: int
    """An estimate of the input, at least 1."""


class _Entry(msgspec.Struct, frozen=True):
    role: str
    text: str = ""
    tool_result: bool = False


def read(request: Recorded) -> Asked:
    body = request.json if isinstance(request.json, dict) else None
    said = body or {}
    headers = dict(request.headers)
    endpoint = _endpoint(request.method, request.path)
    entries = list(_entries(said))
    roles = [entry.role for entry in entries]
    since = len(roles) - roles[::-1].index("assistant") if "assistant" in roles else 0
    return Asked(
        number=request.number,
        arrived=request.arrived,
        endpoint=endpoint,
        dialect=_DIALECTS.get(endpoint, "messages" if "anthropic-version" in headers else "chat"),
        path=request.path,
        query=dict(parse_qsl(request.query, keep_blank_values=True)),
        headers=headers,
        body=request.body,
        json=body,
        model=str(said.get("model", "")),
        stream=said.get("stream") is True and endpoint != "embeddings",
        include_usage=endpoint == "fim" or _dict(said.get("stream_options")).get("include_usage") is True,
        tools=frozenset(_tool_names(said)),
        user_text=next((entry.text for entry in reversed(entries) if entry.role == "user" and entry.text.strip()), ""),
        has_tool_result=any(entry.tool_result for entry in entries[since:]),
        turn=1 + sum(role == "assistant" != before for before, role in zip(["", *roles], roles, strict=False)),
        tokens=tokens([said.get(field) for field in _READ_BY_A_MODEL]),
    )


def tokens(said: Any) -> int:
    """A plausible count, the same for the same texts: a quarter of the characters of all strings inside, at least 1."""
    characters, waiting = 0, [said]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return max(1, math.ceil(characters / _CHARACTERS_PER_TOKEN))


def flat_name(namespace: str | None, name: str) -> str:
    """A tool's name where the dialect knows no namespaces."""
    if namespace is None:
        return name
    return f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"


def _endpoint(method: str, path: str) -> Endpoint:
    found = (name for (verb, tail), name in _ENDPOINTS.items() if method == verb and path.endswith(tail))
    return next(found, "unknown")


def _entries(said: dict[str, Any]) -> Iterator[_Entry]:
    history = said.get("messages", said.get("input", said.get("prompt")))
    if isinstance(history, str):
        yield _Entry("user", history)
    for item in _dicts(history):
        yield _entry(item)


def _entry(item: dict[str, Any]) -> _Entry:
    role = item.get("role")
    if role == "tool" or str(item.get("type", "")).endswith("_output"):
        return _Entry("tool", tool_result=True)
    content = item.get("content")
    parts = _dicts([{"text": content}] if isinstance(content, str) else content)
    text = "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return _Entry(str(role or "assistant"), text, any(part.get("type") == "tool_result" for part in parts))


def _tool_names(said: dict[str, Any]) -> Iterator[str]:
    for tool in _dicts(said.get("tools")):
        name = tool.get("name") or _dict(tool.get("function") or tool.get("custom")).get("name")
        if tool.get("type") == "namespace":
            for inner in _tool_names(tool):
                yield from (inner, flat_name(str(name), inner))
        elif isinstance(name, str):
            yield name


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
