"""Files that are whole after a power cut: what is flushed, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trivium.store import durable


def test_the_content_is_flushed_before_it_has_its_name_and_the_name_behind_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "key", list[tuple[str, bool]]()
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{handle}").readlink().name, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.write(path, b"said")
    assert flushed == [("key.new", False), (tmp_path.name, True)]
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"said", 0o600)


def test_what_cannot_be_written_changes_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    durable.write(path, b"before")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        durable.write(path, b"after")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("key", b"before")]
