"""What the records come to, compared with sums made by hand."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import StoreUnavailable
from trivium.metering.record import COLUMNS, Record
from trivium.store.database import migrate
from trivium.store.reports import GROUPS, RequestQuery, UsageQuery, requests, usage

MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def stored(records: list[Record]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    migrate(connection)
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(f"INSERT INTO records VALUES ({marks})", map(msgspec.structs.astuple, records))
    return connection


def record(id: str, **fields: object) -> Record:
    plain = Record(id=id, time_ms=MIDNIGHT, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


TOKENS = st.integers(0, 2**40)
SOME_RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "time_ms": st.integers(MIDNIGHT - 2, MIDNIGHT + 2) | st.integers(MIDNIGHT, MIDNIGHT + 3 * 86_400_000),
            "api": st.sampled_from(["messages", "responses"]),
            "operation": st.sampled_from(["generate", "generate", "count_tokens"]),
            "outcome": st.sampled_from(["success", "refused", "failed", "aborted"]),
            "key_id": st.sampled_from([None, "key_1", "key_2"]),
            "requested_model": st.sampled_from([None, "m", "quick"]),
            "provider": st.sampled_from([None, "a", "b"]),
            "upstream_model": st.sampled_from([None, "m", "n"]),
            "upstream_status": st.sampled_from([None, 200, 500]),
            "usage_known": st.booleans(),
            "input_uncached_tokens": TOKENS,
            "cache_read_tokens": TOKENS,
            "cache_write_5m_tokens": TOKENS,
            "cache_write_1h_tokens": TOKENS,
            "cache_write_other_tokens": TOKENS,
            "output_tokens": TOKENS,
            "reasoning_tokens": TOKENS,
            "requests": st.integers(1, 1000),
        }
    ),
    max_size=12,
).map(lambda rows: [record(str(n), **fields) for n, fields in enumerate(rows)])


def group_of(one: Record, name: str) -> str | None:
    if name == "day":
        return datetime.fromtimestamp(one.time_ms // 1000, UTC).strftime("%Y-%m-%d")
    if name == "model":
        known = one.provider is not None and one.upstream_model is not None
        return f"{one.provider}/{one.upstream_model}" if known else one.requested_model
    value: str | None = getattr(one, "key_id" if name == "key" else name)
    return value


def by_hand(records: list[Record], by: tuple[str, ...]) -> dict[tuple[str | None, ...], dict[str, int]]:
    groups: dict[tuple[str | None, ...], dict[str, int]] = {}
    for one in records:
        written = one.cache_write_5m_tokens + one.cache_write_1h_tokens + one.cache_write_other_tokens
        counts = {
            "requests": one.requests,
            "succeeded": one.requests if one.outcome == "success" else 0,
            "refused": one.requests if one.outcome == "refused" else 0,
            "failed": one.requests if one.outcome == "failed" else 0,
            "aborted": one.requests if one.outcome == "aborted" else 0,
            "input_tokens": one.input_uncached_tokens + one.cache_read_tokens + written,
            "input_uncached_tokens": one.input_uncached_tokens,
            "cache_read_tokens": one.cache_read_tokens,
            "cache_write_tokens": written,
            "output_tokens": one.output_tokens,
            "reasoning_tokens": one.reasoning_tokens,
        }
        group = groups.setdefault(tuple(group_of(one, name) for name in by), dict.fromkeys(counts, 0))
        for name, count in counts.items():
            group[name] += count
    return groups


@settings(deadline=None)
@given(
    SOME_RECORDS,
    st.lists(st.sampled_from(list(GROUPS)), min_size=1, max_size=4, unique=True).map(tuple),
    st.none() | st.integers(MIDNIGHT - 2, MIDNIGHT + 2),
    st.none() | st.integers(MIDNIGHT - 1, MIDNIGHT + 86_400_000),
)
def test_usage_is_the_sum_of_the_records_by_any_groups_in_any_span(
    records: list[Record], by: tuple[str, ...], since: int | None, until: int | None
) -> None:
    rows = usage(stored(records), UsageQuery(by=by, since_ms=since, until_ms=until))
    within = [
        one
        for one in records
        if one.operation == "generate"
        and (since is None or one.time_ms >= since)
        and (until is None or one.time_ms < until)
    ]
    expected = by_hand(within, by)
    assert {tuple(row[name] for name in by): {name: row[name] for name in SUMS} for row in rows} == expected
    assert len(rows) == len(expected)
    shown = [[(row[name] is not None, row[name] or "") for name in by] for row in rows]
    assert shown == sorted(shown)


SUMS = list(by_hand([record("a")], ())[()])


def test_a_request_that_grew_by_its_flood_counts_as_many() -> None:
    rows = usage(stored([record("a", outcome="refused", requests=70), record("b")]), UsageQuery(by=("api",)))
    assert [(row["requests"], row["refused"], row["succeeded"]) for row in rows] == [(71, 70, 1)]


@pytest.mark.parametrize(
    ("statuses", "unknown"),
    [
        pytest.param([200, 200, 500], 2),
        pytest.param([500], 0),
        pytest.param([None], 0),
    ],
)
def test_answers_without_usage_are_counted(statuses: list[int | None], unknown: int) -> None:
    records = [record(str(n), upstream_status=status, usage_known=False) for n, status in enumerate(statuses)]
    (row,) = usage(stored(records), UsageQuery(by=("api",)))
    assert row["usage_unknown"] == unknown


def test_without_groups_it_is_one_row_of_everything() -> None:
    (row,) = usage(stored([record("a", output_tokens=1), record("b", output_tokens=2)]), UsageQuery(by=()))
    assert (row["requests"], row["output_tokens"]) == (2, 3)


def test_without_groups_and_records_it_is_zero() -> None:
    (row,) = usage(stored([]), UsageQuery(by=()))
    assert set(row.values()) == {0}


def test_without_records_there_are_no_rows() -> None:
    assert usage(stored([]), UsageQuery()) == []
    assert requests(stored([]), RequestQuery()) == []


THIRTY = [record(f"r{n}", time_ms=MIDNIGHT + n, outcome=["success", "failed"][n % 2]) for n in range(30)]


class TestRequests:
    def ids(self, **asked: Any) -> list[str]:
        return [row["id"] for row in requests(stored(THIRTY), RequestQuery(**asked))]

    def test_the_newest_come_first(self) -> None:
        assert self.ids(limit=3) == ["r29", "r28", "r27"]
        assert len(self.ids()) == 20
        assert len(self.ids(limit=1000)) == 30

    def test_one_outcome_or_one_request_can_be_asked_for(self) -> None:
        assert self.ids(limit=2, outcome="failed") == ["r29", "r27"]
        assert self.ids(id="r7") == ["r7"]
        assert self.ids(id="nobody") == []
        assert self.ids(outcome="nothing") == []

    def test_a_row_has_every_field_of_the_record(self) -> None:
        (row,) = requests(stored(THIRTY), RequestQuery(id="r1"))
        assert tuple(row) == COLUMNS
        assert tuple(row.values()) == msgspec.structs.astuple(THIRTY[1])


def test_questions_are_bound_and_never_spliced_into_the_statement() -> None:
    connection = stored([record("a")])
    assert requests(connection, RequestQuery(id="' OR 1=1 --")) == []
    assert requests(connection, RequestQuery(outcome="x'; DROP TABLE records; --")) == []
    assert len(requests(connection, RequestQuery())) == 1


def test_a_store_that_cannot_be_read_is_unavailable() -> None:
    connection = stored([])
    connection.execute("DROP TABLE records")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        usage(connection, UsageQuery())
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        requests(connection, RequestQuery())


def test_a_store_that_fails_among_its_rows_is_unavailable_too() -> None:
    connection = stored([record(f"r{n}") for n in range(2000)])
    steps = iter(range(20))
    connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
    with pytest.raises(StoreUnavailable):
        requests(connection, RequestQuery(limit=2000))
