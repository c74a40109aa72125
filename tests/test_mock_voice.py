"""The error shape that both OpenAI dialects share."""

from __future__ import annotations

import pytest

from trivium.mock import Error
from trivium.mock.voice import openai_error


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (429, "rate_limit_exceeded", "rate_limit_exceeded"),
        (502, "server_error", "server_error"),
    ],
)
def test_type_and_code_follow_from_the_status_unless_they_are_given(status: int, kind: str, code: str | None) -> None:
    left_out = {"message": "Scripted error.", "type": kind, "param": None, "code": code}
    given = {"message": "No.", "type": "insufficient_quota", "param": None, "code": "quota"}

    assert openai_error(status, Error(), 1) == {"error": left_out}
    assert openai_error(status, Error(message="No.", type="insufficient_quota", code="quota"), 1) == {"error": given}
