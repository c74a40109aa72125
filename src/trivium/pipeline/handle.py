"""One request from its headers to its record, in the order of the checks that callers can rely on
(behaviour page, section 2): which error wins is part of the contract."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial

import msgspec

from trivium.errors import BodyTimeout, NotJson, RequestError, StoreUnavailable, TriviumError, UpstreamError
from trivium.pipeline.attempts import Attempts
from trivium.pipeline.authenticate import authenticate
from trivium.pipeline.authorize import check_call
from trivium.pipeline.auto import lead
from trivium.pipeline.bill import account_of
from trivium.pipeline.call import COUNT_TOKENS, Body, Call, Headers, Reply, is_strict
from trivium.pipeline.capture import captured
from trivium.pipeline.count import count
from trivium.pipeline.deps import Deps
from trivium.pipeline.drain import DRAIN, to_its_end
from trivium.pipeline.forget import forget_body, forget_frames
from trivium.pipeline.forward import prepare, way_to
from trivium.pipeline.free import check_free, count_free, find, give_back, is_counted, limit_reached
from trivium.pipeline.hold import begin
from trivium.pipeline.house import exchange_of
from trivium.pipeline.journey import STRAIGHT
from trivium.pipeline.legs import Leg, fallbacks_of, legs_of, most_of
from trivium.pipeline.limited import with_own
from trivium.pipeline.limits import admit, readmit
from trivium.pipeline.mask import told_of
from trivium.pipeline.once import KEYS, claimed
from trivium.pipeline.own import send
from trivium.pipeline.patience import deadline_of
from trivium.pipeline.read import cap_of, check_head, read_body
from trivium.pipeline.screen import screen
from trivium.pipeline.settle import Run
from trivium.pipeline.tell import error_value, json_headers
from trivium.routing.catalog import Target
from trivium.upstream.client import UpstreamResponse
from trivium.upstream.deadline import until
from trivium.wire.errors import render
from trivium.wire.request import Request, check_stateless, parse
from trivium.wire.translate import Translation

_SOON = 65
"""Seconds."""
TRANSFORMS = "transforms"
"""The member by which a request lets OpenRouter shorten it, and the flag of a record whose request names some."""
_NONE = (b"[]", b"null")

_LOG = logging.getLogger("trivium.pipeline")


async def handle(call: Call, body: Body, reply: Reply, deps: Deps) -> None:
    """Answers a call. A cancellation means that the client left or that the gateway stops; it ends the call, and leaves
    here only while an error is being told, or when the answer is out. Nothing else does."""
    with Run(call, deps) as run:
        try:
            deps.in_flight.enter()
            try:
                if answering := await _admitted(call, body, reply, run, deps):
                    await answering
            finally:
                deps.in_flight.leave()
                if run.once is not None:
                    run.once.close()
        except asyncio.CancelledError:
            give_back(run, deps)
            run.leave()
        except TriviumError as error:
            give_back(run, deps)
            await fail(error if run.denial is None else limit_reached(run.denial, run, deps), call, reply, run)
        except Exception as error:
            give_back(run, deps)
            _LOG.exception("request %s", call.id)
            await fail(
                TriviumError("The gateway failed. The error has been logged.", detail=repr(error)), call, reply, run
            )
        run.total_us = run.elapsed_us()
        await deps.turn


async def _admitted(call: Call, body: Body, reply: Reply, run: Run, deps: Deps) -> Coroutine[None, None, None] | None:
    """All checks; what answers the call, unless that has been done. It is awaited outside, so that nothing here keeps
    the request while it goes on."""
    if not deps.ledger.accepts():
        raise StoreUnavailable("The gateway cannot keep records at the moment.", detail="record backlog is full")
    check_head(call, deps, anonymous=False)
    run.key = key = await authenticate(call.headers, call.client_ip, deps)
    run.strict = is_strict(call) or (key is not None and key.strict)
    cap = cap_of(call, deps, anonymous=key is None)
    content = await read_body(body, run, cap)
    await deps.turn
    run.request = request = parse(call.api, content)
    del content
    reply = captured(request, reply, run) if key is not None and key.captured_until_ms else reply
    await deps.turn
    auto = deps.autos.get(request.model)
    found = find(key, request.model, deps, run) if auto is None else await lead(auto, call, request, run, deps)
    if is_counted(key, found):
        await _count_free(call, request, found, run, deps)
    run.account_id = account_of(key, deps) if key is not None else None
    check_call(key, call, deps)
    check_stateless(request)
    if isinstance(found, RequestError):
        raise found
    target = found
    legs = await legs_of(call, request, target, fallbacks_of(call, request), run, deps)
    if legs:
        target, run.own = legs[0].target, legs[0].own
    run.target, run.deadline = target, deadline_of(call, run.elapsed_us())
    _note_transforms(request, run)
    if not call.headers.keys().isdisjoint(KEYS):
        if await _is_replayed(request, reply, run, deps):
            return None
        reply = run.once or reply
    await admit(call, request, target, run, deps)
    if call.operation is COUNT_TOKENS:
        await count(call, request, target, reply, run, deps, elsewhere=len(legs) > 1)
        return None
    if deps.screening is not None:
        target, legs = await _screened(call, request, target, legs, run, deps)
    if len(legs) > 1:
        return _several(Attempts(request, legs, run), legs, reply, run)
    return _one(call, request, target, reply, run, deps, most_of(legs[0], deps) if legs else None)


async def _count_free(call: Call, request: Request, found: Target | RequestError, run: Run, deps: Deps) -> None:
    """As `check_free`, but that a call which may be one from before is not refused yet."""
    denial = await count_free(call, run.key, request.model, found, run, deps)
    if denial is not None and (run.key is None or call.headers.keys().isdisjoint(KEYS)):
        raise limit_reached(denial, run, deps)
    run.denial = denial


async def _is_replayed(request: Request, reply: Reply, run: Run, deps: Deps) -> bool:
    """Whether a call with an idempotency key has its answer from before, which no limit counts. Raises as `claimed`
    does, and what the limit of free models had to say."""
    denial, run.denial = run.denial, None
    run.once = once = await claimed(request, reply, run)
    if once is not None and await once.replayed():
        give_back(run, deps)
        return True
    if denial is not None:
        raise limit_reached(denial, run, deps)
    return False


def _note_transforms(request: Request, run: Run) -> None:
    named = request.members.get(TRANSFORMS)
    if named is not None and bytes(named).translate(None, b" \t\r\n") not in _NONE:
        run.flags.append(TRANSFORMS)


async def _several(attempts: Attempts, legs: tuple[Leg, ...], reply: Reply, run: Run) -> None:
    await attempts.begin()
    await _drained(attempts.answer, (leg.target for leg in legs), reply, run)


async def _one(  # noqa: PLR0917
    call: Call, request: Request, target: Target, reply: Reply, run: Run, deps: Deps, most: int | None
) -> None:
    """A call that one route can answer, with so many tokens at the most."""
    await deps.turn
    way = way_to(call, request, target, target.provider.apis, deps)
    content = prepare(call, request, target, way, run, most)
    await deps.turn
    await begin(call, request, target, run, deps)
    await deps.turn
    sending = send(call, content, target, way, run, deps)
    # Nobody but what is sending holds a body from here on, and that only until it has been sent; of a call whose answer
    # comes whole and soon, it stays for an estimate.
    if request.stream:
        request = forget_body(request, run, deps)
    del content
    await _drained(partial(_answered, sending, request, target, run, way), (target,), reply, run)


async def _answered(  # noqa: PLR0917
    sending: Coroutine[None, None, UpstreamResponse],
    request: Request,
    target: Target,
    run: Run,
    way: Translation | None,
    reply: Reply,
) -> None:
    response = await sending
    if request.stream:
        run.hold(0)
    await exchange_of(request, target, response, reply, run, way).relay()


def _drained(
    answer: Callable[[Reply], Coroutine[None, None, None]], targets: Iterable[Target], reply: Reply, run: Run
) -> Coroutine[None, None, None]:
    """What answers; of a provider of whom that is wanted, an answer is read to its end though its client has left."""
    drains = any(target.provider.on_abort == DRAIN for target in targets)
    return to_its_end(answer, reply, run) if drains else answer(reply)


async def _screened(  # noqa: PLR0917
    call: Call, request: Request, asked: Target, legs: tuple[Leg, ...], run: Run, deps: Deps
) -> tuple[Target, tuple[Leg, ...]]:
    """Where the call goes after it was looked at for abuse. What answers a soft block has its routes as if it had been
    asked for; the client's fallbacks, and limits of an auto model that it named, are of what it does not get."""
    async with until(run.deadline):
        target = await screen(call, request, asked, run, deps)
    if target is asked:
        return asked, legs
    run.journey = STRAIGHT
    if run.auto is not None:
        run.auto = msgspec.structs.replace(run.auto, known_as=())
    legs = await legs_of(call, request, target, (), run, deps) or (Leg(target, run.own, "", target),)
    legs = tuple(msgspec.structs.replace(leg, stands_in=True) for leg in legs)
    run.target = target = legs[0].target
    give_back(run, deps)
    if is_counted(run.key, target):
        await check_free(call, run.key, request.model, target, run, deps)
    await readmit(call, request, target, run, deps)
    return target, legs


