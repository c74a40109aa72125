"""What answers cost, as their callers and their receipts say: markups, tiers, buckets, tools, reported costs, and the
charge in a header or behind a stream, over which no client stumbles.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway import ALL_APIS, Running
from support_money import (
    APIS,
    BODIES,
    CREDITS,
    INPUT,
    METER,
    OPENROUTER,
    OUTPUT,
    PATHS,
    customer,
    in_every_api,
    operate,
    receipt,
    settled_one,
    shop,
    streamed,
    usage,
    whole,
)
from support_sdks import STREAMED, WAYS, clients
from trivium.mock import Match, Reply, Rule, Usage
from trivium.money import nano_text
from trivium.operations.money import nano

GOOD = Reply(text="Hi", usage=Usage(input=25, output=20))
PRICE = 25 * INPUT + 20 * OUTPUT
COST = "x-trivium-cost-usd"
SHOWN = f"{METER}[billing]\ncost_header = true\n"


async def charged(house: Running, api: str, **more: Any) -> dict[str, Any]:
    """The record of one more call; its receipt adds up to its charge."""
    assert (await house.post(PATHS[api], {**BODIES[api], **more}))[0] == 200
    record: dict[str, Any] = (await house.records())[0]
    *rows, total = await receipt(house, record)
    assert sum(Decimal(row["usd"]) for row in rows) == Decimal(total["usd"])
    assert nano(total["usd"]) == record["cost_nano"]
    return record


def priced(table: str) -> str:
    return f'[models."up/m"]\noutput_limit = 1000\nprice = {{ {table} }}\n'


class TestMarkups:
    async def test_the_markup_of_an_account_wins_over_everybodys_and_one_of_a_model_over_all(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            await operate(house, "prices.set", pattern="up/*", markup_ppm=100_000)
            await operate(house, "prices.set", pattern="up/dear", markup_ppm=1_000_000)
            other = await customer(house, id="other")
            costs = [(await charged(house, "chat", model=model))["cost_nano"] for model in ("m", "dear")]
            assert costs == [PRICE * 11 // 10, PRICE * 2]
            friend = await customer(house)
            await operate(house, "prices.set", pattern="up/*", markup_ppm=-250_000, account_id="acme")
            record = await charged(house, "chat")
            assert (record["cost_nano"], record["market_cost_nano"]) == (PRICE * 3 // 4, PRICE)
            assert record["markup_ppm"] == -250_000
            assert [row["what"] for row in await receipt(house, record)] == ["input", "output", "discount", "total"]
            assert await other.balance() == (nano_text(10**9 - sum(costs)), "0")
            assert await friend.balance() == (nano_text(10**9 - PRICE * 3 // 4), "0")

    @pytest.mark.parametrize("settings", [METER, CREDITS])
    async def test_what_an_accounts_calls_cost_is_right_by_its_own_markup(self, settings: str) -> None:
        """Whether its balance is charged or not: the second call is a member's own, whom the account pays for."""
        async with shop(GOOD, settings=settings) as house:
            await operate(house, "users.create", name="Ann", id="ann")
            await operate(house, "orgs.create", name="Acme", id="acme", owner="ann")
            for account in ("acme", "ann"):
                await operate(house, "credits.top_up", account=account, usd="1")
            await operate(house, "prices.set", pattern="up/*", markup_ppm=-500_000, account_id="acme", effective_ms=0)
            house.key = (await operate(house, "keys.create", name="team", account="acme"))["key"]
            assert (await charged(house, "chat"))["cost_nano"] == PRICE // 2
            house.key = (await operate(house, "keys.create", name="own", user="ann"))["key"]
            headers = {"x-trivium-organization": "acme"}
            assert (await house.post(PATHS["chat"], BODIES["chat"], headers=headers))[0] == 200
            assert (await charged(house, "chat"))["cost_nano"] == PRICE
            found = await operate(house, "prices.rerate", since_ms=0, apply=True)
        assert [group["changed"] for group in found["groups"]] == [0] * len(found["groups"])
        assert (sum(group["requests"] for group in found["groups"]), found["booked"]) == (3, 0)

    async def test_a_hold_has_the_markup_in_it(self) -> None:
        async with shop(GOOD, settings=CREDITS) as house:
            await customer(house)
            plain = (await charged(house, "chat"))["hold_nano"]
            await operate(house, "prices.set", pattern="up/*", markup_ppm=1_000_000)
            assert (await charged(house, "chat"))["hold_nano"] == 2 * plain

    @in_every_api
    async def test_a_reported_cost_is_marked_up_too(self, api: str) -> None:
        reply = Reply(body=whole(api, "Hi", usage(api, 25, 20, cost=0.0003, is_byok=False)))
        async with shop(reply, settings=CREDITS, provider=OPENROUTER) as house:
            await customer(house)
            await operate(house, "prices.set", pattern="up/*", markup_ppm=50_000)
            record = await charged(house, api)
            assert (record["cost_nano"], record["market_cost_nano"]) == (315_000, 300_000)
            rows = [(row["what"], row["usd"]) for row in await receipt(house, record)]
            assert rows == [("reported by the provider", "0.0003"), ("markup", "0.000015"), ("total", "0.000315")]


