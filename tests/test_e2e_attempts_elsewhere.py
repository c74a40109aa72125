"""What a call takes along when it goes on to another route, and what holds there instead: limits, the longest answer,
how an auto model is asked, what the client says of its data."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from gateway import Running, running
from support_money import APIS, BODIES, LIMITS, PATHS, customer, shop
from support_pace import Later, at_once, held
from support_people import People
from test_e2e_attempts import GOOD, ONE, TWO, ask, asked_for, first, journey
from test_pipeline_auto import KIMI, MINIMAX, ON, OPUS, PLAN, serving
from trivium.mock import Error, Match, Reply, Rule, Usage

FAILS = first(Reply(status=500))


class TestLimits:
    """Limits of models count a call where it is."""

    async def test_a_limit_that_means_both_routes_counts_a_call_once(self) -> None:
        async with running(FAILS, GOOD, settings=TWO) as house:
            await People(house).settings(limits_by_model={"twin": {"requests_per_minute": 2}})
            assert [(await ask(house, "chat"))[0] for _ in range(3)] == [200, 200, 429]

    @pytest.mark.parametrize("limit", [{"requests_per_minute": 2}, {"input_tokens_per_minute": 60}])
    async def test_so_does_one_that_means_the_routes_before_and_behind_another(self, limit: dict[str, int]) -> None:
        settings = TWO + '[catalog.models.round]\nroutes = [{ to = "a/one" }, { to = "b/two" }, { to = "a/three" }]\n'
        broken = Reply(text="", error=Error(type="api_error", message="no"), usage=Usage(input=30, output=0))
        last = Rule(Reply(text="Hello", usage=Usage(input=30, output=1)), Match(model="three"))
        rules = [Rule(broken, ONE), Rule(broken, Match(model="two")), last]
        async with running(*rules, settings=settings + "[routing]\nfailures = 100\n") as house:
            await People(house).settings(limits_by_model={"a/*": limit})
            asked = []
            for _ in range(3):
                asked.append((await ask(house, "chat", model="round", stream=True))[0])
                await house.records()
            assert asked == [200, 200, 429]

    async def test_each_model_counts_the_calls_that_asked_it(self) -> None:
        limits = {"a/one": {"requests_per_minute": 10}, "b/two": {"requests_per_minute": 2}}
        async with running(FAILS, GOOD, settings=TWO) as house:
            await People(house).settings(limits_by_model=limits)
            assert [(await ask(house, "chat"))[0] for _ in range(3)] == [200, 200, 429]
            assert (await journey(house))["tried"][0]["route"] == "a/one"

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    async def test_output_counts_where_it_comes_from(self, stream: bool) -> None:
        async with running(FAILS, GOOD, settings=TWO) as house:
            await People(house).settings(limits_by_model={"b/two": {"output_tokens_per_minute": 3}})
            assert (await ask(house, "chat", stream=stream))[0] == 200
            await house.records()
            assert (await ask(house, "chat", stream=stream))[0] == 429
            await People(house).settings(limits_by_model={"a/one": {"output_tokens_per_minute": 3}})
            assert [(await ask(house, "chat", stream=stream))[0] for _ in range(2)] == [200, 200]

    async def test_calls_at_once_count_where_they_are(self) -> None:
        two = Reply(text="Hello from two")
        async with running(FAILS, Rule(two, Match(model="two")), settings=TWO + "[routing]\nfailures = 100\n") as house:
            await People(house).settings(limits_by_model={"b/two": {"concurrent_requests": 1}})
            statuses = [status for status, _ in await at_once((ask(house, "chat") for _ in range(3)), 1, two)]
            assert sorted(statuses) == [200, 429, 429]
            assert (await ask(house, "chat"))[0] == 200  # places are given back
            await People(house).settings(limits_by_model={"a/one": {"concurrent_requests": 1}})
            with held(two):
                waiting = []
                for _ in range(2):  # the first has left that model when the second is asked
                    waiting.append(asyncio.create_task(ask(house, "chat")))
                    await house.upstream.wait_for_requests(len(house.upstream.requests) + 2)
            assert [status for status, _ in await asyncio.gather(*waiting)] == [200, 200]

    async def test_input_that_a_failed_model_refused_is_given_back(self) -> None:
        async with running(FAILS, GOOD, settings=TWO) as house:
            await People(house).settings(limits_by_model={"a/one": {"input_tokens_per_minute": 30}})
            assert [(await ask(house, "chat"))[0] for _ in range(4)] == [200] * 4

    async def test_what_the_caller_may_counts_once_whatever_is_tried(self) -> None:
        async with running(FAILS, GOOD, settings=TWO) as house:
            people = People(house)
            key = await people.key(limits={"requests_per_minute": 2, "concurrent_requests": 1})
            assert [(await ask(house, "chat", key=key))[0] for _ in range(3)] == [200, 200, 429]


PRICED = 'price = { input = "2", output = "2" }'
SMALL = TWO.replace(PRICED, f"{PRICED}\noutput_limit = 1500")


class TestTheLongestAnswer:
    """A model for the case of need may not take as much as the one that was asked for."""

    @pytest.mark.parametrize("model", ["twin", "a/one"])
    @pytest.mark.parametrize("api", APIS)
    async def test_it_is_asked_for_no_more_than_it_takes(self, api: str, model: str) -> None:
        async with running(FAILS, GOOD, settings=SMALL) as house:
            headers = {"x-trivium-fallbacks": "b/two"}
            await ask(house, api, model=model, body={LIMITS[api]: 9000}, headers=headers)
            asked = [request.json[LIMITS[api]] for request in house.upstream.requests if request.json]
            assert asked == [9000, 1500]
            record = await house.record()
            assert [LIMITS[api], "`two` answers with 1500 tokens at the most"] in json.loads(record["losses"])
            await ask(house, api, model=model, body={LIMITS[api]: 900}, headers=headers)
            assert [request.json[LIMITS[api]] for request in house.upstream.requests[2:] if request.json] == [900, 900]

    @pytest.mark.parametrize("api", APIS)
    async def test_nor_where_the_caller_may_not_use_the_first(self, api: str) -> None:
        async with running(GOOD, settings=SMALL) as house:
            people = People(house)
            await people.organization("acme", policy={"providers_deny": ["a"]})
            key = await people.key(organization="acme", user="acme-member")
            assert (await ask(house, api, body={LIMITS[api]: 9000}, key=key))[0] == 200
            assert [request.json[LIMITS[api]] for request in house.upstream.requests] == [1500]
            await ask(house, api, model="b/two", body={LIMITS[api]: 9000}, key=key)
            assert house.upstream.requests[-1].json[LIMITS[api]] == 9000  # who names it says how much it answers
            told = await house.post(
                "/v1/explain?api=" + api, {**BODIES[api], "model": "twin", LIMITS[api]: 9000}, key=key
            )
            assert [loss["field"] for loss in told[1]["losses"]] == [LIMITS[api]]

    async def test_nor_where_a_canary_or_an_emergency_leads_there(self) -> None:
        small = SMALL.replace('[models."b/*"]', '[models."b/one"]').replace("apis", 'models = ["one"]\napis')
        for led in ('.canary]\nmain = "a"\nto = "b"\npercent = 100\n', ']\nemergency_provider = "b"\n'):
            async with running(Reply(text="Hi"), settings=f"{small}[routing{led}") as house:
                assert (await ask(house, "chat", model="a/one", body={"max_tokens": 9000}))[0] == 200
                assert [request.json["max_tokens"] for request in house.upstream.requests] == [1500]

    async def test_a_strict_call_is_not_shortened(self) -> None:
        async with running(FAILS, GOOD, settings=SMALL) as house:
            status, _ = await ask(house, "chat", body={"max_tokens": 9000}, headers={"x-trivium-strict": "1"})
            tried = (await journey(house))["tried"]
            assert (status, [one["code"] for one in tried]) == (500, ["upstream_error", "lossy_request"])
            assert "1500 tokens" in tried[1]["why"]
            assert asked_for(house) == ["one"]

    async def test_thinking_stays_below_it(self) -> None:
        thinking = {"type": "enabled", "budget_tokens": 4000}
        async with running(FAILS, GOOD, settings=SMALL) as house:
            await ask(house, "messages", body={"max_tokens": 9000, "thinking": thinking})
            assert house.upstream.requests[-1].json["thinking"] == {"type": "enabled", "budget_tokens": 1499}


class TestAutoModels:
    """As fallbacks, and before them."""

    async def test_one_is_asked_as_its_own_choice_says(self) -> None:
        rules = [Rule(Reply(status=500), Match(model=OPUS)), Rule(Reply(text="Hi"))]
        async with running(*rules, settings=ON, provider=serving(OPUS, KIMI, MINIMAX)) as house:
            headers = {**PLAN, "x-trivium-fallbacks": "auto/balanced"}
            assert (await ask(house, "chat", model="auto/frontier", headers=headers))[0] == 200
            asked = [request.json for request in house.upstream.requests]
            assert [(one["model"], one.get("reasoning_effort")) for one in asked] == [(OPUS, "high"), (KIMI, None)]
            record = await house.record()
            assert (record["auto_model"], record["resolved_model"]) == ("auto/balanced", KIMI)

    async def test_one_that_leads_nowhere_says_so(self) -> None:
        async with running(settings=ON, provider=serving("m")) as house:
            headers = {"x-trivium-fallbacks": "auto/balanced"}
            status, said = await ask(house, "chat", model="m", headers=headers)
            assert (status, "`auto/balanced` leads to no model" in said) == (404, True)


@pytest.mark.parametrize("then", ["response.failed", "nothing"])
async def test_a_preamble_that_says_a_long_request_again_is_held(then: str) -> None:
    """Responses tells instructions and tools in its first events."""
    said = {"id": "r1", "object": "response", "status": "in_progress", "output": [], "instructions": "x" * 150_000}
    events: list[dict[str, Any]] = [
        {"type": kind, "response": said} for kind in ("response.created", "response.in_progress")
    ]
    error = {"code": "server_error", "message": "Overloaded."}
    if then != "nothing":
        events.append({"type": then, "response": {"id": "r1", "status": "failed", "error": error}})
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    async with running(first(Reply(sse=text)), GOOD, settings=TWO) as house:
        status, answer = await ask(house, "responses", stream=True)
        assert (status, "from two" in answer, "xxx" in answer) == (200, True, False)
        await house.records()
        assert house.gateway.deps.in_flight.bytes == 0


class TestRests:
    """When routes are left alone."""

    async def test_calls_that_fail_together_are_one_reason_to_rest(self) -> None:
        async with running(first(Reply(status=500, delay_ms=50)), GOOD, settings=TWO) as house:
            await asyncio.gather(*[ask(house, "chat") for _ in range(12)])
            told = await house.gateway.operations.perform("routes.show", {})
            assert max(one["rests_s"] for one in told) == 30

    async def test_a_pause_may_stand_in_the_error_alone(self) -> None:
        """As Google's do; a client that nobody else answers hears of it, too."""
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.2s"}
        full = {"error": {"code": 429, "message": "Full.", "status": "RESOURCE_EXHAUSTED", "details": [info]}}
        async with running(first(Reply(status=429, body=full)), GOOD, settings=TWO) as house:
            for api in APIS:
                status, _, headers = await house.post(PATHS[api], {**BODIES[api], "model": "a/one"})
                assert (status, headers["retry-after"]) == (429, "38")
            await ask(house, "chat")
            told = await house.gateway.operations.perform("routes.show", {})
            assert max(one["rests_s"] for one in told) == 38

    @pytest.mark.parametrize("header", ["retry-after", "retry-after-ms"])
    async def test_a_pause_is_kept_however_it_is_written(self, header: str) -> None:
        said = "60000" if header.endswith("ms") else formatdate(time.time() + 60, usegmt=True)
        async with running(first(Reply(status=429, headers={header: said})), GOOD, settings=TWO) as house:
            for _ in range(2):
                await ask(house, "chat")
            assert asked_for(house) == ["one", "two", "two"]

    async def test_of_a_crowd_with_idempotency_keys_one_looks(self) -> None:
        """They wait for the store between the decision and the call."""
        rules = [Rule(Reply(status=500), ONE, times=1), Rule(answer := Reply(text="one"), ONE), GOOD]
        settings = TWO + '[billing]\nmode = "credits"\n[routing]\nfailures = 1\nrest = 30\n'
        async with shop(*rules, settings=settings) as house:
            acme = await customer(house, "5")
            more: dict[str, Any] = {"key": acme.key, "body": {"max_tokens": 10}}
            clock = house.gateway.deps.clock = Later()
            await ask(house, "chat", **more)
            clock.ahead_s = 30
            crowd = [ask(house, "chat", headers={"idempotency-key": f"{n}"}, **more) for n in range(6)]
            assert {status for status, _ in await at_once(crowd, 1, answer)} == {200}
            assert asked_for(house)[2:].count("one") == 1
            costs = sorted(record["cost_nano"] for record in (await house.records())[:6])
            assert costs[1:] == [15 * 2_000] * 5


