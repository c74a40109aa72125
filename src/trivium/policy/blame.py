"""Whose fault a failure is, and which program called. Pure: what alerts count.

Only calls that reached a provider with the house's key count. Bad are those that failed by the provider's fault or by
ours; what a provider found wrong with the request is the client's fault and as good as an answer; whoever left before
the end has said nothing about anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from trivium.metering.record import Outcome, Record

_OURS = frozenset((401, 402, 403, 407, 408, 409, 425, 429))
"""Statuses of 4xx that say nothing about the request itself: the house's account, or no room."""
_CLIENTS = frozenset(
    {
        *("invalid_request_error", "not_found_error", "request_too_large", "context_length_exceeded"),
        *("content_filter", "content_policy_violation", "invalid_prompt"),
    }
)
"""Types of errors inside a 200 answer that are about the request."""
NOBODY, OTHER = "none", "other"
_KNOWN = {
    "claude-cli": "claude-code",
    "codex_cli_rs": "codex",
    "codex_exec": "codex",
    "opencode": "opencode",
    "kilo-code": "kilo-code",
    "openai": "openai-sdk",
    "asyncopenai": "openai-sdk",
    "anthropic": "anthropic-sdk",
    "asyncanthropic": "anthropic-sdk",
    "curl": "curl",
}
"""Client apps by the User-Agent's first word up to its slash, in lower case."""


class Call(msgspec.Struct, frozen=True):
    """What of a record tells whose fault it was."""

    outcome: str
    status: int
    upstream_status: int | None
    error_code: str | None
    in_band_error: bool


def bad(call: Call | Record) -> bool | None:
    """Whether a call was bad; None where it says nothing."""
    if call.outcome == Outcome.SUCCESS:
        return False
    if call.outcome == Outcome.REFUSED:
        return True if call.status >= 500 else None
    if call.outcome != Outcome.FAILED:
        return None
    upstream = call.upstream_status
    if upstream is not None and 400 <= upstream < 500:
        return upstream in _OURS
    return not (call.in_band_error and call.error_code in _CLIENTS)


class Apps:
    """What client apps are called: a closed list, so that nobody can make series without end."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._known = _KNOWN | {name.lower(): name.lower() for name in more}

    def __call__(self, client_app: str | None) -> str:
        if client_app is None:
            return NOBODY
        return self._known.get(client_app.partition("/")[0].lower(), OTHER)


def of_row(row: Iterable[Any]) -> Call:
    """The columns of a record in the order of `Call`."""
    return msgspec.convert(dict(zip(Call.__struct_fields__, row, strict=True)), Call, strict=False)
