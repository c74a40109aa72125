"""Requests as they are found, compared with a look at each of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_store import fold, keep
from trivium.clock import DAY_MS, HOUR_MS
from trivium.metering.record import Record
from trivium.store import search, spans
from trivium.store.search import Search, find
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase
from trivium.store.usage import FILTERS, Keys
from trivium.store.whose import Whose

START = 20_000 * DAY_MS
KEYS = Keys(lambda user: f"tok_{user}")


def record(id: str, time_ms: int = START, **fields: Any) -> Record:
    plain = Record(id=id, time_ms=time_ms, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


def every(database: Database, asked: Search, *, public: bool = False) -> list[str]:
    """The ids of all parts."""
    found: list[str] = []
    while True:
        part = find(database, asked, public=public, token=None, keys=KEYS)
        assert len(part.rows) <= asked.limit
        found += [row["id"] for row in part.rows]
        if part.before is None:
            return found
        asked = msgspec.structs.replace(asked, before=part.before)


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "time_ms": st.integers(START, START + 3) | st.integers(START, START + 4 * DAY_MS),
            "key_id": st.sampled_from([None, "key_1", "key_3"]),
            "organization_id": st.sampled_from([None, "acme"]),
            "project_id": st.sampled_from([None, "blog"]),
            "provider": st.sampled_from([None, "up"]),
            "upstream_model": st.sampled_from([None, "m", "n"]),
            "upstream_status": st.sampled_from([None, 200, 404]),
            "model_listed": st.sampled_from([None, 1]),
            "public_model": st.sampled_from([None, "house/x"]),
            "client_app": st.sampled_from([None, "curl/8.0", "mine/1"]),
            "outcome": st.sampled_from(["success", "failed"]),
            "status": st.sampled_from([200, 502]),
            "cost_nano": st.integers(0, 3),
            "requested_model": st.sampled_from([None, "m"]),
        }
    ),
    max_size=10,
).map(lambda rows: [record(f"r{n}", **fields) for n, fields in enumerate(rows)])  # type: ignore[arg-type]


def values_of(one: Record, *, public: bool) -> dict[str, str]:
    named = one.provider and one.upstream_model and (one.upstream_status == 200 or one.model_listed)
    secret = public and one.public_model
    return {
        "model": one.public_model if secret else f"{one.provider}/{one.upstream_model}" if named else "",  # type: ignore[dict-item]
        "provider": "" if secret else one.provider or "",
        "key": one.key_id or "",
        "user": "jo" if one.key_id == "key_1" else "",
        "project": one.project_id or "",
        "app": {None: "", "curl/8.0": "curl", "mine/1": "other"}[one.client_app],
        "api": one.api,
        "organization": one.organization_id or "",
        "account": one.account_id or "",
        "outcome": one.outcome,
    }


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=RECORDS,
    filters=st.lists(st.tuples(st.sampled_from(FILTERS), st.integers(0, 10)), max_size=2),
    more=st.fixed_dictionaries(
        {},
        optional={
            "status": st.sampled_from([200, 502]),
            "min_cost_nano": st.integers(0, 4),
            "requested": st.just("m"),
            "text": st.sampled_from(["1", "r1", "%", "_"]),
            "since_ms": st.integers(START, START + 4 * DAY_MS),
            "until_ms": st.integers(START, START + 4 * DAY_MS),
            "whose": st.just(Whose(organization="acme")),
        },
    ),
    folded=st.none() | st.integers(0, 5 * 24),
    limit=st.integers(1, 3),
    public=st.booleans(),
)
def test_what_is_found_is_what_a_look_at_each_finds_newest_first(
    database: Database,
    records: list[Record],
    filters: list[tuple[str, int]],
    more: dict[str, Any],
    folded: int | None,
    limit: int,
    public: bool,
) -> None:
    with database.transaction() as tx:
        for table in ("records", "usage_hours", "usage_folds", *(one.table for one in spans.FOLDS)):
            tx.execute(f"DELETE FROM {table}")
        tx.execute(
            "INSERT INTO keys (id, hash, name, hint, created_ms, user_id) VALUES ('key_1', ?, '', '', 1, 'jo')"
            " ON CONFLICT (id) DO NOTHING",
            (b"1",),
        )
    keep(database, records)
    if folded is not None:
        fold(database, START + folded * HOUR_MS)
    wanted = [
        (name, values_of(records[n], public=public)[name] if n < len(records) else "nobody") for name, n in filters
    ]
    by_name: dict[str, set[str]] = {}
    for name, value in wanted:
        by_name.setdefault(name, set()).add(value)
    expected = [
        one
        for one in records
        if all(values_of(one, public=public)[name] in values for name, values in by_name.items())
        and ("status" not in more or one.status == more["status"])
        and one.cost_nano >= more.get("min_cost_nano", 0)
        and ("requested" not in more or one.requested_model == more["requested"])
        and more.get("text", "") in one.id
        and more.get("since_ms", 0) <= one.time_ms < more.get("until_ms", 2**53)
        and ("whose" not in more or one.organization_id == "acme")
    ]
    asked = Search(only=tuple(f"{name}:{value}" for name, value in wanted), limit=limit, **more)
    ids = [one.id for one in sorted(expected, key=lambda one: (one.time_ms, one.id), reverse=True)]
    assert every(database, asked, public=public) == ids


def test_a_search_reads_so_many_records_and_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_STEP", 3)
    monkeypatch.setattr(search, "_MOST", 6)
    keep(database, [record(f"r{n:02}", START + n, status=500 if n == 1 else 200) for n in range(20)])
    part = find(database, Search(status=500), public=False, token=None, keys=KEYS)
    assert part.rows == []
    assert part.before is not None
    assert every(database, Search(status=500)) == ["r01"]


def test_a_request_is_found_by_the_beginning_of_its_id_at_once(database: Database) -> None:
    ids = [f"req_{START + n * DAY_MS:012x}{n:03}f{0:012x}" for n in range(9)]
    keep(database, [record(id, START + n * DAY_MS + 3) for n, id in enumerate(ids)])
    for n, id in enumerate(ids):
        assert every(database, Search(text=id)) == [id]
        assert every(database, Search(text=id[:16])) == [id]
        assert every(database, Search(text=f"{n:03}f0", limit=3)) == [id]
    assert every(database, Search(text="req_0")) == ids[::-1]


def test_hours_without_such_calls_are_passed_over_unread(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(database, [record(f"r{n}", START + n * HOUR_MS, key_id="a" if n == 2 else "b") for n in range(60)])
    fold(database, START + 2 * DAY_MS + spans.SETTLED_MS)
    reads: list[int] = []
    read = search._Finder.read
    monkeypatch.setattr(search._Finder, "read", lambda self, *args: reads.append(args[1]) or read(self, *args))  # type: ignore[func-returns-value]
    assert every(database, Search(only=("key:a",))) == ["r2"]
    assert reads == [START + 2 * HOUR_MS]


@pytest.mark.parametrize(
    "asked",
    [
        Search(),
        Search(since_ms=START, until_ms=START + DAY_MS),
        *(Search(since_ms=START, only=(f"{name}:x",)) for name in FILTERS),
        Search(since_ms=START, status=500),
        Search(since_ms=START, min_cost_nano=1),
        Search(since_ms=START, requested="m"),
        Search(since_ms=START, text="abc"),
        Search(since_ms=START, text="req_0123"),
        Search(since_ms=START, whose=Whose(organization="acme", user="jo")),
        Search(before=(START, "x")),
    ],
    ids=str,
)
def test_no_search_goes_through_a_whole_table(tmp_path: Any, asked: Search) -> None:
    """Of `records` and of the sums. Keys are few."""
    from trivium.store.migrations import migrate  # noqa: PLC0415

    database = SqliteDatabase(tmp_path / "x.db")
    migrate(database)
    keep(database, [record("r", key_id="x", provider="x", upstream_model="x", upstream_status=200)])
    fold(database, START + 2 * DAY_MS)
    plans: list[str] = []
    query = database.query

    def explained(statement: str, values: Any = ()) -> Any:
        plans.extend(row[3] for row in query(f"EXPLAIN QUERY PLAN {statement}", values)[1])
        return query(statement, values)

    database.query = explained  # type: ignore[method-assign]
    find(database, asked, public=False, token=None, keys=KEYS)
    assert plans
    assert [plan for plan in plans if plan.startswith("SCAN") and "keys" not in plan] == []
    database.close()