class TestReportedCosts:
    @in_every_api
    async def test_the_cost_that_the_provider_tells_wins_over_the_book(self, api: str) -> None:
        used = usage(api, 25, 20, cost=0.0021, is_byok=False)
        stream = Rule(Reply(sse=streamed(api, "Hi", used)), Match(stream=True))
        async with shop(stream, Rule(Reply(body=whole(api, "Hi", used))), settings=METER, provider=OPENROUTER) as house:
            for streams in (False, True):
                record = await charged(house, api, stream=streams)
                assert (record["cost_nano"], record["cost_source"], record["flags"]) == (2_100_000, "reported", "")

    @in_every_api
    async def test_under_the_accounts_own_key_the_fee_is_charged_and_the_market_cost_is_both(self, api: str) -> None:
        bill = {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}
        reply = Reply(body=whole(api, "Hi", usage(api, 25, 20, **bill)))
        async with shop(reply, settings=METER, provider=OPENROUTER) as house:
            record = await charged(house, api)
        assert (record["cost_nano"], record["market_cost_nano"], record["is_byok"]) == (100_000, 2_100_000, 1)
        assert record["flags"] == ""

    @in_every_api
    async def test_xai_tells_it_in_ticks_of_which_ten_thousand_million_are_a_dollar(self, api: str) -> None:
        reply = Reply(body=whole(api, "Hi", usage(api, 25, 20, cost_in_usd_ticks=21_000_005)))
        async with shop(reply, settings=METER, provider=f"{ALL_APIS}\nreports_cost = true") as house:
            record = await charged(house, api)
        assert (record["reported_cost_usd"], record["cost_source"]) == ("0.0021000005", "reported")
        assert (record["cost_nano"], record["flags"]) == (2_100_000, "")  # half to even

    @pytest.mark.parametrize("cost", [0, 0.5, 99_000_000])
    async def test_a_server_that_nobody_knows_is_not_believed(self, cost: float) -> None:
        reply = Reply(body=whole("chat", "Hi", usage("chat", 25, 20, cost=cost)))
        async with shop(reply, settings=METER) as house:
            record = await charged(house, "chat")
        assert (record["cost_nano"], record["cost_source"]) == (25 * INPUT + 20 * OUTPUT, "computed")

    @pytest.mark.parametrize(
        ("told", "output", "flags"),
        [
            ({"prompt_tokens": 25, "completion_tokens": 10.5}, 10, "estimated"),
            ({"prompt_tokens": 25}, 10, "estimated"),
            ({"prompt_tokens": 25, "completion_tokens": 7}, 7, ""),
        ],
    )
    async def test_of_a_usage_that_cannot_be_read_the_rest_is_estimated(
        self, told: dict[str, Any], output: int, flags: str
    ) -> None:
        async with shop(Reply(body=whole("chat", "x" * 36, told)), settings=METER) as house:
            record = await charged(house, "chat")
        assert (record["output_tokens"], record["cost_nano"]) == (output, 25 * INPUT + output * OUTPUT)
        assert record["flags"] == flags

    async def test_a_usage_without_a_question_is_not_believed_in_that(self) -> None:
        async with shop(Reply(body=whole("chat", "x" * 36, {"completion_tokens": 7})), settings=METER) as house:
            record = await charged(house, "chat")
        assert (record["output_tokens"], record["flags"]) == (7, "estimated")
        assert record["cost_nano"] == record["input_uncached_tokens"] * INPUT + 7 * OUTPUT > 7 * OUTPUT

    async def test_a_usage_that_tells_a_total_alone_is_none(self) -> None:
        async with shop(Reply(body=whole("chat", "x" * 36, {"total_tokens": 50})), settings=METER) as house:
            record = await charged(house, "chat")
        assert record["output_tokens"] == 10
        assert record["input_uncached_tokens"] > 0
        assert record["flags"] == "estimated"

    async def test_a_budget_refuses_what_is_only_priced_afterwards(self) -> None:
        settings = '[models."other/*"]\nfree = true\n'
        reply = Reply(body=whole("chat", "Hi", usage("chat", 25, 20, cost=0.02, is_byok=False)))
        async with shop(reply, settings=settings, provider=OPENROUTER) as house:
            assert (await house.post(PATHS["chat"], BODIES["chat"]))[0] == 200
            (key,) = (await house.gateway.operations.perform("keys.list", {}))["items"]
            budget = {"scope": f"key:{key['id']}", "period": "day", "usd": "0.05"}
            await house.gateway.operations.perform("budgets.set", budget)
            status, said, _ = await house.post(PATHS["chat"], BODIES["chat"])
            assert (status, said["error"]["code"], said["error"]["param"]) == (400, "model_not_priced", "model")
            assert len(house.upstream.requests) == 1

    async def test_a_fee_that_does_not_fit_the_bill_is_flagged_and_charged_all_the_same(self) -> None:
        bill = {"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}
        reply = Reply(body=whole("chat", "Hi", usage("chat", 25, 20, **bill)))
        async with shop(reply, settings=METER, provider=OPENROUTER) as house:
            record = await charged(house, "chat")
        assert (record["cost_nano"], record["flags"]) == (1_000_000, "suspicious_cost")

    async def test_a_cost_of_nothing_is_a_cost(self) -> None:
        reply = Reply(body=whole("chat", "Hi", usage("chat", 25, 20, cost=0, is_byok=False)))
        async with shop(reply, settings=CREDITS, provider=OPENROUTER) as house:
            await customer(house)
            record = await charged(house, "chat")
        assert (record["cost_nano"], record["cost_source"]) == (0, "reported")

    async def test_a_reported_cost_needs_no_price_where_balances_are_not_charged(self) -> None:
        reply = Reply(body=whole("chat", "Hi", usage("chat", 25, 20, cost=0.0021, is_byok=False)))
        async with shop(reply, settings=METER.replace("up/*", "up/others"), provider=OPENROUTER) as house:
            record = await charged(house, "chat")
        assert (record["cost_nano"], record["flags"], record["price_version"]) == (2_100_000, "", None)


TIERS = priced('input = "3", output = "15", tiers.flex = { input = "1.5", output = "7.5" }, '
               'tiers.batch = { input = "1.5", output = "7.5" }, tiers.fast = { input = "6", output = "30" }, '
               'tiers.priority = { input = "6", output = "30" }, '
               'tiers.ultrafast = { input = "12", output = "60" }')  # fmt: skip


class TestTiers:
    @in_every_api
    async def test_the_tier_of_the_answer_counts_else_a_dearer_one_that_was_asked_for(self, api: str) -> None:
        """A cheaper one has to be confirmed: many vendors ignore what they do not have."""
        said = [
            ("flex", "flex", PRICE // 2), ("flex", "default", PRICE), ("flex", None, PRICE),
            ("batch", "batch", PRICE // 2), ("batch", None, PRICE),
            ("auto", "priority", PRICE * 2), ("priority", "standard", PRICE), ("priority", None, PRICE * 2),
            ("ultrafast", "ultrafast", PRICE * 4), ("ultrafast", None, PRICE * 4),
        ]  # fmt: skip
        rules = [Rule(Reply(body=_tiered(api, told)), times=1) for _, told, _ in said]
        async with shop(*rules, settings=TIERS) as house:
            costs = [(await charged(house, api, service_tier=asked))["cost_nano"] for asked, _, _ in said]
        assert costs == [due for *_, due in said]

    @pytest.mark.parametrize("api", ["chat", "responses"])
    async def test_so_does_the_tier_that_a_stream_named_before_it_broke_off(self, api: str) -> None:
        said = [("flex", "flex", "flex"), ("flex", None, None), ("priority", "default", "default"),
                ("priority", None, "priority")]  # fmt: skip
        rules = [Rule(Reply(sse=_begun(api, told)), times=1) for _, told, _ in said]
        async with shop(*rules, settings=TIERS, provider=f'apis = ["{api}"]\n') as house:
            records = [await charged(house, api, service_tier=asked, stream=True) for asked, *_ in said]
        assert [record["service_tier"] for record in records] == [counts for *_, counts in said]
        flex, standard, usual, dear = [record["cost_nano"] for record in records]
        assert (flex * 2, usual * 2) == (standard, dear)
        assert {record["flags"] for record in records} == {"estimated"}

    @pytest.mark.parametrize(
        ("client", "upstream", "asked"),
        [
            ("chat", "messages", {"service_tier": "priority"}),
            ("responses", "messages", {"service_tier": "priority"}),
            ("messages", "chat", {"speed": "fast"}),
            ("messages", "responses", {"speed": "fast"}),
        ],
    )
    async def test_a_tier_that_does_not_reach_the_upstream_has_no_price(
        self, client: str, upstream: str, asked: dict[str, str]
    ) -> None:
        reply = Reply(body=_tiered(upstream, None))
        async with shop(reply, settings=TIERS, provider=f'apis = ["{upstream}"]\n') as house:
            record = await charged(house, client, **asked)
            (sent,) = house.upstream.requests
        assert not asked.keys() & json.loads(sent.body).keys()
        assert (record["cost_nano"], record["service_tier"]) == (PRICE, None)

    @pytest.mark.parametrize("client", ["messages", "chat", "responses"])
    async def test_a_model_that_runs_in_the_usa_alone_costs_what_it_does_there(self, client: str) -> None:
        """A caller of Messages may ask for it, and the house's account may be kept there."""
        used = usage("messages", 25, 20, service_tier="standard", inference_geo="us")
        prices = priced('input = "3", output = "15", tiers.us = { input = "3.3", output = "16.5" }')
        reply = Reply(body=whole("messages", "Hi", used))
        async with shop(
            reply, settings=f'{prices}[billing]\nmode = "credits"', provider='apis = ["messages"]\n'
        ) as house:
            await customer(house)
            plain = await charged(house, client)
            asked = await charged(house, client, inference_geo="us")
            _, told, _ = await house.post(PATHS[client], BODIES[client])
        assert (plain["cost_nano"], asked["service_tier"]) == (PRICE * 11 // 10, "us")
        assert (asked["hold_nano"] > plain["hold_nano"] * 19 // 18) is (client == "messages")
        assert told.get("service_tier", "default") == "default" or client == "messages"

    async def test_a_tier_that_another_route_was_asked_for_has_no_price(self) -> None:
        """Claude never heard of it, and the route that did had no answer."""
        other = '[providers.b]\nbase_url = "{upstream}/b"\napis = ["messages"]\n'
        settings = f"{TIERS}{TIERS.replace('up/m', 'b/two')}{other}"
        rules = [
            Rule(Reply(status=503, body={"error": {"message": "not now"}}), Match(path="/v1/chat/completions")),
            Rule(Reply(body=_tiered("messages", None)), Match(path="*/messages")),
        ]
        async with shop(*rules, settings=settings, provider='apis = ["chat"]\n') as house:
            record = await charged(house, "chat", model="up/m", service_tier="priority", trivium_fallbacks=["b/two"])
        assert (record["provider"], record["cost_nano"], record["service_tier"]) == ("b", PRICE, None)

    async def test_a_hold_covers_the_tier_that_is_asked_for_and_the_usual_one_where_that_is_dearer(self) -> None:
        async with shop(GOOD, settings=f'{TIERS}[billing]\nmode = "credits"') as house:
            await customer(house)
            plain, flex, priority = [
                (await charged(house, "chat", service_tier=tier))["hold_nano"] for tier in ("auto", "flex", "priority")
            ]
        assert flex == plain
        assert priority > 19 * plain // 10


def _begun(api: str, tier: str | None) -> str:
    """A stream that says a word and breaks off."""
    named = {} if tier is None else {"service_tier": tier}
    if api == "chat":
        said = {"id": "c1", "model": "m", **named, "choices": [{"index": 0, "delta": {"content": "Hello there"}}]}
        return f"data: {json.dumps(said)}\n\n"
    created = {"type": "response.created", "response": {"id": "r1", "model": "m", "status": "in_progress", **named}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello there"}
    return f"data: {json.dumps(created)}\n\ndata: {json.dumps(delta)}\n\n"


def _tiered(api: str, told: str | None) -> dict[str, Any]:
    tier = {"service_tier": told} if told else {}
    if api == "messages":
        return whole(api, "Hi", usage(api, 25, 20, **tier))
    return {**whole(api, "Hi", usage(api, 25, 20)), **tier}


class TestBuckets:
    @in_every_api
    async def test_a_long_input_is_priced_as_a_long_one_with_what_a_cache_gave_counted(self, api: str) -> None:
        steps = priced('input = "3", output = "15", cache_read = "0.3", over_100 = { input = "6", output = "22.5" }')
        rules = [Rule(Reply(text="x", usage=Usage(input=20, cache_read=n, output=10)), times=1) for n in (80, 81)]
        async with shop(*rules, settings=steps) as house:
            short, long = [(await charged(house, api))["cost_nano"] for _ in rules]
        assert short == 20 * 3_000 + 80 * 300 + 10 * 15_000
        assert long == 20 * 6_000 + 81 * 300 + 10 * 22_500

    @pytest.mark.parametrize("api", ["chat", "responses"])
    async def test_images_of_an_answer_have_their_own_price(self, api: str) -> None:
        """Where nobody tells how much of the output they are, all of it is taken for them that was not thought."""
        details = {"chat": "completion_tokens_details", "responses": "output_tokens_details"}[api]
        due = {
            1_290: 25 * 300 + 10 * 2_500 + 1_290 * 30_000,
            0: 25 * 300 + 1_300 * 2_500,
            None: 25 * 300 + 4 * 2_500 + 1_296 * 30_000,
        }
        rules = []
        for images in due:
            told = {"reasoning_tokens": 4} | ({} if images is None else {"image_tokens": images})
            used = usage(api, 25, 1_300, total_tokens=1_325, **{details: told})
            rules.append(Rule(Reply(body=whole(api, "Hi", used)), times=1))
        prices = priced('input = "0.3", output = "2.5", image_output = "30"')
        async with shop(*rules, settings=f'{prices}[billing]\nmode = "credits"') as house:
            await customer(house)
            records = [await charged(house, api) for _ in rules]
            again = await operate(house, "prices.rerate", since_ms=0)
        assert [record["cost_nano"] for record in records] == list(due.values())
        assert [record["image_output_tokens"] for record in records] == list(due)
        assert min(record["hold_nano"] for record in records) > 1_000 * 30_000, "the longest answer, all of it images"
        assert [group["changed"] for group in again["groups"]] == [0]

    async def test_each_run_of_the_model_is_priced_by_its_own_length(self) -> None:
        """A conversation of 90 is summed up before 20 are read: neither is a long one. One of 110 is."""
        prices = priced(
            'input = "3", output = "15", over_100 = { input = "6", output = "22.5" }, tools = { web_search = "10" }'
        )
        own = {"input_tokens": 20, "output_tokens": 10}
        due = {90: 110 * 3_000 + 40 * 15_000, 110: 110 * 6_000 + 30 * 22_500 + 20 * 3_000 + 10 * 15_000}
        rules = []
        for long in due:
            told = [{"type": "compaction", "input_tokens": long, "output_tokens": 30}, {"type": "message", **own}]
            used = {**own, "iterations": told, "server_tool_use": {"web_search_requests": 1}}
            rules.append(Rule(Reply(body=whole("messages", "Hi", used)), times=1))
        async with shop(*rules, settings=prices) as house:
            records = [await charged(house, "messages") for _ in rules]
            again = await operate(house, "prices.rerate", since_ms=0)
        assert [record["cost_nano"] for record in records] == [cost + 10_000_000 for cost in due.values()]
        assert [group["changed"] for group in again["groups"]] == [0]

    @in_every_api
    async def test_of_an_answer_without_words_and_figures_the_question_is_charged(self, api: str) -> None:
        async with shop(Reply(body=whole(api, "", None)), settings=METER) as house:
            record = await charged(house, api)
        assert (record["cost_source"], record["output_tokens"]) == ("estimated", 0)
        assert record["cost_nano"] == record["input_uncached_tokens"] * INPUT > 0

    async def test_cache_writes_cost_by_how_long_they_last(self) -> None:
        used = Usage(input=10, cache_read=50, cache_write_5m=4, cache_write_1h=2, output=20)
        async with shop(Reply(text="x", usage=used), settings=METER) as house:
            record = await charged(house, "messages")
        assert record["cost_nano"] == 10 * 3_000 + 50 * 300 + 4 * 3_750 + 2 * 6_000 + 20 * 15_000

    async def test_calls_of_server_tools_are_charged_each(self) -> None:
        tools = usage("messages", 25, 20, server_tool_use={"web_search_requests": 3, "web_fetch_requests": 2})
        prices = priced('input = "3", output = "15", tools = { web_search = "10" }')
        async with shop(Reply(body=whole("messages", "Hi", tools)), settings=prices) as house:
            record = await charged(house, "messages")
            rows = await receipt(house, record)
        assert record["cost_nano"] == PRICE + 3 * 10_000_000
        assert [(row["what"], row["units"], row["usd"]) for row in rows[2:]] == [
            ("web_search", 3, "0.03"), ("total", None, nano_text(record["cost_nano"])),
        ]  # fmt: skip

    @pytest.mark.parametrize("told_at_the_end", [True, False])
    @pytest.mark.parametrize("stream", [False, True])
    @in_every_api
    async def test_searches_that_openai_shows_as_items_are_charged_each(
        self, api: str, stream: bool, told_at_the_end: bool
    ) -> None:
        """And what a search did beside searching is not, nor a search that came to nothing. Some name no items at the
        end of a stream that they have told one by one."""
        call = {"type": "web_search_call", "status": "completed"}
        acts = [{"type": "search", "query": "q"}, {"type": "open_page"}, {"type": "find_in_page"}]
        items: list[dict[str, Any]] = [
            *({**call, "id": f"ws_{n}", "action": act} for n, act in enumerate(acts)),
            {**call, "id": "ws_4"},
            {**call, "id": "ws_5", "action": acts[0], "status": "failed"},
            {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": None},
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGVsbG8="},
        ]
        final = whole("responses", "Hi", usage("responses", 25, 20))
        body = {**final, "output": items + final["output"]}
        said = [
            {"type": "response.created", "response": {**final, "status": "in_progress", "output": [], "usage": None}},
            *({"type": f"response.output_item.{part}", "output_index": n, "item": item}
              for n, item in enumerate(body["output"]) for part in ("added", "done")),
            {"type": "response.completed", "response": body if told_at_the_end else {**body, "output": []}},
        ]  # fmt: skip
        sse = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in said)
        reply = Reply(sse=sse) if stream or not told_at_the_end else Reply(body=body)
        prices = priced(
            'input = "3", output = "15", tools = { web_search = "10", file_search = "2.5", image_generation = "40" }'
        )
        async with shop(reply, settings=prices, provider='apis = ["responses"]\n') as house:
            record = await charged(house, api, stream=stream)
            rows = await receipt(house, record)
        assert record["cost_nano"] == PRICE + 2 * 10_000_000 + 2_500_000 + 40_000_000
        called = [("web_search", 2), ("file_search", 1), ("image_generation", 1)]
        assert [(row["what"], row["units"]) for row in rows[2:-1]] == called

    @in_every_api
    async def test_so_are_those_of_a_stream_that_broke_off_before_its_usage(self, api: str) -> None:
        call = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
        said = [
            {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}},
            *({"type": f"response.output_item.{part}", "output_index": n, "item": {**call, "id": f"ws_{n}"}}
              for n, part in ((0, "added"), (0, "done"), (1, "added"), (1, "done"), (2, "added"))),
            {"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "delta": "Hi"},
        ]  # fmt: skip
        assert await self.broken_off("responses", api, said) == [("web_search", 2)]

    @in_every_api
    async def test_and_those_of_anthropic_whose_results_have_come(self, api: str) -> None:
        results: list[Any] = [
            [],
            {"type": "web_search_tool_result_error", "error_code": "unavailable"},
            [{"type": "x"}],
        ]
        blocks = [{"type": "web_search_tool_result", "tool_use_id": "t", "content": one} for one in results]
        said = [
            {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 25}}},
            *({"type": "content_block_start", "index": n, "content_block": one} for n, one in enumerate(blocks)),
            {"type": "content_block_start", "index": 3, "content_block": {"type": "text", "text": "Hi"}},
        ]
        assert await self.broken_off("messages", api, said) == [("web_search", 2)]

    async def broken_off(self, spoken: str, api: str, said: list[Any]) -> list[tuple[str, int]]:
        """What is charged beside tokens for such a beginning."""
        sse = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in said)
        prices = priced('input = "3", output = "15", tools = { web_search = "10" }')
        async with shop(Reply(sse=sse), settings=prices, provider=f'apis = ["{spoken}"]\n') as house:
            record = await charged(house, api, stream=True)
            rows = await receipt(house, record)
        assert record["outcome"] == "failed"
        return [(row["what"], row["units"]) for row in rows[:-1] if row["what"] not in ("input", "output")]

    @pytest.mark.parametrize("others", [19, 40])
    async def test_a_stranger_that_calls_tools_without_end_leaves_a_receipt_that_adds_up(self, others: int) -> None:
        """Of so many only some are counted; what is charged for must be on the receipt."""
        called = {f"tool_{n}_requests": 1 for n in range(others)} | {"web_search_requests": 3}
        tools = usage("messages", 25, 20, server_tool_use=called)
        prices = priced('input = "3", output = "15", tools = { web_search = "10" }')
        async with shop(Reply(body=whole("messages", "Hi", tools)), settings=prices) as house:
            record = await charged(house, "messages")
        assert record["cost_nano"] == (PRICE + 3 * 10_000_000 if others == 19 else PRICE)


class TestTheChargeInSight:
    @pytest.mark.parametrize("spoken", [None, *APIS])
    async def test_no_client_stumbles_over_it(self, spoken: str | None) -> None:
        said = Reply(text="Roads meet here.", usage=Usage(input=25, output=20))
        provider = f'apis = ["{spoken}"]' if spoken else ALL_APIS
        async with shop(said, settings=SHOWN, provider=provider) as house, clients(house.url, house.key) as on:
            for way, ask in WAYS.items():
                assert (way, *await ask(on, "m")) == (way, "Roads meet here.", 25, 0, 20)
            records = await house.records()
        assert [(record["outcome"], record["cost_nano"]) for record in records] == [("success", PRICE)] * len(WAYS)
        assert any(way.endswith(STREAMED) for way in WAYS)

    @pytest.mark.parametrize("spoken", [None, "messages"])
    @in_every_api
    async def test_it_is_in_a_header_of_a_whole_answer_and_behind_the_last_event_of_a_stream(
        self, api: str, spoken: str | None
    ) -> None:
        provider = f'apis = ["{spoken}"]' if spoken else ALL_APIS
        async with shop(GOOD, settings=SHOWN, provider=provider) as house:
            _, _, headers = await house.post(PATHS[api], BODIES[api])
            assert headers[COST] == nano_text(PRICE)
            _, stream, headers = await house.post(PATHS[api], {**BODIES[api], "stream": True})
            assert COST not in headers
            assert stream.endswith(f"\n\n: {COST} {nano_text(PRICE)}\n\n")
            assert len(stream.encode()) == (await house.records())[0]["response_bytes"]

    @in_every_api
    async def test_nobody_who_did_not_ask_for_it_sees_it(self, api: str) -> None:
        async with shop(GOOD, settings=METER) as house:
            _, _, headers = await house.post(PATHS[api], BODIES[api])
            _, stream, _ = await house.post(PATHS[api], {**BODIES[api], "stream": True})
        assert (COST in headers, COST in stream) == (False, False)

    async def test_a_charge_that_waits_for_the_providers_record_is_not_told(self) -> None:
        refused = Rule(Reply(status=403), Match(path="*/generation"))
        good = Rule(Reply(text="Hi", usage=Usage(input=25, output=20), generation="gen-1"))
        async with shop(refused, good, settings=SHOWN, provider=OPENROUTER) as house:
            _, _, headers = await house.post(PATHS["chat"], BODIES["chat"])
            record = await settled_one(house)
        assert COST not in headers
        assert record["flags"] == "generation_not_found"

    @in_every_api
    async def test_an_error_costs_nothing_whatever_it_tells(self, api: str) -> None:
        told = whole(api, "Hi", usage(api, 25, 20)) | {"error": {"type": "invalid_request_error", "message": "no"}}
        async with shop(Reply(status=400, body=told), settings=METER) as house:
            assert (await house.post(PATHS[api], BODIES[api]))[0] == 400
            record = await settled_one(house)
        assert (record["cost_nano"], record["market_cost_nano"]) == (0, None)

    @in_every_api
    async def test_an_error_tells_none(self, api: str) -> None:
        async with shop(Reply(status=500), settings=SHOWN) as house:
            _, _, headers = await house.post(PATHS[api], BODIES[api])
        assert COST not in headers
