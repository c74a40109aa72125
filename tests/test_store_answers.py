"""The same request again gets the same answer, whatever lay between."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, KeyReused, OperationError, StoreUnavailable
from trivium.store.answers import KEPT_MS, Answered, Keeping, told
from trivium.store.sql import Writing
from trivium.store.store import Store
from trivium.store.users import User

CREDENTIAL = "tva-" + "a" * 43
NOW = 1_795_600_000_000


def keeping(key: str = "k-1", question: bytes = b"POST /x", **other: Any) -> Keeping:
    given = {"credential": CREDENTIAL, "now_ms": NOW, "encode": encoded, **other}
    return Keeping(key=key, question=question, **{"believed_ms": given["now_ms"], **given})


def encoded(value: Any) -> bytes | None:
    return b"made " + value.id.encode() if isinstance(value, User) else None


async def add(store: Store, id: str, with_: Keeping | None) -> User:
    with with_.active() if with_ else contextlib.nullcontext():
        return await store.users.add(user(id), "operator")


def user(id: str) -> User:
    return User(id=id, name="A", created_ms=1)


def users(store: Store) -> list[str]:
    return [id for (id,) in rows(store.database, "SELECT id FROM users ORDER BY id")]


async def test_a_change_keeps_its_answer_and_is_not_made_again(store: Store) -> None:
    await add(store, "ann", keeping())
    with pytest.raises(Answered) as found:
        await add(store, "another", keeping())
    assert found.value.content == b"made ann"
    assert await keeping().find(store.database) == b"made ann"
    assert users(store) == ["ann"]


async def test_another_request_under_the_same_key_is_refused(store: Store) -> None:
    await add(store, "ann", keeping())
    with pytest.raises(KeyReused):
        await add(store, "bob", keeping(question=b"POST /y"))
    with pytest.raises(KeyReused):
        await keeping(question=b"POST /y").find(store.database)
    assert users(store) == ["ann"]


async def test_other_keys_and_other_callers_know_nothing_of_it(store: Store) -> None:
    await add(store, "ann", keeping())
    await add(store, "bob", keeping(key="k-2"))
    await add(store, "cat", keeping(credential="tva-" + "b" * 43))
    assert users(store) == ["ann", "bob", "cat"]


async def test_without_a_key_nothing_is_kept(store: Store) -> None:
    await add(store, "ann", None)
    assert rows(store.database, "SELECT id FROM answers") == []


async def test_of_many_at_once_one_is_made(store: Store) -> None:
    made = await asyncio.gather(*(add(store, f"u{n}", keeping()) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(one, User) for one in made) == 1
    assert {one.content for one in made if isinstance(one, Answered)} == {f"made {users(store)[0]}".encode()}


async def test_of_two_processes_at_once_one_is_made(home: Home, tmp_path: Path) -> None:
    if home.url is None:
        pytest.skip("an SQLite file has one owner")
    stores = [Store(tmp_path, SystemClock(), home.url) for _ in range(3)]
    try:
        for n in range(5):
            tried = [add(store, f"u{n}{m}", keeping(key=f"k-{n}")) for m, store in enumerate(stores)]
            made = await asyncio.gather(*tried, return_exceptions=True)
            assert sum(isinstance(one, User) for one in made) == 1, made
            assert all(isinstance(one, User | Answered | Conflict) for one in made), made
        assert len(users(stores[0])) == 5
    finally:
        for store in stores:
            await store.close()


async def test_a_refusal_is_not_kept(store: Store) -> None:
    await add(store, "ann", None)
    for _ in range(2):
        with pytest.raises(Conflict):
            await add(store, "ann", keeping())
    await add(store, "bob", keeping())
    assert users(store) == ["ann", "bob"]


async def test_a_change_that_is_lost_leaves_no_answer_and_the_other_way_round(store: Store) -> None:
    def act(tx: Writing) -> User:
        tx.execute("INSERT INTO blocked_domains (domain, created_ms) VALUES ('x', 1)")
        raise StoreUnavailable("the disk is gone")

    with keeping().active(), pytest.raises(StoreUnavailable):
        await store.ledger.writer.run(act)
    assert rows(store.database, "SELECT id FROM answers") == []
    await add(store, "ann", keeping())
    assert users(store) == ["ann"]


async def test_after_a_day_the_key_is_new(store: Store) -> None:
    await add(store, "ann", keeping())
    assert await keeping(now_ms=NOW + KEPT_MS - 1).find(store.database) == b"made ann"
    assert await keeping(now_ms=NOW + KEPT_MS).find(store.database) is None
    await add(store, "bob", keeping(now_ms=NOW + KEPT_MS))
    assert users(store) == ["ann", "bob"]
    assert len(rows(store.database, "SELECT id FROM answers")) == 1


async def test_an_answer_that_a_clock_far_ahead_has_left_is_kept_for_a_day_from_when_it_is_asked_for(
    store: Store,
) -> None:
    await add(store, "ann", keeping(now_ms=NOW + 400 * KEPT_MS))
    with pytest.raises(Answered):
        await add(store, "ann", keeping())
    assert await keeping().find(store.database) == b"made ann"
    assert await keeping(now_ms=NOW + KEPT_MS).find(store.database) is None


async def test_a_clock_that_is_ahead_takes_no_answer_away(store: Store) -> None:
    await add(store, "ann", keeping())
    await add(store, "bob", keeping("k-2"))
    ahead: dict[str, Any] = {"now_ms": NOW + 2 * KEPT_MS, "believed_ms": NOW}
    assert await keeping(**ahead).find(store.database) == b"made ann"
    with pytest.raises(Answered):
        await add(store, "ann", keeping(**ahead))
    assert await keeping("k-2").find(store.database) == b"made bob"


async def test_what_is_kept_tells_nobody_anything(store: Store) -> None:
    await add(store, "ann-canary", keeping(key="key-canary", question=b"question-canary"))
    ((*kept,),) = rows(store.database, "SELECT * FROM answers")
    raw = b"".join(bytes(value) for value in kept if not isinstance(value, int))
    for plain in (b"canary", b"made", CREDENTIAL.encode()):
        assert plain not in raw


async def test_a_damaged_one_is_no_answer(store: Store) -> None:
    await add(store, "ann", keeping())
    with store.database.transaction() as tx:
        tx.execute("UPDATE answers SET sealed = ?", (b"x" * 60,))
    with pytest.raises(Conflict, match="damaged"):
        await keeping().find(store.database)


async def test_what_is_answered_can_differ_from_what_the_change_returns(store: Store) -> None:
    with_ = keeping(encode=lambda value: b"told " + value)
    with with_.active():
        assert await told(lambda made: made.id.encode(), store.users.add(user("ann"), "operator")) == b"ann"
    assert await keeping().find(store.database) == b"told ann"


async def test_an_answer_is_kept_also_where_no_change_knew_it(store: Store) -> None:
    with_ = keeping(encode=lambda _: None)
    with with_.active():
        await store.users.add(user("ann"), "operator")
        with pytest.raises(Conflict, match="not there"):  # as it would be after a crash at this moment
            await keeping().find(store.database)
        with pytest.raises(Conflict, match="not there"):
            await add(store, "bob", keeping())
        await with_.complete(store.ledger.writer, b"told")
    assert await keeping().find(store.database) == b"told"
    assert users(store) == ["ann"]


async def test_what_changes_nothing_is_answered_once_too(store: Store) -> None:
    for content, found in ((b"first", None), (b"second", b"first")):
        with_ = keeping()
        with with_.active():
            if found is None:
                await with_.complete(store.ledger.writer, content)
                continue
            with pytest.raises(Answered) as again:
                await with_.complete(store.ledger.writer, content)
            assert again.value.content == found


async def test_an_operation_of_two_changes_keeps_the_last_answer(store: Store) -> None:
    with_ = keeping()
    with with_.active():
        await store.users.add(user("ann"), "operator")
        await store.users.add(user("bob"), "operator")
        with pytest.raises(OperationError):
            await store.users.add(user("bob"), "operator")
    assert await keeping().find(store.database) == b"made bob"


async def test_a_transaction_that_is_made_again_keeps_its_answer(store: Store) -> None:
    """What the database takes issue with is written op by op, after all of them were tried together."""

    def bad(tx: Writing) -> None:
        raise ZeroDivisionError

    with_ = keeping()
    with with_.active():
        adding = asyncio.create_task(store.users.add(user("ann"), "operator"))
    failing = asyncio.create_task(store.ledger.writer.run(bad))
    made = await asyncio.gather(adding, failing, return_exceptions=True)
    assert isinstance(made[0], User), made
    assert await keeping().find(store.database) == b"made ann"
