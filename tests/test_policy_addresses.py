"""Which address a request comes from, and what limits count by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.addresses import client_address, masked, networks, parsed, subscriber

TRUSTED = networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", b"198.51.100.9", "192.0.2.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", b"1.2.3.4, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", b"1.2.3.4,198.51.100.9,10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", b"198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", b"[2001:db8::9]:4711", "2001:db8::9"),
        ("10.0.0.1", b"198.51.100.9, garbage", "10.0.0.1"),
        ("10.0.0.1", b"garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("::ffff:10.0.0.1", b"::ffff:198.51.100.9", "198.51.100.9"),
        ("2001:db8:1::1", b"2001:db8:2::1", "2001:db8:2::1"),
        (None, b"198.51.100.9", None),
    ],
)
def test_it_is_the_rightmost_that_is_no_proxy_of_ours(peer: str | None, forwarded: bytes | None, found: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == found


@given(st.binary(max_size=200))
def test_what_a_client_makes_up_moves_nothing(forged: bytes) -> None:
    assert client_address("192.0.2.1", forged, TRUSTED) == "192.0.2.1"
    assert client_address("10.0.0.1", forged + b", 198.51.100.9", TRUSTED) == "198.51.100.9"


def test_limits_count_ipv6_by_the_64() -> None:
    assert subscriber("2001:db8::1") == subscriber("2001:db8::ffff:1") == "2001:db8::/64"
    assert subscriber("2001:db8:0:1::1") != subscriber("2001:db8::1")
    assert [subscriber(address) for address in ("192.0.2.1", "::ffff:192.0.2.1", None, "x")] == [
        "192.0.2.1",
        "192.0.2.1",
        "",
        "x",
    ]


@given(st.none() | st.text(max_size=50))
def test_what_is_no_address_is_none(text: str | None) -> None:
    found = parsed(text)
    assert found is None or parsed(str(found)) == found


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8::7", "2001:db8::/48"),
        ("", ""),
        ("unix", ""),
    ],
)
def test_of_an_address_its_network_is_shown(address: str, shown: str) -> None:
    assert masked(address) == shown
