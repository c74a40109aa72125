"""Limits as a caller meets them: through the HTTP server, in all three APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from gateway import CALLS, CHAT, MESSAGES, RESPONSES, Running, running
from support_limits import PATH, key, message, passed, rule
from support_money import customer, streamed
from support_pace import at_once
from trivium.mock import Error, Reply, Usage
from trivium.policy.access import Gate
from trivium.policy.caller import Limits, OrganizationSettings, Role
from trivium.policy.counters import Claim
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User

REPLY = Reply(text="Hi", usage=Usage(input=25, output=20))


async def ask(gateway: Running, key: str, body: Any = CHAT, path: str = PATH) -> tuple[int, Any, dict[str, str]]:
    return await gateway.post(path, body, key=key)


class TestRefusals:
    @pytest.mark.parametrize(("path", "body"), CALLS)
    async def test_a_full_minute_is_a_429_in_the_apis_shape_that_says_which_limit_of_whom(
        self, path: str, body: dict[str, Any]
    ) -> None:
        async with running(REPLY) as gateway:
            limited = key(gateway, requests_per_minute=1)
            assert (await ask(gateway, limited, body, path))[0] == 200
            status, answer, headers = await ask(gateway, limited, body, path)
            assert status == 429
            error = answer["error"]
            assert error["code"] == "rate_limited"
            assert error["type"] == ("rate_limit_error" if path == "/v1/messages" else "rate_limit_exceeded")
            assert error["message"].startswith(
                "The limit of 1 requests per minute of this API key is reached. Try again in "
            )
            assert (error["limit"], error["limit_of"]) == ("requests_per_minute", "key")
            assert 55 <= int(headers["retry-after"]) <= 65
            assert "x-should-retry" not in headers
            assert len(gateway.upstream.requests) == 1
            refused, answered = await gateway.records()
            assert (refused["outcome"], refused["status"], refused["error_code"]) == ("refused", 429, "rate_limited")
            assert refused["requested_model"] == "m"
            assert refused["cost_nano"] == 0
            assert answered["outcome"] == "success"

    async def test_a_call_that_was_refused_counts_nowhere(self) -> None:
        async with running(REPLY) as gateway:
            rule(gateway, limits_by_model={"m": Limits(requests_per_minute=2)})
            narrow, wide = key(gateway, requests_per_minute=1), key(gateway)
            assert [(await ask(gateway, narrow))[0] for _ in range(5)] == [200, 429, 429, 429, 429]
            assert [(await ask(gateway, wide))[0] for _ in range(2)] == [200, 429]

    async def test_0_allows_nothing_and_says_that_no_waiting_helps(self) -> None:
        async with running(REPLY) as gateway:
            status, answer, headers = await ask(gateway, key(gateway, requests_per_minute=0))
            assert (status, message(answer)) == (
                429,
                "The limit of 0 requests per minute of this API key allows no request.",
            )
            assert (headers["retry-after"], headers["x-should-retry"]) == ("3600", "false")

    async def test_a_forbidden_model_is_told_before_a_limit_and_a_limit_before_the_balance(self) -> None:
        credits = '[billing]\nmode = "credits"\n[models."up/*"]\nprice = { input = 1, output = 1 }\n'
        async with running(REPLY, settings=credits) as gateway:
            limited = key(gateway, requests_per_minute=0)
            assert (await ask(gateway, limited))[0] == 429
            rule(gateway, models={"m": Gate(open_to="named")})
            assert (await ask(gateway, limited))[0] == 403
            rule(gateway)
            assert (await ask(gateway, key(gateway)))[0] == 402

    async def test_counting_tokens_counts_as_a_request_and_as_nothing_else(self) -> None:
        async with running(REPLY) as gateway:
            limited = key(gateway, requests_per_minute=2, input_tokens_per_minute=1, output_tokens_per_minute=0)
            asked = {"model": "m", "messages": MESSAGES["messages"]}
            paths = ["/v1/messages/count_tokens"] * 3
            assert [(await ask(gateway, limited, asked, path))[0] for path in paths] == [200, 200, 429]

    async def test_the_sdks_raise_their_rate_limit_errors(self) -> None:
        async with running(REPLY) as gateway:
            limited = key(gateway, requests_per_minute=0)
            chat = openai.AsyncOpenAI(api_key=limited, base_url=f"{gateway.url}/v1")
            messages = anthropic.AsyncAnthropic(api_key=limited, base_url=gateway.url)
            async with chat, messages:
                with pytest.raises(openai.RateLimitError, match="allows no request"):
                    await chat.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
                with pytest.raises(anthropic.RateLimitError, match="allows no request"):
                    await messages.messages.create(
                        model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
                    )
            assert len(await gateway.records()) == 2, "neither tried again"


class TestWhose:
    async def test_a_key_of_its_own_and_the_houses_default_for_the_others(self) -> None:
        async with running(REPLY) as gateway:
            rule(gateway, key_limits=Limits(requests_per_minute=1))
            own, other = key(gateway, requests_per_minute=2), key(gateway)
            assert [(await ask(gateway, own))[0] for _ in range(3)] == [200, 200, 429]
            assert [(await ask(gateway, other))[0] for _ in range(2)] == [200, 429]

    async def test_all_keys_of_a_user_together(self, gateway: Running) -> None:
        store = gateway.gateway.store
        ann = User(id="ann", name="Ann", limits=Limits(requests_per_minute=2), created_ms=1)
        await store.users.add(ann, "operator")
        answers = [await ask(gateway, store.keys.create("k", user_id="ann")[1]) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert message(answers[2][1]).startswith("The limit of 2 requests per minute of the user ann is reached.")

    async def test_all_members_of_an_organization_together_and_not_their_own_calls(self, gateway: Running) -> None:
        store = gateway.gateway.store
        settings = OrganizationSettings(limits=Limits(requests_per_minute=1))
        await store.organizations.add(
            OrganizationRow(id="acme", name="Acme", settings=settings, created_ms=1), None, "operator"
        )
        keys = []
        for name in ("ann", "bob"):
            await store.users.add(User(id=name, name=name, created_ms=1), "operator")
            await store.organizations.set_member("acme", name, Role.MEMBER, "operator")
            keys.append(store.keys.create("k", user_id=name, account_id="acme")[1])
        assert (await ask(gateway, keys[0]))[0] == 200
        status, answer, _ = await ask(gateway, keys[1])
        assert status == 429
        assert message(answer).startswith("The limit of 1 requests per minute of the organization acme is reached.")
        assert (await ask(gateway, store.keys.create("own", user_id="ann")[1]))[0] == 200

    async def test_all_callers_of_a_model_together_and_a_pattern_counts_all_that_it_means(
        self, gateway: Running
    ) -> None:
        rule(gateway, limits_by_model={"up/a*": Limits(requests_per_minute=2), "b": Limits(requests_per_minute=1)})
        for model, expected in (("a1", 200), ("a2", 200), ("a3", 429), ("b", 200), ("b", 429), ("c", 200)):
            assert (await ask(gateway, key(gateway), CHAT | {"model": model}))[0] == expected, model


EVERYBODYS = {"m": Limits(requests_per_minute=1, input_tokens_per_minute=100, concurrent_requests=1)}


class TestWhatNoProviderHeardOf:
    """Limits of models protect the house's accounts: nobody uses them up with calls that go to none."""

    @pytest.mark.parametrize("headers", [{}, {"idempotency-key": "order-66"}])
    async def test_calls_that_nobody_can_pay_count_for_their_callers_alone(self, headers: dict[str, str]) -> None:
        credits = '[billing]\nmode = "credits"\n[models."up/*"]\nprice = { input = 1, output = 1 }\n'
        async with running(REPLY, settings=credits) as gateway:
            payer = (await customer(gateway)).key
            rule(gateway, limits_by_model=EVERYBODYS)
            poor = key(gateway, requests_per_minute=6)
            for path, body in (*CALLS, *CALLS):
                status, answer, _ = await gateway.post(path, body, key=poor, headers=headers)
                assert (status, answer["error"]["code"]) == (402, "insufficient_credits")
            assert (await ask(gateway, poor))[0] == 429, "its own limit has counted them"
            assert [(await ask(gateway, payer))[0] for _ in range(2)] == [200, 429]
            assert len(gateway.upstream.requests) == 1

    async def test_nor_do_those_that_would_lose_something(self) -> None:
        async with running(REPLY, provider='apis = ["chat"]\n') as gateway:
            rule(gateway, limits_by_model=EVERYBODYS)
            lossy, strict = MESSAGES | {"top_k": 3, "container": "c"}, {"x-trivium-strict": "1"}
            for _ in range(3):
                status, answer, _ = await gateway.post("/v1/messages", lossy, headers=strict)
                assert (status, answer["error"]["code"]) == (400, "lossy_request")
            assert [(await ask(gateway, key(gateway)))[0] for _ in range(2)] == [200, 429]

    async def test_nor_do_tokens_that_the_gateway_counts_by_itself(self) -> None:
        async with running(REPLY, provider='apis = ["chat"]\n') as gateway:
            rule(gateway, limits_by_model=EVERYBODYS)
            asked = {"model": "m", "messages": MESSAGES["messages"]}
            for _ in range(3):
                status, answer, _ = await ask(gateway, key(gateway), asked, "/v1/messages/count_tokens")
                assert (status, answer["estimated"]) == (200, True)
            assert [(await ask(gateway, key(gateway)))[0] for _ in range(2)] == [200, 429]

    async def test_what_a_provider_refused_was_asked(self) -> None:
        async with running(Reply(status=400, error=Error())) as gateway:
            rule(gateway, limits_by_model=EVERYBODYS)
            assert [(await ask(gateway, key(gateway)))[0] for _ in range(2)] == [400, 429]


