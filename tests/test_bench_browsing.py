"""bench/browsing.py before the dashboard of a real gateway."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support_dashboard import dashboard

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture
def browsing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module("browsing")
    for name in (set(sys.modules) - before) & {"browsing", "stage"}:
        del sys.modules[name]


async def test_whoever_has_a_link_reads_every_page_once(browsing: Any) -> None:
    def look(link: str) -> list[str]:
        browser = browsing.Browser(link)
        paths = list(browser.walk())
        page = browser.get("/dashboard/house/usage")
        assert page.status == 200
        assert browser.weight(page) > len(page.body) + 10_000  # styles and scripts
        return paths

    async with dashboard() as house:
        for organization in ("acme", "blue"):
            await house.gateway.operations.perform("orgs.create", {"id": organization, "name": organization})
        token = (await house.gateway.operations.perform("sessions.link", {"user": None}))["token"]
        link = f"{house.url}/dashboard/sign-in?link={token}"
        paths = await asyncio.to_thread(look, link)
        assert len(paths) == len(set(paths)) > 30
        assert {"/", "/dashboard/house/usage", "/dashboard/house/keys/new"} <= set(paths)
        assert {path.split("/")[3] for path in paths if path.startswith("/dashboard/o/")} == {"acme"}
        assert not [path for path in paths if "sign-out" in path or ".csv" in path]
        with pytest.raises(browsing.BenchError, match="cannot sign in"):
            await asyncio.to_thread(look, link)
