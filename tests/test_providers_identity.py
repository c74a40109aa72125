"""Whom a provider is told that it answers."""

from __future__ import annotations

import base64
import hashlib
from itertools import product

from trivium.providers.identity import default_salt, hashed


def test_it_is_what_the_page_says() -> None:
    told = base64.b64encode(hashlib.sha256(b"saltupann").digest()).decode()
    assert hashed("salt", "up", "ann") == told


def test_the_same_for_the_same_and_another_for_any_other() -> None:
    said = list(product(("salt-1", "salt-2"), ("openai", "openrouter"), ("ann", "bob", "Ünï", "\ud800")))
    assert len({hashed(*one) for one in said}) == len(said)
    assert [hashed(*one) for one in said] == [hashed(*one) for one in said]


def test_a_salt_lasts_as_long_as_the_key_and_does_not_tell_it() -> None:
    key = b"k" * 32
    assert default_salt(key) == default_salt(key) != default_salt(b"l" * 32)
    assert key.hex() not in default_salt(key)
