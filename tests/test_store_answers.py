"""The same request again gets the same answer, whatever lay between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, KeyReused, OperationError, StoreUnavailable
from trivium.store import answers
from trivium.store.answers import KEEPING, KEPT_MS, Answered, Keeping
from trivium.store.sql import Writing
from trivium.store.store import Store
from trivium.store.users import User

CREDENTIAL = "tva-" + "a" * 43
NOW = 1_795_600_000_000


@pytest.fixture
async def store(home: Home, tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path, SystemClock(), home.url)
    yield made
    await made.close()


def keeping(key: str = "k-1", question: bytes = b"POST /x", **other: Any) -> Keeping:
    given = {"credential": CREDENTIAL, "now_ms": NOW, "encode": lambda value: b"made " + value.id.encode(), **other}
    return Keeping(key=key, question=question, **given)


async def add(store: Store, id: str, with_: Keeping | None) -> User:
    KEEPING.set(with_)
    try:
        return await store.users.add(User(id=id, name="A", created_ms=1), "operator")
    finally:
        KEEPING.set(None)


def users(store: Store) -> list[str]:
    return [id for (id,) in rows(store.database, "SELECT id FROM users ORDER BY id")]


async def test_a_change_keeps_its_answer_and_is_not_made_again(store: Store) -> None:
    await add(store, "ann", keeping())
    with pytest.raises(Answered) as found:
        await add(store, "another", keeping())
    assert found.value.content == b"made ann"
    assert await answers.find(store.database, keeping()) == b"made ann"
    assert users(store) == ["ann"]


async def test_another_request_under_the_same_key_is_refused(store: Store) -> None:
    await add(store, "ann", keeping())
    with pytest.raises(KeyReused):
        await add(store, "bob", keeping(question=b"POST /y"))
    with pytest.raises(KeyReused):
        await answers.find(store.database, keeping(question=b"POST /y"))
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
    told = {f"made {one.id}".encode() if isinstance(one, User) else one.content for one in made}  # type: ignore[union-attr]
    assert sum(isinstance(one, User) for one in made) == 1
    assert told == {f"made {users(store)[0]}".encode()}


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

    KEEPING.set(keeping())
    with pytest.raises(StoreUnavailable):
        await answers.change(store.ledger.writer, act)
    KEEPING.set(None)
    assert rows(store.database, "SELECT id FROM answers") == []
    await add(store, "ann", keeping())
    assert users(store) == ["ann"]


async def test_after_a_day_the_key_is_new(store: Store) -> None:
    await add(store, "ann", keeping())
    assert await answers.find(store.database, keeping(now_ms=NOW + KEPT_MS - 1)) == b"made ann"
    assert await answers.find(store.database, keeping(now_ms=NOW + KEPT_MS)) is None
    await add(store, "bob", keeping(now_ms=NOW + KEPT_MS))
    assert users(store) == ["ann", "bob"]
    assert len(rows(store.database, "SELECT id FROM answers")) == 1


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
        await answers.find(store.database, keeping())


async def test_what_is_answered_can_differ_from_what_the_change_returns(store: Store) -> None:
    with_ = keeping(encode=lambda value: b"told " + value)
    KEEPING.set(with_)
    adding = store.users.add(User(id="ann", name="A", created_ms=1), "operator")
    assert await answers.told(lambda user: user.id.encode(), adding) == b"ann"
    await answers.complete(store.ledger.writer, with_, b"told ann")
    KEEPING.set(None)
    assert (with_.kept, await answers.find(store.database, keeping())) == (b"told ann", b"told ann")


async def test_an_answer_is_kept_also_where_no_change_did(store: Store) -> None:
    KEEPING.set(with_ := keeping())
    await answers.complete(store.ledger.writer, with_, b"told")
    KEEPING.set(again := keeping())
    with pytest.raises(Answered):
        await answers.complete(store.ledger.writer, again, b"other")
    KEEPING.set(None)
    assert await answers.find(store.database, keeping()) == b"told"


async def test_a_refusal_behind_a_first_change_leaves_the_first_answer(store: Store) -> None:
    KEEPING.set(with_ := keeping())
    await store.users.add(User(id="ann", name="A", created_ms=1), "operator")
    with pytest.raises(OperationError):
        await store.users.add(User(id="ann", name="A", created_ms=1), "operator")
    KEEPING.set(None)
    assert with_.kept == await answers.find(store.database, keeping()) == b"made ann"
