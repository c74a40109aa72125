"""What trusted proxies tell of clients beside their addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.edge import UNTOLD, Edge, edge_of, tells

JA4 = "t13d1516h2_8daaf6152771_02713d6af862"


@pytest.mark.parametrize("name", ["cf-ipcountry", "x-vercel-ip-country", "cloudfront-viewer-country", "x-geo-country"])
def test_a_country_is_two_capitals(name: str) -> None:
    for value, told in {" DE ": "DE", "de": None, "DEU": None, "T1": None, "XX": None, "": None}.items():
        headers = {name.encode(): value.encode()}
        assert tells(headers)
        assert edge_of(headers) == Edge(country=told)


@pytest.mark.parametrize(
    "name", ["x-vercel-ja4-digest", "cf-ja4", "x-ja4", "x-vercel-ja3-digest", "cf-ja3-hash", "x-ja3"]
)
def test_a_fingerprint_is_a_word(name: str) -> None:
    words = {
        JA4: JA4,
        "a" * 128: "a" * 128,
        "a" * 129: None,
        "a b": None,
        "a\n": "a",
        "<b>": None,
        "\xe4": None,
        "": None,
    }
    for value, told in words.items():
        assert edge_of({name.encode(): value.encode("latin-1")}) == Edge(fingerprint=told)


def test_the_first_header_counts_that_says_something() -> None:
    headers = {b"x-geo-country": b"FR", b"cf-ipcountry": b"XX", b"cloudfront-viewer-country": b"DE"}
    assert edge_of({**headers, b"x-ja3": b"ja3", b"cf-ja4": b"ja4"}) == Edge("DE", "ja4")


def test_most_requests_have_none() -> None:
    assert not tells({b"user-agent": b"curl", b"x-forwarded-for": b"192.0.2.1"})
    assert edge_of({b"user-agent": b"curl"}) == UNTOLD


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_is_sent_is_a_short_word_or_nothing(country: bytes, fingerprint: bytes) -> None:
    told = edge_of({b"cf-ipcountry": country, b"cf-ja4": fingerprint})
    assert told.country is None or (len(told.country) == 2 and told.country.isalpha())
    assert told.fingerprint is None or (told.fingerprint.isascii() and 1 <= len(told.fingerprint) <= 128)
