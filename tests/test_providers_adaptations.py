"""The names of what is done to requests, in the table for people too."""

from __future__ import annotations

import re
from pathlib import Path

from trivium.providers.adaptations import BESIDE, WHAT
from trivium.providers.rules import RULES


def test_the_page_has_the_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "adaptations.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|$", page, re.MULTILINE)) == BESIDE


def test_no_name_means_two_things_and_all_of_them_fit_into_a_record() -> None:
    assert len(WHAT) == len(RULES) + len(BESIDE)
    assert all(re.fullmatch("[a-z-]{2,24}", name) for name in WHAT)
    assert len(" ".join(WHAT)) < 1000
