"""What the ledger asks of its database: few statements, however many values there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.metering.charge import Payer
from trivium.metering.record import Outcome, Record
from trivium.pipeline.call import Operation
from trivium.store.posting import _row, charge_of, expire_due
from trivium.store.sql import Row


class Asked:
    """A transaction that notes what it is asked, and finds nothing."""

    def __init__(self) -> None:
        self.statements: set[str] = set()
        self.values: list[Any] = []

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        assert statement.count("?") == len(values)
        self.statements.add(statement)
        self.values += values
        return []

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        raise AssertionError(statement)

    def take_turn(self) -> None:
        raise AssertionError


def test_a_database_has_few_statements_to_keep() -> None:
    asked = Asked()
    for many in range(1, 520):
        expire_due(asked, [f"acct_{n}" for n in range(many)], 1)
    assert len(asked.statements) == 10


@pytest.mark.parametrize("many", [0, 1, 2, 3, 5, 512, 513, 1100])
def test_each_value_is_asked_for(many: int) -> None:
    asked, ids = Asked(), {f"acct_{n}" for n in range(many)}
    expire_due(asked, ids, 1)
    assert {value for value in asked.values if value != 1} == ids


def test_a_charge_is_of_the_moment_when_its_call_ended_and_runs_over_only_what_is_less() -> None:
    record = Record(
        id="req_1", time_ms=1_000, api=Api.CHAT, operation=Operation.GENERATE, outcome=Outcome.SUCCESS, status=200,
        total_us=2_500_000, cost_nano=7,
    )  # fmt: skip
    charges = [charge_of(record, "acme", hold) for hold in (8, 7, 6)]
    assert {(one.time_ms, one.amount_nano, one.request_id) for one in charges} == {(3_500, -7, "req_1")}
    assert [one.flags for one in charges] == ["", "", "overrun"]


def test_a_records_row_is_what_sqlite_takes_without_asking_for_an_adapter() -> None:
    record = Record(
        id="req_1", time_ms=1, api=Api.CHAT, operation=Operation.GENERATE, outcome=Outcome.SUCCESS, status=200,
        upstream_api=Api.MESSAGES, finish_reason=FinishReason.STOP, payer=Payer.HOUSE, stream=True, usage_known=True,
    )  # fmt: skip
    row = _row(record)
    assert row == list(msgspec.structs.astuple(record))
    assert {type(value) for value in row} == {str, int, type(None)}
