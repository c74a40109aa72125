"""The list of models as Anthropic's clients read it, page by page."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from gateway import ALL_APIS, Running, running, tell
from support_kilo import get
from trivium.metering.prices import FREE
from trivium.routing.catalog import ModelEntry

ENTRIES = (
    ModelEntry("a", "up", created=1_700_000_000, display_name="Model A", context=200_000, output_limit=64_000),
    ModelEntry("gift", "up", price=FREE),
    *(ModelEntry(name, "up") for name in "bcde"),
)
SETTINGS = '[catalog]\npreferred = ["d"]\n[models."up/x"]\nfree = true'
ORDER = ["d", "gift", "a", "b", "c", "e"]


async def asked(house: Running, query: str = "") -> tuple[int, Any]:
    return await get(house, f"/v1/models{query}", anthropic_version="2023-06-01")


async def test_a_list_is_whole_unless_a_page_is_asked_for_and_in_the_order_of_all_lists() -> None:
    async with running(settings=SETTINGS, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        _, told = await asked(house)
        _, openai = await get(house, "/v1/models")
        one = await get(house, "/v1/models/a", anthropic_version="2023-06-01")
    assert [model["id"] for model in told["data"]] == [model["id"] for model in openai["data"]] == ORDER
    assert (told["first_id"], told["last_id"], told["has_more"]) == ("d", "e", False)
    rich = told["data"][2]
    assert rich == {
        "type": "model", "id": "a", "display_name": "Model A", "created_at": "2023-11-14T22:13:20Z",
        "max_input_tokens": 200_000, "max_tokens": 64_000,
    }  # fmt: skip
    assert one == (200, rich)
    assert told["data"][1] == {
        "type": "model", "id": "gift", "display_name": "gift", "created_at": "1970-01-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ("?limit=2", ["d", "gift"], True),
        ("?limit=2&after_id=gift", ["a", "b"], True),
        ("?limit=2&after_id=b", ["c", "e"], False),
        ("?after_id=e", [], False),
        ("?limit=2&before_id=b", ["gift", "a"], True),
        ("?limit=2&before_id=gift", ["d"], False),
        ("?before_id=a", ["d", "gift"], False),
        ("?limit=1000&beta=true", ORDER, False),
    ],
)
async def test_pages(query: str, ids: list[str], more: bool) -> None:
    async with running(settings=SETTINGS, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        _, told = await asked(house, query)
    assert [model["id"] for model in told["data"]] == ids
    assert (told["first_id"], told["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    assert told["has_more"] is more


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=1001",
        "?limit=many",
        "?limit=-1",
        "?limit=" + "0" * 9_000 + "5",
        "?limit=0000000019999",
        "?limit=%C2%B2",
        "?after_id=nobody",
        "?after_id=a&before_id=b",
    ],
)
async def test_what_names_no_page_is_refused_in_anthropics_shape(query: str) -> None:
    async with running(settings=SETTINGS, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        status, told = await asked(house, query)
    assert (status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")


async def test_anthropics_own_client_turns_the_pages() -> None:
    async with running(settings=SETTINGS, provider=f"{ALL_APIS}\nlists_prices = true") as house:
        await tell(house.gateway, up=ENTRIES)
        async with anthropic.AsyncAnthropic(base_url=house.url, api_key=house.key) as client:
            assert [model.id async for model in client.models.list(limit=4)] == ORDER
            assert (await client.models.retrieve("a")).display_name == "Model A"
