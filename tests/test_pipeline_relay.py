"""Answers on their way through: bytes as they came, failures in the caller's words, one record whatever happens."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, CHAT, MESSAGES, RESPONSES, Running, running
from trivium.mock import Error, Reply, Rule, Usage

STREAMS = [(path, {**body, "stream": True}) for path, body in CALLS]
ERROR_MARKS = {
    "/v1/chat/completions": 'data: {"error":',
    "/v1/responses": "event: response.failed",
    "/v1/messages": "event: error",
}


async def direct(house: Running, path: str, body: dict[str, Any]) -> bytes:
    """What the upstream itself says to the same request."""
    async with aiohttp.ClientSession() as session, session.post(house.upstream.url + path, json=body) as response:
        # It numbers its answers: this one is the second to the same question.
        return (await response.read()).replace(b"mock2", b"mock1")


@pytest.mark.parametrize(("path", "body"), STREAMS)
async def test_a_stream_arrives_byte_for_byte(path: str, body: dict[str, Any]) -> None:
    reply = Reply(text="one two three", reasoning="hm", id="x1", usage=Usage(input=4, output=6, reasoning=1))
    async with running(reply) as house:
        asked = {**body, "stream_options": {"include_usage": True}}
        status, got, headers = await house.post(path, asked)
        record = await house.record()
        sent = (await direct(house, path, asked)).decode()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert without_times(got) == without_times(sent)
    assert record["outcome"] == "success"
    assert (record["finish_reason"], record["input_uncached_tokens"], record["output_tokens"]) == ("stop", 4, 6)
    assert record["reasoning_tokens"] == 1 or path == "/v1/messages"
    assert record["ttfb_us"] <= record["first_token_us"] <= record["total_us"]
    assert record["response_bytes"] == len(got.encode())


def without_times(text: str) -> str:
    """The double stamps answers with the second in which it gave them."""
    now = int(time.time())
    for second in range(now - 5, now + 1):
        text = text.replace(str(second), "NOW")
    return text


@pytest.mark.parametrize(("path", "body"), STREAMS)
async def test_a_stream_cut_into_single_bytes_by_the_network_is_the_same_stream(
    path: str, body: dict[str, Any]
) -> None:
    async with running(Reply(text="grüße \u2028 x", chunk_bytes=7, usage=Usage(input=1, output=2))) as house:
        _, got, _ = await house.post(path, {**body, "stream_options": {"include_usage": True}})
        record = await house.record()
    assert "grüße" in got
    assert (record["outcome"], record["output_tokens"], record["flags"]) == ("success", 2, "")


async def test_usage_is_asked_for_and_hidden_from_a_chat_client_that_did_not_ask() -> None:
    async with running(Reply(text="a b", usage=Usage(input=3, output=2))) as house:
        body = {**CHAT, "stream": True, "stream_options": {"include_obfuscation": False}}
        _, got, _ = await house.post("/v1/chat/completions", body)
        assert '"usage":{' not in got.replace(" ", "")
        assert got.endswith("data: [DONE]\n\n")
        assert house.upstream.requests[0].json["stream_options"] == {
            "include_obfuscation": False,
            "include_usage": True,
        }
        assert (await house.record())["output_tokens"] == 2


async def test_a_usage_chunk_that_says_more_is_not_hidden() -> None:
    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
    async with running(Reply(sse=f"{chunk}\n\ndata: [DONE]\n\n")) as house:
        _, got, _ = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert got == f"{chunk}\n\ndata: [DONE]\n\n"


async def test_crlf_streams_and_comments_pass_and_are_read() -> None:
    sse = ': hello\r\n\r\ndata: {"id":"c","choices":[{"delta":{"content":"x"}}]}\r\n\r\n'
    sse += 'data: {"id":"c","choices":[{"delta":{},"finish_reason":"length"}],"usage":{"completion_tokens":9}}\r\n\r\n'
    async with running(Reply(sse=sse, chunk_bytes=11)) as house:
        _, got, _ = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
        record = await house.record()
    assert got == sse
    assert (record["finish_reason"], record["output_tokens"], record["outcome"]) == ("length", 9, "success")


async def test_bodies_are_forwarded_untouched_but_for_the_model() -> None:
    raw = b'{ "messages":[ {"role":"user","content":"hi"} ],\n "model" : "up/m", "future_field": {"a":1.50}, "n":1e0 }'
    async with running() as house:
        assert (await house.post("/v1/chat/completions", raw))[0] == 200
        assert house.upstream.requests[0].body == raw.replace(b'"up/m"', b'"m"')


async def test_the_query_and_the_betas_go_on_and_credentials_do_not() -> None:
    async with running(provider='apis = ["messages"]\nkey = "sk-house"') as house:
        sent = {
            "anthropic-beta": "b-1",
            "cookie": "c=1",
            "x-forwarded-for": "1.2.3.4",
            "anthropic-version": "2023-01-01",
        }
        assert (await house.post("/v1/messages?beta=true", MESSAGES, headers=sent))[0] == 200
        (seen,) = house.upstream.requests
        assert (seen.query, seen.header("anthropic-beta")) == ("beta=true", "b-1")
        assert [value for name, value in seen.headers if name == "anthropic-version"] == ["2023-01-01"]
        assert seen.header("authorization") == "Bearer sk-house"
        assert not {"cookie", "x-forwarded-for", "x-api-key"} & {name for name, _ in seen.headers}
        assert house.key not in str(seen.headers)


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES)])
async def test_a_configured_header_is_the_only_one(path: str, body: dict[str, Any]) -> None:
    """Neither the client's of this name goes with it, nor ours."""
    provider = 'apis = ["messages"]\nheaders = { Anthropic-Version = "2099-01-01", User-Agent = "acme/1" }'
    async with running(provider=provider) as house:
        assert (await house.post(path, body, headers={"anthropic-version": "2023-06-01"}))[0] == 200
        (seen,) = house.upstream.requests
        told = [pair for pair in seen.headers if pair[0] in ("anthropic-version", "user-agent")]
        assert sorted(told) == [("anthropic-version", "2099-01-01"), ("user-agent", "acme/1")]


