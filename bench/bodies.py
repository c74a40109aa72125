"""The requests that are sent: the shapes that chat clients and coding agents send, the same at every run.

Each carries `serial=` and sixteen digits in its last message, which the load generator counts up and the upstream hands
back (see wire.h). Their lengths differ, so that the upstream can tell them apart.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

KIB = 1024
_SERIAL = "serial=" + "0" * 16
_WORDS = """
    the function returns no value unless it was called with a list of names so import path and open the file
    class self string number server client answer error token stream True None if else while for in not
"""
_SEAMS = (" ", " ", " ", "\n", ", ", ': "', "(", ") ", "\n    ")


def small(size: int = 2 * KIB, **more: Any) -> bytes:
    """A short conversation."""
    text = _text(1)
    messages = [
        _said("system", next(text)[:600]),
        _said("user", next(text)[:300]),
        _said("assistant", next(text)[:250]),
    ]
    return _filled({"model": "gpt-mock", "messages": messages, "temperature": 0.7, "max_tokens": 1024, **more}, size)


def large(size: int = 64 * KIB, **more: Any) -> bytes:
    """An agent at work: a long system prompt, fourteen tools, calls and their results."""
    text = _text(2)
    messages = [_said("system", next(text)[:8000])]
    for n in range(16):
        call = {"name": f"tool_{n % 14}", "arguments": json.dumps({"path": next(text)[:200]})}
        calls = [{"id": f"call_{n}", "type": "function", "function": call}]
        messages.append({"role": "assistant", "content": next(text)[:150], "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": f"call_{n}", "content": next(text)[:1200]})
    tools = [_tool(n, text) for n in range(14)]
    return _filled({"model": "gpt-mock", "messages": messages, "tools": tools, "max_tokens": 4096, **more}, size)


def stream(size: int, **more: Any) -> bytes:
    """The short conversation, to be answered with a stream whose usage is asked for, as SDKs and agents do."""
    return small(size, stream=True, stream_options={"include_usage": True}, **more)


def messages(size: int, **more: Any) -> bytes:
    """The short conversation as a client of Messages says it, to be answered with a stream."""
    text = _text(1)
    system, said = next(text)[:600], [_said("user", next(text)[:300]), _said("assistant", next(text)[:250])]
    body = {"model": "gpt-said", "system": system, "messages": said, "max_tokens": 1024, "stream": True, **more}
    return _filled(body, size)


def _filled(body: dict[str, Any], size: int) -> bytes:
    """Compact JSON with one more message, which makes it `size` bytes long."""
    last = _said("user", _SERIAL)
    whole = {**body, "messages": [*body["messages"], last]}
    missing = size - len(_compact(whole))
    if missing < 0:
        raise ValueError(f"{size} bytes are too few")
    letters = "".join(letter for letter in next(_text(3)) if letter.isalpha() or letter == " ")
    last["content"] += (letters * (missing // len(letters) + 1))[:missing]
    return _compact(whole)


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _tool(n: int, text: Iterator[str]) -> dict[str, Any]:
    properties = {f"argument_{k}": {"type": "string", "description": next(text)[:80]} for k in range(5)}
    parameters = {"type": "object", "properties": properties, "required": ["argument_0"], "additionalProperties": False}
    function = {"name": f"tool_{n}", "description": next(text)[:700], "parameters": parameters}
    return {"type": "function", "function": function}


def _text(seed: int) -> Iterator[str]:
    """Texts of about 9 KB with the quotes and line ends that code has."""
    words = _WORDS.split()
    chance = random.Random(seed)  # noqa: S311 # no secret: the same text at every run
    while True:
        yield "".join(chance.choice(words) + chance.choice(_SEAMS) for _ in range(1500))
