"""Every route, by every role, for every organization: who may what, and that nobody learns of others.

What is expected is worked out here from what an operation says that it needs, apart from the code that checks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from support_admin import Answered, administered
from support_admin_world import CANARY, ROLES, WORDS, Asking, World
from support_store import Home
from trivium.admin.row import Route
from trivium.operations.table import Needs
from trivium.policy.caller import Role
from trivium.store.answers import Keeping
from trivium.store.writer import Writer

CALLERS = ("house", *ROLES, "outsider", "stranger", "key")
_UNKNOWN = ("secrets.rotate", "prices.set")
"""Whose answers no change knows: they can be made again without harm."""
_ITEMS = {"key", "project", "budget", "request", "admin"}
"""Names in paths of what belongs to somebody."""

_OF_ONE = {"accounts.list", "credits.entries"}
"""Refused where an organization and a user are named: no account is of both."""


def names(route: Route) -> set[str]:
    return {*route.in_path, *route.others}


def cases(world: World, route: Route) -> Iterator[Asking]:
    """Each caller, for its own organization, the other one and none, for itself and for somebody else."""
    for who in CALLERS:
        own = world.users[who] or "plain-admin"
        organizations: list[str | None] = [None]
        if "organization" in names(route):
            organizations = ["acme", "blue", "nowhere" if "organization" in route.in_path else None]
        for organization in organizations:
            made_in = organization if organization in WORDS else None
            somebody = f"{WORDS.get(organization or '', 'plain')}-member"
            users: list[str | None] = [None]
            if "user" in names(route):
                users = [] if who == "house" else [own]
                users += [somebody] if "user" in route.in_path else [None, somebody]
            if organization is not None and route.row.operation in _OF_ONE:
                users = [None]
            for user in dict.fromkeys(users):
                yield Asking(who=who, organization=organization, user=user, made_in=made_in)


def expected(needs: Needs, asking: Asking, me: str | None) -> set[int]:
    """Statuses of a refusal; empty: it is allowed."""
    if asking.who in ("stranger", "key"):
        return {401}
    if asking.who == "house":
        return {404} if asking.organization == "nowhere" else set()
    itself = asking.user is not None and asking.user == me
    if asking.organization is None:
        return set() if itself and needs.personal else {403}
    if asking.organization != "acme" or asking.who not in ROLES:
        return {404}
    role = Role(asking.who)
    return set() if role in needs.roles or (itself and role in needs.own) else {403}


def leaks(told: Answered, asking: Asking) -> bool:
    """Whether an answer has a word of the other organization in it that the request did not have."""
    content = told.raw + repr(sorted(told.headers.items())).encode()
    return CANARY.encode() in content.replace((asking.user or "\0").encode(), b"")


async def test_every_route_for_every_role_and_organization(home: Home) -> None:
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    async with administered(f'[storage]\nurl = "{home.url}"\n' if home.url else "") as house:
        world = World(house)
        await world.build()
        routes = world.routes
        for route in routes:
            for asking in cases(world, route):
                told = await world.ask(route, asking)
                refused = expected(route.op.needs, asking, world.users[asking.who])
                case = f"{route.row.method} {route.row.path} {asking}: {told.status} {told.raw[:200]!r}"
                seen["refused" if refused else "allowed"] += 1
                if told.status not in (refused or {route.row.status}):
                    wrong.append(f"expected {refused or route.row.status}: {case}")
                if asking.who != "house" and leaks(told, asking):
                    wrong.append(f"leaks: {case}")
    assert not wrong, "\n".join([f"{len(wrong)} of {seen.total()}", *wrong[:40]])
    assert seen["allowed"] > 200
    assert seen["refused"] > 1000


async def test_what_is_another_organizations_is_not_reached_by_way_of_ones_own() -> None:
    """A request names the caller's organization, or the caller alone, and something of the other one."""
    wrong: list[str] = []
    async with administered() as house:
        world = World(house)
        await world.build()
        for route in world.routes:
            for who in (*ROLES, "outsider"):
                for organization, user in (("acme", None), ("acme", world.users[who]), (None, world.users[who])):
                    asking = Asking(who=who, organization=organization, user=user, made_in="blue")
                    request = await world.prepare(route, asking)
                    before = world.of_blue()
                    told = await world.send(who, request)
                    if leaks(told, asking):
                        wrong.append(f"leaks: {asking} {request} {told}")
                    if told.status < 300 and _ITEMS & set(route.in_path):
                        wrong.append(f"finds it: {asking} {request} {told}")
                    if world.of_blue() != before:
                        wrong.append(f"changes: {asking} {request} {told}")
                        world.join("blue")
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize(
    ("method", "path", "body", "may"),
    [
        ("GET", "", None, "owner admin member billing"),
        ("PATCH", "", {"name": "x"}, "owner admin"),
        ("GET", "/settings", None, "owner admin member billing"),
        ("PUT", "/settings", {}, "owner admin"),
        ("GET", "/members", None, "owner admin member billing"),
        ("PUT", "/members/outsider", {"role": "member"}, "owner admin"),
        ("PUT", "/members/outsider", {"role": "owner"}, "owner"),
        ("DELETE", "/members/plain-second", None, "owner"),
        ("POST", "/projects", {"name": "x"}, "owner admin"),
        ("GET", "/keys", None, "owner admin"),
        ("POST", "/keys", {"name": "x"}, "owner admin"),
        ("GET", "/accounts", None, "owner admin billing"),
        ("GET", "/entries", None, "owner admin billing"),
        ("GET", "/usage", None, "owner admin billing"),
        ("GET", "/requests", None, "owner admin billing"),
        ("GET", "/changes", None, "owner admin"),
        ("PUT", "/budgets", {"scope": "account:acme", "period": "day", "usd": "1"}, "owner admin"),
    ],
)
async def test_what_roles_mean(method: str, path: str, body: object, may: str) -> None:
    """The same in plain words, for what matters most."""
    async with administered() as house:
        world = World(house)
        await world.build()
        done = []
        for role in reversed(ROLES):
            told = await world.callers[role](method, f"/organizations/acme{path}", body, {"if-match": "*"})
            assert told.status in (200, 201, 403), told
            done += [role] if told.status != 403 else []
            world.join("acme")
        told = await world.callers["outsider"](method, f"/organizations/acme{path}", body, {"if-match": "*"})
    assert " ".join(reversed(done)) == may
    assert told.status == 404


