"""Options that say what keys, organizations and the house allow, and how that is shown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from trivium.canon.api import KINDS
from trivium.cli.options import echo_table, several, when
from trivium.clock import age_ms, moment_ms
from trivium.errors import OperationError

APIS = tuple(kind.value for kind in KINDS)
LIMITS = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "concurrent_requests")
_SCOPES = ("apis", "models", "networks")

organization_option = click.option("--organization", help="The organization's id.")
user_option = click.option("--user", help="The user's id.")


limit_options = several(
    *(
        click.option(f"--{name.replace('_', '-')}", name, metavar="N", help="A number, or none.")
        for name in reversed(LIMITS)
    )
)
"""An option for each limit: a number, or `none` to take it away. Arguments as in `LIMITS`."""
scope_options = several(
    click.option("--network", "networks", multiple=True, help="An address or network (CIDR) to be used from."),
    click.option("--model", "models", multiple=True, help="A model that it is good for; `*` for many."),
    click.option("--api", "apis", multiple=True, type=click.Choice(APIS), help="An API that it is good for."),
)
"""What a key is good for: `apis`, `models`, `networks`, each as often as is wanted."""


def taken(arguments: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Takes what was given of these out of the arguments."""
    found = {name: arguments.pop(name) for name in names}
    return {name: value for name, value in found.items() if value not in (None, ())}


def take_limits(arguments: dict[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The limits that the arguments make of those before; None where they say nothing. Raises OperationError."""
    said = taken(arguments, LIMITS)
    return {**(before or {}), **{name: _number(value) for name, value in said.items()}} if said else None


def take_scopes(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The scopes that the arguments say; None where they say nothing."""
    return taken(arguments, _SCOPES) or None


def take_budget(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Raises OperationError for half of a budget."""
    usd, period = arguments.pop("budget"), arguments.pop("period")
    if (usd is None) != (period is None):
        raise OperationError("A budget has an amount and a period: --budget 5 --period day.")
    return {"usd": usd, "period": period} if usd is not None else None


def ahead(text: str | None) -> int | None:
    """Milliseconds since the epoch, of a date (its end), a moment, or how long from now. Raises OperationError."""
    if text is None:
        return None
    try:
        return int(time.time() * 1000) + age_ms(text)
    except ValueError:
        pass
    try:
        return moment_ms(text, end_of_day=True)
    except ValueError:
        raise OperationError(f"{text!r} is no time; expected 2026-12-31, 2026-12-31T12:00 or 90d, 12h.") from None


def said(told: Mapping[str, Any]) -> str:
    """What of limits, scopes or policies is not left open, in a line."""
    words = []
    for name, value in told.items():
        shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        if shown is not None and shown is not False and shown != "":
            words.append(f"{name}={shown}")
    return " ".join(words) or "-"


def show_fields(told: Mapping[str, Any]) -> None:
    """A field a line, those that have a value; moments in UTC."""
    rows = [
        (name.removesuffix("_ms"), f"{when(value)} UTC" if name.endswith("_ms") else value)
        for name, value in told.items()
        if value is not None
    ]
    echo_table(("field", "value"), rows)


def _number(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise OperationError(f"{text!r} is no limit; expected a number, or none.")
    return int(text)
