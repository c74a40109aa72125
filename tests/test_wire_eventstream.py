"""Amazon's binary event stream."""

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.wire.eventstream import FrameParser, is_frame
from trivium.wire.sse import ServerSentEvent


def frame(payload: bytes, **headers: str) -> bytes:
    head = b"".join(
        bytes([len(name) + 1])
        + f":{name}".encode().replace(b"_", b"-")
        + b"\x07"
        + len(value).to_bytes(2, "big")
        + value.encode()
        for name, value in headers.items()
    )
    prelude = (16 + len(head) + len(payload)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    body = prelude + zlib.crc32(prelude).to_bytes(4, "big") + head + payload
    return body + zlib.crc32(body).to_bytes(4, "big")


def chunk(event: dict[str, Any]) -> bytes:
    said = base64.b64encode(json.dumps(event).encode()).decode()
    return frame(json.dumps({"bytes": said, "p": "abc"}).encode(), event_type="chunk", message_type="event")


def read(*chunks: bytes) -> list[ServerSentEvent]:
    parser = FrameParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def error(type: str, code: str, message: str) -> ServerSentEvent:
    inner = {"type": type, "message": message, "code": code}
    return ServerSentEvent("error", json.dumps({"type": "error", "error": inner}, separators=(",", ":")).encode())


STREAM = chunk({"type": "message_start"}) + chunk({"type": "ping"}) + chunk({"type": "message_stop"})


def test_a_frame_carries_one_event_in_base64() -> None:
    assert read(STREAM)[0] == ServerSentEvent(None, b'{"type": "message_start"}')
    assert [json.loads(event.data)["type"] for event in read(STREAM)] == ["message_start", "ping", "message_stop"]


@settings(max_examples=40)
@given(st.integers(1, 90))
def test_frames_may_be_cut_anywhere(size: int) -> None:
    assert read(*(STREAM[at : at + size] for at in range(0, len(STREAM), size))) == read(STREAM)


@pytest.mark.parametrize(
    ("thrown", "type"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("validationException", "invalid_request_error"),
        ("modelStreamErrorException", "api_error"),
        ("internalServerException", "api_error"),
        ("aNewException", "api_error"),
    ],
)
def test_an_exception_frame_is_an_error_of_a_type_that_clients_know(thrown: str, type: str) -> None:
    said = frame(b'{"message":"Not now"}', exception_type=thrown, message_type="exception")
    assert read(STREAM + said)[-1] == error(type, thrown, "Not now")


def test_an_error_frame_tells_all_in_its_headers() -> None:
    thrown = frame(b"", error_code="InternalFailure", error_message="Oh no", message_type="error")
    assert read(thrown) == [error("api_error", "InternalFailure", "Oh no")]


def test_a_frame_with_a_wrong_checksum_is_the_last_thing_read_and_told_at_the_end() -> None:
    broken = bytearray(STREAM)
    broken[-5] ^= 1
    found = read(bytes(broken), STREAM)
    assert [event.event for event in found] == [None, None, "error"]
    assert b"upstream_invalid_response" in found[-1].data
    parser = FrameParser()
    assert [event.event for event in parser.feed(bytes(broken))] == [None, None]
    assert parser.broken == "a frame of the event stream has a wrong checksum"


def test_a_frame_that_claims_to_be_huge_is_not_waited_for() -> None:
    prelude = (2**31).to_bytes(4, "big") + (0).to_bytes(4, "big")
    claim = prelude + zlib.crc32(prelude).to_bytes(4, "big") + b"\0\0\0\0"
    assert [event.event for event in read(claim)] == ["error"]


def test_frames_without_an_event_say_nothing() -> None:
    assert read(frame(b"{}", event_type="initial-response", message_type="event")) == []
    assert read(frame(b"not json", message_type="event")) == []


def test_a_frame_cut_short_is_left_out() -> None:
    assert len(read(STREAM[:-1])) == 2


def test_a_frame_is_known_by_its_prelude() -> None:
    assert is_frame(STREAM)
    assert not is_frame(b'{"type":"error","error":{}}')
    assert not is_frame(b"data: {}\n\ndata: {}\n\n")
    assert not is_frame(b"")


@given(st.binary(max_size=80), st.integers(0, len(STREAM)))
def test_no_bytes_are_too_odd(noise: bytes, at: int) -> None:
    read(STREAM[:at] + noise, STREAM[at:])


@given(st.binary(max_size=60), st.binary(max_size=30))
def test_no_headers_or_payload_are_too_odd(head: bytes, payload: bytes) -> None:
    prelude = (16 + len(head) + len(payload)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    body = prelude + zlib.crc32(prelude).to_bytes(4, "big") + head + payload
    read(body + zlib.crc32(body).to_bytes(4, "big"))