async def test_so_is_one_that_a_rule_would_send() -> None:
    provider = 'apis = ["chat"]\nheaders = { X-Grok-Conv-Id = "ours" }'
    async with running(provider=provider) as house:
        body = {**CHAT, "model": "grok-4", "prompt_cache_key": "talk"}
        assert (await house.post("/v1/chat/completions", body))[0] == 200
        (seen,) = house.upstream.requests
        told = {name: value for name, value in seen.headers if name.startswith("x-grok")}
        assert [value for name, value in seen.headers if name == "x-grok-conv-id"] == ["ours"]
        assert "x-grok-req-id" in told


async def test_a_query_goes_into_no_other_api_nor_beside_azures_version() -> None:
    azure = 'type = "azure-deployments"\nkey = "sk-x"\napi_version = "2025-01-01-preview"'
    for provider, query in (("", ""), (azure, "api-version=2025-01-01-preview")):
        async with running(provider=f'{provider}\napis = ["chat"]') as house:
            assert (await house.post("/v1/messages?beta=true", MESSAGES))[0] == 200
            assert (await house.post("/v1/chat/completions?beta=true", CHAT))[0] == 200
            assert [seen.query for seen in house.upstream.requests] == [query, query or "beta=true"]


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_an_upstream_error_in_the_clients_own_shape_passes_unchanged(path: str, body: dict[str, Any]) -> None:
    async with running(Reply(status=429, error=Error(message="slow down"))) as house:
        status, got, headers = await house.post(path, body)
        record = await house.record()
        sent = await direct(house, path, body)
    assert status == 429
    assert got["error"]["message"] == "slow down"
    assert headers["retry-after"] == "1"
    assert (record["outcome"], record["upstream_status"], record["error_message"]) == ("failed", 429, "slow down")
    assert got == json.loads(sent)


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_servers_500_for_what_it_cannot_read_is_the_callers_mistake(path: str, body: dict[str, Any]) -> None:
    """llama.cpp's, of which clients would send the same again and again."""
    words = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    said = Reply(status=500, error=Error(message=words, type="server_error"))
    async with running(said, provider=f'{ALL_APIS}\ntype = "llama.cpp"') as house:
        status, got, _ = await house.post(path, body)
        record = await house.record()
    assert (status, got["error"]["type"], got["error"]["message"]) == (400, "invalid_request_error", words)
    assert (record["status"], record["upstream_status"]) == (400, 500)


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_an_html_error_page_becomes_the_apis_own_error(path: str, body: dict[str, Any]) -> None:
    async with running(Reply(status=502, body="<html>bad gateway</html>", content_type="text/html")) as house:
        status, got, _ = await house.post(path, body)
        record = await house.record()
    assert status == 502
    assert isinstance(got["error"]["message"], str)
    assert (record["outcome"], record["upstream_status"]) == ("failed", 502)
    assert "bad gateway" in record["error_message"]


