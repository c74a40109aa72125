"""Calls that an own key pays for through the house's account at OpenRouter: whose key, and what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import CALLS, CHAT, MESSAGES
from support_openrouter import FEE, VENDORS_BILL, OpenRouterDouble
from test_operations_registrar import at_openrouter, bring
from test_pipeline_handle import message_of
from test_pipeline_own import KEY, OTHER, SONNET, People, named
from trivium.mock import Reply
from trivium.pipeline.own_key import Own
from trivium.providers.rows import Door
from trivium.providers.vendors import Match

FEE_NANO, BILL_NANO = round(FEE * 10**9), round(VENDORS_BILL * 10**9)


async def balance(ann: People, account: str) -> int:
    return (await ann.house.gateway.store.ledger.free_nano(account))[0]


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_the_key_pays_the_vendor_and_the_fee_is_charged(path: str, body: dict[str, Any]) -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        status, answer, _ = await ann.house.post(path, named(body, SONNET) | {"provider": {"order": ["openai"]}})
        record = await ann.house.record()
        left = await balance(ann, "ann")
    ((api_key, asked, paid),) = there.calls
    assert (status, "hello" in str(answer), paid) == (200, True, KEY)
    assert api_key.startswith("sk-or-v1-canary")
    assert (asked["model"], asked["provider"]) == ("anthropic/claude-sonnet-4.5", {"only": ["anthropic"]})
    assert (record["payer"], record["provider"], record["is_byok"]) == ("byok_fee", "openrouter", True)
    assert (record["cost_nano"], record["market_cost_nano"]) == (FEE_NANO, FEE_NANO + BILL_NANO)
    assert (record["cost_source"], record["hold_nano"], record["flags"]) == ("reported", 0, "")
    assert left == -FEE_NANO  # no balance is needed, and the fee is owed


async def test_the_books_are_right_and_the_receipt_tells_the_fee() -> None:
    async with at_openrouter() as (ann, _):
        await bring(ann)
        for _ in range(2):  # the second of somebody who owes the first one's fee
            assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200
        record = (await ann.house.records())[0]
        audit = await ann.perform("ledger.verify", {})
        told = await ann.perform("receipt", {"request": record["id"]})
    assert audit["findings"] == 0
    assert [(row["what"], row["usd"]) for row in told] == [("reported by the provider", "0.0001"), ("total", "0.0001")]


async def test_a_fee_that_the_answer_does_not_tell_is_looked_up_with_the_same_api_key() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.untold = True
        assert (await ann.house.post("/v1/chat/completions", named(CHAT, SONNET)))[0] == 200
        await ann.house.gateway.deps.lookups.close(5)
        record = await ann.house.record()
    assert there.asked[-1] == f"GET /generation {there.calls[0][0]}"
    assert (record["cost_nano"], record["is_byok"], record["flags"]) == (FEE_NANO, True, "")


async def test_a_call_that_goes_on_to_an_own_key_is_charged_its_fee_too() -> None:
    """Its start said that nobody's account pays."""
    async with at_openrouter(Reply(status=500)) as (ann, there):
        await bring(ann)
        status, _, _ = await ann.house.post("/v1/messages", MESSAGES, headers={"x-trivium-fallbacks": SONNET})
        record = await ann.house.record()
        audit = await ann.perform("ledger.verify", {})
        left = await balance(ann, "ann")
    assert (status, len(there.calls)) == (200, 1)
    assert (record["payer"], record["cost_nano"], left, audit["findings"]) == ("byok_fee", FEE_NANO, -FEE_NANO, 0)


