"""Figures as text: spreads, Markdown tables that also read well on a terminal, and the generated parts of a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """Several measurements of one figure."""

    middle: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        if self.lowest == self.highest:
            return shown(self.middle)
        return f"{shown(self.middle)} ({shown(self.lowest)}-{shown(self.highest)})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def shown(value: float) -> str:
    """Three digits, or all before the point: 0.0123, 1.23, 12.3, 123, 12,345."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    digits = 2
    while abs(value) * 10 ** (digits - 2) < 1 and digits < 6:
        digits += 1
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, its columns padded."""
    widths = [max(3, *(len(row[n]) for row in (header, *rows))) for n in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (header, *rows)
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]) + "\n"


def begin(name: str) -> str:
    return f"<!-- {name}: begin. What follows is written by make; change the program, not the text -->"


def end(name: str) -> str:
    return f"<!-- {name}: end -->"


def put_between(page: str, name: str, part: str) -> str:
    """The page with the part between its marks. Raises ValueError where it does not have them, once and in order."""
    first, last = begin(name), end(name)
    if page.count(first) != 1 or page.count(last) != 1 or page.index(first) > page.index(last):
        raise ValueError(f"the page does not have both marks of {name}, once and in order")
    before, after = page[: page.index(first)], page[page.index(last) :]
    return f"{before}{first}\n\n{part.strip()}\n\n{after}"