async def test_every_change_keeps_its_answer_in_its_own_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no crash lies between them."""
    known: list[bool] = []
    complete = Keeping.complete

    async def noted(self: Keeping, writer: Writer, content: bytes) -> None:
        known.append(self.content == content)
        await complete(self, writer, content)

    monkeypatch.setattr(Keeping, "complete", noted)
    apart = []
    async with administered() as house:
        world = World(house)
        await world.build()
        for route in world.routes:
            if not route.op.changes:
                continue
            organization = "acme" if "organization" in route.in_path else None
            user = "plain-member" if "user" in route.in_path else None
            asking = Asking(who="house", organization=organization, user=user, made_in=organization)
            request = await world.prepare(route, asking)
            key = {"idempotency-key": f"k-{world.count}"}
            first = await world.send("house", request, key)
            changes = house.house.gateway.store.database.query("SELECT max(seq) FROM changes")[1]
            again = await world.send("house", request, key)
            assert (first.status, again.status, again.raw) == (route.row.status, route.row.status, first.raw), route
            assert again.headers["idempotent-replayed"] == "true"
            assert house.house.gateway.store.database.query("SELECT max(seq) FROM changes")[1] == changes
            if not known[-1] and not route.takes_key:
                apart.append(route.row.operation)
    assert apart == list(_UNKNOWN)
