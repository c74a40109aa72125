"""10,000 made-up `X-Forwarded-For` headers: none of them moves a limit that goes by the client's address."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from gateway import Running, running
from trivium.clock import SystemClock
from trivium.mock import Reply
from trivium.policy.addresses import client_address, networks, subscriber
from trivium.policy.counters import Claim
from trivium.policy.guesses import MOST
from trivium.store.counters import LocalCounters

FORGERIES = 10_000
OURS = "127.0.0.0/8"
CLIENT, OTHER = "203.0.113.7", "203.0.113.8"


def forged(chance: random.Random) -> bytes:
    """What a client may write there to be somebody else: one hop or several, some as if of our own proxies."""
    hops: list[Callable[[], str]] = [
        lambda: f"{chance.randrange(1, 224)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}",
        lambda: f"2001:db8:{chance.randrange(65_536):x}::{chance.randrange(65_536):x}",
        lambda: f"[2001:db8:{chance.randrange(65_536):x}::1]:443",
        lambda: f"::ffff:198.51.100.{chance.randrange(256)}",
        lambda: f"127.0.0.{chance.randrange(256)}",
        lambda: f"192.0.2.{chance.randrange(256)}:{chance.randrange(65_536)}",
        lambda: chance.choice(("", "unknown", "for=192.0.2.1", "_hidden", "0x7f000001", "1.2.3", "%00", "*", "\xff")),
    ]
    return ", ".join(chance.choice(hops)() for _ in range(chance.randrange(1, 6))).encode("latin-1")


def headers(seen: str | None, seed: int) -> list[bytes]:
    """`X-Forwarded-For` as it reaches us: made up, and behind it what our own proxy saw, if there is one."""
    chance = random.Random(seed)
    made_up = [forged(chance) for _ in range(FORGERIES)]
    return made_up if seen is None else [header + b", " + seen.encode() for header in made_up]


async def statuses(gateway: Running, forwarded: list[bytes]) -> Counter[int]:
    """What as many guesses at a key are answered, all on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    found: Counter[int] = Counter()
    for first in range(0, len(forwarded), 500):
        for number, header in enumerate(forwarded[first : first + 500]):
            writer.write(
                b"GET /v1/models HTTP/1.1\r\nhost: h\r\nx-api-key: tv-guess%d\r\nx-forwarded-for: %b\r\n\r\n"
                % (first + number, header)
            )
        await writer.drain()
        for _ in forwarded[first : first + 500]:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
            await reader.readexactly(int(length[16:]))
            found[int(head[9:12])] += 1
    writer.close()
    return found


@pytest.mark.parametrize(("settings", "seen"), [("", None), (f'[server]\ntrusted_proxies = ["{OURS}"]', CLIENT)])
async def test_guesses_at_keys_stay_limited(settings: str, seen: str | None) -> None:
    async with running(Reply(text="Hi"), settings=settings) as gateway:
        assert await statuses(gateway, headers(seen, 1)) == {401: MOST, 429: FORGERIES - MOST}
        if seen is not None:
            assert await statuses(gateway, [OTHER.encode()]) == {401: 1}, "another client of the same proxy"


@pytest.mark.parametrize(
    ("peer", "trusted", "seen"),
    [
        (CLIENT, [], None),  # nobody is believed
        (CLIENT, [OURS], None),  # this client is no proxy of ours
        ("127.0.0.1", [OURS], CLIENT),  # and this one is
        ("::ffff:127.0.0.1", [OURS, "10.0.0.0/8"], f"{CLIENT}, 10.1.2.3"),  # two in a row
        ("127.0.0.1", [OURS], "2001:db8:7:7::1"),
    ],
)
async def test_a_claim_by_address_passes_as_often_as_its_limit_says(
    peer: str, trusted: list[str], seen: str | None
) -> None:
    counters, proxies = LocalCounters(SystemClock()), networks(trusted)
    passed = 0
    for header in headers(seen, 2):
        address = subscriber(client_address(peer, header, proxies))
        passed += await counters.take([Claim(f"free:{address}", 200, window_s=3_600)]) is None
    assert passed == 200
