"""What the records come to, compared with sums made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_records import MIDNIGHT, record
from support_store import fold, keep
from trivium.errors import StoreUnavailable
from trivium.metering.record import Record
from trivium.store import spans
from trivium.store.migrations import migrate
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase
from trivium.store.usage import FILTERS as FILTERS_OF
from trivium.store.usage import GROUPS, Keys, UsageQuery, usage

HOUR = 3_600_000
TABLES = ("records", "usage_hours", "usage_folds", *(fold.table for fold in spans.FOLDS))


def store(database: Database, records: list[Record], folded: int | None = None) -> Database:
    """These records and no others, as they are written: half of them before the days are folded up to an hour."""
    with database.transaction() as tx:
        for table in TABLES:
            tx.execute(f"DELETE FROM {table}")
        for key in ("key_1", "key_2"):
            tx.execute(
                "INSERT INTO keys (id, hash, name, hint, created_ms, user_id) VALUES (?, ?, '', '', 1, 'jo')"
                " ON CONFLICT (id) DO NOTHING",
                (key, key.encode()),
            )
    keep(database, records[::2])
    if folded is not None:
        fold(database, MIDNIGHT + folded * HOUR + spans.SETTLED_MS)
    keep(database, records[1::2])
    return database


KEYS_OF = Keys(lambda user: f"tok_{user}")


TOKENS = st.integers(0, 2**40)
SOME_RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "time_ms": st.integers(MIDNIGHT - 2, MIDNIGHT + 2) | st.integers(MIDNIGHT, MIDNIGHT + 3 * 86_400_000),
            "api": st.sampled_from(["messages", "responses"]),
            "operation": st.sampled_from(["generate", "generate", "count_tokens"]),
            "outcome": st.sampled_from(["success", "refused", "failed", "aborted"]),
            "key_id": st.sampled_from([None, "key_1", "key_2", "key_3"]),
            "project_id": st.sampled_from([None, "blog"]),
            "client_app": st.sampled_from([None, "curl/8.0", "claude-cli", "mine/1"]),
            "ttfb_us": st.none() | st.integers(0, 10**8),
            "total_us": st.integers(0, 10**9),
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
    if name == "hour":
        return datetime.fromtimestamp(one.time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:00Z")
    if name == "user":
        return "jo" if one.key_id in ("key_1", "key_2") else None
    if name == "app":
        return {None: None, "curl/8.0": "curl", "claude-cli": "claude-cli", "mine/1": "other"}[one.client_app]
    ids = ("key", "account", "organization", "project")
    value: str | None = getattr(one, f"{name}_id" if name in ids else name)
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
        timed = one.outcome == "success" and one.ttfb_us is not None
        counts |= {"timed": int(timed), "ttfb_us": (one.ttfb_us or 0) * timed, "total_us": one.total_us * timed}
        group = groups.setdefault(tuple(group_of(one, name, public=public) for name in by), dict.fromkeys(counts, 0))
        for name, count in counts.items():
            group[name] += count
    return groups


MOMENT = st.integers(MIDNIGHT - 2 * HOUR, MIDNIGHT + 75 * HOUR)
"""Anywhere in the span of the records, and often at a whole hour or a millisecond beside it."""
EDGES = st.builds(lambda hour, off: MIDNIGHT + hour * HOUR + off, st.integers(-1, 74), st.integers(-1, 1))
BY = st.lists(st.sampled_from(list(GROUPS)), min_size=1, max_size=4, unique=True).map(tuple)


FOLDED = st.none() | st.integers(-1, 80)
FILTERS = st.dictionaries(st.sampled_from(FILTERS_OF), st.lists(st.integers(0, 11), min_size=1, max_size=2), max_size=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=SOME_RECORDS,
    by=BY,
    since=st.none() | EDGES | MOMENT,
    until=st.none() | EDGES | MOMENT,
    whose=st.sampled_from([{}, {}, {"organization": "acme"}, {"user": "jo"}, {"organization": "acme", "user": "jo"}]),
    public=st.booleans(),
    folded=FOLDED,
)
def test_usage_is_the_sum_of_the_records_by_any_groups_in_any_span(
    database: Database,
    records: list[Record],
    by: tuple[str, ...],
    since: int | None,
    until: int | None,
    whose: dict[str, Any],
    public: bool,
    folded: int | None,
) -> None:
    asked = UsageQuery(by=by, since_ms=since, until_ms=until, **whose)
    rows = usage(store(database, records, folded), asked, public=public, keys=KEYS_OF, timed=True)
    within = [
        one
        for one in records
        if one.operation == "generate"
        and (since is None or one.time_ms >= since)
        and (until is None or one.time_ms < until)
        and whose.get("organization") in (None, one.organization_id)
        and ("user" not in whose or one.key_id in ("key_1", "key_2"))
    ]
    expected = by_hand(within, by, public=public)
    assert {tuple(row[name] for name in by): {name: row[name] for name in SUMS} for row in rows} == expected
    assert len(rows) == len(expected)
    shown = [[(row[name] is not None, row[name] or "") for name in by] for row in rows]
    assert shown == sorted(shown)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=SOME_RECORDS, only=FILTERS, without=FILTERS, public=st.booleans(), folded=FOLDED)
def test_filters_leave_what_has_one_of_the_values_and_none_of_the_others(
    database: Database,
    records: list[Record],
    only: dict[str, list[int]],
    without: dict[str, list[int]],
    public: bool,
    folded: int | None,
) -> None:
    """The values are those of some of the records, and of none where there are fewer."""

    def value_of(name: str, number: int) -> str:
        return group_of(records[number], name, public=public) or "" if number < len(records) else "nobody"

    def said(filters: dict[str, list[int]]) -> dict[str, set[str]]:
        return {name: {value_of(name, number) for number in numbers} for name, numbers in filters.items()}

    wanted, unwanted = said(only), said(without)
    within = [
        one
        for one in records
        if one.operation == "generate"
        and all((group_of(one, name, public=public) or "") in values for name, values in wanted.items())
        and not any((group_of(one, name, public=public) or "") in values for name, values in unwanted.items())
    ]
    texts = [tuple(f"{name}:{value}" for name, some in which.items() for value in some) for which in (wanted, unwanted)]
    asked = UsageQuery(by=("api",), only=texts[0], without=texts[1])
    rows = usage(store(database, records, folded), asked, public=public, keys=KEYS_OF, timed=True)
    expected = by_hand(within, ("api",), public=public)
    assert {(row["api"],): {name: row[name] for name in SUMS} for row in rows} == expected


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=SOME_RECORDS, by=BY, first=st.integers(-1, 74), hours=st.integers(1, 80))
def test_usage_of_whole_hours_needs_no_records(
    database: Database, records: list[Record], by: tuple[str, ...], first: int, hours: int
) -> None:
    since = MIDNIGHT + first * HOUR
    asked = UsageQuery(by=by, since_ms=since, until_ms=since + hours * HOUR)
    before = usage(store(database, records), asked, keys=KEYS_OF)
    with database.transaction() as tx:
        tx.execute("DELETE FROM records")
    assert usage(database, asked, keys=KEYS_OF) == before


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


@pytest.mark.parametrize("by", [("model",), ("key",), ("model", "key")])
def test_of_a_day_that_is_not_over_every_hour_is_told_once(database: Database, by: tuple[str, ...]) -> None:
    """Each of these is asked of another table of spans, and not all of them have hours."""
    keep(database, [record(str(hour), time_ms=MIDNIGHT + hour * HOUR) for hour in range(4)])
    fold(database, MIDNIGHT + 3 * HOUR + spans.SETTLED_MS)

    def told(first: int, last: int) -> int:
        asked = UsageQuery(by=by, since_ms=MIDNIGHT + first * HOUR, until_ms=MIDNIGHT + last * HOUR)
        return sum(row["requests"] for row in usage(database, asked))

    assert [told(0, 4), told(0, 3), told(0, 2), told(1, 2), told(1, 4), told(3, 4)] == [4, 3, 2, 1, 3, 1]


def test_an_hour_that_is_folded_while_one_asks_is_told_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(database, [record(str(hour), time_ms=MIDNIGHT + hour * HOUR) for hour in range(4)])
    fold(database, MIDNIGHT + 2 * HOUR + spans.SETTLED_MS)
    query, folding = database.query, [MIDNIGHT + 4 * HOUR + spans.SETTLED_MS]

    def slow(statement: str, values: Sequence[Any] = ()) -> Any:
        if "UNION ALL" in statement and folding:
            fold(database, folding.pop())
        return query(statement, values)

    monkeypatch.setattr(database, "query", slow)
    asked = UsageQuery(by=("model",), since_ms=MIDNIGHT, until_ms=MIDNIGHT + 4 * HOUR)
    assert [row["requests"] for row in usage(database, asked)] == [4]
    assert not folding


def test_of_a_part_of_an_hour_its_records_are_told(database: Database) -> None:
    minute = 60_000
    store(database, [record(str(n), time_ms=MIDNIGHT + n * 10 * minute) for n in range(6)])

    def told(since: int, until: int) -> int:
        asked = UsageQuery(by=(), since_ms=MIDNIGHT + since * minute, until_ms=MIDNIGHT + until * minute)
        return int(usage(database, asked)[0]["requests"])

    assert [told(10, 20), told(5, 35), told(0, 50), told(51, 59), told(50, 61)] == [1, 3, 5, 0, 1]


@pytest.mark.parametrize("folded", [None, 1])
def test_a_users_calls_are_those_with_its_tokens_as_well(database: Database, folded: int | None) -> None:
    with database.transaction() as tx:
        tx.execute("INSERT INTO users (id, name, created_ms) VALUES ('jo', 'Jo', 1) ON CONFLICT (id) DO NOTHING")
    theirs = [record(str(n), key_id=key) for n, key in enumerate(("key_1", KEYS_OF.token("jo"), "key_3", None))]
    store(database, theirs, folded)
    by_user = {row["user"]: row["requests"] for row in usage(database, UsageQuery(by=("user",)), keys=KEYS_OF)}
    assert by_user == {"jo": 2, None: 2}
    for question in (UsageQuery(by=(), user="jo"), UsageQuery(by=(), only=("user:jo",))):
        assert [row["requests"] for row in usage(database, question, keys=KEYS_OF)] == [2]


def test_an_organizations_usage_is_read_without_that_of_others(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "x.db")
    migrate(database)
    keep(database, [record(str(day), time_ms=MIDNIGHT + day * 24 * HOUR, organization_id="acme") for day in range(40)])
    fold(database, MIDNIGHT + 50 * 24 * HOUR)
    plans: list[str] = []
    query = database.query

    def explained(statement: str, values: Sequence[Any] = ()) -> Any:
        plans.extend(str(row[3]) for row in query(f"EXPLAIN QUERY PLAN {statement}", values)[1])
        return query(statement, values)

    database.query = explained  # type: ignore[method-assign]
    for by in ((), ("key",), ("model", "key"), ("day", "model")):
        asked = UsageQuery(by=by, since_ms=MIDNIGHT, until_ms=MIDNIGHT + 40 * 24 * HOUR, organization="acme")
        assert sum(row["requests"] for row in usage(database, asked, public=True)) == 40
    reads = [plan for plan in plans if "usage_spans" in plan]
    assert reads
    assert all("(hours=? AND from_ms=? AND operation=? AND organization_id=?)" in plan for plan in reads), reads
    assert {plan.split()[1] for plan in reads} == {"usage_spans_of_keys", "usage_spans"}
    database.close()


def test_without_groups_it_is_one_row_of_everything(database: Database) -> None:
    (row,) = usage(store(database, [record("a", output_tokens=1), record("b", output_tokens=2)]), UsageQuery(by=()))
    assert (row["requests"], row["output_tokens"]) == (2, 3)


def test_without_groups_and_records_it_is_zero(database: Database) -> None:
    (row,) = usage(store(database, []), UsageQuery(by=()))
    assert set(row.values()) == {0}


def test_without_records_there_are_no_rows(database: Database) -> None:
    assert usage(store(database, []), UsageQuery()) == []


@pytest.mark.parametrize("table", ["records", "usage_hours"])
def test_a_store_that_cannot_be_read_is_unavailable(database: Database, table: str) -> None:
    with database.transaction() as tx:
        tx.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        usage(database, UsageQuery(since_ms=MIDNIGHT + 1))
