"""From a reply and its request to what goes over the wire, but for HTTP's own framing and the pace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trivium.clock import rfc3339
from trivium.mock.answer import CREATED, compose
from trivium.mock.asked import GENERATING, Asked, Endpoint
from trivium.mock.chat import CHAT
from trivium.mock.embeddings import embeddings
from trivium.mock.frames import compressed, split_events
from trivium.mock.messages import MESSAGES
from trivium.mock.responses import RESPONSES
from trivium.mock.script import Api, Error, Model, Reply
from trivium.mock.voice import Voice

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
_FILE_TYPES = {".sse": EVENT_STREAM, ".json": JSON}
_BYTES = "application/octet-stream"


VOICES: dict[Api, Voice] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    status: int = 200
    headers: dict[str, str] = {}
    """Names in lower case; without the framing."""
    pieces: list[bytes]
    """The events of a stream, or the body in one."""
    stream: bool = False


def render(reply: Reply, asked: Asked, models: list[Model]) -> Rendered:
    """Raises OSError for a `file` that cannot be read."""
    kind, pieces = _verbatim(reply) or _said(reply, asked, models)
    stream = kind == EVENT_STREAM
    headers = {
        "content-type": reply.content_type or kind,
        VOICES[asked.dialect].request_id: f"req_mock{asked.number}",
        **({"x-generation-id": reply.generation} if reply.generation else {}),
        **({"content-encoding": "gzip"} if reply.gzip else {}),
        **{name.lower(): value for name, value in reply.headers.items()},
    }
    return Rendered(
        status=reply.status,
        headers={name: value for name, value in headers.items() if value},
        pieces=compressed(pieces) if reply.gzip else pieces,
        stream=stream,
    )


_Content = tuple[str, list[bytes]]
"""Content type and pieces."""


def _verbatim(reply: Reply) -> _Content | None:
    if reply.sse is not None:
        return EVENT_STREAM, split_events(reply.sse.encode())
    if reply.body is not None:
        return JSON, [reply.body.encode() if isinstance(reply.body, str) else msgspec.json.encode(reply.body)]
    if reply.raw is not None:
        return _BYTES, [reply.raw.encode()]
    return None if reply.file is None else _from_file(Path(reply.file))


def _from_file(file: Path) -> _Content:
    kind = _FILE_TYPES.get(file.suffix, _BYTES)
    content = file.read_bytes()
    return kind, split_events(content) if kind == EVENT_STREAM else [content]


def _said(reply: Reply, asked: Asked, models: list[Model]) -> _Content:
    streamed = asked.stream and asked.endpoint in GENERATING
    if reply.status >= 400 or (reply.error and not streamed):
        said = VOICES[asked.dialect].error(reply.status, reply.error or Error(), asked.number)
        return JSON, [msgspec.json.encode(said)]
    if streamed:
        return EVENT_STREAM, _events(reply, asked)
    return JSON, [msgspec.json.encode(_WHOLE[asked.endpoint](reply, asked, models))]


def _events(reply: Reply, asked: Asked) -> list[bytes]:
    voice = VOICES[asked.dialect]
    answer = compose(reply, asked)
    events = voice.stream(answer)
    if reply.error is not None:
        before = events[: reply.error_after_events]
        return [*before, *voice.fault(answer, reply.error, len(before))]
    return events[:-1] if reply.omit_terminal else events


def _whole_answer(reply: Reply, asked: Asked, _models: list[Model]) -> dict[str, Any]:
    return VOICES[asked.dialect].whole(compose(reply, asked))


def _count(reply: Reply, asked: Asked, _models: list[Model]) -> dict[str, Any]:
    counted = reply.usage.whole_input if reply.usage else asked.tokens
    named = {"object": "response.input_tokens"} if asked.dialect == "responses" else {}
    return {**named, "input_tokens": counted}


def _model_list(_reply: Reply, asked: Asked, models: list[Model]) -> dict[str, Any]:
    if asked.dialect != "messages":
        return {"object": "list", "data": [_openai_model(model) for model in models]}
    first, last = (models[0].id, models[-1].id) if models else (None, None)
    data = [_anthropic_model(model) for model in models]
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _openai_model(model: Model) -> dict[str, Any]:
    named = {} if model.name is None else {"name": model.name}
    return {"id": model.id, "object": "model", "created": CREATED, "owned_by": "mock", **named, **model.extra}


def _anthropic_model(model: Model) -> dict[str, Any]:
    created = rfc3339(CREATED)
    return {"type": "model", "id": model.id, "display_name": model.name or model.id, "created_at": created}


_WHOLE: dict[Endpoint, Callable[[Reply, Asked, list[Model]], dict[str, Any]]] = {
    "chat": _whole_answer,
    "responses": _whole_answer,
    "messages": _whole_answer,
    "embeddings": embeddings,
    "fim": _whole_answer,
    "count_tokens": _count,
    "input_tokens": _count,
    "models": _model_list,
    "generation": lambda *_: {},
    "unknown": lambda *_: {},
}
