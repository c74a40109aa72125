"""A call as spans of a trace, made of its record when all is over (OpenTelemetry's conventions for HTTP servers and for
generative AI). No library is needed for this; `otel.py` sends them.

    POST /v1/chat/completions      server   the request, from its arrival to the end of the answer
      chat gpt-5.1                 client   a call of a provider that failed, where several routes were tried
      chat claude-sonnet-4-5       client   the one that answered, or was the last

The ids are hashes of the request's id, so that what providers are told while the call goes on, and what is said of it
afterwards, need no memory in between. A client's `traceparent` (W3C Trace Context) makes the request part of its trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from trivium.metering.record import Outcome, Record
from trivium.providers.provider import COUNT_PATHS, PATHS
from trivium.telemetry.redaction import REDACTION
from trivium.telemetry.tried import Tried, tried_of

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_LONGEST_STATE = 512
"""More of it need not be passed on (W3C Trace Context, "tracestate Limits")."""
_LOW = (1 << 64) - 1
"""Of a trace's id, what decides whether it is kept."""
_US, _MS = 1_000, 1_000_000
"""In nanoseconds."""

_PATHS = {
    **{(api.value, "generate"): f"/v1{path}" for api, path in PATHS.items()},
    **{(api.value, "count_tokens"): f"/v1{path}" for api, path in COUNT_PATHS.items()},
}
_OPERATIONS = {"embeddings": "embeddings", "fim": "text_completion"}
"""By API; the others are `chat`."""

_SERVER = {
    "id": "trivium.request.id",
    "outcome": "trivium.outcome",
    "status": "http.response.status_code",
    "key_id": "trivium.key.id",
    "organization_id": "trivium.organization.id",
    "user_id": "trivium.user.id",
    "project_id": "trivium.project.id",
    "client_app": "user_agent.name",
    "requested_model": "trivium.requested_model",
    "auto_model": "trivium.auto_model",
    "payer": "trivium.payer",
    "cost_nano": "trivium.cost_nanodollars",
    "cost_source": "trivium.cost.source",
    "price_version": "trivium.price.version",
    "request_bytes": "http.request.body.size",
    "response_bytes": "http.response.body.size",
}
_CLIENT = {
    "provider": "trivium.provider",
    "upstream_model": "gen_ai.request.model",
    "answer_model": "gen_ai.response.model",
    "upstream_id": "gen_ai.response.id",
    "upstream_api": "trivium.upstream.api",
    "upstream_status": "http.response.status_code",
    "max_tokens": "gen_ai.request.max_tokens",
    "stream": "gen_ai.request.stream",
    "session_id": "gen_ai.conversation.id",
}
_USAGE = {
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_input_tokens": "gen_ai.usage.audio.input_tokens",
    "audio_output_tokens": "gen_ai.usage.audio.output_tokens",
    "image_input_tokens": "gen_ai.usage.image.input_tokens",
}
_WRITTEN = ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_other_tokens")

Semantic = Callable[[str], str]
"""What the conventions call a provider, by its name here."""


class Parent(msgspec.Struct, frozen=True):
    """The span of somebody else that a call belongs to."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    client: bool
    """It is a call of ours; else it is one of a client's."""
    trace_id: int
    span_id: int
    parent_id: int | None
    remote: bool = False
    """The parent is not ours."""
    start_ns: int
    """Since the epoch."""
    end_ns: int
    attributes: Mapping[str, Any]
    error: str | None = None
    """Its kind."""


def parent_of(header: bytes | None) -> Parent | None:
    """None: there is none, or none that is valid."""
    found = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5] is not None):
        return None
    parent = Parent(int(found[2], 16), int(found[3], 16), sampled=bool(int(found[4], 16) & _SAMPLED))
    return parent if parent.trace_id and parent.span_id else None


def trace_of(id: str, parent: Parent | None, sample: float) -> tuple[int, bool]:
    """The trace of a request, and whether it is kept."""
    if parent is not None:
        return parent.trace_id, parent.sampled
    trace_id = _hashed(id, b"trace", 16)
    return trace_id, (trace_id & _LOW) < sample * (_LOW + 1)


class Propagation:
    """What providers are told of the trace that a call is part of."""

    def __init__(self, sample: float, to: tuple[str, ...]) -> None:
        self._sample = sample
        self.to = frozenset(to)
        """Providers, by name."""

    def headers(self, id: str, client: Mapping[bytes, bytes], attempt: int) -> Iterator[tuple[bytes, bytes]]:
        """For a request's call of a provider, the first being number 0."""
        parent = parent_of(client.get(b"traceparent"))
        trace_id, sampled = trace_of(id, parent, self._sample)
        yield b"traceparent", b"00-%032x-%016x-%02x" % (trace_id, _client_id(id, attempt), sampled)
        state = client.get(b"tracestate", b"")
        if parent is not None and 0 < len(state) <= _LONGEST_STATE:
            yield b"tracestate", state


