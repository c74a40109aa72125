"""What handlers of pages share."""

from __future__ import annotations

import pytest

from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import Unfit
from trivium.dashboard.page import said_of


def test_what_was_refused_is_told_in_words() -> None:
    assert said_of(Unfit("No number.")) == "No number."
    assert said_of(Refusal({"error": "There is a key of this name.", "status": 409})) == "There is a key of this name."


def test_who_is_not_signed_in_any_more_is_no_matter_of_the_form() -> None:
    error = Refusal({"error": "Sign in again.", "status": 401})
    with pytest.raises(Refusal) as raised:
        said_of(error)
    assert raised.value is error
