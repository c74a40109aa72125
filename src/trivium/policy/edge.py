"""What a proxy in front of the gateway tells of a client beside its address: from which country it calls, and how its
TLS library speaks (JA4, JA3). Pure.

A client can send these headers as well: whoever asks has made sure that the peer is a trusted proxy
(`addresses.is_proxy`). What is not of the form that they have says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_COUNTRY = (b"cf-ipcountry", b"x-vercel-ip-country", b"cloudfront-viewer-country", b"x-geo-country")
_FINGERPRINT = (
    *(b"x-vercel-ja4-digest", b"cf-ja4", b"x-ja4"),
    *(b"x-vercel-ja3-digest", b"cf-ja3-hash", b"x-ja3"),
)
"""Headers; of several the first counts that says something."""
_ALL = frozenset((*_COUNTRY, *_FINGERPRINT))
_is_country = re.compile(rb"(?!XX)[A-Z]{2}").fullmatch
"""XX is Cloudflare's word for not knowing it."""
_is_fingerprint = re.compile(rb"[0-9A-Za-z_]{1,128}").fullmatch


class Edge(msgspec.Struct, frozen=True):
    country: str | None = None
    """Two capitals (ISO 3166-1)."""
    fingerprint: str | None = None


UNTOLD = Edge()


def tells(headers: Mapping[bytes, bytes]) -> bool:
    """Whether one of the headers is there at all."""
    return not _ALL.isdisjoint(headers)


def edge_of(headers: Mapping[bytes, bytes]) -> Edge:
    """What the headers of a trusted proxy say."""
    country = next(filter(_is_country, _values(headers, _COUNTRY)), None)
    fingerprint = next(filter(_is_fingerprint, _values(headers, _FINGERPRINT)), None)
    return Edge(*(None if value is None else value.decode("ascii") for value in (country, fingerprint)))


def _values(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> list[bytes]:
    return [headers[name].strip() for name in names if name in headers]
