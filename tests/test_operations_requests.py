"""Requests that are searched, watched, and told as stories, by everybody who may."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support_desk import Desk, member
from support_prices import price, quote
from trivium import ids
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.policy.caller import Role

NOW = 1_790_000_000_000
ROUTING = (
    '{"why":"cheapest","tried":[{"route":"a/m","status":503,"code":"upstream_error","why":"busy","ms":40}],'
    '"refused":[["b/m","not allowed"]]}'
)


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    await desk.store.ledger.load()
    return desk


def call(id: str, time_ms: int = NOW, **more: Any) -> Record:
    told = {"api": "chat_completions", "operation": "generate", "outcome": "success", "status": 200}
    told |= {"provider": "up", "upstream_model": "m", "upstream_status": 200, "requested_model": "fast"}
    return Record(id=id, time_ms=time_ms, **told | more)  # type: ignore[arg-type]


def ends(desk: Desk, *records: Record) -> None:
    for record in records:
        desk.store.ledger.end(record)


class TestSearch:
    async def test_filters_narrow_it_down_and_parts_follow_each_other(self, desk: Desk) -> None:
        ends(desk, *(call(f"r{n}", NOW + n, status=500 if n % 2 else 200, cost_nano=n) for n in range(6)))
        ends(desk, call("other", NOW + 9, upstream_model="n", client_app="curl/8"))
        assert [row["id"] for row in await desk.items("requests.search", model="up/m", status=500)] == [
            "r5",
            "r3",
            "r1",
        ]
        assert [row["id"] for row in await desk.items("requests.search", min_cost_nano=4)] == ["r5", "r4"]
        assert [row["id"] for row in await desk.items("requests.search", app="curl")] == ["other"]
        assert [row["id"] for row in await desk.items("requests.search", since_ms=NOW + 4, until_ms=NOW + 6)] == [
            "r5",
            "r4",
        ]
        assert await desk.items("requests.search", requested="nobody") == []

    async def test_what_was_thought_of_callers_is_found_by_the_house_alone(self, desk: Desk) -> None:
        for verdict in ("allow", "hard_block"):
            ends(desk, call(verdict, organization_id="acme", abuse_verdict=verdict))
        assert [row["id"] for row in await desk.items("requests.search", verdict="hard_block")] == ["hard_block"]
        owner = member("ann", {"acme": Role.OWNER})
        asked = {"organization": "acme", "verdict": "hard_block"}
        assert await desk.refusal("requests.search", owner, **asked) == "role_missing"

    async def test_a_cursor_that_was_made_up_is_refused(self, desk: Desk) -> None:
        assert await desk.refusal("requests.search", after="x") == "operation_failed"

    async def test_so_is_a_time_that_ends_before_it_begins(self, desk: Desk) -> None:
        assert await desk.refusal("requests.search", since_ms=NOW, until_ms=NOW) == "operation_failed"


class TestTail:
    async def test_what_ended_since_the_last_look_comes_in_that_order(self, desk: Desk) -> None:
        ends(desk, call("long", NOW + 5), call("b", NOW))
        told = await desk("requests.tail")
        assert [row["id"] for row in told["items"]] == ["long", "b"]
        ends(desk, call("c", NOW - 9), call("d", provider="else"))
        told = await desk("requests.tail", after=told["next"], provider="up")
        assert ([row["id"] for row in told["items"]], told["skipped"]) == (["c"], False)
        assert (await desk("requests.tail", after=told["next"]))["items"] == []

    async def test_it_costs_no_look_into_the_database(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        ends(desk, call("a"))
        monkeypatch.setattr(type(desk.store.database), "query", lambda *_: pytest.fail("a query"))
        assert len((await desk("requests.tail"))["items"]) == 1

    async def test_everybody_sees_only_what_is_theirs(self, desk: Desk) -> None:
        await desk.organization("acme")
        await desk.organization("blue")
        keys = {}
        for id in ("acme", "blue"):
            keys[id] = (await desk("keys.create", name="k", organization=id, user=f"{id}-member"))["id"]
            ends(desk, call(f"of-{id}", key_id=keys[id], organization_id=id), call(f"old-{id}", key_id=keys[id]))
        ends(desk, call("secret", key_id=keys["acme"], organization_id="acme", public_model="house/x"))
        admin = member("acme-admin", {"acme": Role.ADMIN})
        told = await desk("requests.tail", admin, organization="acme")
        assert [row["id"] for row in told["items"]] == ["of-acme", "old-acme", "secret"]
        assert "flags" not in told["items"][0]
        assert told["items"][2]["upstream_model"] == "house/x"
        assert (await desk("requests.tail", admin, organization="acme", model="up/m"))["items"] == told["items"][:2]
        own = member("blue-member")
        assert [row["id"] for row in (await desk("requests.tail", own, user="blue-member"))["items"]] == [
            "of-blue",
            "old-blue",
        ]
        assert await desk.refusal("requests.tail", own) == "role_missing"


async def test_search_and_tail_agree_on_whose_a_request_is(desk: Desk) -> None:
    await desk.organization("acme")
    key = (await desk("keys.create", name="k", organization="acme", user="acme-member"))["id"]
    some = [None, "acme", "blue"]
    made = [
        call(f"r{n}", NOW + n, organization_id=organization, account_id=account, key_id=key_id)
        for n, (organization, account, key_id) in enumerate(
            (organization, account, key_id) for organization in some for account in some for key_id in (None, key, "x")
        )
    ]
    ends(desk, *made)
    several: tuple[dict[str, Any], ...] = (
        {"organization": "acme"},
        {"user": "acme-member"},
        {"organization": "acme", "user": "acme-member"},
        {},
    )
    for whose in several:
        searched = {row["id"] for row in await desk.items("requests.search", **whose)}
        tailed = {row["id"] for row in (await desk("requests.tail", limit=200, **whose))["items"]}
        assert searched == tailed
        assert len(searched) == {(): 27, ("organization",): 13, ("user",): 9, ("organization", "user"): 5}[tuple(whose)]


class TestStory:
    @pytest.fixture
    async def told(self, desk: Desk) -> Desk:
        """A call with everything: an organization pays, two routes, a loss."""
        await desk.organization("acme")
        await desk("projects.create", organization="acme", id="web", name="The web")
        key = await desk("keys.create", name="laptop", organization="acme", user="acme-member", project="web")
        await desk("credits.grant", account="acme", usd="5")
        store = desk.store
        await asyncio.to_thread(store.prices.keep, [quote(price())], 1)
        id = ids.request_id()
        paid = {"account_id": "acme", "organization_id": "acme", "key_id": key["id"], "payer": "house"}
        version = quote(price()).version
        start = Start(
            id=id, time_ms=NOW, api="chat_completions", scopes=(), hold_nano=10**9, requested_model="fast",
            provider="up", upstream_model="m", price_version=version, **paid,
        )  # fmt: skip
        assert await store.ledger.start(start) is None
        ends(
            desk,
            call(
                id, user_id="acme-member", project_id="web", usage_known=True, input_uncached_tokens=25,
                output_tokens=20,
                cost_nano=375_000, cost_source="computed", price_version=version, hold_nano=10**9, queue_us=1_500,
                ttfb_us=200_000, first_token_us=210_000, total_us=900_000, routing=ROUTING,
                flags="clamped_usage",
                losses='[["seed","the upstream has no word for it"]]', client_app="curl/8", editor="vim",
                stream=True, **paid,
            ),
        )  # fmt: skip
        await store.ledger.writer.flush()
        self.id = id
        return desk

    async def test_the_house_is_told_everything(self, told: Desk) -> None:
        story = await told("requests.story", request=self.id)
        assert story["request"]["id"] == self.id
        assert story["who"]["key"]["name"] == "laptop"
        assert story["who"]["project"] == {"id": "web", "name": "The web"}
        assert (story["who"]["user"]["name"], story["who"]["told"]) == ("member", {"editor": "vim"})
        assert (story["asked"]["requested_model"], story["asked"]["stream"]) == ("fast", True)
        told_of = {"why": "cheapest", "refused": ({"route": "b/m", "why": "not allowed"},), "rested": ()}
        assert story["route"] == told_of
        assert [(one["route"], one["status"], one["ms"]) for one in story["attempts"]] == [
            ("a/m", 503, 40),
            ("up/m", 200, 859),
        ]
        assert [(one["what"], one["at_ms"]) for one in story["timeline"]] == [
            ("received", 0.0), ("upstream_called", 1.5), ("first_byte", 200.0), ("first_token", 210.0),
            ("ended", 900.0),
        ]  # fmt: skip
        assert story["tokens"]["input_uncached"] == 25
        assert [row["usd"] for row in story["receipt"]] == ["0.000075", "0.0003", "0.000375"]
        assert list(story["losses"]) == [{"field": "seed", "why": "the upstream has no word for it"}]
        assert story["hold"] == {"usd": "1", "ended": True, "budgets": ()}
        assert [(one["kind"], one["usd"]) for one in story["entries"]] == [("charge", "-0.000375")]
        assert story["error"] is None

    async def test_what_came_later_is_told_too(self, told: Desk) -> None:
        await told("credits.refund", request=self.id, usd="0.0001")
        story = await told("requests.story", request=self.id)
        assert [(one["kind"], one["usd"]) for one in story["entries"]] == [
            ("charge", "-0.000375"),
            ("refund", "0.0001"),
        ]

    async def test_its_maker_is_told_what_is_the_makers(self, told: Desk) -> None:
        own = {"organization": "acme", "user": "acme-member"}
        story = await told("requests.story", member("acme-member", {"acme": Role.MEMBER}), request=self.id, **own)
        assert (story["route"], story["attempts"]) == (None, None)
        assert "flags" not in story["request"]
        assert [row["usd"] for row in story["receipt"]] == ["0.000075", "0.0003", "0.000375"]
        assert list(story["losses"]) == [{"field": "seed", "why": "the upstream has no word for it"}]

    async def test_nobody_else_is_told_anything(self, told: Desk) -> None:
        await told.organization("blue")
        for actor, whose in (
            (member("blue-owner", {"blue": Role.OWNER}), {"organization": "blue"}),
            (member("acme-admin", {"acme": Role.ADMIN}), {"organization": "acme", "user": "acme-admin"}),
        ):
            assert await told.refusal("requests.story", actor, request=self.id, **whose) == "not_found"

    async def test_a_stealth_model_stays_one(self, desk: Desk) -> None:
        await desk.organization("acme")
        ends(
            desk,
            call("s", organization_id="acme", public_model="house/x", error_code="upstream_error",
                 error_message="m of up is ill",
                 told_code="upstream_error", told_message="ill", losses='[["m","m cannot"]]', routing=ROUTING,
                 outcome="failed"),
        )  # fmt: skip
        owner = member("acme-owner", {"acme": Role.OWNER})
        story = await desk("requests.story", owner, request="s", organization="acme")
        assert story["error"] == {"code": "upstream_error", "message": "ill", "in_band": False}
        assert (story["asked"]["provider"], story["asked"]["upstream_model"]) == (None, "house/x")
        assert "up/m" not in str(story)

    async def test_a_refusal_is_a_short_story(self, desk: Desk) -> None:
        refused: dict[str, Any] = {
            "outcome": "refused",
            "status": 401,
            "provider": None,
            "upstream_model": None,
            "upstream_status": None,
        }
        ends(desk, call("r", error_code="unauthorized", error_message="who?", total_us=500, **refused))
        story = await desk("requests.story", request="r")
        assert (list(story["attempts"]), story["hold"], story["tokens"], list(story["receipt"])) == ([], None, None, [])
        assert story["error"] == {"code": "unauthorized", "message": "who?", "in_band": False}
        assert [one["what"] for one in story["timeline"]] == ["received", "ended"]

    async def test_columns_that_somebody_spoilt_spoil_no_story(self, desk: Desk) -> None:
        ends(desk, call("r", routing="x", losses="{", queue_us=1, total_us=5_000))
        story = await desk("requests.story", request="r")
        assert (story["route"]["why"], list(story["losses"])) == (None, [])
        assert [one["route"] for one in story["attempts"]] == ["up/m"]
