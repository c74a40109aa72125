"""Who sees and does what: every operation that names an organization or a user, for each role, beside another
organization that must not be known of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_desk import Desk, member
from support_store import keep
from test_store_captures import bodies
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.operations.table import Actor
from trivium.policy.caller import Role
from trivium.store.store import Store

CANARY = "canary"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "orgs.rename": {"name": "x"},
    "orgs.settings.set": {"settings": {}},
    "members.set": {"user": "acme-member", "role": "member"},
    "members.remove": {"user": "acme-admin"},
    "members.accept": {"user": "ann"},
    "projects.create": {"name": "x"},
    "projects.remove": {"project": "acme-p"},
    "keys.create": {"name": "x"},
    "keys.show": {"key": "laptop"},
    "keys.set": {"key": "laptop", "strict": True},
    "keys.rotate": {"key": "laptop"},
    "keys.revoke": {"key": "laptop"},
    "receipt": {"request": "req_acme"},
    "requests.story": {"request": "req_acme"},
    "requests.bodies": {"request": "req_acme"},
    "budgets.set": {"scope": "account:acme", "period": "day", "usd": "1"},
    "budgets.remove": {"budget": "none"},
}
"""What an operation needs beside an organization."""
OFFICERS, BILLS, ALL = {"owner", "admin"}, {"owner", "admin", "billing"}, set(map(str, Role))
MAY = {
    "orgs.show": ALL,
    "orgs.rename": OFFICERS,
    "orgs.settings.show": ALL,
    "orgs.settings.set": OFFICERS,
    "members.list": ALL,
    "members.set": OFFICERS,
    "members.remove": OFFICERS,
    "members.accept": set(),
    "projects.list": ALL,
    "projects.create": OFFICERS,
    "projects.remove": OFFICERS,
    "keys.create": OFFICERS,
    "keys.list": OFFICERS,
    "keys.show": OFFICERS,
    "keys.set": OFFICERS,
    "keys.rotate": OFFICERS,
    "keys.revoke": OFFICERS,
    "usage": BILLS,
    "requests": BILLS,
    "receipt": BILLS,
    "requests.story": BILLS,
    "requests.bodies": OFFICERS,
    "requests.search": BILLS,
    "requests.tail": BILLS,
    "usage.report": BILLS,
    "usage.csv": BILLS,
    "overview": BILLS,
    "accounts.list": BILLS,
    "credits.entries": BILLS,
    "budgets.list": BILLS,
    "budgets.set": OFFICERS,
    "budgets.remove": OFFICERS,
    "changes.list": OFFICERS,
}
"""The roles that do for everybody in the organization (behaviour page, section 3)."""


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    """`acme`, and `blue` whose every name has a canary in it."""
    for id, word in (("acme", "plain"), ("blue", CANARY)):
        await desk.organization(id)
        await desk("orgs.rename", organization=id, name=word)
        await desk("projects.create", organization=id, id=f"{id}-p", name=word)
        budget = {"usd": "7", "period": "day"}
        key = await desk("keys.create", name="laptop", organization=id, user=f"{id}-member", budget=budget)
        await desk("credits.grant", account=id, usd="5", note=word)
        for scope in (f"account:{id}", f"member:{id}/{id}-member", f"project:{id}/{id}-p"):
            await desk("budgets.set", scope=scope, period="month", usd="9")
        told = {"api": "chat", "operation": "generate", "outcome": "success", "status": 200, "key_id": key["id"]}
        keep(desk.store.database, [Record(id=f"req_{id}", time_ms=1, account_id=id, requested_model=word, **told)])
        desk.store.captures.put([bodies(f"req_{id}", text=word, key_id=key["id"], organization_id=id)], 10**9)
    return desk


def actors(organization: str) -> dict[str, Actor]:
    return {str(role): member(f"{organization}-{role}", {organization: role}) for role in Role}


def test_every_operation_that_names_an_organization_is_in_the_table_above(tmp_path: Path) -> None:
    table = Desk(Store(tmp_path, SystemClock())).operations.table
    naming = {name for name, op in table.items() if "organization" in op.arguments.__struct_fields__}
    assert naming == set(MAY)


@pytest.mark.parametrize("name", MAY)
async def test_roles_do_what_they_may_in_their_organization_and_nothing_beyond(desk: Desk, name: str) -> None:
    more = ARGUMENTS.get(name, {})
    for role, actor in actors("acme").items():
        if role not in MAY[name]:
            assert await desk.refusal(name, actor, organization="acme", **more) == "role_missing"
            continue
        assert await desk.refusal(name, actor, organization="blue", **more) == "not_found"
        assert await desk.refusal(name, actor, **more | {"organization": "nowhere"}) == "not_found"
        if "organization" not in _required(desk, name):
            assert await desk.refusal(name, actor, **more) == "role_missing"
        try:
            told = await desk(name, actor, organization="acme", **more)
        except OperationError as error:
            told = error.message
        assert CANARY not in str(told)
        assert "blue" not in str(told)


def _required(desk: Desk, name: str) -> set[str]:
    fields = msgspec.structs.fields(desk.operations.table[name].arguments)
    return {field.name for field in fields if field.required}


async def test_what_a_member_names_of_others_is_not_there(desk: Desk) -> None:
    """The ids of the other organization's things, in one's own."""
    owner = actors("acme")["owner"]
    (key,) = await desk.items("keys.list", organization="blue")
    (budget,) = [row for row in await desk.items("budgets.list") if row["scope"] == "account:blue"]
    for name, said in (
        ("keys.show", {"key": key["id"]}),
        ("keys.set", {"key": key["id"], "name": "x"}),
        ("keys.rotate", {"key": key["id"]}),
        ("keys.revoke", {"key": key["id"]}),
        ("receipt", {"request": "req_blue"}),
        ("requests.story", {"request": "req_blue"}),
        ("requests.bodies", {"request": "req_blue"}),
        ("projects.remove", {"project": "blue-p"}),
        ("members.remove", {"user": "blue-member"}),
        ("budgets.remove", {"budget": budget["id"]}),
        *(
            ("budgets.set", {"scope": scope, "period": "day", "usd": "0"})
            for scope in (
                "account:blue",
                "member:blue/blue-member",
                "project:blue/blue-p",
                f"key:{key['id']}",
                "user:ann",
            )
        ),
        ("keys.create", {"name": "x", "project": "blue-p"}),
    ):
        assert await desk.refusal(name, owner, organization="acme", **said) == "not_found", name
    assert await desk("requests", owner, organization="acme", id="req_blue") == {"items": [], "next": None}
    for found in (
        await desk("requests.search", owner, organization="acme"),
        await desk("requests.search", owner, organization="acme", text="req_blue"),
    ):
        assert "blue" not in str(found)
    assert await desk("accounts.list", owner, organization="acme", account="blue") == {"items": [], "next": None}
    assert await desk("credits.entries", owner, organization="acme", account="blue") == {"items": [], "next": None}


class TestMembersThemselves:
    async def test_a_member_makes_sees_and_ends_own_keys_alone(self, desk: Desk) -> None:
        roles = actors("acme")
        own: dict[str, Any] = {"organization": "acme", "user": "acme-member"}
        made = await desk("keys.create", roles["member"], name="phone", **own)
        assert {key["name"] for key in await desk.items("keys.list", roles["member"], **own)} == {"laptop", "phone"}
        assert (await desk("keys.rotate", roles["member"], key="phone", **own))["key"] != made["key"]
        assert await desk.refusal("keys.set", roles["member"], key="phone", limits={}, **own) == "role_missing"
        assert (await desk("keys.revoke", roles["member"], key=made["id"], **own))["revoked_ms"]
        others = {"organization": "acme", "user": "acme-admin"}
        for name in ("keys.create", "keys.list", "keys.revoke"):
            more = {"keys.create": {"name": "x"}, "keys.revoke": {"key": "laptop"}}.get(name, {})
            assert await desk.refusal(name, roles["member"], **others, **more) == "role_missing"
        bills = {"organization": "acme", "user": "acme-billing"}
        assert await desk.refusal("keys.create", roles["billing"], name="x", **bills) == "role_missing"

    async def test_a_member_sees_own_usage_alone(self, desk: Desk) -> None:
        roles = actors("acme")
        for user, role, requests in (("acme-member", "member", 1), ("acme-admin", "admin", 0)):
            own = {"organization": "acme", "user": user}
            assert len((await desk("requests", roles[role], **own))["items"]) == requests
            assert sum(row["requests"] for row in await desk("usage", roles[role], **own)) == requests
        assert len((await desk("requests", roles["billing"], organization="acme"))["items"]) == 1

    async def test_without_an_organization_one_is_on_ones_own(self, desk: Desk) -> None:
        ann = member("acme-member", {"acme": Role.MEMBER})
        mine = {"user": "acme-member"}
        await desk("keys.create", ann, name="mine", **mine)
        assert [key["name"] for key in await desk.items("keys.list", ann, **mine)] == ["mine"]
        assert await desk.refusal("keys.show", ann, key="laptop", **mine) == "not_found"
        assert [row["id"] for row in await desk.items("accounts.list", ann, **mine)] == ["acme-member"]
        assert [row["id"] for row in await desk.items("orgs.list", ann, **mine)] == ["acme"]
        assert (await desk("users.show", ann, **mine))["name"] == "member"
        assert await desk("users.revoke_keys", ann, **mine)
        for name in ("keys.list", "accounts.list", "orgs.list", "users.show", "usage"):
            assert await desk.refusal(name, ann, user="blue-member") == "role_missing"
        assert await desk.refusal("users.set", ann, staff=True, **mine) == "role_missing"

    async def test_everybody_may_leave(self, desk: Desk) -> None:
        for role in ("admin", "member", "billing"):
            user = f"acme-{role}"
            await desk("members.remove", actors("acme")[role], organization="acme", user=user)
        assert [row["user_id"] for row in await desk.items("members.list", organization="acme")] == ["acme-owner"]


async def test_owners_are_made_and_unmade_by_owners_alone(desk: Desk) -> None:
    roles = actors("acme")
    for user, role in (("acme-owner", "member"), ("acme-admin", "owner"), ("blue-owner", "owner")):
        said = {"organization": "acme", "user": user, "role": role}
        assert await desk.refusal("members.set", roles["admin"], **said) == "role_missing"
    gone = {"organization": "acme", "user": "acme-owner"}
    assert await desk.refusal("members.remove", roles["admin"], **gone) == "role_missing"
    await desk("members.set", roles["owner"], organization="acme", user="acme-admin", role="owner")
    await desk("members.remove", member("acme-admin", {"acme": Role.OWNER}), **gone)


async def test_limits_are_the_houses_to_raise(desk: Desk) -> None:
    owner = actors("acme")["owner"]
    of_all = {"organization_limits": {"requests_per_minute": 10}, "key_limits": {"requests_per_minute": 5}}
    await desk("settings.set", settings=of_all)

    def limited(most: int | None) -> dict[str, Any]:
        return {"organization": "acme", "settings": {"limits": {"requests_per_minute": most}}}

    assert await desk.refusal("orgs.settings.set", owner, **limited(11)) == "operation_failed"
    lower: list[int | None] = [9, 3, 3]
    for most in lower:
        await desk("orgs.settings.set", owner, **limited(most))
    higher: list[int | None] = [4, None]
    for most in higher:
        assert await desk.refusal("orgs.settings.set", owner, **limited(most)) == "operation_failed"
    assert (await desk("orgs.settings.set", **limited(99)))["settings"]["limits"]["requests_per_minute"] == 99
    key: dict[str, Any] = {"name": "x", "organization": "acme", "limits": {"requests_per_minute": 6}}
    assert await desk.refusal("keys.create", owner, **key) == "operation_failed"
    key["limits"]["requests_per_minute"] = 5
    await desk("keys.create", owner, **key)
    set_again = {"key": "x", "organization": "acme", "limits": {"requests_per_minute": 6}}
    assert await desk.refusal("keys.set", owner, **set_again) == "operation_failed"


async def test_the_log_tells_an_organization_what_happened_in_it_and_by_whom(desk: Desk) -> None:
    owner = actors("acme")["owner"]
    await desk("keys.revoke", owner, key="laptop", organization="acme")
    told = await desk.items("changes.list", owner, organization="acme")
    assert {line["organization_id"] for line in told} == {"acme"}
    assert (told[0]["actor"], told[0]["action"]) == (owner.id, "keys.revoke")
    assert {line["action"] for line in told} == {
        *("orgs.create", "orgs.rename", "members.set", "projects.create", "keys.create", "keys.revoke"),
        *("credits.grant", "budgets.set"),
    }
