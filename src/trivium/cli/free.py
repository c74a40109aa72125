"""`trivium free`: who uses free models, how much, and how near to the limits."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_table, moment, usual_options, when
from trivium.money import nano_text

_ORDERS = ("requests", "anonymous", "refused", "suspect", "tokens", "worth", "used")
_LIMITS = {
    "per_ip_per_hour": "hour",
    "anonymous_per_ip_per_day": "day, without a key",
    "per_user_per_hour": "hour",
    "per_user_per_day": "day",
}
_HEADS = ("requests", "no key", "refused", "suspect", "input", "output", "worth USD", "of the limits, now")


@click.command()
@click.option("--period", type=click.Choice(["day", "week", "month"]), default="day", show_default=True)
@click.option("--at", help="A time in the day, week or month that is meant: 2026-01-31, or an age such as 7d.")
@click.option("--order", type=click.Choice(_ORDERS), default="requests", show_default=True, help="Most of this first.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@usual_options
def free(  # noqa: PLR0917
    period: str, at: str | None, order: str, limit: int, config_file: str | None, as_json: bool
) -> None:
    """Show who uses free models: by address and by user, over a period and at this moment."""
    asked = {"period": period, "order": "market_cost_nano" if order == "worth" else order, "limit": limit}
    if (at_ms := moment(at)) is not None:
        asked["at_ms"] = at_ms
    told = ask(config_file, "free.use", **asked)
    if as_json:
        echo_json(told)
        return
    click.echo(f"{when(told['since_ms'])} to {when(told['until_ms'])} UTC\n")
    echo_table(("", *_HEADS[:-1]), [("all", *_sums(told["total"]))])
    for name, head in (("addresses", "address"), ("callers", "user or key")):
        click.echo(f"\n{told['how_many'][name]} {name}")
        if told[name]:
            echo_table((head, "", *_HEADS), [_row(one) for one in told[name]])


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    name = (one["name"], one["id"]) if one["kind"] == "address" else (one["id"], one["name"])
    uses = [f"{use['used']} of {use['most']} ({_LIMITS[use['limit']]}){_refusals(use)}" for use in one["windows"]]
    return (*name, *_sums(one), "; ".join(uses) or None)


def _refusals(use: dict[str, Any]) -> str:
    return f", refused {use['refused']} times" if use["refused"] else ""


def _sums(one: dict[str, Any]) -> tuple[object, ...]:
    counts = (one["requests"], one["anonymous"], one["refused"], one["suspect"], one["input_tokens"])
    return (*counts, one["output_tokens"], nano_text(one["market_cost_nano"]))
