"""What is offered to whom, in which space."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_stripe import SETTINGS as PAYMENTS
from trivium import config
from trivium.dashboard.door import Door
from trivium.dashboard.menu import fits, menu
from trivium.dashboard.table import BY_PATH, RESOURCES
from trivium.dashboard.visitor import HOUSE, Described, Space, Visitor, visitor_of
from trivium.operations.describe import Described as Told
from trivium.operations.describe import describing
from trivium.operations.operations import Operations
from trivium.operations.table import OPERATOR, Actor, Op, check
from trivium.policy.caller import Role
from trivium.server.deps import Gateway

SETTINGS = PAYMENTS.replace("{stripe}", "http://127.0.0.1:9") + "[local]\nenabled = false"
ME, ACME = Space(kind="me", name="Personal"), Space(kind="organization", id="acme", name="Acme")
SPACES = [HOUSE, ME, ACME, Space(kind="organization", id="blue", name="Blue")]


@pytest.fixture
async def operations(tmp_path: Path) -> AsyncIterator[Operations]:
    gateway = Gateway(config.parse(SETTINGS), tmp_path, {})
    yield gateway.operations
    await gateway.close()


@pytest.fixture
async def described(operations: Operations) -> dict[str, Described]:
    told: dict[str, Told] = await describing(operations.table)["operations.describe"].act(None, OPERATOR)
    return msgspec.convert(msgspec.to_builtins(told), dict[str, Described])


def visitor(described: dict[str, Described], role: str | None = None, *, house: bool = False, **more: Any) -> Visitor:
    said: dict[str, Any] = {"user": {"id": "ann", "name": "Ann"}, "invited": [], "names": {"acme": "Acme"}}
    roles = {"acme": role} if role else {}
    door: Any = None
    return Visitor(door=door, token="t", session="s", house=house, roles=roles, operations=described, **(said | more))


@pytest.mark.parametrize("role", [*Role, None])
def test_what_is_offered_is_what_is_allowed(
    operations: Operations, described: dict[str, Described], role: Role | None
) -> None:
    """Of every operation, in every space: the arguments that the dashboard would ask with pass the one check; and where
    it would not ask, a check of the plain arguments of the space fails."""
    asking = visitor(described, role)
    actor = Actor(id="ann", user_id="ann", roles={"acme": role} if role else {})
    offered = 0
    for name, op in operations.table.items():
        for space in SPACES:
            said = asking.arguments(name, space)
            if said is not None:
                check(op, _Query(**said), actor)
                offered += 1
            elif space is ME and "user" in op.arguments.__struct_fields__:
                assert not _is_allowed(op, {"user": "ann"}, actor), name
            elif space is ACME and "organization" in op.arguments.__struct_fields__:
                assert not _is_allowed(op, {"organization": "acme", "user": None}, actor), name
    assert offered > 10


class _Query:
    organization = user = None

    def __init__(self, **said: Any) -> None:
        self.__dict__.update(said)


def _is_allowed(op: Op, said: dict[str, Any], actor: Actor) -> bool:
    try:
        check(op, _Query(**said), actor)
    except Exception:
        return False
    return True


def test_a_member_asks_about_itself_where_officers_ask_about_all(described: dict[str, Described]) -> None:
    assert visitor(described, "owner").arguments("keys.list", ACME) == {"organization": "acme"}
    assert visitor(described, "member").arguments("keys.list", ACME) == {"organization": "acme", "user": "ann"}
    assert visitor(described, "member").arguments("keys.list", ME) == {"user": "ann"}
    assert visitor(described, "member").arguments("keys.list", HOUSE) is None
    assert visitor(described, house=True).arguments("keys.list", HOUSE) == {}


def test_the_menu_has_the_pages_that_one_may_see(described: dict[str, Described]) -> None:
    def titles(asking: Visitor, space: Space) -> set[str]:
        return {title for _, links in menu(asking, space) for _, title in links}

    assert titles(visitor(described, house=True), HOUSE) >= {"Users", "Prices", "Audit log", "Gates and limits"} - {
        "Prices"
    }
    assert "Users" not in titles(visitor(described, "owner"), ACME)
    assert {"Members", "Policy and limits", "Audit log"} <= titles(visitor(described, "owner"), ACME)
    assert "Audit log" not in titles(visitor(described, "member"), ACME)
    assert titles(visitor(described), HOUSE) == {"Home"}


def test_spaces_are_those_that_one_has(described: dict[str, Described]) -> None:
    assert [space.path for space in visitor(described, "owner").spaces] == ["/dashboard/me", "/dashboard/o/acme"]
    assert [space.path for space in visitor(described, house=True, user=None).spaces] == ["/dashboard/house"]


def test_every_row_names_what_its_operations_take(described: dict[str, Described]) -> None:
    looked = 0
    for resource in RESOURCES:
        for action in (*([resource.make] if resource.make else []), *resource.also, *resource.does):
            op = described[action.operation]
            known = op.arguments["$defs"][op.arguments["$ref"].rpartition("/")[2]]["properties"]
            assert {*action.takes, *(action.asks or ())} <= set(known), (resource.path, action.path)
            assert op.changes or action.operation in ("catalog.refresh", "alerts.channels.test"), (
                resource.path,
                action.path,
            )
            looked += 1
    assert looked > 25


def test_what_has_been_done_is_not_done_again() -> None:
    block, unblock = (next(one for one in BY_PATH["users"].does if one.path == path) for path in ("block", "unblock"))
    assert (fits(block, {"id": "a", "blocked_ms": None}), fits(unblock, {"id": "a", "blocked_ms": None})) == (
        True,
        False,
    )
    assert (fits(block, {"id": "a", "blocked_ms": 1}), fits(unblock, {"id": "a", "blocked_ms": 1})) == (False, True)
    refund = BY_PATH["entries"].does[0]
    assert not fits(refund, {"request_id": None})


def test_what_is_done_to_oneself_is_offered_at_ones_own_row_alone() -> None:
    remove = next(one for one in BY_PATH["members"].does if one.path == "remove")
    whose = {"organization": "acme", "user": "ann"}
    assert fits(remove, {"user_id": "ann"}, whose)
    assert not fits(remove, {"user_id": "bob"}, whose)
    assert fits(remove, {"user_id": "bob"}, {"organization": "acme"})


def test_the_space_of_another_user_is_the_houses(described: dict[str, Described]) -> None:
    bob = Space(kind="me", id="bob", name="Bob")
    assert bob.path == "/dashboard/u/bob"
    assert visitor(described, house=True).arguments("byok.list", bob) == {"user": "bob"}
    assert visitor(described, "owner").arguments("byok.list", bob) is None


async def test_all_organizations_of_somebody_have_their_names(described: dict[str, Described]) -> None:
    many = {f"o{number:03}": f"Organization {number}" for number in range(450)}
    asking = await visitor_of(_Desk(many), "t", described)
    assert asking.names == many
    assert asking.spaces[-1].name == "Organization 99"


class _Desk(Door):
    """Tells of somebody in many organizations, in parts."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    async def ask(self, operation: str, arguments: dict[str, Any], session: str | None = None) -> Any:
        if operation == "sessions.person":
            person = {"stale": False, "session": "s", "house": False, "user": {"id": "ann", "name": "Ann"}}
            return {**person, "roles": dict.fromkeys(self._names, "member"), "invited": []}
        assert operation == "orgs.list"
        left = [id for id in sorted(self._names) if id > arguments["after"]]
        part = left[: arguments["limit"]]
        items = [{"id": id, "name": self._names[id]} for id in part]
        return {"items": items, "next": part[-1] if len(left) > len(part) else None}


async def test_a_door_that_nobody_opens_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not answer"):
        await Door(tmp_path / "none.sock").ask("usage", {})