class TestTokens:
    async def test_input_is_estimated_before_the_call_and_corrected_after_it(self) -> None:
        answered = Reply(text="Hi", usage=Usage(input=900, cache_read=50, cache_write_5m=50, output=1))
        async with running(answered) as gateway:
            limited = key(gateway, input_tokens_per_minute=1_010)
            _, _, first = await ask(gateway, limited, MESSAGES, "/v1/messages")
            assert int(first["anthropic-ratelimit-input-tokens-remaining"]) > 950, "the estimate of a short question"
            status, answer, headers = await ask(gateway, limited, MESSAGES, "/v1/messages")
            assert status == 429
            assert "input tokens per minute of this API key has too little room: 1,000 are used" in message(answer)
            assert headers["anthropic-ratelimit-input-tokens-remaining"] == "10"

    async def test_of_an_answer_that_tells_no_usage_its_length_counts(self) -> None:
        async with running(Reply(sse=streamed("chat", "x" * 720, None))) as gateway:
            limited = key(gateway, output_tokens_per_minute=200)
            assert (await ask(gateway, limited, CHAT | {"stream": True}))[0] == 200
            assert (await gateway.record())["output_tokens"] == 200
            assert (await ask(gateway, limited))[0] == 429

    async def test_an_upstream_that_refuses_gives_the_input_back(self) -> None:
        async with running(Reply(status=400, error=Error())) as gateway:
            limited = key(gateway, input_tokens_per_minute=500)
            body = CHAT | {"messages": [{"role": "user", "content": "word " * 250}]}
            assert [(await ask(gateway, limited, body))[0] for _ in range(3)] == [400, 400, 400]

    @pytest.mark.parametrize("left_during", [{"delay_ms": 5_000}, {"event_delay_ms": 5_000}])
    async def test_a_client_that_leaves_before_anything_came_has_used_its_input(self, left_during: Any) -> None:
        async with running(Reply(text=["Hi", "there"], **left_during)) as gateway:
            limited = key(gateway, input_tokens_per_minute=500)
            body = CHAT | {"stream": True, "messages": [{"role": "user", "content": "word " * 250}]}
            sent = {"authorization": f"Bearer {limited}"}
            async with aiohttp.ClientSession() as session:
                asking = asyncio.ensure_future(session.post(gateway.url + PATH, headers=sent, json=body))
                await gateway.upstream.wait_for_requests(1)
                if "delay_ms" in left_during:
                    asking.cancel()
                else:
                    (await asking).close()
            assert (await gateway.record())["outcome"] == "aborted"
            assert (await ask(gateway, limited, body))[0] == 429

    async def test_what_reaches_no_upstream_gives_the_input_back(self) -> None:
        nowhere = '[providers.nowhere]\nbase_url = "http://127.0.0.1:1/v1"\nkey = "k"\nmodels = ["m"]\n'
        async with running(REPLY, settings=nowhere) as gateway:
            limited = key(gateway, input_tokens_per_minute=500)
            body = CHAT | {"model": "nowhere/m", "messages": [{"role": "user", "content": "word " * 250}]}
            assert [(await ask(gateway, limited, body))[0] for _ in range(3)] == [502, 502, 502]

    async def test_a_request_that_alone_is_too_long_is_told_to_be_shorter(self, gateway: Running) -> None:
        body = CHAT | {"messages": [{"role": "user", "content": "word " * 1_000}]}
        status, answer, headers = await ask(gateway, key(gateway, input_tokens_per_minute=500), body)
        assert status == 429
        assert "is smaller than this request, which has about 1,4" in message(answer)
        assert (headers["retry-after"], headers["x-should-retry"]) == ("3600", "false")
        assert headers["x-ratelimit-remaining-tokens"] == "500"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_output_is_counted_by_what_came_and_refused_while_the_minute_is_full(
        self, gateway: Running, stream: bool
    ) -> None:
        limited = key(gateway, output_tokens_per_minute=30)
        body = CHAT | {"stream": stream}
        assert [(await ask(gateway, limited, body))[0] for _ in range(3)] == [200, 200, 429], "20 and 20"
        _, answer, _ = await ask(gateway, limited, body)
        assert message(answer).startswith("The limit of 30 output tokens per minute of this API key is reached.")

    async def test_what_came_of_a_stream_that_its_client_left_counts(self) -> None:
        slow = Reply(text=["word "] * 400, event_delay_ms=5)
        async with running(slow) as gateway:
            limited = key(gateway, output_tokens_per_minute=2)
            sent = {"authorization": f"Bearer {limited}"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(gateway.url + PATH, headers=sent, json=CHAT | {"stream": True}) as response,
            ):
                received = b""
                while received.count(b"word") < 5 and not response.content.at_eof():
                    received += await response.content.readany()
            assert (await gateway.record())["outcome"] == "aborted"
            assert (await ask(gateway, limited))[0] == 429


