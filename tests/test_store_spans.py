"""Spans as they are folded from hours, days and shorter spans, beside calls that end late and charges that are
corrected."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_store import Home, fold, keep
from support_store import rows as read
from trivium.clock import DAY_MS, HOUR_MS
from trivium.metering.record import Record
from trivium.store import spans
from trivium.store.audit_hours import folded_spans
from trivium.store.rollups import SUMS
from trivium.store.snapshot import SqliteSnapshot
from trivium.store.spans import FOLDS, SETTLED_MS, Due, Folded
from trivium.store.sql import Database

START = 20_000 * DAY_MS


def record(id: str, time_ms: int = START, **fields: Any) -> Record:
    plain = Record(id=id, time_ms=time_ms, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def sums(database: Database, rows: str) -> tuple[int, ...]:
    wanted = ", ".join(f"coalesce(sum({name}), 0)" for name in SUMS)
    (row,) = read(database, f"SELECT {wanted} FROM {rows}")
    return tuple(int(value) for value in row)


def lengths(database: Database) -> dict[int, int]:
    """Of each day, in days since the start, the longest span that it lies in."""
    return {(day - START) // DAY_MS: told.days for day, told in spans.folded(database, 0, 2**53).items()}


def test_hours_are_folded_once_they_are_over_for_a_while(database: Database) -> None:
    keep(database, [record("a"), record("b", START + HOUR_MS), record("c", START + 2 * HOUR_MS)])
    fold(database, START + 2 * HOUR_MS + SETTLED_MS - 1)
    assert spans.folded(database, 0, 2**53) == {START: (START + HOUR_MS, 1)}
    assert read(database, "SELECT hours, requests FROM usage_spans") == [(24, 1)]
    fold(database, START + 2 * HOUR_MS + SETTLED_MS)
    assert spans.folded(database, 0, 2**53) == {START: (START + 2 * HOUR_MS, 1)}
    assert read(database, "SELECT hours, requests FROM usage_spans") == [(24, 2)]
    assert read(database, "SELECT hours, from_ms, requests FROM usage_spans_of_models ORDER BY 1, 2") == [
        (1, START, 1), (1, START + HOUR_MS, 1), (24, START, 2),
    ]  # fmt: skip


def test_what_is_folded_as_far_as_it_can_be_is_due_no_more(database: Database) -> None:
    keep(database, [record("a"), record("b", START + 3 * DAY_MS)])
    later = START + 9 * DAY_MS
    assert spans.due(database, later) == [
        Due(START + 3 * DAY_MS, START + 4 * DAY_MS),
        Due(START, START + DAY_MS),
    ]
    fold(database, later)
    assert spans.due(database, later) == []
    assert spans.due(database, later + DAY_MS) == []
    assert read(database, "SELECT hours, from_ms, requests FROM usage_spans ORDER BY 1, 2") == [
        (24, START, 1), (24, START + 3 * DAY_MS, 1),
        (48, START, 1), (48, START + 2 * DAY_MS, 1),
        (96, START, 2), (192, START, 2),
    ]  # fmt: skip


def test_a_span_waits_until_it_is_over(database: Database) -> None:
    keep(database, [record(str(day), START + day * DAY_MS) for day in range(5)])
    fold(database, START + 4 * DAY_MS + SETTLED_MS - 1)
    assert lengths(database) == {0: 2, 1: 2, 2: 1, 3: 1}
    fold(database, START + 5 * DAY_MS + SETTLED_MS)
    assert lengths(database) == {0: 4, 1: 4, 2: 4, 3: 4, 4: 1}


def test_a_span_of_very_many_rows_stays_in_halves(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_MOST", 3)
    keep(database, [record(f"{day}{key}", START + day * DAY_MS, key_id=key) for day in range(4) for key in "ab"])
    fold(database, START + 9 * DAY_MS)
    assert lengths(database) == dict.fromkeys(range(4), 1)
    monkeypatch.setattr(spans, "_MOST", 4)
    fold(database, START + 9 * DAY_MS)
    assert lengths(database) == dict.fromkeys(range(8), 8)


def test_a_call_that_ends_late_is_added_to_the_spans_that_it_began_in(database: Database) -> None:
    keep(database, [record("a", output_tokens=1)])
    fold(database, START + 2 * DAY_MS + SETTLED_MS)
    late = [record("b", output_tokens=2), record("c", START + DAY_MS, output_tokens=4, key_id="k")]
    keep(database, late)  # there was nothing in the second day
    for one in FOLDS:
        assert sums(database, f"{one.table} WHERE hours = 24") == sums(database, "usage_hours")
        assert sums(database, f"{one.table} WHERE hours = 48") == sums(database, "usage_hours")
    shown = "SELECT from_ms, key_id, output_tokens FROM usage_spans WHERE hours = {} ORDER BY 1, 2"
    assert read(database, shown.format(48)) == [(START, "", 3), (START, "k", 4)]
    assert read(database, shown.format(24)) == [(START, "", 3), (START + DAY_MS, "k", 4)]


def test_a_clock_that_went_back_makes_no_hour_wrong(database: Database) -> None:
    keep(database, [record("a")])
    fold(database, START + DAY_MS)
    with database.transaction() as tx:
        spans.count(tx, [record("b")], START)
    assert read(database, "SELECT requests FROM usage_spans") == read(database, "SELECT requests FROM usage_hours")


def test_a_corrected_charge_is_corrected_in_all_spans(database: Database) -> None:
    keep(database, [record("a", cost_nano=5, client_app="curl/8", key_id="k")])
    fold(database, START + 4 * DAY_MS + SETTLED_MS)
    with database.transaction() as tx:
        spans.correct(tx, -2, "a")
        spans.correct(tx, 9, "nobody")
    assert read(database, "SELECT cost_nano, requests FROM usage_hours") == [(3, 1)]
    for one in FOLDS:
        rows = read(database, f"SELECT hours, cost_nano, requests FROM {one.table} ORDER BY 1")
        assert rows == [(hours, 3, 1) for hours in (*([1] if one.hourly else []), 24, 48, 96)]


STEPS = st.lists(
    st.tuples(st.just("keep"), st.integers(0, 9 * 24), st.sampled_from([None, "k"]), st.sampled_from([None, "m"]))
    | st.tuples(st.just("fold"), st.integers(0, 10 * 24), st.none(), st.none())
    | st.tuples(st.just("correct"), st.integers(0, 9), st.none(), st.none()),
    max_size=12,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_comes_when_spans_are_the_sums_of_their_hours(database: Database, steps: list[Any]) -> None:
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
                spans.correct(tx, 7, str(at))
    done = spans.folded(database, 0, 2**53)
    for day, one in done.items():
        for days in (1, 2, 4, 8):
            begin = day - day % (days * DAY_MS)
            until = one.until_ms if days == 1 else begin + days * DAY_MS
            wanted = sums(database, f"usage_hours WHERE hour_ms >= {begin} AND hour_ms < {until}")
            for table in tables if days <= one.days else ():
                assert sums(database, f"{table} WHERE hours = {24 * days} AND from_ms = {begin}") == wanted
    hours = [f"usage_hours WHERE hour_ms >= {day} AND hour_ms < {one.until_ms}" for day, one in done.items()]
    within = sum(sums(database, some)[0] for some in hours)
    assert [sums(database, f"{table} WHERE hours = 24")[0] for table in tables] == [within] * len(tables)
    assert sums(database, "usage_spans_of_models WHERE hours = 1")[0] == within


H, D = HOUR_MS, DAY_MS


@pytest.mark.parametrize(
    ("first", "last", "longest", "expected"),
    [
        (0, 8 * D, 64, [(192, 0, 8 * D)]),
        (0, 8 * D, 1, [(24, 0, 8 * D)]),
        (0, 8 * D, 0, [(1, 0, 8 * D)]),
        (D, 8 * D, 64, [(24, D, 2 * D), (48, 2 * D, 4 * D), (96, 4 * D, 8 * D)]),
        (5 * H, 3 * D - H, 64, [(1, 5 * H, D), (24, D, 2 * D), (1, 2 * D, 3 * D - H)]),
        (7 * D, 9 * D, 64, [(24, 7 * D, 8 * D + 6 * H), (0, 8 * D + 6 * H, 9 * D)]),
        (8 * D, 8 * D + 3 * H, 64, [(1, 8 * D, 8 * D + 3 * H)]),
        (-D, 2 * D, 64, [(0, -D, 0), (48, 0, 2 * D)]),
        (20 * D, 21 * D, 64, [(0, 20 * D, 21 * D)]),
    ],
)
def test_a_period_is_told_in_the_longest_spans_that_fit(
    first: int, last: int, longest: int, expected: list[tuple[int, int, int]]
) -> None:
    done = {START + n * D: Folded(START + (n + 1) * D, 8) for n in range(8)}
    done[START + 8 * D] = Folded(START + 8 * D + 6 * H, 1)
    found = spans.spans(START + first, START + last, done, longest)
    assert found == [(hours, START + since, START + until) for hours, since, until in expected]


@pytest.mark.parametrize("table", [one.table for one in FOLDS])
@pytest.mark.parametrize("change", ["requests = requests + 1", "total_8 = 1", "app = 'x'"])
@pytest.mark.parametrize("hours", [1, 24, 48, 96])
def test_the_auditor_finds_a_span_that_is_not_the_sum_of_its_parts(
    tmp_path: Path, table: str, change: str, hours: int
) -> None:
    from trivium.store.migrations import migrate  # noqa: PLC0415
    from trivium.store.sqlite import SqliteDatabase  # noqa: PLC0415

    database = SqliteDatabase(tmp_path / "x.db")
    migrate(database)
    keep(database, [record("a", ttfb_us=5), record("b", START + DAY_MS)])
    fold(database, START + 4 * DAY_MS + SETTLED_MS)
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    assert list(folded_spans(SqliteSnapshot(connection))) == []
    changed = connection.execute(f"UPDATE {table} SET {change} WHERE hours = {hours}").rowcount
    found = list(folded_spans(SqliteSnapshot(connection)))
    assert {finding.where.split()[0] for finding in found} == ({table} if changed else set())
    assert bool(changed) == ((table, hours) != ("usage_spans", 1))
    connection.close()
    database.close()


def test_two_gateways_fold_the_same_span_once(home: Home) -> None:
    one, other = home.open(), home.open()
    keep(one, [record("a"), record("b", START + HOUR_MS), record("c", START + DAY_MS)])
    first, second = Due(START, START + DAY_MS), Due(START + DAY_MS, START + 2 * DAY_MS)

    def in_turn(due: Due) -> list[bool]:
        """Whether nothing of it is left, as each hears it: who hears of something goes on."""
        told = []
        for database in (one, other, one, other):
            with database.transaction() as tx:
                told.append(spans.fold(tx, due))
        return told

    assert in_turn(first) == [False, False, True, True]
    assert in_turn(second) == [False, True, True, True]
    assert in_turn(Due(START, START + 2 * DAY_MS, 2)) == [True, True, True, True]
    assert read(one, "SELECT hours, requests FROM usage_spans ORDER BY 1, 2") == [(24, 1), (24, 2), (48, 3)]
    assert lengths(one) == {0: 2, 1: 2}


def test_a_span_is_not_folded_over_a_call_that_came_meanwhile(database: Database) -> None:
    keep(database, [record("a")])
    fold(database, START + DAY_MS + SETTLED_MS)
    keep(database, [record("b", START + DAY_MS)])
    with database.transaction() as tx:
        assert spans.fold(tx, Due(START, START + 2 * DAY_MS, 2))
    assert lengths(database) == {0: 1}
    fold(database, START + 2 * DAY_MS + SETTLED_MS)
    assert read(database, "SELECT requests FROM usage_spans WHERE hours = 48") == [(2,)]
