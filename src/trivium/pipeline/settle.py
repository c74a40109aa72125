"""The scope of a call: whatever happens inside, one record comes out of it, and with it the end of its hold.

`Run` is the one mutable value of a call. The steps note on it what they learn; leaving the scope turns it into a
`Record`, without an await in between, so that neither a cancellation nor a second failure can lose it. Where a figure
is missing that the provider's generation record has, the call stays open until that was asked (`lookup.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from trivium.canon.api import Kind
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.size import Size, content_bytes
from trivium.errors import TriviumError, UpstreamError, UpstreamRefusedUs
from trivium.metering.bound import most_output, usual_input
from trivium.metering.charge import CHARGED, NO_CHARGE, OWN_KEY, WHOLE, Charge, Delivery, Payer, charge
from trivium.metering.prices import Quote
from trivium.metering.record import Outcome, Record
from trivium.money import nano_text
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.journey import STRAIGHT
from trivium.pipeline.limited import Counted, Limited
from trivium.pipeline.recorded import bare_record_of, record_of
from trivium.pipeline.screening import Screened
from trivium.pipeline.words import Words, columns
from trivium.policy.caller import Caller
from trivium.policy.counters import Denial
from trivium.routing.auto import Resolution
from trivium.routing.catalog import Target
from trivium.wire.generation import Generation
from trivium.wire.losses import Loss
from trivium.wire.request import Request, without_body
from trivium.wire.size import measure

if TYPE_CHECKING:
    from trivium.pipeline.capture import Capture
    from trivium.pipeline.once import Once
    from trivium.pipeline.own_key import Own

CLIENT_CLOSED = 499
"""The status of a call whose client left before it had one (nginx's word for it)."""
_AGAIN = 1.0
"""Seconds until a call is ended for which there was no memory."""
_SUCCESS = Outcome.SUCCESS

_LOG = logging.getLogger("trivium.pipeline")


class Run:
    """What is known of a call so far. Use as a context manager around the whole call. With slots, as Python 3.11 finds
    attributes of no more than 30 names at once in a dictionary."""

    __slots__ = (
        "_alerted", "_charge", "_generation_id", "_held", "_said", "account_id", "again", "answer",
        "answer_losses", "asked_tier", "auto", "call", "capture", "content_bytes", "deadline", "denial", "deps",
        "error", "first_token_us", "flags", "free", "headers", "hold_nano", "is_out", "journey", "key", "left",
        "limited", "losses", "missed", "once", "own", "payer", "queue_us", "quote", "request", "request_bytes",
        "response_bytes", "rules", "screened", "size", "status", "strict", "target", "told", "total_us", "ttfb_us",
        "upstream_api", "upstream_status", "words",
    )  # fmt: skip

    def __init__(self, call: Call, deps: Deps) -> None:
        self.call = call
        self.deps = deps
        self.key: Caller | None = None
        self.account_id: str | None = None
        """Whose balance pays; None where balances are not charged."""
        self.request: Request | None = None
        self.target: Target | None = None
        self.journey = STRAIGHT
        """How the call came to its target."""
        self.deadline: float | None = None
        """On the event loop's clock: when the client has waited long enough."""
        self.auto: Resolution | None = None
        """What was chosen for a call that named an auto model."""
        self.own: Own | None = None
        """The caller's own upstream key pays, and which that is."""
        self.upstream_api: Kind | None = None
        self.once: Once | None = None
        self.denial: Denial | None = None
        """Of a limit of free models, until it is known whether the call is one from before, which no limit counts. What
        later checks say comes behind it."""
        self.capture: Capture | None = None
        """What is copied of its bodies, if they are."""
        self.strict = False
        """The caller would rather have an error than a request that loses something."""
        self.rules: tuple[str, ...] = ()
        """Names of what was done to the request (`providers/adaptations.py`); `headers` is what rules send upstream
        beside its body."""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.losses: tuple[Loss, ...] = ()
        """Of the request."""
        self.answer_losses: tuple[Loss, ...] = ()
        self._begin()

    def _begin(self) -> None:
        """What is known only of a call that went on."""
        self.status = CLIENT_CLOSED
        self.upstream_status: int | None = None
        self.answer: Answer | None = None
        self.error: TriviumError | None = None
        self.told: tuple[str, str] | None = None
        """Code and message of the error that the client was told."""
        self.is_out = False
        """An upstream was given the request, or some of it, and has not failed the call."""
        self.again = False
        """The route that is tried is asked once more, another request."""
        self.left = False
        """The client went away, or we cut the call because the gateway stops."""
        self.missed = False
        """Some of the answer was read on for a client that had left."""
        self.flags: list[str] = []
        self.queue_us: int | None = None
        self.ttfb_us: int | None = None
        self.first_token_us: int | None = None
        self.request_bytes = self.response_bytes = self._held = 0
        self.free: Counted = ()
        """What it counts in limits of free models, and since when (nanoseconds)."""
        self.limited: Limited | None = None
        """What it counts in limits; None: it has none."""
        self.hold_nano = 0
        self.size: Size | None = None
        """Of the request, if it was measured; else it is when an estimate needs it."""
        self.asked_tier: str | None = None
        """The service tier that the upstream was asked for, if that is one of `DEARER`."""
        self.quote: Quote | None = None
        self.payer: Payer | None = None
        """None until it is known which provider is called, and of a call that only counts tokens."""
        self.words: Words | None = None
        """The prompts and tools, until their columns of the record have been read."""
        self._said: dict[str, Any] | None = None
        self.screened: Screened | None = None
        """What was found when abuse was looked for."""
        self.content_bytes = 0
        """Of content that was handed to the client's connection."""
        self._generation_id: str | None = None
        self._charge: Charge | None = None
        self._alerted: UpstreamRefusedUs | None = None
        """What the operator has been told, which is the call's own error where no other route could be asked."""
        self.total_us: int | None = None
        """How long it took, once it is over."""

    @property
    def key_id(self) -> str | None:
        return self.key.id if self.key else None

    def is_by_house(self, target: Target) -> bool:
        """Whether it is the house's own account that is called there, whoever pays."""
        return target.custom is None and (self.own is None or bool(self.own.through))

    @property
    def _is_answered(self) -> bool:
        """The upstream has taken the call."""
        return self.upstream_status is not None and self.upstream_status < 300

    def delivers(self, size: int) -> None:
        """Sets `content_bytes`, once the client's connection has the content. Not where the client has left: what is
        read on for the figures alone reaches nobody."""
        if not self.left:
            self.content_bytes = size

    def leave(self) -> None:
        """The client is gone, or the gateway stops. Of an answer that has not begun to go out nothing was delivered."""
        if self.status == CLIENT_CLOSED:
            self.content_bytes = 0
        self.left = True

    def failed_over(self, error: TriviumError, since_us: int, flags: int) -> None:
        """The route that was tried failed before the client had anything of it: the call goes on as if it had not
        been. It began so long after the call, which had so many flags then."""
        if isinstance(error, UpstreamRefusedUs):
            self._alert(error)
        if self.target is not None:
            ms = (self.elapsed_us() - since_us) // 1000
            status, own = self.upstream_status or error.status, self.payer in OWN_KEY
            self.journey = self.journey.failed(self.target.place, status, error, ms, own)
        self.answer = self.error = self.upstream_status = self.upstream_api = self.ttfb_us = self.first_token_us = None
        self.losses = self.answer_losses = self.rules = self.headers = ()
        self.content_bytes = self.response_bytes = 0
        self._generation_id = None
        self.is_out = self.again = False
        del self.flags[flags:]

    def goes_out(self) -> None:
        """An upstream is being given the request."""
        self.is_out = True
        if self.limited is not None:
            self.limited.goes_out()

    def elapsed_us(self) -> int:
        return (self.deps.clock.monotonic_ns() - self.call.started_ns) // 1000

    def hold(self, size: int) -> None:
        """Sets how many bytes this call keeps in memory. Raises Overloaded beyond the gateway's budget."""
        self.deps.in_flight.take(size - self._held)
        self._held = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._end(self._settled)
        finally:
            if self.capture is not None:  # behind the record, which nothing may keep from being written
                self.capture.close()
                self.capture = None  # a call whose figures are still asked for holds no bodies

    def _settled(self) -> Record | None:
        """The record; None where a figure is asked for first."""
        self.hold(0)
        if self.limited is not None:
            self.limited.leave()
        self.total_us = self.elapsed_us() if self.total_us is None else self.total_us
        if isinstance(self.error, UpstreamRefusedUs):
            self._alert(self.error)
        elif self.deps.alerts.standing and self.target and self._is_answered and self.is_by_house(self.target):
            self.deps.alerts.answered(self.target.provider.name)
        if not self._wants_lookup():
            return record_of(self)
        self._forget_request()
        self.deps.lookups.later(self)
        return None

    def _bare(self, failure: Exception) -> Record:
        """Of a call whose record cannot be made: it ends all the same, charged nothing, and what it holds is free."""
        record = bare_record_of(self, failure)
        _LOG.error("request %s: its record cannot be made", self.call.id, exc_info=failure)
        self._charge = NO_CHARGE
        return record

    def _forget_request(self) -> None:
        """The bytes of a call that is over count no longer: what an estimate and the record need of it stays."""
        if self.request is not None:
            self.size = self.size or measure(self.request)
            self.read_words()
            self.request = without_body(self.request)

    def _alert(self, error: UpstreamRefusedUs) -> None:
        if self.target is not None and self.is_by_house(self.target) and error is not self._alerted:
            self._alerted = error
            self.deps.alert(error, self.target.provider.name, self.upstream_status, self.call.time_ms)

    def close(self) -> None:
        """Ends a call whose figures were asked for."""
        self._end(partial(record_of, self))

    def _end(self, settled: Callable[[], Record | None]) -> None:
        """Writes the record, with which the call ends. Where there is no memory for any, that is tried again later:
        what the call holds would else stay held."""
        try:
            try:
                record = settled()
            except Exception as failure:
                record = self._bare(failure)
            if record is None:
                return
            self.deps.keep(record, self.call.headers.get(b"traceparent"))
        except MemoryError as failure:
            asyncio.get_running_loop().call_later(_AGAIN, self._end, settled)
            _LOG.error("request %s: there is no memory to end it", self.call.id, exc_info=failure)
            return
        if self.screened is not None and self.deps.screening is not None:
            self.deps.screening.ended(self.screened, record, self.deps.clock.now_ms())
        if self.limited is not None:
            self.limited.count(self.charge().usage or (self.answer or _NOTHING).usage)

    def generation_id(self) -> str | None:
        """By which the provider's generation record can be asked for; None where there is none."""
        if self.target is None or self.target.provider.generations is None:
            return None
        told = self.answer.usage.generation_id if self.answer and self.answer.usage else None
        return told or self._generation_id

    def knows(self, generation_id: str | None) -> None:
        """The provider named the call: kept at once, so that it can be asked even if we are gone by then."""
        if not generation_id or self.target is None or self.target.provider.generations is None:
            return
        if self.generation_id() is None:
            self._generation_id = generation_id[:256]
            self.deps.ledger.seen(self.call.id, self._generation_id)

    def told_whole(self, answer: Answer) -> None:
        """An answer that came in one piece. Where its cost is not in it, its id leads to the provider's record."""
        self.answer = answer
        self.delivers(content_bytes(answer))
        usage = answer.usage
        if usage is None or (usage.reported_cost is None and usage.market_cost is None):
            self.knows(answer.id)

    def charge(self, found: Generation | None = None) -> Charge:
        """What the call costs by what is known of it now, or by what the provider's record adds."""
        if self._charge is None or found is not None:
            self._charge = self._charged(found)
        if found is not None and self.answer is not None and self.answer.served_by is None:
            self.answer = msgspec.structs.replace(self.answer, served_by=found.provider_name)
        return self._charge

    def _charged(self, found: Generation | None) -> Charge:
        if not self._is_answered or self.payer is None:
            return NO_CHARGE
        usage = self.answer.usage if self.answer else None
        complete = self._is_complete()
        if usage is not None and not (self.target and self.target.provider.reports_cost):
            usage = usage.without_costs()
        if found is not None:
            usage, complete = found.refined(usage, complete=complete), complete or found.counted
        elif usage is None and self.left:
            complete = False  # an answer that was read on to its end for nobody
        tells_byok = self.target is not None and self.target.provider.tells_byok
        whole = usage is not None and complete and usage.input and usage.output
        delivery = WHOLE if whole else self._delivery(complete=complete)
        return charge(usage, delivery, self.quote, self.payer, self.asked_tier, tells_byok=tells_byok)

    def _delivery(self, *, complete: bool) -> Delivery:
        """What an estimate goes by."""
        request, target = self.request, self.target
        if request is None or target is None:
            return Delivery(input_tokens=0, content_bytes=0, output_most=0, complete=complete)
        if self.size is None:
            self.size = measure(request)
        limits, told = self.deps.prices.limits(target.provider, target.model), self.answer or _NOTHING
        return Delivery(
            input_tokens=usual_input(self.size),
            content_bytes=self.content_bytes,
            output_most=self.size.answers * most_output(request.max_tokens, limits.context, limits.output),
            complete=complete,
            service_tier=told.service_tier,
            server_tools=told.server_tools,
        )

    def about_tokens(self) -> int | None:
        """An estimate of what the request has; None where there is nothing left to go by."""
        if self.size is None and self.request is not None and self.request.members:
            self.size = measure(self.request)
        return usual_input(self.size) if self.size is not None else None

    def context_limit(self) -> int | None:
        """The most tokens that the model takes, as far as that is known."""
        return self.deps.context_of(self.target) if self.target is not None else None

    def _is_complete(self) -> bool:
        """The answer came to its end, though its connection may have failed behind that. One that ended in an error did
        where its last word was a usage."""
        answer = self.answer
        if answer is None:  # it passed unread
            return not self.left and self.error is None
        if answer.error is not None:
            return answer.ended and answer.usage is not None
        return answer.ended or answer.finish is not FinishReason.UNKNOWN

    def _wants_lookup(self) -> bool:
        """A figure is missing, or the client left before it came."""
        if self.generation_id() is None or self.payer not in CHARGED:
            return False
        usage = self.answer.usage if self.answer else None
        cost_missing = usage is None or (usage.reported_cost is None and usage.market_cost is None)
        return self._is_answered and (cost_missing or not self._is_complete())

    def cost_usd(self) -> str | None:
        """The charge for the client's eyes; None where it is not shown, or not certain yet."""
        if not self.deps.billing.cost_header or self._wants_lookup():
            return None
        return nano_text(self.charge().nano)

    def outcome(self) -> Outcome:
        if self.left and (self.missed or self.status == CLIENT_CLOSED or not (self.answer and self.answer.ended)):
            # Clients close at the last event, without waiting for the end of the body.
            return Outcome.ABORTED
        told = self.answer.error if self.answer else None
        if self.error is None and told is None:
            return _SUCCESS if self.status < 400 else Outcome.FAILED
        reached_upstream = self.upstream_status is not None or isinstance(self.error, UpstreamError)
        return Outcome.FAILED if reached_upstream or self.status == 500 else Outcome.REFUSED

    def read_words(self) -> dict[str, Any]:
        """The columns about prompts and tools, where they are kept and somebody known has sent them."""
        kept = self.deps.records
        if not (kept.prompts or kept.tools) or self.request is None or self.key is None:
            return {}
        if self._said is None:
            words, self.words = self.words or Words(self.request, tools=kept.tools), None
            self._said = columns(words, kept, of_organization=self.key.organization is not None)
        return self._said


_NOTHING = Answer()
