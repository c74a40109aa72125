"""Options that several commands share, and how values are shown."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec

from trivium.clock import age_ms, dated, moment_ms
from trivium.errors import OperationError
from trivium.money import usd_text

PPM_PER_PERCENT = 10_000


def several(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options as one decorator; the last of them is the first in a command's help."""

    def put(command: Any) -> Any:
        for option in options:
            command = option(command)
        return command

    return put


config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help="Configuration file (default: $TRIVIUM_CONFIG, ./trivium.toml, $TRIVIUM_DATA/trivium.toml).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
usual_options = several(json_option, config_option)


def echo_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def read_json(file: Path) -> Any:
    """What a file says; `-` is standard input. Raises OperationError."""
    try:
        return msgspec.json.decode(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except (OSError, ValueError) as error:
        raise OperationError(f"{file} cannot be read: {error}") from None


def typed(what: str) -> str:
    """A secret, from a prompt or standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True)).strip()
    return sys.stdin.read().strip()


def when(milliseconds: int | None) -> str:
    """UTC, to the second; empty for None."""
    return "" if milliseconds is None else dated(milliseconds, "%Y-%m-%d %H:%M:%S")


def moment(text: str | None) -> int | None:
    """Milliseconds since the epoch, of a date or an age; None for None. Raises OperationError."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0, int(time.time() * 1000) - age_ms(text))
    try:
        return max(0, moment_ms(text))
    except ValueError:
        raise OperationError(
            f"{text!r} is no time; expected 2026-01-31, 2026-01-31T12:00 or an age like 24h."
        ) from None


def percent(ppm: int) -> str:
    """A markup, which is negative for a discount: `+5 %`."""
    return f"{'+' if ppm > 0 else ''}{usd_text(Decimal(ppm) / PPM_PER_PERCENT)} %"


def echo_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(head), *(len(row[n]) for row in cells), 0) for n, head in enumerate(heads)]
    right = [bool(rows) and all(isinstance(row[n], int) for row in rows) for n in range(len(heads))]
    for line in [list(heads), *cells]:
        shown = (cell.rjust(widths[n]) if right[n] else cell.ljust(widths[n]) for n, cell in enumerate(line))
        click.echo("  ".join(shown).rstrip())


def echo_rows(found: Any, as_json: bool, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """What was found: as it is, or as the rows of a table."""
    if as_json:
        echo_json(found)
    else:
        echo_table(heads, rows)


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Names come from clients and upstreams, and a damaged database can hold anything: what could steer a terminal is
    shown as a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
