"""Users in the database, and the domains whose users are blocked."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from support_store import PostgresServer, rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, NotFound
from trivium.policy.caller import Limits
from trivium.store import users as module
from trivium.store.changes import Page
from trivium.store.organizations import OrganizationRow
from trivium.store.sql import Writing
from trivium.store.store import Store
from trivium.store.users import User, domain_of

ANN = User(id="ann", name="Ann", email="ann@one.example", limits=Limits(requests_per_minute=3), created_ms=5)
BOB = User(id="bob", name="Bob", staff=True, created_ms=6)


@pytest.fixture
async def store(store: Store) -> Store:
    await store.users.add(ANN, "op")
    await store.users.add(BOB, "op")
    return store


def log(store: Store) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in rows(store.database, "SELECT action, target FROM changes ORDER BY seq")]


async def test_users_come_back_as_they_were_with_accounts_of_their_own(store: Store) -> None:
    assert await store.users.get("ann") == ANN
    assert await store.users.page(Page()) == [ANN, BOB]
    assert await store.users.page(Page(after="ann", limit=1)) == [BOB]
    assert await store.users.page(Page(), "ann@one.example") == [ANN]
    accounts = rows(store.database, "SELECT id, kind, name FROM accounts ORDER BY id")
    assert accounts == [("ann", "user", "Ann"), ("bob", "user", "Bob")]
    assert log(store) == [("users.create", "ann"), ("users.create", "bob")]


@pytest.mark.parametrize(
    "double", [User(id="ann", name="x", created_ms=1), User(id="x", name="x", email="ann@one.example", created_ms=1)]
)
async def test_an_id_and_an_address_are_one_users(store: Store, double: User) -> None:
    with pytest.raises(Conflict):
        await store.users.add(double, "op")
    assert len(log(store)) == 2


async def test_users_and_organizations_share_no_account(store: Store) -> None:
    with pytest.raises(Conflict, match="is a user"):
        await store.organizations.add(OrganizationRow(id="ann", name="x", created_ms=1), None, "op")
    await store.organizations.add(OrganizationRow(id="acme", name="x", created_ms=1), None, "op")
    with pytest.raises(Conflict, match="the house's"):
        await store.users.add(User(id="default", name="x", created_ms=1), "op")
    with pytest.raises(Conflict, match="the house's"):
        await store.organizations.add(OrganizationRow(id="default", name="x", created_ms=1), None, "op")
    with pytest.raises(Conflict, match="is an organization"):
        await store.users.add(User(id="acme", name="x", created_ms=1), "op")


async def test_a_change_is_in_the_log_with_what_was_before(store: Store) -> None:
    changed = await store.users.set("bob", "adm", "users.set", name="Robert", email="bob@one.example")
    assert (changed.name, changed.staff) == ("Robert", True)
    assert await store.users.set("bob", "adm", "users.set", name="Robert") == changed
    ((actor, before, after),) = rows(
        store.database, "SELECT actor, before, after FROM changes WHERE action = 'users.set'"
    )
    assert (actor, '"name":"Bob"' in before, '"name":"Robert"' in after) == ("adm", True, True)
    with pytest.raises(Conflict):
        await store.users.set("bob", "adm", "users.set", email="ann@one.example")
    for missing in (store.users.get("x"), store.users.set("x", "adm", "users.set", name="y")):
        with pytest.raises(NotFound):
            await missing


class TestBlock:
    async def test_all_or_none_are_blocked(self, store: Store) -> None:
        with pytest.raises(NotFound, match="'nobody'"):
            await store.users.block(["ann", "bob", "nobody"], None, "op")
        assert [user.blocked_ms for user in await store.users.page(Page())] == [None, None]
        assert await store.users.block(["ann", "bob"], "spam", "op") == 2
        assert [user.blocked_why for user in await store.users.page(Page())] == ["spam", "spam"]
        assert await store.users.block(["ann"], "again", "op") == 0
        assert (await store.users.get("ann")).blocked_why == "spam"
        assert log(store)[2:] == [("users.block", "ann"), ("users.block", "bob")]

    async def test_a_domain_is_blocked_once(self, store: Store) -> None:
        for _ in range(2):
            await store.users.block_domain("one.example", "op", blocked=True)
        assert await store.users.blocked_domains(Page()) == ["one.example"]
        assert await store.users.blocked_domains(Page(after="one.example")) == []
        for _ in range(2):
            await store.users.block_domain("one.example", "op", blocked=False)
        assert await store.users.blocked_domains(Page()) == []
        assert log(store)[2:] == [("domains.block", "one.example"), ("domains.unblock", "one.example")]

    async def test_callers_are_blocked_with_the_user_or_the_domain(self, store: Store) -> None:
        _, key = store.keys.create("k", user_id="ann", account_id="ann")

        async def is_blocked() -> bool:
            found = await store.keys.find(key)
            assert found
            return found.blocked

        assert not await is_blocked()
        await store.users.block(["ann"], None, "op")
        assert await is_blocked()
        await store.users.set("ann", "op", "users.unblock", blocked_ms=None)
        assert not await is_blocked()
        await store.users.block_domain("one.example", "op", blocked=True)
        assert await is_blocked()
        await store.users.set("ann", "op", "users.set", email="ann@two.example")
        assert not await is_blocked()


async def test_of_two_gateways_changes_to_a_user_neither_undoes_the_other(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(postgres.create("newest"))
    one, other = (Store(tmp_path, SystemClock(), url) for _ in range(2))
    await one.users.add(ANN, "op")
    read, go, found_user = threading.Event(), threading.Event(), module.found_user

    def and_wait(tx: Writing, id: str) -> User:
        user = found_user(tx, id)
        if not read.is_set():
            read.set()
            go.wait(30)
        return user

    monkeypatch.setattr(module, "found_user", and_wait)
    renaming = asyncio.create_task(one.users.set("ann", "op", "users.set", name="Anna"))
    await asyncio.to_thread(read.wait, 30)
    blocking = asyncio.create_task(other.users.block(["ann"], "spam", "op"))
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
    while not (blocking.done() or rows(one.database, waiting)):  # noqa: ASYNC110 # locks have no event
        await asyncio.sleep(0.01)
    go.set()
    await asyncio.gather(renaming, blocking)
    ann = await one.users.get("ann")
    assert (ann.name, ann.blocked_why) == ("Anna", "spam")
    for store in (one, other):
        await store.close()


async def test_all_keys_of_a_user_end_in_one_step(store: Store) -> None:
    own, other = store.keys.create("k", user_id="ann")[1], store.keys.create("k", user_id="bob")[1]
    of_acme = store.keys.create("k", user_id="ann", account_id="acme")[1]
    assert len(await store.users.revoke_keys("ann", "op")) == 2
    assert await store.users.revoke_keys("ann", "op") == []
    assert [await store.keys.find(key) is None for key in (own, of_acme, other)] == [True, True, False]
    with pytest.raises(NotFound):
        await store.users.revoke_keys("nobody", "op")


def test_a_domain_is_what_stands_behind_the_last_at() -> None:
    assert [domain_of(email) for email in (None, "", "a@B.Example", '"a@b"@c.example')] == [
        None,
        None,
        "b.example",
        "c.example",
    ]