async def fail(
    error: TriviumError, call: Call, reply: Reply, run: Run, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """The error as the calling API's SDKs parse it, with further headers; a connection cut where part of an answer has
    gone out."""
    forget_frames(error)
    run.error = error
    if reply.started:
        reply.cut()
        return
    error = told_of(error, run)
    run.told = (error.code, error.message)
    content = render(call.api.shape, error_value(call, error))
    run.status = error.status
    run.response_bytes = len(content)
    if run.capture is not None:
        run.capture.tells(content, b"application/json")
    await reply.start(error.status, with_own([*_headers(error, content, call), *headers], run.limited))
    await reply.end(content)


async def turn_away(error: TriviumError, call: Call, reply: Reply, headers: Headers, deps: Deps) -> None:
    """The same of what means to be a model call, and has the wrong method or a path that is none: it has a record."""
    with Run(call, deps) as run:
        await fail(error, call, reply, run, headers)


async def refuse(error: TriviumError, call: Call, reply: Reply, headers: Headers) -> None:
    """The same of what has no record: a look-up, a path that has nothing to do with an API."""
    content = render(call.api.shape, error_value(call, error))
    await reply.start(error.status, _headers(error, content, call) + headers)
    await reply.end(content)


def _headers(error: TriviumError, content: bytes, call: Call) -> Headers:
    """Of an error's answer."""
    shape = json_headers(content, call)
    if isinstance(error, RequestError) and error.status != BodyTimeout.status and not _passes_soon(error):
        # Claude Code tries a refused key again for minutes unless it is told not to.
        shape.append((b"x-should-retry", b"false"))
    if isinstance(error, NotJson):
        shape.append((b"accept-encoding", b"identity"))  # what would be taken (RFC 9110, section 15.5.16)
    hints = error.hints if isinstance(error, UpstreamError) else ()
    shape += hints
    if error.retry_after is not None and not any(name == b"retry-after" for name, _ in hints):
        shape.append((b"retry-after", b"%d" % error.retry_after))
    return shape


def _passes_soon(error: TriviumError) -> bool:
    """Whether a client's own next try, which waits up to a minute if it is told to, may help."""
    return error.retry_after is not None and error.retry_after <= _SOON
