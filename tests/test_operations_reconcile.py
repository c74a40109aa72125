"""Our records beside a provider's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_records import MIDNIGHT, kept, record
from trivium.canon.api import Api
from trivium.canon.usage import Usage
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.mock import Generation, Match, Reply, Rule, Script, ScriptedUpstream
from trivium.operations.reconcile import Comparison, ReconcileOperations, comparison, summed
from trivium.operations.table import OPERATOR
from trivium.providers.provider import Provider
from trivium.store.reconcile import Charged
from trivium.upstream.generation import Search
from trivium.upstream.http1 import Http1Client
from trivium.wire.generation import Generation as Found

DAY = 86_400_000
UP = {"provider": "up", "upstream_model": "m", "payer": "house"}
Compare = Callable[..., Awaitable[list[Comparison]]]


def provider(url: str, name: str = "up") -> Provider:
    return Provider(name=name, base_url=url + "/v1", apis=frozenset(Api), generations="/generation?id={id}")


def remembered(id: str, cost: Any, **said: Any) -> Generation:
    return Generation(id=id, record={"total_cost": cost, **said})


def page(result: Any) -> list[Comparison]:
    return msgspec.convert(result["compared"], list[Comparison])


async def perform(operations: ReconcileOperations, **arguments: Any) -> Any:
    op = operations.table["reconcile"]
    return msgspec.to_builtins(await op.act(msgspec.convert(arguments, op.arguments), OPERATOR))


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """What becomes of these records, where the provider remembers these generations."""

    async def compared(records: list[Record], generations: list[Generation], *rules: Rule) -> list[Comparison]:
        database = kept(tmp_path, *records)
        async with ScriptedUpstream(Script([*rules], generations=generations)) as upstream:
            operations = ReconcileOperations(database, lambda: {"up": provider(upstream.url)}, SystemClock())
            found = page(await perform(operations, provider="up"))
        database.close()
        return found

    return compared


async def difference(compare: Compare, theirs: Any, **ours: Any) -> tuple[int, int | None]:
    """What we and they say of one request."""
    (one,) = await compare([record("r", **{**UP, "upstream_id": "g", **ours})], [remembered("g", theirs)])
    return one.ours_nano, one.theirs_nano


async def test_a_request_that_cost_what_we_charged(compare: Compare) -> None:
    assert await difference(compare, 0.00024885, cost_nano=248_850) == (248_850, 248_850)


async def test_a_request_that_cost_more_than_we_charged(compare: Compare) -> None:
    (one,) = await compare([record("r", **UP, upstream_id="g", cost_nano=1000)], [remembered("g", 0.000002)])
    assert (one.id, one.model, one.outcome, one.time_ms) == ("r", "m", "success", MIDNIGHT)
    assert (one.ours_nano, one.theirs_nano, one.difference_nano, one.problem) == (1000, 2000, -1000, None)


@pytest.mark.parametrize(("markup_ppm", "charged"), [(55_000, 1_055), (-500_000, 500), (0, 1_000)])
async def test_the_markup_is_ours_and_no_difference(compare: Compare, markup_ppm: int, charged: int) -> None:
    assert await difference(compare, "0.000001", cost_nano=charged, markup_ppm=markup_ppm) == (1000, 1000)


@pytest.mark.parametrize(
    ("ours", "taken"),
    [
        pytest.param({"payer": "free", "market_cost_nano": 700}, 700, id="free, at the market price"),
        pytest.param({"payer": "free"}, 0, id="free, and nobody knows the market price"),
        pytest.param({"payer": "promotion", "reported_cost_usd": "0.0000005"}, 500, id="promotion, as reported"),
        pytest.param({"payer": "byok", "reported_cost_usd": "0.0000003"}, 300, id="BYOK, the reported fee"),
        pytest.param({"payer": "byok", "market_cost_nano": 700}, 0, id="BYOK, the vendor's bill is not the house's"),
        pytest.param({"payer": None, "reported_cost_usd": "0.0000003"}, 300, id="from before there were charges"),
        pytest.param({"payer": "house", "markup_ppm": -1_000_000, "market_cost_nano": 700}, 700, id="given away"),
        pytest.param({"payer": "house", "cost_nano": 0, "market_cost_nano": 700}, 0, id="without a price"),
    ],
)
async def test_what_the_house_pays_is_known_where_it_charges_nobody(
    compare: Compare, ours: dict[str, Any], taken: int
) -> None:
    assert await difference(compare, 0.000001, **ours) == (taken, 1000)


ROW = Charged("r", MIDNIGHT, "g", "m", "success", "house", 0, None, 0, None, 1, *[0] * 10)


@given(st.integers(0, 10**12), st.integers(-999_999, 10_000_000))
def test_the_right_charge_is_no_difference_whatever_the_markup(cost: int, markup_ppm: int) -> None:
    charge = round(Fraction(cost * (1_000_000 + markup_ppm), 1_000_000))
    row = msgspec.structs.replace(ROW, cost_nano=charge, markup_ppm=markup_ppm)
    theirs = Found(usage=Usage(reported_cost=Decimal(cost).scaleb(-9)), counted=False)
    assert comparison(row, Search(theirs)).difference_nano == 0


COUNTS = {"native_tokens_prompt": 100, "native_tokens_cached": 60, "native_tokens_completion": 25}
OURS = {"usage_known": True, "cache_read_tokens": 60, "output_tokens": 25}


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [
        ({"input_uncached_tokens": 40}, {}, {}),
        ({"input_uncached_tokens": 40}, {"native_tokens_reasoning": 5}, {"reasoning": (0, 5)}),
        ({"input_uncached_tokens": 40, "output_tokens": 20}, {}, {"output": (20, 25)}),
        ({"input_uncached_tokens": 30, "cache_write_5m_tokens": 10}, {}, {}),
        ({"input_uncached_tokens": 30, "cache_write_1h_tokens": 10}, {"native_tokens_cache_creation": 10}, {}),
        ({"input_uncached_tokens": 40}, {"native_tokens_cache_creation": 10}, {"cache_write": (0, 10)}),
        ({"input_uncached_tokens": 1, "usage_known": False}, {}, {}),
    ],
)
async def test_buckets_of_tokens_that_differ_are_told(
    compare: Compare, ours: dict[str, Any], theirs: dict[str, int], apart: dict[str, tuple[int, int]]
) -> None:
    records = [record("r", **{**UP, **OURS, **ours, "upstream_id": "g"})]
    (one,) = await compare(records, [remembered("g", 0, **COUNTS, **theirs)])
    assert one.tokens == apart


async def test_a_record_without_counts_is_compared_by_its_cost_alone(compare: Compare) -> None:
    (one,) = await compare([record("r", **UP, **OURS, upstream_id="g")], [remembered("g", 0)])
    assert (one.theirs_nano, one.tokens) == (0, {})


async def test_what_is_not_found_is_told_with_the_reason(compare: Compare) -> None:
    locked = Rule(Reply(status=401), Match(path="*/generation", query={"id": "locked"}))
    ids = ("there", "gone", "locked", "free of charge", "x" * 256)
    records = [record(f"r{n}", **UP, upstream_id=id, time_ms=MIDNIGHT - n) for n, id in enumerate(ids)]
    generations = [remembered("there", 0), remembered("free of charge", None, **COUNTS)]
    found = await compare(records, generations, locked)
    assert [one.problem for one in found] == [
        None, "status 404", "status 401", "no cost in the record", "no id of a record",
    ]  # fmt: skip
    assert [one.theirs_nano for one in found] == [0, None, None, None, None]
    assert [one.difference_nano for one in found] == [0] * 5


async def test_pages_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    database = kept(tmp_path, *(record(f"r{n}", **UP, upstream_id="g", time_ms=MIDNIGHT + n // 2) for n in range(7)))
    async with ScriptedUpstream(Script(generations=[remembered("g", 0)])) as upstream:
        client = Http1Client()
        operations = ReconcileOperations(database, lambda: {"up": provider(upstream.url)}, SystemClock(), client)
        first = await perform(operations, provider="up", limit=3, since_ms=MIDNIGHT)
        assert first["next"] == {"since_ms": MIDNIGHT, "until_ms": MIDNIGHT + 2, "until_id": "r4"}
        second = await perform(operations, provider="up", limit=3, **first["next"])
        third = await perform(operations, provider="up", limit=3, **second["next"])
        await client.close()
    told = [[one.id for one in page(pages)] for pages in (first, second, third)]
    assert told == [["r6", "r5", "r4"], ["r3", "r2", "r1"], ["r0"]]
    assert third["next"] is None


async def test_a_provider_must_be_one_that_keeps_such_records(tmp_path: Path) -> None:
    plain = Provider(name="plain", base_url="http://h", apis=frozenset(Api))
    operations = ReconcileOperations(
        kept(tmp_path), lambda: {"plain": plain, "up": provider("http://h")}, SystemClock()
    )
    for name in ("plain", "nobody"):
        with pytest.raises(OperationError, match=f"'{name}' is no provider that keeps records.*there are up"):
            await perform(operations, provider=name)
    with pytest.raises(OperationError, match="ends before it begins"):
        await perform(operations, provider="up", since_ms=MIDNIGHT, until_ms=MIDNIGHT)
    last = await perform(operations, provider="up", since_ms=MIDNIGHT, until_ms=MIDNIGHT, until_id="r0")
    assert page(last) == []


def compared(id: str, ours: int, theirs: int | None, **fields: Any) -> Comparison:
    plain = {"time_ms": MIDNIGHT, "upstream_id": "g", "model": "m", "outcome": "success"}
    problem = "status 404" if theirs is None else None
    return Comparison(id=id, ours_nano=ours, theirs_nano=theirs, problem=problem, **{**plain, **fields})


def test_a_report_by_day_and_model() -> None:
    report = summed(
        [
            compared("a", 10, 10, time_ms=MIDNIGHT + DAY),
            compared("b", 100, 90),
            compared("c", 5, 6, tokens={"output": (1, 2)}),
            compared("d", 7, None),
            compared("e", 1000, 1, model="n"),
        ]
    )
    rows = [msgspec.structs.astuple(row) for row in report.rows]
    assert rows == [
        ("2026-01-01", "m", 3, 2, 105, 96, 9, 1, 1),
        ("2026-01-01", "n", 1, 1, 1000, 1, 999, 1, 0),
        ("2026-01-02", "m", 1, 1, 10, 10, 0, 0, 0),
    ]
    assert (report.requests, report.found, report.not_found, report.differing) == (5, 4, {"status 404": 1}, 2)
    assert [one.id for one in report.largest] == ["e", "b"]


def test_differences_that_make_up_for_each_other_are_differences() -> None:
    report = summed([compared("a", 10, 0), compared("b", 0, 10)])
    assert report.rows[0].difference_nano == 0
    assert report.differing == 2


def test_a_nanodollar_a_request_is_rounding_even_if_all_round_the_same_way() -> None:
    report = summed(compared(str(n), 10, 11) for n in range(100))
    assert (report.rows[0].difference_nano, report.differing, report.largest) == (-100, 0, ())


def test_only_the_largest_differences_are_listed() -> None:
    report = summed(compared(str(n), 0, n + 2) for n in range(50))
    assert (report.differing, len(report.largest), report.largest[0].id) == (50, 20, "49")


def test_of_nothing_there_is_a_report_too() -> None:
    report = summed([])
    assert (report.requests, report.found, report.rows, report.not_found) == (0, 0, (), {})
