"""Errors as the clients of Kilo's gateway read them, which come by the paths under `/api/`: beside our members those
that they look for (seen: Kilo Code CLI 7.7.7 tells by `error.code` whether to ask for a sign-in; its extension shows
the other four)."""

from __future__ import annotations

import msgspec

from trivium.wire.errors import ErrorValue

_CODES = {
    "paid_model_auth_required": "PAID_MODEL_AUTH_REQUIRED",
    "free_limit_reached": "PROMOTION_MODEL_LIMIT_REACHED",
}
_TITLES = {"insufficient_credits": "Credits needed", "budget_exceeded": "Budget used up"}
"""Of every 402."""


def in_kilos_words(error: ErrorValue) -> ErrorValue:
    """The same error with what these clients parse."""
    facts = dict(error.facts)
    if error.status == 402:
        facts["title"] = _TITLES.get(error.code, "Payment needed")
        if (balance := error.facts.get("balance_usd")) is not None:
            facts["balance"] = float(balance)
        if (url := error.facts.get("buy_credits_url")) is not None:
            facts["buyCreditsUrl"] = url
    return msgspec.structs.replace(error, code=_CODES.get(error.code, error.code), facts=facts)
