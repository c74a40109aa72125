"""How long a server asks to be left alone."""

from __future__ import annotations

import time

import pytest

from trivium.canon.events import Fault
from trivium.upstream.pause import pause_s

NOW = 1_795_600_000_000
DATE = b"Wed, 25 Nov 2026 09:47:20 GMT"
"""Forty seconds later."""


@pytest.mark.parametrize(
    ("header", "said", "seconds"),
    [
        (b"retry-after", b"7", 7),
        (b"retry-after", b" 7 ", 7),
        (b"retry-after", b"0", 0),
        (b"retry-after", b"1.2", 2),
        (b"retry-after-ms", b"1500", 2),
        (b"retry-after", DATE, 40),
        (b"retry-after", b"Wed, 25 Nov 2015 09:47:20 GMT", 0),
        *((b"retry-after", said, None) for said in (b"", b"-1", b"soon", b"1e9", b"9" * 21, b".", b"Wed, 99 Nov 2026")),
        (b"date", DATE, None),
    ],
)
def test_it_is_read_in_whole_seconds(header: bytes, said: bytes, seconds: int | None) -> None:
    assert pause_s([(header, said)], NOW) == seconds


@pytest.mark.parametrize("said", [DATE[:-4], DATE[:-3] + b"-0000", b"Wed Nov 25 09:47:20 2026"])
def test_a_date_without_a_zone_is_greenwichs_wherever_the_gateway_stands(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "America/New_York")
        time.tzset()
        assert pause_s([(b"retry-after", said)], NOW) == 40
    time.tzset()


def test_milliseconds_say_it_better() -> None:
    assert pause_s([(b"retry-after", b"60"), (b"retry-after-ms", b"250")], NOW) == 1
    assert pause_s([(b"retry-after-ms", b"odd"), (b"retry-after", b"60")], NOW) == 60


def test_an_error_says_it_where_no_header_does() -> None:
    fault = Fault("RESOURCE_EXHAUSTED", "Please retry in 38.9s.", pause_s=39)
    assert pause_s([], NOW, fault) == 39
    assert pause_s([(b"retry-after", b"soon")], NOW, fault) == 39
    assert pause_s([(b"retry-after", b"7")], NOW, fault) == 7
    assert pause_s([], NOW, Fault("x", "y")) is None
