"""Who reads bodies of calls, what is noted of it, and when they go."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from support_desk import Desk, member
from support_wait import until
from test_operations_requests import NOW, call, ends
from test_store_captures import BODY, bodies
from trivium.clock import DAY_MS
from trivium.operations import captures as module
from trivium.operations.captures import keep_forgetting
from trivium.operations.table import Actor
from trivium.policy.caller import Role
from trivium.store.captures import Bodies, packed

HOUR = 3_600_000


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    await desk.store.ledger.load()
    return desk


def keep(desk: Desk, *found: Bodies) -> None:
    desk.store.captures.put(found, 10**9)


async def called(desk: Desk, id: str, *, record: dict[str, Any] | None = None, **key: Any) -> str:
    """A call with a new key, and its bodies; the key's id."""
    made = (await desk("keys.create", name="k", **key))["id"]
    who = {"key_id": made, "user_id": key.get("user"), "organization_id": key.get("organization")}
    ends(desk, call(id, account_id=key.get("organization") or key.get("user"), **who, **(record or {})))
    one = bodies(id, NOW, text='{"said": 1}', **who)
    about = msgspec.structs.replace(one.about, sent=BODY)
    keep(desk, msgspec.structs.replace(one, about=about, sent=packed("{}")))
    return str(made)


async def parts(desk: Desk, actor: Actor, id: str, **whose: Any) -> list[str] | str:
    """Which bodies somebody reads, or why none."""
    asked = {"request": id, **whose}
    if (code := await _code(desk, actor, asked)) is not None:
        return code
    return [one["part"] for one in (await desk("requests.bodies", actor, **asked))["parts"]]


async def _code(desk: Desk, actor: Actor, asked: dict[str, Any]) -> str | None:
    try:
        return await desk.refusal("requests.bodies", actor, **asked)
    except AssertionError:
        return None


ALL = ["request", "sent", "answer"]


