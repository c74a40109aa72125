"""Days as they are folded from hours, beside calls that end late and charges that are corrected."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_store import Home, keep
from support_store import rows as read
from trivium.metering.record import Record
from trivium.store import days
from trivium.store.audit_hours import folded_days
from trivium.store.days import FOLDS, SETTLED_MS
from trivium.store.rollups import DAY_MS, HOUR_MS, SUMS
from trivium.store.snapshot import SqliteSnapshot
from trivium.store.sql import Database

START = 20_000 * DAY_MS


def record(id: str, time_ms: int = START, **fields: Any) -> Record:
    plain = Record(id=id, time_ms=time_ms, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def fold(database: Database, now_ms: int) -> None:
    """Everything that is due."""
    for day, until in days.due(database, now_ms):
        done = False
        while not done:
            with database.transaction() as tx:
                done = days.fold(tx, day, until)


def sums(database: Database, table: str) -> tuple[int, ...]:
    wanted = ", ".join(f"coalesce(sum({name}), 0)" for name in SUMS)
    (row,) = read(database, f"SELECT {wanted} FROM {table}")
    return tuple(int(value) for value in row)


def test_hours_are_folded_once_they_are_over_for_a_while(database: Database) -> None:
    keep(database, [record("a"), record("b", START + HOUR_MS), record("c", START + 2 * HOUR_MS)])
    fold(database, START + 2 * HOUR_MS + SETTLED_MS - 1)
    assert days.folded(database, 0, 2**53) == {START: START + HOUR_MS}
    assert read(database, "SELECT requests FROM usage_days") == [(1,)]
    fold(database, START + 2 * HOUR_MS + SETTLED_MS)
    assert days.folded(database, 0, 2**53) == {START: START + 2 * HOUR_MS}
    assert read(database, "SELECT requests FROM usage_days") == [(2,)]


def test_a_day_that_is_over_is_due_no_more(database: Database) -> None:
    keep(database, [record("a"), record("b", START + 3 * DAY_MS)])
    later = START + 9 * DAY_MS
    assert days.due(database, later) == [(START + 3 * DAY_MS, START + 4 * DAY_MS), (START, START + DAY_MS)]
    fold(database, later)
    assert days.due(database, later) == []
    assert days.due(database, later + DAY_MS) == []


def test_a_call_that_ends_late_is_added_to_the_day_that_it_began_in(database: Database) -> None:
    keep(database, [record("a", output_tokens=1)])
    fold(database, START + DAY_MS)
    keep(database, [record("b", output_tokens=2), record("c", output_tokens=4, key_id="k")])
    for one in FOLDS:
        assert sums(database, one.table) == sums(database, "usage_hours")
    assert read(database, "SELECT key_id, output_tokens FROM usage_days ORDER BY 1") == [("", 3), ("k", 4)]


def test_a_clock_that_went_back_makes_no_hour_wrong(database: Database) -> None:
    keep(database, [record("a")])
    fold(database, START + DAY_MS)
    with database.transaction() as tx:
        days.count(tx, [record("b")], START)
    assert read(database, "SELECT requests FROM usage_days") == read(database, "SELECT requests FROM usage_hours")


def test_a_corrected_charge_is_corrected_in_the_day_too(database: Database) -> None:
    keep(database, [record("a", cost_nano=5, client_app="curl/8", key_id="k")])
    fold(database, START + DAY_MS)
    with database.transaction() as tx:
        days.correct(tx, -2, "a")
        days.correct(tx, 9, "nobody")
    assert read(database, "SELECT cost_nano, requests FROM usage_hours") == [(3, 1)]
    for one in FOLDS:
        assert read(database, f"SELECT cost_nano, requests FROM {one.table}") == [(3, 1)]


STEPS = st.lists(
    st.tuples(st.just("keep"), st.integers(0, 3 * 24), st.sampled_from([None, "k"]), st.sampled_from([None, "m"]))
    | st.tuples(st.just("fold"), st.integers(0, 4 * 24), st.none(), st.none())
    | st.tuples(st.just("correct"), st.integers(0, 9), st.none(), st.none()),
    max_size=12,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_comes_when_days_are_the_sums_of_their_hours(database: Database, steps: list[Any]) -> None:
    tables = [one.table for one in FOLDS]
    with database.transaction() as tx:
        for table in ("records", "usage_hours", "usage_folds", *tables):
            tx.execute(f"DELETE FROM {table}")
    for number, (what, at, key, model) in enumerate(steps):
        if what == "keep":
            told = {"key_id": key, "provider": "up", "upstream_model": model, "upstream_status": 200, "ttfb_us": 9}
            keep(database, [record(str(number), START + at * HOUR_MS, cost_nano=number, **told)])
        elif what == "fold":
            fold(database, START + at * HOUR_MS)
        else:
            with database.transaction() as tx:
                days.correct(tx, 7, str(at))
    for day, until in days.folded(database, 0, 2**53).items():
        wanted = sums(database, f"usage_hours WHERE hour_ms >= {day} AND hour_ms < {until}")
        for table in tables:
            assert sums(database, f"{table} WHERE day_ms = {day}") == wanted
    if not days.folded(database, 0, 2**53):
        assert [sums(database, table) for table in tables] == [(0,) * len(SUMS)] * len(tables)


@pytest.mark.parametrize("table", [one.table for one in FOLDS])
@pytest.mark.parametrize("change", ["requests = requests + 1", "total_8 = 1", "app = 'x'"])
def test_the_auditor_finds_a_day_that_is_not_the_sum_of_its_hours(tmp_path: Path, table: str, change: str) -> None:
    from trivium.store.migrations import migrate  # noqa: PLC0415
    from trivium.store.sqlite import SqliteDatabase  # noqa: PLC0415

    database = SqliteDatabase(tmp_path / "x.db")
    migrate(database)
    keep(database, [record("a", ttfb_us=5), record("b", START + DAY_MS)])
    fold(database, START + DAY_MS + SETTLED_MS)
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    assert list(folded_days(SqliteSnapshot(connection))) == []
    connection.execute(f"UPDATE {table} SET {change}")
    found = list(folded_days(SqliteSnapshot(connection)))
    assert {finding.where.split()[0] for finding in found} == {table}
    database.close()


def test_two_gateways_fold_the_same_day_once(home: Home) -> None:
    one, other = home.open(), home.open()
    keep(one, [record("a"), record("b", START + HOUR_MS)])
    for database in (one, other, one, other):
        with database.transaction() as tx:
            days.fold(tx, START, START + DAY_MS)
    assert read(one, "SELECT requests FROM usage_days") == [(2,)]
    assert days.folded(one, 0, 2**53) == {START: START + DAY_MS}