async def test_each_owner_pays_with_its_own_key_alone() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        await bring(ann, OTHER, organization="acme")
        for key in ("", ann.member_key, ""):
            assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET), key=key))[0] == 200
        there.bad[KEY] = 401
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
    assert [paid for _, _, paid in there.calls] == [KEY, OTHER, KEY]
    assert len({api_key for api_key, _, _ in there.calls}) == 2
    assert (status, answer["error"]["code"]) == (401, "own_key_refused")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [*((*call, 401) for call in CALLS), *(("/v1/messages", MESSAGES, status) for status in (402, 403, 429))],
)
async def test_a_bad_key_is_told_with_the_vendors_words_and_nobody_else_pays(
    path: str, body: dict[str, Any], status: int
) -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.bad[KEY] = status
        got, answer, headers = await ann.house.post(path, named(body, SONNET))
        record = await ann.house.record()
    assert got == status
    assert message_of(path, answer).startswith(
        "[BYOK] Anthropic refused your key `main` (...cdef): invalid x-api-key. "
    )
    assert headers.get("retry-after") == ("7" if status == 429 else None)
    assert (record["error_code"], record["cost_nano"], there.calls) == ("own_key_refused", 0, [])


async def test_the_next_key_is_tried_where_one_is_refused() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        await bring(ann, OTHER, name="second")
        there.bad[KEY] = 429
        assert (await ann.house.post("/v1/chat/completions", named(CHAT, SONNET)))[0] == 200
    assert [paid for _, _, paid in there.calls] == [OTHER]


async def test_that_openrouter_refuses_the_house_is_not_told_as_a_refusal_of_the_key() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.api_keys.clear()
        status, answer, headers = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        record = await ann.house.record()
        alerts = await ann.perform("alerts.show", {})
    assert (status, headers["retry-after"], answer["error"]["code"]) == (503, "60", "upstream_unavailable")
    assert "this gateway's account" in answer["error"]["message"]
    assert (record["error_message"], there.calls) == ("User not found.", [])
    assert [one["provider"] for one in alerts] == ["openrouter"]


async def test_a_key_that_is_not_registered_is_said_and_not_replaced() -> None:
    async with at_openrouter() as (ann, there):
        store = ann.house.gateway.store.secrets
        what = {"vendor": "anthropic", "name": "old", "base_url": None, "region": None, "hint": ""}
        await store.add("user:ann", b'{"key":"sk-own-from-before"}', "operator", **what)
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        assert (status, answer["error"]["code"], there.calls) == (503, "own_key_unreadable", [])
        assert (
            "[BYOK] The key for Anthropic is not registered at OpenRouter at the moment" in answer["error"]["message"]
        )
        await ann.house.gateway.registrar.reconcile()
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200
    assert [paid for _, _, paid in there.calls] == ["sk-own-from-before"]


async def test_a_key_that_somebody_opened_there_is_flagged_and_not_charged() -> None:
    """Were OpenRouter's shared endpoints used after all, its answer says so; the house has a limit there for that."""
    async with at_openrouter() as (ann, there):
        await bring(ann)
        _let_the_house_pay(there)
        assert (await ann.house.post("/v1/messages", named(MESSAGES, SONNET)))[0] == 200
        record = await ann.house.record()
    assert there.calls[0][2] == "the house"
    assert (record["payer"], record["cost_nano"], record["flags"]) == ("byok_fee", 0, "own_key_replaced")


def _let_the_house_pay(there: OpenRouterDouble) -> None:
    there.byok.clear()


async def test_the_houses_own_calls_never_use_an_own_key() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        await ann.house.post("/v1/messages", named(MESSAGES, "m"))
        assert there.calls == []


async def test_the_keys_secrets_are_in_no_answer() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.bad[KEY] = 500
        status, answer, _ = await ann.house.post("/v1/messages", named(MESSAGES, SONNET))
        records = await ann.house.records()
        log = await ann.perform("changes.list", {})
    assert status >= 500
    assert "canary" not in f"{answer} {records} {log}"


def test_a_server_that_an_owner_named_has_a_name_to_begin_a_sentence_with() -> None:
    own = Own(owner="user:ann", match=Match("custom", "m"), door=Door(apis=()))
    assert own.refused(401, "no").message.startswith("[BYOK] The custom server refused your key: no.")
