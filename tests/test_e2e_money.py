"""Money as a caller and an operator see it: what is refused, what is held, what is charged. The auditor has the last
word of every test.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from gateway import ALL_APIS, CHAT, MESSAGES, Running
from support_clock import Ahead
from support_money import (
    APIS,
    BODIES,
    CREDITS,
    INPUT,
    LIMITS,
    METER,
    OPENROUTER,
    OUTPUT,
    PATHS,
    PRICES,
    VERCEL,
    Customer,
    beginning,
    customer,
    in_every_api,
    leave,
    operate,
    settled,
    settled_one,
    shop,
    stalling,
    streamed,
    usage,
    whole,
)
from support_pace import at_once
from support_people import People
from support_sdks import CHAT as ASKED_CHAT
from support_sdks import MESSAGES as ASKED_MESSAGES
from support_sdks import RESPONSES as ASKED_RESPONSES
from support_sdks import clients
from trivium.clock import DAY_MS
from trivium.mock import Error, Generation, Match, Reply, Rule, Script, Usage
from trivium.money import nano_text
from trivium.operations.money import nano

GOOD = Reply(text="Hi", usage=Usage(input=25, output=20))
PRICE = 25 * INPUT + 20 * OUTPUT
OTHERS = METER.replace("up/*", "up/others")
"""Prices that nobody asks for."""
TYPES = {"chat": "insufficient_quota", "responses": "insufficient_quota", "messages": "billing_error"}


async def ask(house: Running, api: str = "chat", **more: Any) -> tuple[int, Any]:
    status, answer, _ = await house.post(PATHS[api], {**BODIES[api], **more})
    return status, answer


async def what_is_held(house: Running, api: str = "chat", **more: Any) -> int:
    """The hold of a call, in nanodollars."""
    assert (await ask(house, api, **more))[0] == 200
    held: int = (await house.records())[0]["hold_nano"]
    return held


async def left(payer: Customer) -> str:
    balance, held = await payer.balance()
    assert held == "0"
    return balance


class TestRefusals:
    @in_every_api
    async def test_a_402_says_in_the_apis_shape_what_is_needed_and_what_is_there(self, api: str) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            payer = await customer(house, "0.0001")
            for stream in (False, True):
                status, answer, headers = await house.post(PATHS[api], {**BODIES[api], "stream": stream})
                assert (status, headers["x-should-retry"]) == (402, "false")
                told = answer["error"]
                assert (told["type"], told["code"]) == (TYPES[api], "insufficient_credits")
                assert (told["balance_usd"], told["buy_credits_url"]) == ("0.0001", "https://pay.example/credits")
                assert f"up to ${told['needed_usd']}" in told["message"]
                assert "$0.0001 of credits are free" in told["message"]
                assert answer.get("type") == ("error" if api == "messages" else None)
            assert house.upstream.requests == []
            records = await house.records()
            assert [(record["outcome"], record["status"]) for record in records] == [("refused", 402)] * 2
            assert [record["cost_nano"] + record["hold_nano"] for record in records] == [0, 0]
            assert await payer.balance() == ("0.0001", "0")
            await operate(house, "credits.top_up", account="acme", usd=told["needed_usd"])
            assert nano_text(await what_is_held(house, api, stream=True)) == told["needed_usd"]

    async def test_the_sdks_raise_it_with_the_figures(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            await customer(house, "0.0001")
            async with clients(house.url, house.key) as on:
                for call in (
                    on.openai.chat.completions.create(model="m", **ASKED_CHAT),
                    on.openai.chat.completions.create(model="m", stream=True, **ASKED_CHAT),
                    on.openai.responses.create(model="m", **ASKED_RESPONSES),
                ):
                    with pytest.raises(openai.APIStatusError) as refused:
                        await call
                    body: Any = refused.value.body
                    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_credits")
                    assert (body["balance_usd"], "needed_usd" in body) == ("0.0001", True)
                with pytest.raises(anthropic.APIStatusError) as billed:
                    await on.anthropic.messages.create(model="m", **ASKED_MESSAGES)
                told: Any = billed.value.body
                assert (billed.value.status_code, told["error"]["type"]) == (402, "billing_error")
                assert told["error"]["balance_usd"] == "0.0001"
            assert house.upstream.requests == []

    async def test_without_an_address_to_buy_credits_at_none_is_told(self) -> None:
        async with shop(GOOD, settings=f'{METER}[billing]\nmode = "credits"') as house:
            await customer(house, "0")
            status, answer = await ask(house)
            assert (status, "buy_credits_url" in answer["error"]) == (402, False)

    async def test_a_key_without_an_account_is_paid_for_by_the_default_one(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            assert (await ask(house))[0] == 402
            await operate(house, "credits.grant", account="default", usd="1")
            assert (await ask(house))[0] == 200
            (account,) = await operate(house, "accounts.list", account="default")
            assert account["balance_usd"] == nano_text(10**9 - PRICE)
            await operate(house, "prices.set", pattern="up/*", markup_ppm=1_000_000, account_id="default")
            assert (await ask(house))[0] == 200
            (account,) = await operate(house, "accounts.list", account="default")
            assert account["balance_usd"] == nano_text(10**9 - 3 * PRICE)
            await operate(house, "budgets.set", scope="account:default", period="day", usd="0")
            assert (await ask(house))[0] == 402

    @in_every_api
    async def test_a_store_that_fails_is_503_and_the_upstream_hears_nothing(self, api: str) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            payer = await customer(house)
            with house.gateway.store.database.transaction() as tx:
                tx.execute("ALTER TABLE starts RENAME TO gone")
            status, answer, headers = await house.post(PATHS[api], BODIES[api])
            assert (status, answer["error"]["code"], headers["retry-after"]) == (503, "store_unavailable", "1")
            assert answer.get("type") == ("error" if api == "messages" else None)
            assert house.upstream.requests == []
            with house.gateway.store.database.transaction() as tx:
                tx.execute("ALTER TABLE gone RENAME TO starts")
            assert (await house.record())["outcome"] == "refused"
            assert await payer.balance() == ("1", "0")
            assert (await ask(house, api))[0] == 200

    @in_every_api
    async def test_a_model_without_a_price_is_refused_where_balances_are_charged(self, api: str) -> None:
        async with shop(GOOD, settings=f'{OTHERS}[billing]\nmode = "credits"') as house:
            await customer(house)
            status, answer = await ask(house, api)
            assert (status, answer["error"]["code"]) == (400, "model_not_priced")
            assert house.upstream.requests == []
            assert (await house.record())["outcome"] == "refused"

    async def test_and_is_neither_listed_nor_proposed_there(self) -> None:
        settings = f"""
            [catalog]
            default_model = "dear"
            preferred = ["cheap"]
            [catalog.models.routed]
            routes = [{{ to = "up/dear" }}, {{ to = "up/cheap" }}]
            [aliases]
            alias = "up/dear"
            [models."up/cheap"]
            {PRICES}
            [models."up/gift"]
            free = true
            [[billing.promotions]]
            model = "up/bot"
            until = 2100-01-01
            [billing]
            """
        provider = f'{ALL_APIS}\nmodels = ["dear", "cheap", "gift", "bot"]'
        for mode, unsold in (("credits", {"dear", "alias"}), ("meter", set())):
            async with shop(GOOD, settings=f'{settings}mode = "{mode}"\n', provider=provider) as house:
                await customer(house)
                names = {"dear", "alias", "cheap", "gift", "bot", "routed"}
                people = People(house)
                seen = await people.models(house.key)
                assert seen & names == names - unsold
                for name in names:
                    expected = 400 if name in unsold else 200
                    assert (await house.post(PATHS["chat"], {**BODIES["chat"], "model": name}))[0] == expected
                headers = {"authorization": f"Bearer {house.key}"}
                async with aiohttp.ClientSession(headers=headers) as session:
                    async with session.get(f"{house.url}/api/defaults") as answer:
                        assert (await answer.json())["defaultModel"] == ("cheap" if unsold else "dear")
                    async with session.get(f"{house.url}/v1/models/dear") as answer:
                        assert answer.status == (404 if unsold else 200)

    @in_every_api
    async def test_and_is_measured_charged_nothing_and_flagged_where_they_are_not(self, api: str) -> None:
        async with shop(GOOD, settings=OTHERS) as house:
            assert (await ask(house, api))[0] == 200
            record = await house.record()
        assert (record["cost_nano"], record["market_cost_nano"], record["cost_source"]) == (0, None, None)
        assert (record["flags"], record["payer"], record["output_tokens"]) == ("unpriced", "house", 20)


class TestHolds:
    @in_every_api
    async def test_an_overlong_limit_is_held_as_what_the_model_can_produce(self, api: str) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            await customer(house)
            most = await what_is_held(house, api, **{LIMITS[api]: 1_000})
            assert await what_is_held(house, api, **{LIMITS[api]: 10}) < most - 900 * OUTPUT
            # The longer number has more letters, which may be tokens.
            assert most <= await what_is_held(house, api, **{LIMITS[api]: 2_000_000_000}) < most + 20 * INPUT
            assert house.upstream.requests[-1].json[LIMITS[api]] == 2_000_000_000

    async def test_a_hold_is_free_again_as_soon_as_the_answer_is_there(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            payer = await customer(house)
            held = await what_is_held(house)
            spare = nano(await left(payer)) - held - 20 * PRICE
            await operate(house, "credits.adjust", account="acme", usd=nano_text(-spare))
            assert [(await ask(house))[0] for _ in range(22)] == [200] * 21 + [402]
            assert [kind for kind, _ in await payer.entries()].count("charge") == 22

    @pytest.mark.parametrize(
        ("reply", "status"),
        [
            (Reply(status=500, error=Error(message="no")), 500),
            (Reply(status=429, error=Error(message="slow down")), 429),
            (Reply(abort="close"), 502),
            (Reply(body="not JSON"), 502),
            (Reply(status=401, error=Error(message="bad key")), 503),
        ],
    )
    async def test_a_failure_costs_nothing_and_frees_its_hold(self, reply: Reply, status: int) -> None:
        async with shop(reply, settings=CREDITS) as house:
            payer = await customer(house)
            assert (await ask(house))[0] == status
            record = await house.record()
            assert (record["outcome"], record["cost_nano"], record["hold_nano"] > 0) == ("failed", 0, True)
            assert (await payer.balance(), await payer.entries()) == (("1", "0"), [("top_up", "1")])

    async def test_together_calls_are_admitted_for_no_more_than_there_is(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            payer = await customer(house)
            held = await what_is_held(house)
            spare = nano(await left(payer)) - 3 * held
            await operate(house, "credits.adjust", account="acme", usd=nano_text(-spare))
            answers = await at_once((ask(house) for _ in range(10)), 3)
            assert sorted(status for status, _ in answers) == [200] * 3 + [402] * 7
            refusal = next(answer for status, answer in answers if status == 402)
            assert refusal["error"]["balance_usd"] == "0"
            assert f"(${nano_text(3 * held)} is put aside for calls in progress)" in refusal["error"]["message"]
            assert len(house.upstream.requests) == 4
            assert await left(payer) == nano_text(3 * held - 3 * PRICE)


SCOPES = ["key:{key}", "user:u1", "account:acme", "project:p1", "member:acme/u1"]


class TestBudgets:
    @pytest.mark.parametrize("settings", [METER, CREDITS], ids=["meter", "credits"])
    async def test_a_budget_of_any_scope_that_counts_the_call_refuses_it(self, settings: str) -> None:
        async with shop(GOOD, settings=settings) as house:
            payer = await customer(house, user="u1", project="p1")
            other = await customer(house, "1", "other", user="u2")
            for scope in (scope.format(key=payer.key_id) for scope in SCOPES):
                made = await operate(house, "budgets.set", scope=scope, period="month", usd="0.001")
                house.key = payer.key
                status, answer = await ask(house)
                told = answer["error"]
                assert (scope, status, told["code"]) == (scope, 402, "budget_exceeded")
                assert (told["budget"], told["budget_usd"], told["balance_usd"]) == (scope, "0.001", "0.001")
                assert f"left of the monthly budget of $0.001 of {scope}" in told["message"]
                house.key = other.key
                assert (await ask(house))[0] == 200
                await operate(house, "budgets.remove", budget=made["id"])
                house.key = payer.key
                assert (await ask(house))[0] == 200
            assert len(house.upstream.requests) == 2 * len(SCOPES)

    @pytest.mark.parametrize(("period", "days"), [("day", 1), ("week", 7), ("month", 31), ("total", None)])
    async def test_what_is_spent_counts_until_the_period_is_over(self, period: str, days: int | None) -> None:
        async with shop(GOOD, settings=METER) as house:
            await customer(house, "0")
            await operate(house, "budgets.set", scope="account:acme", period=period, usd="1")
            held = await what_is_held(house)
            limit = nano_text(PRICE + held + PRICE - 1)
            await operate(house, "budgets.set", scope="account:acme", period=period, usd=limit)
            assert [(await ask(house))[0] for _ in range(2)] == [200, 402]
            (budget,) = await operate(house, "budgets.list")
            assert (budget["spent_usd"], budget["held_usd"]) == (nano_text(2 * PRICE), "0")
            house.gateway.deps.clock = Ahead((days or 1_000) * DAY_MS)
            assert [(await ask(house))[0] for _ in range(3)] == ([402] * 3 if days is None else [200, 200, 402])

    async def test_a_budget_of_nothing_allows_what_costs_nothing(self) -> None:
        settings = f'{METER}[models."up/gift"]\nfree = true\n'
        async with shop(GOOD, settings=settings) as house:
            await customer(house, "0")
            await operate(house, "budgets.set", scope="account:acme", period="total", usd="0")
            assert (await ask(house))[0] == 402
            assert (await ask(house, model="gift"))[0] == 200

    async def test_a_budget_is_charged_the_true_cost_and_not_the_hold(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            await customer(house, user="u1")
            for scope in ("user:u1", "account:acme"):
                await operate(house, "budgets.set", scope=scope, period="day", usd="0.5")
            for _ in range(3):
                assert (await ask(house))[0] == 200
            budgets = await operate(house, "budgets.list")
            assert [(budget["spent_usd"], budget["held_usd"]) for budget in budgets] == [
                (nano_text(3 * PRICE), "0")
            ] * 2


class TestWhoPays:
    @in_every_api
    async def test_a_free_model_needs_no_balance_and_keeps_what_it_is_worth(self, api: str) -> None:
        reply = Reply(body=whole(api, "Hi", usage(api, 25, 20, cost=0.002, is_byok=False)))
        settings = f'{CREDITS}[models."up/m"]\nfree = true\n'
        async with shop(reply, settings=settings, provider=OPENROUTER) as house:
            payer = await customer(house, "0")
            assert (await ask(house, api))[0] == 200
            record = await house.record()
            assert await payer.entries() == []
        assert (record["payer"], record["hold_nano"], record["cost_nano"]) == ("free", 0, 0)
        assert (record["market_cost_nano"], record["reported_cost_usd"]) == (2_000_000, "0.002")

    @in_every_api
    async def test_a_provider_that_the_caller_pays_needs_no_balance_and_no_price(self, api: str) -> None:
        async with shop(GOOD, settings=CREDITS, provider=f"{ALL_APIS}\nbyok = true") as house:
            payer = await customer(house, "0")
            assert (await ask(house, api))[0] == 200
            record = await house.record()
            assert await payer.entries() == []
        assert (record["payer"], record["hold_nano"], record["cost_nano"]) == ("byok", 0, 0)
        assert (record["market_cost_nano"], record["account_id"]) == (PRICE, "acme")

    async def test_in_a_promotion_the_house_pays_until_its_last_day_is_over(self) -> None:
        promotion = '[[billing.promotions]]\nmodel = "up/m"\naccount = "acme"\nuntil = 2126-01-01\n'
        async with shop(GOOD, settings=f"{CREDITS}{promotion}") as house:
            payer = await customer(house, "0")
            assert (await ask(house))[0] == 200
            assert await payer.entries() == []
            record = await house.record()
            assert (record["payer"], record["cost_nano"], record["market_cost_nano"]) == ("promotion", 0, PRICE)
            assert (await ask(house, model="another"))[0] == 402
            house.gateway.deps.clock = Ahead(100 * 366 * DAY_MS)
            assert (await ask(house))[0] == 402

    @pytest.mark.parametrize(
        ("api", "path"), [("responses", "/v1/responses/input_tokens"), ("messages", "/v1/messages/count_tokens")]
    )
    async def test_counting_tokens_costs_nothing_even_without_credits_or_a_price(self, api: str, path: str) -> None:
        counted = Rule(Reply(usage=Usage(input=7)), Match(path="*tokens"))
        async with shop(counted, settings=f'{OTHERS}[billing]\nmode = "credits"\ncost_header = true') as house:
            payer = await customer(house, "0")
            status, answer, _ = await house.post(path, BODIES[api])
            record = await house.record()
            assert await payer.entries() == []
        assert (status, answer["input_tokens"]) == (200, 7)
        assert (record["operation"], record["cost_nano"], record["hold_nano"]) == ("count_tokens", 0, 0)


class TestClientsThatLeave:
    @in_every_api
    async def test_what_was_delivered_is_charged_and_the_rest_is_not(self, api: str) -> None:
        sse = beginning(api, "x" * 36, usage("messages", 25, 1))
        async with shop(stalling(sse), settings=CREDITS) as house:
            payer = await customer(house)
            await leave(house, PATHS[api], BODIES[api], b"x" * 36)
            record = await settled_one(house)
            assert await left(payer) == nano_text(10**9 - record["cost_nano"])
        assert (record["outcome"], record["cost_source"], record["flags"]) == ("aborted", "estimated", "estimated")
        assert (record["content_bytes"], record["output_tokens"]) == (36, 10)
        assert record["cost_nano"] == record["input_uncached_tokens"] * INPUT + 10 * OUTPUT
        assert record["input_uncached_tokens"] == 25 if api == "messages" else record["input_uncached_tokens"] > 5

    async def test_a_stream_that_breaks_behind_its_figures_is_charged_by_them(self) -> None:
        """Whatever a guess at what was delivered would say."""
        sse = streamed("messages", "x" * 360, usage("messages", 25, 20)).partition("event: message_stop")[0]
        async with shop(Reply(sse=sse, abort="reset", abort_after_bytes=len(sse)), settings=METER) as house:
            await house.post(PATHS["messages"], {**MESSAGES, "stream": True})
            record = await settled_one(house)
        assert (record["content_bytes"], record["cost_nano"], record["cost_source"]) == (360, PRICE, "computed")

    async def test_who_leaves_before_anything_came_pays_nothing(self) -> None:
        async with shop(Reply(text="late", delay_ms=10_000), settings=CREDITS) as house:
            payer = await customer(house)
            connection, auth = house.connect()
            content = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + auth
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(content) + content)
            await house.upstream.wait_for_requests(1)
            assert (await payer.balance())[1] != "0"
            connection.close()
            record = await settled_one(house)
            assert await payer.balance() == ("1", "0")
        assert (record["outcome"], record["status"], record["cost_nano"]) == ("aborted", 499, 0)

    @in_every_api
    async def test_an_answer_that_is_drained_is_charged_what_it_says(self, api: str) -> None:
        reply = Reply(text=["word "] * 8, event_delay_ms=20, usage=Usage(input=25, output=20))
        async with shop(reply, settings=CREDITS, provider=f'{ALL_APIS}\non_abort = "drain"') as house:
            payer = await customer(house)
            await leave(house, PATHS[api], BODIES[api], b"word ")
            record = await settled_one(house)
            (ended,) = await house.upstream.wait_for_endings(1)
            assert await left(payer) == nano_text(10**9 - PRICE)
        assert (ended.ending, record["outcome"]) == ("completed", "aborted")
        assert (record["cost_nano"], record["cost_source"], record["flags"]) == (PRICE, "computed", "")
        assert record["content_bytes"] < 8 * 5

    async def test_a_client_that_did_not_even_read_does_not_hold_up_the_reading(self) -> None:
        reply = Reply(text=["x" * 100_000] * 100, usage=Usage(input=25, output=20))
        async with shop(reply, settings=CREDITS, provider=f'{ALL_APIS}\non_abort = "drain"') as house:
            payer = await customer(house)
            connection, auth = house.connect()
            content = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + auth
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(content) + content)
            await asyncio.to_thread(connection.recv, 1_000)
            assert (await payer.balance())[1] != "0"
            connection.close()
            record = await settled_one(house)
            (ended,) = await house.upstream.wait_for_endings(1)
        assert (ended.ending, record["outcome"], record["cost_nano"]) == ("completed", "aborted", PRICE)

    @in_every_api
    async def test_the_generation_record_tells_what_an_abort_cost(self, api: str) -> None:
        """The hold stays until it has, however late the record comes."""
        said = stalling(beginning(api, "x" * 36, usage("messages", 25, 1)))
        told = {"total_cost": 0.0042, "is_byok": False, "native_tokens_prompt": 25, "native_tokens_completion": 90}
        headers = {"x-generation-id": "gen-1"}
        rule = Rule(Reply(sse=said.sse, abort="stall", abort_after_bytes=said.abort_after_bytes, headers=headers))
        script = Script([rule], generations=[Generation(id="gen-1", record=told, after_asks=1)])
        async with shop(script=script, settings=CREDITS, provider=OPENROUTER) as house:
            payer = await customer(house)
            await leave(house, PATHS[api], BODIES[api], b"x" * 36)
            assert await house.records() == []
            assert (await payer.balance())[1] != "0"
            assert house.gateway.store.database.query("SELECT upstream_id, ended FROM starts")[1] == [("gen-1", 0)]
            record = await settled_one(house)
            assert await left(payer) == "0.9958"
            looked_up = [request.query for request in house.upstream.requests if "generation" in request.path]
        assert looked_up == ["id=gen-1"] * 2
        assert (record["outcome"], record["cost_nano"], record["cost_source"]) == ("aborted", 4_200_000, "reported")
        assert (record["output_tokens"], record["flags"]) == (90, "")

    async def test_a_cost_that_came_early_is_not_the_last_word_on_an_abort(self) -> None:
        told = {"total_cost": 0.0042, "native_tokens_prompt": 25, "native_tokens_completion": 90}
        sse = beginning("messages", "x" * 36, usage("messages", 25, 1, cost=0.0001))
        said = Reply(sse=sse, abort="stall", abort_after_bytes=len(sse), headers={"x-generation-id": "gen-1"})
        script = Script([Rule(said)], generations=[Generation(id="gen-1", record=told)])
        async with shop(script=script, settings=METER, provider=OPENROUTER) as house:
            await leave(house, PATHS["messages"], MESSAGES, b"x" * 36)
            record = await settled_one(house)
        assert (record["cost_nano"], record["output_tokens"]) == (4_200_000, 90)

    async def test_a_generation_record_that_counts_tokens_is_believed_even_if_it_tells_no_cost(self) -> None:
        sse = beginning("chat", "x" * 36).replace('"c1"', '"gen-1"')
        told = Generation(id="gen-1", record={"native_tokens_prompt": 25, "native_tokens_completion": 4})
        script = Script([Rule(stalling(sse))], generations=[told])
        async with shop(script=script, settings=METER, provider=OPENROUTER) as house:
            await leave(house, PATHS["chat"], CHAT, b"x" * 36)
            record = await settled_one(house)
        assert (record["cost_nano"], record["cost_source"]) == (25 * INPUT + 4 * OUTPUT, "computed")

    async def test_without_a_generation_record_an_abort_is_charged_by_what_was_delivered(self) -> None:
        sse = beginning("chat", "x" * 36).replace('"c1"', '"gen-1"')
        refused = Rule(Reply(status=403), Match(path="*/generation", query={"id": "gen-1"}))
        async with shop(refused, Rule(stalling(sse)), settings=CREDITS, provider=OPENROUTER) as house:
            payer = await customer(house)
            await leave(house, PATHS["chat"], CHAT, b"x" * 36)
            record = await settled_one(house)
            assert await left(payer) == nano_text(10**9 - record["cost_nano"])
        assert (record["output_tokens"], record["flags"]) == (10, "generation_not_found estimated")

    async def test_what_is_looked_up_is_what_the_route_that_answered_calls_it(self) -> None:
        routes = '[catalog.models.twin]\nroutes = [{ to = "up/one" }, { to = "other/two" }]\n'
        settings = (
            f'{routes}{CREDITS.replace("up/*", "*/*")}[providers.other]\nbase_url = "{{upstream}}/v1"\n{OPENROUTER}\n'
        )
        failing = Rule(Reply(status=500, headers={"x-generation-id": "gen-1"}), Match(model="one"))
        answering = Rule(Reply(body=whole("chat", "Hi", usage("chat", 25, 20)) | {"id": "gen-2"}))
        costs = {"gen-1": 0.5, "gen-2": 0.0099}
        told = [Generation(id=id, record={"total_cost": cost}) for id, cost in costs.items()]
        script = Script([failing, answering], generations=told)
        async with shop(script=script, settings=settings, provider=OPENROUTER) as house:
            await customer(house)
            assert (await ask(house, model="twin"))[0] == 200
            record = await settled_one(house)
        assert (record["upstream_id"], record["cost_nano"], record["cost_source"]) == ("gen-2", 9_900_000, "reported")

    @in_every_api
    async def test_a_whole_answer_without_a_cost_is_looked_up_by_its_id(self, api: str) -> None:
        said = whole(api, "Hi", usage(api, 25, 20)) | {"id": "gen-1"}
        told = Generation(id="gen-1", record={"total_cost": 0.0099})
        script = Script([Rule(Reply(body=said))], generations=[told])
        async with shop(script=script, settings=CREDITS, provider=OPENROUTER) as house:
            await customer(house)
            await ask(house, api)
            record = await settled_one(house)
        assert (record["cost_nano"], record["cost_source"]) == (9_900_000, "reported")

    @in_every_api
    async def test_or_by_what_the_provider_calls_it_beside_the_answer(self, api: str) -> None:
        """OpenRouter in a header, Vercel in the answer's metadata; the answer's own id is none of theirs."""
        told = Generation(id="gen-1", record={"total_cost": 0.0099})
        at_openrouter = Reply(body=whole(api, "Hi", usage(api, 25, 20)), headers={"x-generation-id": "gen-1"})
        at_vercel = Reply(body=whole(api, "Hi", usage(api, 25, 20), {"generationId": "gen-1"}))
        for reply, provider in ((at_openrouter, OPENROUTER), (at_vercel, VERCEL)):
            script = Script([Rule(reply)], generations=[told])
            async with shop(script=script, settings=CREDITS, provider=provider) as house:
                await customer(house)
                await ask(house, api)
                record = await settled_one(house)
            assert (record["upstream_id"], record["cost_nano"]) == ("gen-1", 9_900_000)

    async def test_where_a_market_cost_alone_is_told_it_is_the_cost_and_nothing_is_looked_up(self) -> None:
        said = whole("chat", "Hi", usage("chat", 25, 20), {"marketCost": "0.01", "generationId": "gen-1"})
        async with shop(Reply(body=said), settings=CREDITS, provider=VERCEL) as house:
            await customer(house)
            await ask(house)
            record = await settled_one(house)
            assert (record["cost_nano"], record["cost_source"], record["flags"]) == (10_000_000, "reported", "")
            assert len(house.upstream.requests) == 1

    @pytest.mark.parametrize(
        ("settings", "reply"),
        [
            (CREDITS, Reply(status=500, headers={"x-generation-id": "gen-1"})),
            (f'{CREDITS}[models."up/m"]\nfree = true\n', Reply(body=whole("chat", "Hi", None) | {"id": "gen-1"})),
        ],
        ids=["failure", "free"],
    )
    async def test_what_costs_nothing_is_not_looked_up(self, settings: str, reply: Reply) -> None:
        async with shop(reply, settings=settings, provider=OPENROUTER) as house:
            await customer(house)
            await ask(house)
            record = await house.record()
            assert (record["cost_nano"], "generation_not_found" in record["flags"]) == (0, False)
            assert len(house.upstream.requests) == 1

    async def test_what_a_call_asked_for_is_known_though_its_body_is_not_kept_until_the_record_was_looked_for(
        self,
    ) -> None:
        said = whole("chat", "Hi", None) | {"id": "gen-1"}
        refused = Rule(Reply(status=403), Match(path="*/generation"))
        async with shop(refused, Rule(Reply(body=said)), settings=METER, provider=OPENROUTER) as house:
            asked = {**CHAT, "messages": [{"role": "user", "content": "word " * 1_000}]}
            assert (await house.post(PATHS["chat"], asked))[0] == 200
            record = await settled_one(house)
        assert (record["cost_source"], record["flags"]) == ("estimated", "generation_not_found estimated")
        assert record["input_uncached_tokens"] > 1_000

    @in_every_api
    async def test_an_emoji_that_was_cut_in_half_loses_no_answer(self, api: str) -> None:
        said = json.dumps(whole(api, "Hi X", usage(api, 25, 20))).replace("Hi X", "Hi \\ud83d")
        async with shop(Rule(Reply(body=said)), settings=CREDITS) as house:
            await customer(house)
            status, _ = await ask(house, api)
            record = await settled_one(house)
        assert (status, record["outcome"], record["cost_nano"]) == (200, "success", PRICE)

    async def test_a_gateway_that_ends_does_not_wait_for_a_record_for_ever(self) -> None:
        told = Generation(id="gen-1", after_asks=1_000)
        said = stalling(beginning("chat", "x" * 36).replace('"c1"', '"gen-1"'))
        async with shop(
            script=Script([Rule(said)], generations=[told]), settings=CREDITS, provider=OPENROUTER
        ) as house:
            await customer(house)
            await leave(house, PATHS["chat"], CHAT, b"x" * 36)
            assert await house.records() == []
            await house.gateway.deps.lookups.close(0.01)
            (record,) = await settled(house)
        assert (record["cost_source"], record["output_tokens"]) == ("estimated", 10)


async def test_at_the_end_of_a_day_of_everything_the_usage_is_the_sum_of_the_charges() -> None:
    good = [Rule(Reply(sse=streamed(api, "Hi", usage(api, 25, 20))), Match(api=api, stream=True)) for api in APIS]  # type: ignore[arg-type]
    rules = [*good, Rule(Reply(status=500, error=Error()), Match(model="bad")), Rule(GOOD)]
    async with shop(*rules, settings=CREDITS) as house:
        payer = await customer(house)
        calls = [ask(house, api, stream=stream) for api in APIS for stream in (True, False)]
        calls += [ask(house, api, model="bad") for api in APIS]
        statuses = [status for status, _ in await asyncio.gather(*calls)]
        await settled(house)
        (row,) = await operate(house, "usage", by=["account"])
        assert statuses == [200] * 6 + [500] * 3
        assert (row["requests"], row["failed"], row["cost_nano"]) == (9, 3, 6 * PRICE)
        assert await left(payer) == nano_text(10**9 - 6 * PRICE)
        assert (await house.post(PATHS["messages"], MESSAGES))[0] == 200
