"""Addresses in many networks: as if each network were asked, and in no time."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.ranges import Ranges


def test_both_kinds_of_addresses() -> None:
    ranges = Ranges(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"])
    inside = ("192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8:ffff::1")
    outside = ("192.0.1.255", "192.0.3.0", "198.51.100.8", "2001:db9::", "::", "0.0.0.0", "255.255.255.255")
    assert [address for address in (*inside, *outside) if ipaddress.ip_address(address) in ranges] == list(inside)


def test_nothing_is_in_none() -> None:
    assert not Ranges()
    assert ipaddress.ip_address("192.0.2.1") not in Ranges()
    assert ipaddress.ip_address("192.0.2.1") not in Ranges(["2001:db8::/32"])


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        Ranges(["nowhere"])


NETWORKS = st.builds(
    lambda number, bits: ipaddress.ip_network((number & ~((1 << (32 - bits)) - 1), bits)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(found=st.lists(NETWORKS, max_size=20), address=st.integers(0, 2**32 - 1).map(ipaddress.ip_address))
def test_it_is_in_where_one_of_them_has_it(found: list[ipaddress.IPv4Network], address: ipaddress.IPv4Address) -> None:
    ranges = Ranges(map(str, found))
    for asked in (address, *(network.network_address for network in found)):
        assert (asked in ranges) == any(asked in network for network in found)
