"""Calls with an idempotency key, as a client meets them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway import ALL_APIS, CHAT, Running, running
from gateway import CALLS as CONVERSATIONS
from support_money import CREDITS, PRICES, customer, settled, shop, streamed, whole
from support_pace import at_once, held
from support_people import People
from support_solo import CALLS as SOLO_CALLS
from support_solo import SOLO
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.policy.access import Gate

KEY = {"idempotency-key": "order-66"}
OURS = {"x-trivium-idempotency-key": "order-66"}
EVERY = 'apis = ["chat", "responses", "messages", "embeddings", "fim"]\nmodels = ["m", "e-1"]'
REPLY = Reply(text="hello", usage=Usage(input=7, output=3))


async def raw(
    house: Running, path: str, body: Any, *, key: str | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, exact bytes and headers."""
    sent = {"authorization": f"Bearer {key or house.key}", **headers}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(house.url + path, data=data, headers=sent) as response:
        told = {name.lower(): value for name, value in response.headers.items()}
        return response.status, await response.read(), told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), [*CONVERSATIONS, *SOLO_CALLS])
async def test_the_same_call_again_gets_the_same_bytes_and_nobody_is_called(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    asked = {**body, "stream": True} if stream else body
    async with running(REPLY, provider=EVERY) as house:
        first, again = [await raw(house, path, asked, **KEY) for _ in range(2)]
        assert len(house.upstream.requests) == 1
        replay, original = await house.records()
    assert first[:2] == (200, again[1])
    assert first[1]
    assert (again[0], again[2]["x-trivium-replayed"]) == (200, "true")
    assert "x-trivium-replayed" not in first[2]
    assert again[2]["content-type"] == first[2]["content-type"]
    assert again[2]["x-trivium-request-id"] == replay["id"] != original["id"]
    assert (replay["outcome"], replay["flags"], replay["cost_nano"]) == ("success", "replayed", 0)
    assert (replay["status"], replay["response_bytes"], replay["upstream_status"]) == (200, len(again[1]), None)
    assert (replay["input_uncached_tokens"], replay["output_tokens"]) == (0, 0)


@pytest.mark.parametrize("api", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_charged_once(api: str, stream: bool) -> None:
    used = (
        {"prompt_tokens": 1000, "completion_tokens": 10}
        if api == "chat"
        else {"input_tokens": 1000, "output_tokens": 10}
    )
    reply = Reply(sse=streamed(api, "Hi", used)) if stream else Reply(body=whole(api, "Hi", used))
    path, body = {"chat": CONVERSATIONS[0], "messages": CONVERSATIONS[2]}[api]
    async with shop(reply, settings=CREDITS) as house:
        acme = await customer(house)
        for _ in range(3):
            assert (await raw(house, path, {**body, "stream": stream}, **OURS))[0] == 200
        costs = [record["cost_nano"] for record in await settled(house)]
        assert await acme.balance() == ("0.99685", "0")
    assert costs == [0, 0, 1000 * 3000 + 10 * 15_000]


@pytest.mark.parametrize(("path", "body"), [*CONVERSATIONS, *SOLO_CALLS])
async def test_another_call_with_the_same_key_is_refused_in_the_apis_shape(path: str, body: dict[str, Any]) -> None:
    async with running(REPLY, provider=EVERY) as house:
        await raw(house, path, body, **KEY)
        status, answer, headers = await house.post(path, {**body, "user": "another"}, headers=KEY)
        assert len(house.upstream.requests) == 1
        record = (await house.records())[0]
    assert (status, answer["error"]["code"]) == (422, "idempotency_conflict")
    assert ("request_id" in answer) == (path == "/v1/messages")
    assert headers["x-should-retry"] == "false"
    assert (record["outcome"], record["cost_nano"]) == ("refused", 0)


async def test_the_same_bytes_at_another_path_or_with_another_query_are_another_call() -> None:
    async with running(REPLY) as house:
        body = {**CHAT, "input": "hi"}
        await raw(house, "/v1/chat/completions", body, **KEY)
        assert (await raw(house, "/v1/responses", body, **KEY))[0] == 422
        assert (await raw(house, "/v1/chat/completions?beta=true", body, **KEY))[0] == 422
        # The other prefixes are the same API.
        assert (await raw(house, "/api/gateway/chat/completions", body, **KEY))[2]["x-trivium-replayed"] == "true"


async def test_a_key_is_its_callers_own() -> None:
    async with running(REPLY) as house:
        other = house.gateway.store.keys.create("other")[1]
        await raw(house, "/v1/chat/completions", CHAT, **KEY)
        status, _, headers = await raw(house, "/v1/chat/completions", {**CHAT, "n": 1}, key=other, **KEY)
        assert (status, "x-trivium-replayed" in headers) == (200, False)
        assert len(house.upstream.requests) == 2


@pytest.mark.parametrize("name", ["idempotency-key", "x-trivium-idempotency-key"])
async def test_the_provider_is_told_a_key_of_its_own(name: str) -> None:
    """The same for the same call, so that a provider that knows such keys does it once, too."""
    failed = Rule(Reply(status=500), times=2)
    async with running(failed, REPLY) as house:
        other = house.gateway.store.keys.create("other")[1]
        for key in (None, None, other):
            await raw(house, "/v1/chat/completions", CHAT, key=key, **{name: "order-66"})
        await raw(house, "/v1/chat/completions", CHAT)
        told = [dict(request.headers).get("idempotency-key") for request in house.upstream.requests]
    first, again, others, none = told
    assert first == again != others
    assert None not in (first, others)
    assert "order-66" not in (first, others)
    assert none is None


async def test_the_provider_is_told_another_key_where_another_organization_pays() -> None:
    async with running(REPLY) as house:
        people = People(house)
        await people.organization("acme")
        key = await people.key(user="acme-member")
        for headers in ({}, {"x-trivium-organization": "acme"}):
            status, _, told = await raw(house, "/v1/chat/completions", CHAT, key=key, **KEY, **headers)
            assert (status, "x-trivium-replayed" in told) == (200, False)
        keys = {dict(request.headers)["idempotency-key"] for request in house.upstream.requests}
    assert len(keys) == 2


async def test_a_provider_takes_no_other_call_for_one_that_failed() -> None:
    """A key is free again where its call failed: what comes with it then is another call to the provider, too."""
    async with running(Rule(Reply(status=500), times=1), REPLY) as house:
        for body in (CHAT, {**CHAT, "temperature": 0}):
            await raw(house, "/v1/chat/completions", body, **KEY)
        first, other = (dict(request.headers)["idempotency-key"] for request in house.upstream.requests)
    assert first != other


async def test_of_two_at_once_one_is_made_and_the_other_told_to_come_again() -> None:
    async with running(Reply(text="hello")) as house:
        answers = await at_once((house.post("/v1/chat/completions", CHAT, headers=KEY) for _ in range(4)), 1)
        assert sorted(status for status, _, _ in answers) == [200, 409, 409, 409]
        _, answer, headers = next(one for one in answers if one[0] == 409)
        assert (answer["error"]["code"], headers["retry-after"]) == ("idempotency_in_progress", "1")
        assert "x-should-retry" not in headers
        assert len(house.upstream.requests) == 1
        assert (await house.post("/v1/chat/completions", CHAT, headers=KEY))[2]["x-trivium-replayed"] == "true"


async def test_of_several_at_once_that_come_behind_the_answer_each_gets_it() -> None:
    async with running(REPLY) as house:
        _, first, _ = await raw(house, "/v1/chat/completions", CHAT, **KEY)
        again = await asyncio.gather(*(raw(house, "/v1/chat/completions", CHAT, **KEY) for _ in range(5)))
        assert [(status, body) for status, body, _ in again] == [(200, first)] * 5
        assert len(house.upstream.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=500, error=Error()),
        Reply(status=429, error=Error()),
        Reply(body={"error": {"message": "no", "type": "overloaded"}}),
        Reply(body="<html>"),
        Reply(abort="close"),
    ],
)
async def test_a_call_that_failed_is_made_anew(failure: Reply) -> None:
    async with running(Rule(failure, times=1), REPLY) as house:
        await house.post("/v1/chat/completions", CHAT, headers=KEY)
        status, answer, headers = await house.post("/v1/chat/completions", CHAT, headers=KEY)
        assert (status, "hello" in str(answer), "x-trivium-replayed" in headers) == (200, True, False)
        assert len(house.upstream.requests) == 2


