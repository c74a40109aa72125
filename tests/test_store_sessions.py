"""Sessions, links, passwords and identities, in both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support_clock import Ahead
from trivium.errors import Conflict, NotFound, OperationError
from trivium.policy.caller import Limits
from trivium.store.changes import Page
from trivium.store.sessions import SEEN_EVERY_MS, Sessions, Visit
from trivium.store.sql import Writing
from trivium.store.store import Store
from trivium.store.users import User

HOUR = 3_600_000
VISIT = Visit(way="link", agent="Firefox", address="192.0.2.1", lasts_ms=8 * HOUR)


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
async def store(store: Store) -> Store:
    for id in ("ann", "bob"):
        await store.users.add(
            User(id=id, name=id, email=f"{id}@one.example", limits=Limits(), created_ms=1), "operator"
        )
    return store


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return store.sessions


async def test_a_session_is_found_by_its_text_until_it_ends(sessions: Sessions, clock: Ahead) -> None:
    opened = await sessions.open("ann", VISIT)
    assert await sessions.find(opened.token, HOUR) == opened.session
    assert await sessions.find(opened.token + "x", HOUR) is None
    assert await sessions.find(opened.session.id, HOUR) is None
    assert opened.token not in str(sessions.database.query("SELECT * FROM sessions")[1])
    clock.ahead_ms = 8 * HOUR + 1
    assert await sessions.find(opened.token, 100 * HOUR) is None
    await sessions.open("bob", VISIT)
    assert len(sessions.database.query("SELECT id FROM sessions")[1]) == 1  # those that are over are not kept


async def test_it_ends_where_nobody_comes(sessions: Sessions, store: Store, clock: Ahead) -> None:
    opened = await sessions.open("ann", VISIT)
    clock.ahead_ms = HOUR - SEEN_EVERY_MS
    assert await sessions.find(opened.token, HOUR) is not None  # which is a visit
    await store.ledger.writer.flush()
    clock.ahead_ms = 2 * HOUR - 2 * SEEN_EVERY_MS
    assert await sessions.find(opened.token, HOUR) is not None
    await store.ledger.writer.flush()
    clock.ahead_ms = 4 * HOUR
    assert await sessions.find(opened.token, HOUR) is None
    assert await sessions.page(None, HOUR, Page()) == []


async def test_whoever_is_blocked_has_none_at_once(sessions: Sessions, store: Store) -> None:
    ann, bob = await sessions.open("ann", VISIT), await sessions.open("bob", VISIT)
    await store.users.block(["ann"], None, "operator")
    assert await sessions.find(ann.token, HOUR) is None
    assert [one.user_id for one in await sessions.page(None, HOUR, Page())] == ["bob"]
    with pytest.raises(OperationError, match="blocked"):
        await sessions.open("ann", VISIT)
    await store.users.block_domain("one.example", "operator", blocked=True)
    assert await sessions.find(bob.token, HOUR) is None


async def test_a_link_is_good_once_and_for_a_while(sessions: Sessions, clock: Ahead) -> None:
    house, late = await sessions.make_link(None, HOUR, "operator"), await sessions.make_link("ann", HOUR, "operator")
    opened = await sessions.open_by_link(house.token, VISIT)
    assert opened.session.user_id is None
    with pytest.raises(NotFound):
        await sessions.open_by_link(house.token, VISIT)
    clock.ahead_ms = HOUR + 1
    with pytest.raises(NotFound):
        await sessions.open_by_link(late.token, VISIT)
    with pytest.raises(NotFound):
        await sessions.make_link("nobody", HOUR, "operator")


async def test_a_link_that_is_none_costs_no_transaction(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    async def change(_: object) -> None:
        raise AssertionError("written, and all that is known of callers forgotten")

    monkeypatch.setattr(sessions, "change", change)
    with pytest.raises(NotFound):
        await sessions.open_by_link("tvl-guessed", VISIT)


async def test_a_link_of_somebody_blocked_is_not_used_up_for_nothing(sessions: Sessions, store: Store) -> None:
    link = await sessions.make_link("ann", HOUR, "operator")
    await store.users.block(["ann"], None, "operator")
    with pytest.raises(OperationError, match="blocked"):
        await sessions.open_by_link(link.token, VISIT)
    await store.users.set("ann", "operator", "users.unblock", blocked_ms=None, blocked_why=None)
    assert (await sessions.open_by_link(link.token, VISIT)).session.user_id == "ann"


async def test_nobody_ends_what_is_not_theirs(sessions: Sessions) -> None:
    ann = await sessions.open("ann", VISIT)
    with pytest.raises(NotFound):
        await sessions.end(ann.session.id, "bob", "bob")
    await sessions.end(ann.session.id, "ann", "ann")
    assert await sessions.find(ann.token, HOUR) is None


async def test_a_password_ends_all_links(sessions: Sessions) -> None:
    ann, bob = [await sessions.make_link(id, HOUR, "operator") for id in ("ann", "bob")]
    await sessions.set_password("ann", "hash", "ann", None)
    with pytest.raises(NotFound):
        await sessions.open_by_link(ann.token, VISIT)
    assert (await sessions.open_by_link(bob.token, VISIT)).session.user_id == "bob"


async def test_a_password_ends_all_other_sessions(sessions: Sessions) -> None:
    here, there, bob = [await sessions.open(id, VISIT) for id in ("ann", "ann", "bob")]
    await sessions.set_password("ann", "hash", "ann", here.session.id)
    assert await sessions.password("ann") == await sessions.password("ANN@one.example") == ("ann", "hash")
    assert await sessions.password("bob") is None
    found = [await sessions.find(one.token, HOUR) is not None for one in (here, there, bob)]
    assert found == [True, False, True]


async def test_an_identity_stays_whose_it_was_first(sessions: Sessions, store: Store) -> None:
    assert await sessions.identified("https://id", "s1", None) is None
    assert await sessions.identified("https://id", "s1", "Ann@one.example") == "ann"
    assert await sessions.identified("https://id", "s1", "bob@one.example") == "ann"
    assert await sessions.identified("https://other", "s1", None) is None
    newcomer = User(id="eve", name="Eve", created_ms=1)
    assert await sessions.identified("https://id", "s1", None, newcomer) == "ann"


async def test_of_many_who_come_at_once_with_an_identity_one_becomes_a_user(sessions: Sessions, store: Store) -> None:
    async def come(n: int) -> str | None:
        return await sessions.identified("https://id", "s1", None, User(id=f"eve{n}", name="Eve", created_ms=1))

    (id,) = set(await asyncio.gather(*map(come, range(6))))
    assert [user.id for user in await store.users.page(Page()) if user.name == "Eve"] == [id]


async def test_of_two_gateways_one_makes_the_user(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    won, change = User(id="eve1", name="Eve", created_ms=1), sessions.change

    async def late(act: Callable[[Writing], Any]) -> Any:
        monkeypatch.setattr(sessions, "change", change)
        await sessions.identified("https://id", "s1", None, won)
        raise Conflict("Somebody else has just changed the same; try again.")

    monkeypatch.setattr(sessions, "change", late)
    assert await sessions.identified("https://id", "s1", None, User(id="eve2", name="Eve", created_ms=1)) == "eve1"


async def test_the_log_says_who_and_not_from_where(sessions: Sessions) -> None:
    opened = await sessions.open("ann", VISIT)
    await sessions.end(opened.session.id, "ann", "ann")
    log = str(sessions.database.query("SELECT actor, action, target, before, after FROM changes")[1])
    assert "sessions.open" in log
    assert "sessions.end" in log
    assert "Firefox" not in log
    assert "192.0.2.1" not in log
    assert opened.token not in log


async def test_a_session_gets_another_text_when_rights_change_and_no_other_way(sessions: Sessions) -> None:
    opened = await sessions.open("ann", VISIT)
    id = opened.session.id
    for rights in ("little", "little"):
        assert not await sessions.is_stale(id, rights)  # the first look writes down what there is
        with pytest.raises(NotFound):
            await sessions.renew(id, rights, "ann")
    assert await sessions.is_stale(id, "much")
    renewed = await sessions.renew(id, "much", "ann")
    assert renewed.session == opened.session
    assert await sessions.find(opened.token, HOUR) is None
    assert await sessions.find(renewed.token, HOUR) == renewed.session
    assert not await sessions.is_stale(id, "much")
    with pytest.raises(NotFound):  # who comes second
        await sessions.renew(id, "much", "ann")
    await sessions.set_password("ann", "hash", "ann", id)
    assert await sessions.is_stale(id, "much")
    assert not await sessions.is_stale("ses_nobody", "much")


@pytest.mark.parametrize("how", ["user", "domain"])
async def test_who_was_blocked_is_signed_in_no_more(sessions: Sessions, store: Store, how: str) -> None:
    opened, other = await sessions.open("ann", VISIT), await sessions.open("bob", VISIT)
    if how == "user":
        await store.users.block(["ann"], None, "operator")
        await store.users.set("ann", "operator", "users.unblock", blocked_ms=None)
        assert await sessions.find(other.token, HOUR) is not None
    else:
        await store.users.block_domain("one.example", "operator", blocked=True)
        await store.users.block_domain("one.example", "operator", blocked=False)
        assert await sessions.find(other.token, HOUR) is None
    assert await sessions.find(opened.token, HOUR) is None
