"""The catalogue as operators see it."""

from __future__ import annotations

from typing import Any

import pytest

from trivium import config
from trivium.canon.api import Api
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.metering.book import PriceBook, entries
from trivium.operations.catalog import ListCatalog, catalog_table
from trivium.operations.table import OPERATOR
from trivium.providers.provider import Provider
from trivium.routing.catalog import Catalog, ModelEntry, catalog
from trivium.routing.routes import routed_models
from trivium.settings import FreeSettings
from trivium.settings_routing import CatalogModelSettings, RouteSettings


def provider(name: str) -> Provider:
    return Provider(name=name, base_url=f"http://{name}", apis=frozenset(Api))


TWO = {
    "one": (ModelEntry("m", "one", context=1000, output_limit=10, takes=("text",), parameters=("tools",)),),
    "two": (ModelEntry("m", "two"), ModelEntry("x:free", "two")),
}
ROUTED = routed_models({"best": CatalogModelSettings(routes=[RouteSettings(to="two/m"), RouteSettings(to="one/m")])})
NO_PRICES = PriceBook()
KNOWN = catalog([provider("one"), provider("two")], {"quick": "one/m"}, TWO, routed=ROUTED)


async def listed(known: Catalog = KNOWN, book: PriceBook = NO_PRICES, **asked: Any) -> Any:
    table = catalog_table(lambda: known, lambda: book, SystemClock())
    return await table["catalog.models"].act(ListCatalog(**asked), OPERATOR)


async def test_every_name_is_there_with_the_routes_in_their_order() -> None:
    told = await listed()
    assert {row.id: row.routes for row in told.items} == {
        "quick": ("one/m",),
        "best": ("two/m", "one/m"),
        "one/m": ("one/m",),
        "two/m": ("two/m",),
        "x:free": ("two/x:free",),
    }
    assert told.next is None
    rich = next(row for row in told.items if row.id == "one/m")
    assert (rich.context, rich.output_limit, rich.takes, rich.parameters) == (1000, 10, ("text",), ("tools",))


async def test_what_is_free_and_how_long_answers_may_be_is_what_callers_are_told() -> None:
    known = catalog([provider("one"), provider("two")], {"quick": "one/m"}, TWO, FreeSettings(), ROUTED)
    unpriced = {row.id: row.free for row in (await listed(known)).items}
    assert unpriced == {"quick": False, "best": False, "one/m": False, "two/m": False, "x:free": True}
    said = '[models."two/*"]\nprice = { input = "1", output = "2" }\noutput_limit = 20\n[models."one/m"]\nfree = true'
    book = PriceBook(entries=entries(config.parse(said)))
    rows = {row.id: row for row in (await listed(known, book)).items}
    free = {"quick": True, "best": False, "one/m": True, "two/m": False, "x:free": False}
    assert {id: row.free for id, row in rows.items()} == free
    assert {id: row.output_limit for id, row in rows.items() if row.output_limit} == {
        "quick": 10, "best": 20, "one/m": 10, "two/m": 20, "x:free": 20,
    }  # fmt: skip


async def test_names_that_may_lead_to_a_provider() -> None:
    assert [row.id for row in (await listed(provider="one")).items] == ["quick", "best", "one/m"]
    assert (await listed(provider="nobody")).items == []


async def test_a_long_list_comes_in_parts() -> None:
    first = await listed(limit=2)
    second = await listed(limit=2, after=first.next)
    last = await listed(limit=2, after=second.next)
    ids = [row.id for part in (first, second, last) for row in part.items]
    assert ids == [row.id for row in (await listed()).items]
    assert last.next is None
    with pytest.raises(OperationError, match="No part of this list begins there"):
        await listed(after="nowhere")
