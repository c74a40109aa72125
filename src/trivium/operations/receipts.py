"""The receipt of a request: how its charge came about, in rows whose amounts add up to the charge exactly.

It is made anew from the record and the price that the record names, so that whoever has both can check it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from trivium.metering.charge import Payer
from trivium.metering.cost import ReceiptRow, cost, receipt
from trivium.metering.prices import MILLION, Price, Quote
from trivium.metering.record import usage_of
from trivium.money import NANO, nano_text, to_nano, usd_text
from trivium.operations.seen import is_secret
from trivium.store.prices import PriceStore

_EXACT = Context(prec=400)
_PAID_BY = {
    Payer.BYOK: "paid by the caller's own key",
    Payer.FEE: "paid by the caller's own key",
    Payer.FREE: "free model",
    Payer.PROMOTION: "promotion",
}


def receipt_for(prices: PriceStore, record: Mapping[str, Any], *, house: bool) -> list[ReceiptRow]:
    """The receipt as the house sees it, or everybody else. Blocks; raises StoreUnavailable."""
    corrections = prices.corrections(record["id"])
    if is_secret(record) and not house:
        return total_of(record, corrections)
    stored = prices.find(record["price_version"]) if record["price_version"] else None
    return corrected(receipt_of(record, stored.price if stored else None), corrections)


def receipt_of(record: Mapping[str, Any], price: Price | None) -> list[ReceiptRow]:
    """`record` is a row of the record table, `price` the price that its `price_version` names. Empty where nothing was
    there to be charged for."""
    if record["payer"] is None or (record["cost_source"] is None and not record["cost_nano"]):
        return []
    rows = _priced(record, price) if record["cost_source"] != "reported" else _reported(record)
    if _is_charged(record):
        return rows
    total = Decimal(rows[-1].usd)
    return [*rows[:-1], ReceiptRow(_PAID_BY[Payer(record["payer"])], usd_text(-total)), ReceiptRow("total", "0")]


def _is_charged(record: Mapping[str, Any]) -> bool:
    """Whether the figures are what was charged; of a gateway's fee only it itself is."""
    payer, cost = record["payer"], record["cost_nano"]
    return bool(payer == Payer.HOUSE or (payer == Payer.FEE and cost))


def corrected(rows: list[ReceiptRow], corrections: Sequence[tuple[str, int]]) -> list[ReceiptRow]:
    """The receipt with what `trivium prices rerate` made of it since: versions, and nanodollars that each adds."""
    if not corrections:
        return rows
    rows = rows or [ReceiptRow("no price was known", "0"), ReceiptRow("total", "0")]
    since = [ReceiptRow(f"priced anew with {version}", nano_text(nano)) for version, nano in corrections]
    total = Decimal(rows[-1].usd) + sum(Decimal(row.usd) for row in since)
    return [*rows[:-1], *since, ReceiptRow("total", usd_text(total))]


def total_of(record: Mapping[str, Any], corrections: Sequence[tuple[str, int]]) -> list[ReceiptRow]:
    """What a request is charged by now, without how that came about: rates are as good as the model's name."""
    return [ReceiptRow("total", nano_text(record["cost_nano"] + sum(nano for _, nano in corrections)))]


def _priced(record: Mapping[str, Any], price: Price | None) -> list[ReceiptRow]:
    if price is None:
        return [ReceiptRow("total", nano_text(record["cost_nano"]))]
    quote = Quote(
        price=price,
        version=record["price_version"],
        source="",
        provider=record["provider"],
        model=record["upstream_model"],
        markup_ppm=record["markup_ppm"],
    )
    return receipt(cost(usage_of(record), quote, record["service_tier"]))


def _reported(record: Mapping[str, Any]) -> list[ReceiptRow]:
    """The provider's own figure; where it told only what the call is worth, that."""
    told = record["reported_cost_usd"] or record["market_cost_usd"] or "0"
    if record["reported_cost_usd"] is None and record["is_byok"]:
        told = "0"
    amount = Decimal(told)
    rows = [ReceiptRow("reported by the provider", usd_text(amount))]
    markup = _EXACT.divide(_EXACT.multiply(amount, Decimal(record["markup_ppm"])), Decimal(MILLION))
    if markup:
        rows.append(ReceiptRow("markup" if markup > 0 else "discount", usd_text(markup)))
    exact = _EXACT.add(amount, markup)
    charged = record["cost_nano"] if _is_charged(record) else to_nano(exact)
    total = _EXACT.divide(Decimal(charged), Decimal(NANO))
    if rounding := _EXACT.subtract(total, exact):
        rows.append(ReceiptRow("rounding", usd_text(rounding)))
    return [*rows, ReceiptRow("total", nano_text(charged))]
