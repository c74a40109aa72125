"""The request's body: within its cap, within the gateway's budget of bytes."""

from __future__ import annotations

from trivium.errors import BodyTooLarge, FieldUnsupported, NotJson
from trivium.pipeline.authenticate import is_presented
from trivium.pipeline.call import Body, Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run

_FRAMINGS = (b"chunked", b"identity")


def cap_of(call: Call, deps: Deps, *, anonymous: bool) -> int:
    """As `check_head`, of a call for which that has been asked before it was known who calls."""
    return check_head(call, deps, anonymous=True) if anonymous else deps.settings.max_body_bytes


def check_head(call: Call, deps: Deps, *, anonymous: bool) -> int:
    """The cap that holds for this body, in bytes. Raises BodyTooLarge, Overloaded, FieldUnsupported,
    NotJson by what the headers announce, so that nothing need be read."""
    most = deps.settings.max_body_bytes
    least = min(most, deps.settings.max_anonymous_body_bytes)
    cap = least if anonymous else most
    announced = call.headers.get(b"content-length", b"")
    if announced.isdigit():
        if int(announced) > cap:
            raise _too_large(cap if is_presented(call.headers) else least)
        deps.in_flight.check(int(announced))
    elif (framing := call.headers.get(b"transfer-encoding", b"chunked").strip().lower()) not in _FRAMINGS:
        raise FieldUnsupported(
            f"The request body is compressed ({framing.decode('latin-1')}). Send it uncompressed.",
            param="transfer-encoding",
        )
    if (coding := call.headers.get(b"content-encoding", b"identity").strip().lower()) not in (b"identity", b""):
        raise NotJson(
            f"The request body is compressed ({coding.decode('latin-1')}). Send it uncompressed.",
            param="content-encoding",
        )
    return cap


async def read_body(body: Body, run: Run, cap: int) -> bytes:
    """The whole body. Raises BodyTooLarge, BodyTimeout, Overloaded."""
    chunk, more = await body.read()
    size = len(chunk)
    parts = [chunk]
    while True:
        run.request_bytes = size
        if size > cap:
            raise _too_large(cap)
        run.hold(size)
        if not more:
            return chunk if len(parts) == 1 else b"".join(parts)
        chunk, more = await body.read()
        parts.append(chunk)
        size += len(chunk)


def _too_large(cap: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {cap} bytes, the most that is accepted here.")
