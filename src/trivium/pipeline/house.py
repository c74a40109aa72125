"""Answers of the house's own models on their way to the client: under the public id, and of stealth models with nothing
of who answered (behaviour page, section 4; vendors page, "Response rewriting")."""

from __future__ import annotations

from trivium.canon.api import EMBEDDINGS
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.embed import EmbeddingsExchange
from trivium.pipeline.relay import METERED, Exchange
from trivium.pipeline.settle import Run
from trivium.pipeline.tell import request_id_name
from trivium.pipeline.translated import TranslatedExchange
from trivium.providers.house import HouseModel
from trivium.providers.provider import Provider
from trivium.providers.quirks import mending
from trivium.routing.catalog import Target
from trivium.upstream.client import UpstreamResponse
from trivium.wire.decoder import Decoder
from trivium.wire.request import Request
from trivium.wire.rewrite import Rewriter, RewrittenRelay
from trivium.wire.translate import Translation


def exchange_of(  # noqa: PLR0917
    request: Request, target: Target, response: UpstreamResponse, reply: Reply, run: Run, way: Translation | None
) -> Exchange:
    """Who brings this answer to the client."""
    provider, house = target.provider, target.house
    if way is not None:
        kind = StealthExchange if target.stealth else TranslatedExchange
        return kind(request, provider, response, reply, run, way)
    if run.call.api is EMBEDDINGS:
        return EmbeddingsExchange(request, target, response, reply, run)
    if house is not None:
        return HouseExchange(request, provider, response, reply, run, house)
    return Exchange(request, provider, response, reply, run)


class HouseExchange(Exchange):
    """An answer in the client's API, rewritten."""

    _BUFFERS = METERED
    _CUTS = True

    def __init__(  # noqa: PLR0917
        self,
        request: Request,
        provider: Provider,
        response: UpstreamResponse,
        reply: Reply,
        run: Run,
        house: HouseModel,
    ) -> None:
        super().__init__(request, provider, response, reply, run)
        self._rewriter = Rewriter(self._shape, house.id)

    def _meter(self, decoder: Decoder) -> RewrittenRelay:
        mend = mending(self._provider.quirks, self._shape)
        hide = not self._request.wants_usage
        return RewrittenRelay(self._shape, decoder, self._rewriter, hide_usage=hide, mend=mend)

    async def _shown(self, body: bytes) -> bytes:
        return self._rewriter.whole(await super()._shown(body))


class StealthExchange(TranslatedExchange):
    """An answer of which only what the translation made of it goes on. Its errors are masked where they are told
    (`mask.py`)."""

    _SECRET = True

    def _passed(self, stream: bool) -> Headers:  # noqa: ARG002
        """None of the upstream's headers; our id under the name by which the client's SDK knows it."""
        return [(request_id_name(self._call.api), self._call.id.encode())]
