"""The price data's file: made once, made anew when damaged, and missing without harm."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from support_prices import data
from trivium.operations import price_table as module
from trivium.operations.price_table import price_table

NAME = f"prices-{metadata.version('genai-prices')}.json"


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


BROKEN = child("raise SystemExit('it may not run here')")


def test_it_is_made_at_the_first_start_and_read_at_the_next(tmp_path: Path) -> None:
    made = price_table(tmp_path)
    assert (made.absent, (tmp_path / NAME).read_bytes()) == (None, data())
    assert made.dataset
    assert made.dataset.find("anthropic", "claude-opus-5")
    again = price_table(tmp_path, BROKEN)
    assert again.dataset
    assert again.absent is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00" * 1000, data()[:-100], b'{"x":' + b"[" * 5_000])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert price_table(tmp_path).dataset
    assert (tmp_path / NAME).read_bytes() == data()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_files_of_other_versions_go(tmp_path: Path) -> None:
    (tmp_path / "prices-0.0.1.json").write_bytes(data())
    price_table(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (BROKEN, "it may not run here"),
        (child("print('nonsense')"), ""),
        (child("import os; os._exit(3)"), "exit status 3"),
        (("/nonexistent/python",), "No such file"),
    ],
)
def test_where_it_cannot_be_made_that_is_said_and_nothing_is_kept(
    tmp_path: Path, make: tuple[str, ...], why: str
) -> None:
    made = price_table(tmp_path, make)
    assert made.dataset is None
    assert made.absent
    assert made.absent.startswith("no price data: genai-prices ")
    assert why in made.absent
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "genai-prices-that-nobody-has")
    made = price_table(tmp_path)
    assert (made.dataset, made.absent) == (
        None, "no price data: the package genai-prices-that-nobody-has is not installed",
    )  # fmt: skip


def test_a_folder_that_cannot_be_written_costs_only_the_time_to_make_it_again(tmp_path: Path) -> None:
    made = price_table(tmp_path / "gone")
    assert made.dataset
    assert made.absent is None
