"""What is forgotten, and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import support_store
from support_store import rows
from trivium.clock import HOUR_MS
from trivium.metering.record import COLUMNS, TOLD_BY_CLIENT, Record
from trivium.store import retention
from trivium.store.retention import Erased
from trivium.store.sql import Database
from trivium.store.usage import UsageQuery, usage

NOON = 12 * HOUR_MS
START = (
    "INSERT INTO starts (id, time_ms, owner, hold_nano, api, ended) VALUES (?, ?, 'run', 0, 'chat', ?)"
    " ON CONFLICT (id) DO NOTHING"
)


def record(id: str, time_ms: int = 0, **fields: Any) -> Record:
    plain = Record(id=id, time_ms=time_ms, api="chat", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def keep(database: Database, *records: Record) -> None:
    support_store.keep(database, records)
    with database.transaction() as tx:
        tx.executemany(START, [(one.id, one.time_ms, 1) for one in records])


def run(database: Database, before_ms: int = NOON) -> list[Erased]:
    """Slice by slice, as the operation does it."""
    slices: list[Erased] = []
    number = None
    while True:
        with database.transaction() as tx:
            number, erased = retention.erase(tx, before_ms, 99, number)
        if not erased.records:
            return slices
        slices.append(erased)


def ids(database: Database, table: str) -> list[str]:
    return [id for (id,) in rows(database, f"SELECT id FROM {table} ORDER BY id")]


def test_what_is_older_goes_with_its_start_and_the_rest_stays(database: Database) -> None:
    keep(database, record("old", NOON - 1), record("new", NOON))
    assert retention.due(database, NOON) == Erased(before_ms=NOON, records=1, requests=1, starts=1)
    assert ids(database, "records") == ["new", "old"]
    assert run(database) == [Erased(before_ms=NOON, records=1, requests=1, starts=1)]
    assert ids(database, "records") == ids(database, "starts") == ["new"]


def test_a_call_that_has_not_ended_keeps_its_start(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(START, ("open", 0, 0))
    keep(database, record("open"), record("ended"))
    assert retention.due(database, NOON).starts == 1
    run(database)
    assert ids(database, "starts") == ["open"]


def test_usage_by_the_hour_is_the_same_afterwards(database: Database) -> None:
    keep(database, *(record(f"{n:03}", n * HOUR_MS // 3, cost_nano=n, requests=n + 1) for n in range(60)))
    before = usage(database, UsageQuery(by=("day", "outcome")))
    run(database)
    assert len(ids(database, "records")) == 24
    assert usage(database, UsageQuery(by=("day", "outcome"))) == before


def test_the_ledger_is_never_erased(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO entries (account_id, kind, amount_nano, time_ms, idempotency_key, request_id)"
            " VALUES ('acct', 'charge', -5, 0, 'charge:old', 'old')"
        )
    keep(database, record("old", cost_nano=5))
    run(database)
    assert rows(database, "SELECT request_id, amount_nano FROM entries") == [("old", -5)]


def test_a_run_goes_in_slices_from_the_oldest_and_is_one_line_of_what_was_erased(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SLICE", 4)
    keep(database, *(record(f"{n}", 9 - n, requests=2) for n in range(9)))
    with database.transaction() as tx:
        number, _ = retention.erase(tx, NOON, 99, None)
    assert ids(database, "records") == ["0", "1", "2", "3", "4"]
    columns = "SELECT seq, time_ms, before_ms, requests, records, starts FROM erasures"
    assert rows(database, columns) == [(number, 99, HOUR_MS, 8, 4, 4)]
    with database.transaction() as tx:
        retention.erase(tx, NOON, 99, number)
        retention.erase(tx, NOON, 99, number)
    assert rows(database, columns) == [(number, 99, HOUR_MS, 18, 9, 9)]


def test_what_was_erased_while_the_clock_was_ahead_is_known_by_what_went(database: Database) -> None:
    """The auditor looks at the hours from then on, which a year ahead would be none."""
    keep(database, record("old", NOON - 1))
    run(database, NOON + 365 * 24 * HOUR_MS)
    assert rows(database, "SELECT before_ms, records FROM erasures") == [(NOON, 1)]


def test_where_nothing_is_old_nothing_was_erased(database: Database) -> None:
    keep(database, record("new", NOON))
    assert run(database) == []
    assert rows(database, "SELECT count(*) FROM erasures") == [(0,)]


@pytest.mark.parametrize(("now", "keep_ms"), [(NOON + 1, HOUR_MS), (NOON + HOUR_MS, HOUR_MS + 1), (NOON, HOUR_MS)])
def test_the_moment_is_a_whole_hour_and_never_too_late(now: int, keep_ms: int) -> None:
    moment = retention.before(now, keep_ms)
    assert moment % HOUR_MS == 0
    assert now - keep_ms - HOUR_MS < moment <= now - keep_ms


PERSONAL = {
    "client_ip": "192.0.2.1",
    "client_country": "DE",
    "tls_fingerprint": "t13d",
    "tools_available": '["function:call_anna"]',
    "tools_used": '["mcp:annas"]',
    "client_app": "curl/8",
    "error_message": "no model 'anna'",
    "told_message": "there is no 'anna'",
    "user_id": "user_1",
    "prompt_prefix": "I am Anna",
    "system_prompt_prefix": "Anna is kind",
    "abuse_reason": "writes like Anna",
    **dict.fromkeys(TOLD_BY_CLIENT, "anna's"),
}


def personal(id: str, key_id: str = "key_1", **fields: Any) -> Record:
    return record(id, key_id=key_id, cost_nano=7, output_tokens=3, requested_model="m", **(PERSONAL | fields))


class TestForgetting:
    @pytest.mark.parametrize(("whose", "id"), [("key", "key_1"), ("user", "user_1")])
    def test_records_name_nobody_and_are_otherwise_as_they_were(self, database: Database, whose: str, id: str) -> None:
        told = personal("a")
        keep(database, told, personal("b", key_id="key_2", user_id="user_2"))
        assert retention.how_many_name(database, whose, id) == 1
        found = retention.naming(database, whose, id, "")
        with database.transaction() as tx:
            assert retention.forget(tx, found) == 1
        assert retention.how_many_name(database, whose, id) == 0
        a, b = (
            dict(zip(COLUMNS, row, strict=True))
            for row in rows(database, f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY id")
        )
        assert {name: a[name] for name in PERSONAL} == dict.fromkeys(PERSONAL)
        kept = msgspec.structs.asdict(told) | dict.fromkeys(PERSONAL)
        assert a == kept
        assert {name: b[name] for name in PERSONAL} == PERSONAL | {"user_id": "user_2"}

    def test_they_are_found_slice_by_slice(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "SLICE", 2)
        keep(database, *(personal(f"{n}") for n in range(5)), record("6", key_id="key_1"))
        assert retention.naming(database, "key", "key_1", "") == ["0", "1"]
        assert retention.naming(database, "key", "key_1", "1") == ["2", "3"]
        assert retention.naming(database, "key", "key_1", "3") == ["4"]
        assert retention.how_many_name(database, "key", "key_1") == 5

    @pytest.mark.parametrize(
        ("whose", "has"),
        [
            ("key", "keys (id, hash, name, hint, created_ms) VALUES ('anna', 'h', 'n', 'h', 1)"),
            ("key", "captures (id, time_ms, key_id, bytes, about) VALUES ('c', 1, 'anna', 1, '')"),
            ("user", "users (id, name, created_ms) VALUES ('anna', 'Anna', 1)"),
            ("user", "accounts (id, kind, name, created_ms) VALUES ('anna', 'user', 'Anna', 1)"),
            ("user", "keys (id, hash, name, hint, created_ms, user_id) VALUES ('k', 'h', 'n', 'h', 1, 'anna')"),
            ("user", "captures (id, time_ms, key_id, user_id, bytes, about) VALUES ('c', 1, 'k', 'anna', 1, '')"),
            ("user", "free_use VALUES ('day', 1, 'user', 'anna', '', 1, 0, 0, 0, 0, 0, 0)"),
            ("user", "records (id, time_ms, api, operation, outcome, status, user_id)"
                     " VALUES ('r', 1, 'chat', 'generate', 'success', 200, 'anna')"),
        ],
    )  # fmt: skip
    def test_one_trace_of_somebody_is_enough_to_ask_that_it_be_erased(
        self, database: Database, whose: str, has: str
    ) -> None:
        """Users of tokens have no row of their own, and captures and free use outlive records."""
        assert not retention.is_known(database, whose, "anna")
        with database.transaction() as tx:
            tx.execute(f"INSERT INTO {has}")
        assert retention.is_known(database, whose, "anna")

    def test_keys_that_are_revoked_are_nobodys(self, database: Database) -> None:
        with database.transaction() as tx:
            for id, user, revoked in (("a", "user_1", 5), ("b", "user_1", None), ("c", "user_2", 5)):
                tx.execute(
                    "INSERT INTO keys (id, hash, name, hint, created_ms, revoked_ms, user_id)"
                    " VALUES (?, ?, 'of anna', 'h', 1, ?, ?)",
                    (id, id.encode(), revoked, user),
                )
            assert retention.forget_owner(tx, "user_1", 9) == 1
        assert rows(database, "SELECT id, name, user_id FROM keys ORDER BY id") == [
            ("a", "erased", None),
            ("b", "of anna", "user_1"),
            ("c", "of anna", "user_2"),
        ]

    def test_no_call_waits_until_the_whole_log_of_changes_is_read(self, database: Database) -> None:
        """It grows for as long as there is a gateway; what is behind a transaction's commit waits for all of it."""
        if database.dialect != "sqlite":
            pytest.skip("PostgreSQL plans by how much there is")
        said: list[str] = []

        class Asking:
            def execute(self, statement: str, values: Any = ()) -> list[Any]:
                plan = rows(database, f"EXPLAIN QUERY PLAN {statement.partition(' RETURNING ')[0]}", *values)
                said.extend(str(step[-1]) for step in plan)
                return [(0,)]

        retention.forget_owner(Asking(), "user_1", 9)  # type: ignore[arg-type]
        assert "SEARCH changes USING INDEX changes_by_target (target=?)" in said
        assert [step for step in said if step.startswith("SCAN changes")] == []
