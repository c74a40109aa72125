"""What the records come to, compared with sums made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_store import keep
from trivium.errors import StoreUnavailable
from trivium.metering.record import COLUMNS, Record
from trivium.store.reports import GROUPS, RequestQuery, UsageQuery, requests, usage
from trivium.store.sql import Database

MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00:00Z


HOUR = 3_600_000


def store(database: Database, records: list[Record]) -> Database:
    """These records and no others, as they are written."""
    with database.transaction() as tx:
        tx.execute("DELETE FROM records")
        tx.execute("DELETE FROM usage_hours")
    keep(database, records)
    return database


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
            "account_id": st.sampled_from([None, "acct_1", "acct_2"]),
            "organization_id": st.sampled_from([None, "acme", "blue"]),
            "requested_model": st.sampled_from([None, "m", "quick"]),
            "provider": st.sampled_from([None, "a", "b"]),
            "upstream_model": st.sampled_from([None, "m", "n"]),
            "upstream_status": st.sampled_from([None, 200, 500]),
            "public_model": st.sampled_from([None, None, "house/x"]),
            "usage_known": st.booleans(),
            "input_uncached_tokens": TOKENS,
            "cache_read_tokens": TOKENS,
            "cache_write_5m_tokens": TOKENS,
            "cache_write_1h_tokens": TOKENS,
            "cache_write_other_tokens": TOKENS,
            "output_tokens": TOKENS,
            "reasoning_tokens": TOKENS,
            "requests": st.integers(1, 1000),
            "cost_nano": st.integers(0, 10**12),
            "market_cost_nano": st.none() | st.integers(0, 10**12),
        }
    ),
    max_size=12,
).map(lambda rows: [record(str(n), **fields) for n, fields in enumerate(rows)])


def group_of(one: Record, name: str, *, public: bool) -> str | None:
    if public and one.public_model is not None and name in ("model", "provider"):
        return one.public_model if name == "model" else None
    if name == "day":
        return datetime.fromtimestamp(one.time_ms // 1000, UTC).strftime("%Y-%m-%d")
    if name == "model":
        known = one.provider is not None and one.upstream_model is not None and one.upstream_status is not None
        return f"{one.provider}/{one.upstream_model}" if known and one.upstream_status != 404 else None
    value: str | None = getattr(one, f"{name}_id" if name in ("key", "account", "organization") else name)
    return value


def by_hand(
    records: list[Record], by: tuple[str, ...], *, public: bool = False
) -> dict[tuple[str | None, ...], dict[str, int]]:
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
            "usage_unknown": int(one.upstream_status == 200 and not one.usage_known),
            "cost_nano": one.cost_nano,
            "market_cost_nano": 0 if public and one.public_model else one.market_cost_nano or 0,
        }
        group = groups.setdefault(tuple(group_of(one, name, public=public) for name in by), dict.fromkeys(counts, 0))
        for name, count in counts.items():
            group[name] += count
    return groups


MOMENT = st.integers(MIDNIGHT - 2 * HOUR, MIDNIGHT + 75 * HOUR)
"""Anywhere in the span of the records, and often at a whole hour or a millisecond beside it."""
EDGES = st.builds(lambda hour, off: MIDNIGHT + hour * HOUR + off, st.integers(-1, 74), st.integers(-1, 1))
BY = st.lists(st.sampled_from(list(GROUPS)), min_size=1, max_size=4, unique=True).map(tuple)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=SOME_RECORDS,
    by=BY,
    since=st.none() | EDGES | MOMENT,
    until=st.none() | EDGES | MOMENT,
    public=st.booleans(),
)
def test_usage_is_the_sum_of_the_records_by_any_groups_in_any_span(
    database: Database, records: list[Record], by: tuple[str, ...], since: int | None, until: int | None, public: bool
) -> None:
    rows = usage(store(database, records), UsageQuery(by=by, since_ms=since, until_ms=until), public=public)
    within = [
        one
        for one in records
        if one.operation == "generate"
        and (since is None or one.time_ms >= since)
        and (until is None or one.time_ms < until)
    ]
    expected = by_hand(within, by, public=public)
    assert {tuple(row[name] for name in by): {name: row[name] for name in SUMS} for row in rows} == expected
    assert len(rows) == len(expected)
    shown = [[(row[name] is not None, row[name] or "") for name in by] for row in rows]
    assert shown == sorted(shown)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=SOME_RECORDS, by=BY, first=st.integers(-1, 74), hours=st.integers(1, 80))
def test_usage_of_whole_hours_needs_no_records(
    database: Database, records: list[Record], by: tuple[str, ...], first: int, hours: int
) -> None:
    since = MIDNIGHT + first * HOUR
    asked = UsageQuery(by=by, since_ms=since, until_ms=since + hours * HOUR)
    before = usage(store(database, records), asked)
    with database.transaction() as tx:
        tx.execute("DELETE FROM records")
    assert usage(database, asked) == before


SUMS = list(by_hand([record("a")], ())[()])


def test_a_request_that_grew_by_its_flood_counts_as_many(database: Database) -> None:
    rows = usage(store(database, [record("a", outcome="refused", requests=70), record("b")]), UsageQuery(by=("api",)))
    assert [(row["requests"], row["refused"], row["succeeded"]) for row in rows] == [(71, 70, 1)]


@pytest.mark.parametrize(
    ("statuses", "unknown"),
    [
        pytest.param([200, 200, 500], 2),
        pytest.param([500], 0),
        pytest.param([None], 0),
    ],
)
def test_answers_without_usage_are_counted(database: Database, statuses: list[int | None], unknown: int) -> None:
    records = [record(str(n), upstream_status=status, usage_known=False) for n, status in enumerate(statuses)]
    (row,) = usage(store(database, records), UsageQuery(by=("api",)))
    assert row["usage_unknown"] == unknown


def test_without_groups_it_is_one_row_of_everything(database: Database) -> None:
    (row,) = usage(store(database, [record("a", output_tokens=1), record("b", output_tokens=2)]), UsageQuery(by=()))
    assert (row["requests"], row["output_tokens"]) == (2, 3)


def test_without_groups_and_records_it_is_zero(database: Database) -> None:
    (row,) = usage(store(database, []), UsageQuery(by=()))
    assert set(row.values()) == {0}


def test_without_records_there_are_no_rows(database: Database) -> None:
    assert usage(store(database, []), UsageQuery()) == []
    assert requests(store(database, []), RequestQuery()) == []


THIRTY = [record(f"r{n}", time_ms=MIDNIGHT + n, outcome=["success", "failed"][n % 2]) for n in range(30)]


class TestRequests:
    @pytest.fixture(autouse=True)
    def thirty(self, database: Database) -> None:
        self.database = store(database, THIRTY)

    def ids(self, **asked: Any) -> list[str]:
        return [row["id"] for row in requests(self.database, RequestQuery(**asked))]

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
        (row,) = requests(self.database, RequestQuery(id="r1"))
        assert tuple(row) == COLUMNS
        assert tuple(row.values()) == msgspec.structs.astuple(THIRTY[1])


def test_questions_are_bound_and_never_spliced_into_the_statement(database: Database) -> None:
    store(database, [record("a")])
    assert requests(database, RequestQuery(id="' OR 1=1 --")) == []
    assert requests(database, RequestQuery(outcome="x'; DROP TABLE records; --")) == []
    assert len(requests(database, RequestQuery())) == 1


@pytest.mark.parametrize("table", ["records", "usage_hours"])
def test_a_store_that_cannot_be_read_is_unavailable(database: Database, table: str) -> None:
    with database.transaction() as tx:
        tx.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        usage(database, UsageQuery(since_ms=MIDNIGHT + 1))