async def test_names_of_fallbacks_may_have_blanks_around_them() -> None:
    async with running(FAILS, GOOD, settings=TWO) as house:
        status, said = await ask(house, "chat", model="a/one", body={"trivium_fallbacks": [" ", " b/two "]})
        assert (status, "from two" in said) == (200, True)


@pytest.mark.parametrize("api", APIS)
async def test_a_name_of_any_length_is_not_remembered(api: str) -> None:
    """Routes, sessions and where names lead are remembered by names, some of which callers make up."""
    async with running(FAILS, Reply(text="Hi"), settings=TWO) as house:
        long = "a/" + "x" * 100_000
        statuses = [(await ask(house, api, model="a/one", body={"trivium_fallbacks": [long]}))[0]]
        for name in ("a/" + "x" * 1000, "x" * 1000):
            statuses.append((await ask(house, api, model=name))[0])
            headers = {"x-trivium-fallbacks": name}
            statuses.append((await ask(house, api, model="a/one", headers=headers))[0])
        assert statuses == [400, 404, 404, 404, 404]
        assert (await ask(house, api, model="a/" + "x" * 300))[0] == 200
        assert asked_for(house) == ["x" * 300]


async def test_a_long_word_about_the_user_is_no_reason_to_refuse() -> None:
    async with running(Rule(Reply(text="one")), settings=TWO) as house:
        for model in ("twin", "a/one"):
            long = {"metadata": {"user_id": "u" * 100_000}}
            assert (await ask(house, "messages", model=model, body=long))[0] == 200


