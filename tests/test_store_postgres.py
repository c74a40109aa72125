"""PostgreSQL as it fails: gone, silent, stopped, restarted. And what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support_store import PostgresServer, rows
from support_wait import until
from trivium.errors import ConfigError, StoreUnavailable
from trivium.store import migrations, schema
from trivium.store import postgres as module
from trivium.store.migrations import migrate
from trivium.store.postgres import PostgresDatabase, translated
from trivium.store.sql import Undone

ROW = "INSERT INTO keys (id, hash, name, hint, created_ms) VALUES (?, ?, 'n', 'h', 1)"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create("newest")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def opened(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresDatabase]:
    monkeypatch.setattr(module, "_PAUSE", 0.2)
    with contextlib.closing(PostgresDatabase(url)) as database:
        yield database


@pytest.fixture
def hasty(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresDatabase]:
    """One with little patience, for what tries it: a busy machine might, too."""
    for name in ("_WRITE", "_READ", "_ASK", "_GRACE", "_LOCK"):
        monkeypatch.setattr(module, name, 0.5)
    for name, seconds in (("_PAUSE", 0.2), ("_ANSWER", 1.25), ("_TRANSACTION", 0.4)):
        monkeypatch.setattr(module, name, seconds)
    with contextlib.closing(PostgresDatabase(url)) as database:
        yield database


def skip_before_17(database: PostgresDatabase) -> None:
    if rows(database, "SELECT current_setting('server_version_num')") < [("170000",)]:
        pytest.skip("PostgreSQL ends a transaction by its age from version 17 on")


def add(database: PostgresDatabase, id: str) -> None:
    with database.transaction() as tx:
        tx.execute(ROW, (id, id.encode()))


def ids(database: PostgresDatabase) -> list[str]:
    return [id for (id,) in rows(database, "SELECT id FROM keys ORDER BY id")]


async def every_way(database: PostgresDatabase) -> list[str]:
    """What each way to the database says; the failures in words."""
    said = []
    for act in (
        lambda: asyncio.to_thread(add, database, f"k{time.monotonic_ns()}"),
        lambda: asyncio.to_thread(ids, database),
        lambda: database.ask("SELECT 1"),
    ):
        try:
            await act()
            said.append("ok")
        except StoreUnavailable as error:
            said.append(error.message)
    return said


DEAD = ["The store cannot be written.", "The store cannot be read.", "The store cannot be read."]


async def until_it_works(database: PostgresDatabase) -> None:
    async with asyncio.timeout(30):
        while await every_way(database) != ["ok"] * 3:  # noqa: ASYNC110 # the server has no event for it
            await asyncio.sleep(0.05)


async def test_a_restart_heals_by_itself(postgres: PostgresServer, opened: PostgresDatabase) -> None:
    add(opened, "before")
    assert await every_way(opened) == ["ok"] * 3
    postgres.stop()
    try:
        assert await every_way(opened) == DEAD
    finally:
        postgres.start()
    await until_it_works(opened)
    assert "before" in ids(opened)


def operate(postgres: PostgresServer, *statements: str) -> None:
    """What the server's operator says."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as operator:
        for statement in statements:
            operator.execute(statement)


END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'trivium'"


async def test_connections_that_the_server_ended_while_nobody_used_them_are_replaced_unseen(
    postgres: PostgresServer, opened: PostgresDatabase
) -> None:
    await asyncio.gather(*(opened.ask("SELECT pg_sleep(0.05)") for _ in range(4)))
    assert await every_way(opened) == ["ok"] * 3
    operate(postgres, END_SESSIONS)
    assert await every_way(opened) == ["ok"] * 3
    await asyncio.gather(*(opened.ask("SELECT 1") for _ in range(40)))


