"""Points of the review about people and organizations, against both databases: what somebody outside the house must not
reach by way of an organization."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support_desk import Desk, member
from support_money import APIS, CREDITS, METER, shop, usage, whole
from support_people import People
from support_store import Home
from trivium.errors import OperationError
from trivium.mock import Match, Reply, Rule
from trivium.operations.table import Actor
from trivium.policy.caller import Role

ANSWERS = [
    Rule(Reply(body=whole(api, "Hi", usage(api, 100, 10))), Match(path=f"*/{path}"))
    for api, path in (("chat", "chat/completions"), ("responses", "responses"), ("messages", "messages"))
]
ACME = {"x-trivium-organization": "acme"}


@contextlib.asynccontextmanager
async def house_in(home: Home, settings: str = METER) -> AsyncIterator[People]:
    storage = f'\n[storage]\nurl = "{home.url}"\n' if home.url else ""
    async with shop(*ANSWERS, settings=settings + storage) as house:
        yield People(house)


async def codes(people: People, key: str, **more: Any) -> set[Any]:
    """What the APIs say: 200, or the code of a refusal."""
    asked = [await people.ask(api, key, **more) for api in APIS]
    return {status if status == 200 else body["error"]["code"] for status, body in asked}


def invited(user: str, *organizations: str) -> Actor:
    return Actor(id=f"adm_{user}", user_id=user, invited=frozenset(organizations))


class TestConsent:
    async def test_an_officer_can_but_invite_and_the_user_decides(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        await desk("users.create", id="sam", name="Sam", staff=True)
        made = await desk("members.set", acme["admin"], organization="acme", user="sam", role="member")
        assert made["accepted_ms"] is None
        key: dict[str, Any] = {"name": "k", "organization": "acme", "user": "sam"}
        with pytest.raises(OperationError, match="'sam' is invited to 'acme', and no member before that is accepted"):
            await desk("keys.create", acme["admin"], **key)
        sam = invited("sam", "acme")
        assert await desk.items("invitations.list", sam, user="sam") == [made]
        assert await desk.items("orgs.list", user="sam") == []
        for operation in ("orgs.show", "members.list", "keys.list"):
            assert await desk.refusal(operation, sam, organization="acme") == "not_found"
        # Nobody says yes for somebody else, nor without having been asked.
        assert await desk.refusal("members.accept", acme["admin"], organization="acme", user="sam") == "role_missing"
        for eve in (invited("eve"), invited("eve", "acme")):
            assert await desk.refusal("members.accept", eve, organization="acme", user="sam") == "not_found"
        assert (
            await desk.refusal("members.accept", invited("eve"), organization="acme", user="eve", role="member")
            == "not_found"
        )
        # To what was seen: meanwhile it may have become something else.
        yes: dict[str, Any] = {"organization": "acme", "user": "sam"}
        assert await desk.refusal("members.accept", sam, **yes) == "operation_failed"
        await desk("members.set", acme["owner"], **yes, role="owner")
        assert await desk.refusal("members.accept", sam, **yes, role=made["role"]) == "conflict"
        await desk("members.set", acme["owner"], **yes, role=made["role"])
        accepted = await desk("members.accept", sam, **yes, role=made["role"])
        assert accepted["accepted_ms"] is not None
        assert await desk("members.accept", member("sam", {"acme": Role.MEMBER}), **yes, role="member")
        assert (await desk("keys.create", acme["admin"], **key))["user_id"] == "sam"
        assert [row["id"] for row in await desk.items("orgs.list", user="sam")] == ["acme"]
        # Another role needs no new consent.
        changed = await desk("members.set", acme["owner"], organization="acme", user="sam", role="billing")
        assert changed["accepted_ms"] == accepted["accepted_ms"]
        told = {row["user_id"]: row["accepted_ms"] for row in await desk.items("members.list", organization="acme")}
        assert told["sam"] == accepted["accepted_ms"]
        assert ("adm_sam", "members.accept", "sam") in await desk.log()

    async def test_an_invitation_is_declined_and_taken_back(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        await desk("users.create", id="sam", name="Sam")
        for who in (invited("sam", "acme"), acme["owner"]):
            await desk("members.set", acme["owner"], organization="acme", user="sam", role="owner")
            await desk("members.remove", who, organization="acme", user="sam")
            assert await desk.refusal("members.accept", organization="acme", user="sam") == "not_found"

    async def test_who_is_invited_to_be_an_owner_is_none_yet(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        await desk("users.create", id="sam", name="Sam")
        await desk("members.set", acme["owner"], organization="acme", user="sam", role="owner")
        leaving: dict[str, Any] = {"organization": "acme", "user": "acme-owner"}
        assert await desk.refusal("members.remove", acme["owner"], **leaving) == "conflict"
        await desk("members.accept", invited("sam", "acme"), organization="acme", user="sam", role="owner")
        await desk("members.remove", acme["owner"], **leaving)

    async def test_what_the_house_makes_counts_at_once(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        await desk("users.create", id="sam", name="Sam")
        await desk("members.set", acme["owner"], organization="acme", user="sam", role="member")
        made = await desk("members.set", organization="acme", user="sam", role="member")
        assert made["accepted_ms"] is not None
        assert await desk.items("invitations.list", user="sam") == []

    async def test_calls_for_an_organization_begin_with_consent(self, home: Home) -> None:
        async with house_in(home) as people:
            own = await people.user("sam")
            await people.organization("acme")
            owner = member("acme-owner", {"acme": Role.OWNER})
            await people("members.set", owner, organization="acme", user="sam", role="member")
            assert await codes(people, own, headers=ACME) == {"not_a_member"}
            await people("members.accept", invited("sam", "acme"), organization="acme", user="sam", role="member")
            assert await codes(people, own, headers=ACME) == {200}

    @pytest.mark.parametrize("gate", [{"open_to": "admins"}, {"open_to": "named", "users": ["sam"]}])
    async def test_an_organizations_key_opens_nothing_that_is_its_users_own(
        self, home: Home, gate: dict[str, Any]
    ) -> None:
        async with house_in(home) as people:
            own = await people.user("sam", staff=True)
            await people.organization("acme")
            await people("members.set", organization="acme", user="sam", role="member")
            owner = member("acme-owner", {"acme": Role.OWNER})
            key = (await people("keys.create", owner, name="k", organization="acme", user="sam"))["key"]
            await people.settings(models={"up/m": gate})
            assert await codes(people, key) == {"model_not_allowed"}
            assert await codes(people, own) == {200}
            assert await codes(people, own, headers=ACME) == {200}
            await people.settings(apis=dict.fromkeys(("chat_completions", "responses", "messages"), gate))
            assert await codes(people, key) == {"api_not_available"}


class TestProjects:
    async def test_ids_are_each_organizations_own(self, desk: Desk) -> None:
        acme, blue = await desk.organization("acme"), await desk.organization("blue")
        for actors, id in ((acme, "acme"), (blue, "blue")):
            await desk("projects.create", actors["owner"], organization=id, id="launch", name="Launch")
            await desk("keys.create", actors["owner"], name=f"{id}s", organization=id, project="launch")
            budget: dict[str, Any] = {"organization": id, "scope": f"project:{id}/launch", "period": "day", "usd": "1"}
            await desk("budgets.set", actors["owner"], **budget)
        scopes = [row["scope"] for row in await desk.items("budgets.list", acme["owner"], organization="acme")]
        assert scopes == ["project:acme/launch"]
        others: dict[str, Any] = {"organization": "acme", "period": "day", "usd": "1"}
        for scope in ("project:blue/launch", "project:blue/nothing", "project:launch"):
            assert await desk.refusal("budgets.set", acme["owner"], scope=scope, **others) == "not_found"
        await desk("projects.remove", acme["owner"], organization="acme", project="launch")
        told = {key["name"]: key["project_id"] for key in await desk.items("keys.list")}
        assert told == {"acmes": None, "blues": "launch"}

    async def test_who_is_not_of_the_house_has_none_outside_an_organization(self, desk: Desk) -> None:
        await desk("users.create", id="xena", name="Xena")
        xena = Actor(id="adm_xena", user_id="xena")
        assert await desk.refusal("keys.create", xena, name="k", user="xena", project="launch") == "operation_failed"
        await desk("keys.create", xena, name="k", user="xena")
        assert await desk.refusal("keys.set", xena, key="k", user="xena", project="launch") == "operation_failed"

    async def test_a_word_of_other_keys_meets_no_organizations_project(self, home: Home) -> None:
        async with house_in(home) as people:
            await people("users.create", id="xena", name="Xena")
            words = await people.key(user="xena", project="launch")
            await people.organization("acme")
            await people("projects.create", organization="acme", id="launch", name="Launch")
            key = await people.key(organization="acme", project="launch")
            await people("budgets.set", scope="project:acme/launch", period="day", usd="0")
            assert await codes(people, words) == {200}
            assert await codes(people, key) == {"budget_exceeded"}
            await people("budgets.set", scope="project:launch", period="day", usd="0")
            await people("budgets.set", scope="project:acme/launch", period="day", usd="5")
            assert await codes(people, words) == {"budget_exceeded"}
            assert await codes(people, key) == {200}


async def test_a_key_is_for_a_user_who_is_there(desk: Desk) -> None:
    with pytest.raises(OperationError, match=r"There is no user 'new'; `trivium users create --name \.\.\. --id new`"):
        await desk("keys.create", name="k", user="new")
    await desk("users.create", id="new", name="New")
    assert await desk.items("keys.list", user="new") == []
    assert (await desk("keys.create", name="k", user="new"))["account_id"] == "new"


@pytest.mark.parametrize("settings", [METER, CREDITS])
async def test_what_a_call_was_for_is_told_whether_balances_are_charged_or_not(home: Home, settings: str) -> None:
    async with house_in(home, settings) as people:
        await people.organization("acme")
        await people("credits.grant", account="acme", usd="5")
        await people("credits.grant", account="acme-member", usd="5")
        own = await people.key(user="acme-member")
        assert await codes(people, own, headers=ACME) == {200}
        assert await codes(people, own) == {200}
        for actor in (member("acme-owner", {"acme": Role.OWNER}), member("acme-member", {"acme": Role.MEMBER})):
            asked: dict[str, Any] = {"organization": "acme", "user": "acme-member"}
            told = (await people("requests", actor, **asked))["items"]
            assert [row["organization_id"] for row in told] == ["acme"] * 3
            assert [row["requests"] for row in await people("usage", actor, by=["organization"], **asked)] == [3]
        by = {row["organization"]: row["requests"] for row in await people("usage", by=["organization"])}
        assert by == {None: 3, "acme": 3}


class TestCeilings:
    async def test_of_a_key_what_the_house_has_set_is_lowered_and_not_lifted(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        later = desk.store.clock.now_ms() + 10**9
        what: dict[str, Any] = {
            "limits": {"requests_per_minute": 5},
            "scopes": {"models": ["up/*"], "apis": ["messages"], "networks": ["10.0.0.0/8"]},
            "expires_ms": later,
            "budget": {"usd": "5", "period": "day"},
        }
        await desk("keys.create", name="k", organization="acme", **what)
        asked: dict[str, Any] = {"organization": "acme", "key": "k"}
        scopes = what["scopes"]
        more: list[dict[str, Any]] = [
            *({"limits": {"requests_per_minute": 6}}, {"limits": {}}, {"expires_ms": None}, {"expires_ms": later + 1}),
            *({"scopes": {}}, {"scopes": scopes | {"models": ["*"]}}, {"scopes": scopes | {"networks": ["0.0.0.0/0"]}}),
            *({"scopes": scopes | {"apis": ["messages", "responses"]}}, {"scopes": scopes | {"models": []}}),
            {"budget": {"usd": "5.01", "period": "day"}},
        ]
        before = await desk("keys.show", **asked)
        for said in more:
            assert await desk.refusal("keys.set", acme["owner"], **asked, **said) == "operation_failed", said
        assert await desk("keys.show", **asked) == before
        less: list[dict[str, Any]] = [
            {"name": "k", "limits": {"requests_per_minute": 4}, "expires_ms": later - 1},
            {"scopes": scopes | {"models": ["up/small", "up/large*"], "networks": ["10.1.0.0/16"]}},
            {"limits": {"requests_per_minute": 5}, "scopes": scopes, "expires_ms": later},
            {"budget": {"usd": "4", "period": "day"}},
            {"budget": {"usd": "5", "period": "day"}},
        ]
        for said in less:
            await desk("keys.set", acme["owner"], **asked, **said)
        await desk("keys.set", **asked, limits={"requests_per_minute": 9}, scopes={}, expires_ms=None)
        await desk("keys.set", acme["owner"], **asked, limits={"requests_per_minute": 8}, expires_ms=later + 5)

    async def test_what_officers_set_themselves_they_lift(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        asked: dict[str, Any] = {"organization": "acme", "key": "k"}
        what: dict[str, Any] = {"limits": {"requests_per_minute": 5}, "budget": {"usd": "5", "period": "day"}}
        await desk("keys.create", acme["admin"], name="k", organization="acme", **what)
        await desk("keys.set", **asked, name="k")  # by the house, which says nothing of limits
        await desk("keys.set", acme["admin"], **asked, limits={}, budget={"usd": "50", "period": "day"})

    async def test_of_a_budget_that_the_house_has_set(self, desk: Desk) -> None:
        acme = await desk.organization("acme")
        what: dict[str, Any] = {"organization": "acme", "scope": "account:acme", "period": "month"}
        made = await desk("budgets.set", **what, usd="10")
        own = await desk("budgets.set", acme["owner"], **what | {"period": "day"}, usd="1")
        assert await desk.refusal("budgets.set", acme["owner"], **what, usd="10.01") == "operation_failed"
        ending: dict[str, Any] = {"organization": "acme", "budget": made["id"]}
        assert await desk.refusal("budgets.remove", acme["owner"], **ending) == "operation_failed"
        for usd in ("5", "10"):
            assert (await desk("budgets.set", acme["owner"], **what, usd=usd))["id"] == made["id"]
        await desk("budgets.set", acme["owner"], **what | {"period": "day"}, usd="100")
        await desk("budgets.remove", acme["owner"], organization="acme", budget=own["id"])
        await desk("budgets.remove", **ending)


class TestWhoIsTold:
    async def test_an_organizations_key_of_nobody_is_for_no_other_one(self, home: Home) -> None:
        async with house_in(home) as people:
            for id in ("acme", "blue"):
                await people.organization(id)
            key = await people.key(organization="blue")
            assert await codes(people, key, headers=ACME) == {"not_a_member"}
            assert await codes(people, key, headers={"x-trivium-organization": "blue"}) == {200}

    async def test_a_block_is_told_before_anything_of_organizations(self, home: Home) -> None:
        async with house_in(home) as people:
            own = await people.user("bad", email="bad@SPAM.example")
            await people("domains.block", domain="Spam.example.")
            for headers in (ACME, {}):
                assert await codes(people, own, headers=headers) == {"caller_blocked"}
            assert (await people("domains.list"))["items"] == ["spam.example"]

    async def test_who_has_left_sees_no_budget_of_the_organizations_keys(self, desk: Desk) -> None:
        await desk.organization("acme")
        budget: dict[str, Any] = {"usd": "5", "period": "day"}
        mine = await desk("keys.create", name="own", user="acme-member", budget=budget)
        await desk("keys.create", name="k", organization="acme", user="acme-member", budget=budget)
        await desk("members.remove", organization="acme", user="acme-member")
        told = await desk.items("budgets.list", member("acme-member", {}), user="acme-member")
        assert [row["scope"] for row in told] == [f"key:{mine['id']}"]