@pytest.mark.parametrize("refusal", [401, 402, 403])
async def test_a_refusal_of_the_houses_own_key_is_not_shown(refusal: int) -> None:
    async with running(Reply(status=refusal, error=Error(message="your credit card sk-123 expired"))) as house:
        status, got, headers = await house.post("/v1/messages", MESSAGES)
        record = await house.record()
    assert (status, headers["retry-after"]) == (503, "60")
    assert "sk-123" not in str(got)
    assert (record["upstream_status"], record["outcome"]) == (refusal, "failed")


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(abort="close"), 502, "upstream_unreachable"),
        (Reply(abort="reset"), 502, "upstream_unreachable"),
        (Reply(raw="SSH-2.0-OpenSSH\r\n"), 502, "upstream_invalid_response"),
        (Reply(body="<html>", content_type="text/html"), 502, "upstream_invalid_response"),
        (Reply(text="x", abort_after_bytes=20), 502, "upstream_disconnected"),
        (Reply(delay_ms=60_000), 504, "upstream_timeout"),
        (Reply(text="x", abort="stall", abort_after_bytes=20), 504, "upstream_timeout"),
    ],
    ids=["closed", "reset", "garbage", "html", "cut", "silent", "stalled"],
)
async def test_a_failing_upstream_is_an_error_with_a_status(
    path: str, body: dict[str, Any], reply: Reply, status: int, code: str
) -> None:
    quick = f"{ALL}\ntimeouts = {{ connect = 1, first_byte = 0.3, idle = 0.3 }}"
    async with running(reply, provider=quick) as house:
        got, answer, _ = await house.post(path, body)
        record = await house.record()
    assert (got, record["status"], record["outcome"]) == (status, status, "failed")
    assert record["error_code"] == code
    assert isinstance(answer["error"]["message"], str)


ALL = 'apis = ["chat", "responses", "messages"]'


@pytest.mark.parametrize(("status", "told"), [(600, 502), (999, 502), (499, 499), (488, 488), (599, 599), (288, 288)])
async def test_a_status_that_nobody_knows_passes_and_what_is_none_is_garbage(status: int, told: int) -> None:
    error = {"error": {"message": "odd", "type": "odd", "param": None, "code": "odd"}}
    async with running(Reply(status=status, body=error)) as house:
        for path, body in CALLS:
            got, said, _ = await house.post(path, body)
            assert got == told
            if told != status:
                assert said["error"].get("code", said["error"]["type"]) == "upstream_invalid_response"
        records = await house.records()
    assert {row["status"] for row in records} == {told}


