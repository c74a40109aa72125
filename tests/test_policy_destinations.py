"""Where URLs of users may lead: how they must be written, and which addresses are refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import UrlRefused
from trivium.policy.addresses import networks
from trivium.policy.destinations import METADATA, Destinations, check_url, destinations, refusal
from trivium.settings import SecuritySettings

STRICT = Destinations()


def rules(*allowed: str, refused: tuple[str, ...] = (), http: bool = False) -> Destinations:
    return Destinations(allowed=networks(allowed), refused=networks(refused), http=http)


def refused(url: str, by: Destinations = STRICT) -> str:
    with pytest.raises(UrlRefused) as caught:
        check_url(url, by)
    return caught.value.message


def kind(address: str, by: Destinations = STRICT) -> str | None:
    return refusal(ipaddress.ip_address(address), by)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("HTTPS://API.Example.com:443/V1/", "https://api.example.com/V1"),
        ("https://xn--bcher-kva.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://8.8.8.8/a%20b/:c", "https://8.8.8.8/a%20b/:c"),
        ("https://[2606:4700::1111]:4443/v1", "https://[2606:4700::1111]:4443/v1"),
        ("https://gpu_1.example.com:80", "https://gpu_1.example.com:80"),
    ],
)
def test_a_url_is_kept_in_one_form(url: str, kept: str) -> None:
    assert check_url(url, STRICT) == kept
    assert check_url(kept, STRICT) == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com", "begin with https://"),
        ("example.com", "begin with https://"),
        ("", "begin with https://"),
        ("http://example.com", "only https"),
        ("https://user:pw@example.com", "no user"),
        ("https://example.com?x=1", "no query"),
        ("https://example.com/#x", "no query and no fragment"),
        ("https://exa mple.com", "printable ASCII"),
        ("https://example.com/\r\nx-a: 1", "printable ASCII"),
        ("https://bücher.example", "xn--"),
        ("https://\uff11\uff12\uff17.0.0.1", "printable ASCII"),
        ("https://example.com\\@127.0.0.1", "backslash"),
        ("https://%3127.0.0.1", "encoded"),
        ("https://[fe80::1%25eth0]", "zone"),
        ("https://localhost./", "end in a dot"),
        ("https://example.com/v1/../admin", "upwards"),
        ("https://example.com/v1/%2e%2e/admin", "upwards"),
        ("https://example.com:25", "port 25"),
        ("https://example.com:6000", "port 6000"),
        ("https://example.com:6379", "port 6379"),
        ("https://example.com:5432", "port 5432"),
        ("https://example.com:11211", "port 11211"),
        ("https://example.com:2375", "port 2375"),
        ("https://example.com:0", "expected https://HOST"),
        ("https://example.com:65536", "expected https://HOST"),
        ("https://example..com", "no name"),
        ("https://-example.com", "no name"),
        (f"https://{'a' * 64}.com", "no name"),
        (f"https://example.com/{'a' * 2000}", "longer than"),
        ("https://2130706433", "four decimal numbers"),
        ("https://0x7f000001", "four decimal numbers"),
        ("https://0177.0.0.1", "four decimal numbers"),
        ("https://127.1", "four decimal numbers"),
        ("https://0", "four decimal numbers"),
        ("https://127.0.0.1.5", "four decimal numbers"),
        ("https://127.0.0.1", "loopback"),
        ("https://localhost:8443", "loopback"),
        ("https://a.LocalHost", "loopback"),
        ("https://[::1]", "loopback"),
        ("https://[::ffff:7f00:1]", "IPv4 address as such"),
        ("https://[::ffff:127.0.0.1]", "IPv4 address as such"),
        ("https://[2606:4700:0::1111]", "[2606:4700::1111]"),
        ("https://[1:2]", "no IPv6 address"),
        ("https://169.254.169.254/latest", "metadata"),
    ],
)
def test_whoever_saves_a_url_hears_what_is_wrong_with_it(url: str, why: str) -> None:
    assert why in refused(url)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0.0.0.0", "unspecified"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "shared"),
        ("127.255.255.254", "loopback"),
        ("169.254.1.1", "link-local"),
        ("172.31.255.255", "private"),
        ("192.0.2.1", "documentation"),
        ("192.168.0.1", "private"),
        ("198.19.0.1", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("168.63.129.16", "metadata"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("::7f00:1", "loopback"),
        ("64:ff9b::808:808", "NAT64"),
        ("64:ff9b:1::1", "unspecified"),
        ("64:ff9b:1:808:8:800:808:808", "NAT64"),
        ("100::1", "reserved"),
        ("2001::1", "unspecified"),
        ("2001:0:808:808::f7f7:f7f7", "Teredo"),
        ("2001:20::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "loopback"),
        ("2002:808:808::", "6to4"),
        ("2606:4700::5efe:a00:1", "private"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("fd00:ec2::254", "metadata"),
        ("fd12::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("2606:4700::1%1", "link-local"),
        ("ff02::1", "multicast"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("2606:4700::1111", None),
        ("2001:4860:4860::8888", None),
    ],
)
def test_only_addresses_of_the_public_internet_are_connected_to(address: str, what: str | None) -> None:
    assert kind(address) == what


def test_an_operator_allows_networks_and_plain_http() -> None:
    by = rules("10.0.0.0/8", "127.0.0.1", "::1", http=True)
    assert check_url("http://10.0.0.7:8000/v1", by) == "http://10.0.0.7:8000/v1"
    assert check_url("http://localhost:8000", by) == "http://localhost:8000"
    assert kind("::1", by) is None
    assert "private" in refused("http://192.168.0.1", by)


def test_an_allowed_network_is_no_way_to_others() -> None:
    """What carries an IPv4 address is allowed where both are."""
    assert kind("64:ff9b::808:808", rules("64:ff9b::/96")) is None
    assert kind("64:ff9b::7f00:1", rules("64:ff9b::/96")) == "loopback"
    assert kind("64:ff9b::7f00:1", rules("127.0.0.0/8")) == "NAT64"
    assert kind("::ffff:127.0.0.1", rules("127.0.0.0/8")) == "IPv4-mapped"


def test_metadata_must_be_allowed_by_itself() -> None:
    for address in METADATA:
        around = ipaddress.ip_network((address, 8), strict=False)
        assert kind(str(address), rules(str(around))) == "metadata"
        assert kind(str(address), rules(str(address))) is None


def test_an_operator_refuses_public_networks_and_parts_of_allowed_ones() -> None:
    by = rules("10.0.0.0/8", refused=("10.9.0.0/16", "8.8.8.0/24"))
    assert kind("10.1.0.1", by) is None
    assert kind("10.9.0.1", by) == "refused"
    assert kind("8.8.8.8", by) == "refused"


def test_the_rules_come_from_the_settings() -> None:
    said = SecuritySettings(allow_networks=["10.0.0.1/8"], deny_networks=["10.9.0.0/16"], allow_http=True)
    assert destinations(said) == rules("10.0.0.0/8", refused=("10.9.0.0/16",), http=True)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_what_is_connected_to_is_global_in_python_s_eyes_too(address: ipaddress.IPv4Address) -> None:
    if refusal(address, STRICT) is None:
        assert address.is_global and not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_opens_no_way_to_an_ipv4_one(inner: ipaddress.IPv4Address) -> None:
    bits = int(inner)
    forms = (bits, 0xFFFF << 32 | bits, 0x64FF9B << 96 | bits, 0x2002 << 112 | bits << 80)
    assert all(refusal(ipaddress.IPv6Address(form), STRICT) for form in forms)
    if refusal(inner, STRICT):
        assert refusal(ipaddress.IPv6Address(0x2606_4700 << 96 | 0x5EFE << 32 | bits), STRICT)


@given(st.text(max_size=60).map("https://".__add__) | st.from_regex(r"https?://[0-9a-fx.:@%\[\]/-]{1,40}"))
def test_any_text_is_kept_or_refused(url: str) -> None:
    try:
        kept = check_url(url, STRICT)
    except UrlRefused:
        return
    assert check_url(kept, STRICT) == kept
    assert kept.isascii() and kept.startswith("https://")