@pytest.mark.parametrize(
    "broken",
    [
        Reply(text="one two three", abort="close", abort_after_events=2),
        Reply(text="one", error=Error(), error_after_events=2),
    ],
)
async def test_a_stream_that_broke_off_is_made_anew(broken: Reply) -> None:
    async with running(Rule(broken, times=1), REPLY) as house:
        body = {**CHAT, "stream": True}
        await raw(house, "/v1/chat/completions", body, **KEY)
        status, said, headers = await raw(house, "/v1/chat/completions", body, **KEY)
        assert (status, b"hello" in said, "x-trivium-replayed" in headers) == (200, True, False)


async def test_a_refused_call_frees_its_key() -> None:
    async with shop(
        Reply(body=whole("chat", "Hi", {"prompt_tokens": 1, "completion_tokens": 1})), settings=CREDITS
    ) as house:
        acme = await customer(house, usd="0")
        body = {**CHAT, "max_tokens": 10}
        assert (await house.post("/v1/chat/completions", body, headers=KEY))[0] == 402
        await house.gateway.operations.perform("credits.top_up", {"account": acme.id, "usd": "1"})
        assert (await house.post("/v1/chat/completions", body, headers=KEY))[0] == 200


async def test_a_client_that_leaves_frees_its_key() -> None:
    slow = Rule(Reply(text=["one", "two"], abort="stall", abort_after_events=2), times=1)
    async with running(slow, REPLY) as house:
        body = {**CHAT, "stream": True}
        headers = {"authorization": f"Bearer {house.key}", **KEY}
        async with aiohttp.ClientSession() as session:
            response = await session.post(house.url + "/v1/chat/completions", json=body, headers=headers)
            await response.content.readany()
            response.close()
        await house.records()
        status, said, _ = await raw(house, "/v1/chat/completions", body, **KEY)
        assert (status, b"hello" in said) == (200, True)


