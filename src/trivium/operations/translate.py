"""Translating captures: what `trivium wire translate` does, without the command line.

The same code as in the gateway. Where both APIs are the same, everything passes as it is.
"""

from __future__ import annotations

import msgspec

from trivium.canon.api import Api
from trivium.canon.conventions import conventions_for
from trivium.canon.events import Fault
from trivium.errors import OperationError
from trivium.operations.wire import as_seen, is_known
from trivium.providers.rows import ROWS
from trivium.providers.traits import traits_of
from trivium.wire import body as json_body
from trivium.wire.destination import Destination
from trivium.wire.envelope import origin_tag
from trivium.wire.errors import ErrorValue, render
from trivium.wire.fault import status_of
from trivium.wire.request import Rendered, check_stateless, parse
from trivium.wire.translate import Translation

_ID = "offline"
_UNKNOWN = "openai-compatible"


def translate_request(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """A client's request as the upstream gets it. Raises RequestError, and OperationError for a provider without a name
    in any table."""
    _check_provider(provider)
    if source is to:
        return Rendered(data)
    members = json_body.members(data)
    if model is not None:
        members = {**members, "model": msgspec.Raw(msgspec.json.encode(model))}
    request = parse(source, msgspec.json.encode(members))
    check_stateless(request)
    return _translation(source, to, request.model, provider).request(request.members)


def translate_response(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """An upstream's answer or error as the whole body that the client gets, whether it is one or a stream."""
    _check_provider(provider)
    if source is to:
        return Rendered(data)
    way = _translation(to, source, model or "", provider)
    told, streamed = as_seen(data)
    said, answer = way.whole(told, conventions_for(provider), streamed=streamed)
    return Rendered(render(to, _error(answer.error)) if answer.error else said, way.losses())


def translate_stream(data: bytes, source: Api, to: Api, *, model: str | None, provider: str | None) -> Rendered:
    """An upstream's answer as the stream that the client gets, whether it is one or a whole body."""
    _check_provider(provider)
    if source is to:
        return Rendered(data)
    way = _translation(to, source, model or "", provider)
    stream = way.stream(conventions_for(provider))
    told, streamed = as_seen(data)
    if streamed:
        said = stream.feed(told)
        said += b"" if stream.fault else stream.close()
    else:
        said = stream.whole(told)
    if stream.fault is not None:
        said += stream.failure(_error(stream.fault))
    return Rendered(said, way.losses())


def _check_provider(name: str | None) -> None:
    if name is not None and not is_known(name):
        raise OperationError(f"No provider is known as {name!r}; there are {', '.join(ROWS)}.")


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