class TestAtOnce:
    async def test_no_more_than_the_limit_are_in_progress_and_each_that_ends_makes_room(self) -> None:
        async with running(Reply(text="Hi")) as gateway:
            limited = key(gateway, concurrent_requests=2)
            answers = await at_once((ask(gateway, limited) for _ in range(5)), 2)
            assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429, 429]
            refused = next(answer for status, answer, _ in answers if status == 429)
            assert message(refused) == (
                "The limit of 2 requests at once of this API key is reached. Send the next one when one has ended."
            )
            assert refused["error"]["limit"] == "concurrent_requests"
            assert (await ask(gateway, limited))[0] == 200

    async def test_a_client_that_leaves_makes_room(self) -> None:
        async with running(Reply(text="Hi", delay_ms=5_000)) as gateway:
            limited = key(gateway, concurrent_requests=1)
            asking = asyncio.create_task(ask(gateway, limited))
            await gateway.upstream.wait_for_requests(1)
            asking.cancel()
            await gateway.record()
            left = gateway.gateway.deps.counters
            assert await left.take([Claim(f"concurrent:key:{key_id(gateway)}", 1, 1, 0)], "another") is None

    @pytest.mark.parametrize("fault", [Reply(status=500, error=Error()), Reply(abort="reset")])
    async def test_a_call_that_fails_makes_room(self, fault: Any) -> None:
        async with running(fault) as gateway:
            limited = key(gateway, concurrent_requests=1)
            assert [(await ask(gateway, limited))[0] >= 500 for _ in range(3)] == [True] * 3


