"""Prices for tests: the package's data as the gateway reads it, providers, and a store of prices."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec

from support_desk import check_told
from support_records import put
from support_store import furnish
from trivium.canon.api import Api
from trivium.metering.book import Override, PriceBook
from trivium.metering.dataset import Dataset
from trivium.metering.extract import extracted
from trivium.metering.prices import Price, Quote, version_of
from trivium.metering.record import Record
from trivium.metering.sheet import read_price
from trivium.operations.prices import PriceOperations
from trivium.operations.table import OPERATOR
from trivium.providers.provider import Provider
from trivium.routing.catalog import Catalog, ModelEntry, catalog
from trivium.store.accounts import Correction
from trivium.store.prices import PriceStore
from trivium.store.sqlite import SqliteDatabase

BASE_URLS = {
    "anthropic": "https://api.anthropic.com/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "vercel": "https://ai-gateway.vercel.sh/v1",
}


@functools.cache
def data() -> bytes:
    """What the child process prints."""
    return msgspec.json.encode(extracted())


@functools.cache
def dataset() -> Dataset:
    return Dataset(data())


def vendor(name: str, base_url: str | None = None, *, lists_prices: bool = False, **fields: str) -> Provider:
    kind = fields.get("kind", name if name in BASE_URLS else "openai-compatible")
    url = BASE_URLS.get(kind, "http://127.0.0.1:8080/v1") if base_url is None else base_url
    return Provider(name=name, kind=kind, base_url=url, apis=frozenset(Api), lists_prices=lists_prices)


def price(input: object = "3", output: object = "15", **rest: object) -> Price:
    return read_price({"input": input, "output": output, **rest})


def quote(of: Price, markup_ppm: int = 0) -> Quote:
    return Quote(
        price=of, version=version_of(of), source="test", provider="p", model="m", markup_ppm=markup_ppm, free=of.is_free
    )


def database(folder: Path) -> SqliteDatabase:
    furnish(folder)
    return SqliteDatabase(folder / "trivium.db")


class Desk:
    """Prices as an operator meets them: a store, the book that the gateway quotes by, and what the ledger is told."""

    def __init__(self, folder: Path, now_ms: int, *, known: Dataset | None = None) -> None:
        self.now = now_ms
        self.database = database(folder)
        with self.database.transaction() as tx:
            tx.execute(
                "INSERT INTO accounts (id, kind, name, created_ms) VALUES ('acme', 'organization', 'Acme', 1)"
                " ON CONFLICT (id) DO NOTHING"
            )
        self.store = PriceStore(self.database)
        self.book = PriceBook(known)
        self.providers = [vendor("anthropic"), vendor("house")]
        self.models = {"anthropic": ["claude-opus-5-5"], "house": ["m", "n"]}
        self.booked: dict[tuple[str, str], Correction] = {}
        self.operations = PriceOperations(
            self.store,
            self,
            book=lambda: self.book,
            catalog=self.catalog,
            on_change=self._change,
            correct=self._correct,
        )

    def now_ms(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now * 10**6

    def catalog(self) -> Catalog:
        listed = {name: tuple(ModelEntry(id, name) for id in ids) for name, ids in self.models.items()}
        return catalog(self.providers, {"best": "anthropic/claude-opus-5-5"}, listed)

    def _change(self, overrides: tuple[Override, ...]) -> None:
        self.book = self.book.with_overrides(overrides)

    async def _correct(self, corrections: list[Correction], _: str) -> int:
        fresh = [one for one in corrections if (one.request_id, one.price_version) not in self.booked]
        self.booked |= {(one.request_id, one.price_version): one for one in fresh}
        return len(fresh)

    async def perform(self, name: str, **arguments: Any) -> Any:
        """As the gateway does it, over JSON."""
        op = self.operations.table[name]
        query = msgspec.convert(msgspec.json.decode(msgspec.json.encode(arguments)), op.arguments)
        told = msgspec.to_builtins(await op.act(query, OPERATOR))
        check_told(op, told)
        return msgspec.json.decode(msgspec.json.encode(told))

    def put(self, *records: Record) -> None:
        put(self.database, *records)


def record(id: str, **fields: Any) -> Record:
    """One that the house paid for, at a price of ours."""
    plain = Record(id=id, time_ms=1000, api="messages", operation="generate", outcome="success", status=200)
    told = {"provider": "house", "upstream_model": "m", "payer": "house", "cost_source": "computed"}
    return msgspec.structs.replace(plain, **told | fields)
