"""What of an upstream's answer goes on to clients: some of its headers, and a body only if it is JSON."""

from __future__ import annotations

import contextlib

from trivium.errors import InvalidJson, UpstreamGarbage
from trivium.pipeline.call import Headers
from trivium.wire.body import members
from trivium.wire.lenient import parse

_PASSED = {
    b"content-type",
    b"date",
    b"openai-processing-ms",
    b"request-id",
    b"retry-after",
    b"retry-after-ms",
    b"x-generation-id",
    b"x-request-id",
    b"x-should-retry",
}
_HINTS = {b"retry-after", b"retry-after-ms", b"x-should-retry"}
_PREFIXES = (b"anthropic-ratelimit-", b"x-ratelimit-")


def passed(headers: Headers) -> Headers:
    """Those that go on with an answer, and say something."""
    return [one for one in headers if one[1] and (one[0] in _PASSED or one[0].startswith(_PREFIXES))]


def hints(headers: Headers) -> Headers:
    """Those that go on with an error of ours: when to try again, and how much is left."""
    return [one for one in headers if one[1] and (one[0] in _HINTS or one[0].startswith(_PREFIXES))]


def check_json(body: bytes) -> None:
    """An object to easy-going readers is enough: for an emoji that a limit cut in half no answer is lost. Raises
    UpstreamGarbage."""
    with contextlib.suppress(InvalidJson):
        members(body)
        return
    with contextlib.suppress(ValueError):
        if isinstance(parse(body), dict):
            return
    raise UpstreamGarbage(
        "The upstream's answer is not JSON.", detail=f"not JSON: {body[:500].decode(errors='replace')}"
    )
