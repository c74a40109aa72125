"""Translating captures: what `trivium wire translate` does, without the command line.

The same code as in the gateway. Where both APIs are the same, everything passes as it is.
"""

from __future__ import annotations

from trivium.canon.api import Api
from trivium.canon.conventions import conventions_for
from trivium.canon.events import Fault
from trivium.providers.traits import traits_of
from trivium.wire import body as json_body
from trivium.wire.destination import Destination
from trivium.wire.envelope import origin_tag
from trivium.wire.errors import ErrorValue, render
from trivium.wire.eventstream import is_frame
from trivium.wire.fault import status_of
from trivium.wire.request import Rendered
from trivium.wire.translate import Translation

_ID = "offline"
_UNKNOWN = "openai-compatible"


def translate_request(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """A client's request as the upstream gets it. Raises RequestError."""
    if source is to:
        return Rendered(data)
    members = json_body.members(data)
    named = model or json_body.text(members, "model") or ""
    return _translation(source, to, named, provider).request(members)


def translate_response(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """An upstream's body, answer or error, as the client gets it."""
    if source is to:
        return Rendered(data)
    way = _translation(to, source, model or "", provider)
    said, answer = way.whole(data, conventions_for(provider))
    return Rendered(render(to, _error(answer.error)) if answer.error else said, way.losses())


def translate_stream(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """An upstream's stream as the client gets it."""
    if source is to:
        return Rendered(data)
    way = _translation(to, source, model or "", provider)
    stream = way.stream(conventions_for(provider), frames=is_frame(data))
    said = stream.feed(data)
    if stream.fault is None:
        said += stream.close()
    if stream.fault is not None:
        said += stream.failure(_error(stream.fault))
    return Rendered(said, way.losses())


def _translation(client: Api, upstream: Api, model: str, provider: str | None) -> Translation:
    kind = provider or _UNKNOWN
    to = Destination(
        api=upstream,
        model=model,
        traits=traits_of(kind, upstream, model),
        origin=origin_tag(kind, upstream, model),
    )
    return Translation(client, to, id=_ID, created=0)


def _error(fault: Fault) -> ErrorValue:
    return ErrorValue(status=status_of(fault), code=fault.code or fault.type, message=fault.message, request_id=_ID)
