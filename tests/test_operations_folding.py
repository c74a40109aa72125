"""Days that are folded while a gateway runs."""

from __future__ import annotations

import asyncio

import pytest

from support_clock import Standing
from support_store import keep, rows
from support_wait import until
from trivium.errors import StoreUnavailable
from trivium.metering.record import Record
from trivium.operations import folding
from trivium.operations.folding import fold_due, keep_folding
from trivium.store import spans
from trivium.store.store import Store

DAY, HOUR = 86_400_000, 3_600_000
START = 20_000 * DAY


@pytest.fixture
def clock() -> Standing:
    return Standing(START + 2 * DAY + 5 * HOUR)


@pytest.fixture
async def store(store: Store) -> Store:
    told = {"api": "chat", "operation": "generate", "outcome": "success", "status": 200}
    keep(
        store.database,
        [
            Record(id=f"r{n}", time_ms=START + n * HOUR, **told)  # type: ignore[arg-type]
            for n in (0, 3, 30, 48, 52, 53)
        ],
    )
    return store


async def test_every_hour_that_is_over_is_folded(store: Store) -> None:
    await fold_due(store, rest=0)
    told = {
        START: (START + DAY, 1),
        START + DAY: (START + 2 * DAY, 1),
        START + 2 * DAY: (START + 2 * DAY + 4 * HOUR, 1),
    }
    assert spans.folded(store.database, 0, 2**53) == told
    assert rows(store.database, "SELECT from_ms, requests FROM usage_spans ORDER BY 1") == [
        (START, 2),
        (START + DAY, 1),
        (START + 2 * DAY, 1),
    ]
    await fold_due(store, rest=0)
    told |= {START: (START + DAY, 2), START + DAY: (START + 2 * DAY, 2)}
    assert spans.folded(store.database, 0, 2**53) == told
    assert rows(store.database, "SELECT from_ms, requests FROM usage_spans WHERE hours = 48") == [(START, 3)]


async def test_it_goes_on_after_the_store_was_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    due = spans.due

    def away(*told: object) -> list[spans.Due]:
        asked.append(1)
        if len(asked) == 1:
            raise StoreUnavailable("gone")
        if len(asked) == 2:
            raise RuntimeError("odd")
        return due(*told)  # type: ignore[arg-type]

    monkeypatch.setattr(spans, "due", away)
    monkeypatch.setattr(folding, "_PAUSE", 0.001)
    task = asyncio.create_task(keep_folding(store))
    await until(lambda: START in spans.folded(store.database, 0, 2**53))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
