"""Calls with an idempotency key: the same call again gets the answer that it got, and costs nothing.

A call without that header pays for none of this. What is kept are the bytes that the client was sent, of whole good
answers alone, errors inside an answer excepted: a call that failed is made anew. It is looked at after everything that
says whether the caller may make the call, and before whatever counts it; what the limit of free models has counted or
refused by then is undone where the answer is there.
"""

from __future__ import annotations

import hashlib

import msgspec

from trivium.errors import FieldInvalid, Overloaded
from trivium.pipeline.authenticate import credential_of
from trivium.pipeline.call import FALLBACKS, Call, Headers, Operation, Reply
from trivium.pipeline.deps import Answers, Place
from trivium.pipeline.replies import Copying
from trivium.pipeline.settle import Run
from trivium.pipeline.tell import request_id_name
from trivium.policy.caller import Caller, organization_of
from trivium.routing.catalog import Target
from trivium.wire.request import Request

KEYS = (b"x-trivium-idempotency-key", b"idempotency-key")
"""The first that is there counts."""
REPLAYED = "replayed"
"""The flag of a record whose call got an answer from before."""
_LONGEST_KEY = 255
_KEPT_HEADERS = frozenset((b"content-type", b"x-trivium-loss", b"cache-control", b"x-accel-buffering"))
"""What of an answer's headers is said again; others are of the moment."""


class _Kept(msgspec.Struct, array_like=True):
    status: int
    headers: Headers
    body: bytes


_decode = msgspec.msgpack.Decoder(_Kept).decode
_encode = msgspec.msgpack.Encoder().encode


async def claimed(request: Request, reply: Reply, run: Run) -> Once | None:
    """The claim of a call with such a header to be the only one; None where the header is passed over. Raises
    FieldInvalid, IdempotencyConflict, CallInProgress, StoreUnavailable."""
    call, answers = run.call, run.deps.answers
    if run.key is None or answers is None or call.operation is not Operation.GENERATE:
        return None
    name = next(name for name in KEYS if name in call.headers)
    key = call.headers[name].strip().decode("latin-1")
    if not 0 < len(key) <= _LONGEST_KEY:
        raise FieldInvalid(f"An idempotency key has 1 to {_LONGEST_KEY} characters.", param=name.decode())
    credential = credential_of(call.headers) or ""
    asked = hashlib.sha256(request.body).digest()
    others = call.headers.get(FALLBACKS, b""), " ".join(request.fallbacks).encode()
    question = b"%b %d %b %b %b %b" % (call.api.value.encode(), run.strict, asked, call.query, *others)
    # A call for another organization is another call.
    place = answers.place(f"{credential}\n{organization_of(run.key) or ''}", key, question)
    before, keeps = await place.claim(), _keeps(run.key, answers)
    return Once(reply, run, place, before, question=question, keeps=keeps)


def for_upstream(call: Call, target: Target, run: Run) -> Headers:
    """The header with which a provider that knows it does a call once: made of the client's key, of who calls and
    where, and of the call itself, as a key is free again for another where its call has failed or is another request;
    none where the client sends none."""
    if call.headers.keys().isdisjoint(KEYS) or run.key is None or call.operation is not Operation.GENERATE:
        return []
    name = next(name for name in KEYS if name in call.headers)
    who = f"{run.key.id}\n{organization_of(run.key) or ''}\n{target.place}\n"
    asked = run.once.question if run.once is not None else b""
    told = b"%b\n%b\n%b" % (call.headers[name].strip(), asked, b"again\n" if run.again else b"")
    made = hashlib.sha256(who.encode() + told).hexdigest()
    return [(b"idempotency-key", made.encode())]


def _keeps(caller: Caller, answers: Answers) -> bool:
    """Whether the answer may be kept. Of an organization's calls nothing is, as of prompts (docs/idempotency.md)."""
    if caller.organization is None:
        return True
    return answers.settings.organizations and not caller.organization.settings.policy.zdr


class Once(Copying):
    """The client's reply, with a copy of what goes there."""

    def __init__(
        self, reply: Reply, run: Run, place: Place, before: bytes | None, *, question: bytes, keeps: bool
    ) -> None:
        super().__init__(reply)
        self._run = run
        self._place = place
        self._before = before
        self.question = question
        """What makes it the same call."""
        self._keeps = keeps
        self._status = 0
        self._headers: Headers = []
        self._parts: list[bytes] = []
        self._size = 0

    async def replayed(self) -> bool:
        """Whether there was an answer, which the client has now."""
        if self._before is None:
            return False
        kept, run, id = _decode(self._before), self._run, self._run.call.id.encode()
        run.flags.append(REPLAYED)
        run.status, run.response_bytes = kept.status, len(kept.body)
        headers = [
            *kept.headers,
            (b"content-length", b"%d" % len(kept.body)),
            (b"x-trivium-replayed", b"true"),
            (b"x-trivium-request-id", id),
            (request_id_name(run.call.api), id),
        ]
        await self._reply.start(kept.status, headers)
        await self._reply.end(kept.body)
        return True

    async def start(self, status: int, headers: Headers) -> None:
        self._status, self._headers = status, [header for header in headers if header[0] in _KEPT_HEADERS]
        self._keeps = self._keeps and status == 200
        await super().start(status, headers)

    def close(self) -> None:
        """The call is over: its answer is kept if it was a whole good one, else the key is free again."""
        if self._before is not None:
            return
        run, answer = self._run, self._run.answer
        failed = run.error is not None or (answer is not None and answer.error is not None)
        if self._keeps and self._ended and not failed:
            self._place.keep(_encode(_Kept(self._status, self._headers, b"".join(self._parts))))
        else:
            self._place.free()
        self._drop()

    def _copy(self, data: bytes) -> None:
        answers, in_flight = self._run.deps.answers, self._run.deps.in_flight
        if not self._keeps or answers is None:
            return
        try:
            if self._size + len(data) > answers.settings.max_answer_bytes:
                raise Overloaded("The answer is too long to be kept.")
            in_flight.take(len(data))
        except Overloaded:
            self._keeps = False
            self._drop()
            return
        self._size += len(data)
        self._parts.append(data)

    def _drop(self) -> None:
        self._run.deps.in_flight.take(-self._size)
        self._parts, self._size = [], 0