def spans_of(record: Record, header: bytes | None, sample: float, semantic: Semantic) -> list[Span]:
    """None where the trace is not kept, or where the record stands for many requests."""
    parent = parent_of(header)
    trace_id, kept = trace_of(record.id, parent, sample)
    if not kept or record.requests > 1:
        return []
    server_id = _hashed(record.id, b"server", 8)
    start = record.time_ms * _MS
    end = start + record.total_us * _US
    path = _PATHS.get((record.api, record.operation))
    attributes = _told(record, _SERVER) | ({"http.request.method": "POST", "http.route": path} if path else {})
    failed = record.outcome != Outcome.SUCCESS
    server = Span(
        name=f"POST {path}" if path else "HTTP",
        client=False,
        trace_id=trace_id,
        span_id=server_id,
        parent_id=parent.span_id if parent else None,
        remote=parent is not None,
        start_ns=start,
        end_ns=end,
        attributes=_with_error(attributes, record, told=failed),
        # A client's own mistake is no error of the server's (conventions for HTTP spans).
        error=_error(record) if failed and (record.status >= 500 or record.outcome == Outcome.FAILED) else None,
    )
    if record.queue_us is None or record.provider is None:
        return [server]
    tried = tried_of(record.routing)
    began = start + record.queue_us * _US
    return [
        server,
        *_failures(record, tried, server, began, semantic),
        _last(record, server, began, len(tried), semantic),
    ]


def _last(record: Record, server: Span, began_ns: int, attempt: int, semantic: Semantic) -> Span:
    """The call that answered, or that was the last one."""
    name = _operation(record)
    attributes = {
        "gen_ai.operation.name": name,
        "gen_ai.provider.name": semantic(record.provider or ""),
        **_told(record, _CLIENT),
    }
    if record.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = (str(record.finish_reason),)
    if record.first_token_us is not None and record.queue_us is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = (record.first_token_us - record.queue_us) / 1e6
    if record.usage_known:
        written = sum(getattr(record, column) for column in _WRITTEN)
        whole = record.input_uncached_tokens + record.cache_read_tokens + written
        attributes |= {"gen_ai.usage.input_tokens": whole, "gen_ai.usage.cache_creation.input_tokens": written}
        attributes |= {said: getattr(record, column) for column, said in _USAGE.items()}
    failed = record.outcome in (Outcome.FAILED, Outcome.ABORTED)
    return Span(
        name=f"{name} {REDACTION.mask(record.upstream_model or '')}".rstrip(),
        client=True,
        trace_id=server.trace_id,
        span_id=_client_id(record.id, attempt),
        parent_id=server.span_id,
        start_ns=began_ns,
        end_ns=max(began_ns, server.end_ns),
        attributes=_with_error(attributes, record, told=failed),
        error=_error(record) if failed else None,
    )


def _failures(
    record: Record, tried: tuple[Tried, ...], server: Span, until_ns: int, semantic: Semantic
) -> Iterator[Span]:
    """Those before, of which the record knows how long each took: one began where the other ended."""
    name = _operation(record)
    began = until_ns - sum(one.ms for one in tried) * _MS
    for number, one in enumerate(tried):
        provider, model = one.place
        ended = began + one.ms * _MS
        yield Span(
            name=f"{name} {REDACTION.mask(model)}",
            client=True,
            trace_id=server.trace_id,
            span_id=_client_id(record.id, number),
            parent_id=server.span_id,
            start_ns=began,
            end_ns=ended,
            attributes={
                "gen_ai.operation.name": name,
                "gen_ai.provider.name": semantic(provider),
                "gen_ai.request.model": REDACTION.mask(model),
                "trivium.provider": provider,
                "http.response.status_code": one.status,
                "error.type": one.code,
            },
            error=one.code,
        )
        began = ended


def _operation(record: Record) -> str:
    return "count_tokens" if record.operation == "count_tokens" else _OPERATIONS.get(record.api, "chat")


def _told(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    """Texts of strangers among them: of these as of all no secret goes out."""
    said = ((name, getattr(record, column)) for column, name in names.items())
    return {
        name: REDACTION.mask(str(value)) if isinstance(value, str) else value
        for name, value in said
        if value is not None
    }


def _error(record: Record) -> str:
    """Of a client that left, and where the status tells of no error, it is the outcome."""
    told = str(record.status) if record.status >= 400 and record.outcome != Outcome.ABORTED else str(record.outcome)
    return REDACTION.mask(record.error_code or told)


def _with_error(attributes: dict[str, Any], record: Record, *, told: bool) -> dict[str, Any]:
    return attributes | {"error.type": _error(record)} if told else attributes


def _client_id(id: str, attempt: int) -> int:
    return _hashed(id, b"client%d" % attempt, 8)


def _hashed(id: str, what: bytes, size: int) -> int:
    """Never 0, which stands for no id."""
    return int.from_bytes(blake2b(id.encode(), digest_size=size, person=what).digest()) or 1
