"""A copy of the bodies of one call: what the client sent, what went upstream, what the client got.

Only for callers whose key is captured; another call pays a test for it. Bodies are kept by reference, up to a
cap each and as far as the house has room for them; nothing is read, compressed or written before the call is
over, and then elsewhere (`server/capturing.py`). No header is kept but the answer's content type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trivium.errors import InvalidJson
from trivium.pipeline.call import Headers, Reply
from trivium.pipeline.deps import Captures
from trivium.pipeline.preferences import PROVIDER
from trivium.pipeline.replies import Copying
from trivium.policy.caller import organization_of
from trivium.policy.capture import may_capture
from trivium.wire.fields import decoded
from trivium.wire.lenient import mapping
from trivium.wire.request import Request

if TYPE_CHECKING:
    from trivium.pipeline.settle import Run

_CHUNK = 96
"""Bytes that a chunk takes in memory beside its content."""
_CALL = 2048
"""The same of a call."""


class Kept(msgspec.Struct, gc=False):
    """What there is of a body."""

    chunks: list[bytes] = []
    kept: int = 0
    """Bytes of them."""
    bytes: int = 0
    """How many there were."""


class Captured(msgspec.Struct, kw_only=True):
    """The bodies of a call that is over."""

    id: str
    time_ms: int
    key_id: str
    user_id: str | None
    organization_id: str | None
    request: Kept
    sent: Kept | None
    """None: nothing went upstream."""
    answer: Kept
    status: int
    content_type: str
    ended: bool
    """The answer went out whole."""
    held: int
    """Bytes that the house's room is to get back."""


def captured(request: Request, reply: Reply, run: Run) -> Reply:
    """The reply to go on with: one that copies, if the call's bodies may be kept."""
    key, captures, call = run.key, run.deps.captures, run.call
    if key is None or captures is None or not may_capture(key, call.headers, _wishes(request), call.time_ms):
        return reply
    run.capture = Capture(request.body, reply, run, captures)
    return run.capture


def _wishes(request: Request) -> dict[str, object]:
    """What cannot be read forbids nothing: it is refused, or lost."""
    try:
        return mapping(decoded(request.members.get(PROVIDER, b"null"), PROVIDER))
    except InvalidJson:
        return {}


class Capture(Copying):
    """The client's reply, with a copy of what goes there."""

    def __init__(self, body: bytes, reply: Reply, run: Run, captures: Captures) -> None:
        super().__init__(reply)
        self._run = run
        self._captures = captures
        self._most = captures.most
        self._held = 0
        self._type = b""
        self._took(_CALL)
        self._request = self._whole(body)
        self._sent: Kept | None = None
        self._answer = Kept()

    def sends(self, body: bytes | None) -> None:
        """What is to go upstream: of several attempts the last one's, if it has come to that."""
        if self._sent is not None:
            self._give_back(self._sent)
        if body is None:
            self._sent = None
        else:
            self._sent = self._request if body is self._run_body() else self._whole(body)

    def tells(self, body: bytes, kind: bytes) -> None:
        """An answer that goes to the client by another way: an error's."""
        self._give_back(self._answer)
        self._answer, self._type, self._ended = self._whole(body), kind, True

    def close(self) -> None:
        """The call is over: what there is goes to be kept."""
        key, run = self._run.key, self._run
        assert key is not None
        if not run.is_out:  # a hold was refused, say, or nobody was connected to
            self.sends(None)
        kept = Captured(
            id=run.call.id,
            time_ms=run.call.time_ms,
            key_id=key.id,
            user_id=key.user_id,
            organization_id=organization_of(key),
            request=self._request,
            sent=self._sent,
            answer=self._answer,
            status=run.status,
            content_type=self._type.decode("latin-1")[:100],
            ended=self._ended,
            held=self._held,
        )
        self._captures.keep(kept)

    async def start(self, status: int, headers: Headers) -> None:
        self._type = next((value for name, value in headers if name == b"content-type"), b"")
        await super().start(status, headers)

    def _copy(self, data: bytes) -> None:
        answer = self._answer
        answer.bytes += len(data)
        if data and answer.kept == answer.bytes - len(data) and answer.kept < self._most:  # no gap before it
            part = data if answer.kept + len(data) <= self._most else data[: self._most - answer.kept]
            if self._took(len(part) + _CHUNK):
                answer.chunks.append(part)
                answer.kept += len(part)

    def _whole(self, body: bytes) -> Kept:
        part = body if len(body) <= self._most else body[: self._most]
        return Kept([part], len(part), len(body)) if self._took(len(part) + _CHUNK) else Kept([], 0, len(body))

    def _run_body(self) -> bytes | None:
        return self._request.chunks[0] if self._request.chunks else None

    def _took(self, size: int) -> bool:
        if not self._captures.take(size):
            return False
        self._held += size
        return True

    def _give_back(self, body: Kept) -> None:
        if body is not self._request:
            size = body.kept + _CHUNK * len(body.chunks)
            self._captures.take(-size)
            self._held -= size
