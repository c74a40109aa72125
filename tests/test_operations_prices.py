"""What an operator asks of prices, and says about them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_prices import Desk, dataset, price, quote, record
from trivium.errors import ModelNotFound, NotFound, OperationError
from trivium.metering.overlay import day
from trivium.metering.prices import version_of

NOW = day("2026-11-20")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, NOW, known=dataset())


class TestShow:
    async def test_a_model_by_any_name_that_resolves(self, desk: Desk) -> None:
        told = await desk.perform("prices.show", model="anthropic/claude-opus-5-5")
        assert (told["model"], told["source"]) == (
            "anthropic/claude-opus-5-5", f"dataset {dataset().version} anthropic/claude-opus-5-5",
        )  # fmt: skip
        assert (told["price"]["input"], told["price"]["tiers"]["batch"]["input"]) == ("4", "2")
        assert (told["context"], told["output_limit"], told["byok"], told["free"]) == (1_000_000, 128_000, False, False)
        assert await desk.perform("prices.show", model="best") == told
        assert await desk.perform("prices.show", model="claude-opus-5-5") == told

    async def test_one_that_nobody_knows_a_price_of(self, desk: Desk) -> None:
        told = await desk.perform("prices.show", model="house/m")
        assert (told["version"], told["source"], told["price"]) == (None, None, None)

    async def test_all_that_are_listed(self, desk: Desk) -> None:
        told = await desk.perform("prices.show")
        assert [one["model"] for one in told] == ["anthropic/claude-opus-5-5", "house/m", "house/n"]

    async def test_thousands_let_others_have_their_turn(self, desk: Desk) -> None:
        desk.models = {"house": [f"m{n}" for n in range(1_000)]}
        asking = asyncio.create_task(desk.perform("prices.show"))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(asking.result()) == 1_000
        assert turns > 50

    async def test_at_another_moment_and_for_an_account(self, desk: Desk) -> None:
        await desk.perform("prices.set", pattern="house/*", price={"input": 1, "output": 1}, effective_ms=500)
        await desk.perform("prices.set", pattern="*", markup_ppm=-20_000, account_id="acme", effective_ms=0)
        told = await desk.perform("prices.show", model="house/m", at_ms=499, account_id="acme")
        assert told["price"] is None
        told = await desk.perform("prices.show", model="house/m", at_ms=500, account_id="acme")
        assert (told["price"]["input"], told["markup_ppm"]) == ("1", -20_000)
        assert (await desk.perform("prices.show", model="house/m", at_ms=500))["markup_ppm"] == 0

    async def test_a_version_that_was_charged_with(self, desk: Desk) -> None:
        desk.store.keep([quote(price())], 77)
        told = await desk.perform("prices.show", version=version_of(price()))
        assert told == {
            "version": version_of(price()), "provider": "p", "model": "m", "source": "test",
            "price": {"input": "3", "output": "15"}, "first_ms": 77,
        }  # fmt: skip

    async def test_what_there_is_not(self, desk: Desk) -> None:
        with pytest.raises(OperationError, match="ever charged with a price 'pr_0'"):
            await desk.perform("prices.show", version="pr_0")
        with pytest.raises(ModelNotFound):
            desk.models["house"], desk.models["anthropic"] = [], []
            await desk.perform("prices.show", model="nobody")


class TestSet:
    async def test_it_holds_at_once_and_at_the_next_start(self, desk: Desk, tmp_path: Path) -> None:
        made = await desk.perform("prices.set", pattern="house/m", price={"input": "1.5", "output": 2}, note="agreed")
        assert (made["price"], made["effective_ms"], made["created_ms"], made["note"]) == (
            {"input": "1.5", "output": "2"}, NOW, NOW, "agreed",
        )  # fmt: skip
        told = await desk.perform("prices.show", model="house/m")
        assert (told["source"], told["price"]["input"]) == ("override", "1.5")
        restarted = Desk(tmp_path, NOW)
        restarted.book = restarted.book.with_overrides(restarted.store.overrides())
        assert (await restarted.perform("prices.show", model="house/m"))["version"] == told["version"]

    async def test_it_holds_from_a_day_on(self, desk: Desk) -> None:
        await desk.perform("prices.set", pattern="house/m", price={"input": 1, "output": 1}, effective_ms=NOW + 5)
        assert (await desk.perform("prices.show", model="house/m"))["price"] is None
        desk.now += 5
        assert (await desk.perform("prices.show", model="house/m"))["price"] is not None

    async def test_it_can_be_removed(self, desk: Desk) -> None:
        await desk.perform("prices.set", pattern="house/m", price={"input": 1, "output": 1}, markup_ppm=5)
        desk.now += 1
        await desk.perform("prices.set", pattern="house/m", remove=True)
        told = await desk.perform("prices.show", model="house/m")
        assert (told["price"], told["markup_ppm"]) == (None, 0)
        for again in ({}, {"account_id": None, "effective_ms": NOW - 1}):
            with pytest.raises(NotFound):
                await desk.perform("prices.set", pattern="house/m", remove=True, **again)
        assert len(desk.store.overrides()) == 2

    async def test_what_holds_from_a_day_on_is_removed_by_that_day(self, desk: Desk) -> None:
        await desk.perform("prices.set", pattern="house/m", price={"input": 1, "output": 1}, effective_ms=NOW + 5)
        with pytest.raises(NotFound):
            await desk.perform("prices.set", pattern="house/m", remove=True)
        await desk.perform("prices.set", pattern="house/m", remove=True, effective_ms=NOW + 5)
        desk.now += 5
        assert (await desk.perform("prices.show", model="house/m"))["price"] is None

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ({}, "Say a price, a markup or both; or remove them"),
            ({"remove": True, "markup_ppm": 1}, "Say a price, a markup or both"),
            ({"price": {"input": -1, "output": 1}}, "This is no price: input: expected an amount in USD"),
            ({"price": {"input": 1, "output": 1, "tiers": {"batch": {"input": "nan"}}}}, "tiers.batch.input"),
            ({"price": {}}, "input: missing"),
            ({"pattern": "gpt-5", "markup_ppm": 1}, "Name PROVIDER/MODEL"),
            ({"pattern": "a/\x1b[2J", "markup_ppm": 1}, "Name PROVIDER/MODEL"),
        ],
    )
    async def test_what_makes_no_sense_is_refused_and_not_kept(
        self, desk: Desk, said: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(OperationError) as raised:
            await desk.perform("prices.set", **{"pattern": "house/m", **said})
        assert words in raised.value.message
        assert desk.store.overrides() == ()

    @pytest.mark.parametrize(
        "said",
        [{"markup_ppm": -1_000_001}, {"markup_ppm": 10**9}, {"markup_ppm": 0.5}, {"effective_ms": -1}, {"price": 3}],
    )
    async def test_so_is_what_is_out_of_all_bounds(self, desk: Desk, said: dict[str, Any]) -> None:
        with pytest.raises(msgspec.ValidationError):
            await desk.perform("prices.set", **{"pattern": "house/m", **said})


class TestHistory:
    async def test_what_a_model_was_charged_with_and_what_was_said_of_it(self, desk: Desk) -> None:
        desk.store.keep([quote(price())], 10)
        desk.put(
            record("1", time_ms=10, price_version=version_of(price()), cost_nano=5),
            record("2", time_ms=20, price_version="pr_lost", cost_nano=6),
            record("3", time_ms=20, price_version="pr_other", upstream_model="n"),
        )
        await desk.perform("prices.set", pattern="house/*", markup_ppm=5)
        await desk.perform("prices.set", pattern="anthropic/*", markup_ppm=5)
        told = await desk.perform("prices.history", model="house/m")
        assert [(one["version"], one["requests"], one["price"]) for one in told["charged"]] == [
            (version_of(price()), 1, {"input": "3", "output": "15"}), ("pr_lost", 1, None),
        ]  # fmt: skip
        assert [one["pattern"] for one in told["overrides"]] == ["house/*"]

    async def test_a_model_that_is_configured_no_more_has_one_too(self, desk: Desk) -> None:
        desk.put(record("1", provider="gone", upstream_model="x", price_version="pr_1"))
        assert len((await desk.perform("prices.history", model="gone/x"))["charged"]) == 1


class TestDiff:
    async def test_two_versions(self, desk: Desk) -> None:
        first, second = price(3, 15, cache_read="0.3"), price(4, 15, over_1000={"input": 8})
        desk.store.keep([quote(first), quote(second)], 1)
        (told,) = await desk.perform("prices.diff", a=version_of(first), b=version_of(second))
        assert told["rates"] == {
            "input": ["3", "4"], "cache_read": ["0.3", None], "over_1000.input": [None, "8"],
        }  # fmt: skip

    async def test_what_was_last_charged_with_and_what_the_book_says_now(self, desk: Desk) -> None:
        desk.store.keep([quote(price()), quote(price(4))], 1)
        same, other = version_of(price()), version_of(price(4))
        desk.put(
            record("1", time_ms=10, price_version=other),
            record("2", time_ms=20, price_version=same),
            record("3", time_ms=20, price_version=other, upstream_model="n"),
            record("4", time_ms=20, price_version=other, provider="gone"),
        )
        await desk.perform("prices.set", pattern="house/*", price={"input": 3, "output": 15})
        told = await desk.perform("prices.diff")
        assert told == [
            {"model": "gone/m", "from": other, "to": None, "rates": {}},
            {"model": "house/n", "from": other, "to": same, "rates": {"input": ["4", "3"]}},
        ]

    async def test_one_version_has_nothing_to_be_compared_with(self, desk: Desk) -> None:
        with pytest.raises(OperationError, match="two versions, or none"):
            await desk.perform("prices.diff", a="pr_1")
        with pytest.raises(OperationError, match="ever charged"):
            await desk.perform("prices.diff", a="pr_1", b="pr_2")
