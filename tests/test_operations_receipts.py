"""A receipt's rows add up to what was charged, exactly, whoever paid and however the charge came about."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support_prices import price, quote
from trivium.canon.usage import Usage
from trivium.metering.charge import Charge, Delivery, Payer, charge
from trivium.metering.cost import ReceiptRow
from trivium.metering.prices import Quote, content_of, price_of
from trivium.metering.record import Record, told_by, usage_of
from trivium.money import nano_text
from trivium.operations.receipts import corrected, receipt_of

EXACT = Context(prec=400)
PLAIN = price(
    cache_read="0.3",
    cache_write_5m="3.75",
    cache_write_1h="6",
    reasoning="20",
    tools={"web_search": "10"},
    over_100={"input": "6"},
    tiers={"flex": {"input": "1.5"}},
)
USAGE = Usage(input_uncached=25, output=20)
WHOLE = Delivery(input_tokens=30, content_bytes=36, output_most=1_000, complete=True)


def recorded(found: Charge, of: Quote | None, payer: Payer) -> dict[str, Any]:
    """The row of the record table that such a charge leaves."""
    record = Record(
        id="req_1",
        time_ms=0,
        api="chat",
        operation="generate",
        outcome="success",
        status=200,
        provider="p",
        upstream_model="m",
        payer=payer,
        cost_nano=found.nano,
        market_cost_nano=found.market_nano,
        cost_source=found.source,
        price_version=of.version if of else None,
        markup_ppm=of.markup_ppm if of else 0,
        **told_by(found.usage or Usage()),
    )
    return msgspec.structs.asdict(record)


def receipt(
    usage: Usage | None, of: Quote | None, payer: Payer = Payer.HOUSE, delivery: Delivery = WHOLE
) -> tuple[list[ReceiptRow], int]:
    """The receipt, made of a record and of the price that the store kept, and the charge."""
    found = charge(usage, delivery, of, payer)
    stored = price_of(content_of(of.price)) if of else None
    return receipt_of(recorded(found, of, payer), stored), found.nano


def shown(rows: list[ReceiptRow]) -> list[tuple[str, str]]:
    return [(row.what, row.usd) for row in rows]


def total(rows: list[ReceiptRow]) -> Decimal:
    amount = Decimal(0)
    for row in rows:
        amount = EXACT.add(amount, Decimal(row.usd))
    return amount


class TestReceipts:
    def test_of_a_computed_cost_every_bucket_is_a_row_at_its_rate(self) -> None:
        used = Usage(input_uncached=10, cache_read=50, cache_write_5m=5, output=20, server_tools={"web_search": 2})
        rows, _ = receipt(used, quote(PLAIN))
        assert [(row.what, row.units, row.usd_per_million, row.usd) for row in rows] == [
            ("input", 10, "3", "0.00003"),
            ("cache_read", 50, "0.3", "0.000015"),
            ("cache_write_5m", 5, "3.75", "0.00001875"),
            ("output", 20, "15", "0.0003"),
            ("web_search", 2, "10000", "0.02"),
            ("total", None, None, "0.02036375"),
        ]

    def test_a_rounding_is_a_row_of_its_own(self) -> None:
        rows, nano = receipt(Usage(input_uncached=1), quote(price("0.0005", "0")))
        assert (shown(rows), nano) == (
            [("input", "0.0000000005"), ("rounding", "-0.0000000005"), ("total", "0")], 0,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("ppm", "what", "usd"), [(200_000, "markup", "0.000075"), (-200_000, "discount", "-0.000075")]
    )
    def test_so_is_what_is_put_on_top_or_taken_off(self, ppm: int, what: str, usd: str) -> None:
        rows, _ = receipt(USAGE, quote(price(), ppm))
        assert (what, usd) in shown(rows)

    def test_a_reported_cost_is_the_providers_figure(self) -> None:
        used = msgspec.structs.replace(USAGE, reported_cost=Decimal("0.0021"))
        assert shown(receipt(used, quote(price(), 100_000))[0]) == [
            ("reported by the provider", "0.0021"), ("markup", "0.00021"), ("total", "0.00231"),
        ]  # fmt: skip

    def test_a_figure_finer_than_a_nanodollar_is_rounded_on_a_row(self) -> None:
        used = msgspec.structs.replace(USAGE, reported_cost=Decimal("0.00000000149"))
        assert shown(receipt(used, None)[0]) == [
            ("reported by the provider", "0.00000000149"), ("rounding", "-0.00000000049"), ("total", "0.000000001"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("payer", "said"),
        [
            (Payer.BYOK, "paid by the caller's own key"),
            (Payer.FREE, "free model"),
            (Payer.PROMOTION, "promotion"),
        ],
    )
    def test_who_else_paid_is_said_and_the_total_is_nothing(self, payer: Payer, said: str) -> None:
        assert shown(receipt(USAGE, quote(price()), payer)[0]) == [
            ("input", "0.000075"), ("output", "0.0003"), (said, "-0.000375"), ("total", "0"),
        ]  # fmt: skip

    def test_a_tier_and_a_long_input_are_priced_as_they_were_charged(self) -> None:
        used = Usage(input_uncached=101, output=1, service_tier="flex")
        rows, nano = receipt(used, quote(PLAIN))
        assert (rows[0].usd_per_million, rows[-1].usd) == ("1.5", nano_text(nano))

    def test_where_nothing_was_to_be_charged_there_is_none(self) -> None:
        nothing = Delivery(input_tokens=30, content_bytes=0, output_most=10, complete=False)
        assert receipt(None, quote(PLAIN), delivery=nothing) == ([], 0)
        refused = {"payer": None, "cost_source": None, "cost_nano": 0}
        assert receipt_of(refused, None) == []

    def test_of_a_price_that_is_not_there_any_more_the_total_is_left(self) -> None:
        record = recorded(charge(USAGE, WHOLE, quote(price()), Payer.HOUSE), quote(price()), Payer.HOUSE)
        assert shown(receipt_of(record, None)) == [("total", "0.000375")]

    def test_a_model_without_a_price_has_nothing_on_its_receipt(self) -> None:
        assert receipt(USAGE, None)[0] == []


counts = st.integers(0, 10**7)
amounts = st.none() | st.decimals(0, 10**6, places=18)
usages = st.none() | st.builds(
    Usage,
    input_uncached=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
    cache_write_other=counts,
    output=counts,
    reasoning=counts,
    audio_input=counts,
    server_tools=st.dictionaries(st.sampled_from(["web_search", "other"]), counts),
    service_tier=st.sampled_from([None, "flex", "x" * 300]),
    reported_cost=amounts,
    market_cost=amounts,
    is_byok=st.sampled_from([None, True, False]),
)
prices = st.sampled_from([PLAIN, price("0.123456789", "0.000000001"), price(0, 0), price(0, 0, request="0.01")])
quotes = st.none() | st.builds(quote, prices, st.sampled_from([0, 1, 333_333, 55_000, -1, -333_333, -(10**6), 10**8]))
deliveries = st.builds(Delivery, input_tokens=counts, content_bytes=counts, output_most=counts, complete=st.booleans())


@given(usages, quotes, st.sampled_from(list(Payer)), deliveries)
@example(USAGE, quote(price("0.0005", "0"), 1), Payer.BYOK, WHOLE)
@example(
    msgspec.structs.replace(USAGE, market_cost=Decimal("0.002"), is_byok=True), quote(PLAIN, 1), Payer.HOUSE, WHOLE
)
def test_the_rows_add_up_to_the_total_and_the_total_is_the_charge(
    usage: Usage | None, of: Quote | None, payer: Payer, delivery: Delivery
) -> None:
    rows, nano = receipt(usage, of, payer, delivery)
    if not rows:
        assert nano == 0
        return
    *lines, last = rows
    assert last.what == "total"
    assert total(lines) == Decimal(last.usd)
    assert last.usd == nano_text(nano)
    for row in lines:
        if row.units is not None and row.usd_per_million is not None:
            priced = EXACT.multiply(Decimal(row.units), Decimal(row.usd_per_million))
            assert Decimal(row.usd) == priced.scaleb(-6, EXACT)
    assert abs(Decimal(dict(shown(rows)).get("rounding", "0"))) <= Decimal("0.0000000005")


@given(usages)
def test_a_record_gives_the_tokens_back_that_it_was_charged_for(usage: Usage | None) -> None:
    used = usage or Usage()
    record = recorded(Charge(usage=used), None, Payer.HOUSE)
    plain = {"service_tier": None, "reported_cost": None, "market_cost": None, "is_byok": None}
    assert usage_of(record) == msgspec.structs.replace(used, **plain)


def test_what_was_priced_anew_is_part_of_it() -> None:
    rows = [ReceiptRow("input", "0.006"), ReceiptRow("total", "0.006")]
    told = corrected(rows, [("pr_a", -4_000_000), ("pr_b", 1_000_000)])
    assert [(row.what, row.usd) for row in told] == [
        ("input", "0.006"),
        ("priced anew with pr_a", "-0.004"),
        ("priced anew with pr_b", "0.001"),
        ("total", "0.003"),
    ]
    assert corrected(rows, []) == rows


def test_what_had_no_price_has_a_receipt_once_it_is_priced() -> None:
    told = corrected([], [("pr_a", 6_000_000)])
    assert [(row.what, row.usd) for row in told] == [
        ("no price was known", "0"), ("priced anew with pr_a", "0.006"), ("total", "0.006")
    ]  # fmt: skip
