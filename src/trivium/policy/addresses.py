"""Which address a request comes from: the peer's, or the one that a trusted proxy says it had (behaviour page, section
4). Pure.

Each proxy appends to `X-Forwarded-For` the address that it saw. Read from the right, the first that is no proxy of ours
is the client's; whatever stands left of it, the client may have made up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED_BITS = 96
"""Of an IPv6 address, before an IPv4 one that it holds."""
_SHOWN = {4: 24, 6: 48}
"""Bits of an address that are shown of it where it is told who used how much: many subscribers share them."""
_SUBSCRIBER = 64
"""Bits of an IPv6 address that one subscriber has: the rest is theirs to choose."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as they are configured; IPv4 ones that are written as IPv6 become what they are, as
    addresses do in `parsed`. Raises ValueError."""
    return tuple(_unmapped(ipaddress.ip_network(text, strict=False)) for text in texts)


def client_address(peer: str | None, forwarded_for: bytes | None, trusted: Sequence[Network]) -> str | None:
    """The rightmost hop that is no trusted proxy. None where the peer has no address, as on a Unix socket."""
    address = parsed(peer)
    if forwarded_for is None or not trusted or address is None or not is_in(address, trusted):
        return peer if address is None else str(address)
    for hop in reversed(forwarded_for.decode("latin-1").split(",")):
        found = parsed(_bare(hop.strip()))
        if found is None:
            break  # what a proxy of ours did not write
        address = found
        if not is_in(address, trusted):
            break
    return str(address)


def is_proxy(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Whether what a peer says of whom it speaks for is believed."""
    address = parsed(peer)
    return address is not None and is_in(address, trusted)


def subscriber(address: str | None) -> str:
    """What limits count by: an IPv4 address, or the /64 that an IPv6 address is in."""
    found = parsed(address)
    if found is None:
        return address or ""
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _SUBSCRIBER), strict=False))


def masked(address: str) -> str:
    """The network that is shown in place of an address; nothing of what is none."""
    found = parsed(address.partition("/")[0])
    return "" if found is None else str(ipaddress.ip_network((found, _SHOWN[found.version]), strict=False))


def parsed(text: str | None) -> Address | None:
    """An address; an IPv4 one that is written as IPv6 becomes what it is."""
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_in(address: Address, some: Sequence[Network]) -> bool:
    return any(address in network for network in some)


def _unmapped(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv4Network) or network.prefixlen < _MAPPED_BITS:
        return network
    first = network.network_address.ipv4_mapped
    return network if first is None else ipaddress.IPv4Network((first, network.prefixlen - _MAPPED_BITS))


def _bare(hop: str) -> str:
    """Without a port, which some proxies write: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
