"""How many tokens a request has: asked of the upstream where it can count, else estimated, and marked so.

Coding agents ask this often and take a 404 for a broken gateway. An upstream counts in its own API; for a client of
another the request is translated. OpenRouter, servers that speak only Chat Completions, and Vercel for some models
cannot count (wire notes, section 4). Nor is one asked that is known to keep to an organization's policy in answers
alone. Of stealth models the count is an estimate always: by a tokenizer one knows whose it is. So is that of a model
whose first route fails where the call itself would go on to another.
"""

from __future__ import annotations

import msgspec

from trivium.canon.api import Api
from trivium.errors import UpstreamError, UpstreamGarbage
from trivium.pipeline.authorize import is_told
from trivium.pipeline.call import Call, Reply
from trivium.pipeline.deps import Deps
from trivium.pipeline.forward import prepare, way_to
from trivium.pipeline.hold import begin
from trivium.pipeline.journey import fails_over, is_failure
from trivium.pipeline.limited import with_own
from trivium.pipeline.own import send
from trivium.pipeline.relay import Exchange
from trivium.pipeline.settle import Run
from trivium.pipeline.tell import json_headers, loss_header
from trivium.providers.styles import COUNT_THEIR_WAY
from trivium.routing.catalog import Target
from trivium.wire.figures import MOST_TOKENS
from trivium.wire.request import Request
from trivium.wire.translate import estimated

_CANNOT = (404, 405, 501)
"""Statuses of servers that do not know the path."""
_MAY_NOT = (400, 403, *_CANNOT)
"""Of those who count some models alone, for some callers."""


async def count(  # noqa: PLR0917
    call: Call, request: Request, target: Target, reply: Reply, run: Run, deps: Deps, *, elsewhere: bool = False
) -> None:
    """Answers a call that counts tokens; `elsewhere`: there are other routes. Raises TriviumError."""
    provider = target.provider
    if not provider.counts or target.stealth or is_told(run.key, provider):
        await _tell(call, request, None, reply, run)
        return
    way = way_to(call, request, target, provider.counts, deps)
    body = prepare(call, request, target, way, run)
    await begin(call, request, target, run, deps)
    since_us, flags = run.elapsed_us(), len(run.flags)
    try:
        response = await send(call, body, target, way, run, deps)
        theirs = provider.at(way.api if way else call.api).style in COUNT_THEIR_WAY
        if response.status in (_MAY_NOT if theirs else _CANNOT) or (elsewhere and is_failure(response.status)):
            response.close()
            await _tell(call, request, None, reply, run)
        elif way is None and not theirs:
            kind = _SureCount if elsewhere else Exchange
            await kind(request, provider, response, reply, run).relay()
        else:
            await _TranslatedCount(request, provider, response, reply, run).relay()
    except UpstreamError as error:
        if reply.started or not (elsewhere and fails_over(error)):
            raise
        run.failed_over(error, since_us, flags)
        await _tell(call, request, None, reply, run)


class _Counted(msgspec.Struct):
    input_tokens: int | None = None
    theirs: int | None = msgspec.field(name="inputTokens", default=None)

    @property
    def tokens(self) -> int | None:
        """None: nobody has counted."""
        tokens = self.theirs if self.input_tokens is None else self.input_tokens
        return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else None


def _counted(body: bytes) -> int | None:
    """The count in an upstream's answer, if it is one."""
    try:
        return msgspec.json.decode(body, type=_Counted).tokens
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class _SureCount(Exchange):
    """An upstream's count as it came. What is none is a failure, as the call itself would go on to another route."""

    async def _shown(self, body: bytes) -> bytes:
        if _counted(body) is None:
            raise UpstreamGarbage("The upstream's answer has no count of tokens.")
        return body


class _TranslatedCount(Exchange):
    """An upstream's count, in other words than the client's API has."""

    async def _relay_whole(self, chunk: bytes) -> None:
        body = chunk + await self._read_some()
        await _tell(self._call, self._request, _counted(body), self._reply, self._run)


async def _tell(call: Call, request: Request, tokens: int | None, reply: Reply, run: Run) -> None:
    """The count in the shape of the caller's API; an estimate where nobody counted."""
    said: dict[str, object] = {"object": "response.input_tokens"} if call.api is Api.RESPONSES else {}
    said["input_tokens"] = estimated(call.api.shape, request.members) if tokens is None else tokens
    if tokens is None:
        said["estimated"] = True
        run.flags.append("estimated")
        if run.limited is not None:
            run.limited.give_back()
    content = msgspec.json.encode(said)
    headers = json_headers(content, call)
    if tokens is None:
        headers.append((b"x-trivium-estimated", b"1"))
    if run.losses:
        headers.append((b"x-trivium-loss", loss_header(run.losses)))
    run.status, run.response_bytes = 200, len(content)
    await reply.start(200, with_own(headers, run.limited))
    await reply.end(content)