async def test_an_upstream_that_is_not_there_is_502() -> None:
    async with running(settings='[providers.gone]\nbase_url = "http://127.0.0.1:9/v1"') as house:
        status, got, _ = await house.post("/v1/chat/completions", {**CHAT, "model": "gone/m"})
    assert (status, got["error"]["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize(("path", "body"), STREAMS)
@pytest.mark.parametrize("abort", ["close", "reset", "stall", "end"])
async def test_a_stream_that_breaks_off_ends_with_the_apis_error(path: str, body: dict[str, Any], abort: Any) -> None:
    reply = Reply(text="one two three four", abort_after_events=5, abort=abort, usage=Usage(input=25, output=4))
    async with running(reply, provider=f"{ALL}\ntimeouts = {{ idle = 0.3 }}") as house:
        status, got, _ = await house.post(path, body)
        record = await house.record()
    assert status == 200
    assert ERROR_MARKS[path] in got
    assert "[DONE]" not in got
    assert (record["outcome"], record["status"]) == ("failed", 200)
    assert record["error_code"]
    if path == "/v1/messages":
        assert record["input_uncached_tokens"] == 25


@pytest.mark.parametrize(("path", "body"), STREAMS)
async def test_an_error_inside_a_stream_passes_unchanged_and_fails_the_call(path: str, body: dict[str, Any]) -> None:
    error = Error(type="overloaded_error", message="busy")
    async with running(Reply(text="Hi there", error=error, error_after_events=3)) as house:
        status, got, _ = await house.post(path, body)
        record = await house.record()
        sent = (await direct(house, path, {**body, "stream_options": {"include_usage": True}})).decode()
    assert status == 200
    assert got.count("busy") == sent.count("busy")
    assert (record["outcome"], record["in_band_error"], record["error_message"]) == ("failed", 1, "busy")


@pytest.mark.parametrize("abort", ["close", "reset"])
@pytest.mark.parametrize(
    ("path", "begun"),
    [
        ("/v1/chat/completions", 'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'),
        ("/v1/responses", 'data: {"type":"response.output_text.delta","output_index":0,"delta":"Hi"}\n\n'),
        (
            "/v1/messages",
            'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n',
        ),
    ],
)
async def test_a_connection_that_fails_behind_an_error_adds_no_other(path: str, begun: str, abort: Any) -> None:
    sse = begun + 'event: error\ndata: {"type":"error","error":{"type":"server_error","message":"busy"}}\n\n'
    async with running(Reply(sse=sse, abort=abort, abort_after_bytes=len(sse))) as house:
        _, got, _ = await house.post(path, dict(STREAMS)[path])
        record = await house.record()
    assert got == sse
    assert (record["outcome"], record["in_band_error"], record["error_message"]) == ("failed", 1, "busy")


@pytest.mark.parametrize(("path", "body"), STREAMS)
async def test_a_client_that_leaves_ends_the_upstream_call_and_leaves_a_record(path: str, body: dict[str, Any]) -> None:
    async with running(Reply(text=["word "] * 500, event_delay_ms=10)) as house:
        async with aiohttp.ClientSession() as session:
            response = await session.post(house.url + path, json=body, headers={"x-api-key": house.key})
            await response.content.readany()
            response.close()
        (seen,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
        assert house.gateway.deps.in_flight.bytes == 0
    assert seen.ending == "client_closed"
    assert seen.sent_events < 500
    assert (record["outcome"], record["status"]) == ("aborted", 200)


async def test_a_client_that_leaves_before_the_answer_is_recorded_as_499() -> None:
    async with running(Reply(delay_ms=60_000)) as house:
        connection, auth = house.connect()
        body = b'{"model":"m","messages":[]}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
        connection.sendall(head + auth + b"\r\n" + body)
        await house.upstream.wait_for_requests(1)
        connection.close()
        (seen,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert seen.ending == "client_closed"
    assert (record["outcome"], record["status"]) == ("aborted", 499)


async def test_a_stream_of_items_without_number_ends_where_the_gateway_has_no_room_for_more() -> None:
    items = [{"type": "web_search_call", "id": f"{number}" + "x" * 10_000} for number in range(300)]
    said = [{"type": "response.output_item.added", "output_index": at, "item": item} for at, item in enumerate(items)]
    flood = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in said)
    settings = "[server]\nmax_in_flight_bytes = 2000000"
    async with running(Reply(sse=flood, chunk_bytes=5_000), settings=settings) as house:
        status, got, _ = await house.post("/v1/responses", {**RESPONSES, "stream": True})
        assert house.gateway.deps.in_flight.bytes == 0
    assert status == 200
    assert "response.failed" in got
    assert 'id": "299x' not in got


async def test_a_slow_reader_holds_back_the_upstream() -> None:
    async with running(Reply(text=["x" * 10_000] * 3_000)) as house:
        connection, auth = house.connect()
        body = b'{"model":"m","messages":[],"stream":true}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
        with connection:
            connection.sendall(head + auth + b"\r\n" + body)
            await house.upstream.wait_for_requests(1)
            await asyncio.sleep(1.0)
            (seen,) = house.upstream.requests
            assert seen.ending is None
            # 30 MB wait upstream: neither side of the gateway has taken them.
            assert house.gateway.deps.in_flight.bytes < 1_000_000


async def test_a_long_answer_goes_through_in_pieces_and_is_metered() -> None:
    async with running(Reply(text="y" * 3_000_000, usage=Usage(input=1, output=7))) as house:
        status, got, _ = await house.post("/v1/messages", MESSAGES)
        record = await house.record()
    assert status == 200
    assert len(got["content"][0]["text"]) == 3_000_000
    assert record["output_tokens"] == 7


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_long_answer_that_came_compressed_arrives_whole(path: str, body: dict[str, Any]) -> None:
    """Its upstream told how long it was while it was compressed."""
    said = random.Random(3).randbytes(800_000).hex()
    async with running(Reply(text=said, usage=Usage(input=1, output=7), gzip=True)) as house:
        status, got, headers = await house.post(path, body)
        record = await house.record()
        packed = len(await direct(house, path, body))
    assert status == 200
    assert said in json.dumps(got)
    assert "content-length" not in headers
    assert packed > 1_600_000
    assert (record["outcome"], record["output_tokens"]) == ("success", 7)


async def test_the_length_of_a_long_answer_is_told_where_it_is_known() -> None:
    async with running(Reply(text="y" * 3_000_000)) as house:
        _, got, headers = await house.post("/v1/messages", MESSAGES)
    assert len(got["content"][0]["text"]) == 3_000_000
    assert int(headers["content-length"]) > 3_000_000


async def test_blank_keep_alives_before_a_body_go_on_at_once() -> None:
    answer = {"id": "g", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    body = "\n   \n " + json.dumps({**answer, "usage": {"completion_tokens": 3}})
    async with running(Reply(body=body, content_type="application/json", chunk_bytes=3)) as house:
        async with aiohttp.ClientSession() as session:
            headers = {"x-api-key": house.key}
            async with session.post(house.url + "/v1/chat/completions", json=CHAT, headers=headers) as response:
                assert (await response.read()).decode() == body
        assert (await house.record())["output_tokens"] == 3


async def test_a_malformed_event_is_flagged_and_forwarded() -> None:
    sse = 'data: {"id":"c","choices":[{"delta":\n\n'
    sse += 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with running(Reply(sse=sse)) as house:
        _, got, _ = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
        record = await house.record()
    assert got == sse
    assert (record["flags"], record["outcome"]) == ("malformed_events estimated", "success")


async def test_an_error_in_a_whole_200_answer_passes_and_fails_the_call() -> None:
    async with running(Reply(body={"error": {"message": "busy", "code": 502}})) as house:
        status, got, _ = await house.post("/v1/chat/completions", CHAT)
        record = await house.record()
    assert (status, got["error"]["message"]) == (200, "busy")
    assert (record["outcome"], record["in_band_error"]) == ("failed", 1)


async def test_store_true_is_sent_on_as_false_and_said_to_be_lost() -> None:
    async with running() as house:
        assert (await house.post("/v1/responses", {**RESPONSES, "store": True}))[0] == 200
        assert house.upstream.requests[0].json["store"] is False
        assert "store" in (await house.record())["losses"]


async def test_counting_tokens_goes_to_the_upstream_and_is_no_generation() -> None:
    async with running() as house:
        status, got, _ = await house.post("/v1/messages/count_tokens?beta=true", MESSAGES)
        assert (status, got["input_tokens"] > 0) == (200, True)
        status, got, _ = await house.post("/v1/responses/input_tokens", RESPONSES)
        assert (status, got["input_tokens"] > 0) == (200, True)
        assert {record["operation"] for record in await house.records()} == {"count_tokens"}
        assert await house.gateway.operations.perform("usage", {}) == []


async def test_two_hundred_streams_at_once_each_get_their_own() -> None:
    async with running(Reply(text=["w "] * 20, event_delay_ms=5, usage=Usage(input=1, output=20))) as house:
        answers = await asyncio.gather(*(house.post(path, body) for path, body in STREAMS * 67))
        records = await house.records()
    assert [status for status, _, _ in answers] == [200] * 201
    assert {record["outcome"] for record in records} == {"success"}
    assert sum(record["output_tokens"] for record in records) == 20 * 201


async def test_a_usage_chunk_with_more_in_it_is_not_hidden() -> None:
    sse = 'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
    sse += 'data: {"choices":[],"usage":{"prompt_tokens":1},"citations":["a"]}\n\ndata: [DONE]\n\n'
    async with running(Reply(sse=sse)) as house:
        _, got, _ = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
    assert got == sse


@pytest.mark.parametrize("content_type", ["Text/Event-Stream", "text/plain", ""])
async def test_a_stream_is_known_whatever_its_content_type(content_type: str) -> None:
    sse = 'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with running(Reply(sse=sse, headers={"content-type": content_type})) as house:
        status, got, headers = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
        record = await house.record()
    assert (status, got if isinstance(got, str) else None, record["outcome"]) == (200, sse, "success")
    assert headers["content-type"].lower() == "text/event-stream"


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_whole_answer_that_says_that_it_is_a_stream_is_a_whole_answer(path: str, body: dict[str, Any]) -> None:
    reply = Reply(text="one", usage=Usage(input=4, output=6), content_type="text/event-stream")
    async with running(reply) as house:
        status, got, headers = await house.post(path, body)
        record = await house.record()
    assert (status, headers["content-type"], "one" in json.dumps(got)) == (200, "application/json", True)
    assert (record["outcome"], record["input_uncached_tokens"], record["output_tokens"]) == ("success", 4, 6)


async def test_an_error_without_a_body_is_said_in_words_of_ours() -> None:
    async with running(Reply(status=404, body="")) as house:
        status, got, headers = await house.post("/v1/messages", MESSAGES)
    assert (status, got["error"]["message"]) == (404, "The upstream answered with status 404.")
    assert "retry-after" not in headers


@pytest.mark.parametrize(("path", "body"), [CALLS[0], CALLS[2]])
async def test_when_to_come_back_is_told_in_seconds_too_where_it_came_in_milliseconds(
    path: str, body: dict[str, Any]
) -> None:
    async with running(Reply(status=503, body="", headers={"retry-after-ms": "2500"})) as house:
        status, _, headers = await house.post(path, body)
    assert (status, headers["retry-after"], headers["retry-after-ms"]) == (503, "3", "2500")


@pytest.mark.parametrize("path", ["chat/completions", "messages"], ids=["passed", "translated"])
async def test_a_header_that_does_not_say_when_to_come_back_is_none(path: str) -> None:
    error = json.dumps({"error": {"message": "slow down", "type": "rate_limit_error"}})
    head = f"HTTP/1.1 429 X\r\ncontent-type: application/json\r\nretry-after: \r\ncontent-length: {len(error)}\r\n\r\n"
    async with (
        running(Reply(raw=head + error), provider='apis = ["chat"]') as house,
        aiohttp.ClientSession() as session,
    ):
        body, sent = {**CHAT, "max_tokens": 5}, {"authorization": f"Bearer {house.key}"}
        async with session.post(f"{house.url}/v1/{path}", json=body, headers=sent) as response:
            assert (response.status, response.headers.getall("retry-after")) == (429, ["1"])


@pytest.mark.parametrize(("path", "body"), [CALLS[0], CALLS[2]])
async def test_amazons_word_for_an_error_stands_in_a_header(path: str, body: dict[str, Any]) -> None:
    headers = {"x-amzn-errortype": "ServiceQuotaExceededException:http://internal.amazon.com/coral/"}
    refused = Reply(status=400, body='{"message":"Too many."}', content_type="application/json", headers=headers)
    async with running(refused) as house:
        status, said, _ = await house.post(path, body)
        record = await house.record()
    assert (status, said["error"]["code"]) == (400, "ServiceQuotaExceededException")
    assert said["error"]["type"] == "invalid_request_error"
    assert (record["error_code"], record["error_message"]) == ("ServiceQuotaExceededException", "Too many.")


@pytest.mark.parametrize("model", ["up/m", "house/gift"])
async def test_an_answer_of_too_many_values_passes_unread(model: str) -> None:
    """How long it is is all that can be said of it, also where it comes whole and is written anew."""
    answer = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"x":[' + b"[]," * 700_000 + b"[]]}"
    gift = '[free.models."house/gift"]\nroute = "up/m"\n'
    async with running(Reply(body=answer.decode(), content_type="application/json"), settings=gift) as house:
        status, got, _ = await house.post("/v1/chat/completions", {**CHAT, "model": model})
        record = await house.record()
    assert (status, len(got["x"])) == (200, 700_001)
    assert (record["outcome"], record["flags"]) == ("success", "unmetered estimated")
    assert record["content_bytes"] == len(answer)


async def test_a_meter_that_finds_no_room_does_not_end_the_answer() -> None:
    settings = "[server]\nmax_in_flight_bytes = 2097152"
    async with running(Reply(text="y" * 5_000_000), settings=settings) as house:
        status, got, _ = await house.post("/v1/messages", MESSAGES)
        record = await house.record()
        assert house.gateway.deps.in_flight.bytes == 0
    assert (status, len(got["content"][0]["text"])) == (200, 5_000_000)
    assert record["flags"] == "unmetered estimated"
    # An estimate is no more than what was asked for.
    assert record["output_tokens"] == MESSAGES["max_tokens"]


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_connection_that_breaks_behind_the_finish_has_broken_nothing(path: str, body: dict[str, Any]) -> None:
    """The upstream speaks Chat: one answer is passed on, the others are translated."""
    sse = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
    sse += 'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    sse += 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    reset = Reply(sse=sse + "data: [DONE]\n\n", abort="reset", abort_after_bytes=len(sse))
    async with running(reset, provider='apis = ["chat"]') as house:
        status, said, _ = await house.post(path, {**body, "stream": True})
        record = await house.record()
    assert (status, "hello" in said, "error" in said.replace('"error":null', "")) == (200, True, False)
    assert (record["outcome"], record["output_tokens"], record["finish_reason"]) == ("success", 1, "stop")


async def test_clients_sdks_find_an_id_of_the_call_where_the_upstream_gives_none() -> None:
    async with running(Reply(text="hello", headers={"x-request-id": ""}), provider='apis = ["chat"]') as house:
        for path, body, name in (
            ("/v1/responses", RESPONSES, "x-request-id"),
            ("/v1/messages", MESSAGES, "request-id"),
        ):
            for stream in (False, True):
                _, _, headers = await house.post(path, {**body, "stream": stream})
                assert headers[name] == headers["x-trivium-request-id"]


@pytest.mark.parametrize("status", [302, 400, 429, 500])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_provider_that_quotes_the_houses_key_tells_nobody(path: str, body: dict[str, Any], status: int) -> None:
    quoted = Reply(status=status, error=Error(message="do not send sk-of-the-house-1 here"))
    async with running(quoted, provider=f'{ALL_APIS}\nkey = "sk-of-the-house-1"') as house:
        _, got, headers = await house.post(path, body)
        record = await house.record()
    assert "sk-of-the-house" not in f"{got}{headers}{record}"
    assert "do not send" in record["error_message"]


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize("stream", [False, True])
async def test_that_the_houses_account_is_refused_inside_a_200_is_told_to_its_operator(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    error = Error(
        message="Insufficient credits for acct user_2abc", type="insufficient_quota", code="insufficient_quota"
    )
    async with running(Rule(Reply(error=error), times=2), Reply()) as house:
        for _ in range(2):
            status, got, _ = await house.post(path, {**body, "stream": stream})
            if not stream:  # what a stream says goes on as it came
                assert (status, "user_2abc" in str(got)) == (503, False)
        for record in await house.records():
            assert (record["outcome"], "user_2abc" in record["error_message"]) == ("failed", True)
        assert [alert.calls for alert in house.gateway.deps.alerts.all()] == [2]
        await house.post(path, {**body, "stream": stream})
        await house.records()
        assert house.gateway.deps.alerts.all() == []


@pytest.mark.parametrize(("kind", "status"), [("qwen", 429), ("openai", 503)])
async def test_what_alibaba_calls_a_quota_is_a_limit_of_tokens_a_minute(kind: str, status: int) -> None:
    error = Error(
        message="You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota",
        code="insufficient_quota",
    )
    async with running(Reply(status=429, error=error), provider=f'type = "{kind}"\nkey = "sk-x"') as house:
        got, _, headers = await house.post(*CALLS[0])
        alerts = house.gateway.deps.alerts.standing
    assert (got, len(alerts), "retry-after" in headers) == (status, int(status == 503), True)


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"]}}},
        {"code": "no permission", "error": "Content violates usage guidelines. Team: t-1, Failed check: SAFETY_CHECK"},
    ],
    ids=["openrouter", "xai"],
)
async def test_what_a_content_filter_refuses_is_no_outage(
    path: str, body: dict[str, Any], answer: dict[str, Any]
) -> None:
    async with running(Reply(status=403, body=answer)) as house:
        status, got, headers = await house.post(path, body)
        record = await house.record()
        alerts = house.gateway.deps.alerts.standing
    assert (status, alerts, record["upstream_status"]) == (403, {}, 403)
    assert "t-1" not in str(got)
    assert "retry-after" not in headers
    assert "flagged" in record["error_message"] or "usage guidelines" in record["error_message"]
