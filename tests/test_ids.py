"""Names and secrets that the gateway makes up."""

from __future__ import annotations

import hmac
import re

from hypothesis import given
from hypothesis import strategies as st

from trivium import ids


def test_a_key_is_the_prefix_and_43_digits_and_never_the_same() -> None:
    keys = {ids.new_api_key() for _ in range(500)}
    assert len(keys) == 500
    assert all(re.fullmatch(r"tv-[0-9A-Za-z]{43}", key) for key in keys)


def test_every_digit_of_a_key_but_the_first_is_drawn_from_the_whole_alphabet() -> None:
    keys = [ids.new_api_key() for _ in range(2000)]
    assert all(len({key[place] for key in keys}) == 62 for place in range(4, 46))


def test_request_ids_differ_and_sort_by_the_millisecond_of_their_arrival() -> None:
    found = [ids.request_id() for _ in range(2000)]
    assert len(set(found)) == 2000
    assert all(re.fullmatch(r"req_[0-9a-f]{28}", one) for one in found)
    assert [one[:16] for one in found] == sorted(one[:16] for one in found)


def test_a_keys_public_name_tells_nothing_of_it() -> None:
    assert re.fullmatch(r"key_[0-9A-Za-z]{12}", ids.key_id())
    assert ids.key_id() != ids.key_id()


def test_a_hash_depends_on_the_key_and_on_the_pepper_alone() -> None:
    digest = ids.key_hash(b"p" * 32, "tv-a")
    assert digest == ids.key_hash(b"p" * 32, "tv-a")
    assert len({digest, ids.key_hash(b"q" * 32, "tv-a"), ids.key_hash(b"p" * 32, "tv-b")}) == 3


def test_any_header_can_be_hashed() -> None:
    for octets in (b"tv-\xff\x00", b"", bytes(range(256))):
        assert len(ids.key_hash(b"p", octets.decode("latin-1"))) == 32
        assert len(ids.key_hash(b"p", octets.decode("utf-8", "surrogateescape"))) == 32


@given(st.binary(max_size=200), st.text(max_size=300).filter(lambda key: key.isascii()))
def test_the_hash_of_a_key_is_hmac_sha256(pepper: bytes, key: str) -> None:
    assert ids.key_hash(pepper, key) == hmac.digest(pepper, key.encode(), "sha256")
