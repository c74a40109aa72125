"""What is read of all records is the same however many are read at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from support_records import kept, record
from trivium.store import retention, stretches
from trivium.store.alerts import past_of
from trivium.store.prices import PriceStore
from trivium.store.sql import Database

CALLS = [
    record(
        f"req_{n:02}",
        time_ms=1_000 + n,
        key_id="key_b" if n == 17 else "key_a",
        payer="house",
        provider="up",
        upstream_model="m" if n % 3 else "n",
        price_version=f"pr_{n // 10}" if n % 4 else None,
        cost_nano=n,
        cost_source="computed",
        first_token_us=n * 1000,
        client_ip="192.0.2.1" if n % 2 else None,
    )
    for n in range(23)
]


def named(database: Database) -> Iterable[str]:
    after = ""
    while ids := retention.naming(database, "key", "key_a", after):
        yield from ids
        after = ids[-1]


READS: dict[str, Callable[[Database], Any]] = {
    "used": lambda database: PriceStore(database).used(),
    "used of one": lambda database: PriceStore(database).used("up/m"),
    "past": lambda database: sorted(past_of(database, 1_003), key=lambda one: one.model),
    "naming": lambda database: [*named(database)],
    "how many name": lambda database: retention.how_many_name(database, "key", "key_a"),
    "known": lambda database: [retention.is_known(database, "key", id) for id in ("key_a", "key_b", "key_c")],
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("records", [1, 2, 5, 22, 23])
def test_stretches_are_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, records: int) -> None:
    database = kept(tmp_path, *CALLS)
    whole = READS[name](database)
    assert whole
    monkeypatch.setattr(stretches, "RECORDS", records)
    assert READS[name](database) == whole
    database.close()


async def test_pages_of_charges_go_through_all_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = kept(tmp_path, *CALLS)
    for records in (1, 4, 100):
        monkeypatch.setattr(stretches, "RECORDS", records)
        pages = [page async for page in PriceStore(database).charged(1_020, 1_023)]
        assert [one.record["id"] for page in pages for one in page] == ["req_20", "req_21", "req_22"]
    database.close()


def test_no_records_are_no_stretch(tmp_path: Path) -> None:
    database = kept(tmp_path)
    assert [*stretches.stretches(database)] == []
    database.close()
