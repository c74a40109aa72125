"""APIs by name."""

import pytest

from trivium.canon.api import Api


def test_an_api_is_found_by_its_short_name_and_by_the_one_in_records() -> None:
    assert Api.parse("chat") is Api.parse("chat_completions") is Api.CHAT
    assert [api.short for api in Api] == ["chat", "responses", "messages"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="gemini"):
        Api.parse("gemini")
