"""Which check wins, what each API's caller reads, and the record that every call leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from gateway import CALLS, CHAT, MESSAGES, RESPONSES, running
from trivium.canon.api import Api
from trivium.mock import Reply, Rule, Usage

SPOKEN_AT = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


def message_of(api_path: str, body: dict[str, Any]) -> str:
    """The error's message, from where the API's SDK looks for it."""
    if api_path.startswith("/v1/messages"):
        assert body["type"] == "error"
        assert isinstance(body["error"]["type"], str)
        assert body["request_id"].startswith("req_")
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    message: str = body["error"]["message"]
    return message


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_call_is_answered_and_recorded(path: str, body: dict[str, Any]) -> None:
    async with running(Reply(text="hello", usage=Usage(input=7, cache_read=3, output=5, reasoning=2))) as house:
        status, answer, headers = await house.post(path, body)
        record = await house.record()
    assert status == 200
    assert headers["x-trivium-request-id"] == record["id"]
    assert "hello" in str(answer)
    assert (record["outcome"], record["status"], record["finish_reason"]) == ("success", 200, "stop")
    assert (record["provider"], record["upstream_model"], record["requested_model"]) == ("up", "m", "m")
    tokens = ("input_uncached_tokens", "cache_read_tokens", "output_tokens")
    assert [record[name] for name in tokens] == [7, 3, 5]
    assert record["queue_us"] <= record["ttfb_us"] <= record["total_us"]


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_without_a_key_a_valid_request_is_401_and_the_upstream_hears_nothing(
    path: str, body: dict[str, Any]
) -> None:
    async with running() as house:
        status, answer, _ = await house.post(path, body, key=None)
        record = await house.record()
        assert house.upstream.requests == []
    assert status == 401
    assert "No API key" in message_of(path, answer)
    assert (record["outcome"], record["error_code"]) == ("refused", "paid_model_auth_required")


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_wrong_key_is_401_before_the_body_is_even_json(path: str, body: dict[str, Any]) -> None:
    async with running() as house:
        for key in ("tv-wrong", "sk-ant-other", "nonsense"):
            status, answer, _ = await house.post(path, b"{", key=key)
            assert status == 401
            assert "not valid" in message_of(path, answer)


async def test_a_key_in_x_api_key_beside_a_foreign_bearer_token_counts() -> None:
    async with running() as house:
        both = {"authorization": "Bearer sk-left-over", "x-api-key": house.key}
        assert (await house.post("/v1/messages", MESSAGES, key=None, headers=both))[0] == 200
        two = {"authorization": f"Bearer {house.key}", "x-api-key": "tv-another"}
        assert (await house.post("/v1/messages", MESSAGES, key=None, headers=two))[0] == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([("x-api-key", "wrong"), ("x-api-key", "anonymous")], 401),
        ([("authorization", "Bearer wrong"), ("authorization", "anonymous"), ("x-api-key", "anonymous")], 401),
        ([("x-api-key", "anonymous"), ("x-api-key", "anonymous")], 200),
        ([("x-api-key", ""), ("x-api-key", "anonymous"), ("accept", "a"), ("accept", "b")], 200),
        ([("authorization", "Bearer OURS"), ("authorization", "Bearer OTHER")], 401),
        ([("Authorization", "Bearer OTHER"), ("Authorization", "Bearer OURS")], 401),
        ([("x-api-key", "OURS"), ("x-api-key", "tv-wrong")], 401),
        ([("x-api-key", "tv-wrong"), ("x-api-key", "OURS")], 401),
        ([("x-api-key", "OURS"), ("x-api-key", "OURS"), ("authorization", "bearer OURS")], 200),
        ([("x-api-key", "OURS"), ("x-api-key", "sk-left-over")], 200),
        ([("authorization", "Bearer OURS"), ("authorization", "Basic eDp5")], 200),
        ([("authorization", "Bearer OURS , Bearer OTHER")], 401),
    ],
)
async def test_no_credential_hides_behind_another_of_its_header(sent: list[tuple[str, str]], status: int) -> None:
    """The behaviour page, section 3, for headers that are sent more than once."""
    async with running(settings="[free]\nanonymous = true\n") as house:
        keys = {"OURS": house.key, "OTHER": house.gateway.store.keys.create("other")[1]}
        headers = CIMultiDict[str]()
        for name, value in sent:
            headers.add(name, " ".join(keys.get(word, word) for word in value.split(" ")))
        for path, body in CALLS:
            async with (
                aiohttp.ClientSession() as session,
                session.post(house.url + path, json=body, headers=headers) as response,
            ):
                assert response.status == status
        assert len(house.upstream.requests) == (3 if status == 200 else 0)


@pytest.mark.parametrize("path", [path for path, _ in CALLS])
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "not valid JSON"),
        (b"[1]", 400, "must be a JSON object"),
        (b'{"model": 7}', 400, "`model` must be a string"),
        (b'{"messages": []}', 400, "`model` is required"),
        (b'{"model": "  "}', 400, "`model` is required"),
        (b'{"model": "m", "stream": "yes"}', 400, "`stream` must be true or false"),
        (b'{"model": ' + b"[" * 100_000, 400, "nested too deeply"),
        (b'{"model": "nobody/knows"}', 404, "does not exist"),
    ],
)
async def test_bad_input_is_said_in_the_callers_shape(path: str, body: bytes, status: int, words: str) -> None:
    async with running(provider='apis = ["chat", "responses", "messages"]\nmodels = ["m"]') as house:
        got, answer, _ = await house.post(path, body)
        record = await house.record()
        assert house.upstream.requests == []
    assert got == status
    assert words in message_of(path, answer)
    assert (record["outcome"], record["status"]) == ("refused", status)


async def test_a_body_over_the_cap_is_413_whether_announced_or_not() -> None:
    async with running(settings="[server]\nmax_body_bytes = 2048") as house:
        status, answer, _ = await house.post("/v1/messages", b" " * 2049)
        assert (status, answer["error"]["type"]) == (413, "request_too_large")
        connection, auth = house.connect()
        with connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + auth)
            connection.sendall(b"transfer-encoding: chunked\r\n\r\n" + b"400\r\n" + b" " * 1024 + b"\r\n")
            connection.sendall(b"401\r\n" + b" " * 1025 + b"\r\n0\r\n\r\n")
            assert b"413" in await asyncio.to_thread(connection.recv, 100)


async def test_a_caller_without_a_key_may_send_less() -> None:
    async with running(settings="[server]\nmax_anonymous_body_bytes = 1024") as house:
        assert (await house.post("/v1/messages", b" " * 1025, key=None))[0] == 413
        assert (await house.post("/v1/messages", b" " * 1025))[0] == 400


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer anonymous"}])
async def test_a_body_that_is_too_large_for_everybody_is_told_what_this_caller_may_send(
    headers: dict[str, str],
) -> None:
    settings = "[server]\nmax_anonymous_body_bytes = 1024\nmax_body_bytes = 2048"
    async with running(settings=settings) as house:
        for key, most in ((None, 1024), (house.key, 2048)):
            status, answer, _ = await house.post(
                "/v1/messages", b" " * 2049, key=key, headers=headers if not key else {}
            )
            assert (status, f"is larger than {most} bytes" in answer["error"]["message"]) == (413, True)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/responses", {**RESPONSES, "previous_response_id": "resp_1"}, "previous_response_id"),
        ("/v1/responses", {**RESPONSES, "conversation": {"id": "c"}}, "conversation"),
        ("/v1/responses", {**RESPONSES, "background": True}, "background"),
        ("/v1/responses", {**RESPONSES, "input": [{"type": "item_reference", "id": "i"}]}, "input"),
        ("/v1/messages", {**MESSAGES, "thread": "t"}, "thread"),
    ],
)
async def test_state_that_is_not_kept_is_refused_by_name(path: str, body: dict[str, Any], field: str) -> None:
    async with running() as house:
        status, answer, _ = await house.post(path, body)
    assert status == 400
    assert f"`{field}`" in message_of(path, answer)


@pytest.mark.parametrize("spoken", SPOKEN_AT)
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_model_whose_upstream_speaks_another_api_answers_all_the_same(
    path: str, body: dict[str, Any], spoken: str
) -> None:
    said = Reply(text="hello", usage=Usage(input=7, output=5))
    async with running(said, provider=f'apis = ["{spoken}"]') as house:
        status, answer, _ = await house.post(path, body)
        record = await house.record()
        (sent,) = house.upstream.requests
    assert status == 200
    assert "hello" in str(answer)
    assert sent.path == SPOKEN_AT[spoken]
    assert record["upstream_api"] == Api.parse(spoken)
    assert (record["outcome"], record["finish_reason"]) == ("success", "stop")
    assert (record["input_uncached_tokens"], record["output_tokens"]) == (7, 5)


async def test_a_gate_on_an_alias_closes_the_name_that_the_list_shows() -> None:
    async with running(settings='[aliases]\nquick = "up/m"') as house:
        gates = {"settings": {"models": {"quick ": {"open_to": "admins"}}}}
        await house.gateway.operations.perform("settings.set", gates)
        status, answer, _ = await house.post("/v1/chat/completions", {**CHAT, "model": "quick"})
        assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
        assert (await house.post("/v1/chat/completions", {**CHAT, "model": "up/m"}))[0] == 200
        headers = {"authorization": f"Bearer {house.key}"}
        async with aiohttp.ClientSession() as session, session.get(house.url + "/v1/models", headers=headers) as listed:
            assert "quick" not in [model["id"] for model in (await listed.json())["data"]]


async def test_an_alias_a_prefix_and_a_padded_name_reach_the_same_model() -> None:
    async with running(settings='[aliases]\nquick = "up/m"') as house:
        for name in ("quick", "up/m", " m "):
            assert (await house.post("/v1/chat/completions", {**CHAT, "model": name}))[0] == 200
        assert [request.json["model"] for request in house.upstream.requests] == ["m", "m", "m"]


async def test_a_full_budget_of_bytes_is_503_with_retry_after_and_frees_again() -> None:
    async with running(settings="[server]\nmax_in_flight_bytes = 1048576") as house:
        large = {**CHAT, "messages": [{"role": "user", "content": "x" * 1_100_000}]}
        status, answer, headers = await house.post("/v1/chat/completions", large)
        assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert (await house.post("/v1/chat/completions", CHAT))[0] == 200
        assert house.gateway.deps.in_flight.bytes == 0


async def test_what_a_call_in_progress_holds_is_no_room_for_others_until_it_is_over() -> None:
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 700_000}]}
    rules = (Rule(Reply(delay_ms=600_000), times=1), Reply(text="Hi"))
    async with running(*rules, settings="[server]\nmax_in_flight_bytes = 1048576") as house:
        asking = asyncio.create_task(house.post("/v1/chat/completions", large))
        await house.upstream.wait_for_requests(1)
        status, answer, _ = await house.post("/v1/chat/completions", large)
        assert (status, answer["error"]["code"]) == (503, "overloaded")
        asking.cancel()
        assert [record["outcome"] for record in await house.records()] == ["refused", "aborted"]
        assert (await house.post("/v1/chat/completions", large))[0] == 200


async def test_a_compressed_body_is_refused_in_words() -> None:
    async with running() as house:
        for path, _ in CALLS:
            status, answer, headers = await house.post(path, b"x", headers={"content-encoding": "zstd"})
            assert (status, answer["error"]["code"], headers["accept-encoding"]) == (415, "not_json", "identity")
            assert "zstd" in answer["error"]["message"]


async def test_a_body_that_is_compressed_by_its_framing_is_refused_in_words() -> None:
    async with running() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\nx-api-key: %b\r\n" % house.key.encode()
        writer.write(head + b"transfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert (answer.split(b" ")[1], b"compressed (gzip, chunked)" in answer) == (b"400", True)


async def test_a_full_backlog_of_records_refuses_calls_rather_than_lose_what_they_do() -> None:
    async with running() as house:
        house.gateway.store.ledger.writer._backlog = 0
        status, answer, headers = await house.post("/v1/chat/completions", CHAT)
        assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "store_unavailable", "1")


async def test_a_failing_store_is_503_and_never_401() -> None:
    async with running() as house:
        with house.gateway.store.database.transaction() as tx:
            tx.execute("ALTER TABLE keys RENAME TO gone")
        status, answer, _ = await house.post("/v1/chat/completions", CHAT)
        assert (status, answer["error"]["code"]) == (503, "store_unavailable")


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_who_asks_for_more_than_any_model_gives_is_told_not_to_ask_again(path: str, body: dict[str, Any]) -> None:
    async with running() as house:
        name = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        status, _, headers = await house.post(path, {**body, name: 10**12})
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (503, "3600", "false")
        assert house.upstream.requests == []
        assert (await house.record())["outcome"] == "refused"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_record_says_that_the_request_named_transforms(stream: bool) -> None:
    async with running(Reply(text="Hi"), Reply(status=500), Reply(text="Hi"), Reply(text="Hi")) as house:
        for transforms in (["middle-out"], ["middle-out"], [], None):
            await house.post("/v1/chat/completions", {**CHAT, "stream": stream, "transforms": transforms})
        flags = [record["flags"] for record in reversed(await house.records())]
    assert flags == ["transforms", "transforms", "", ""]
