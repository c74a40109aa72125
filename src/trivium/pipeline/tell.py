"""What answers of ours are made of: headers of a JSON body, errors as values of the caller's API, what was lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trivium.canon.api import Api, Kind
from trivium.errors import TriviumError
from trivium.pipeline.call import Call, Headers
from trivium.wire.errors import ErrorValue
from trivium.wire.kilo import in_kilos_words
from trivium.wire.losses import Loss

_LONGEST_HEADER = 1000
_DATA = (b"application/json", b"text/event-stream")
REQUEST_IDS = (b"request-id", b"x-request-id")
_UNSAFE = re.compile(r"[^\w.:()\[\] -]")


def request_id_name(api: Kind) -> bytes:
    """The header by which the API's SDKs know the id of a request."""
    return REQUEST_IDS[0] if api is Api.MESSAGES else REQUEST_IDS[1]


def json_headers(content: bytes, call: Call) -> Headers:
    """The headers of a JSON body of ours; the id also under the name by which the API's SDKs know it."""
    request_id = call.id.encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"x-trivium-request-id", request_id),
        (request_id_name(call.api), request_id),
    ]


def as_data(headers: Headers, *, stream: bool) -> Headers:
    """An upstream's headers, with the kind of body that it is. SDKs go by it, and no browser may take it for a page: it
    stands under the same address as the dashboard, and a form on any site can make a browser call a free model."""
    kinds = [value for name, value in headers if name == b"content-type"]
    if kinds and all(_is(_DATA[stream], kind) for kind in kinds):
        return headers
    return [(b"content-type", _DATA[stream]), *((name, value) for name, value in headers if name != b"content-type")]


def _is(wanted: bytes, kind: bytes) -> bool:
    """Of several kinds in one value, as in `application/json, text/html`, browsers take the last (Fetch standard,
    "extract a MIME type")."""
    return b"," not in kind and kind.partition(b";")[0].strip().lower() == wanted


def loss_header(losses: Sequence[Loss]) -> bytes:
    """How many things the request lost, and which, of each kind the first: `5; seed, tools[3]`. Names are the caller's:
    anything."""
    names = ", ".join(_UNSAFE.sub("?", loss.field) for loss in losses)[:_LONGEST_HEADER]
    return f"{sum(loss.count for loss in losses)}; {names}".encode("ascii", "replace")


def error_value(call: Call, error: TriviumError) -> ErrorValue:
    value = ErrorValue(
        status=error.status,
        code=error.code,
        message=error.message,
        param=error.param,
        request_id=call.id,
        facts=dict(error.facts),
    )
    return in_kilos_words(value) if call.kilo else value
