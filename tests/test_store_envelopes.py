"""Envelopes: what opens them, and what does not; the file of keys."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import SecretUnreadable, StoreUnavailable
from trivium.store.envelopes import FILE, Keyring, key_of, keyring, read_keys, with_new_key, write_keys

OLD, NEW = ("v1", b"1" * 32), ("v2", b"2" * 32)
SECRET = b"sk-canary"
texts = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


@given(texts, texts, st.binary(max_size=2000))
def test_what_was_sealed_is_opened_by_the_same_owner_and_id(owner: str, id: str, secret: bytes) -> None:
    ring = Keyring([OLD])
    envelope = ring.seal(owner, id, secret)
    assert ring.open(owner, id, envelope) == secret
    moved = Keyring([NEW, OLD]).rewrap(owner, id, envelope)
    assert (moved.version, moved.sealed) == ("v2", envelope.sealed)
    assert Keyring([NEW]).open(owner, id, moved) == secret


def test_a_secret_is_never_sealed_twice_alike() -> None:
    ring = Keyring([OLD])
    one, two = ring.seal("user:ann", "a", SECRET), ring.seal("user:ann", "a", SECRET)
    assert one.sealed != two.sealed
    assert one.wrapped_key != two.wrapped_key
    assert SECRET not in one.sealed + one.wrapped_key


@pytest.mark.parametrize(("owner", "id"), [("user:bob", "a"), ("user:ann", "b"), ("organization:ann", "a")])
def test_a_row_that_was_copied_to_another_opens_nothing(owner: str, id: str) -> None:
    ring = Keyring([OLD])
    envelope = ring.seal("user:ann", "a", SECRET)
    for act in (ring.open, ring.rewrap):
        with pytest.raises(SecretUnreadable, match="or is damaged"):
            act(owner, id, envelope)


def test_the_secret_is_bound_apart_from_its_data_key() -> None:
    """Somebody who can open one envelope and write rows still cannot have another's secret opened as their own."""
    ring = Keyring([OLD])
    hers, mine = ring.seal("user:ann", "a", SECRET), ring.seal("user:bob", "b", b"mine")
    mixed = msgspec.structs.replace(mine, sealed=hers.sealed)
    with pytest.raises(SecretUnreadable, match="The secret b is damaged"):
        ring.open("user:bob", "b", mixed)


@given(st.sampled_from(["wrapped_key", "sealed"]), st.integers(min_value=0), st.integers(1, 255))
def test_no_byte_can_be_changed(field: str, at: int, by: int) -> None:
    ring = Keyring([OLD])
    envelope = ring.seal("user:ann", "a", SECRET)
    content = bytearray(getattr(envelope, field))
    content[at % len(content)] ^= by
    with pytest.raises(SecretUnreadable):
        ring.open("user:ann", "a", msgspec.structs.replace(envelope, **{field: bytes(content)}))
    with pytest.raises(SecretUnreadable):
        ring.open("user:ann", "a", msgspec.structs.replace(envelope, **{field: bytes(content[:5])}))


def test_a_key_that_is_not_at_hand_and_one_that_is_another_are_told_apart() -> None:
    envelope = Keyring([OLD]).seal("user:ann", "a", SECRET)
    with pytest.raises(SecretUnreadable, match="'v1', which is not at hand: put it back"):
        Keyring([NEW]).open("user:ann", "a", envelope)
    with pytest.raises(SecretUnreadable, match="sealed under another key that was called 'v1'"):
        Keyring([("v1", b"x" * 32)]).open("user:ann", "a", envelope)
    with pytest.raises(SecretUnreadable, match="No secret can be kept: because"):
        Keyring((), "because").seal("user:ann", "a", SECRET)


def test_nothing_of_a_key_is_shown_by_what_holds_it() -> None:
    assert repr(Keyring([NEW, OLD])) == "Keyring(v2, v1)"


def test_a_check_value_tells_another_key_of_the_same_name() -> None:
    ring, other = Keyring([NEW, OLD]), Keyring([("v2", OLD[1])])
    assert ring.fault("v2", ring.proof("v2")) is ring.fault("v2", None) is None
    assert "put that one back" in (other.fault("v2", ring.proof("v2")) or "")
    assert "'v3' is not at hand" in (ring.fault("v3", ring.proof("v2")) or "")
    assert other.proof("v2") != ring.proof("v1")  # not to be compared beyond its name
    for key in (NEW[1], OLD[1]):
        assert key not in ring.proof("v2")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (base64.b64encode(b"k" * 32).decode() + "\n", True),
        ((b"k" * 32).hex(), True),
        (base64.b64encode(b"k" * 31).decode(), False),
        ("k" * 32, False),
        ("zz" * 32, False),
        ("", False),
    ],
)
def test_a_key_is_32_bytes_however_they_are_written(text: str, good: bool) -> None:
    assert (key_of(text) == b"k" * 32) is good


def test_the_first_start_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    first = keyring(tmp_path, (), in_use=False)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    again = keyring(tmp_path, (), in_use=True)
    assert again.open("user:ann", "a", first.seal("user:ann", "a", SECRET)) == SECRET


def test_a_configured_key_goes_before_the_files_which_still_opens(tmp_path: Path) -> None:
    old = keyring(tmp_path, (), in_use=False)
    ring = keyring(tmp_path, [NEW], in_use=True)
    assert ring.versions == ("v2", old.current)
    assert ring.open("user:ann", "a", old.seal("user:ann", "a", SECRET)) == SECRET


def test_where_a_key_is_configured_from_the_start_no_file_is_made(tmp_path: Path) -> None:
    keyring(tmp_path, [NEW], in_use=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_not_replaced_while_secrets_need_it(tmp_path: Path) -> None:
    ring = keyring(tmp_path, (), in_use=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SecretUnreadable, match=r"secrets\.key is gone"):
        ring.seal("user:ann", "a", SECRET)


@pytest.mark.parametrize("text", ["", "nonsense\n", "local-00000000=short\n", "v1=" + "A" * 43 + "=\n", "\udcff"])
def test_a_damaged_file_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, errors="surrogateescape")
    with pytest.raises(StoreUnavailable, match=r"damaged|cannot be read"):
        keyring(tmp_path, (), in_use=True)


def test_a_new_key_stands_before_the_old_ones(tmp_path: Path) -> None:
    keys = with_new_key(with_new_key([]))
    write_keys(tmp_path / FILE, keys)
    assert read_keys(tmp_path / FILE) == keys
    assert len({version for version, _ in keys}) == 2
