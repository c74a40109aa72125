"""Embeddings: the request in the upstream's words, and the vectors back to the client as they were asked for."""

from __future__ import annotations

import asyncio

from trivium.canon.events import Fault
from trivium.errors import FieldInvalid, UpstreamError, UpstreamGarbage
from trivium.pipeline.call import Reply
from trivium.pipeline.relay import METERED, Exchange
from trivium.pipeline.settle import Run
from trivium.providers.solo import dialect_of, says_too_long, vectors_of
from trivium.routing.catalog import Target
from trivium.upstream.client import UpstreamResponse
from trivium.wire.embeddings import read, rewritten
from trivium.wire.losses import Losses
from trivium.wire.request import Rendered, Request, render, with_members
from trivium.wire.solo import dimensions, encoding


def render_embeddings(request: Request, target: Target) -> Rendered:
    """The request for the upstream. Raises FieldInvalid for vectors that the model does not make."""
    _check_length(request, target)
    words = dialect_of(target.provider.kind, target.provider.name)
    if words.keys().isdisjoint(request.members):
        return render(request, target.model)
    losses, members = Losses(), {}
    for name, raw in request.members.items():
        if (called := words.get(name, name)) is not None:
            members[called] = raw
        else:
            losses.add(name, "the provider knows no such field")
    rendered = render(with_members(request, members), target.model)
    return Rendered(rendered.body, losses.told() + rendered.losses)


def _check_length(request: Request, target: Target) -> None:
    wanted, known = dimensions(request.members), vectors_of(target.model)
    if wanted is None or known is None or wanted == known.longest or (known.shortens and wanted < known.longest):
        return
    can = f"vectors of up to {known.longest}" if known.shortens else f"vectors of {known.longest} numbers alone"
    raise FieldInvalid(f"`{target.public}` makes {can}; `dimensions` says {wanted}.", param="dimensions")


class EmbeddingsExchange(Exchange):
    """An answer of vectors. It is read whole, up to what is metered: a longer one goes on as it came."""

    _BUFFERS = METERED
    _CUTS = True

    def __init__(self, request: Request, target: Target, response: UpstreamResponse, reply: Reply, run: Run) -> None:
        super().__init__(request, target.provider, response, reply, run)
        self._encoding = encoding(request.members)
        self._called = target.house.id if target.house is not None else None

    def _failure(self, status: int, message: str, fault: Fault | None) -> UpstreamError:
        if says_too_long(message):
            # The server calls it a failure of its own, which clients would try again.
            failure = UpstreamError(f"A text is too long for this model: {message}", detail=message)
            failure.status, failure.code = 400, "input_too_long"
            return failure
        return super()._failure(status, message, fault)

    def _is_native(self, body: bytes) -> bool:
        return not says_too_long(body.decode(errors="replace")) and super()._is_native(body)

    async def _pass_whole(self, body: bytearray) -> None:
        # What is not whole cannot be rewritten, and must not arrive as something else than was asked for.
        other = b'"embedding":"' if self._encoding == "float" else b'"embedding":['
        if self._called is not None or other in bytes(body[:_HEAD]).translate(None, b" \t\r\n"):
            raise UpstreamGarbage(
                "The upstream's vectors are too many to be written as asked for. Ask for fewer at once."
            )
        await super()._pass_whole(body)

    def _meter_whole(self, body: bytes) -> None:
        if body:
            self._run.told_whole(read(body, self._provider.conventions))
        else:
            super()._meter_whole(body)

    async def _shown(self, body: bytes) -> bytes:
        try:
            if len(body) > _LONG:  # vector by vector in a thread, so that others have their turns
                return await asyncio.to_thread(rewritten, body, self._encoding, self._called)
            return rewritten(body, self._encoding, self._called)
        except (ValueError, RecursionError) as error:
            raise UpstreamGarbage("The upstream's vectors cannot be read.", detail=str(error)) from None


_HEAD = 64 * 1024
"""Bytes of an answer in which the first vector begins."""
_LONG = 256 * 1024
"""Bytes that are written otherwise in some 7 ms."""
