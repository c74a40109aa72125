"""A way through an HTTP proxy to a server that is spoken to in TLS: CONNECT (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import asyncio
import re
import socket

from trivium.errors import UpstreamUnreachable
from trivium.upstream.target import Origin, Proxy

_LONGEST = 16 * 1024
"""Bytes of a proxy's answer."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


async def tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Makes of a socket that leads to a proxy one that leads to the origin, or closes it.

    Raises UpstreamUnreachable, OSError.
    """
    try:
        await loop.sock_sendall(sock, _request(origin, proxy))
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = await loop.sock_recv(sock, _LONGEST)
            answer += more
            if not more or len(answer) > _LONGEST:
                raise _refused("no answer")
        status = _STATUS.match(answer)
        # Of a server in TLS the first word is ours: what follows the head is none of its.
        if status is None or not answer.endswith(b"\r\n\r\n") or not status[1].startswith(b"2"):
            raise _refused(f"status {status[1].decode()}" if status is not None else "no HTTP")
    except BaseException:
        sock.close()
        raise


def _request(origin: Origin, proxy: Proxy) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    place = f"{host}:{origin.port}".encode()
    own = b"proxy-authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""
    return b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (place, place, own)


def _refused(why: str) -> UpstreamUnreachable:
    return UpstreamUnreachable("The upstream cannot be reached.", detail=f"the proxy answered: {why}")