async def test_an_answer_that_is_too_long_is_sent_and_not_kept() -> None:
    settings = '[models."up/*"]\nfree = true\n[idempotency]\nmax_answer_bytes = 2000\n'
    async with running(Reply(text="long " * 1000), settings=settings) as house:
        for stream in (False, True):
            for _ in range(2):
                status, _, headers = await raw(house, "/v1/chat/completions", {**CHAT, "stream": stream}, **KEY)
                assert (status, "x-trivium-replayed" in headers) == (200, False)
        assert (len(house.upstream.requests), house.gateway.deps.in_flight.bytes) == (4, 0)


async def test_beyond_the_budget_nothing_more_is_kept() -> None:
    settings = '[models."up/*"]\nfree = true\n[idempotency]\nmax_total_bytes = 1500\n'
    async with running(REPLY, settings=settings) as house:
        replayed = []
        for key in ("a", "b", "c", "d"):
            for _ in range(2):
                told = (await raw(house, "/v1/chat/completions", CHAT, **{"idempotency-key": key}))[2]
            replayed.append("x-trivium-replayed" in told)
    assert replayed[0]
    assert not replayed[-1]


async def test_it_can_be_switched_off() -> None:
    settings = '[models."up/*"]\nfree = true\n[idempotency]\nhours = 0\n'
    async with running(REPLY, settings=settings) as house:
        for _ in range(2):
            assert "x-trivium-replayed" not in (await raw(house, "/v1/chat/completions", CHAT, **KEY))[2]


@pytest.mark.parametrize(
    ("allowed", "policy", "replays"),
    [(False, {}, False), (True, {}, True), (True, {"zdr": True}, False)],
)
async def test_answers_to_organizations_are_kept_where_the_operator_allows_it(
    allowed: bool, policy: dict[str, Any], replays: bool
) -> None:
    settings = f'[models."up/*"]\nfree = true\n[idempotency]\norganizations = {str(allowed).lower()}\n'
    async with running(Reply(text="hello"), settings=settings, provider=f"{SOLO}\nretains_data = false") as house:
        staff = People(house)
        await staff.organization("acme", policy=policy)
        key = await staff.key(organization="acme", user="acme-member")
        calls = [raw(house, "/v1/chat/completions", CHAT, key=key, **KEY) for _ in range(2)]
        assert sorted([status for status, _, _ in await at_once(calls, 1)]) == [200, 409]
        _, _, headers = await raw(house, "/v1/chat/completions", CHAT, key=key, **KEY)
        assert ("x-trivium-replayed" in headers) is replays
        await house.gateway.store.ledger.writer.flush()
        kept = await house.gateway.store.database.ask("SELECT sealed FROM answers")
    assert len(kept) == replays


