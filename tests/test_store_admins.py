"""Credentials of operators: good while they live, whoever changed that."""

from __future__ import annotations

from pathlib import Path

import pytest

from support_clock import Ahead
from support_store import Home, rows
from trivium import ids
from trivium.clock import SystemClock
from trivium.errors import NotFound
from trivium.policy.caller import Role
from trivium.store.changes import Page, changes
from trivium.store.organizations import OrganizationRow
from trivium.store.store import Store
from trivium.store.users import User


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


async def someone(store: Store) -> None:
    await store.users.add(User(id="ann", name="Ann", email="ann@example.com", created_ms=1), "operator")


async def test_its_text_is_shown_once_and_only_a_keyed_hash_is_kept(store: Store) -> None:
    made = await store.admins.add("laptop", None, None, "operator")
    assert made.credential.startswith("tva-")
    assert len(made.credential) == 4 + 43
    assert not made.credential.startswith(ids.KEY_PREFIX)
    found = await store.admins.find(made.credential)
    assert found is not None
    assert (found.id, found.name, found.hint, found.user_id) == (made.id, "laptop", made.credential[-4:], None)
    everything = repr([rows(store.database, f"SELECT * FROM {table}") for table in ("admins", "changes")])
    assert made.credential not in everything
    assert made.credential[4:-4] not in everything


async def test_what_is_none_is_not_found(store: Store) -> None:
    made = await store.admins.add("laptop", None, None, "operator")
    for text in ("", "tva-", made.credential + "0", made.credential[:-1], ids.new_admin_credential(), "ü\udcff"):
        assert await store.admins.find(text) is None


async def test_a_revoked_one_is_none_at_once(store: Store) -> None:
    made = await store.admins.add("laptop", None, None, "operator")
    assert await store.admins.find(made.credential)
    ended = await store.admins.revoke(made.id, "adm_x")
    assert ended.revoked_ms is not None
    assert await store.admins.find(made.credential) is None
    assert (await store.admins.revoke(made.id, "adm_x")).revoked_ms == ended.revoked_ms
    with pytest.raises(NotFound):
        await store.admins.revoke("adm_none", "operator")


async def test_what_one_process_ends_is_none_for_another(store: Store, home: Home, tmp_path: Path) -> None:
    if home.url is None:
        pytest.skip("an SQLite file has one owner")
    other = Store(tmp_path, SystemClock(), home.url)
    made = await store.admins.add("laptop", None, None, "operator")
    assert await other.admins.find(made.credential)
    await store.admins.revoke(made.id, "operator")
    assert await other.admins.find(made.credential) is None
    await other.close()


async def test_one_that_expires_does(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, Ahead)
    made = await store.admins.add("laptop", None, clock.now_ms() + 60_000, "operator")
    assert await store.admins.find(made.credential)
    clock.ahead_ms = 60_000
    assert await store.admins.find(made.credential) is None


async def test_one_of_a_user_has_the_users_roles_of_this_moment(store: Store) -> None:
    await someone(store)
    for id in ("acme", "blue"):
        await store.organizations.add(OrganizationRow(id=id, name=id, created_ms=1), "ann", "operator")
    made = await store.admins.add("ann's", "ann", None, "operator")
    found = await store.admins.find(made.credential)
    assert found is not None
    assert found.user_id == "ann"
    assert await store.admins.roles("ann") == ({"acme": Role.OWNER, "blue": Role.OWNER}, frozenset())
    with store.database.transaction() as tx:
        tx.execute("UPDATE memberships SET role = 'billing' WHERE organization_id = 'acme'")
    assert await store.admins.roles("ann") == ({"acme": Role.BILLING, "blue": Role.OWNER}, frozenset())
    with store.database.transaction() as tx:
        tx.execute("UPDATE memberships SET accepted_ms = NULL WHERE organization_id = 'blue'")
    assert await store.admins.roles("ann") == ({"acme": Role.BILLING}, frozenset({"blue"}))


async def test_one_of_a_blocked_user_is_none(store: Store) -> None:
    await someone(store)
    made = await store.admins.add("ann's", "ann", None, "operator")
    await store.users.block(["ann"], "fraud", "operator")
    assert await store.admins.find(made.credential) is None
    await store.users.set("ann", "operator", "users.unblock", blocked_ms=None, blocked_why=None)
    assert await store.admins.find(made.credential)
    await store.users.block_domain("example.com", "operator", blocked=True)
    assert await store.admins.find(made.credential) is None


async def test_nobody_has_one_who_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.admins.add("x", "nobody", None, "operator")
    assert await store.admins.page(Page()) == []


async def test_they_are_listed_and_every_change_is_in_the_log(store: Store) -> None:
    made = [await store.admins.add(f"n{n}", None, None, "operator") for n in range(3)]
    await store.admins.revoke(made[0].id, "adm_9")
    wanted = sorted(one.id for one in made)
    assert [one.id for one in await store.admins.page(Page(limit=2))] == wanted[:2]
    assert [one.id for one in await store.admins.page(Page(after=wanted[1]))] == wanted[2:]
    log = await changes(store.database, None, 2**53, 10)
    assert [(line["actor"], line["action"], line["target"]) for line in log] == [
        ("adm_9", "admins.revoke", made[0].id),
        *(("operator", "admins.create", one.id) for one in reversed(made)),
    ]
    assert "credential" not in log[-1]["after"]
