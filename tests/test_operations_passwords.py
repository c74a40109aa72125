"""Passwords as they are kept."""

from __future__ import annotations

import pytest

from trivium.errors import OperationError
from trivium.operations.passwords import hashed, is_right, nobodys


def test_the_right_one_is_right_and_no_other() -> None:
    kept = hashed("correct horse \u00e9")
    assert kept.startswith("scrypt$16384$8$1$")
    assert is_right("correct horse \u00e9", kept)
    assert not is_right("correct horse e", kept)
    assert not is_right("", kept)
    assert not is_right("correct horse \u00e9" + "x" * 1000, kept)
    assert not is_right("\ud800", kept)


def test_two_of_the_same_are_kept_differently() -> None:
    assert hashed("0123456789") != hashed("0123456789")


def test_nobodys_is_nothing() -> None:
    assert not any(is_right(guess, nobodys()) for guess in ("", "0" * 10))


@pytest.mark.parametrize("password", ["", "short", "x" * 201])
def test_what_is_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(OperationError, match="10 to 200"):
        hashed(password)
