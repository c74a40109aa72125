"""What an own key consists of: nothing of it shows, and no more than four characters hint at it."""

from __future__ import annotations

import msgspec
import pytest

from trivium.providers.credential import Credential, masked, spellings

KEY = "sk-0123456789abcdef"


def test_no_repr_shows_a_key() -> None:
    credential = Credential(key=KEY, access_key_id="AKIDEXAMPLE000000001", session_token="token-token")
    shown = f"{credential} {credential!r} {[credential]} {credential.signing('eu-west-1')!r}"
    assert KEY not in shown
    assert "token-token" not in shown


@pytest.mark.parametrize(
    ("credential", "hint"),
    [
        (Credential(key=KEY), "cdef"),
        (Credential(key="short-one"), ""),
        (Credential(key=KEY, access_key_id="AKIDEXAMPLE000000001"), "0001"),
    ],
)
def test_the_hint_is_the_end_of_what_is_long_enough(credential: Credential, hint: str) -> None:
    assert credential.hint == hint


@pytest.mark.parametrize("key", ["", "seven77", "with blank in it", "line\nbreak00", "umlaut-äöü-000", "sk-012345\r"])
def test_a_key_is_what_a_header_takes(key: str) -> None:
    with pytest.raises(msgspec.ValidationError) as told:
        msgspec.convert({"key": key}, Credential)
    assert not key or key not in str(told.value)


def test_with_an_access_key_id_calls_are_signed_instead() -> None:
    assert Credential(key=KEY).signing("eu-west-1") is None
    signing = Credential(key=KEY, access_key_id="AKIDEXAMPLE000000001").signing("eu-west-1")
    assert signing is not None
    assert (signing.region, signing.service) == ("eu-west-1", "bedrock")


def test_a_secret_is_masked_as_json_may_write_it_without_changing_any_length() -> None:
    spelt = spellings([b"ab/cd+ef", b"other"])
    text = rb'{"a": "ab/cd+ef", "b": "ab\/cd+ef", "c": "other ab/cd"}'
    assert masked(text, spelt) == rb'{"a": "********", "b": "*********", "c": "***** ab/cd"}'
