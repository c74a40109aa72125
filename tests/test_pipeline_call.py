"""Headers by their names: what is said twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trivium.pipeline.call import by_name


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([(b"accept", b"a"), (b"accept", b"b")], {b"accept": b"b"}),
        ([(b"x-api-key", b"tv-1"), (b"x-api-key", b"sk-2")], {b"x-api-key": b"tv-1\nsk-2"}),
        ([(b"x-api-key", b"tv-1"), (b"x-api-key", b" ")], {b"x-api-key": b"tv-1"}),
        (
            [(b"cache-control", b"no-store"), (b"cache-control", b"max-age=0")],
            {b"cache-control": b"no-store, max-age=0"},
        ),
        (
            [(b"anthropic-beta", b"a-2026"), (b"anthropic-beta", b""), (b"anthropic-beta", b"b-2026,c-2026")],
            {b"anthropic-beta": b"a-2026, b-2026,c-2026"},
        ),
        (
            [(b"x-trivium-fallbacks", b"up/small"), (b"x-trivium-fallbacks", b"up/other")],
            {b"x-trivium-fallbacks": b"up/small, up/other"},
        ),
    ],
)
def test_the_last_counts_save_where_all_do(headers: list[tuple[bytes, bytes]], found: dict[bytes, bytes]) -> None:
    assert by_name(headers) == found


def test_the_pages_name_each_header_of_ours_that_calls_have_and_answers_tell() -> None:
    root = Path(__file__).parents[1]
    pages = "".join(page.read_text(encoding="utf-8") for page in (root / "README.md", *(root / "docs").glob("*.md")))
    packages = ("pipeline", "policy", "providers", "routing", "wire")
    code = "".join(
        file.read_text(encoding="utf-8") for name in packages for file in (root / "src/trivium" / name).rglob("*.py")
    )
    headers = set(re.findall(r"x-trivium-[a-z]+(?:-[a-z]+)*", code))
    assert len(headers) > 10
    assert sorted(header for header in headers if f"`{header}" not in pages) == []
