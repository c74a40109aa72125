"""These tests install other people's programs and take a minute: only `pytest -m clients` runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # the harness, also where this folder is named alone


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: other people's programs, pinned, installed with npm on first use")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "clients" not in config.option.markexpr:
        unasked = [item for item in items if item.get_closest_marker("clients")]
        config.hook.pytest_deselected(items=unasked)
        items[:] = [item for item in items if item not in unasked]
