"""What both OpenAI dialects share: the error shape, and the order of parallel calls."""

from __future__ import annotations

import pytest

from trivium.mock import Error
from trivium.mock.voice import openai_error, strung


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


def test_strands_follow_each_other_or_take_turns_as_long_as_they_last() -> None:
    def said(*, interleaved: bool) -> list[int]:
        strands = [iter([{"n": n} for n in strand]) for strand in ((1, 2, 3), (4,), (5, 6))]
        return [event["n"] for event in strung(strands, interleaved=interleaved)]

    assert said(interleaved=False) == [1, 2, 3, 4, 5, 6]
    assert said(interleaved=True) == [1, 4, 5, 2, 6, 3]