async def ask_of_vendors(house: Running, **provider: Any) -> str:
    """The route of a call with such preferences."""
    assert (await ask(house, "chat", body={"provider": provider}))[0] == 200
    return str((await house.records())[0]["provider"])


async def test_what_the_client_says_of_its_data_leads_past_who_does_not_keep_to_it() -> None:
    settings = TWO.replace("[providers.b]\n", "[providers.b]\ncollects_data = false\n")
    async with running(Reply(text="Hi", usage=Usage(input=1, output=1)), settings=settings) as house:
        assert await ask_of_vendors(house) == "a"
        assert await ask_of_vendors(house, data_collection="allow") == "a"
        assert await ask_of_vendors(house, data_collection="deny") == "b"
        assert await ask_of_vendors(house, zdr=True) == "a"  # nobody does, and nobody is left out
        assert (await ask(house, "chat", body={"provider": "odd"}))[0] == 200


STRICT = {"x-trivium-strict": "1"}
LOSSY = {"top_k": 3, "container": "c"}
"""In Messages."""
HEARD = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}}]}]
UNHEARD = {"x-trivium-fallbacks": "reads/two"}
"""Of Chat what Messages cannot be asked."""


class TestOutage:
    """A first route that is not there, and a fallback that a strict call cannot be sent to."""

    SETTINGS = (
        TWO
        + """
[providers.chats]
base_url = "{upstream}/v1"
apis = ["chat"]
[free.models."house/swift"]
route = "a/secret"
stealth = true
[providers.reads]
base_url = "{upstream}/v1"
apis = ["messages"]
[catalog.models."lossy-last"]
routes = [{ to = "dead/none" }, { to = "chats/two" }]
[catalog.models."lossy"]
routes = [{ to = "chats/one" }, { to = "chats/two" }]
"""
    )

    async def test_it_is_told_as_one_that_passes(self) -> None:
        async with running(GOOD, settings=self.SETTINGS) as house:
            status, said = await ask(house, "messages", model="lossy-last", headers=STRICT, body=LOSSY)
            assert (status, "container" in said) == (502, False)
            record = (await house.records())[0]
            assert (record["outcome"], record["status"], record["cost_nano"]) == ("failed", 502, 0)
            tried = [(one["route"], one["code"]) for one in (await journey(house))["tried"]]
            assert tried == [("dead/none", "upstream_unreachable"), ("chats/two", "lossy_request")]
            assert asked_for(house) == []

    async def test_its_record_has_what_the_route_that_failed_said(self) -> None:
        refuses = Reply(status=401, error=Error(message="Bad key."))
        headers = {**STRICT, "x-trivium-fallbacks": "chats/two"}
        async with running(refuses, settings=self.SETTINGS) as house:
            status, _ = await ask(house, "messages", model="reads/one", headers=headers, body=LOSSY)
            record = (await house.records())[0]
        assert (status, record["provider"], record["upstream_status"], record["upstream_api"]) == (
            503, "reads", 401, "messages",
        )  # fmt: skip
        assert "Bad key." in record["error_message"]

    async def test_what_no_route_can_be_asked_is_the_requests_fault(self) -> None:
        async with running(GOOD, settings=self.SETTINGS) as house:
            status, said = await ask(house, "messages", model="lossy", headers=STRICT, body=LOSSY)
            assert (status, "lossy_request" in said) == (400, True)

    async def test_only_who_was_asked_counts_it_in_the_limit_of_its_model(self) -> None:
        limits = {name: {"requests_per_minute": 1} for name in ("reads/one", "chats/one", "chats/two", "reads/two")}
        headers, strict = {**STRICT, "x-trivium-fallbacks": "chats/two"}, {**STRICT, "x-trivium-fallbacks": "reads/two"}
        async with running(first(Reply(status=500)), GOOD, settings=self.SETTINGS) as house:
            await People(house).settings(limits_by_model=limits)
            asked = [
                await ask(house, "messages", model="reads/one", headers=headers, body=LOSSY),
                await ask(house, "messages", model="chats/one", headers=strict, body=LOSSY),
                await ask(house, "chat", model="chats/two"),
                await ask(house, "chat", model="chats/one"),
            ]
            assert [status for status, _ in asked] == [500, 200, 200, 500]
            assert asked_for(house) == ["one", "two", "two", "one"]
            again = [(await ask(house, "chat", model=name))[0] for name in limits]
            assert again == [429] * 4

    async def test_a_secret_first_route_stays_one(self) -> None:
        said = {"retry-after": "37", "x-ratelimit-limit-requests": "7"}
        secret = Rule(Reply(status=529, headers=said), Match(model="secret"))
        async with running(secret, GOOD, settings=self.SETTINGS) as house:
            body = {"model": "house/swift", "messages": HEARD}
            status, told, headers = await house.post("/v1/chat/completions", body, headers=UNHEARD)
            assert (status, told["error"]["code"]) == (503, "upstream_unavailable")
            assert (headers["retry-after"], "x-ratelimit-limit-requests" in headers) == ("5", False)
            record = (await house.records())[0]
            told_of = [record[name] for name in ("provider", "upstream_model", "public_model", "payer")]
            assert told_of == ["a", "secret", "house/swift", "free"]

    async def test_of_whoever_refused_the_house_the_operator_hears_once(self) -> None:
        async with running(first(Reply(status=401)), settings=self.SETTINGS) as house:
            body = {"model": "a/one", "messages": HEARD}
            status, _, _ = await house.post("/v1/chat/completions", body, headers=UNHEARD)
            assert (status, asked_for(house)) == (503, ["one"])
            (alert,) = house.gateway.deps.alerts.standing.values()
            assert (alert.provider, alert.status, alert.calls) == ("a", 401, 1)
            record = (await house.records())[0]
            assert (record["provider"], record["upstream_model"]) == ("a", "one")
            assert (await journey(house))["why"] == "the first route"

    async def test_others_are_answered_by_the_fallback(self) -> None:
        async with running(GOOD, settings=self.SETTINGS) as house:
            assert (await ask(house, "messages", model="lossy-last", body=LOSSY))[0] == 200


