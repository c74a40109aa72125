"""API keys at rest: found by their text, kept without it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support_store import Home, caller, revoke, rows
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.policy.caller import Caller
from trivium.store import keys as module
from trivium.store.keys import KeyStore
from trivium.store.sql import Database, Row


class Ticking(SystemClock):
    """Every look at it is a millisecond later."""

    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000


class Counting:
    """A database that notes the look-ups of requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    async def ask(self, statement: str, values: Row = ()) -> list[Row]:
        self.asked += 1
        return await self._database.ask(statement, values)


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def counting(database: Database) -> Counting:
    return Counting(database)


@pytest.fixture
def keys(counting: Counting, clock: Ticking) -> KeyStore:
    return KeyStore(counting, b"p" * 32, clock)  # type: ignore[arg-type] # the rest of it is the database's


def lose(database: Database) -> None:
    """Makes every question about keys fail."""
    with database.transaction() as tx:
        tx.execute("ALTER TABLE keys RENAME TO gone")


async def test_a_new_key_is_found_by_its_text_and_by_nothing_else(keys: KeyStore) -> None:
    key, text = keys.create("laptop")
    assert await keys.find(text) == caller(key)
    assert (key.name, key.hint, key.revoked_ms) == ("laptop", text[-4:], None)
    for other in ("", text[:-1], text + "x", text.swapcase(), key.id, "tv-\xff"):
        assert await keys.find(other) is None


