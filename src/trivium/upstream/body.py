"""Bodies of answers that are read whole, or as far as anybody wants to know: strangers wrote them, and they end where
they like."""

from __future__ import annotations

from trivium.errors import UpstreamError
from trivium.upstream.client import UpstreamClient, UpstreamRequest, UpstreamResponse


async def answered(client: UpstreamClient, request: UpstreamRequest, most: int) -> tuple[int, bytes]:
    """Status and body of the answer; of a longer one the beginning, to the chunk that reaches `most` bytes. Raises what
    sending and reading raise."""
    response = await client.send(request)
    body = bytearray()
    try:
        await _fill(body, response, most)
    finally:
        response.close()
    return response.status, bytes(body)


async def beginning(response: UpstreamResponse, most: int) -> tuple[bytes, bool]:
    """What there is of a body, to the chunk that reaches `most` bytes, and whether it broke off. Closes nothing."""
    body = bytearray()
    try:
        await _fill(body, response, most)
    except UpstreamError:
        return bytes(body), True
    return bytes(body), False


async def whole(response: UpstreamResponse, longest: int, problem: str = "too long an answer") -> bytearray:
    """Read to its end, so that the connection is kept. Closes nothing. Raises ValueError over `longest` bytes, and what
    reading raises."""
    body = bytearray()
    while chunk := await response.read():
        body += chunk
        if len(body) > longest:
            raise ValueError(problem)
    return body


async def _fill(body: bytearray, response: UpstreamResponse, most: int) -> None:
    while len(body) < most and (chunk := await response.read()):
        body += chunk
