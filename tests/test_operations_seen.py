"""Which columns of a record everybody sees, and that a new one is seen by nobody until somebody decides so."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest

from trivium.metering.record import COLUMNS, Record
from trivium.operations.seen import SEEN, is_lent, is_secret, seen

HOUSE_ALONE = {
    *("abuse_verdict", "abuse_reason", "flags", "upstream_status", "exposure_nano"),
    *("public_model", "told_code", "told_message", "routing", "model_listed"),
}
_PLAIN = {"api": "chat", "operation": "generate", "outcome": "success", "status": 200, "time_ms": 1}
TELLING = {
    *("provider", "upstream_api", "upstream_model", "answer_model", "upstream_id", "native_finish_reason"),
    *(
        "inference_provider",
        "server_tools",
        "service_tier",
        "reported_cost_usd",
        "market_cost_usd",
        "losses",
        "cost_source",
    ),
    *("price_version", "error_code", "error_message", "payer", *HOUSE_ALONE),
}
"""Columns of text, or of what is a number there, in which a name could stand."""


def row(**fields: Any) -> dict[str, Any]:
    """Every column of text says its own name."""
    texts = {name: name for name, kind in get_type_hints(Record).items() if kind in (str, str | None)}
    return msgspec.structs.asdict(Record(**{**texts, **_PLAIN, "public_model": None, **fields}))


def test_somebody_has_decided_of_every_column() -> None:
    assert set(COLUMNS) == SEEN | HOUSE_ALONE
    assert not SEEN & HOUSE_ALONE


def test_what_is_the_houses_is_not_seen() -> None:
    shown = seen(row())
    assert set(shown) == SEEN
    assert not HOUSE_ALONE & set(map(str, shown.values())) - {"told_code", "told_message"}
    assert (shown["error_code"], shown["error_message"]) == ("told_code", "told_message")


def test_an_upstream_that_is_no_secret_is_seen() -> None:
    shown = seen(row())
    assert all(shown[name] == name for name in ("provider", "inference_provider", "upstream_id", "losses"))


def test_of_a_stealth_model_only_its_own_name_is_seen() -> None:
    one = row(public_model="house/x", market_cost_nano=9, markup_ppm=9, is_byok=True)
    shown = seen(one)
    assert is_secret(one)
    assert not TELLING & set(map(str, shown.values())) - {"told_code", "told_message"}
    assert (shown["upstream_model"], shown["answer_model"], shown["payer"]) == ("house/x", "house/x", "free")
    assert (shown["market_cost_nano"], shown["markup_ppm"], shown["is_byok"]) == (None, 0, None)


def test_of_another_organizations_custom_model_only_its_name_is_seen() -> None:
    one = row(public_model="llama", provider="custom@acme", organization_id="blue")
    shown = seen(one)
    assert (is_lent(one), is_secret(one)) == (True, False)
    assert (shown["provider"], shown["upstream_model"], shown["answer_model"]) == ("custom@acme", "llama", "llama")
    assert (shown["losses"], shown["payer"]) == ("losses", "payer")
    own = row(provider="custom@acme", organization_id="acme")
    assert (is_lent(own), seen(own)["upstream_model"]) == (False, "upstream_model")
    assert not is_lent(row(provider=None))
    assert seen(row(provider="custom@acme", organization_id="blue"))["upstream_model"] is None


def test_how_long_caches_last_is_not_seen_of_it() -> None:
    cached = {"cache_write_5m_tokens": 1, "cache_write_1h_tokens": 2, "cache_write_other_tokens": 4}
    shown = seen(row(public_model="house/x", **cached))
    assert [shown[name] for name in cached] == [0, 0, 7]
    assert {name: seen(row(**cached))[name] for name in cached} == cached


@pytest.mark.parametrize("column", ["payer", "answer_model"])
def test_what_there_was_not_is_not_made_up(column: str) -> None:
    assert seen(row(public_model="house/x", **{column: None}))[column] is None