def key_id(gateway: Running) -> str:
    """Of the key that was made last."""
    (found,) = [key for key in gateway.gateway.store.keys.list() if key.name == "limited"]
    return found.id


class TestHeaders:
    async def test_openai_clients_get_openais_and_those_of_the_upstream_are_not_theirs(self) -> None:
        upstreams = {"x-ratelimit-limit-requests": "77", "x-ratelimit-remaining-tokens": "1", "x-request-id": "up"}
        async with running(Reply(text="Hi", headers=upstreams, usage=Usage(input=25, output=20))) as gateway:
            limited = key(gateway, requests_per_minute=10, input_tokens_per_minute=5_000, output_tokens_per_minute=90)
            for path, body in ((PATH, CHAT), ("/v1/responses", RESPONSES)):
                _, _, headers = await ask(gateway, limited, body, path)
                assert headers["x-ratelimit-limit-requests"] == "10"
                assert headers["x-ratelimit-limit-tokens"] == "90", "the nearer of the two"
                assert headers["x-request-id"] == "up"
                assert headers["x-ratelimit-reset-requests"].startswith("1m"), "60 to 65 s"
            assert headers["x-ratelimit-remaining-requests"] == "8"
            assert headers["x-ratelimit-remaining-tokens"] == "70"
            assert not [name for name in headers if name.startswith("anthropic-")]

    async def test_each_is_told_once_also_with_an_error_of_the_upstream(self) -> None:
        upstreams = {"x-ratelimit-limit-requests": "77"}
        for reply in (Reply(headers=upstreams), Reply(status=400, error=Error(), headers=upstreams)):
            async with running(reply) as gateway, aiohttp.ClientSession() as session:
                sent = {"authorization": f"Bearer {key(gateway, requests_per_minute=10)}"}
                async with session.post(gateway.url + PATH, headers=sent, json=CHAT) as response:
                    assert response.headers.getall("x-ratelimit-limit-requests") == ["10"]

    async def test_anthropic_clients_get_anthropics_on_streams_too(self, gateway: Running) -> None:
        limited = key(gateway, requests_per_minute=10, output_tokens_per_minute=90)
        _, _, headers = await ask(gateway, limited, MESSAGES | {"stream": True}, "/v1/messages")
        told = {name[20:]: value for name, value in headers.items() if name.startswith("anthropic-ratelimit-")}
        assert told.pop("requests-reset").endswith("Z")
        assert told.pop("output-tokens-reset").endswith("Z")
        assert told == {
            "requests-limit": "10",
            "requests-remaining": "9",
            "output-tokens-limit": "90",
            "output-tokens-remaining": "90",
        }

    async def test_a_caller_without_limits_gets_what_the_upstream_says_and_nobody_sees_what_others_use(self) -> None:
        async with running(Reply(text="Hi", headers={"x-ratelimit-limit-requests": "77"})) as gateway:
            rule(gateway, limits_by_model={"m": Limits(requests_per_minute=5)})
            _, _, headers = await ask(gateway, key(gateway))
            assert headers["x-ratelimit-limit-requests"] == "77"
            assert "x-ratelimit-remaining-requests" not in headers

    async def test_an_error_behind_the_limit_tells_them_too(self) -> None:
        async with running(Reply(status=400, error=Error())) as gateway:
            _, _, headers = await ask(gateway, key(gateway, requests_per_minute=10))
            assert headers["x-ratelimit-remaining-requests"] == "9"


class TestAllAtOnce:
    async def test_of_1000_parallel_requests_at_a_limit_of_200_exactly_200_pass(self, gateway: Running) -> None:
        assert await passed(gateway, key(gateway, requests_per_minute=200), 1_000) == 200
        assert len(gateway.upstream.requests) == 200


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    async with running(REPLY) as started:
        yield started
