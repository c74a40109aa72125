"""A real browser, and what its pages do and must not do.

Needs Chromium (`TRIVIUM_CHROMIUM`, else the system's) and the packages of `assets/` for development.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway import Running

ASSETS = Path(__file__).parents[1] / "assets"
AXE = ASSETS / "node_modules" / "axe-core" / "axe.min.js"


class Watch:
    """What a page of a browser does, and what it must not do."""

    def __init__(self, page: Any, house: Running) -> None:
        self.page = page
        self._own = urlsplit(house.url).netloc
        self.faults: list[str] = []
        self.weight = 0
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("response", self._response)

    async def open(self, url: str) -> int:
        self.weight = 0
        response = await self.page.goto(url)
        await self.page.wait_for_load_state("load")
        return int(response.status)

    async def fill(self, field: str, text: str) -> None:
        """Types over what a field holds: a busy browser may lose the selection meanwhile, and then types behind it."""
        while True:
            await self.page.fill(field, text)
            if await self.page.input_value(field) == text:
                return

    async def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"a stranger's script ran: {dialog.message}")
        await dialog.dismiss()

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).netloc != self._own and not request.url.startswith("data:"):
            self.faults.append(f"asked {request.url}")

    def _response(self, response: Any) -> None:
        self.weight += int(response.headers.get("content-length", 0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Any]:
    """One browser for all tests of a module."""
    playwright = pytest.importorskip("playwright.async_api")
    program = os.environ.get("TRIVIUM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium here")
    if not AXE.exists():
        pytest.skip("axe is not here: sh assets/install.sh")
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def browsing(chromium: Any, house: Running, user: str | None, **options: Any) -> AsyncIterator[Watch]:
    """A browser of somebody who is signed in: it has nothing in common with those of others."""
    context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "bypass_csp": False, **options})
    watch = Watch(await context.new_page(), house)
    link = await house.gateway.operations.perform("sessions.link", {"user": user})
    await watch.open(f"{house.url}/dashboard/sign-in?link={link['token']}")
    await watch.page.click("button.main")
    await watch.page.wait_for_url(f"{house.url}/")
    yield watch
    await context.close()
