"""From every earlier schema to the newest, with what the database holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support_store import Home, caller, rows
from trivium import ids
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.store import rollups, schema
from trivium.store.keys import KeyStore
from trivium.store.migrations import migrate
from trivium.store.reports import request
from trivium.store.schema import MIGRATIONS
from trivium.store.sql import Database
from trivium.store.usage import UsageQuery, usage
from trivium.store.whose import EVERYBODY

NEWEST = len(MIGRATIONS)
HOURS = 3
"""The version that began to count by the hour."""
PEPPER = b"p" * 32
HOUR = 3_600_000

KEY = "INSERT INTO keys (id, hash, name, hint, created_ms, revoked_ms) VALUES (?, ?, ?, 'h', ?, ?)"
RECORD = """
    INSERT INTO records (id, time_ms, api, operation, outcome, status, key_id, requested_model, provider,
    upstream_model, upstream_status, usage_known, input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens,
    cache_write_1h_tokens, cache_write_other_tokens, output_tokens, reasoning_tokens, requests, stream, flags,
    in_band_error, total_us)
    VALUES (?, ?, 'chat', ?, ?, 200, ?, 'm', ?, ?, 200, ?, 10, 1, 2, 3, 4, ?, 5, ?, 0, '', 0, 9)
"""


def move(database: Database, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...]) -> None:
    with monkeypatch.context() as then:
        then.setattr(schema, "MIGRATIONS", steps)
        migrate(database)


def version(database: Database) -> int:
    statement = "PRAGMA user_version" if database.dialect == "sqlite" else "SELECT max(version) FROM schema_version"
    ((number,),) = rows(database, statement)
    return int(number)


def fill(database: Database) -> None:
    """What the first schema could hold."""
    with database.transaction() as tx:
        for id, revoked in (("live", None), ("ended", 2)):
            tx.execute(KEY, (f"key_{id}", ids.key_hash(PEPPER, f"tv-{id}"), id, 1, revoked))
        for row in (
            ("a", 0, "generate", "success", "key_live", "up", "n", True, 100, 1),
            ("b", HOUR - 1, "generate", "success", "key_live", "up", "n", False, 100, 1),
            ("c", HOUR, "generate", "refused", None, None, None, False, 0, 70),
            ("d", HOUR, "count_tokens", "success", "key_live", "up", "n", False, 0, 1),
        ):
            tx.execute(RECORD, row)


@pytest.mark.parametrize("earlier", range(1, NEWEST))
async def test_a_database_of_an_earlier_program_is_moved_forward_with_what_it_holds(
    bare_home: Home, earlier: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = bare_home.open()
    move(database, monkeypatch, MIGRATIONS[:earlier])
    assert version(database) == earlier
    fill(database)
    migrate(database)
    assert version(database) == NEWEST
    keys = KeyStore(database, PEPPER, SystemClock())
    live = await keys.find("tv-live")
    assert live is not None
    assert (live.id, live.strict, live.account_id, live.captured_until_ms) == ("key_live", False, None, 0)
    assert (await keys.find("tv-ended"), keys.is_known("tv-ended")) == (None, True)
    assert [key.id for key in keys.list()] == ["key_ended", "key_live"]
    made, text = keys.create("new", strict=True)
    assert await keys.find(text) == caller(made)
    row = request(database, "a", EVERYBODY)
    assert row is not None
    assert (row["id"], row["cost_nano"], row["account_id"], row["rules"]) == ("a", 0, None, None)
    assert rows(database, "SELECT capture, capture_until_ms FROM keys WHERE id = 'key_live'") == [(0, None)]
    assert rows(database, "SELECT count(*) FROM captures") == [(0,)]


@pytest.mark.parametrize("earlier", range(1, HOURS))
def test_usage_of_before_is_counted_by_the_hour(bare_home: Home, earlier: int, monkeypatch: pytest.MonkeyPatch) -> None:
    database = bare_home.open()
    move(database, monkeypatch, MIGRATIONS[:earlier])
    fill(database)
    migrate(database)
    with database.transaction() as tx:
        tx.execute("DELETE FROM records")
    shown = usage(database, UsageQuery(by=("model", "key")))
    sums = ("requests", "refused", "usage_unknown", "input_tokens", "output_tokens", "reasoning_tokens")
    assert [(row["model"], row["key"], *(row[name] for name in sums)) for row in shown] == [
        (None, None, 70, 70, 1, 20, 0, 5),
        ("up/n", "key_live", 2, 0, 1, 40, 200, 10),
    ]


def test_whoever_had_keys_is_a_user_and_what_there_was_of_budgets_and_usage_stays(
    bare_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = bare_home.open()
    move(database, monkeypatch, MIGRATIONS[:HOURS])
    hour = dict.fromkeys(rollups.SUMS[:11], 1) | {"hour_ms": 0, "operation": "generate"}
    hour |= {"key_id": "k", "account_id": "acct"}
    hour |= {"api": "chat", "provider": "up", "model": "up/m", "outcome": "success", "cost_nano": 7}
    with database.transaction() as tx:
        for id, created in (("k1", 5), ("k2", 3)):
            tx.execute(
                "INSERT INTO keys (id, hash, name, hint, created_ms, user_id) VALUES (?, ?, '', '', ?, 'jo')",
                (id, id.encode(), created),
            )
        tx.execute("INSERT INTO budgets VALUES ('b', 'account:acct', 'day', 9, 1, NULL)")
        tx.execute(
            f"INSERT INTO usage_hours ({', '.join(hour)}) VALUES ({', '.join('?' * len(hour))})", list(hour.values())
        )
    migrate(database)
    assert rows(database, "SELECT id, name, created_ms, staff FROM users") == [("jo", "jo", 3, 0)]
    assert rows(database, "SELECT id, kind, balance_nano FROM accounts") == [("jo", "user", 0)]
    assert rows(database, "SELECT account_id FROM keys") == [(None,), (None,)]
    assert rows(database, "SELECT limit_nano, house_nano FROM budgets") == [(9, 9)]
    (row,) = usage(database, UsageQuery(by=("account", "organization", "model"), since_ms=0, until_ms=HOUR))
    assert (row["account"], row["organization"], row["model"], row["cost_nano"]) == ("acct", None, "up/m", 7)


def test_a_new_database_gets_the_newest_schema_and_keeps_it(bare_home: Home) -> None:
    database = bare_home.open()
    for _ in range(2):
        migrate(database)
        assert version(database) == NEWEST
    assert rows(database, "SELECT count(*) FROM records") == [(0,)]


def test_a_further_step_is_made_once(bare_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    database = bare_home.open()
    migrate(database)
    fill(database)
    for _ in range(2):
        move(database, monkeypatch, (*MIGRATIONS, "ALTER TABLE keys ADD COLUMN remark TEXT;"))
        assert version(database) == NEWEST + 1
    assert rows(database, "SELECT remark FROM keys") == [(None,), (None,)]


def test_a_database_of_a_newer_program_is_refused_in_words_and_left_alone(
    bare_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = bare_home.open()
    move(database, monkeypatch, (*MIGRATIONS, "CREATE TABLE later (id TEXT PRIMARY KEY);"))
    with pytest.raises(StoreUnavailable, match="newer version") as raised:
        migrate(database)
    assert raised.value.detail == f"schema {NEWEST + 1}, this program knows {NEWEST}"
    assert version(database) == NEWEST + 1


def test_a_step_that_cannot_be_made_leaves_the_schema_as_it_was(
    bare_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = bare_home.open()
    migrate(database)
    bad = "CREATE TABLE half (x TEXT); ALTER TABLE nobody ADD COLUMN y TEXT;"
    with pytest.raises(StoreUnavailable):
        move(database, monkeypatch, (*MIGRATIONS, "CREATE TABLE whole (x TEXT)", bad))
    assert version(database) == NEWEST
    for table in ("half", "whole"):
        with pytest.raises(StoreUnavailable):
            rows(database, f"SELECT * FROM {table}")


def test_gateways_that_start_at_the_same_moment_take_turns(bare_home: Home) -> None:
    databases = [bare_home.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(migrate, databases)) == [None] * 4
    assert [version(database) for database in databases] == [NEWEST] * 4
