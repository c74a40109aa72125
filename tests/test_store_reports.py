"""Single requests, as they are read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support_store import keep
from trivium.metering.record import COLUMNS, Record
from trivium.store.reports import RequestQuery, requests
from trivium.store.sql import Database

MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def record(id: str, **fields: object) -> Record:
    plain = Record(id=id, time_ms=MIDNIGHT, api="messages", operation="generate", outcome="success", status=200)
    return msgspec.structs.replace(plain, **fields)


THIRTY = [record(f"r{n}", time_ms=MIDNIGHT + n, outcome=["success", "failed"][n % 2]) for n in range(30)]


class TestRequests:
    @pytest.fixture(autouse=True)
    def thirty(self, database: Database) -> None:
        self.database = database
        keep(database, THIRTY)

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
    keep(database, [record("a")])
    assert requests(database, RequestQuery(id="' OR 1=1 --")) == []
    assert requests(database, RequestQuery(outcome="x'; DROP TABLE records; --")) == []
    assert len(requests(database, RequestQuery())) == 1
