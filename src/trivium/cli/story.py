"""One request on a terminal: the record a field a line, then each part of its story that there is."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.options import echo_table, when

_SAID_BELOW = ("losses", "routing", "rules")


def show_story(story: dict[str, Any]) -> None:
    row = story["request"]
    shown = {"time": f"{when(row['time_ms'])} UTC", **row, **_names(story["who"])}
    rows = [(name, value) for name, value in shown.items() if value not in (None, "") and name not in _SAID_BELOW]
    echo_table(("field", "value"), [*rows, *(("lost", f"{one['field']}: {one['why']}") for one in story["losses"])])
    for heads, lines in _parts(story):
        if lines:
            click.echo()
            echo_table(heads, lines)


def _names(who: dict[str, Any]) -> dict[str, str]:
    named = {what: who[what] for what in ("key", "user", "organization", "project", "account")}
    return {what: one["name"] for what, one in named.items() if one and one["name"]}


def _parts(story: dict[str, Any]) -> list[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """(heads, lines) of each table. The amounts of the receipt add up to its last one, exactly."""
    route = story["route"] or {"why": None, "refused": [], "rested": []}
    attempts = story["attempts"] or []
    hold = story["hold"]
    held = [(hold["usd"], "ended" if hold["ended"] else "open", len(hold["budgets"]))] if hold else []
    kept = story["captured"] or {}
    bodies = [
        (part, kept[part]["bytes"], kept[part]["kept"]) for part in ("request", "sent", "answer") if kept.get(part)
    ]
    return [
        (("rule", "what it did"), [(one["name"], one["what"]) for one in story["rules"]]),
        (("taken", "since"), [(attempts[-1]["route"], route["why"])] if attempts and route["why"] else []),
        (("not taken", "since"), [(one["route"], one["why"]) for one in route["refused"]]),
        (("behind", "since"), [(one["route"], one["why"]) for one in route["rested"]]),
        (
            ("attempt", "status", "error", "ms"),
            [(one["route"], one["status"], one["code"], one["ms"]) for one in attempts],
        ),
        (("when", "ms"), [(one["what"].replace("_", " "), f"{one['at_ms']:.1f}") for one in story["timeline"]]),
        (("hold USD", "is", "budgets"), held),
        (
            ("entry", "kind", "USD", "time (UTC)"),
            [(one["seq"], one["kind"], one["usd"], when(one["time_ms"])) for one in story["entries"]],
        ),
        (("body (--bodies)", "bytes", "kept"), bodies),
        (
            ("receipt", "units", "USD per million", "USD"),
            [(row["what"], row["units"], row["usd_per_million"], row["usd"]) for row in story["receipt"]],
        ),
    ]


def show_bodies(told: dict[str, Any]) -> None:
    """Each under its name. Letters that steer a terminal are written out."""
    for one in told["parts"]:
        cut = f", of which {one['kept']} are kept" if one["cut"] else ""
        click.echo(f"\n--- {one['part']}: {one['bytes']} bytes{cut}\n")
        click.echo(
            "".join(
                letter if letter in "\n\t" or letter.isprintable() else repr(letter)[1:-1] for letter in one["text"]
            )
        )
    if told["sent_as_it_came"]:
        click.echo("\n--- sent: as it came")
