"""A record as spans of a trace."""

from __future__ import annotations

from typing import Any

import pytest

from support_records import MIDNIGHT, record
from trivium.metering.record import Outcome, Record
from trivium.telemetry.trace import Parent, Propagation, Span, parent_of, spans_of, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENTS = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
GOOD: dict[str, Any] = {
    "api": "chat_completions",
    "outcome": Outcome.SUCCESS,
    "provider": "up",
    "upstream_model": "m",
    "queue_us": 1_000,
    "total_us": 2_000_000,
}
START = MIDNIGHT * 1_000_000


def spans(done: Record, header: bytes | None = None, sample: float = 1.0) -> list[Span]:
    return spans_of(done, header, sample, lambda provider: f"known-{provider}")


def test_a_request_is_a_server_span_and_its_call_a_client_span_within() -> None:
    server, client = spans(record("req_1", **GOOD, finish_reason="stop", session_id="s", status=200))
    assert (server.name, server.client, server.parent_id) == ("POST /v1/chat/completions", False, None)
    assert (server.start_ns, server.end_ns) == (START, START + 2_000_000_000)
    assert (client.name, client.client, client.parent_id) == ("chat m", True, server.span_id)
    assert (client.start_ns, client.end_ns) == (START + 1_000_000, server.end_ns)
    assert client.trace_id == server.trace_id
    assert len({server.span_id, client.span_id}) == 2
    assert server.attributes["trivium.request.id"] == "req_1"
    assert server.attributes["http.response.status_code"] == 200
    assert client.attributes["gen_ai.operation.name"] == "chat"
    assert client.attributes["gen_ai.provider.name"] == "known-up"
    assert client.attributes["gen_ai.request.model"] == "m"
    assert client.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert client.attributes["gen_ai.conversation.id"] == "s"
    assert server.error is client.error is None


@pytest.mark.parametrize(
    ("api", "operation", "server", "client"),
    [
        ("messages", "generate", "POST /v1/messages", "chat m"),
        ("messages", "count_tokens", "POST /v1/messages/count_tokens", "count_tokens m"),
        ("responses", "generate", "POST /v1/responses", "chat m"),
        ("embeddings", "generate", "POST /v1/embeddings", "embeddings m"),
        ("fim", "generate", "POST /v1/fim/completions", "text_completion m"),
    ],
)
def test_names_say_what_is_done(api: str, operation: str, server: str, client: str) -> None:
    done = record("req_1", **{**GOOD, "api": api, "operation": operation})
    assert [span.name for span in spans(done)] == [server, client]


def test_usage_counts_all_input_as_the_conventions_do() -> None:
    _, client = spans(
        record(
            "req_1",
            **GOOD,
            usage_known=True,
            input_uncached_tokens=10,
            cache_read_tokens=5,
            cache_write_5m_tokens=50,
            output_tokens=7,
            reasoning_tokens=3,
            first_token_us=501_000,
        )
    )
    said = {name: client.attributes[f"gen_ai.usage.{name}"] for name in ("input_tokens", "output_tokens")}
    assert said == {"input_tokens": 65, "output_tokens": 7}
    assert client.attributes["gen_ai.usage.cache_read.input_tokens"] == 5
    assert client.attributes["gen_ai.usage.cache_creation.input_tokens"] == 50
    assert client.attributes["gen_ai.usage.reasoning.output_tokens"] == 3
    assert client.attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    _, silent = spans(record("req_1", **GOOD))
    assert not [name for name in silent.attributes if "usage" in name]


def test_each_attempt_is_a_span_one_after_the_other() -> None:
    tried = (
        '{"tried":[{"route":"a/one","status":500,"code":"upstream_error","why":"w","ms":300},'
        '{"route":"b/two#2","status":503,"code":"upstream_timeout","why":"w","ms":200}]}'
    )
    server, first, second, last = spans(record("req_1", **{**GOOD, "queue_us": 600_000}, routing=tried))
    assert [one.name for one in (first, second, last)] == ["chat one", "chat two", "chat m"]
    assert [one.error for one in (first, second, last)] == ["upstream_error", "upstream_timeout", None]
    assert first.start_ns == START + 100_000_000
    assert first.end_ns == second.start_ns == START + 400_000_000
    assert second.end_ns == last.start_ns == START + 600_000_000
    assert {one.parent_id for one in (first, second, last)} == {server.span_id}
    assert len({one.span_id for one in (server, first, second, last)}) == 4
    assert second.attributes["http.response.status_code"] == 503


