"""Reading recorded upstream answers: what `trivium wire read` does, without the command line.

A capture is a stream of server-sent events, Bedrock's binary event stream, or a whole JSON body, and is told apart by
its content alone.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.conventions import UNKNOWN, conventions_for
from trivium.canon.fold import Answer, fold
from trivium.canon.usage import Usage
from trivium.money import usd_text
from trivium.providers.rows import ROWS
from trivium.wire.codec import decode_answer, decode_stream
from trivium.wire.eventstream import is_frame, unframed
from trivium.wire.lenient import is_shallow

_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"^(?:data|event):", re.MULTILINE)


def read_capture(data: bytes, api: Api, provider: str | None = None) -> Answer:
    """The answer that a capture of an API holds. `provider` names how it counts (`conventions_for`). Never raises."""
    told, streamed = as_seen(data)
    return fold((decode_stream if streamed else decode_answer)(api, told, conventions_for(provider)))


def is_known(provider: str) -> bool:
    """Whether a provider has this name: the one of a row, or another of one that counts in a way of its own."""
    return provider in ROWS or conventions_for(provider, UNKNOWN) is not UNKNOWN


def as_seen(data: bytes) -> tuple[bytes, bool]:
    """A capture as the gateway's readers see it, and whether it is a stream."""
    return (unframed(data), True) if is_frame(data) else (data, _is_sse(data))


def _is_sse(data: bytes) -> bool:
    """Whether the first thing said is a comment, or else no JSON while some line is a field of an event."""
    said = data.removeprefix(_BOM).lstrip(_BLANKS)
    if said.startswith((b"{", b"[")):
        return False
    return said.startswith(b":") or _FIELD.search(said.replace(b"\r", b"\n")) is not None


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain JSON values: costs are decimal strings, arguments are parsed where they are JSON."""
    cost = answer.usage.reported_cost if answer.usage else None
    return {
        "id": answer.id,
        "model": answer.model,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": _parsed(call.arguments)} for call in answer.tool_calls
        ],
        "finish": answer.finish.value,
        "native_finish": answer.native_finish,
        "usage": _usage(answer.usage),
        "reported_cost_usd": None if cost is None else usd_text(cost),
        "error": {"type": answer.error.type, "message": answer.error.message} if answer.error else None,
    }


def _parsed(arguments: str) -> Any:
    try:
        value = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if is_shallow(value) else arguments


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write_5m": usage.cache_write_5m,
        "cache_write_1h": usage.cache_write_1h,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "audio_input": usage.audio_input,
        "audio_output": usage.audio_output,
        "server_tools": dict(usage.server_tools),
    }


def as_text(answer: Answer, name: str) -> str:
    """The answer for a terminal; `name` heads it. What could steer the terminal is shown as an escape."""
    rows = [
        ("answer", " ".join(filter(None, (answer.id, answer.model)))),
        ("finish", answer.finish + (f" ({answer.native_finish})" if answer.native_finish else "")),
        ("error", f"{answer.error.type}: {answer.error.message}" if answer.error else ""),
        ("reasoning", answer.reasoning),
        ("text", answer.text),
        *(("call", f"{call.name}({call.arguments}) {call.id}") for call in answer.tool_calls),
        ("usage", _usage_line(answer.usage)),
    ]
    lines = [_harmless(name), *(f"  {label:<10}{_indented(said)}" for label, said in rows if said)]
    return "\n".join(lines)


def _usage_line(usage: Usage | None) -> str:
    shown = _usage(usage)
    if usage is None or shown is None:
        return "none arrived"
    tools = shown.pop("server_tools")
    words = [f"{name} {number}" for name, number in (*shown.items(), *tools.items()) if number]
    if usage.reported_cost is not None:
        words.append(f"cost {usd_text(usage.reported_cost)} USD")
    return ", ".join(words) or "zero"


def _indented(said: str) -> str:
    return ("\n" + " " * 12).join(map(_harmless, said.splitlines()))


def _harmless(line: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
