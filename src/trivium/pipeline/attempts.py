"""Trying the routes of a call one after the other until one answers (behaviour page, section 7, "Attempts").

Nothing of a failed try reaches the client or its bill; the hold is enough for the dearest route. From the first content
that goes to the client on there is no way back.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import msgspec

from trivium.canon.api import Kind
from trivium.canon.fold import Answer
from trivium.errors import RequestError, TriviumError, UpstreamError
from trivium.metering.charge import Payer
from trivium.metering.prices import Quote
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.forget import forget_body, forget_frames
from trivium.pipeline.forward import prepare, way_to
from trivium.pipeline.free import check_free, is_counted
from trivium.pipeline.held import HeldReply
from trivium.pipeline.hold import begin, checked_bill
from trivium.pipeline.house import exchange_of
from trivium.pipeline.journey import fails_over, is_clients_own, is_failure
from trivium.pipeline.legs import Leg, most_of, name_of, now_ms, ready, session_of
from trivium.pipeline.limits import admit_on
from trivium.pipeline.own import send
from trivium.pipeline.own_key import Own
from trivium.pipeline.refusal import read_some, told
from trivium.pipeline.settle import CLIENT_CLOSED, Run
from trivium.policy.caller import organization_of
from trivium.policy.context import context_of
from trivium.routing.auto import Resolution
from trivium.routing.catalog import Target
from trivium.upstream.client import UpstreamResponse
from trivium.upstream.masked import ReadResponse
from trivium.upstream.pause import pause_s
from trivium.wire.fault import is_about_seals, status_of
from trivium.wire.losses import Losses
from trivium.wire.request import Request, without_body, without_reasoning


class _Place(NamedTuple):
    """Where a call is, for it to be there still when its next route turns out to be one that cannot be asked: what is
    told and recorded of the route before is about that one."""

    target: Target | None
    own: Own | None
    auto: Resolution | None
    quote: Quote | None
    payer: Payer | None
    why: str | None

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(run.target, run.own, run.auto, run.quote, run.payer, run.journey.why)

    def back(self, run: Run) -> None:
        run.target, run.own, run.auto, run.quote, run.payer, why = self
        run.journey = msgspec.structs.replace(run.journey, why=why)


class _Heard(NamedTuple):
    """What the last upstream that failed a call has answered, for the record of one that nobody answered. Not of an
    error inside an answer that began well, for which nothing may be charged."""

    api: Kind | None
    status: int | None
    answer: Answer | None

    @classmethod
    def of(cls, run: Run) -> Self:
        refused = run.upstream_status is not None and run.upstream_status >= 400
        return cls(run.upstream_api, *((run.upstream_status, run.answer) if refused else (None, None)))

    def again(self, run: Run) -> None:
        run.upstream_api, run.upstream_status, run.answer = self


class Attempts:
    """The tries of one call."""

    def __init__(self, request: Request, legs: tuple[Leg, ...], run: Run) -> None:
        self._call, self._deps = run.call, run.deps
        self._request = request
        self._legs = legs
        self._run = run
        self._session = session_of(context_of(run.call.headers), request, run)
        self._said: Headers = []
        """The headers of an upstream's error."""
        self._heard: _Heard | None = None
        self._auto = run.auto
        """What an auto model chose for the model that was asked for."""
        self._claim = 0
        """To be the one call that looks whether a route answers again."""

    async def begin(self) -> None:
        """Raises as `hold.begin` does."""
        asked, *others = self._legs
        bills = [leg.bill for leg in others if leg.bill is not None]
        # Some have begun to rest since: a call may have waited for a limit or its idempotency key.
        self._legs = ready(self._legs, self._deps)
        first = self._legs[0]
        # Before the hold is waited for: of a crowd one alone looks whether a route answers again.
        self._claim_look(first)
        try:
            await begin(self._call, self._request, asked.target, self._run, self._deps, bills)
        except BaseException:
            self._deps.health.unknown(first.target.place, self._claim)
            raise

    async def answer(self, reply: Reply) -> None:
        """Raises the last route's error where none answers; but that a fallback cannot be asked so is not what is
        wrong with a call whose own route was not there, and is there again soon: that is told, of the route that it
        is about."""
        outage: UpstreamError | None = None
        for place, leg in enumerate(self._legs):
            last = place + 1 == len(self._legs)
            failure = await self._taken(leg, reply, first=place == 0, last=last, after=outage)
            if failure is None:
                return
            outage = failure if isinstance(failure, UpstreamError) else outage
            if last or self._run.left or self._is_late():
                if outage is not None and self._heard is not None:
                    self._heard.again(self._run)
                raise outage or failure  # nobody is left, or waits any more, or has waited long enough

    def _claim_look(self, leg: Leg) -> None:
        self._claim = self._deps.health.begins(leg.target.place, now_ms(self._deps)) if leg.own is None else 0

    async def _taken(
        self, leg: Leg, reply: Reply, *, first: bool, last: bool, after: UpstreamError | None
    ) -> TriviumError | None:
        """One try: why it failed, if another may follow, or what happened before is told; None where it answered."""
        run, place = self._run, _Place.of(self._run)
        held = HeldReply(reply, run, self._deps.routing.preamble, self._opened)
        since_us, flags = run.elapsed_us(), len(run.flags)
        try:
            if run.target is not leg.target:
                await self._move_to(leg)
            if not first:
                self._claim_look(leg)
            await self._try(leg, reply if last else held)
        except (RequestError, UpstreamError) as error:
            self._failed(leg, error)
            cannot_be_asked = isinstance(error, RequestError) and error.status == RequestError.status
            if (
                (last and not (after and cannot_be_asked))
                or reply.started
                or not (isinstance(error, RequestError) or fails_over(error))
            ):
                raise
            if isinstance(error, UpstreamError):
                self._heard = _Heard.of(run)
            run.failed_over(error, since_us, flags)
            if isinstance(error, RequestError):
                place.back(run)
            forget_frames(error)
            return error
        except BaseException:  # the client left, or the gateway itself has no room or fails: no word on the route
            self._deps.health.unknown(leg.target.place, self._claim)
            if not reply.started:  # what was kept back is nothing that the client had
                run.status, run.response_bytes = CLIENT_CLOSED, 0
            raise
        finally:
            held.drop()
        self._ended(leg)
        return None

    async def _move_to(self, leg: Leg) -> None:
        run, target = self._run, leg.target
        run.target, run.own, run.auto = target, leg.own, leg.auto or self._auto
        if leg.named is not None and is_counted(run.key, target):
            await check_free(self._call, run.key, leg.named, target, run, self._deps)
        await admit_on(self._request, target, run, self._deps)
        bill = leg.bill or await checked_bill(self._call, target, run, self._deps)
        run.quote, run.payer = bill.quote, bill.payer
        run.journey = msgspec.structs.replace(run.journey, why=leg.why)
        version = run.quote.version if run.quote else None
        public = target.covered_for(organization_of(run.key))
        self._deps.ledger.moved(self._call.id, target.provider.name, target.model[:256], version, run.payer, public)

    async def _try(self, leg: Leg, reply: Reply) -> None:
        call, target, run, deps = self._call, leg.target, self._run, self._deps
        way = way_to(call, self._request, target, target.provider.apis, deps)
        content = prepare(call, self._request, target, way, run, most_of(leg, deps))
        response = await send(call, content, target, way, run, deps)
        if response.status == RequestError.status and way is None and not run.strict:
            response = await self._unsealed(leg, response)
        del content
        self._said = response.headers if response.status >= 400 else []
        if not reply.provisional:
            self._opened()
        asked = without_body(self._request) if self._request.stream else self._request
        await exchange_of(asked, target, response, reply, run, way).relay()

    async def _unsealed(self, leg: Leg, response: UpstreamResponse) -> UpstreamResponse:
        """The answer of a route that refuses what another has sealed: it is asked once more without all that is sealed,
        for nobody else can see who sealed what. That it refuses is not charged, and no failure of its own."""
        call, target, run, losses = self._call, leg.target, self._run, Losses()
        body = await read_some(response)
        fault = told(body, run)
        asked = without_reasoning(self._request, losses) if fault and is_about_seals(fault) else self._request
        if asked is self._request:
            return ReadResponse(response, body)
        response.close()
        run.again = True
        content = prepare(call, asked, target, None, run, most_of(leg, self._deps))
        run.losses += losses.told()
        return await send(call, content, target, None, run, self._deps)

    def _opened(self) -> None:
        """Nobody else will be asked: the question need not be kept for them."""
        if self._request.stream and self._request.body:
            self._run.hold(0)
            self._request = forget_body(self._request, self._run, self._deps)

    def _is_late(self) -> bool:
        return self._run.elapsed_us() > self._deps.routing.deadline * 1_000_000

    def _failed(self, leg: Leg, error: TriviumError) -> None:
        health, place = self._deps.health, leg.target.place
        if isinstance(error, RequestError) or is_clients_own(error):
            health.unknown(place, self._claim)
        elif leg.own is None and fails_over(error):
            health.failed(place, now_ms(self._deps), self._wish_s())
        elif leg.own is None:
            health.answered(place, now_ms(self._deps))
        self._said, self._claim = [], 0

    def _wish_s(self) -> int | None:
        """The seconds for which the upstream that failed asks to be left alone."""
        answer = self._run.answer
        return pause_s(self._said, self._deps.clock.now_ms(), answer.error if answer is not None else None)

    def _ended(self, leg: Leg) -> None:
        """The route has answered, if only with an error that the client is told as it came."""
        run, health, place = self._run, self._deps.health, leg.target.place
        if leg.own is not None:
            return
        if run.error is not None and is_clients_own(run.error):
            health.unknown(place, self._claim)
            return
        if _could_not(run):
            health.failed(place, now_ms(self._deps), self._wish_s())
            return
        health.answered(place, now_ms(self._deps))
        if self._session is not None:
            self._deps.sessions.keep(self._session, name_of(leg.main), leg.target.route, now_ms(self._deps))


def _could_not(run: Run) -> bool:
    """Whether an upstream was not able to answer. One that says what is wrong with the request was, with an error's
    status or inside an answer that began well."""
    status, fault = run.upstream_status, run.answer.error if run.answer is not None else None
    if status is None or status >= 400:
        return status is None or is_failure(status)
    if run.error is not None:
        return fails_over(run.error)
    return fault is not None and is_failure(status_of(fault))
