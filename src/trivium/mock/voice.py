"""What a dialect can do, as a value: all the rest of the double knows of it. And what both OpenAI dialects share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from typing import Any

import msgspec

from trivium.mock.answer import Answer
from trivium.mock.script import Error

OPENAI_PING = b": keep-alive\n\n"
OPENAI_REQUEST_ID = "x-request-id"

_ERRORS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    429: ("rate_limit_exceeded", "rate_limit_exceeded"),
}
"""Type and code by status."""
_OUR_FAULT = ("server_error", "server_error")
_THEIR_FAULT = ("invalid_request_error", None)


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    ping: bytes
    request_id: str
    """The header in which the vendor names a request."""
    whole: Callable[[Answer], dict[str, Any]]
    stream: Callable[[Answer], list[bytes]]
    """Events; the last is the terminal one."""
    error: Callable[[int, Error, int], dict[str, Any]]
    """Status, error, number of the request -> the body of a failed request."""
    fault: Callable[[Answer, Error, int], list[bytes]]
    """The events that break a stream off, after so many events of it."""


def strung(strands: list[Iterator[dict[str, Any]]], *, interleaved: bool) -> Iterator[dict[str, Any]]:
    """The strands one after another, or taking turns."""
    turns = zip_longest(*strands) if interleaved else strands
    return (event for event in chain.from_iterable(turns) if event is not None)


def openai_error(status: int, said: Error, _number: int) -> dict[str, Any]:
    kind, code = _ERRORS.get(status, _OUR_FAULT if status >= 500 else _THEIR_FAULT)
    return {"error": {"message": said.message, "type": said.type or kind, "param": None, "code": said.code or code}}