class TestWhoReads:
    async def test_officers_read_their_organizations_and_members_their_own(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        await called(desk, "r1", organization="acme", user="acme-member")
        await called(desk, "r2", organization="acme", user="acme-owner")
        here = {"organization": "acme"}
        assert await parts(desk, acme["owner"], "r1", **here) == ALL
        assert await parts(desk, acme["admin"], "r1", **here) == ALL
        assert await parts(desk, acme["member"], "r1", user="acme-member", **here) == ALL
        assert await parts(desk, acme["member"], "r1", **here) == "role_missing"
        assert await parts(desk, acme["member"], "r2", user="acme-member", **here) == "not_found"
        assert await parts(desk, acme["billing"], "r1", **here) == "role_missing"
        assert await parts(desk, acme["billing"], "r1", user="acme-billing", **here) == "role_missing"
        other = await desk.organization("other")
        assert await parts(desk, other["owner"], "r1", organization="other") == "not_found"
        assert await parts(desk, other["owner"], "r1", **here) == "not_found"

    async def test_a_user_reads_what_is_the_users_own(self, desk: Desk) -> None:
        await desk("users.create", id="jo", name="Jo")
        await called(desk, "r1", user="jo")
        jo = member("jo", {})
        assert await parts(desk, jo, "r1", user="jo") == ALL
        assert await parts(desk, jo, "r1") == "role_missing"
        assert await parts(desk, member("ann", {}), "r1", user="ann") == "not_found"

    async def test_one_part_is_enough(self, desk: Desk) -> None:
        await called(desk, "r1")
        told = await desk("requests.bodies", request="r1", part="request")
        assert [(one["part"], one["text"], one["bytes"]) for one in told["parts"]] == [("request", '{"said": 1}', 2)]

    async def test_of_a_stealth_model_only_the_house_reads_what_went_upstream(self, desk: Desk) -> None:
        await desk("users.create", id="jo", name="Jo")
        await called(desk, "r1", user="jo", record={"public_model": "house/x"})
        assert await parts(desk, member("jo", {}), "r1", user="jo") == ["request", "answer"]
        assert await parts(desk, member("jo", {}), "r1", user="jo", part="sent") == "not_found"
        assert [one["part"] for one in (await desk("requests.bodies", request="r1"))["parts"]] == ALL

    async def test_of_a_custom_model_only_officers_do(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        record = {"provider": "custom@acme", "upstream_model": "own"}
        await called(desk, "r1", organization="acme", user="acme-member", record=record)
        assert await parts(desk, acme["member"], "r1", organization="acme", user="acme-member") == ["request", "answer"]
        assert await parts(desk, acme["admin"], "r1", organization="acme") == ALL

    async def test_what_went_to_another_organizations_model_is_its_owners(self, desk: Desk) -> None:
        await desk.organization("acme")
        blue = await desk.organization("blue")
        await called(desk, "r1", organization="blue", user="blue-member", record={"provider": "custom@acme"})
        for officer in ("owner", "admin"):
            assert await parts(desk, blue[officer], "r1", organization="blue") == ["request", "answer"]
            assert await parts(desk, blue[officer], "r1", organization="blue", part="sent") == "not_found"
            told = await desk("requests.story", blue[officer], request="r1", organization="blue")
            assert told["captured"]["sent"] is None
        both = member("both", {"acme": Role.OWNER, "blue": Role.OWNER})
        assert await parts(desk, both, "r1", organization="blue") == ["request", "answer"]
        assert [one["part"] for one in (await desk("requests.bodies", request="r1"))["parts"]] == ALL


class TestLog:
    async def test_reading_what_is_somebody_elses_is_noted_before_it_is_told(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        key = await called(desk, "r1", organization="acme", user="acme-member")
        await desk("requests.bodies", acme["member"], request="r1", organization="acme", user="acme-member")
        await desk("requests.story", request="r1")
        assert "requests.bodies" not in [action for _, action, _ in await desk.log()]
        await desk("requests.bodies", acme["admin"], request="r1", organization="acme", part="answer")
        await desk("requests.bodies", request="r1")
        noted = [line for line in await desk.items("changes.list") if line["action"] == "requests.bodies"]
        assert [(one["actor"], one["target"], one["organization_id"]) for one in noted] == [
            ("operator", "r1", "acme"),
            (acme["admin"].id, "r1", "acme"),
        ]
        assert [one["after"] for one in noted] == [{"key": key, "parts": ALL}, {"key": key, "parts": ["answer"]}]

    async def test_what_nobody_got_is_not_noted(self, desk: Desk) -> None:
        ends(desk, call("r1"))
        assert await desk.refusal("requests.bodies", request="r1") == "not_found"
        assert await desk.log() == []


class TestStory:
    async def test_it_says_that_there_are_bodies_and_not_what_is_in_them(self, desk: Desk) -> None:
        await called(desk, "r1")
        told = (await desk("requests.story", request="r1"))["captured"]
        assert (told["status"], told["request"]) == (200, {"bytes": 2, "kept": 2, "cut": False})
        ends(desk, call("r2"))
        assert (await desk("requests.story", request="r2"))["captured"] is None

    async def test_what_was_done_to_the_request_is_said_in_words(self, desk: Desk) -> None:
        ends(desk, call("r1", rules="identity translated gone-since"))
        rules = {one["name"]: one["what"] for one in (await desk("requests.story", request="r1"))["rules"]}
        assert list(rules) == ["identity", "translated", "gone-since"]
        assert rules["translated"] == "written in the upstream's API"
        assert rules["identity"].startswith("`safety_identifier`")
        assert rules["gone-since"] == ""

    async def test_of_a_stealth_model_nobody_else_hears_what_was_done(self, desk: Desk) -> None:
        await desk("users.create", id="jo", name="Jo")
        await called(desk, "r1", user="jo", record={"public_model": "house/x", "rules": "mistral-models"})
        told = await desk("requests.story", member("jo", {}), request="r1", user="jo")
        whole = await desk("requests.story", request="r1")
        assert ([*told["rules"]], told["captured"]["sent"]) == ([], None)
        assert (len(whole["rules"]), whole["captured"]["sent"]["bytes"]) == (1, 2)


class TestForgetting:
    async def test_a_key_and_a_user_are_forgotten_with_their_bodies(self, desk: Desk) -> None:
        await desk("users.create", id="jo", name="Jo")
        key = await called(desk, "r1")
        await called(desk, "r2", user="jo")
        assert (await desk("retention.erase", key=key))["captures"] == 1
        assert desk.store.captures.find("r1") is not None
        assert (await desk("retention.erase", key=key, apply=True))["captures"] == 1
        assert desk.store.captures.find("r1") is None
        assert desk.store.captures.find("r2") is not None
        assert (await desk("retention.erase", user="jo", apply=True))["captures"] == 1
        assert desk.store.captures.find("r2") is None

    async def test_records_that_go_take_them_along(self, desk: Desk) -> None:
        await called(desk, "r1")
        assert (await desk("retention", keep_ms=HOUR))["captures"] == 1
        assert (await desk("retention", keep_ms=HOUR, apply=True))["captures"] == 1
        assert desk.store.captures.find("r1") is None

    @pytest.mark.parametrize(
        "settings", [{"forbid_capture": True}, {"policy": {"zdr": True}}, {"policy": {"data_collection": "deny"}}]
    )
    async def test_an_organization_that_forbids_them_has_none_any_more(
        self, desk: Desk, settings: dict[str, Any]
    ) -> None:
        await desk.organization("acme")
        await called(desk, "r1", organization="acme", user="acme-member")
        await called(desk, "r2")
        await desk("orgs.settings.set", organization="acme", settings={})
        assert desk.store.captures.find("r1") is not None
        await desk("orgs.settings.set", organization="acme", settings=settings)
        assert desk.store.captures.find("r1") is None
        assert desk.store.captures.find("r2") is not None

    async def test_after_some_days_they_go_by_themselves(self, desk: Desk) -> None:
        now = desk.store.clock.now_ms()
        keep(desk, *(bodies(f"r{n}", now - 7 * DAY_MS - 1) for n in range(250)), bodies("young", now - 6 * DAY_MS))
        task = asyncio.create_task(keep_forgetting(desk.store, lambda: 7))
        await until(lambda: not desk.store.captures.older(now - 7 * DAY_MS))
        task.cancel()
        assert desk.store.captures.find("young") is not None

    async def test_what_fails_once_does_not_keep_them_for_ever(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_HOURLY", 0)
        now, looks = desk.store.clock.now_ms(), iter(["seven"])
        keep(desk, bodies("r1", now - 8 * DAY_MS))
        task = asyncio.create_task(keep_forgetting(desk.store, lambda: next(looks, 7)))  # type: ignore[arg-type,return-value]
        await until(lambda: not desk.store.captures.older(now))
        task.cancel()


class TestKeys:
    async def test_capture_is_switched_on_with_an_end_and_both_are_in_the_log(self, desk: Desk) -> None:
        now = desk.store.clock.now_ms()
        made = await desk("keys.create", name="k", capture=True, capture_until_ms=now + HOUR)
        assert (made["capture"], made["capture_until_ms"]) == (True, now + HOUR)
        off = await desk("keys.set", key=made["id"], capture=False)
        assert (off["capture"], off["capture_until_ms"]) == (False, None)
        on = await desk("keys.set", key=made["id"], capture=True)
        assert (on["capture"], on["capture_until_ms"]) == (True, None)
        (line, *_) = await desk.items("changes.list")
        assert (line["action"], line["before"]["capture"], line["after"]["capture"]) == ("keys.set", False, True)

    async def test_an_end_that_is_past_holds_no_more_when_it_is_switched_on_again(self, desk: Desk) -> None:
        made = await desk("keys.create", name="k", capture=True)
        with desk.store.database.transaction() as tx:
            tx.execute("UPDATE keys SET capture_until_ms = 5 WHERE id = ?", (made["id"],))
        assert (await desk("keys.set", key=made["id"], name="n"))["capture_until_ms"] == 5
        assert (await desk("keys.set", key=made["id"], capture=True))["capture_until_ms"] is None

    async def test_what_makes_no_sense_is_refused(self, desk: Desk) -> None:
        now = desk.store.clock.now_ms()
        made = await desk("keys.create", name="k")
        wrong: tuple[dict[str, Any], ...] = (
            {"capture": True, "capture_until_ms": now - 1},
            {"capture_until_ms": now + HOUR},
        )
        for asked in wrong:
            assert await desk.refusal("keys.create", name="k", **asked) == "operation_failed"
            assert await desk.refusal("keys.set", key=made["id"], **asked) == "operation_failed"
        desk.store.captures.allowed = False
        assert await desk.refusal("keys.set", key=made["id"], capture=True) == "operation_failed"
        assert (await desk("keys.set", key=made["id"], capture=False))["capture"] is False

    async def test_members_decide_of_keys_that_they_make_and_officers_of_all(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        here = {"organization": "acme", "user": "acme-member"}
        made = await desk("keys.create", acme["member"], name="k", capture=True, **here)
        assert made["capture"] is True
        assert await desk.refusal("keys.set", acme["member"], key=made["id"], capture=False, **here) == "role_missing"
        assert (await desk("keys.set", acme["admin"], key=made["id"], organization="acme", capture=False))["id"]
        assert Role.MEMBER in acme["member"].roles.values()