async def test_nothing_of_it_can_be_read_in_the_database() -> None:
    async with running(Reply(text="a secret answer"), provider=SOLO) as house:
        body = {**CHAT, "messages": [{"role": "user", "content": "a secret question"}]}
        await raw(house, "/v1/chat/completions", body, **KEY)
        ((row),) = await house.gateway.store.database.ask("SELECT id, question, sealed FROM answers")
    content = b"".join(map(bytes, row))
    assert b"secret" not in content
    assert b"order-66" not in content


async def test_callers_without_a_key_and_counts_of_tokens_pass_it_over() -> None:
    settings = '[free]\nanonymous = true\n[models."up/*"]\nfree = true\n'
    async with running(
        Rule(Reply(usage=Usage(input=3)), Match(path="*/input_tokens")), REPLY, settings=settings
    ) as house:
        for _ in range(2):
            status, _, headers = await house.post("/v1/chat/completions", CHAT, key=None, headers=KEY)
            assert (status, "x-trivium-replayed" in headers) == (200, False)
            counted = {"model": "m", "input": "hi"}
            assert "x-trivium-replayed" not in (await raw(house, "/v1/responses/input_tokens", counted, **KEY))[2]


@pytest.mark.parametrize("key", [" ", "x" * 256])
async def test_a_key_that_is_none_is_a_400(key: str) -> None:
    async with running(REPLY) as house:
        status, answer, _ = await house.post("/v1/chat/completions", CHAT, headers={"x-trivium-idempotency-key": key})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (
        400,
        "invalid_field",
        "x-trivium-idempotency-key",
    )


async def test_a_caller_who_may_no_longer_call_gets_no_answer_from_before() -> None:
    async with running(REPLY) as house:
        assert (await raw(house, "/v1/chat/completions", CHAT, **KEY))[0] == 200
        await People(house).settings(apis={"chat_completions": {"open_to": "admins"}})
        assert (await raw(house, "/v1/chat/completions", CHAT, **KEY))[0] == 403


async def test_a_replay_takes_no_room_in_limits() -> None:
    async with running(REPLY) as house:
        key = await People(house).key(limits={"requests_per_minute": 1})
        statuses = [(await raw(house, "/v1/chat/completions", CHAT, key=key, **KEY))[0] for _ in range(3)]
        assert statuses == [200, 200, 200]
        assert (await raw(house, "/v1/chat/completions", CHAT, key=key))[0] == 429


ONE_GIFT = (
    f'[models."up/m-1"]\n{PRICES}\n[free]\nper_user_per_hour = 1\n'
    '[free.models."house/gift"]\nroute = "up/m-1"\ncontext = 9000\n'
)


async def test_no_limit_of_free_models_counts_or_refuses_a_call_from_before() -> None:
    gift = {**CHAT, "model": "house/gift"}
    async with running(Reply(text="hello"), settings=ONE_GIFT, provider=ALL_APIS) as house:
        with held():
            first = asyncio.create_task(raw(house, "/v1/chat/completions", gift, **KEY))
            await house.upstream.wait_for_requests(1)
            assert (await raw(house, "/v1/chat/completions", gift, **KEY))[0] == 409
        answer = await first
        for _ in range(2):
            again = await raw(house, "/v1/chat/completions", gift, **KEY)
            assert (again[0], again[1]) == (200, answer[1])
        records = await house.records()
        assert [record["flags"] for record in records[:2]] == ["replayed"] * 2
        status, _, headers = await raw(house, "/v1/chat/completions", gift, **{"idempotency-key": "order-67"})
        assert (status, "retry-after" in headers) == (429, True)
        assert (await house.records())[0]["flags"] == "free_limit"
        assert len(house.upstream.requests) == 1


async def test_who_may_not_call_hears_that_before_any_answer_and_the_limit_before_it() -> None:
    """The order of the checks is that of calls without a key: 7 before 9 and 10."""
    gift = {**CHAT, "model": "house/gift"}
    async with running(REPLY, settings=ONE_GIFT, provider=ALL_APIS) as house:
        await raw(house, "/v1/chat/completions", gift, **KEY)
        deps = house.gateway.deps
        deps.house = msgspec.structs.replace(deps.house, apis={"chat_completions": Gate(open_to="admins")})
        for headers in (KEY, {}):
            assert (await raw(house, "/v1/chat/completions", gift, **headers))[0] == 429
        deps.house = msgspec.structs.replace(deps.house, apis={})
        assert (await raw(house, "/v1/chat/completions", gift, **KEY))[2]["x-trivium-replayed"] == "true"