async def test_sessions_that_were_opened_when_nothing_could_be_written_are_not_kept(
    postgres: PostgresServer, opened: PostgresDatabase
) -> None:
    """As hosts close a database whose disk is full, and as a primary that became a standby keeps its connections."""
    name = psycopg.conninfo.conninfo_to_dict(opened.place)["dbname"]
    operate(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on", END_SESSIONS)
    assert await every_way(opened) == [DEAD[0], "ok", "ok"]
    operate(postgres, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await every_way(opened) == ["ok"] * 3
    assert await opened.ask("SHOW transaction_read_only") == [("off",)]


async def test_one_that_cannot_write_any_more_takes_all_others_with_it(opened: PostgresDatabase) -> None:
    old = await opened.ask("SELECT pg_backend_pid()")
    with pytest.raises(StoreUnavailable), opened.transaction() as tx:
        tx.execute("SET transaction_read_only = on")
        tx.execute(ROW, ("a", b"a"))
    assert await opened.ask("SELECT pg_backend_pid()") != old
    assert await every_way(opened) == ["ok"] * 3


async def test_what_a_server_does_by_default_does_not_matter(postgres: PostgresServer, url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    for default in (
        "default_transaction_isolation = 'serializable'",
        "idle_session_timeout = 9000",
        "lock_timeout = 9000",
    ):
        operate(postgres, f"ALTER DATABASE {name} SET {default}")
    with contextlib.closing(PostgresDatabase(url)) as database, database.transaction() as tx:
        assert tx.execute("SHOW transaction_isolation") == [("read committed",)]
        assert tx.execute("SHOW idle_session_timeout") == tx.execute("SHOW lock_timeout") == [("0",)]


def test_a_connection_lost_within_a_transaction_undoes_it(postgres: PostgresServer, opened: PostgresDatabase) -> None:
    with pytest.raises(StoreUnavailable), opened.transaction() as tx:
        tx.execute(ROW, ("half", b"half"))
        tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    add(opened, "whole")
    assert ids(opened) == ["whole"]


async def test_a_server_that_stands_still_is_no_wait_without_end(
    postgres: PostgresServer, hasty: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECT", 1)
    assert await every_way(hasty) == ["ok"] * 3
    with postgres.standing_still():
        assert await every_way(hasty) == DEAD
    await until_it_works(hasty)


async def test_a_statement_that_takes_too_long_is_ended(hasty: PostgresDatabase) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read") as raised:
        await hasty.ask("SELECT pg_sleep(60)")
    assert "statement timeout" in str(raised.value.detail)
    assert await every_way(hasty) == ["ok"] * 3


async def test_a_lock_that_another_gateway_keeps_is_not_waited_for_without_end(
    url: str, hasty: PostgresDatabase
) -> None:
    add(hasty, "a")
    with psycopg.connect(url) as other:
        other.execute("UPDATE keys SET name = 'x' WHERE id = 'a'")
        with pytest.raises(StoreUnavailable), hasty.transaction() as tx:
            tx.execute("UPDATE keys SET name = 'y' WHERE id = 'a'")
    with hasty.transaction() as tx:
        tx.execute("UPDATE keys SET name = 'y' WHERE id = 'a'")


def test_one_that_stands_still_in_a_transaction_is_cut_off_before_the_others_give_up(
    hasty: PostgresDatabase, url: str
) -> None:
    add(hasty, "k")
    rename = "UPDATE keys SET name = ? WHERE id = 'k'"
    with contextlib.closing(PostgresDatabase(url)) as other:
        with pytest.raises(StoreUnavailable), hasty.transaction() as still:
            still.execute(rename, ("still",))
            with other.transaction() as tx:
                tx.execute(rename, ("other",))
            still.execute(rename, ("again",))
        assert rows(other, "SELECT name FROM keys") == [("other",)]


def test_nor_may_one_stand_still_between_two_rows_of_many(hasty: PostgresDatabase, url: str) -> None:
    skip_before_17(hasty)
    rename = "UPDATE keys SET name = ? WHERE id = 'k'"
    with psycopg.connect(url, autocommit=True, options="-c lock_timeout=30s") as other:
        other.execute(translated(ROW), ("k", b"k"))

        def names() -> Iterator[tuple[str]]:
            yield from [("still",)] * 1_000
            other.execute(translated(rename), ("other",))
            yield ("again",)

        with pytest.raises(StoreUnavailable) as raised, hasty.transaction() as still:
            still.executemany(rename, names())
        assert "lock timeout" not in str(raised.value.detail)
        (left,) = other.execute("SELECT name FROM keys").fetchall()
        assert left in {("other",), ("n",)}  # the second where a thousand rows took longer than all may take


def test_who_waited_for_others_for_too_long_may_try_again(hasty: PostgresDatabase) -> None:
    """But is told first: at once it would wait as long again."""
    skip_before_17(hasty)
    with pytest.raises(StoreUnavailable) as raised, hasty.transaction() as tx:
        tx.execute(ROW, ("a", b"a"))
        tx.execute("SELECT pg_sleep(0.45)")
    assert not isinstance(raised.value, Undone)
    add(hasty, "b")
    assert ids(hasty) == ["b"]


def test_moving_a_large_database_forward_may_take_longer_than_anything_else(hasty: PostgresDatabase) -> None:
    with hasty.migration() as tx:
        tx.execute("SELECT pg_sleep(1.2)")
        tx.execute(ROW, ("a", b"a"))
    assert ids(hasty) == ["a"]


async def test_of_many_look_ups_behind_a_lock_none_waits_for_the_others(url: str, hasty: PostgresDatabase) -> None:
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE keys IN ACCESS EXCLUSIVE MODE")
        looking = [hasty.ask("SELECT id FROM keys") for _ in range(40)]
        said = [str(getattr(one, "detail", "")) for one in await asyncio.gather(*looking, return_exceptions=True)]
    assert sum("statement timeout" in one for one in said) in range(1, 4 * 3)
    assert sum("no answer within" in one for one in said) >= 40 - 4 * 3
    assert await every_way(hasty) == ["ok"] * 3


async def test_a_step_forward_waits_for_a_long_read_without_keeping_others_from_reading(
    url: str, hasty: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE keys ADD COLUMN remark TEXT;"))
    monkeypatch.setattr(migrations, "_PAUSE", 0.2)
    with psycopg.connect(url) as dump:
        dump.execute("SELECT count(*) FROM keys")
        moving = asyncio.create_task(asyncio.to_thread(migrate, hasty))
        await until(lambda: "the start waits until others let go" in caplog.text)
        with psycopg.connect(url) as reader:
            assert reader.execute("SELECT count(*) FROM keys").fetchall() == [(0,)]
        assert not moving.done()
    await asyncio.wait_for(moving, 20)
    assert await hasty.ask("SELECT remark FROM keys") == []


@pytest.mark.parametrize(("encoding", "is_taken"), [("UTF8", True), ("SQL_ASCII", True), ("LATIN1", False)])
def test_a_database_that_has_no_room_for_all_texts_is_refused(
    postgres: PostgresServer, encoding: str, is_taken: bool
) -> None:
    name = f"in_{encoding.lower()}"
    operate(postgres, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    with contextlib.closing(PostgresDatabase(postgres.url(name))) as database:
        if is_taken:
            migrate(database)
            add(database, "模型")
            assert ids(database) == ["模型"]
        else:
            with pytest.raises(StoreUnavailable, match="must be in UTF8") as raised:
                migrate(database)
            assert "server_encoding is LATIN1" in str(raised.value.detail)
    postgres.drop(name)


async def test_the_event_loop_goes_on_while_a_look_up_waits(opened: PostgresDatabase) -> None:
    looking = [asyncio.create_task(opened.ask("SELECT pg_sleep(0.1)")) for _ in range(8)]
    turns = 0
    while not all(task.done() for task in looking):
        await asyncio.sleep(0.001)
        turns += 1
    await asyncio.gather(*looking)
    assert turns > 10


class TestAServerThatIsNotThere:
    async def test_it_is_unavailable_in_every_way(self, tmp_path: Path) -> None:
        with contextlib.closing(PostgresDatabase(f"postgresql:///x?host={tmp_path}")) as database:
            assert await every_way(database) == DEAD

    async def test_one_failure_is_enough_for_all_who_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The listener accepts and never answers: each attempt would take a second."""
        monkeypatch.setattr(module, "_CONNECT", 1)
        attempts: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=accept, args=(listener, attempts), daemon=True).start()
            port = listener.getsockname()[1]
            with contextlib.closing(PostgresDatabase(f"postgresql://u:secret@127.0.0.1:{port}/x")) as database:
                asked = [database.ask("SELECT 1") for _ in range(40)]
                said = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in said} == {StoreUnavailable}
        assert not any("secret" in str(getattr(one, "detail", "")) for one in said)
        assert len(attempts) <= 12
        for attempt in attempts:
            attempt.close()


def accept(listener: socket.socket, accepted: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])


def test_commits_wait_for_the_disk(opened: PostgresDatabase) -> None:
    with opened.transaction() as tx:
        assert tx.execute("SHOW synchronous_commit") == [("on",)]


class TestTheAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://me:secret@db.example:5433/money?sslmode=require",
            "postgresql://me@db.example:5433/money?sslmode=require&password=secret",
            "postgresql://me@db.example:5433/money?sslmode=require&sslpassword=secret",
        ],
    )
    def test_it_can_be_shown_without_its_secrets(self, url: str) -> None:
        with contextlib.closing(PostgresDatabase(url)) as database:
            assert set(database.place.split()) == {
                "user=me",
                "host=db.example",
                "port=5433",
                "dbname=money",
                "sslmode=require",
            }

    @pytest.mark.parametrize("url", ["postgresql://me:se%cret@x/y", "postgresql://x/y?secret=1"])
    def test_what_is_none_is_refused_without_quoting_it(self, url: str) -> None:
        with pytest.raises(ConfigError) as raised:
            PostgresDatabase(url)
        assert "secret" not in raised.value.message.lower()
        assert "se%cret" not in raised.value.message


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT a % 2 FROM t WHERE b = ?", "SELECT a %% 2 FROM t WHERE b = %s"),
        ("SELECT 'WITHOUT ROWID', TEXT FROM t", "SELECT 'WITHOUT ROWID', TEXT FROM t"),
        ("CREATE TABLE t (a INTEGER, b BLOB) WITHOUT ROWID", "CREATE TABLE t (a BIGINT, b BYTEA) "),
        ("ALTER TABLE t ADD COLUMN a TEXT", 'ALTER TABLE t ADD COLUMN a TEXT COLLATE "C"'),
        (
            "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)",
            "CREATE TABLE t (a BIGINT PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY)",
        ),
    ],
)
def test_statements_are_put_into_its_words(written: str, sent: str) -> None:
    assert translated(written) == sent