def test_no_key_can_be_read_from_the_database(home: Home, tmp_path: Path, database: Database, keys: KeyStore) -> None:
    texts = [keys.create("k")[1] for _ in range(20)]
    kept = repr(rows(database, "SELECT * FROM keys")).encode()
    kept += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    if home.dialect == "sqlite":
        rows(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        kept += (tmp_path / "trivium.db").read_bytes()
    for text in texts:
        for part in (text, text[3:-4], text[-20:]):
            assert part.encode() not in kept


async def test_a_store_without_its_pepper_opens_no_door(database: Database, keys: KeyStore, clock: Ticking) -> None:
    _, text = keys.create("laptop")
    assert await KeyStore(database, b"q" * 32, clock).find(text) is None


async def test_keys_outlive_the_process(database: Database, keys: KeyStore, clock: Ticking) -> None:
    key, text = keys.create("laptop")
    assert await KeyStore(database, b"p" * 32, clock).find(text) == caller(key)


class TestRevoke:
    async def test_it_is_effective_at_once_and_for_good(
        self, database: Database, keys: KeyStore, clock: Ticking
    ) -> None:
        key, text = keys.create("laptop")
        assert await keys.find(text)
        revoke(keys, key.id)
        assert await keys.find(text) is None
        assert await KeyStore(database, b"p" * 32, clock).find(text) is None
        assert keys.is_known(text)

    async def test_the_others_go_on(self, keys: KeyStore) -> None:
        _, staying = keys.create("a")
        gone, _ = keys.create("b")
        revoke(keys, gone.id)
        assert await keys.find(staying)


def test_the_list_is_oldest_first_with_the_revoked_ones(keys: KeyStore) -> None:
    for name in ("c", "a", "b"):
        made, _ = keys.create(name)
        if name == "a":
            revoke(keys, made.id)
    assert [(key.name, key.revoked_ms is None) for key in keys.list()] == [("c", True), ("a", False), ("b", True)]


class TestCache:
    async def test_a_key_in_use_costs_no_look_up_and_no_pause(self, keys: KeyStore, counting: Counting) -> None:
        key, text = keys.create("laptop")
        await keys.find(text)
        counting.asked = 0
        with pytest.raises(StopIteration) as ended:
            keys.find(text).send(None)
        assert ended.value.value == caller(key)
        assert counting.asked == 0

    async def test_the_key_longest_out_of_use_is_forgotten_and_still_works(
        self, keys: KeyStore, counting: Counting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_CACHED", 2)
        first, second, third = (keys.create("k")[1] for _ in range(3))
        for text in (first, second, first, third):
            assert await keys.find(text)
        counting.asked = 0
        assert await keys.find(first)
        assert await keys.find(third)
        assert counting.asked == 0
        assert await keys.find(second)
        assert counting.asked == 1

    async def test_guesses_take_no_memory(self, keys: KeyStore) -> None:
        for n in range(100):
            await keys.find(f"tv-{n}")
        assert not keys._cache

    async def test_callers_with_one_key_share_a_look_up_where_it_takes_a_while(
        self, database: Database, keys: KeyStore, counting: Counting
    ) -> None:
        key, text = keys.create("laptop")
        found = await asyncio.gather(*(keys.find(text) for _ in range(50)))
        assert found == [caller(key)] * 50
        assert counting.asked == 1

    async def test_a_caller_who_leaves_takes_nobody_along(self, keys: KeyStore) -> None:
        key, text = keys.create("laptop")
        leaving, staying = (asyncio.create_task(keys.find(text)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == caller(key)


class TestAnotherGateway:
    """Which revokes a key that this one has in memory."""

    async def test_a_shared_database_is_believed_for_half_a_second(
        self, home: Home, keys: KeyStore, clock: Ticking
    ) -> None:
        key, text = keys.create("laptop")
        assert await keys.find(text)
        revoke(KeyStore(home.open(), b"p" * 32, clock), key.id)
        clock.ms += 501
        found = await keys.find(text)
        assert (found is None) == (home.dialect == "postgres")

    async def test_a_key_that_is_still_good_costs_a_look_up_each_time(
        self, home: Home, keys: KeyStore, clock: Ticking, counting: Counting
    ) -> None:
        _, text = keys.create("laptop")
        for _ in range(3):
            clock.ms += 501
            assert await keys.find(text)
            assert await keys.find(text)
        assert counting.asked == (3 if home.dialect == "postgres" else 1)

    async def test_what_was_read_before_a_revocation_is_not_kept(self, keys: KeyStore, counting: Counting) -> None:
        key, text = keys.create("laptop")
        answer = counting._database.ask

        async def slowly(statement: str, values: Row = ()) -> list[Row]:
            found = await answer(statement, values)
            await asyncio.to_thread(revoke, keys, key.id)
            return found

        counting.ask = slowly  # type: ignore[method-assign]
        assert await keys.find(text) == caller(key)
        counting.ask = answer  # type: ignore[method-assign]
        assert await keys.find(text) is None


class TestLatelyGood:
    """Which spares a key the limit of guesses."""

    async def test_whatever_has_changed_since(self, keys: KeyStore, clock: Ticking) -> None:
        (_, text), (_, unused) = keys.create("laptop"), keys.create("unused")
        assert not keys.lately_good(text)
        assert await keys.find(text)
        keys.forget()
        clock.ms += 3_600_000
        assert keys.known(text) is None
        assert keys.lately_good(text)
        assert not keys.lately_good(unused) and not keys.lately_good("tv-made-up")

    async def test_until_it_is_found_to_be_revoked(self, keys: KeyStore) -> None:
        key, text = keys.create("laptop")
        assert await keys.find(text)
        revoke(keys, key.id)
        assert keys.lately_good(text)
        assert await keys.find(text) is None
        assert not keys.lately_good(text)

    async def test_until_it_expires(self, keys: KeyStore, clock: Ticking) -> None:
        _, text = keys.create("laptop", expires_ms=clock.ms + 100)
        assert await keys.find(text)
        assert keys.lately_good(text)
        clock.ms += 100
        assert not keys.lately_good(text)

    async def test_another_kind_of_credential_too(self, keys: KeyStore) -> None:
        key, _ = keys.create("laptop")
        found: list[Caller | None] = [caller(key), None]

        async def look_up() -> Caller | None:
            return found.pop(0)

        assert await keys.remembered("a.b.c", look_up) == caller(key)
        keys.forget()
        assert keys.lately_good("a.b.c")
        assert await keys.remembered("a.b.c", look_up) is None
        assert not keys.lately_good("a.b.c")


def test_a_key_is_somebodys(keys: KeyStore) -> None:
    made, _ = keys.create("k", strict=True, account_id="acct_1", user_id="user_1", project_id="p")
    assert (made.account_id, made.user_id, made.project_id, made.strict) == ("acct_1", "user_1", "p", True)
    assert keys.list() == [made]


class TestAStoreThatFails:
    async def test_it_is_unavailable_and_not_a_wrong_key(
        self, database: Database, keys: KeyStore, clock: Ticking
    ) -> None:
        _, used = keys.create("used")
        _, unused = keys.create("unused")
        await keys.find(used)
        lose(database)
        assert await keys.find(used)
        with pytest.raises(StoreUnavailable):
            await keys.find(unused)
        with pytest.raises(StoreUnavailable):
            keys.create("new")

    @pytest.mark.parametrize("act", ["list", "is_known"])
    def test_the_operators_questions_fail_in_the_same_words(self, database: Database, keys: KeyStore, act: str) -> None:
        lose(database)
        with pytest.raises(StoreUnavailable):
            getattr(keys, act)(*([] if act == "list" else ["x"]))
