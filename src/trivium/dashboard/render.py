"""Templates, and how values look on a page. Everything is escaped unless a template says otherwise, and none does."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from trivium import __version__
from trivium.clock import dated
from trivium.dashboard.guard import UNKEPT, host
from trivium.dashboard.menu import is_over, menu
from trivium.dashboard.words import words

HERE = Path(__file__).parent
STATIC = HERE / "static"
VENDOR = STATIC / "vendor"
_NANO = 10**9
_KEPT = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Of what has no look of its own: lines, and what letters and emoji are joined by."""
NOTHING = "\N{EN DASH}"
"""Where there is no value."""
_MOST_JSON = 40_000
_WRITES = ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_other_tokens")
_INPUT = ("input_uncached_tokens", "cache_read_tokens", *_WRITES)
_UNITS = ("", "k", "M", "G", "T")


def plain(value: Any) -> str:
    """A stranger's text, with what nobody sees made visible: names must not rearrange a page, nor look like others."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in _KEPT else _seen(letter) for letter in text)


def _seen(letter: str) -> str:
    """Blanks of other widths stay blanks."""
    return letter if unicodedata.category(letter) == "Zs" else f"\\u{ord(letter):04x}"


def brief(value: Any, most: int = 300) -> str:
    """Any value in a line that does not fill a page."""
    text = told(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def usd(nano: int | None, digits: int | None = None) -> str:
    """Nanodollars; small amounts keep the digits that tell something."""
    if nano is None:
        return NOTHING
    amount = nano / _NANO
    if digits is None:
        digits = 2 if nano == 0 or abs(amount) >= 1 else 4 if abs(amount) >= 0.001 else 6
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{digits}f}"


def is_amount(name: str) -> bool:
    """Whether a member of this name is an amount of USD as text, as operations tell it."""
    return name == "usd" or name.endswith("_usd")


def dollars(value: Any) -> str:
    """An amount of USD as text; whatever is none, as it is."""
    try:
        return usd(round(Decimal(value) * _NANO))
    except (ArithmeticError, TypeError, ValueError):
        return told(value)


def number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def short(value: float | None) -> str:
    """1234567 -> 1.23M."""
    if value is None:
        return NOTHING
    unit = 0
    while abs(value) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g}{_UNITS[unit]}" if unit else f"{value:g}"


def input_of(row: Mapping[str, Any]) -> int:
    """All tokens that went into a call, those that caches gave and took too."""
    return sum(row[name] for name in _INPUT)


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def seconds(ms: float | None) -> str:
    if ms is None:
        return NOTHING
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def moment(ms: int | None) -> str:
    """UTC."""
    return NOTHING if ms is None else dated(ms, "%Y-%m-%d %H:%M:%S")


def iso(ms: int) -> str:
    return dated(ms, "%Y-%m-%dT%H:%M:%SZ")


def told(value: Any) -> str:
    """Any value in a line."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ", ".join(map(plain, value))
    if isinstance(value, dict):
        if value.keys() == {"id", "name"}:
            return plain(f"{value['name']} ({value['id']})" if value["name"] else value["id"])
        said = ((name, _member(name, one)) for name, one in value.items())
        return ", ".join(f"{words(name)}: {one}" for name, one in said if one != NOTHING) or NOTHING
    return plain(value)


def _member(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("_ms"):
        return moment(value)
    if is_amount(name):
        return dollars(value)
    return usd(value) if isinstance(value, int) and name.endswith("_nano") else told(value)


def pretty(value: Any) -> str:
    """As JSON, as much of it as a page holds."""
    text = plain(json.dumps(value, indent=2, ensure_ascii=False))
    return text if len(text) <= _MOST_JSON else f"{text[:_MOST_JSON]}\n… ({len(text):,} characters)"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (plain, usd, dollars, number, short, share, seconds, moment, iso, told, brief, words, pretty, input_of)
    made.filters.update({one.__name__: one for one in filters})
    made.globals.update(version=__version__, vendor=vendor(), menu=menu, is_over=is_over, is_amount=is_amount)
    return made


def vendor() -> frozenset[str]:
    """The files of other people that are there (`make assets`). Pages do without those that are not."""
    return frozenset(path.name for path in VENDOR.iterdir()) if VENDOR.is_dir() else frozenset()


def page(request: web.Request, template: str, *, status: int = 200, visitor: Any = None, **values: Any) -> web.Response:
    always = {"visitor": visitor, "host": host(request), "path": request.path, "space": None}
    text = environment().get_template(template).render({**always, **values})
    return web.Response(text=text, status=status, content_type="text/html", headers=UNKEPT)
