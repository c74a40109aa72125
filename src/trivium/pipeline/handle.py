"""One request from its headers to its record, in the order of the checks that callers can rely on
(behaviour page, section 2): which error wins is part of the contract."""

from __future__ import annotations

import asyncio
import logging

from trivium.canon.api import Api
from trivium.errors import BodyTimeout, CredentialMissing, RequestError, StoreUnavailable, TriviumError
from trivium.pipeline.authenticate import authenticate
from trivium.pipeline.call import Body, Call, Headers, Reply
from trivium.pipeline.deps import Deps
from trivium.pipeline.forward import check_route, forward
from trivium.pipeline.read import check_head, read_body
from trivium.pipeline.relay import Exchange, error_value
from trivium.pipeline.settle import Run
from trivium.wire.errors import render
from trivium.wire.request import check_stateless, parse, without_body

NO_KEY = "No API key was sent. Send one as `Authorization: Bearer tv-...` or `x-api-key: tv-...`."

_LOG = logging.getLogger("trivium.pipeline")


async def handle(call: Call, body: Body, reply: Reply, deps: Deps) -> None:
    """Answers a call. A cancellation means that the client left or that the gateway stops; it ends the call, and leaves
    here only while an error is being told. Nothing else does."""
    with Run(call, deps) as run:
        try:
            deps.in_flight.enter()
            try:
                await _serve(call, body, reply, run, deps)
            finally:
                deps.in_flight.leave()
        except asyncio.CancelledError:
            run.left = True
        except TriviumError as error:
            await fail(error, call, reply, run)
        except Exception as error:
            _LOG.exception("request %s", call.id)
            await fail(
                TriviumError("The gateway failed. The error has been logged.", detail=repr(error)), call, reply, run
            )


async def refuse(error: TriviumError, call: Call, reply: Reply, deps: Deps, headers: Headers) -> None:
    """Answers a call that has no way into the house: an unknown path, a wrong method."""
    with Run(call, deps) as run:
        await fail(error, call, reply, run, headers)


async def _serve(call: Call, body: Body, reply: Reply, run: Run, deps: Deps) -> None:
    if not deps.records.accepts:
        raise StoreUnavailable("The gateway cannot keep records at the moment.", detail="record backlog is full")
    check_head(call, deps, anonymous=False)
    key = authenticate(call.headers, deps.keys)
    run.key_id = key.id if key else None
    cap = check_head(call, deps, anonymous=key is None)
    run.request = request = parse(call.api, await read_body(body, run, cap))
    if key is None:
        raise CredentialMissing(NO_KEY)
    check_stateless(request)
    run.target = target = deps.catalog.resolve(request.model)
    check_route(call, target)
    response = await forward(call, request, target, run, deps)
    run.request = request = without_body(request)
    run.hold(0)
    await Exchange(call, request, target.provider, response, reply, run).relay()


def json_headers(content: bytes, call: Call) -> Headers:
    """The headers of a JSON body of ours; the id also under the name by which the API's SDKs know it."""
    request_id = call.id.encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"x-trivium-request-id", request_id),
        (b"request-id" if call.api is Api.MESSAGES else b"x-request-id", request_id),
    ]


async def fail(error: TriviumError, call: Call, reply: Reply, run: Run, headers: Headers | None = None) -> None:
    """The error as the calling API's SDKs parse it; a connection cut where part of an answer has gone out."""
    run.error = error
    if reply.started:
        reply.cut()
        return
    content = render(call.api, error_value(call, error))
    run.status = error.status
    run.response_bytes = len(content)
    shape = [*json_headers(content, call), *(headers or [])]
    if isinstance(error, RequestError) and error.status != BodyTimeout.status:
        # Claude Code tries a refused key again for minutes unless it is told not to.
        shape.append((b"x-should-retry", b"false"))
    if error.retry_after is not None:
        shape.append((b"retry-after", b"%d" % error.retry_after))
    await reply.start(error.status, shape)
    await reply.end(content)