def test_what_was_refused_has_no_call_and_is_no_error_of_the_server() -> None:
    (server,) = spans(record("req_1", outcome=Outcome.REFUSED, status=401, error_code="invalid_api_key"))
    assert server.error is None
    assert server.attributes["error.type"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("outcome", "status", "server", "client"),
    [
        (Outcome.FAILED, 502, "upstream_error", "upstream_error"),
        (Outcome.FAILED, 200, "upstream_error", "upstream_error"),
        (Outcome.ABORTED, 499, None, "upstream_error"),
    ],
)
def test_failures_are_errors(outcome: str, status: int, server: str | None, client: str | None) -> None:
    done = record("req_1", **{**GOOD, "outcome": outcome, "status": status, "error_code": "upstream_error"})
    assert [span.error for span in spans(done)] == [server, client]


@pytest.mark.parametrize("status", [200, 499])
def test_a_client_that_left_is_no_status(status: int) -> None:
    done = record("req_1", **{**GOOD, "outcome": Outcome.ABORTED, "status": status})
    assert [span.attributes["error.type"] for span in spans(done)] == ["aborted", "aborted"]


def test_a_clients_trace_is_taken_up() -> None:
    server, client = spans(record("req_1", **GOOD), CLIENTS)
    assert server.trace_id == client.trace_id == int(TRACE, 16)
    assert (server.parent_id, server.remote) == (0x00F067AA0BA902B7, True)
    assert not client.remote


@pytest.mark.parametrize(
    "header",
    [
        *(None, b"", b"x", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", CLIENTS.upper(), b"ff" + CLIENTS[2:]),
        *(CLIENTS + b"-more", CLIENTS[:36] + b"0" * 16 + b"-01", CLIENTS[:-1], b"a" * 100_000),
    ],
)
def test_a_trace_that_is_none_begins_a_new_one(header: bytes | None) -> None:
    assert parent_of(header) is None
    (server, _) = spans(record("req_1", **GOOD), header)
    assert server.parent_id is None
    assert server.trace_id not in (0, int(TRACE, 16))


def test_later_versions_of_the_header_are_read_as_far_as_they_are_known() -> None:
    assert parent_of(b"01" + CLIENTS[2:] + b"-more") == Parent(int(TRACE, 16), 0x00F067AA0BA902B7, sampled=True)


def test_sampling_keeps_its_part_and_the_clients_word_counts_more() -> None:
    kept = sum(bool(spans(record(f"req_{number}", **GOOD), None, 0.25)) for number in range(2000))
    assert 400 < kept < 600
    assert spans(record("req_1", **GOOD), None, 0.0) == []
    assert spans(record("req_1", **GOOD), CLIENTS, 0.0)
    assert spans(record("req_1", **GOOD), CLIENTS[:-1] + b"0", 1.0) == []


def test_what_stands_for_many_is_no_trace() -> None:
    assert spans(record("req_1", requests=5, outcome=Outcome.REFUSED)) == []


def test_a_provider_is_told_the_very_span_that_is_sent_afterwards() -> None:
    telling = Propagation(1.0, ("up",))
    told = dict(telling.headers("req_1", {}, 0))
    _, client = spans(record("req_1", **GOOD))
    assert told == {b"traceparent": b"00-%032x-%016x-01" % (client.trace_id, client.span_id)}
    second = dict(telling.headers("req_1", {b"traceparent": CLIENTS, b"tracestate": b"a=1"}, 1))
    tried = '{"tried":[{"route":"a/one","status":500,"code":"x","why":"w","ms":3}]}'
    *_, last = spans(record("req_1", **GOOD, routing=tried), CLIENTS)
    assert second[b"traceparent"] == f"00-{TRACE}-{last.span_id:016x}-01".encode()
    assert second[b"tracestate"] == b"a=1"
    endless = {b"traceparent": CLIENTS, b"tracestate": b"a" * 600}
    assert dict(telling.headers("req_1", endless, 0)).keys() == {b"traceparent"}


def test_a_trace_that_is_not_kept_is_told_as_such() -> None:
    assert dict(Propagation(0.0, ("up",)).headers("req_1", {}, 0))[b"traceparent"].endswith(b"-00")
    assert trace_of("req_1", None, 0.0)[1] is False


def test_no_secret_in_a_name_or_attribute() -> None:
    key = "tv-0123456789ABCDEFGHIJ"
    done = record("req_1", **{**GOOD, "upstream_model": key}, requested_model=key, session_id=key, client_app=key)
    for span in spans(done):
        assert key not in span.name
        assert key not in str(span.attributes)
