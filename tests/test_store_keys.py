"""API keys at rest: found by their text, kept without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivium.clock import SystemClock
from trivium.errors import OperationError, StoreUnavailable
from trivium.store import keys as module
from trivium.store.database import connect, migrate
from trivium.store.keys import KeyStore, read_pepper


class Ticking(SystemClock):
    """Every look at it is a millisecond later."""

    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = connect(tmp_path / "trivium.db")
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def keys(connection: sqlite3.Connection) -> KeyStore:
    return KeyStore(connection, b"p" * 32, Ticking())


def test_a_new_key_is_found_by_its_text_and_by_nothing_else(keys: KeyStore) -> None:
    key, text = keys.create("laptop")
    assert keys.find(text) == key
    assert (key.name, key.hint, key.revoked_ms) == ("laptop", text[-4:], None)
    for other in ("", text[:-1], text + "x", text.swapcase(), key.id, "tv-\xff"):
        assert keys.find(other) is None


def test_no_key_can_be_read_from_the_files(tmp_path: Path, connection: sqlite3.Connection, keys: KeyStore) -> None:
    texts = [keys.create("k")[1] for _ in range(20)]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for text in texts:
        assert text.encode() not in kept
        assert text[3:-4].encode() not in kept
        assert text[-20:].encode() not in kept


def test_a_store_without_its_pepper_opens_no_door(connection: sqlite3.Connection, keys: KeyStore) -> None:
    _, text = keys.create("laptop")
    assert KeyStore(connection, b"q" * 32, Ticking()).find(text) is None


def test_keys_outlive_the_process(connection: sqlite3.Connection, keys: KeyStore) -> None:
    key, text = keys.create("laptop")
    assert KeyStore(connection, b"p" * 32, Ticking()).find(text) == key


class TestRevoke:
    def test_it_is_effective_at_once_and_for_good(self, connection: sqlite3.Connection, keys: KeyStore) -> None:
        key, text = keys.create("laptop")
        assert keys.find(text)
        ended = keys.revoke(key.id)
        assert ended.revoked_ms
        assert ended.revoked_ms > key.created_ms
        assert keys.find(text) is None
        assert KeyStore(connection, b"p" * 32, Ticking()).find(text) is None
        assert keys.is_known(text)
        assert keys.list() == [ended]

    def test_a_name_will_do_where_one_live_key_has_it(self, keys: KeyStore) -> None:
        first, _ = keys.create("laptop")
        second, _ = keys.create("laptop")
        with pytest.raises(OperationError, match="2 live keys have the id or name 'laptop'"):
            keys.revoke("laptop")
        keys.revoke(first.id)
        assert keys.revoke("laptop").id == second.id
        for gone in ("laptop", first.id, "nobody", ""):
            with pytest.raises(OperationError, match="No live key has"):
                keys.revoke(gone)

    def test_an_id_means_its_key_even_where_another_is_named_so(self, keys: KeyStore) -> None:
        first, text = keys.create("laptop")
        keys.create(first.id)
        assert keys.revoke(first.id).name == "laptop"
        assert keys.find(text) is None

    def test_the_others_go_on(self, keys: KeyStore) -> None:
        _, staying = keys.create("a")
        gone, _ = keys.create("b")
        keys.revoke(gone.id)
        assert keys.find(staying)


def test_the_list_is_oldest_first_with_the_revoked_ones(keys: KeyStore) -> None:
    for name in ("c", "a", "b"):
        keys.create(name)
    keys.revoke("a")
    assert [(key.name, key.revoked_ms is None) for key in keys.list()] == [("c", True), ("a", False), ("b", True)]


class TestCache:
    @pytest.fixture
    def asked(self, connection: sqlite3.Connection, keys: KeyStore) -> list[str]:
        """The statements that reached the database."""
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        return statements

    def test_a_key_in_use_costs_no_look_up(self, keys: KeyStore, asked: list[str]) -> None:
        _, text = keys.create("laptop")
        keys.find(text)
        asked.clear()
        assert keys.find(text)
        assert asked == []

    def test_the_key_longest_out_of_use_is_forgotten_and_still_works(
        self, keys: KeyStore, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_CACHED", 2)
        first, second, third = (keys.create("k")[1] for _ in range(3))
        for text in (first, second, first, third):
            assert keys.find(text)
        asked.clear()
        assert keys.find(first)
        assert keys.find(third)
        assert asked == []
        assert keys.find(second)
        assert len(asked) == 1

    def test_guesses_take_no_memory(self, keys: KeyStore) -> None:
        for n in range(100):
            keys.find(f"tv-{n}")
        assert not keys._cache


class TestAStoreThatFails:
    def test_it_is_unavailable_and_not_a_wrong_key(self, connection: sqlite3.Connection, keys: KeyStore) -> None:
        _, used = keys.create("used")
        _, unused = keys.create("unused")
        keys.find(used)
        connection.execute("ALTER TABLE keys RENAME TO gone")
        assert keys.find(used)
        with pytest.raises(StoreUnavailable):
            keys.find(unused)
        with pytest.raises(StoreUnavailable):
            keys.create("new")

    @pytest.mark.parametrize("act", ["list", "revoke", "is_known"])
    def test_the_operators_questions_fail_in_the_same_words(
        self, connection: sqlite3.Connection, keys: KeyStore, act: str
    ) -> None:
        connection.execute("ALTER TABLE keys RENAME TO gone")
        with pytest.raises(StoreUnavailable):
            getattr(keys, act)(*([] if act == "list" else ["x"]))


class TestPepper:
    def test_it_is_made_once_for_nobody_else_to_read(self, tmp_path: Path) -> None:
        pepper = read_pepper(tmp_path)
        assert len(pepper) == 32
        assert read_pepper(tmp_path) == pepper
        assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600

    def test_two_installations_have_two(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        assert read_pepper(tmp_path / "a") != read_pepper(tmp_path / "b")

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_a_damaged_one_stops_the_start_rather_than_lock_everyone_out(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "pepper").write_bytes(content)
        with pytest.raises(StoreUnavailable, match="damaged") as raised:
            read_pepper(tmp_path)
        assert str(tmp_path / "pepper") in str(raised.value.detail)
        assert (tmp_path / "pepper").read_bytes() == content
