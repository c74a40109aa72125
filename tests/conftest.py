"""For the whole suite: the databases of the store, other people's programs only where they are asked for, and garbage
that is soon collected."""

from __future__ import annotations

import gc

import pytest

from support_redis import redis_server
from support_store import bare_home, database, dialect, home, postgres

__all__ = ["bare_home", "database", "dialect", "home", "postgres", "redis_server"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: other people's programs, pinned, installed with npm on first use")
    config.addinivalue_line("markers", "screens: the dashboard in a real browser (make screens)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The clients take minutes and 1.6 GB, the screens a browser: only who asks for them by `-m` gets them."""
    for name in ("clients", "screens"):
        if name not in config.option.markexpr:
            unasked = [item for item in items if item.get_closest_marker(name)]
            config.hook.pytest_deselected(items=unasked)
            items[:] = [item for item in items if item not in unasked]


def pytest_collection_finish() -> None:
    """What all modules have brought along stays for good: a test that collects garbage need not look through it again,
    which would take longer than most tests do."""
    gc.collect()
    gc.freeze()
