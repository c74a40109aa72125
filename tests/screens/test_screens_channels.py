"""A channel of alerts in a real browser: its URL is typed unseen, a test shows the answer, and nobody sees it again."""

from __future__ import annotations

from typing import Any

import pytest

from support_browser import browsing
from support_dashboard import dashboard
from support_hooks import Hook

pytestmark = [pytest.mark.screens, pytest.mark.asyncio(loop_scope="module")]
HERE = '[security]\nallow_http = true\nallow_networks = ["127.0.0.1/32"]\n'


async def test_a_channel_is_added_and_tried_out(chromium: Any) -> None:
    async with Hook(body="thanks") as hook, dashboard(HERE) as house, browsing(chromium, house, None) as watch:
        page = watch.page
        await watch.open(f"{house.url}/dashboard/house/channels")
        await page.click("text=Add a webhook")
        await page.fill("#f-name", "desk")
        assert await page.get_attribute("#f-url", "type") == "password"
        await page.fill("#f-url", hook.url)
        await page.uncheck("input[name=rules][value=slow]")
        await page.click("button.main")
        await page.wait_for_url("**/house/channels")
        row = page.locator("tr", has_text="desk")
        assert "audit, balance, budget, errors, payments, refusal" in await row.inner_text()
        await row.locator("text=Send a test").click()
        await page.click("button.main")
        await page.locator("text=status 200: thanks").wait_for()
        assert hook.bodies[0]["test"] is True
        await watch.open(f"{house.url}/dashboard/house/channels/edit-webhook?id=desk")
        assert await page.input_value("#f-url") == ""
        assert "secret-path" not in await page.content()
        assert watch.faults == []
