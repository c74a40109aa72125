"""What every client must get right before a byte is sent: where a URL leads, and which headers a request may carry.

Pure. A URL or header that could turn one request into two (CR, LF, NUL), or that sets what only the client may set, is
a ValueError: whoever built it is at fault, not the upstream. No message repeats a URL or a value: they may hold keys.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import msgspec

from trivium.providers.provider import Network
from trivium.upstream.client import UpstreamRequest

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_URL = re.compile(r"[^\x21-\x7e]")
_OURS = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding"))
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class Origin(msgspec.Struct, frozen=True):
    """What connections are shared by."""

    secure: bool
    host: str
    """A name or an address; an IPv6 address without its brackets."""
    port: int
    guarded: bool = False
    """Its address is checked whenever it is connected to; calls that need no check have connections of their own."""
    network: Network | None = None
    """How it is connected to, where that is not as all others are."""

    @property
    def proxy(self) -> Proxy | None:
        return proxy_of(self.network.proxy) if self.network is not None and self.network.proxy else None


class Proxy(msgspec.Struct, frozen=True):
    host: str
    port: int
    authorization: bytes = b""
    """The value of `proxy-authorization`, if it wants one."""


class Target(msgspec.Struct, frozen=True):
    origin: Origin
    authority: bytes
    """The `host` header: with brackets around IPv6, without a port that goes without saying."""
    path: bytes
    """With the query string, as given: nothing is decoded, encoded or normalized. To a proxy, the whole URL."""
    proxy_authorization: bytes = b""
    """For a proxy that is sent the request itself; a tunnel through one is made before."""


@lru_cache(maxsize=64)
def proxy_of(url: str) -> Proxy:
    """A checked URL's parts."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    authorization = b"Basic " + b64encode(f"{user}:{password}".encode()) if parts.username else b""
    return Proxy(parts.hostname or "", parts.port or _DEFAULT_PORTS["http"], authorization)


def parse_url(url: str, guarded: bool = False, network: Network | None = None) -> Target:
    """Raises ValueError for anything but an absolute, plain ASCII http or https URL without a user. Its query, which
    may be a client's, is not remembered: it is as long as the client likes, and somebody's token may stand in it."""
    if _NOT_URL.search(url):
        raise ValueError("a URL may hold printable ASCII only")
    place, _, query = url.partition("#")[0].partition("?")
    target = _parsed(place, guarded, network)
    return msgspec.structs.replace(target, path=target.path + b"?" + query.encode()) if query else target


@lru_cache(maxsize=1024)
def _parsed(url: str, guarded: bool, network: Network | None) -> Target:
    """Of a URL without a query."""
    parts = urlsplit(url)
    host, standard = parts.hostname, _DEFAULT_PORTS.get(parts.scheme)
    if not host or standard is None or "@" in parts.netloc:
        raise ValueError("a URL must be absolute, http or https, and without a user")
    port = parts.port or standard
    authority = f"[{host}]" if ":" in host else host
    if port != standard:
        authority += f":{port}"
    path = parts.path or "/"
    origin = Origin(parts.scheme == "https", host, port, guarded, network)
    if origin.secure or (proxy := origin.proxy) is None:
        return Target(origin, authority.encode(), path.encode())
    return Target(origin, authority.encode(), f"http://{authority}{path}".encode(), proxy.authorization)


def render_head(request: UpstreamRequest, target: Target) -> bytes:
    """Request line and headers, ready to be sent. Raises ValueError as the module says."""
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (request.method.encode(), target.path, target.authority)]
    if not _OURS.isdisjoint([name.lower() for name, _ in request.headers]):
        raise ValueError("host, connection and framing headers are the client's to set")
    lines += map(b": ".join, request.headers)
    if target.proxy_authorization:
        lines.append(b"proxy-authorization: " + target.proxy_authorization)
    if request.body or request.method in _WITH_BODY:
        lines.append(b"content-length: %d" % len(request.body))
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # The first line holds two: any CR or LF beyond these came in with a name or a value.
    if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2 or 0 in head:
        raise ValueError("a header holds CR, LF or NUL")
    return head
