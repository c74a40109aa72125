"""The key of a new installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.errors import OperationError
from trivium.operations.bootstrap import bootstrap_key
from trivium.store.store import Store
from trivium.store.whose import EVERYBODY


async def test_it_is_made_once_and_opens_the_door(tmp_path: Path, store: Store) -> None:
    text = await bootstrap_key(tmp_path, store.keys)
    assert text
    assert await store.keys.find(text)
    assert await bootstrap_key(tmp_path, store.keys) == text
    assert [key.name for key in store.keys.list()] == ["bootstrap"]


async def test_nobody_else_can_read_its_file(tmp_path: Path, store: Store) -> None:
    text = await bootstrap_key(tmp_path, store.keys)
    assert (tmp_path / "bootstrap.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "bootstrap.key").read_text() == f"{text}\n"


async def test_once_revoked_it_stays_revoked(tmp_path: Path, store: Store) -> None:
    text = await bootstrap_key(tmp_path, store.keys)
    await store.key_changes.revoke("bootstrap", EVERYBODY, "operator")
    for _ in range(2):
        assert await bootstrap_key(tmp_path, store.keys) is None
    assert text
    assert await store.keys.find(text) is None
    assert len(store.keys.list()) == 1


async def test_a_start_that_died_between_file_and_store_is_mended(tmp_path: Path, store: Store) -> None:
    (tmp_path / "bootstrap.key").write_text("tv-" + "x" * 43)
    assert await bootstrap_key(tmp_path, store.keys) == "tv-" + "x" * 43
    assert await store.keys.find("tv-" + "x" * 43)


@pytest.mark.parametrize("content", [b"", b"\n", b"sk-other", b"tv-", b"tv-\xff", b"\xff\xfe"])
async def test_a_damaged_file_is_said_in_words_and_admits_nothing(tmp_path: Path, store: Store, content: bytes) -> None:
    (tmp_path / "bootstrap.key").write_bytes(content)
    with pytest.raises(OperationError, match=r"bootstrap\.key"):
        await bootstrap_key(tmp_path, store.keys)
    assert store.keys.list() == []


async def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path, store: Store) -> None:
    await bootstrap_key(tmp_path, store.keys)
    (tmp_path / "bootstrap.key").chmod(0o644)
    await bootstrap_key(tmp_path, store.keys)
    assert (tmp_path / "bootstrap.key").stat().st_mode & 0o077 == 0
