"""Sums by the hour, as they are added up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_store import keep
from support_store import rows as read
from trivium.clock import HOUR_MS
from trivium.metering.record import Record
from trivium.store import rollups
from trivium.store.rollups import KEYS, SUMS
from trivium.store.sql import Database

NAMES = KEYS + SUMS


def record(id: str = "a", **fields: Any) -> Record:
    plain = Record(id=id, time_ms=HOUR_MS, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def named(*records: Record) -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in rollups.rows(records)]


def write(database: Database, records: list[Record]) -> None:
    with database.transaction() as tx:
        tx.executemany(rollups.STATEMENT, rollups.rows(records))


def table(database: Database) -> list[tuple[Any, ...]]:
    return read(database, f"SELECT {', '.join(NAMES)} FROM usage_hours ORDER BY {', '.join(KEYS)}")


def test_a_row_says_when_who_and_what() -> None:
    told = record(
        time_ms=2 * HOUR_MS - 1, key_id="k", account_id="acct", organization_id="acme", provider="up",
        upstream_model="m",
        requested_model="fast", upstream_status=200, usage_known=True, output_tokens=7, cost_nano=5, market_cost_nano=9,
        public_model="house/x", project_id="blog", client_app="claude-cli/2.1.2", ttfb_us=131_072, total_us=10**9,
    )  # fmt: skip
    (row,) = named(told)
    assert row == dict.fromkeys(SUMS, 0) | {
        "hour_ms": HOUR_MS,
        "operation": "generate",
        "key_id": "k",
        "account_id": "acct",
        "organization_id": "acme",
        "project_id": "blog",
        "api": "messages",
        "provider": "up",
        "model": "up/m",
        "public_model": "house/x",
        "outcome": "success",
        "app": "claude-cli",
        "requests": 1,
        "output_tokens": 7,
        "cost_nano": 5,
        "market_cost_nano": 9,
        "timed": 1,
        "ttfb_us": 131_072,
        "total_us": 10**9,
        "ttfb_1": 1,
        "total_8": 1,
    }


def test_what_nobody_knows_is_empty_or_nothing() -> None:
    (row,) = named(record())
    assert [row[name] for name in ("key_id", "account_id", "provider", "model", "market_cost_nano")] == [
        "",
        "",
        "",
        "",
        0,
    ]


@pytest.mark.parametrize(
    ("status", "model"),
    [(None, ""), (200, "up/m"), (400, ""), (404, ""), (429, ""), (499, ""), (500, "up/m")],
)
def test_names_that_callers_make_up_add_no_rows(status: int | None, model: str) -> None:
    (row,) = named(record(requested_model="m", provider="up", upstream_model="m", upstream_status=status))
    assert row["model"] == model


@pytest.mark.parametrize("status", [None, 404, 429])
def test_a_model_that_is_known_to_be_there_is_named_though_its_provider_refused(status: int | None) -> None:
    (row,) = named(record(provider="up", upstream_model="m", upstream_status=status, model_listed=1))
    assert row["model"] == "up/m"


@pytest.mark.parametrize(
    ("status", "known", "unknown"), [(200, False, 1), (200, True, 0), (500, False, 0), (None, False, 0)]
)
def test_an_answer_without_usage_is_counted(status: int | None, known: bool, unknown: int) -> None:
    assert named(record(upstream_status=status, usage_known=known))[0]["usage_unknown"] == unknown


def test_what_is_alike_is_one_row_and_the_rows_are_in_order() -> None:
    found = named(
        record("a", key_id="k2"),
        record("b", key_id="k1", requests=70),
        record("c", key_id="k2", requests=2, time_ms=2 * HOUR_MS - 1),
        record("d", key_id="k2", time_ms=2 * HOUR_MS),
    )
    assert [(row["hour_ms"], row["key_id"], row["requests"]) for row in found] == [
        (HOUR_MS, "k1", 70),
        (HOUR_MS, "k2", 3),
        (2 * HOUR_MS, "k2", 1),
    ]


def test_no_records_are_no_rows() -> None:
    assert rollups.rows([]) == []


SOME = st.lists(
    st.builds(
        record,
        time_ms=st.integers(0, 3 * HOUR_MS),
        key_id=st.sampled_from([None, "k"]),
        outcome=st.sampled_from(["success", "failed"]),
        requests=st.integers(1, 9),
        output_tokens=st.integers(0, 2**53),
        market_cost_nano=st.none() | st.integers(0, 2**53),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SOME, st.integers(0, 8))
def test_in_however_many_transactions_it_is_written_the_sums_are_the_same(
    database: Database, records: list[Record], cut: int
) -> None:
    with database.transaction() as tx:
        tx.execute("DELETE FROM usage_hours")
    write(database, records[:cut])
    write(database, records[cut:])
    assert table(database) == rollups.rows(records)


@pytest.mark.parametrize("name", sorted(rollups.COLUMNS))
def test_what_the_database_makes_of_a_record_is_what_is_added(database: Database, name: str) -> None:
    """The same figure has two sources: of whole hours the sums, at their edges the records."""
    some = [
        record("0"),
        record("1", key_id="k", account_id="a", provider="up", upstream_model="m", market_cost_nano=3),
        record("2", provider="up", requested_model="r", upstream_status=200, usage_known=True),
        record("3", upstream_status=200, usage_known=False),
        record("4", provider="up", upstream_model="m", model_listed=1),
        record("5", provider="up", upstream_model="m", upstream_status=429, model_listed=1),
        record("6", provider="up", upstream_model="m", upstream_status=429),
        *(record(f"a{n}", client_app=app) for n, app in enumerate(("curl", "curl/8", "curl8/1", "", "x/curl/1"))),
        *(
            record(f"t{n}", ttfb_us=ttfb, total_us=total, outcome=outcome, project_id="p")
            for n, (ttfb, total, outcome) in enumerate(
                (
                    (0, 0, "success"),
                    *((2**17 << n, 2**19 << n, "success") for n in range(9)),
                    *(((2**17 << n) - 1, (2**19 << n) - 1, "success") for n in range(9)),
                    (5, 5, "failed"),
                )
            )
        ),
    ]
    keep(database, some)
    found = dict(read(database, f"SELECT id, {rollups.COLUMNS[name]} FROM records"))
    assert found == {one.id: named(one)[0][name] for one in some}