@pytest.mark.parametrize("model", ["twin", "dead-first"])
async def test_tokens_are_counted_though_the_first_route_fails(model: str) -> None:
    async with running(Rule(Reply(status=529), Match(model="one", path="*tokens")), settings=TWO) as house:
        for path, api in (("/v1/messages/count_tokens", "messages"), ("/v1/responses/input_tokens", "responses")):
            status, said, _ = await house.post(path, {**BODIES[api], "model": model})
            assert (status, said["estimated"]) == (200, True)
        status, _, _ = await house.post("/v1/messages/count_tokens", {**BODIES["messages"], "model": "dead/none"})
        assert status == 502  # the call would find nobody either
        assert {record["cost_nano"] for record in await house.records()} == {0}


UNCOUNTED = {
    "402": Reply(status=402),
    "403": Reply(status=403),
    "garbage": Reply(body="<html>no</html>", content_type="text/html"),
    "cut": Reply(body='{"input_tokens": 77}', abort="close", abort_after_bytes=5),
    "in-band": Reply(body='{"type": "error", "error": {"type": "overloaded_error", "message": "Full."}}'),
}


@pytest.mark.parametrize("failure", UNCOUNTED.values(), ids=UNCOUNTED)
async def test_however_the_first_route_fails_to_count_another_would_answer(failure: Reply) -> None:
    async with running(Rule(failure, Match(model="one", path="*tokens")), settings=TWO) as house:
        for path, api in (("/v1/messages/count_tokens", "messages"), ("/v1/responses/input_tokens", "responses")):
            status, said, _ = await house.post(path, {**BODIES[api], "model": "twin"})
            assert (status, said.get("estimated")) == (200, True)
            record = (await house.records())[0]
            assert (record["outcome"], record["flags"]) == ("success", "estimated")
        refused = house.gateway.deps.alerts.standing.values()
        assert [alert.provider for alert in refused] == (["a"] if failure.status in (402, 403) else [])
