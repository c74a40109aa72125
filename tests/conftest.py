"""For the whole suite: the databases of the store, other people's programs only where they are asked for, and garbage
that is soon collected."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from support_browser import chromium
from support_desk import desk
from support_machine import read_ahead, spare
from support_redis import redis_server
from support_store import bare_home, clock, database, dialect, home, postgres, store

if TYPE_CHECKING:
    from support_cli import CommandLine

__all__ = [
    "bare_home",
    "chromium",
    "clock",
    "database",
    "desk",
    "dialect",
    "home",
    "postgres",
    "redis_server",
    "store",
]

LONG = {
    *("admin_openapi", "admin_walk", "bench_rotation", "conformance", "e2e_canary", "e2e_local", "server_run"),
    *("server_workers", "store_audit_stories", "wire_body", "wire_fuzz", "wire_translate_properties"),
}
"""Modules that take long, most of them waiting: begun first, lest a worker be alone with one at the end. The last ones
are called `test_wire_...`, and take a second."""
# How much the machine has to do just now says nothing about the code.
settings.register_profile("suite", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    if "clients" not in config.option.markexpr:  # which are had from the internet
        spare()
    config.addinivalue_line("markers", "clients: other people's programs, pinned, installed with npm on first use")
    config.addinivalue_line("markers", "screens: the dashboard in a real browser (make screens)")


def pytest_sessionstart(session: pytest.Session) -> None:
    here = Path(__file__).parent
    if [Path(argument).resolve() for argument in session.config.args] == [here]:
        read_ahead(here)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The clients take minutes and 1.6 GB, the screens a browser: only who asks for them by `-m` gets them."""
    for name in ("clients", "screens"):
        if name not in config.option.markexpr:
            unasked = [item for item in items if item.get_closest_marker(name)]
            config.hook.pytest_deselected(items=unasked)
            items[:] = [item for item in items if item not in unasked]
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)  # which keeps the order otherwise


def pytest_collection_finish() -> None:
    """What all modules have brought along stays for good: a test that collects garbage need not look through it again,
    which would take longer than most tests do."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def trivium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, over a data folder that is not there yet."""
    from support_cli import CommandLine  # noqa: PLC0415 # a second, and few ask

    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path / "data")
