"""What an upstream says that refuses a call, read before it is decided what follows."""

from __future__ import annotations

from trivium.canon.conventions import DEFAULT
from trivium.canon.events import Fault
from trivium.canon.fold import fold
from trivium.pipeline.settle import Run
from trivium.upstream.body import beginning
from trivium.upstream.client import UpstreamResponse
from trivium.wire.codec import decode_answer

ERROR_BODY = 64 * 1024


async def read_some(response: UpstreamResponse) -> bytes:
    """The beginning of the body. Where the caller leaves meanwhile, the response is closed."""
    try:
        body, _ = await beginning(response, ERROR_BODY)
    except BaseException:
        response.close()
        raise
    return body


def told(body: bytes, run: Run) -> Fault | None:
    """The error that it says."""
    api = (run.upstream_api or run.call.api).shape
    return fold(decode_answer(api, body, DEFAULT)).error
