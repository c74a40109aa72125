"""Errors in the shape that each API's SDKs parse: as a whole answer, and as the end of a stream that failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.api import Api

_encode = msgspec.json.encode


class ErrorValue(msgspec.Struct, frozen=True, kw_only=True):
    """An error before it has a shape."""

    status: int
    code: str
    """Stable, ours."""
    message: str
    param: str | None = None
    request_id: str
    facts: dict[str, str | float] = {}
    """Members beside these, such as the balance of a 402."""


def render(api: Api, error: ErrorValue) -> bytes:
    """The JSON body of an error response."""
    return _BODIES[api](error)


def render_in_stream(
    api: Api, error: ErrorValue, sequence_number: int, response_id: str | None, response: dict[str, Any] | None = None
) -> bytes:
    """The SSE events with which this API ends a stream that failed. Nothing may follow them.

    `sequence_number` and `response_id` continue a Responses stream, `response` is what it has said so far, where that
    is known; the other APIs have no use for them.
    """
    if api is Api.CHAT:
        return b"data: %b\n\n" % _openai(error)
    if api is Api.MESSAGES:
        return b"event: error\ndata: %b\n\n" % _anthropic(error)
    return _responses_failure(error, sequence_number, {"id": response_id or error.request_id, **(response or _UNSAID)})


def is_native(api: Api, body: bytes) -> bool:
    """Whether an upstream's error body already has the shape that this API's clients parse."""
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return False
    return api is not Api.MESSAGES or (document.get("type") == "error" and isinstance(error.get("type"), str))


_UNSAID: dict[str, Any] = {"output": [], "parallel_tool_calls": False, "tool_choice": "auto", "tools": []}


def _responses_failure(error: ErrorValue, sequence_number: int, response: dict[str, Any]) -> bytes:
    """`error`, at which the SDKs raise, and then `response.failed`, at which agents look (as OpenAI sends them)."""
    told = {"type": "error", "sequence_number": sequence_number, **msgspec.json.decode(_openai(error))}
    failed = {
        "type": "response.failed",
        "sequence_number": sequence_number + 1,
        "response": {
            **response,
            "object": "response",
            "status": "failed",
            "error": {"code": error.code, "message": error.message},
            "incomplete_details": None,
        },
    }
    return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (_encode(told), _encode(failed))


def _openai(error: ErrorValue) -> bytes:
    kind = _OPENAI_TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    inner = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return _encode({"error": {**inner, **error.facts}})


def _anthropic(error: ErrorValue) -> bytes:
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    inner: dict[str, Any] = {"type": kind, "message": error.message, "code": error.code, **error.facts}
    if details := _DETAILS.get((error.code, error.param)):
        inner["details"] = details
    return _encode({"type": "error", "error": inner, "request_id": error.request_id})


_BODIES: dict[Api, Callable[[ErrorValue], bytes]] = {
    Api.CHAT: _openai,
    Api.RESPONSES: _openai,
    Api.MESSAGES: _anthropic,
}

# spec.md section 7; what the vendors do not list follows the nearest they do.
_DETAILS: dict[tuple[str, str | None], dict[str, Any]] = {
    ("unsupported_field", "thread"): {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
}
"""What Anthropic's SDKs look for: their tool runners then go on without a thread."""

_OPENAI_TYPES = {402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_exceeded"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
