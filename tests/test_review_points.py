"""Points of the review that must hold, by their numbers: 1 to 4, 7 to 10 and 14.

Each in all three APIs as far as they can say it, and through a translation where only that lets a client see it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import Running
from support_classifier import classifier, member_of_acme
from support_classifier import settings as screened
from support_money import (
    BODIES,
    CREDITS,
    INPUT,
    METER,
    OUTPUT,
    PATHS,
    VERCEL,
    beginning,
    customer,
    ending,
    in_every_api,
    receipt,
    settled,
    shop,
    streamed,
    usage,
    whole,
)
from trivium.mock import Generation, Match, Reply, Rule, Script

NO_RECORDS = Rule(Reply(status=403), Match(path="*/generation"))
"""Whoever asks for a generation record is turned away, at once and for good."""
TOKENS = ("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
ERRORS = {
    "chat": 'data: {"error":{"message":"too much","type":"overloaded_error","code":null}}\n\n',
    "responses": "event: response.failed\ndata: "
    '{"type":"response.failed","response":{"id":"resp_1","object":"response","status":"failed","model":"m-1",'
    '"error":{"code":"overloaded_error","message":"too much"},"output":[],"usage":null}}\n\n',
    "messages": 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too much"}}\n\n',
}
"""How a stream of each API says that it failed."""


def asked(api: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
    return PATHS[api], {**BODIES[api], **({"stream": True} if stream else {})}


def answers(api: str, used: dict[str, Any], gateway: dict[str, Any] | None = None) -> list[Rule]:
    """The same answer as a stream and whole."""
    stream = Reply(sse=streamed(api, "Hi", used, gateway))
    return [Rule(stream, Match(stream=True)), Rule(Reply(body=whole(api, "Hi", used, gateway)), Match(stream=False))]


async def both(house: Running, api: str) -> list[dict[str, Any]]:
    """Asks whole and as a stream; the two records."""
    for stream in (False, True):
        assert (await house.post(*asked(api, stream=stream)))[0] == 200
    whole, streamed = reversed(await settled(house))
    assert (whole["stream"], streamed["stream"]) == (0, 1)
    return [whole, streamed]


def costs(records: list[dict[str, Any]]) -> list[tuple[int, int | None, str | None]]:
    """Charge and market cost in nanodollars, and where they are from."""
    return [(record["cost_nano"], record["market_cost_nano"], record["cost_source"]) for record in records]


REFUSALS: dict[str, dict[str, Any]] = {
    "chat": {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "bad"}},
    "responses": {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "bad"}},
    "messages": {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
}


@in_every_api
async def test_review_point_1_an_upstream_400_passes_unchanged_and_costs_nothing(api: str) -> None:
    async with shop(Reply(status=400, body=REFUSALS[api]), settings=CREDITS) as house:
        payer = await customer(house)
        status, body, _ = await house.post(*asked(api))
        record = await house.record()
        assert await payer.balance() == ("1", "0")
    assert (status, body) == (400, REFUSALS[api])
    assert (record["outcome"], record["status"], record["requested_model"]) == ("failed", 400, "m")
    assert [record[name] for name in (*TOKENS, "output_tokens", "cost_nano")] == [0] * 6
    assert (record["cost_source"], record["usage_known"]) == (None, False)
    assert record["hold_nano"] > 0


NOTHING_SAID: dict[str, dict[str, Any]] = {
    "chat": {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": None}}]},
    "responses": {"id": "r", "object": "response", "status": "completed", "output": None},
    "messages": {"id": "msg_1", "type": "message", "role": "assistant", "content": None, "stop_reason": "end_turn"},
}


@in_every_api
async def test_review_point_1_an_answer_with_null_for_content_passes_and_is_recorded(api: str) -> None:
    body = {**NOTHING_SAID[api], "usage": usage(api, 10, 0)}
    async with shop(Reply(body=body), settings=METER) as house:
        status, got, _ = await house.post(*asked(api))
        record = await house.record()
    assert (status, got) == (200, body)
    assert (record["outcome"], record["status"]) == ("success", 200)
    assert (record["cost_nano"], record["cost_source"]) == (10 * INPUT, "computed")


@in_every_api
async def test_review_point_1_an_html_502_becomes_the_apis_own_error(api: str) -> None:
    page = Reply(status=502, body="<html>bad gateway</html>", content_type="text/html")
    async with shop(page, settings=CREDITS) as house:
        payer = await customer(house)
        status, got, _ = await house.post(*asked(api))
        record = await house.record()
        assert await payer.balance() == ("1", "0")
    assert status == 502
    assert got.get("type") == ("error" if api == "messages" else None)
    assert isinstance(got["error"]["message"], str)
    assert (record["outcome"], record["status"], record["cost_nano"]) == ("failed", 502, 0)


KEYS = "steal keys"
CONVERSATION = {"chat": "messages", "responses": "input", "messages": "messages"}
TEXT = {"chat": "text", "responses": "input_text", "messages": "text"}
IMAGES: dict[str, dict[str, Any]] = {
    "chat": {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    "responses": {"type": "input_image", "image_url": "https://x.example/a.png"},
    "messages": {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
}
ROUNDS: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "what a tool says"},
    ],
    "responses": [
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "what a tool says"},
    ],
    "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "what a tool says"}]},
    ],
}
"""A call of a tool and its result, as agents send them back."""


def said_by_user(api: str, *parts: str | dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": TEXT[api], "text": part} if isinstance(part, str) else part for part in parts],
    }


def history(api: str, *turns: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return PATHS[api], {**BODIES[api], CONVERSATION[api]: list(turns), **more}


@in_every_api
async def test_review_point_2_the_classifier_gets_the_last_words_of_the_user(api: str) -> None:
    plain = {"role": "user", "content": KEYS}
    past = [
        [said_by_user(api, KEYS), *ROUNDS[api]],
        [plain, *ROUNDS[api]],
        [said_by_user(api, "before"), said_by_user(api, KEYS), said_by_user(api, IMAGES[api]), *ROUNDS[api]],
        [plain, said_by_user(api, IMAGES[api]), said_by_user(api, IMAGES[api])],
    ]
    if api == "messages":
        beside = ROUNDS[api][-1]["content"] + [{"type": "text", "text": KEYS}]
        past.append([said_by_user(api, "before"), ROUNDS[api][0], {"role": "user", "content": beside}])
    async with (
        classifier() as judge,
        shop(*answers(api, usage(api, 25, 20)), settings=screened(judge) + METER) as house,
    ):
        for count, turns in enumerate(past, 1):
            for stream in (False, True):
                assert (await house.post(*history(api, *turns, stream=stream)))[0] == 200
                assert (await judge.asked(2 * count - 1 + stream))["user_text"] == KEYS


@in_every_api
async def test_review_point_2_nothing_but_results_of_tools_is_null(api: str) -> None:
    async with (
        classifier() as judge,
        shop(*answers(api, usage(api, 25, 20)), settings=screened(judge) + METER) as house,
    ):
        assert (await house.post(*history(api, *ROUNDS[api])))[0] == 200
        asked = await judge.asked()
    assert (asked["user_text"], asked["system_prompt"]) == (None, None)


@in_every_api
async def test_review_point_2_a_system_prompt_is_a_string_or_blocks_joined_by_newlines(api: str) -> None:
    blocks = [{"type": TEXT[api], "text": "Be kind."}, {"type": TEXT[api], "text": "Be brief."}]
    told = []
    async with (
        classifier() as judge,
        shop(*answers(api, usage(api, 25, 20)), settings=screened(judge) + METER) as house,
    ):
        for count, system in enumerate(("Be kind.", blocks), 1):
            turn, named = {"role": "system", "content": system}, {"system": system} if api == "messages" else {}
            turns = [said_by_user(api, KEYS)] if api == "messages" else [turn, said_by_user(api, KEYS)]
            assert (await house.post(*history(api, *turns, **named)))[0] == 200
            told.append((await judge.asked(count))["system_prompt"])
        if api == "responses":
            await house.post(*history(api, said_by_user(api, KEYS), instructions="Be kind."))
            assert (await judge.asked(3))["system_prompt"] == "Be kind."
    assert told == ["Be kind.", "Be kind.\nBe brief."]


@in_every_api
async def test_review_point_3_vercel_costs_what_its_market_cost_says(api: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"marketCost": "0.000375"})
    async with shop(*rules, settings=CREDITS, provider=VERCEL) as house:
        payer = await customer(house)
        records = await both(house, api)
        assert await payer.entries() == [("top_up", "1"), ("charge", "-0.000375"), ("charge", "-0.000375")]
    assert costs(records) == [(375_000, 375_000, "reported")] * 2


async def test_review_point_3_vercel_tells_it_at_the_start_of_a_message_too() -> None:
    told = '"provider_metadata": {"gateway": {"marketCost": "0.000375"}}'
    sse = beginning("messages", "Hi").replace('"usage"', f'{told}, "usage"', 1)
    sse += ending("messages", "Hi", usage("messages", 25, 20))
    async with shop(Reply(sse=sse), settings=METER, provider=VERCEL) as house:
        await house.post(*asked("messages", stream=True))
        assert costs(await settled(house)) == [(375_000, 375_000, "reported")]


@in_every_api
async def test_review_point_3_the_callers_own_key_is_charged_nothing_and_its_market_cost_is_kept(api: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"marketCost": "0.000375"})
    async with shop(*rules, settings=CREDITS, provider=f"{VERCEL}\nbyok = true") as house:
        payer = await customer(house, "0")
        records = await both(house, api)
        assert (await payer.balance(), await payer.entries()) == (("0", "0"), [])
    assert costs(records) == [(0, 375_000, "reported")] * 2
    assert [(record["payer"], record["hold_nano"]) for record in records] == [("byok", 0)] * 2


@pytest.mark.parametrize("byok", [True, False])
@in_every_api
async def test_review_point_3_the_market_cost_is_reported_as_it_is_whoever_pays(api: str, byok: bool) -> None:
    rules = answers(api, usage(api, 25, 20), {"marketCost": "0.000375"})
    provider = f"{VERCEL}\nbyok = true" if byok else VERCEL
    async with classifier() as judge, shop(*rules, settings=screened(judge) + METER, provider=provider) as house:
        records = await both(house, api)
        await judge.told(2)
    assert costs(records) == [(0 if byok else 375_000, 375_000, "reported")] * 2
    told = [(report["market_cost_nano"], report["cost_nano"], report["payer"]) for report in judge.reports]
    assert told == [(375_000, 0, "byok") if byok else (375_000, 375_000, "house")] * 2


@in_every_api
async def test_review_point_3_of_cost_and_market_cost_the_cost_is_charged(api: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"cost": "0.0003", "marketCost": "0.000375"})
    async with shop(*rules, settings=METER, provider=VERCEL) as house:
        assert costs(await both(house, api)) == [(300_000, 375_000, "reported")] * 2


@pytest.mark.parametrize("odd", ["NaN", "-0.1"])
@in_every_api
async def test_review_point_3_a_cost_that_is_none_is_ignored_and_flagged(api: str, odd: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"cost": odd, "marketCost": odd})
    async with shop(NO_RECORDS, *rules, settings=METER, provider=VERCEL) as house:
        records = await both(house, api)
    assert costs(records) == [(375_000, 375_000, "computed")] * 2
    assert all("clamped_usage" in record["flags"].split() for record in records)


@in_every_api
async def test_review_point_3_without_a_cost_the_generation_record_tells_it(api: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"generationId": "gen_1"})
    remembered = Generation(id="gen_1", record={"total_cost": 0.0003, "is_byok": False})
    script = Script(rules, generations=[remembered])
    async with shop(script=script, settings=CREDITS, provider=VERCEL) as house:
        payer = await customer(house)
        records = await both(house, api)
        assert await payer.balance() == ("0.9994", "0")
    assert costs(records) == [(300_000, 300_000, "reported")] * 2


@in_every_api
async def test_review_point_3_where_nobody_tells_it_the_book_does(api: str) -> None:
    rules = answers(api, usage(api, 25, 20), {"generationId": "gen_1"})
    async with shop(NO_RECORDS, *rules, settings=METER, provider=VERCEL) as house:
        records = await both(house, api)
    assert costs(records) == [(25 * INPUT + 20 * OUTPUT,) * 2 + ("computed",)] * 2
    assert [record["flags"] for record in records] == ["generation_not_found"] * 2


PROMPTS = "[records]\nprompts = true\n"


@in_every_api
async def test_review_point_4_the_last_words_of_the_user_are_logged_up_to_100_letters(api: str) -> None:
    long = KEYS + "é😀" * 60
    async with shop(*answers(api, usage(api, 25, 20)), settings=PROMPTS + METER) as house:
        for stream in (False, True):
            for said in (KEYS, long):
                turns = [said_by_user(api, said), *ROUNDS[api]]
                assert (await house.post(*history(api, *turns, stream=stream)))[0] == 200
        assert (await house.post(*history(api, *ROUNDS[api])))[0] == 200
        records = await settled(house)
    prefixes = [record["prompt_prefix"] for record in reversed(records)]
    assert prefixes == [KEYS, long[:100], KEYS, long[:100], ""]
    assert [record["system_prompt_length"] for record in records] == [None] * 5


@in_every_api
async def test_review_point_4_for_an_organization_nothing_is_logged(api: str) -> None:
    async with shop(*answers(api, usage(api, 25, 20)), settings=PROMPTS + METER) as house:
        await member_of_acme(house)
        for stream in (False, True):
            assert (await house.post(*history(api, said_by_user(api, KEYS), stream=stream)))[0] == 200
        records = await settled(house)
    assert [record["prompt_prefix"] for record in records] == [None, None]


@in_every_api
async def test_review_point_7_an_error_behind_some_text_is_a_failure_with_its_figures_kept(api: str) -> None:
    sse = beginning(api, "Hi", usage("messages", 25, 1)) + ERRORS[api]
    async with shop(Reply(sse=sse), settings=CREDITS) as house:
        payer = await customer(house)
        status, got, _ = await house.post(*asked(api, stream=True))
        record = await house.record()
        balance, held = await payer.balance()
    assert (status, got) == (200, sse)
    assert (record["outcome"], record["status"], record["upstream_status"]) == ("failed", 200, 200)
    assert (record["error_code"], record["in_band_error"]) == ("overloaded_error", 1)
    assert record["content_bytes"] == 2
    assert record["input_uncached_tokens"] == 25 or api != "messages"
    assert record["cost_nano"] > 0
    assert (held, balance) == ("0", f"{1 - record['cost_nano'] / 1e9:.9f}".rstrip("0"))


async def test_review_point_7_what_message_start_told_is_charged_and_the_text_beside_it() -> None:
    sse = beginning("messages", "Hi", usage("messages", 25, 1)) + ERRORS["messages"]
    async with shop(Reply(sse=sse), settings=METER) as house:
        await house.post(*asked("messages", stream=True))
        record = await house.record()
    assert (record["input_uncached_tokens"], record["output_tokens"]) == (25, 1)
    assert record["cost_nano"] == 25 * INPUT + OUTPUT


async def test_review_point_7_an_answer_that_was_too_long_is_no_failure() -> None:
    told = {**whole("responses", "Hi", usage("responses", 25, 20)), "status": "incomplete"}
    told["incomplete_details"] = {"reason": "max_output_tokens"}
    body = json.dumps({"type": "response.incomplete", "response": told})
    sse = beginning("responses", "Hi") + f"event: response.incomplete\ndata: {body}\n\n"
    async with shop(Reply(sse=sse), settings=METER) as house:
        await house.post(*asked("responses", stream=True))
        record = await house.record()
    assert (record["outcome"], record["finish_reason"], record["error_code"]) == ("success", "length", None)
    assert record["cost_nano"] == 25 * INPUT + 20 * OUTPUT


@in_every_api
async def test_review_point_8_a_stream_that_is_nothing_but_an_error_costs_nothing(api: str) -> None:
    async with shop(Reply(sse=ERRORS[api]), settings=CREDITS) as house:
        payer = await customer(house)
        status, got, _ = await house.post(*asked(api, stream=True))
        record = await house.record()
        assert (await payer.balance(), await payer.entries()) == (("1", "0"), [("top_up", "1")])
    assert (status, got) == (200, ERRORS[api])
    assert (record["outcome"], record["requested_model"], record["cost_nano"]) == ("failed", "m", 0)
    assert (record["flags"], record["cost_source"]) == ("", None)
    assert record["hold_nano"] > 0


@in_every_api
async def test_review_point_8_a_good_stream_is_a_success(api: str) -> None:
    async with shop(Reply(sse=streamed(api, "Hi", usage(api, 25, 20))), settings=CREDITS) as house:
        payer = await customer(house)
        await house.post(*asked(api, stream=True))
        record = await house.record()
        assert await payer.entries() == [("top_up", "1"), ("charge", "-0.000375")]
    assert (record["outcome"], record["flags"], record["cost_nano"]) == ("success", "", 375_000)


@in_every_api
async def test_review_point_9_a_stream_cut_behind_message_start_is_charged_its_input(api: str) -> None:
    """Only Messages tells its input so early; clients of the others see it through a translation."""
    sse = beginning("messages", used=usage("messages", 25, 0))
    async with shop(Reply(sse=sse), settings=CREDITS, provider='apis = ["messages"]') as house:
        payer = await customer(house)
        await house.post(*asked(api, stream=True))
        record = await house.record()
        assert await payer.balance() == ("0.999925", "0")
    assert (record["outcome"], record["error_code"]) == ("failed", "upstream_disconnected")
    assert (record["input_uncached_tokens"], record["output_tokens"]) == (25, 0)
    assert record["cost_nano"] == 25 * INPUT


CACHED: dict[str, dict[str, Any]] = {
    "chat": {"prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 5}},
    "responses": {"input_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 5}},
    "messages": {"cache_read_input_tokens": 50, "cache_creation_input_tokens": 5},
}


@in_every_api
async def test_review_point_10_each_bucket_of_the_cache_has_its_own_price(api: str) -> None:
    used = {**usage(api, 10 if api == "messages" else 65, 20), **CACHED[api]}
    async with shop(*answers(api, used), settings=METER) as house:
        records = await both(house, api)
        receipts = [await receipt(house, record) for record in records]
    for record in records:
        counts = [record[name] for name in ("input_uncached_tokens", "cache_read_tokens", "cache_write_other_tokens")]
        assert (counts, sum(counts)) == ([10, 50, 5], 65)
        assert record["cost_nano"] == 10 * 3_000 + 50 * 300 + 5 * 3_750 + 20 * 15_000
    for rows in receipts:
        assert [(row["what"], row["units"]) for row in rows] == [
            ("input", 10), ("cache_read", 50), ("cache_write_5m", 5), ("output", 20), ("total", None),
        ]  # fmt: skip


@in_every_api
async def test_review_point_14_a_malformed_line_is_flagged_and_goes_on_and_the_record_is_kept(api: str) -> None:
    said = "Hi"
    sse = beginning(api, said) + 'data: {"usage": {broken\n\n' + ending(api, said, usage(api, 25, 20))
    async with shop(Reply(sse=sse), settings=CREDITS) as house:
        payer = await customer(house)
        status, got, _ = await house.post(*asked(api, stream=True))
        record = await house.record()
        assert await payer.balance() == ("0.999625", "0")
    assert (status, 'data: {"usage": {broken\n\n' in got) == (200, True)
    assert (record["outcome"], record["flags"]) == ("success", "malformed_events")
    assert (record["input_uncached_tokens"], record["output_tokens"]) == (25, 20)
