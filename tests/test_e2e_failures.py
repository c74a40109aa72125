"""`docs/failures.md` says what happens when upstreams fail: here it is tried, every row."""

from __future__ import annotations

from pathlib import Path

from support_failures import page

PAGE = Path(__file__).parents[1] / "docs" / "failures.md"


async def test_the_page_is_what_happens() -> None:
    assert PAGE.read_text(encoding="utf-8") == await page()
