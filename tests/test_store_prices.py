"""Prices at rest: versions that are written once, overrides that are only added, records to be priced again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_prices import database, price, quote
from support_prices import record as charged
from support_records import put
from trivium.errors import StoreUnavailable
from trivium.metering.book import Override
from trivium.metering.prices import version_of
from trivium.metering.record import Record
from trivium.store.prices import PriceStore
from trivium.store.sqlite import SqliteDatabase


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def prices(opened: SqliteDatabase) -> PriceStore:
    return PriceStore(opened)


def record(id: str, **fields: Any) -> Record:
    return charged(id, **{"provider": "p", **fields})


class TestVersions:
    def test_one_that_was_charged_with_is_found_by_its_name(self, prices: PriceStore) -> None:
        of = price("3", "15", tools={"web_search": "10"}, tiers={"batch": {"input": "1.5"}})
        prices.keep([quote(of)], 5)
        stored = prices.find(version_of(of))
        assert stored is not None
        assert (stored.price, stored.provider, stored.model, stored.source, stored.first_ms) == (
            of,
            "p",
            "m",
            "test",
            5,
        )
        assert prices.find("pr_000000000000") is None

    def test_its_first_use_stays(self, prices: PriceStore) -> None:
        other = msgspec.structs.replace(quote(price()), provider="q", source="override")
        prices.keep([quote(price()), quote(price(1))], 5)
        prices.keep([other, other], 9)
        stored = prices.find(version_of(price()))
        assert stored is not None
        assert (stored.provider, stored.source, stored.first_ms) == ("p", "test", 5)


class TestOverrides:
    SAID = (
        Override(pattern="a/*", effective_ms=7, price=price(), note="why", created_ms=3),
        Override(pattern="a/*", effective_ms=5, account_id="acme", markup_ppm=-50_000, created_ms=4),
        Override(pattern="a/*", effective_ms=9, created_ms=5),
    )

    def test_they_come_back_in_their_order_as_they_were_said(self, prices: PriceStore) -> None:
        kept = tuple(prices.add(one) for one in self.SAID)
        assert [one.seq for one in kept] == [1, 2, 3]
        assert prices.overrides() == kept
        assert [msgspec.structs.replace(one, seq=0) for one in kept] == list(self.SAID)

    def test_of_a_price_that_is_said_again_memory_has_one(self, prices: PriceStore) -> None:
        for effective_ms in (5, 6):
            prices.add(Override(pattern="a/*", effective_ms=effective_ms, price=price()))
        first, second = prices.overrides()
        assert first.price is second.price

    def test_they_outlive_the_process(self, tmp_path: Path, prices: PriceStore) -> None:
        kept = prices.add(self.SAID[0])
        other = database(tmp_path)
        assert PriceStore(other).overrides() == (kept,)
        other.close()


def test_what_models_were_charged_with(opened: SqliteDatabase, prices: PriceStore) -> None:
    put(
        opened,
        record("1", time_ms=10, price_version="v1", cost_nano=5),
        record("2", time_ms=30, price_version="v2", cost_nano=7),
        record("3", time_ms=20, price_version="v1", cost_nano=6, requests=2),
        record("4", time_ms=5, price_version="v1", upstream_model="n"),
        record("5", time_ms=5),
    )
    told = [(one.model, one.version, one.first_ms, one.last_ms, one.requests, one.cost_nano) for one in prices.used()]
    assert told == [("p/m", "v1", 10, 20, 3, 11), ("p/m", "v2", 30, 30, 1, 7), ("p/n", "v1", 5, 5, 1, 0)]
    assert [one.version for one in prices.used("p/n")] == ["v1"]
    assert prices.used("p/nothing") == []


class TestRecordsToPriceAgain:
    async def told(self, prices: PriceStore, *span: Any) -> list[tuple[str, int]]:
        return [(one.record["id"], one.cost_nano) async for page in prices.charged(*span) for one in page]

    async def test_those_that_the_house_pays_and_no_provider_told(
        self, opened: SqliteDatabase, prices: PriceStore
    ) -> None:
        put(
            opened,
            record("computed", cost_nano=1),
            record("estimated", cost_nano=2, cost_source="estimated"),
            record("unpriced", cost_source=None, flags="estimated unpriced"),
            record("reported", cost_nano=3, cost_source="reported"),
            record("nothing", cost_source=None, flags="unpriced_things"),
            record("byok", payer="byok"),
            record("refused", payer=None),
            record("early", time_ms=999),
            record("late", time_ms=2000),
            record("other", upstream_model="n"),
        )
        assert await self.told(prices, 1000, 2000, "p/m") == [("computed", 1), ("estimated", 2), ("unpriced", 0)]
        assert len(await self.told(prices, 0, 10**9)) == 6

    async def test_what_was_booked_since_counts_as_their_cost(self, opened: SqliteDatabase, prices: PriceStore) -> None:
        put(opened, record("a", cost_nano=1), record("b", cost_nano=1))
        with opened.transaction() as writing:
            writing.executemany(
                "INSERT INTO rerates (request_id, number, price_version, time_ms, before_nano, after_nano)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [("a", 1, "v2", 5, 1, 8), ("a", 2, "v3", 5, 8, 9)],
            )
        assert await self.told(prices, 0, 10**9) == [("a", 9), ("b", 1)]

    async def test_there_may_be_more_of_them_than_a_page_holds(
        self, opened: SqliteDatabase, prices: PriceStore
    ) -> None:
        put(opened, *(record(f"r{n:05}") for n in range(1234)))
        pages = [page async for page in prices.charged(0, 10**9)]
        assert len(pages) == 3
        assert [one.record["id"] for page in pages for one in page] == [f"r{n:05}" for n in range(1234)]


def test_what_charges_were_corrected_to_is_told_by_version(opened: SqliteDatabase, prices: PriceStore) -> None:
    put(opened, record("a", cost_nano=1), record("b", cost_nano=1), record("c", cost_nano=1, upstream_model="n"))
    with opened.transaction() as writing:
        writing.executemany(
            "INSERT INTO rerates (request_id, number, price_version, time_ms, before_nano, after_nano)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [("a", 1, "v2", 5, 1, 8), ("b", 1, "v2", 6, 1, 4), ("a", 2, "v3", 7, 8, 2), ("c", 1, "v2", 8, 1, 2)],
        )
    told = [msgspec.structs.astuple(one) for one in prices.rerated("p/m")]
    assert told == [
        ("v2", 5, 6, 2, 10),
        ("v3", 7, 7, 1, -6),
    ]  # fmt: skip


def test_a_store_that_fails_says_so(opened: SqliteDatabase, prices: PriceStore) -> None:
    with opened.transaction() as writing:
        writing.execute("DROP TABLE price_overrides")
    with pytest.raises(StoreUnavailable):
        prices.overrides()
    with pytest.raises(StoreUnavailable):
        prices.add(TestOverrides.SAID[0])
