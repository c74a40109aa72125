"""Pictures of figures, as SVG: bars of several measures side by side, and curves over a logarithmic axis.

They have a background of their own, so that they read on light pages and dark ones, and no fonts but the viewer's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from tables import shown

_INK, _FAINT, _PAPER = "#1f2933", "#cbd2d9", "#ffffff"
_OURS, _THEIRS = "#c2410c", "#7b8794"
_COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce")
_ROW, _PANEL, _GAP = 22, 250, 30
_LABELS = 250
_ROOM = 62
"""Between two words below an axis, at least."""


class Curve(NamedTuple):
    label: str
    points: Sequence[tuple[float, float]]


class Chart(NamedTuple):
    title: str
    curves: Sequence[Curve]
    unit: str


def bars(panels: Mapping[str, Mapping[str, float]], ours: str) -> str:
    """A panel for each measure, a bar for each who has a figure, on a logarithmic scale; `ours` stands out."""
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    height = 46 + len(names) * _ROW
    width = _LABELS + len(panels) * (_PANEL + _GAP)
    parts = [_text(_LABELS - 8, 44 + n * _ROW, name, anchor="end", bold=name == ours) for n, name in enumerate(names)]
    for number, (title, panel) in enumerate(panels.items()):
        left = _LABELS + number * (_PANEL + _GAP)
        parts.append(_text(left, 20, title, bold=True))
        low = min(panel.values(), default=1) / 2
        decades = max(math.log10(max(panel.values(), default=1) / low), 0.1)
        for n, name in enumerate(names):
            if name not in panel:
                parts.append(_text(left, 44 + n * _ROW, "-"))
                continue
            long = math.log10(panel[name] / low) / decades * (_PANEL - 60)
            colour = _OURS if name == ours else _THEIRS
            parts.append(f'<rect x="{left}" y="{32 + n * _ROW}" width="{long:.1f}" height="15" fill="{colour}"/>')
            parts.append(_text(left + long + 5, 44 + n * _ROW, shown(panel[name])))
    return _picture(width, height, parts)


def curves(charts: Sequence[Chart]) -> str:
    """A chart below the other; the upright axis begins at zero, the other is logarithmic and has a place for zero."""
    width, high = 640, 210
    parts = [part for number, chart in enumerate(charts) for part in _chart(chart, number * high, width)]
    return _picture(width, high * len(charts) + 10, parts)


def _chart(chart: Chart, top: int, width: int) -> list[str]:
    left, right, above, below = 60, width - 20, top + 54, top + 180
    points = [point for curve in chart.curves for point in curve.points]
    places = sorted({x for x, _ in points})
    most = max(y for _, y in points) * 1.15 or 1
    first, last = _place(places[0], places), _place(places[-1], places)
    parts = [_text(left, top + 20, chart.title, bold=True), _line(left, below, right, below, _INK)]
    for share in (0.25, 0.5, 0.75, 1):
        y = below - share * (below - above)
        parts += [_line(left, y, right, y, _FAINT), _text(left - 6, y + 4, shown(most * share), anchor="end")]

    def at(x: float, y: float) -> tuple[float, float]:
        along = (_place(x, places) - first) / ((last - first) or 1)
        return left + 20 + along * (right - left - 60), below - y / most * (below - above)

    free = -math.inf
    for x in places:
        if at(x, 0)[0] >= free:
            parts.append(_text(at(x, 0)[0], below + 15, f"{x:,.0f}", anchor="middle"))
            free = at(x, 0)[0] + _ROOM
    for number, curve in enumerate(chart.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in curve.points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (at(*p) for p in curve.points)
        ]
        parts.append(_text(left + number * 220, top + 40, f"{curve.label}, {chart.unit}", colour=colour))
    return parts


def _place(x: float, places: Sequence[float]) -> float:
    """Zero stands a decade before the first that is not."""
    if x > 0:
        return math.log10(x)
    return min((math.log10(other) for other in places if other > 0), default=1) - 1


def _line(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False, colour: str = _INK) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def _picture(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    paper = f'<rect width="{width}" height="{height}" fill="{_PAPER}"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', paper, *parts, "</svg>"]) + "\n"
