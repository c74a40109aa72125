"""Copies of providers' lists on disk: whole or not at all, and never trusted blindly."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from trivium.metering.sheet import read_price
from trivium.routing.catalog import ModelEntry
from trivium.store import lists
from trivium.store.lists import VERSION, KeptList, ListFiles, kept_models

URL = "https://h/v1"
RICH = ModelEntry(
    "x/y",
    "up",
    created=1_700_000_000,
    display_name="X Y",
    price=read_price({"input": 3, "output": 15, "cache_read": "0.3"}),
    context=200_000,
    output_limit=64_000,
    takes=("text", "image"),
    gives=("text",),
    parameters=("tools",),
)
MODELS = (RICH, ModelEntry("z", "up"))
KEPT = KeptList(version=VERSION, provider="up", base_url=URL, learned_ms=5, etag='"a"', models=kept_models(MODELS))


@pytest.fixture
def files(tmp_path: Path) -> ListFiles:
    return ListFiles(tmp_path / "lists")


def test_what_was_written_is_read_again_prices_and_all_and_is_nobody_elses_to_read(
    files: ListFiles, tmp_path: Path
) -> None:
    files.write(KEPT)
    read = files.read("up", URL)
    assert read == KEPT
    assert read.entries == MODELS
    (file,) = (tmp_path / "lists").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_another_provider_or_address_there_is_none(files: ListFiles) -> None:
    files.write(KEPT)
    assert files.read("down", URL) is None
    assert files.read("up", "https://elsewhere/v1") is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"version":2}', b'{"version":2,"models":[{"id":7}]}', b"[" * 100_000]
)
def test_a_damaged_one_is_passed_over_with_a_line_in_the_log(
    files: ListFiles, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(KEPT)
    (tmp_path / "lists" / "up.json").write_bytes(content)
    assert files.read("up", URL) is None
    assert "up.json is damaged, and is passed over" in caplog.text
    files.write(KEPT)
    assert files.read("up", URL) == KEPT


def test_one_of_another_version_is_passed_over(files: ListFiles, tmp_path: Path) -> None:
    files.write(msgspec.structs.replace(KEPT, version=VERSION + 1))
    assert files.read("up", URL) is None


def test_one_that_is_too_long_is_neither_written_nor_read(
    files: ListFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(KEPT)
    monkeypatch.setattr(lists, "_LONGEST", 100)
    assert files.read("up", URL) is None
    files.write(msgspec.structs.replace(KEPT, models=KEPT.models * 2))
    assert "is too long to be kept" in caplog.text
    monkeypatch.undo()
    assert files.read("up", URL) == KEPT


def test_where_nothing_can_be_written_the_one_before_stays(
    files: ListFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    files.write(KEPT)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    files.write(msgspec.structs.replace(KEPT, learned_ms=6))
    assert "The list of up is not kept: [Errno 28]" in caplog.text
    assert files.read("up", URL) == KEPT
    assert [file.name for file in (tmp_path / "lists").iterdir()] == ["up.json"]
