"""bench/trust/rotation.py in small: keys are put under new ones while calls use them and the gateway is killed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trivium.clock import SystemClock
from trivium.store.store import Store

TRUST = Path(__file__).parent.parent / "bench" / "trust"


@pytest.fixture
def rotation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program, as it imports its neighbours."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TRUST))
    yield importlib.import_module("rotation")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == TRUST:
            del sys.modules[name]


def test_no_read_fails_and_nothing_is_lost(rotation: Any, tmp_path: Path) -> None:
    found = rotation.run(0.02, tmp_path)
    assert found.lost == 0, found.lines
    assert "200 keys" in found.lines[0]


async def test_it_notices_a_key_that_cannot_be_opened_or_is_anothers(rotation: Any, tmp_path: Path) -> None:
    await rotation.fill(tmp_path, "http://127.0.0.1:9", 20)
    assert await rotation.unreadable(tmp_path) == 0
    store = Store(tmp_path, SystemClock())
    with store.database.transaction() as tx:
        tx.execute(
            "UPDATE secrets SET wrapped_key = (SELECT wrapped_key FROM secrets WHERE id = 'byok_0_1')"
            " WHERE id = 'byok_0_0'"
        )
        tx.execute("UPDATE secrets SET position = 99 WHERE id = 'byok_1_0'")
    await store.close()
    assert await rotation.unreadable(tmp_path) == 2
