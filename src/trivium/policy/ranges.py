"""Whether an address lies in one of many networks: lists of datacentres have thousands, and a call asks once. Pure."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable

from trivium.policy.addresses import Address, Network, networks


class Ranges:
    """Addresses and networks (CIDR), merged and sorted. Raises ValueError for what is none."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        found = networks(list(texts))
        self._firsts: dict[int, list[int]] = {}
        self._lasts: dict[int, list[int]] = {}
        for version in {network.version for network in found}:
            merged = _merged([network for network in found if network.version == version])
            self._firsts[version] = [int(network.network_address) for network in merged]
            self._lasts[version] = [int(network.broadcast_address) for network in merged]

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        at = bisect_right(self._firsts.get(address.version, ()), number) - 1
        return at >= 0 and number <= self._lasts[address.version][at]


def _merged(found: list[Network]) -> list[Network]:
    """Sorted, none inside another."""
    return list(ipaddress.collapse_addresses(found))  # type: ignore[type-var] # one version at a time
