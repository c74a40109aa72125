"""What never becomes a request: what its client is told, and its record."""

from __future__ import annotations

import logging

from httptools import HttpParserCallbackError, HttpParserInvalidURLError

from trivium.errors import HeadersTooLarge, Overloaded, RequestError, TriviumError
from trivium.metering.record import Outcome, Record
from trivium.pipeline.call import GENERATE
from trivium.server.routes import CALLS

_LOG = logging.getLogger("trivium.server")


def why_unread(error: Exception) -> TriviumError:
    """What the parser's error means. Of one that was raised where we are told of what was read, it gives only the
    context: what is no fault of the client's is logged."""
    cause = error.__context__ if isinstance(error, HttpParserCallbackError) else None
    if isinstance(cause, HttpParserInvalidURLError | UnicodeError | None):
        return RequestError("Invalid HTTP request received: it is not HTTP/1.1.")
    _LOG.error("a request could not be read", exc_info=cause)
    if isinstance(cause, MemoryError):
        return Overloaded("The gateway has no memory left for this request. Try again in a moment.")
    return TriviumError("The gateway failed. The error has been logged.")


def headers_too_large(most: int) -> HeadersTooLarge:
    return HeadersTooLarge(f"The request's headers are larger than {most} bytes.")


def record_of_unread(id: str, time_ms: int, url: bytes, error: TriviumError, client: tuple[str, int] | None) -> Record:
    route = CALLS.get(url.decode("latin-1").partition("?")[0])
    return Record(
        id=id,
        time_ms=time_ms,
        api=route.api if route is not None else "",
        operation=route.operation if route is not None else GENERATE,
        outcome=Outcome.REFUSED,
        status=error.status,
        error_code=error.code,
        error_message=error.message,
        told_code=error.code,
        told_message=error.message,
        client_ip=client[0] if client is not None else None,
    )
