"""What of a record is shown to whoever is not the house: lists of what is seen, so that a new column is not.

The house's alone are what was thought of the caller, what the house's own accounts and networks answered, and flags.
Errors are those that the client was told. Of a stealth model nothing is seen that says who answered, for which the
record itself says that it was one: models are renamed and end. Of another organization's custom model that is seen by
its name alone, which the record has in the same column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivium.metering.charge import Payer
from trivium.metering.record import TOKENS, TOLD_BY_CLIENT
from trivium.providers.custom import is_custom, owner_of

_ALWAYS = (
    *("id", "time_ms", "api", "operation", "outcome", "status", "key_id", "requested_model", "stream"),
    *("auto_model", "auto_mode", "resolved_model"),
    *("error_code", "error_message", "in_band_error", "finish_reason", "usage_known", *TOKENS, "max_tokens"),
    *("queue_us", "ttfb_us", "first_token_us", "total_us", "request_bytes", "response_bytes", "content_bytes"),
    *("client_app", "client_ip", "client_country", "tls_fingerprint", "requests"),
    *("account_id", "organization_id", "user_id", "project_id"),
    *("payer", "cost_nano", "hold_nano"),
    *("prompt_prefix", "system_prompt_prefix", "system_prompt_length", "tools_available", "tools_used"),
    *TOLD_BY_CLIENT,
)
_OF_ANSWERER: dict[str, Any] = {
    **dict.fromkeys(("provider", "upstream_api", "upstream_model", "answer_model", "upstream_id")),
    **dict.fromkeys(("inference_provider", "native_finish_reason", "server_tools", "service_tier", "losses", "rules")),
    **dict.fromkeys(("reported_cost_usd", "market_cost_usd", "market_cost_nano", "is_byok", "cost_source", "runs")),
    **dict.fromkeys(("price_version", "image_output_tokens")),
    "markup_ppm": 0,
}
"""What tells who answered, and what stands there of a stealth model instead."""

SEEN = frozenset((*_ALWAYS, *_OF_ANSWERER))
"""Columns."""


def is_secret(row: Mapping[str, Any]) -> bool:
    """Whether nobody but the house may learn who answered."""
    return row["public_model"] is not None and not is_custom(row["provider"] or "")


def is_lent(row: Mapping[str, Any]) -> bool:
    """Whether a custom model of another organization answered, whose settings are not for the caller's side."""
    return owner_of(row["provider"]) not in (None, row["organization_id"])


def seen(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the record table for everybody but the house."""
    shown = {name: value for name, value in row.items() if name in SEEN}
    shown |= {"error_code": row["told_code"], "error_message": row["told_message"]}
    if is_secret(row):
        return shown | _covered(row)
    return shown | _names(row) if is_lent(row) else shown


def _names(row: Mapping[str, Any]) -> dict[str, Any]:
    """By what name the caller's side knows who answered."""
    public = row["public_model"]
    return {"upstream_model": public, "answer_model": public if row["answer_model"] is not None else None}


def _covered(row: Mapping[str, Any]) -> dict[str, Any]:
    cached = ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_other_tokens")
    return {
        **_OF_ANSWERER,
        **_names(row),
        # Not every vendor's caches last as long.
        **dict.fromkeys(cached, 0),
        "cache_write_other_tokens": sum(row[name] for name in cached),
        "payer": row["payer"] and Payer.FREE,
    }
