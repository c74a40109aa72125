"""Which records a provider can be asked about, page by page."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_records import MIDNIGHT, keep, record
from trivium.errors import StoreUnavailable
from trivium.metering.record import COLUMNS
from trivium.store.reconcile import Charged, ReconcileQuery, charged
from trivium.store.sql import Database

UP = {"provider": "up", "upstream_id": "gen-1"}


def found(database: Database, **asked: Any) -> list[str]:
    return [row.id for row in charged(database, ReconcileQuery(provider="up", **asked))]


def test_its_fields_are_columns_and_a_row_is_read_into_them(database: Database) -> None:
    assert set(Charged.__struct_fields__) <= set(COLUMNS)
    keep(database, record("r", **UP, payer="house", cost_nano=7, markup_ppm=-5, output_tokens=3, usage_known=True))
    (row,) = charged(database, ReconcileQuery(provider="up"))
    assert (row.id, row.time_ms, row.upstream_id, row.payer, row.cost_nano) == ("r", MIDNIGHT, "gen-1", "house", 7)
    assert (row.markup_ppm, row.output_tokens, row.usage_known, row.market_cost_nano) == (-5, 3, 1, None)


def test_only_answers_of_the_provider_that_have_an_id_there_are_asked_for(database: Database) -> None:
    keep(
        database,
        record("a", **UP),
        record("other", provider="down", upstream_id="gen-2"),
        record("refused", provider=None, upstream_id=None),
        record("nameless", provider="up", upstream_id=None),
        record("blank", provider="up", upstream_id=""),
        record("counted", **UP, operation="count_tokens"),
        record("aborted", **UP, outcome="aborted"),
    )
    assert sorted(found(database)) == ["a", "aborted"]


def test_a_span_includes_its_beginning_and_not_its_end(database: Database) -> None:
    keep(database, *(record(f"r{n}", **UP, time_ms=MIDNIGHT + n) for n in range(4)))
    assert found(database, since_ms=MIDNIGHT + 1, until_ms=MIDNIGHT + 3) == ["r2", "r1"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
def test_pages_together_are_everything_once_the_newest_first(database: Database, times: list[int], limit: int) -> None:
    records = [record(f"r{n:02}", **UP, time_ms=MIDNIGHT + time) for n, time in enumerate(times)]
    keep(database, *reversed(records))
    query = ReconcileQuery(provider="up", limit=limit)
    pages: list[list[tuple[int, str]]] = []
    while rows := charged(database, query):
        assert len(pages) < 20
        pages.append([(row.time_ms, row.id) for row in rows])
        query = msgspec.structs.replace(query, until_ms=rows[-1].time_ms, until_id=rows[-1].id)
    everything = [place for page in pages for place in page]
    assert everything == sorted(((MIDNIGHT + time, f"r{n:02}") for n, time in enumerate(times)), reverse=True)
    assert all(len(page) == limit for page in pages[:-1])


def test_names_are_bound_and_never_spliced(database: Database) -> None:
    keep(database, record("a", **UP))
    assert charged(database, ReconcileQuery(provider="' OR 1=1 --")) == []
    assert found(database, until_id="' OR 1=1 --") == ["a"]


def test_a_store_that_cannot_be_read_is_unavailable(database: Database) -> None:
    with database.transaction() as writing:
        writing.execute("DROP TABLE records")
    with pytest.raises(StoreUnavailable):
        charged(database, ReconcileQuery(provider="up"))


def test_what_a_call_costs_is_what_it_was_corrected_to(database: Database) -> None:
    keep(database, record("a", **UP, cost_nano=9))
    with database.transaction() as tx:
        for number, after in ((1, 7), (2, 5)):
            tx.execute(
                "INSERT INTO rerates (request_id, number, price_version, markup_ppm, time_ms, before_nano, after_nano)"
                " VALUES ('a', ?, 'pr_1', ?, 1, 9, ?)",
                (number, number * 10, after),
            )
    (one,) = charged(database, ReconcileQuery(provider="up"))
    assert (one.cost_nano, one.markup_ppm) == (5, 20)
