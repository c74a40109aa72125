"""A model with two routes: what the client gets when the first fails, what is charged, and what the record says."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import time
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, Running, running
from support_money import APIS, BODIES, PATHS, beginning, customer, shop
from support_pace import Later, at_once, held
from support_people import People
from trivium.canon.api import Api
from trivium.errors import ModelNotAllowed, Overloaded, StoreUnavailable
from trivium.mock import Error, Match, Reply, Rule, ToolCall, Usage
from trivium.pipeline import attempts
from trivium.pipeline.call import Call
from trivium.providers.provider import Provider
from trivium.providers.sigv4 import Signing

TWO = f"""
[providers.a]
base_url = "{{upstream}}/v1"
{ALL_APIS}
[providers.b]
base_url = "{{upstream}}/v1"
{ALL_APIS}
[providers.dead]
base_url = "http://127.0.0.1:1/v1"
{ALL_APIS}
[models."a/*"]
price = {{ input = "1", output = "1" }}
[models."b/*"]
price = {{ input = "2", output = "2" }}
[models."dead/*"]
price = {{ input = "9", output = "9" }}
[catalog.models.twin]
aliases = ["pair"]
routes = [{{ to = "a/one" }}, {{ to = "b/two" }}]
[catalog.models.dead-first]
routes = [{{ to = "dead/none" }}, {{ to = "b/two" }}]
[catalog.models.shared]
routes = [{{ to = "a/one", weight = 3 }}, {{ to = "b/two", weight = 1 }}]
"""
GOOD = Rule(Reply(text="Hello from two", usage=Usage(input=10, output=5)), Match(model="two"))
ONE = Match(model="one")


def first(reply: Reply) -> Rule:
    return Rule(reply, ONE)


async def ask(house: Running, api: str, *, stream: bool = False, model: str = "twin", **more: Any) -> tuple[int, str]:
    """Status and body as text."""
    body = {**BODIES[api], "model": model, "stream": stream, **more.pop("body", {})}
    status, said, _ = await house.post(PATHS[api], body, **more)
    return status, said if isinstance(said, str) else json.dumps(said)


def asked_for(house: Running) -> list[str]:
    """The models that the upstream was asked for."""
    return [json.loads(request.body)["model"] for request in house.upstream.requests if request.body]


async def journey(house: Running) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((await house.records())[0]["routing"])
    return told


FAILURES = {
    "500": Reply(status=500),
    "503": Reply(status=503),
    "529": Reply(status=529),
    "429": Reply(status=429, headers={"retry-after": "7"}),
    "402": Reply(status=402),
    "401": Reply(status=401),
    "408": Reply(status=408),
    "reset": Reply(abort="reset"),
    "garbage": Reply(body="<html>no</html>", content_type="text/html"),
    "in-band": Reply(error=Error(message="Overloaded.", type="overloaded_error")),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("api", APIS)
async def test_the_second_route_answers_where_the_first_fails(api: str, failure: Reply, stream: bool) -> None:
    async with running(first(failure), GOOD, settings=TWO) as house:
        status, said = await ask(house, api, stream=stream)
        assert (status, "Hello" in said) == (200, True)
        assert "Overloaded" not in said
        (record,) = await house.records()
        assert (record["outcome"], record["provider"], record["upstream_model"]) == ("success", "b", "two")
        assert record["cost_nano"] == 15 * 2_000
        assert [tried["route"] for tried in json.loads(record["routing"])["tried"]] == ["a/one"]


@pytest.mark.parametrize("api", APIS)
async def test_a_dead_server_is_passed_over(api: str) -> None:
    async with running(GOOD, settings=TWO) as house:
        assert (await ask(house, api, model="dead-first"))[0] == 200
        assert (await journey(house))["why"] == "if those before it fail"


async def test_why_a_server_cannot_be_reached_is_for_the_record_and_not_for_the_caller() -> None:
    async with running(settings=TWO) as house:
        status, said = await ask(house, "chat", model="dead/none")
        record = await house.record()
    assert (status, "127.0.0.1" in said) == (502, False)
    assert record["error_message"].startswith("127.0.0.1:1: ConnectionRefusedError")
    assert record["told_message"] in said


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_is_wrong_with_the_request_is_wrong_everywhere(status: int, stream: bool) -> None:
    async with running(first(Reply(status=status)), GOOD, settings=TWO) as house:
        assert (await ask(house, "chat", stream=stream))[0] == status
        assert len(house.upstream.requests) == 1


BAD = Error(message="Invalid value for temperature.", type="invalid_request_error")
WRONG = {
    **{str(status): Reply(status=status, error=BAD) for status in (400, 404, 413, 422)},
    "flagged": Reply(status=403, error=Error(message="Flagged.", type="moderation")),
    "in-band": Reply(text="Hel", error=BAD),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("api", APIS)
async def test_bad_requests_of_one_client_are_no_reason_to_rest(api: str, answer: Reply, stream: bool) -> None:
    """Neither of a route nor of a key."""
    keys = TWO.replace("[providers.b]\n", '[providers.b]\nkeys = ["key-number-one", "key-number-two"]\n')
    async with running(first(answer), Rule(answer, Match(model="two")), settings=keys) as house:
        for model in ("twin", "b/two"):
            for _ in range(3):
                await ask(house, api, model=model, stream=stream)
        told = await house.gateway.operations.perform("routes.show", {})
        assert [one for one in told if one["failed"] or one["rests_s"]] == []
        assert {one["route"]: one["calls"] for one in told}["a/one"] == 3


@pytest.mark.parametrize("api", APIS)
async def test_after_the_first_content_there_is_no_way_back(api: str) -> None:
    after = 6 if api != "chat" else 3
    broken = Reply(text=["Hel", "lo", "!"], abort="reset", abort_after_events=after, event_delay_ms=20)
    async with running(first(broken), GOOD, settings=TWO) as house:
        _, said = await ask(house, api, stream=True)
        assert "Hel" in said
        assert "from two" not in said
        assert len(house.upstream.requests) == 1
        assert (await house.records())[0]["outcome"] == "failed"


@pytest.mark.parametrize("api", APIS)
async def test_a_preamble_is_held_until_the_content_is_there(api: str) -> None:
    """An upstream that begins a stream and then fails has said nothing to the client."""
    after = {"chat": 1, "responses": 2, "messages": 1}[api]
    broken = Reply(text="never seen", abort="close", abort_after_events=after)
    async with running(first(broken), GOOD, settings=TWO) as house:
        status, said = await ask(house, api, stream=True)
        assert status == 200
        assert "Hello" in said
        assert "never" not in said
        assert said.count('"message_start"' if api == "messages" else "response.created") <= 2


async def test_a_preamble_is_held_no_longer_than_is_set() -> None:
    slow = Reply(text="late", first_event_delay_ms=0, event_delay_ms=10_000)
    settings = TWO + "[routing]\npreamble = 0.1\n"
    async with running(first(slow), settings=settings) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        body = json.dumps({**BODIES["messages"], "model": "twin", "stream": True}).encode()
        head = f"POST /v1/messages HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {house.key}\r\n"
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        seen = b""
        async with asyncio.timeout(30):
            while b"message_start" not in seen:
                seen += await reader.read(65536)
        assert b"late" not in seen
        writer.close()


async def test_a_long_whole_answer_goes_on_as_it_comes() -> None:
    long = Reply(text=["x" * 3_000_000], chunk_bytes=500_000, abort="stall", abort_after_bytes=2_000_000)
    async with running(first(long), GOOD, settings=TWO) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        body = json.dumps({**BODIES["chat"], "model": "twin"}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {house.key}\r\n"
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(30):
            await reader.readexactly(1_100_000)
        writer.close()


async def test_a_stream_that_breaks_behind_content_counts_against_its_route() -> None:
    broken = Reply(text=["Hel", "lo"], abort="reset", abort_after_events=3, event_delay_ms=20)
    async with running(first(broken), GOOD, settings=TWO) as house:
        await ask(house, "chat", stream=True)
        (route,) = [one for one in await house.gateway.operations.perform("routes.show", {}) if one["route"] == "a/one"]
        assert (route["calls"], route["failed"]) == (1, 1)


async def test_where_no_route_answers_the_last_word_is_the_clients() -> None:
    last = Rule(Reply(status=503, error=Error(message="Second is full.")), Match(model="two"))
    async with running(first(Reply(status=500)), last, settings=TWO) as house:
        status, said = await ask(house, "chat")
        assert (status, "Second is full." in said) == (503, True)
        (record,) = await house.records()
        assert (record["outcome"], record["cost_nano"]) == ("failed", 0)


async def test_a_route_that_keeps_failing_rests_and_is_tried_again() -> None:
    rules = [Rule(Reply(status=500), ONE, times=2), Rule(Reply(text="one"), ONE), GOOD]
    settings = TWO + "[routing]\nfailures = 2\nrest = 30\n"
    async with running(*rules, settings=settings) as house:
        clock = house.gateway.deps.clock = Later()
        for _ in range(4):
            assert (await ask(house, "chat"))[0] == 200
        asked = asked_for(house)
        assert asked == ["one", "two", "one", "two", "two", "two"]
        clock.ahead_s = 30
        assert "one" in (await ask(house, "chat"))[1]


async def test_a_provider_that_asks_for_rest_gets_it() -> None:
    rules = [Rule(Reply(status=429, headers={"retry-after": "60"}), ONE, times=1), Rule(Reply(text="one"), ONE), GOOD]
    async with running(*rules, settings=TWO) as house:
        for _ in range(3):
            assert (await ask(house, "chat"))[0] == 200
        assert asked_for(house) == ["one", "two", "two", "two"]
        assert (await journey(house))["why"] == "the first route that does not rest"


async def test_a_call_whose_first_route_rests_says_so() -> None:
    rules = [Rule(Reply(status=429, headers={"retry-after": "60"}), ONE, times=1), GOOD]
    async with running(*rules, settings=TWO) as house:
        for _ in range(2):
            assert (await ask(house, "chat"))[0] == 200
        request = (await house.records())[0]["id"]
        told = await house.gateway.operations.perform("requests.story", {"request": request})
        ((rested, why),) = [(one["route"], one["why"]) for one in told["route"]["rested"]]
        assert told["route"]["why"] == "the first route that does not rest"
        assert (rested, re.sub(r"\d+", "N", why)) == ("a/one", "it rests for N s: only when no other is left")
        assert (told["route"]["refused"], [one["route"] for one in told["attempts"]]) == ((), ["b/two"])


async def test_what_was_kept_back_of_a_route_that_failed_is_no_part_of_the_answer() -> None:
    begun = Reply(sse=beginning("messages"), abort="close", abort_after_bytes=len(beginning("messages")))
    async with running(first(begun), GOOD, settings=TWO) as house:
        status, said = await ask(house, "messages", stream=True)
        (record,) = await house.records()
    assert (status, said.count("message_start"), "text_delta" in said) == (200, 2, True)  # its name, and its type
    assert record["response_bytes"] == len(said.encode())


async def test_of_each_route_that_failed_the_record_says_with_which_status_and_after_how_long() -> None:
    settings = TWO + '[catalog.models.three]\nroutes = [{ to = "a/one" }, { to = "dead/none" }, { to = "b/two" }]\n'
    async with running(first(Reply(status=401, delay_ms=40)), GOOD, settings=settings) as house:
        assert (await ask(house, "chat", model="three"))[0] == 200
        tried = (await journey(house))["tried"]
        assert [(one["route"], one["status"], "own" in one) for one in tried] == [
            ("a/one", 401, False),
            ("dead/none", 502, False),
        ]
        assert tried[0]["ms"] >= 40
        assert sum(one["ms"] for one in tried) <= (await house.record())["total_us"] // 1000


async def test_what_is_flagged_of_a_route_that_failed_is_not_said_of_the_one_that_answers() -> None:
    cut = Reply(status=500, error=Error(message="no"), abort="close", abort_after_bytes=8)
    async with running(first(cut), GOOD, settings=TWO) as house:
        for model, flags in (("a/one", "error_body_broken"), ("twin", "")):
            await ask(house, "chat", model=model)
            assert (await house.records())[0]["flags"] == flags


async def test_a_session_stays_where_its_prompts_are() -> None:
    async with running(Rule(Reply(text="one"), ONE), GOOD, settings=TWO) as house:
        for _ in range(2):
            for task in range(12):
                await ask(house, "chat", model="shared", headers={"x-trivium-task": f"task {task}"})
        models = asked_for(house)
        assert set(models[:12]) == {"one", "two"}
        assert models[12:] == models[:12]
        assert (await journey(house))["why"] == "the session's last route, whose prompt cache may be warm"


async def test_a_session_is_its_callers_own_however_others_call_theirs() -> None:
    once = Rule(Reply(status=500), ONE, times=1)
    async with running(once, Rule(Reply(text="one"), ONE), GOOD, settings=TWO + "[routing]\nfailures = 100\n") as house:
        theirs, others = [await People(house).key() for _ in range(2)]
        for key in (theirs, theirs, others):
            assert (await ask(house, "chat", key=key, headers={"x-trivium-session": "main"}))[0] == 200
        assert asked_for(house) == ["one", "two", "two", "one"]


async def test_where_nobody_knows_what_any_route_costs_that_is_said() -> None:
    provider = '[providers.{0}]\nbase_url = "{{upstream}}/v1"\n'
    settings = TWO + provider.format("c") + provider.format("d")
    settings += '[catalog.models.odd]\nroutes = [{ to = "c/odd" }, { to = "d/odd" }]\n[billing]\nmode = "credits"\n'
    async with shop(GOOD, settings=settings) as house:
        await customer(house)
        status, said = await ask(house, "chat", model="odd")
        assert (status, json.loads(said)["error"]["code"]) == (400, "model_not_priced")
        assert house.upstream.requests == []


class TestFallbacks:
    """Models that the client names itself."""

    async def test_a_route_that_is_taken_anyhow_is_asked_once(self) -> None:
        async with running(Reply(status=500), settings=TWO) as house:
            assert (await ask(house, "chat", headers={"x-trivium-fallbacks": "b/two"}))[0] == 500
            assert asked_for(house) == ["one", "two"]

    async def test_another_model_answers_in_the_place_of_one_that_fails(self) -> None:
        async with running(first(Reply(status=500)), GOOD, settings=TWO) as house:
            for more in ({"headers": {"x-trivium-fallbacks": "b/two"}}, {"body": {"trivium_fallbacks": ["b/two"]}}):
                status, said = await ask(house, "chat", model="a/one", **more)
                assert (status, "from two" in said) == (200, True)
            assert all("trivium_fallbacks" not in str(request.body) for request in house.upstream.requests)
            assert (await journey(house))["why"] == "the client's fallback: the first route"

    async def test_one_that_may_not_be_used_is_refused_as_if_it_had_been_asked_for(self) -> None:
        async with running(GOOD, settings=TWO) as house:
            for param, more in (
                ("x-trivium-fallbacks", {"headers": {"x-trivium-fallbacks": "no/such/model"}}),
                ("trivium_fallbacks", {"body": {"trivium_fallbacks": ["no/such/model"]}}),
            ):
                status, said = await ask(house, "chat", model="a/one", **more)
                error = json.loads(said)["error"]
                assert (status, error["code"], error["param"]) == (400, "model_ambiguous", param)
            bad = await ask(house, "messages", model="a/one", body={"trivium_fallbacks": "b/two"})
            assert bad[0] == 400
            assert house.upstream.requests == []


class SilentCredentials:
    """They take longer than any client waits here."""

    async def of(self, provider: Provider) -> tuple[Signing | None, list[tuple[bytes, bytes]]]:
        await asyncio.sleep(5)
        raise AssertionError(provider.name)

    def refused(self, provider: Provider, headers: list[tuple[bytes, bytes]]) -> None:
        raise AssertionError(provider.name)


class OneToken:
    """It ended sooner than was said."""

    def __init__(self) -> None:
        self.headers = [(b"authorization", b"Bearer revoked")]
        self.told: list[str] = []

    async def of(self, _: Provider) -> tuple[Signing | None, list[tuple[bytes, bytes]]]:
        return None, self.headers

    def refused(self, provider: Provider, headers: list[tuple[bytes, bytes]]) -> None:
        assert headers is self.headers
        self.told.append(provider.name)


VERTEX = """
[providers.vertex]
type = "vertex"
service_account = "metadata"
project = "p"
base_url = "{upstream}"
models = ["*"]
"""


@pytest.mark.parametrize(("status", "told"), [(401, ["vertex"]), (403, []), (200, [])])
async def test_a_token_that_the_provider_refuses_is_kept_no_longer(status: int, told: list[str]) -> None:
    async with running(Rule(Reply(status=status), Match(path="*:rawPredict")), settings=VERTEX) as house:
        token = house.gateway.deps.credentials = OneToken()
        await ask(house, "messages", model="vertex/claude-x")
        assert token.told == told


class TestTimeout:
    """What the client sets with `x-trivium-timeout`."""

    @pytest.mark.parametrize("api", APIS)
    async def test_a_call_ends_when_its_client_has_waited_enough(self, api: str) -> None:
        async with running(Reply(text="late", delay_ms=30_000), settings=TWO) as house:
            began = time.monotonic()
            status, said = await ask(house, api, model="a/one", headers={"x-trivium-timeout": "0.2"})
            assert (status, "x-trivium-timeout" in said) == (504, True)
            assert time.monotonic() - began < 20
            assert (await house.record())["error_code"] == "upstream_timeout"

    async def test_a_stream_is_ended_in_its_apis_words(self) -> None:
        async with running(Reply(text=["a", "b", "c"], event_delay_ms=300), settings=TWO) as house:
            _, said = await ask(house, "messages", model="a/one", stream=True, headers={"x-trivium-timeout": "0.5"})
            assert "event: error" in said

    @pytest.mark.parametrize("model", ["vertex/claude-x", "claude"])
    async def test_what_comes_before_the_upstream_counts(self, model: str) -> None:
        """The provider's credential, here."""
        routes = '[catalog.models.claude]\nroutes = [{ to = "vertex/claude-x" }, { to = "b/two" }]\n'
        async with running(GOOD, settings=f"{TWO}{routes}{VERTEX}") as house:
            house.gateway.deps.credentials = SilentCredentials()
            status, said = await ask(house, "messages", model=model, headers={"x-trivium-timeout": "0.2"})
            assert (status, "x-trivium-timeout" in said) == (504, True)
            assert house.upstream.requests == []

    @pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "1e9", ""])
    async def test_what_is_no_time_is_said(self, value: str) -> None:
        async with running(settings=TWO) as house:
            status, said = await ask(house, "chat", model="a/one", headers={"x-trivium-timeout": value})
            assert (status, "x-trivium-timeout" in said) == (400, True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_prompts_that_are_kept_are_kept_whichever_route_answers(stream: bool) -> None:
    settings = TWO + "[records]\nprompts = true\n"
    async with running(first(Reply(status=500)), GOOD, settings=settings) as house:
        await ask(house, "chat", stream=stream)
        assert (await house.record())["prompt_prefix"] == "hi"


async def test_a_tool_call_counts_as_content() -> None:
    calls = Reply(tool_calls=[ToolCall("look", {"at": "it"})], abort="reset", abort_after_events=4)
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    async with running(first(calls), GOOD, settings=TWO) as house:
        _, said = await ask(house, "chat", stream=True, body={"tools": tools})
        assert "look" in said
        assert len(house.upstream.requests) == 1


async def test_the_operator_sees_how_routes_do() -> None:
    rules = [Rule(Reply(status=429, headers={"retry-after": "60"}), ONE), GOOD]
    async with running(*rules, settings=TWO) as house:
        assert await house.gateway.operations.perform("routes.show", {}) == []
        await ask(house, "chat")
        told = await house.gateway.operations.perform("routes.show", {})
        assert [(one["route"], one["calls"], one["failed"], one["rests_s"]) for one in told] == [
            ("a", 1, 1, 0),
            ("a/one", 1, 1, 60),
            ("b", 1, 0, 0),
            ("b/two", 1, 0, 0),
        ]


CREDITS = TWO + '[billing]\nmode = "credits"\n'


class TestMoney:
    """Where balances are charged."""

    async def test_the_hold_is_enough_for_the_dearest_route_and_the_charge_is_the_one_that_answered(self) -> None:
        async with shop(first(Reply(status=500)), GOOD, settings=CREDITS) as house:
            acme = await customer(house, "0.004")
            status, _ = await ask(house, "chat", body={"max_tokens": 1000}, key=acme.key)
            assert status == 200
            (record,) = await house.records()
            assert record["hold_nano"] > 1000 * 2_000
            assert record["cost_nano"] == 15 * 2_000
            await ask(house, "chat", body={"max_tokens": 2500}, key=acme.key)
            assert (await house.records())[0]["error_code"] == "insufficient_credits"

    async def test_a_route_that_nobody_can_price_is_left_out(self) -> None:
        unpriced = CREDITS.replace('[models."a/*"]\nprice = { input = "1", output = "1" }\n', "")
        assert unpriced != CREDITS
        async with shop(GOOD, settings=unpriced) as house:
            acme = await customer(house, "1")
            assert (await ask(house, "chat", key=acme.key))[0] == 200
            assert (await journey(house))["refused"][0][0] == "a/one"


def a_call(house: Running) -> Call:
    now = house.gateway.deps.clock.now_ms()
    return Call(id="req_1", api=Api.CHAT, headers={}, client_ip=None, time_ms=now, started_ns=0)


FREE_FIRST = TWO.replace('[models."a/*"]\nprice = { input = "1", output = "1" }', '[models."a/*"]\nfree = true')


class TestWhatReviewersFound:
    """Each once let somebody have what was not theirs, or harmed others."""

    async def test_a_caller_without_a_key_gets_no_paid_route_of_a_model(self) -> None:
        settings = FREE_FIRST + "[free]\nanonymous = true\n"
        async with running(first(Reply(status=500)), GOOD, settings=settings) as house:
            for model in ("twin", "shared"):
                status, said = await ask(house, "chat", model=model, key=None)
                assert (status, json.loads(said)["error"]["code"]) == (401, "paid_model_auth_required")
            status, _ = await ask(house, "chat", model="a/one", key=None, headers={"x-trivium-fallbacks": "b/two"})
            assert status == 401
            assert house.upstream.requests == []
            caller = await house.gateway.deps.keys.find(house.key)
            described = await house.gateway.desk.described(caller, a_call(house))
            (listed,) = [model for model in described if model["id"] == "twin"]
            assert (listed["isFree"], listed["pricing"]["prompt"]) == (False, "0.000002")

    async def test_a_refused_call_is_not_kept_by_what_is_remembered(self) -> None:
        async with running(GOOD, settings=TWO) as house:
            people = People(house)
            await people.organization("acme", policy={"models_deny": ["twin"]})
            key = await people.key(organization="acme", user="acme-member")
            for _ in range(3):
                status, said = await ask(house, "chat", model="pair", key=key)
                assert (status, "`twin`" in said) == (403, True)
            gc.collect()
            errors = [one for one in gc.get_objects() if isinstance(one, ModelNotAllowed)]
            assert errors == []

    async def test_a_clients_own_patience_is_no_fault_of_a_route(self) -> None:
        async with running(Reply(text="late", delay_ms=1000), settings=TWO) as house:
            for _ in range(4):
                assert (await ask(house, "chat", headers={"x-trivium-timeout": "0.05"}))[0] == 504
            told = await house.gateway.operations.perform("routes.show", {})
            assert [one for one in told if one["failed"] or one["rests_s"]] == []
            assert set(asked_for(house)) <= {"one"}

    async def test_no_other_route_is_begun_for_a_client_that_has_left(self) -> None:
        drained = TWO.replace("[providers.a]\n", '[providers.a]\non_abort = "drain"\n')
        async with running(first(Reply(status=500)), GOOD, settings=drained) as house:
            with held():
                asking = asyncio.create_task(ask(house, "chat"))
                await house.upstream.wait_for_requests(1)
                asking.cancel()
                async with asyncio.timeout(30):
                    while house.server.server_state.connections:  # noqa: ASYNC110 # no event tells it
                        await asyncio.sleep(0.005)
            record = await house.record()
            assert (asked_for(house), record["cost_nano"]) == (["one"], 0)

    @pytest.mark.parametrize("drains", ["a", "b"])
    async def test_whose_answer_it_is_says_whether_it_is_read_to_its_end_for_nobody(self, drains: str) -> None:
        settings = TWO.replace(f"[providers.{drains}]\n", f'[providers.{drains}]\non_abort = "drain"\n')
        usage = Usage(input=10, output=5)
        slow = Rule(Reply(text=["Hello ", "from ", "two"], event_delay_ms=150, usage=usage), Match(model="two"))
        async with running(first(Reply(status=500)), slow, settings=settings) as house:
            body = {**BODIES["chat"], "model": "twin", "stream": True}
            headers = {"authorization": f"Bearer {house.key}"}
            async with aiohttp.ClientSession() as session:
                answer = await session.post(house.url + PATHS["chat"], json=body, headers=headers)
                assert await answer.content.readany()
                answer.close()
            await house.upstream.wait_for_endings(2)
            record = await house.record()
            assert (record["outcome"], record["provider"]) == ("aborted", "b")
            assert (record["cost_source"] == "computed") is (drains == "b")

    async def test_a_whole_answer_behind_signs_of_life_can_fail_over(self) -> None:
        blanks = Reply(
            body="   \n" + json.dumps({"error": {"message": "full", "code": 503}}), chunk_bytes=2, event_delay_ms=2
        )
        async with running(first(blanks), GOOD, settings=TWO) as house:
            status, said = await ask(house, "chat")
            assert (status, "from two" in said) == (200, True)

    async def test_a_long_preamble_is_not_kept_for_ever(self) -> None:
        noisy = Reply(sse=f": noise{'.' * 190}\n\n" * 6_000 + "data: [DONE]\n\n")
        async with running(first(noisy), GOOD, settings=TWO) as house:
            _, said = await ask(house, "chat", stream=True)
            assert said.count(": noise") > 5_000

    async def test_a_failed_call_stays_counted_in_the_limit_of_its_model(self) -> None:
        async with running(first(Reply(status=500)), GOOD, settings=TWO) as house:
            people = People(house)
            await people.settings(limits_by_model={"a/one": {"requests_per_minute": 2}})
            statuses = [(await ask(house, "chat"))[0] for _ in range(3)]
            assert statuses == [200, 200, 429]

    async def test_the_deadline_is_looked_at_before_another_route_is_begun(self) -> None:
        settings = TWO + "[routing]\ndeadline = 0.1\n"
        async with running(first(Reply(status=500, delay_ms=200)), GOOD, settings=settings) as house:
            assert (await ask(house, "chat"))[0] == 500
            assert asked_for(house) == ["one"]

    async def test_more_fallbacks_than_there_may_be_are_said(self) -> None:
        async with running(GOOD, settings=TWO) as house:
            many = ",".join(f"m{number}" for number in range(11))
            assert (await ask(house, "chat", headers={"x-trivium-fallbacks": many}))[0] == 400

    async def test_of_a_crowd_one_looks_whether_a_route_answers_again(self) -> None:
        rules = [Rule(Reply(status=500), ONE, times=1), Rule(answer := Reply(text="one"), ONE), GOOD]
        settings = CREDITS + "[routing]\nfailures = 1\nrest = 30\n"
        async with shop(*rules, settings=settings) as house:
            acme = await customer(house, "5")
            clock = house.gateway.deps.clock = Later()
            await ask(house, "chat", key=acme.key, body={"max_tokens": 10})
            clock.ahead_s = 30
            crowd = [ask(house, "chat", key=acme.key, body={"max_tokens": 10}) for _ in range(6)]
            await at_once(crowd, 1, answer)
            assert asked_for(house)[2:].count("one") == 1

    @pytest.mark.parametrize("failure", [Overloaded, StoreUnavailable, ValueError])
    async def test_a_look_that_the_gateway_itself_ends_is_the_next_calls(
        self, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fails(*_: object) -> None:
            raise failure("not now")

        rules = [Rule(Reply(status=500), ONE, times=1), Rule(Reply(text="one"), ONE), GOOD]
        settings = TWO + "[routing]\nfailures = 1\nrest = 30\n"
        async with running(*rules, settings=settings) as house:
            clock = house.gateway.deps.clock = Later()
            await ask(house, "chat")
            clock.ahead_s = 30
            with monkeypatch.context() as patched:
                patched.setattr(attempts, "send", fails)
                assert (await ask(house, "chat"))[0] in (500, 503)
            assert (await ask(house, "chat"))[0] == 200
            assert asked_for(house) == ["one", "two", "one"]

    async def test_a_count_of_tokens_takes_no_calls_chance_to_look(self) -> None:
        counted = Rule(Reply(usage=Usage(input=3)), Match(path="*/count_tokens"))
        rules = [counted, Rule(Reply(status=500), ONE, times=1), Rule(Reply(text="one"), ONE), GOOD]
        settings = TWO + "[routing]\nfailures = 1\nrest = 30\n"
        async with running(*rules, settings=settings) as house:
            clock = house.gateway.deps.clock = Later()
            await ask(house, "messages")
            clock.ahead_s = 30
            await house.post("/v1/messages/count_tokens", {**BODIES["messages"], "model": "twin"})
            await ask(house, "messages")
            assert asked_for(house)[-1] == "one"
