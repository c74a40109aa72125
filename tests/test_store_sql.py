"""What both databases promise alike."""

from __future__ import annotations

import pytest

from support_store import Home, rows
from trivium.errors import StoreUnavailable
from trivium.store.sql import Database, insert

ROW = "INSERT INTO keys (id, hash, name, hint, created_ms, strict) VALUES (?, ?, ?, ?, ?, ?)"


def add(database: Database, id: str, **changed: object) -> None:
    told = {"id": id, "hash": id.encode(), "name": "n", "hint": "h", "created_ms": 1, "strict": False} | changed
    with database.transaction() as tx:
        tx.execute(ROW, tuple(told.values()))


def ids(database: Database) -> list[str]:
    return [id for (id,) in rows(database, "SELECT id FROM keys ORDER BY id")]


async def test_what_was_written_is_read_by_every_way_there_is(home: Home, database: Database) -> None:
    add(database, "a", strict=True)
    told = ("a", b"a", 1, None, 1)
    statement = "SELECT id, hash, created_ms, revoked_ms, strict FROM keys WHERE id = ?"
    assert database.query(statement, ("a",)) == (["id", "hash", "created_ms", "revoked_ms", "strict"], [told])
    assert await database.ask(statement, ("a",)) == [told]
    with database.transaction() as tx:
        assert tx.execute(statement, ("a",)) == [told]
    assert rows(home.open(), statement, "a") == [told]


def test_values_come_back_as_they_went(database: Database) -> None:
    add(database, "\u2028'\"%s?", hash=bytes(range(256)), name="\xe9\U0001f600 100% ?", created_ms=2**63 - 1)
    told = ("\u2028'\"%s?", bytes(range(256)), "\xe9\U0001f600 100% ?", 2**63 - 1)
    assert rows(database, "SELECT id, hash, name, created_ms FROM keys") == [told]


def test_rows_that_say_different_things_go_in_together(database: Database) -> None:
    """The first says nothing of a column that the second fills; of the last column nobody says anything."""
    columns = ("id", "hash", "name", "hint", "created_ms", "revoked_ms", "project_id", "user_id")
    new = [("a", b"a", "n", "h", 1, None, "p", None), ("b", b"b", "n", "h", 1, 2, None, None)]
    with database.transaction() as tx:
        insert(tx, "keys", columns, [])
        insert(tx, "keys", columns, new)
        insert(tx, "keys", columns, new[:1], "ON CONFLICT (id) DO NOTHING")
    assert rows(database, f"SELECT {', '.join(columns)} FROM keys ORDER BY id") == new


@pytest.mark.parametrize("odd", [None, (3, None, None, "p"), (0, 0, 0, None), (2**63 - 1, -1, 7, "")])
def test_many_rows_that_say_nearly_the_same(database: Database, odd: tuple[object, ...] | None) -> None:
    """Most have zeros and nothing at the same places; one may not."""
    columns = ("id", "hash", "name", "hint", "created_ms", "revoked_ms", "expires_ms", "project_id")
    told = [(0, None, 0, None)] * 20 + [odd or (0, None, 0, None)]
    new = [(f"{number:02}", b"%d" % number, "n", "", *said) for number, said in enumerate(told)]
    with database.transaction() as tx:
        insert(tx, "keys", columns, new)
    assert rows(database, f"SELECT {', '.join(columns)} FROM keys ORDER BY id") == new


def test_a_text_with_nul_is_kept(database: Database) -> None:
    add(database, "a", name="m\0n")
    ((name,),) = rows(database, "SELECT name FROM keys")
    assert name in ("m\0n", "m\ufffdn")


def test_statements_may_hold_what_one_of_the_two_takes_for_a_placeholder(database: Database) -> None:
    add(database, "abc")
    assert rows(database, "SELECT 7 % 4 FROM keys WHERE id LIKE 'a%' AND id LIKE ?", "%c") == [(3,)]


def test_sums_are_whole_numbers(database: Database) -> None:
    add(database, "a", created_ms=2**62)
    add(database, "b", created_ms=2**61)
    (row,) = rows(database, "SELECT sum(created_ms), max(created_ms), count(*) FROM keys")
    assert row == (2**62 + 2**61, 2**62, 2)
    assert {type(value) for value in row} == {int}


def test_texts_are_in_the_order_of_their_bytes(database: Database) -> None:
    for id in ("b", "B", "\xe4", "a", "_", "Z"):
        add(database, id)
    assert ids(database) == ["B", "Z", "_", "a", "b", "\xe4"]


class TestTransaction:
    def test_all_is_there_or_nothing(self, database: Database) -> None:
        with pytest.raises(RuntimeError), database.transaction() as tx:
            tx.execute(ROW, ("a", b"1", "n", "h", 1, 0))
            raise RuntimeError
        assert ids(database) == []
        add(database, "a")
        assert ids(database) == ["a"]

    def test_it_sees_what_it_wrote_and_nobody_else_does(self, home: Home, database: Database) -> None:
        other = home.open()
        with database.transaction() as tx:
            tx.execute(ROW, ("a", b"1", "n", "h", 1, 0))
            assert tx.execute("SELECT id FROM keys") == [("a",)]
            assert ids(database) == ids(other) == []
        assert ids(other) == ["a"]

    def test_rows_that_a_statement_returns(self, database: Database) -> None:
        with database.transaction() as tx:
            assert tx.execute(ROW, ("a", b"1", "n", "h", 1, 0)) == []
            assert tx.execute("UPDATE keys SET strict = 1 WHERE id = ? RETURNING id, strict", ("a",)) == [("a", 1)]
            assert tx.execute("UPDATE keys SET strict = 1 WHERE id = 'b' RETURNING id") == []

    def test_many_rows_and_how_many_were_new(self, database: Database) -> None:
        with database.transaction() as tx:
            told = [(f"k{n}", bytes([n]), "n", "h", n, 0) for n in range(100)]
            assert tx.executemany(ROW, told[:60]) == 60
            assert tx.executemany(f"{ROW} ON CONFLICT (id) DO NOTHING", told) == 40
            assert tx.executemany(ROW, []) == 0
        assert len(ids(database)) == 100

    @pytest.mark.parametrize("odd", [{"created_ms": 2**63}, {"hash": b"taken"}, {"name": "\ud800"}, {"name": None}])
    def test_a_value_that_it_does_not_take_is_no_failure_of_the_database(
        self, database: Database, odd: dict[str, object]
    ) -> None:
        add(database, "a", hash=b"taken")
        with pytest.raises((ValueError, OverflowError)):
            add(database, "b", **odd)
        add(database, "c")
        assert ids(database) == ["a", "c"]

    def test_a_statement_that_fails_ends_it(self, database: Database) -> None:
        with pytest.raises(StoreUnavailable), database.transaction() as tx:
            tx.execute(ROW, ("a", b"1", "n", "h", 1, 0))
            tx.execute("SELECT id FROM nowhere")
        assert ids(database) == []
        add(database, "b")


async def test_what_cannot_be_read_is_unavailable_and_the_next_question_is_answered(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read") as raised:
        database.query("SELECT id FROM nowhere")
    assert "nowhere" in str(raised.value.detail)
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await database.ask("SELECT id FROM nowhere")
    assert database.query("SELECT 1 AS one") == (["one"], [(1,)])
    assert await database.ask("SELECT 1") == [(1,)]
