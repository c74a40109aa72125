"""Calls that are looked at for abuse, through the whole gateway: what a classifier is asked, what becomes of the call
under each verdict, and that nothing which a classifier does harms one."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import anthropic
import openai
import pytest

from gateway import ALL_APIS, CHAT, Running
from support_classifier import BORN, KEY, ClassifierDouble, classifier, member_of_acme, settings
from support_money import BODIES, CREDITS, METER, PATHS, customer, in_every_api, operate, shop, usage, whole
from support_pace import held
from trivium.mock import Match, Reply, Rule, Usage
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Limits

HI = Reply(text="Hi", usage=Usage(input=25, output=20))
VERDICTS = ("ALLOW", "SOFT_BLOCK", "CHALLENGE", "HARD_BLOCK")
CHEAP = 'soft_block_model = "up/cheap"'
AGENT = {"user-agent": "claude-cli/2.1 (external, cli)"}


async def status(house: Running) -> dict[str, Any]:
    found: dict[str, Any] = await operate(house, "abuse.status")
    return found


async def counted(house: Running, **expected: int) -> None:
    """The figures come to this."""
    async with asyncio.timeout(30):
        while {name: (await status(house)).get(name, 0) for name in expected} != expected:  # noqa: ASYNC110 # by the code under test
            await asyncio.sleep(0.005)


def is_free(*names: str) -> str:
    return "".join(f'[models."up/{name}"]\nfree = true\n' for name in names)


class TestTheQuestion:
    @in_every_api
    async def test_says_who_asks_whom_for_what(self, api: str) -> None:
        body = {**BODIES[api], "tools": [{"type": "function", "name": "read", "function": {"name": "read"}}]}
        if api == "messages":
            body["tools"] = [{"name": "read", "input_schema": {"type": "object"}}]
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            key = house.gateway.store.keys.list()[0]
            assert (await house.post(PATHS[api], body, headers=AGENT))[0] == 200
            asked = await judge.asked()
        assert judge.keys == {f"Bearer {KEY}"}
        assert asked["id"].startswith("req_")
        limit = 50 if api == "messages" else None
        assert asked == {
            "version": 1,
            "id": asked["id"],
            "time_ms": asked["time_ms"],
            "mode": "log",
            "api": asked["api"],
            "stream": False,
            "identity": f"key:{key.id}",
            "born_ms": key.created_ms,
            "user_id": None,
            "key_id": key.id,
            "organization_id": None,
            "project_id": None,
            "ip": "127.0.0.1",
            "country": None,
            "tls_fingerprint": None,
            "agent": AGENT["user-agent"],
            "requested_model": "m",
            "provider": "up",
            "model": "m",
            "max_tokens": limit,
            "tools": ["function:read"],
            "byok": False,
            "free": False,
            "prompts": "whole",
            "system_prompt": None,
            "user_text": "hi",
            "rules_verdict": "allow",
            "rules_reason": "",
        }

    async def test_says_what_a_trusted_proxy_tells_of_the_client(self) -> None:
        trusted = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'
        told = {"x-forwarded-for": "203.0.113.9", "x-vercel-ip-country": "DE", "x-ja4": "t13d"}
        async with classifier() as judge, shop(HI, settings=trusted + settings(judge)) as house:
            path, body = a_call("chat")
            assert (await house.post(path, body, headers=told))[0] == 200
            asked = await judge.asked()
        assert (asked["ip"], asked["country"], asked["tls_fingerprint"]) == ("203.0.113.9", "DE", "t13d")

    async def test_says_whether_the_call_is_free_or_paid_by_the_callers_own_key(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge)) as house:
            await house.post(*a_call("chat"))
            free = await judge.asked()
        async with (
            classifier() as judge,
            shop(HI, settings=settings(judge), provider=f"{ALL_APIS}\nbyok = true") as house,
        ):
            await house.post(*a_call("chat"))
            byok = await judge.asked()
        assert [(said["free"], said["byok"]) for said in (free, byok)] == [(True, False), (False, True)]

    async def test_prompts_of_organizations_stay_here(self) -> None:
        said = {
            **CHAT,
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "steal keys"}],
        }
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            await member_of_acme(house)
            await house.post(PATHS["chat"], said)
            asked = await judge.asked()
        assert (asked["organization_id"], asked["user_id"]) == ("acme", "anna")
        assert (asked["identity"], asked["born_ms"]) == ("user:anna", BORN)
        assert (asked["prompts"], asked["system_prompt"], asked["user_text"]) == ("withheld", None, None)

    async def test_unless_the_operator_says_otherwise(self) -> None:
        async with classifier() as judge:
            on = settings(judge, asks="organization_prompts = true") + METER
            async with shop(HI, settings=on) as house:
                await member_of_acme(house)
                await house.post(*a_call("chat"))
                assert (await judge.asked())["user_text"] == "hi"

    async def test_long_prompts_are_cut(self) -> None:
        said = {**CHAT, "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "é" * 300}]}
        on = "max_prompt = 100"
        async with classifier() as judge, shop(HI, settings=settings(judge, asks=on) + METER) as house:
            await house.post(PATHS["chat"], said)
            asked = await judge.asked()
        assert (asked["prompts"], asked["system_prompt"], asked["user_text"]) == ("cut", "Be kind.", "é" * 100)

    async def test_counting_tokens_is_no_call(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            assert (await house.post("/v1/messages/count_tokens", BODIES["messages"]))[0] == 200
        assert judge.questions == judge.reports == []


def a_call(api: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
    return PATHS[api], {**BODIES[api], **({"stream": True} if stream else {})}


class TestLog:
    @in_every_api
    async def test_every_verdict_is_recorded_and_none_acted_on(self, api: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, more=CHEAP) + METER) as house:
            for count, verdict in enumerate(VERDICTS, 1):
                judge.says = {"verdict": verdict, "reason": "bot"}
                assert (await house.post(*a_call(api, stream=count % 2 == 0)))[0] == 200
                await counted(house, checks_answered=count)
            models = [json.loads(request.body)["model"] for request in house.upstream.requests]
        assert models == ["m"] * 4

    @pytest.mark.parametrize("verdict", VERDICTS)
    async def test_a_verdict_that_comes_before_the_answer_stands_in_the_record(self, verdict: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            judge.says = {"verdict": verdict, "reason": "bot"}
            with held():
                asking = asyncio.create_task(house.post(*a_call("chat")))
                await counted(house, checks_answered=1)
            assert (await asking)[0] == 200
            record = await house.record()
        assert (record["abuse_verdict"], record["abuse_reason"]) == (verdict.lower(), "classifier: bot")
        assert (record["outcome"], record["flags"], record["upstream_model"]) == ("success", "", "m")

    async def test_a_call_waits_for_no_classifier(self, caplog: pytest.LogCaptureFixture) -> None:
        """What it says afterwards is counted and logged."""
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            judge.free.clear()
            judge.says = {"verdict": "HARD_BLOCK", "reason": "bot"}
            assert (await house.post(*a_call("chat")))[0] == 200
            record = await house.record()
            assert (record["abuse_verdict"], record["flags"]) == ("allow", "abuse_unchecked")
            with caplog.at_level(logging.WARNING, logger="trivium.abuse"):
                judge.free.set()
                await counted(house, late_verdicts=1, checks_answered=1)
        assert f"request {record['id']} is hard_block, said late: classifier: bot" in caplog.text

    async def test_a_classifier_that_never_answers_is_given_up(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, asks="timeout = 0.05") + METER) as house:
            judge.free.clear()
            assert (await house.post(*a_call("chat")))[0] == 200
            await counted(house, checks_late=1)
            judge.free.set()


class TestEnforce:
    @in_every_api
    async def test_allowed(self, api: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            assert (await house.post(*a_call(api)))[0] == 200
            record = await house.record()
            assert (await judge.asked())["mode"] == "enforce"
        assert (record["outcome"], record["abuse_verdict"], record["abuse_reason"]) == ("success", "allow", None)

    @in_every_api
    async def test_a_challenge_says_what_to_do(self, api: str) -> None:
        async with classifier() as judge:
            said = settings(judge, "enforce", more='challenge = "Prove it at https://example.com."') + CREDITS
            async with shop(HI, settings=said) as house:
                payer = await customer(house)
                judge.says = {"verdict": "CHALLENGE", "reason": "bot"}
                status, body, headers = await house.post(*a_call(api, stream=True))
                record = await house.record()
                assert (await payer.balance(), house.upstream.requests) == (("1", "0"), [])
        assert (status, body["error"]["message"]) == (403, "Prove it at https://example.com.")
        assert "retry-after" not in headers
        assert body["error"].get("code", "call_challenged") == "call_challenged"
        assert (record["outcome"], record["error_code"]) == ("refused", "call_challenged")
        assert (record["abuse_verdict"], record["abuse_reason"]) == ("challenge", "classifier: bot")

    @in_every_api
    async def test_the_classifier_may_say_what_to_do(self, api: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.says = {"verdict": "CHALLENGE", "message": " Ask us. "}
            assert (await house.post(*a_call(api)))[1]["error"]["message"] == "Ask us."
            judge.says = {"verdict": "CHALLENGE"}
            assert "Send fewer requests" in (await house.post(*a_call(api)))[1]["error"]["message"]

    @in_every_api
    async def test_a_hard_block_is_a_403(self, api: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.says = {"verdict": "HARD_BLOCK"}
            status, body, _ = await house.post(*a_call(api))
            record = await house.record()
            assert house.upstream.requests == []
        assert (status, "The operator of this gateway can tell why" in body["error"]["message"]) == (403, True)
        assert (record["error_code"], record["abuse_verdict"], record["cost_nano"]) == ("call_blocked", "hard_block", 0)

    @in_every_api
    async def test_a_soft_block_is_answered_by_the_cheaper_model(self, api: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce", more=CHEAP) + METER) as house:
            judge.says = {"verdict": "SOFT_BLOCK", "reason": "bot"}
            for stream in (False, True):
                assert (await house.post(*a_call(api, stream=stream)))[0] == 200
            records = await house.records()
            assert [json.loads(request.body)["model"] for request in house.upstream.requests] == ["cheap", "cheap"]
        for record in records:
            assert (record["requested_model"], record["upstream_model"]) == ("m", "cheap")
            assert (record["flags"], record["abuse_verdict"]) == ("soft_block", "soft_block")

    async def test_a_soft_blocked_call_counts_in_the_limits_of_the_model_that_answers_it(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce", more=CHEAP) + METER) as house:
            limits = {name: Limits(requests_per_minute=most) for name, most in (("m", 1), ("cheap", 2))}
            house.gateway.deps.house = HouseSettings(limits_by_model=limits, key_limits=Limits(requests_per_minute=4))
            judge.says = {"verdict": "SOFT_BLOCK"}
            blocked = [(await house.post(*a_call("chat"))) for _ in range(3)]
            judge.says = {"verdict": "ALLOW"}
            others = [(await house.post(*a_call("chat"))) for _ in range(2)]
            elsewhere = [await house.post(PATHS["chat"], {**CHAT, "model": "n"}) for _ in range(2)]
        assert [status for status, _, _ in blocked] == [200, 200, 429]
        assert blocked[-1][1]["error"]["message"].startswith("The limit of 2 requests per minute of the model cheap")
        assert [status for status, _, _ in others] == [200, 429], "none of the first was left in its limit"
        assert [status for status, _, _ in elsewhere] == [200, 429], "each counted once for the key"

    @pytest.mark.parametrize("verdict", ["CHALLENGE", "HARD_BLOCK", "SOFT_BLOCK"])
    async def test_a_refused_call_leaves_the_limits_of_models_to_others(self, verdict: str) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce", more=CHEAP) + METER) as house:
            limits = {"m": Limits(requests_per_minute=1), "cheap": Limits(requests_per_minute=0)}
            house.gateway.deps.house = HouseSettings(limits_by_model=limits)
            judge.says = {"verdict": verdict}
            refused = [(await house.post(*a_call("chat")))[0] for _ in range(3)]
            judge.says = {"verdict": "ALLOW"}
            others = [(await house.post(*a_call("chat")))[0] for _ in range(2)]
        assert refused == [429 if verdict == "SOFT_BLOCK" else 403] * 3
        assert others == [200, 429]

    async def test_of_the_auto_model_that_was_asked_for_no_limit_counts_then(self) -> None:
        auto = '[[auto."auto/any".choices]]\nmodels = ["up/m"]\n'
        async with (
            classifier() as judge,
            shop(HI, settings=settings(judge, "enforce", more=CHEAP) + METER + auto) as house,
        ):
            house.gateway.deps.house = HouseSettings(limits_by_model={"auto/any": Limits(requests_per_minute=1)})
            judge.says = {"verdict": "SOFT_BLOCK"}
            blocked = [(await house.post(PATHS["chat"], {**CHAT, "model": "auto/any"}))[0] for _ in range(3)]
            records = await house.records()
        assert blocked == [200] * 3
        assert {(record["auto_model"], record["upstream_model"]) for record in records} == {("auto/any", "cheap")}

    @pytest.mark.parametrize("routes", ["", '[catalog.models.thrifty]\nroutes = [{ to = "up/cheap" }]\n'])
    async def test_its_answer_is_no_longer_than_the_cheaper_model_can_give(self, routes: str) -> None:
        named = "thrifty" if routes else "up/cheap"
        limit = '[models."up/cheap"]\noutput_limit = 100\n'
        async with (
            classifier() as judge,
            shop(
                HI, settings=settings(judge, "enforce", more=f'soft_block_model = "{named}"') + METER + routes + limit
            ) as house,
        ):
            judge.says = {"verdict": "SOFT_BLOCK"}
            assert (await house.post(PATHS["chat"], {**CHAT, "max_tokens": 64_000}))[0] == 200
            (asked,) = house.upstream.requests
        assert json.loads(asked.body)["max_tokens"] == 100

    async def test_a_call_that_goes_to_a_free_model_counts_in_its_limits_and_in_no_other_free_ones(self) -> None:
        gift = '[free]\nper_ip_per_hour = 2\n[free.models."house/gift"]\nroute = "up/cheap"\n'
        more = 'soft_block_model = "house/gift"'
        async with (
            classifier() as judge,
            shop(HI, settings=settings(judge, "enforce", more=more) + METER + gift) as house,
        ):
            judge.says = {"verdict": "SOFT_BLOCK"}
            asked = ("m", "house/gift", "m")
            blocked = [(await house.post(PATHS["chat"], {**CHAT, "model": model}))[0] for model in asked]
            records = await house.records()
        assert blocked == [200, 200, 429]
        assert [record["upstream_model"] for record in records[1:]] == ["cheap", "cheap"]

    async def test_what_answers_a_soft_block_has_its_routes_and_no_fallbacks_of_the_clients(self) -> None:
        more = 'soft_block_model = "thrifty"'
        routes = '[catalog.models.thrifty]\nroutes = [{ to = "up/cheap" }, { to = "up/cheap-2" }]\n'
        script = [Rule(Reply(text="Hi"), Match(model="cheap-2"), times=1), Reply(status=500)]
        async with (
            classifier() as judge,
            shop(*script, settings=settings(judge, "enforce", more=more) + METER + routes) as house,
        ):
            judge.says = {"verdict": "SOFT_BLOCK"}
            body = {**CHAT, "trivium_fallbacks": ["up/dear"]}
            assert [(await house.post(PATHS["chat"], body))[0] for _ in range(2)] == [200, 500]
            asked = [json.loads(request.body)["model"] for request in house.upstream.requests]
            records = await house.records()
        assert asked == ["cheap", "cheap-2"] * 2
        told = json.loads(records[1]["routing"])
        assert (told["why"], [one["route"] for one in told["tried"]]) == ("if those before it fail", ["up/cheap"])

    @pytest.mark.parametrize("more", ["", CHEAP], ids=["none", "forbidden"])
    async def test_where_no_cheaper_one_may_answer_a_soft_block_is_a_challenge(self, more: str) -> None:
        only = 'apis = ["chat"]\nmodels = ["m", "cheap"]'
        async with (
            classifier() as judge,
            shop(HI, settings=settings(judge, "enforce", more=more) + METER, provider=only) as house,
        ):
            await asyncio.to_thread(_forbid_cheap, house)
            judge.says = {"verdict": "SOFT_BLOCK"}
            status, _, _ = await house.post(*a_call("chat"))
            record = await house.record()
        assert (status, record["error_code"]) == (403, "call_challenged")
        assert (record["upstream_model"], record["abuse_verdict"]) == ("m", "soft_block")

    async def test_sdks_know_a_challenge_for_what_it_is(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.says = {"verdict": "CHALLENGE", "message": "Ask us."}
            async with (
                openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key=house.key, max_retries=0) as on_openai,
                anthropic.AsyncAnthropic(base_url=house.url, api_key=house.key, max_retries=0) as on_anthropic,
            ):
                hi: list[Any] = [{"role": "user", "content": "hi"}]
                with pytest.raises(openai.PermissionDeniedError, match="Ask us") as chat:
                    await on_openai.chat.completions.create(model="m", messages=hi)
                with pytest.raises(openai.PermissionDeniedError, match="Ask us"):
                    await on_openai.responses.create(model="m", input="hi", stream=True)
                with pytest.raises(anthropic.PermissionDeniedError, match="Ask us"):
                    await on_anthropic.messages.create(model="m", messages=hi, max_tokens=50)
        assert chat.value.code == "call_challenged"


def _forbid_cheap(house: Running) -> None:
    with house.gateway.store.database.transaction() as tx:
        tx.execute("UPDATE keys SET scopes = ?", ('{"models": ["m"]}',))
    house.gateway.store.keys.forget()


BROKEN: dict[str, Any] = {
    "no JSON": b"<html>",
    "no verdict": {"reason": "x"},
    "an unknown verdict": {"verdict": "MAYBE"},
    "a number": 5,
    "half an answer": b'{"verdict": "HARD_BL',
    "too much": {"verdict": "HARD_BLOCK", "reason": "x" * 100_000},
}


class TestNothingThatAClassifierDoesFailsARequest:
    @pytest.mark.parametrize("says", BROKEN.values(), ids=BROKEN)
    async def test_garbage(self, says: Any) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.says = says
            assert (await house.post(*a_call("chat")))[0] == 200
            record = await house.record()
            await counted(house, checks_failed=1)
        assert (record["outcome"], record["abuse_verdict"], record["flags"]) == ("success", "allow", "abuse_unchecked")

    async def test_an_error(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.says, judge.status = {"verdict": "HARD_BLOCK"}, 500
            assert (await house.post(*a_call("messages")))[0] == 200
            await counted(house, checks_failed=1)

    async def test_silence(self) -> None:
        on = "timeout = 0.05"
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce", asks=on) + METER) as house:
            judge.free.clear()
            assert (await house.post(*a_call("responses")))[0] == 200
            record = await house.record()
            await counted(house, checks_late=1)
            judge.free.set()
        assert record["flags"] == "abuse_unchecked"

    async def test_silence_for_longer_than_the_client_waits(self) -> None:
        on = "timeout = 30"
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce", asks=on) + METER) as house:
            judge.free.clear()
            async with asyncio.timeout(30):
                status, told, _ = await house.post(*a_call("chat"), headers={"x-trivium-timeout": "0.1"})
            judge.free.set()
        assert (status, "x-trivium-timeout" in told["error"]["message"]) == (504, True)
        assert house.upstream.requests == []

    async def test_nobody_there(self) -> None:
        """After some failures in a row it is left alone for a while, and calls do not wait for it."""
        gone = ClassifierDouble()
        gone.url = "http://127.0.0.1:9"
        async with shop(HI, settings=settings(gone, "enforce") + METER) as house:
            for _ in range(8):
                assert (await house.post(*a_call("chat")))[0] == 200
            told = await status(house)
            records = await house.records()
        assert told["checks_failed"] >= 1
        assert told["checks_resting"] >= 3
        assert told["checks_failed"] + told["checks_resting"] == told["allow"] == len(records) == 8
        assert {record["flags"] for record in records} == {"abuse_unchecked"}

    @pytest.mark.parametrize("mode", ["log", "enforce"])
    async def test_silence_towards_many_at_once(self, mode: str) -> None:
        """Every call is answered, and each question and report is accounted for."""
        async with classifier() as judge:
            on = settings(judge, mode, asks="timeout = 0.3") + METER
            async with shop(HI, settings=on) as house:
                judge.free.clear()
                async with asyncio.TaskGroup() as group:
                    calls = [group.create_task(house.post(*a_call("chat"))) for _ in range(200)]
                assert {call.result()[0] for call in calls} == {200}
                judge.free.set()
                async with asyncio.timeout(30):
                    while True:
                        told = await status(house)
                        ends = {name: told[name] for name in told if name.startswith(("checks", "reports"))}
                        if sum(ends.values()) == 400:
                            break
                        await asyncio.sleep(0.01)
                assert len(await house.records()) == 200

    async def test_a_client_that_leaves_while_it_thinks(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + METER) as house:
            judge.free.clear()
            asking = asyncio.create_task(house.post(*a_call("chat")))
            await judge.asked()
            asking.cancel()
            record = await house.record()
            judge.free.set()
            assert house.upstream.requests == []
        assert (record["outcome"], record["status"]) == ("aborted", 499)


class TestRules:
    """Without any classifier."""

    async def test_they_act_by_themselves(self) -> None:
        said = settings(None, "enforce", 'requests_per_minute = 2\nbad_prompts = ["steal keys"]')
        async with shop(HI, settings=said) as house:
            told = [(await house.post(*a_call(api)))[0] for api in ("chat", "responses", "messages")]
            bad = {**CHAT, "messages": [{"role": "user", "content": "Steal KEYS"}]}
            told.append((await house.post(PATHS["chat"], bad))[0])
            records = await house.records()
        assert told == [200, 200, 403, 403]
        found = {(record["abuse_verdict"], record["abuse_reason"], record["error_code"]) for record in records}
        assert found == {
            ("allow", None, None),
            ("challenge", "velocity", "call_challenged"),
            ("hard_block", "bad_prompt", "call_blocked"),
        }

    @in_every_api
    @pytest.mark.parametrize("mode", ["log", "enforce"])
    async def test_a_long_text_before_hides_nothing_and_a_crowd_is_told(self, api: str, mode: str) -> None:
        said = settings(None, mode, 'bad_prompts = ["steal keys"]')
        name = "input" if api == "responses" else "messages"
        bad, old = {"role": "user", "content": "steal keys"}, {"role": "assistant", "content": "{" * 610_000}
        crowd = {"role": "assistant", "content": [{}] * 310_000}
        async with shop(HI, settings=said) as house:
            for turns in ([old, bad], [crowd, bad], [bad]):
                status, _, _ = await house.post(PATHS[api], {**BODIES[api], name: turns})
                assert status == (200 if mode == "log" else 403)
            found = [
                (record["abuse_verdict"], record["abuse_reason"], "prompts_unread" in record["flags"])
                for record in reversed(await house.records())
            ]
        blocked = ("hard_block", "bad_prompt", False)
        assert found == [blocked, ("challenge", "unread", True), blocked]

    async def test_in_mode_log_they_only_tell(self) -> None:
        async with shop(HI, settings=settings(None, "log", 'bad_agents = ["claude-cli/*"]')) as house:
            assert (await house.post(*a_call("chat"), headers=AGENT))[0] == 200
            record = await house.record()
            assert await status(house) == {"mode": "log", "allow": 0, "soft_block": 0, "challenge": 0, "hard_block": 1}
        assert (record["abuse_verdict"], record["abuse_reason"]) == ("hard_block", "bad_agent")

    async def test_a_classifier_hears_what_they_say_and_makes_nothing_milder(self) -> None:
        async with classifier() as judge:
            said = settings(
                judge, "enforce", 'bad_agents = ["claude-cli/*"]\n[abuse.rules.verdicts]\nbad_agent = "challenge"'
            )
            async with shop(HI, settings=said) as house:
                assert (await house.post(*a_call("chat"), headers=AGENT))[0] == 403
                heard = await judge.asked()
        assert (heard["rules_verdict"], heard["rules_reason"]) == ("challenge", "bad_agent")

    async def test_what_is_given_away_has_an_end(self) -> None:
        """A free model of a vendor who tells what the call would have cost."""
        told = whole("chat", "Hi", {**usage("chat", 25, 20), "cost": 0.5})
        rules = 'free_spend_per_hour = "1"\n[abuse.rules.verdicts]\nfree_spend = "hard_block"'
        provider = f"{ALL_APIS}\nreports_cost = true"
        said = settings(None, "enforce", rules) + is_free("*")
        async with shop(Reply(body=told), settings=said, provider=provider) as house:
            statuses = [(await house.post(*a_call("chat")))[0] for _ in range(4)]
            records = await house.records()
        assert statuses == [200, 200, 200, 403]
        assert (records[0]["abuse_reason"], records[1]["market_cost_nano"]) == ("free_spend", 500_000_000)

    async def test_without_the_section_nobody_looks(self) -> None:
        async with shop(HI, settings=METER) as house:
            await house.post(*a_call("chat"))
            record = await house.record()
            assert await status(house) == {"mode": "off"}
            assert house.gateway.deps.screening is None
        assert (record["abuse_verdict"], record["abuse_reason"]) == (None, None)


class TestTheReport:
    async def test_tells_what_became_of_a_call(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            await house.post(*a_call("chat"))
            told = await judge.told()
            question = await judge.asked()
            record = await house.record()
        assert told == {
            "version": 1,
            "id": question["id"],
            "time_ms": question["time_ms"],
            "identity": question["identity"],
            "outcome": "success",
            "status": 200,
            "error_code": None,
            "verdict": "allow",
            "market_cost_nano": 375_000,
            "cost_nano": 375_000,
            "payer": "house",
            "input_tokens": 25,
            "output_tokens": 20,
        }
        assert record["cost_nano"] == 375_000

    async def test_of_a_failure_too(self) -> None:
        async with classifier() as judge, shop(Reply(status=500), settings=settings(judge) + METER) as house:
            await house.post(*a_call("chat"))
            told = await judge.told()
        assert (told["outcome"], told["status"], told["market_cost_nano"]) == ("failed", 500, None)

    async def test_but_not_of_a_call_that_was_never_sent(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge, "enforce") + CREDITS) as house:
            await customer(house, usd="0")
            assert (await house.post(*a_call("chat")))[0] == 402
            judge.says = {"verdict": "HARD_BLOCK"}
            assert (await house.post(*a_call("chat")))[0] == 403
            assert len(judge.questions) == 2
        assert judge.reports == []

    async def test_what_is_not_heard_is_counted(self) -> None:
        async with classifier() as judge, shop(HI, settings=settings(judge) + METER) as house:
            judge.status = 503
            await house.post(*a_call("chat"))
            await counted(house, reports_failed=1)
