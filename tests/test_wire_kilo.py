"""Errors in the words of Kilo's clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.wire.errors import ErrorValue, render
from trivium.wire.kilo import in_kilos_words


def told(api: Api = Api.CHAT, **fields: Any) -> dict[str, Any]:
    value = ErrorValue(**{"status": 402, "code": "insufficient_credits", "message": "No.", "request_id": "r", **fields})
    error: dict[str, Any] = json.loads(render(api, in_kilos_words(value)))["error"]
    return error


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("paid_model_auth_required", "PAID_MODEL_AUTH_REQUIRED"),
        ("free_limit_reached", "PROMOTION_MODEL_LIMIT_REACHED"),
        ("invalid_api_key", "invalid_api_key"),
    ],
)
def test_the_codes_that_ask_for_a_sign_in_are_in_upper_case(api: Api, code: str, shown: str) -> None:
    error = told(api, status=401, code=code)
    assert (error["code"], error["message"]) == (shown, "No.")
    assert "title" not in error


@pytest.mark.parametrize("api", list(Api))
def test_a_402_says_what_they_show_beside_what_we_say(api: Api) -> None:
    error = told(api, facts={"balance_usd": "-1.25", "buy_credits_url": "https://pay.example", "needed_usd": "3"})
    assert (error["title"], error["balance"], error["buyCreditsUrl"]) == (
        "Credits needed",
        -1.25,
        "https://pay.example",
    )
    assert (error["balance_usd"], error["needed_usd"], error["code"]) == ("-1.25", "3", "insufficient_credits")


def test_what_is_not_known_is_left_out() -> None:
    error = told(code="budget_exceeded")
    assert error["title"] == "Budget used up"
    assert not {"balance", "buyCreditsUrl"} & error.keys()
