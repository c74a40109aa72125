"""Bedrock's binary frames as server-sent events, alone and on their way to clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import MESSAGES, running
from support_upstream import drain
from test_wire_eventstream import chunk, frame
from trivium.errors import UpstreamGarbage
from trivium.mock import Match, Reply, Rule
from trivium.providers.sigv4 import Signing, signed
from trivium.upstream.client import Headers
from trivium.upstream.frames import unframed

FRAMES = b"application/vnd.amazon.eventstream"
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grüße \u2028"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
]
STREAM = b"".join(map(chunk, EVENTS))
MODEL = "us.anthropic.claude-haiku-4-5-v1:0"
BEDROCK = f"""type = "bedrock"
access_key_id = "AKIDEXAMPLE000000001"
key = "secret-access-key"
region = "eu-west-1"
models = ["{MODEL}"]"""


class Answer:
    status = 200

    def __init__(self, content_type: bytes, *pieces: bytes) -> None:
        self.headers: Headers = [
            (b"content-type", content_type),
            (b"x-amzn-requestid", b"r"),
            (b"content-length", b"9"),
        ]
        self._pieces: Iterator[bytes] = iter(pieces)
        self.closed = False

    async def read(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
async def test_each_frame_is_an_event_with_its_json_byte_for_byte(size: int) -> None:
    response = unframed(Answer(FRAMES, *(STREAM[at : at + size] for at in range(0, len(STREAM), size))))
    assert response.headers == [(b"x-amzn-requestid", b"r"), (b"content-type", b"text/event-stream; charset=utf-8")]
    events = (await drain(response)).split(b"\n\n")[:-1]
    assert events == [f"event: {said['type']}\ndata: {json.dumps(said)}".encode() for said in EVENTS]


async def test_an_exception_ends_the_stream_with_an_error_event() -> None:
    thrown = frame(b'{"message":"Too many tokens"}', message_type="exception", exception_type="throttlingException")
    said = await drain(unframed(Answer(FRAMES, thrown)))
    assert said.startswith(b'event: error\ndata: {"type":"error"')
    assert b"Too many tokens" in said


async def test_a_broken_frame_breaks_the_stream_behind_what_came_before_it() -> None:
    broken = bytearray(STREAM)
    broken[-5] ^= 1
    response = unframed(Answer(FRAMES, bytes(broken), STREAM))
    assert (await response.read()).count(b"event: ") == len(EVENTS) - 1
    for _ in range(2):
        with pytest.raises(UpstreamGarbage) as raised:
            await response.read()
    assert raised.value.detail == "a frame of the event stream has a wrong checksum"


async def test_what_has_no_frames_passes_as_it_is() -> None:
    whole = Answer(b"application/json", b"{}")
    assert unframed(whole) is whole


async def test_closing_closes_the_connection() -> None:
    answer = Answer(FRAMES, STREAM)
    unframed(answer).close()
    assert answer.closed


def frames_in(folder: Path, *extra: bytes) -> Reply:
    path = folder / "stream.bin"
    path.write_bytes(STREAM + b"".join(extra))
    return Reply(file=str(path), content_type=FRAMES.decode())


async def test_messages_clients_read_bedrocks_stream_as_anthropics(tmp_path: Path) -> None:
    rule = Rule(frames_in(tmp_path), Match(path="*"))
    async with running(rule, provider=BEDROCK) as house:
        headers = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2023-06-01"}
        body = {**MESSAGES, "model": MODEL, "stream": True}
        status, said, answered = await house.post("/v1/messages?beta=true", body, headers=headers)
        (asked,) = house.upstream.requests
        record = await house.record()
    assert (status, answered["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert said.split("\n\n")[:-1] == [f"event: {one['type']}\ndata: {json.dumps(one)}" for one in EVENTS]
    assert (record["input_uncached_tokens"], record["output_tokens"], record["outcome"]) == (3, 2, "success")
    assert asked.path == "/v1/model/us.anthropic.claude-haiku-4-5-v1%3A0/invoke-with-response-stream"
    assert json.loads(asked.body) == {
        "max_tokens": 50,
        "messages": MESSAGES["messages"],
        "anthropic_beta": ["context-1m-2025-08-07"],
        "anthropic_version": "bedrock-2023-05-31",
    }


@pytest.mark.parametrize(
    ("thrown", "type", "code"),
    [
        (
            frame(b'{"message":"Slow down"}', message_type="exception", exception_type="throttlingException"),
            "rate_limit_error",
            "throttlingException",
        ),
        (b"\0" * 16, "api_error", "upstream_invalid_response"),
    ],
    ids=["thrown", "broken"],
)
async def test_what_ends_a_stream_has_a_type_that_messages_clients_know(
    tmp_path: Path, thrown: bytes, type: str, code: str
) -> None:
    path = tmp_path / "stream.bin"
    path.write_bytes(b"".join(map(chunk, EVENTS[:3])) + thrown)
    rule = Rule(Reply(file=str(path), content_type=FRAMES.decode()), Match(path="*"))
    async with running(rule, provider=BEDROCK) as house:
        _, said, _ = await house.post("/v1/messages", {**MESSAGES, "model": MODEL, "stream": True})
    event, data = said.split("\n\n")[-2].split("\n")
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (event, error["type"], error["code"]) == ("event: error", type, code)
    assert "frame" not in error["message"]


async def test_the_call_is_signed_as_it_went_out(tmp_path: Path) -> None:
    async with running(Rule(frames_in(tmp_path), Match(path="*")), provider=BEDROCK) as house:
        await house.post("/v1/messages", {**MESSAGES, "model": MODEL, "stream": True})
        now = house.gateway.deps.clock.now_ms()
        (asked,) = house.upstream.requests
        url = f"{house.upstream.url}{asked.path}"
    sent = dict(asked.headers)
    key = Signing(access_key_id="AKIDEXAMPLE000000001", secret_access_key="secret-access-key", region="eu-west-1")
    names = sent["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    given = [
        (name.encode(), sent[name].encode()) for name in sent if name in names and name not in ("host", "x-amz-date")
    ]
    tries = [dict(signed(key, "POST", url, given, asked.body, now - 1000 * ago)) for ago in range(5)]
    assert sent["authorization"].encode() in [one[b"authorization"] for one in tries]
    assert "anthropic-version" not in names


@pytest.mark.parametrize(
    ("status", "told", "answered"),
    [
        (400, "messages: at least one message is required", 400),
        (429, "Too many tokens, please wait", 429),
        (403, "User is not authorized", 503),
    ],
)
async def test_bedrocks_errors_are_told_in_the_callers_shape(status: int, told: str, answered: int) -> None:
    reply = Reply(status=status, body=json.dumps({"message": told}), content_type="application/json")
    async with running(Rule(reply, Match(path="*")), provider=BEDROCK) as house:
        found, said, _ = await house.post("/v1/messages", {**MESSAGES, "model": MODEL})
    assert (found, said["type"]) == (answered, "error")
    assert (told in said["error"]["message"]) is (answered == status)


async def test_tokens_are_estimated_where_bedrock_does_not_count() -> None:
    async with running(provider=BEDROCK) as house:
        status, said, headers = await house.post("/v1/messages/count_tokens", {**MESSAGES, "model": MODEL})
    assert (status, said["estimated"], headers["x-trivium-estimated"]) == (200, True, "1")
