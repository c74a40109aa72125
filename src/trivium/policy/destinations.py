"""Where a URL that a user supplied may lead. Pure.

A base URL is written in one way only: scheme, host and path in plain ASCII, an IPv4 address as four decimal numbers, an
IPv6 address as it is usually shortened, nothing encoded and nothing hidden. What two programs could read differently is
refused, so that what is checked is what is called. `check_url` tells why, in words for whoever saves the URL.

An address is refused where it is not one of the public internet's (IANA's registries of special-purpose addresses), or
carries an IPv4 address that would be refused. The operator can allow networks, and refuse more. Of the addresses at
which clouds tell machines their secrets, each must be allowed by itself: a network around it does not do.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import msgspec

from trivium.errors import UrlRefused
from trivium.policy.addresses import Address, Network, is_in, networks
from trivium.settings import SecuritySettings

LONGEST_URL = 2000
_LONGEST_NAME = 253
_LAST_PORT = 65_535

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*)"
)
_QUERY = re.compile(r"[!\x22$-~]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FAULTS = (
    (re.compile(r"[^\x21-\x7e]"), "it may hold printable ASCII only; write a name with other letters as xn--..."),
    (re.compile(r"^(?!https?://)", re.IGNORECASE), "it must begin with https://"),
    (re.compile(r"\\"), "it may hold no backslash"),
    (re.compile(r"^[^/]*//[^/?#]*@"), "it may hold no user and no password; the key has a place of its own"),
    (re.compile(r"[?#]"), "it may have no query and no fragment"),
    (re.compile(r"^[^/]*//[^/]*%"), "the host may not be encoded, and have no zone"),
    (re.compile(r"^[^/]*//[^/]*\.(?::|/|$)"), "the host may not end in a dot"),
    (re.compile(r"(?:/|^)\.{1,2}(?:/|$)|%2e", re.IGNORECASE), "the path may not lead upwards"),
)
"""What is wrong with a URL, the first that fits."""

_WEB = frozenset((80, 443))
_MAIL = frozenset((25, 465, 587))
_NOT_WEB = frozenset(
    (1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080)
)
"""Ports above 1023 that browsers do not speak HTTP to either (Fetch standard, "Port blocking")."""
_SERVICES = frozenset(
    (
        *(1080, 1883, 2181, 4222, 4369, 5671, 5672, 8883, 9092, 61613, 61616),  # proxies, queues, coordination
        *(1433, 1434, 1521, 2483, 2484, 3306, 5432, 6432, 9042, 27017, 27018, 27019, 33060),  # databases
        *(6379, 6380, 11211, 16379, 26379),  # caches
        *(3260, 3389, 5900, 5901, 5985, 5986, 10250),  # disks, screens, machines
        *(2375, 2376, 2377, 2379, 2380),  # containers and their stores
    )
)
"""Ports of what stands in networks beside a gateway and is no model's server (IANA's registry, or by habit)."""

_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is given out to the internet so far."""
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # AWS: credentials of containers
        "169.254.170.23",  # AWS: credentials of pods
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: credentials of pods
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure, an address of the public internet
        "192.0.0.192",  # Oracle
    )
)
_LOCALHOST = ipaddress.IPv4Address("127.0.0.1")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_LAST_32 = tuple(ipaddress.IPv6Network(n) for n in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
"""Networks whose addresses have an IPv4 address in their last 32 bits."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))


class Destinations(msgspec.Struct, frozen=True, kw_only=True):
    """What user-supplied URLs may lead to."""

    allowed: tuple[Network, ...] = ()
    """Though they are not of the public internet."""
    refused: tuple[Network, ...] = ()
    """Though they are, or are allowed."""
    http: bool = False
    """URLs may be plain `http:`."""


class BaseUrl(msgspec.Struct, frozen=True):
    """A URL, taken apart."""

    secure: bool
    host: str
    """An IPv6 address without its brackets."""
    port: int
    path: str
    """Without a slash at its end."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.secure else 80) else f":{self.port}"
        return f"{'https' if self.secure else 'http'}://{host}{port}{self.path}"


def destinations(settings: SecuritySettings) -> Destinations:
    """The rules as they are configured."""
    allowed, refused = networks(settings.allow_networks), networks(settings.deny_networks)
    return Destinations(allowed=allowed, refused=refused, http=settings.allow_http)


def check_url(url: str, rules: Destinations) -> str:
    """A base URL as it is to be kept: without a slash at its end or a port that goes without saying. Raises UrlRefused,
    whose message says what is wrong. A name is not looked up: that is done whenever it is connected to."""
    parsed = parse_base_url(url)
    if fault := fault_of(parsed.secure, parsed.host, parsed.port, rules):
        raise _refused(fault)
    return str(parsed)


def check_hook(url: str, rules: Destinations) -> str:
    """The same of a URL that is called as it stands: it may have a query, and keeps the slash at its end."""
    base, mark, query = url.partition("?")
    if len(url) > LONGEST_URL:
        raise _refused(f"it is longer than {LONGEST_URL} characters")
    if not _QUERY.fullmatch(query):
        raise _refused("its query may hold printable ASCII only, and there may be no fragment")
    kept = check_url(base, rules)
    return f"{kept}{base[len(base.rstrip('/')) :]}{mark}{query}"


def parse_base_url(url: str) -> BaseUrl:
    """Raises UrlRefused for whatever is not written as the module says."""
    if len(url) > LONGEST_URL:
        raise _refused(f"it is longer than {LONGEST_URL} characters")
    for pattern, fault in _FAULTS:
        if pattern.search(url):
            raise _refused(fault)
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    found = _URL.fullmatch(f"{scheme.lower()}://{authority.lower()}{slash}{path}")
    if found is None or (port := int(found["port"] or 0)) > _LAST_PORT:
        raise _refused("expected https://HOST[:PORT][/PATH]")
    if fault_of_host := _host_fault(found["host"]):
        raise _refused(fault_of_host)
    secure = found["scheme"] == "https"
    return BaseUrl(secure, found["host"].strip("[]"), port or (443 if secure else 80), found["path"].rstrip("/"))


def _refused(why: str) -> UrlRefused:
    return UrlRefused(f"The URL cannot be used: {why}.")


def fault_of(secure: bool, host: str, port: int, rules: Destinations) -> str | None:
    """Why nobody may be sent to this scheme, host and port, as far as can be said without looking a name up."""
    if not secure and not rules.http:
        return "only https is allowed here"
    if port not in _WEB and (port < 1024 or port in _NOT_WEB or port in _SERVICES):
        return f"port {port} is not one of those allowed: 443, 80, and those above 1023 that are not another protocol's"
    return _fault_of_place(host, rules)


def fault_of_mail(host: str, port: int, rules: Destinations) -> str | None:
    """The same of a mail server."""
    if port not in _MAIL and (port < 1024 or port in _SERVICES):
        return (
            f"port {port} is not one of those allowed: 25, 465, 587, and those above 1023 that are no other service's"
        )
    return _fault_of_place(host, rules)


def _fault_of_place(host: str, rules: Destinations) -> str | None:
    address = literal(host)
    if address is None and (host == "localhost" or host.endswith(".localhost")):
        address = _LOCALHOST
    kind = refusal(address, rules) if address is not None else None
    return f"its address is not allowed here ({kind})" if kind else _host_fault(host)


def literal(host: str) -> Address | None:
    """The address that a host is, if it is one and not a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def refusal(address: Address, rules: Destinations) -> str | None:
    """What kind of address it is, if that is the reason why it must not be connected to; None: it may be."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "link-local"
        for carried in _carried(address):
            if kind := _refusal(carried, rules):
                return kind
    return _refusal(address, rules)


def _refusal(address: Address, rules: Destinations) -> str | None:
    """As if there were nothing behind it."""
    if is_in(address, rules.refused):
        return "refused"
    if address in METADATA:
        itself = any(network.num_addresses == 1 and address in network for network in rules.allowed)
        return None if itself else "metadata"
    return None if is_in(address, rules.allowed) else _special(address)


def _special(address: Address) -> str | None:
    """What the registries have an address for, if it is not the public internet."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    return "reserved" if address.version == 6 and address not in _PUBLIC_V6 else None


def _carried(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that something on the way might turn an IPv6 address into."""
    bits = int(address)
    if any(address in network for network in _LAST_32) and bits > 1:
        yield ipaddress.IPv4Address(bits & 0xFFFF_FFFF)
    if address in _LOCAL_NAT64:  # RFC 8215 leaves its length to the operator; RFC 6052 says where the address lies
        yield ipaddress.IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)
        yield ipaddress.IPv4Address(bits & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if bits >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield ipaddress.IPv4Address(bits & 0xFFFF_FFFF)


def _host_fault(host: str) -> str | None:
    """What is wrong with how a host is written."""
    if ":" in host:
        bare = host.strip("[]")
        try:
            address = ipaddress.IPv6Address(bare)
        except ValueError:
            return "the host is no IPv6 address"
        if address in _MAPPED or "." in bare:
            return "write an IPv4 address as such"
        return None if str(address) == bare else f"write the IPv6 address as [{address}]"
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address4 = literal(host)
        return (
            None if address4 is not None and str(address4) == host else "write an IPv4 address as four decimal numbers"
        )
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return "the host is no name and no address"
    return None
