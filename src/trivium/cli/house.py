"""`trivium settings` and `trivium audit`: what the house decides while it runs, and who changed what."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import APIS, limit_options, organization_option, said, take_limits
from trivium.cli.options import config_option, echo_json, echo_rows, read_json, usual_options, when
from trivium.errors import OperationError

_OWNERS = {"key": "key_limits", "user": "user_limits", "organization": "organization_limits"}
_LIKE = 0.72
"""How like a word a name is that was meant to be it: `keys` and `org` are meant, `gpt-5` is not."""


@click.group()
def settings() -> None:
    """What the house decides while it runs: who may use which API and model, and limits. Takes effect at once."""


@settings.command()
@config_option
def show(config_file: str | None) -> None:
    """Show all of them with their version, as JSON."""
    echo_json(ask(config_file, "settings.show"))


@settings.command(name="set")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--version", "if_version", type=int, help="Refuse where they have another version by now.")
@config_option
def set_(file: Path, if_version: int | None, config_file: str | None) -> None:
    """Replace all of them by those in FILE (JSON, as `show` has them under `settings`; `-` is standard input)."""
    echo_json(ask(config_file, "settings.set", settings=read_json(file), version=if_version))


@settings.command()
@click.argument("name")
@click.option("--open-to", type=click.Choice(["everyone", "admins", "named"]), required=True)
@click.option("--organization", "organizations", multiple=True, help="To whom it is open beside `admins`, or alone.")
@click.option("--user", "users", multiple=True, help="The same.")
@config_option
def gate(name: str, config_file: str | None, **to: Any) -> None:
    """Say to whom NAME is open: an API (chat_completions, responses, messages, embeddings,
    fim), or a model; `*` for many."""
    before = ask(config_file, "settings.show")
    kind = "apis" if name in APIS else "models"
    if kind == "models":
        _check_name(name, APIS, before["settings"][kind])
    gates = before["settings"][kind] | {name: to}
    if to["open_to"] == "everyone":
        del gates[name]
    version = _set(config_file, before, {kind: gates})
    shown = name if kind == "apis" else f"{name} (models)"
    click.echo(f"{shown} is open to {to['open_to']}. The settings have version {version}.")


@settings.command()
@click.argument("of")
@limit_options
@config_option
def limits(of: str, config_file: str | None, **arguments: Any) -> None:
    """Limit OF: each `key`, `user` or `organization` that has no limits of its own, or all calls of a model together.
    What no option says stays as it is."""
    before = ask(config_file, "settings.show")
    if of in _OWNERS:
        limits = take_limits(arguments, before["settings"][_OWNERS[of]])
        _say(of, limits, _set(config_file, before, {_OWNERS[of]: limits} if limits else {}))
        return
    by_model = dict(before["settings"]["limits_by_model"])
    _check_name(of, _OWNERS, by_model)
    limits = take_limits(arguments, by_model.pop(of, {}))
    left = limits is not None and any(value is not None for value in limits.values())
    changed = {"limits_by_model": by_model | ({of: limits} if left else {})} if limits else {}
    _say(f"{of} (models)", limits, _set(config_file, before, changed))


def _check_name(name: str, words: Collection[str], there: Collection[str]) -> None:
    """A model's name may be any, so that a misspelt word would pass for one, and hold for nothing. What is there
    already can be taken back. Raises OperationError."""
    if name in there or "/" in name or "*" in name:
        return
    asked = name.lower().replace("-", "_")
    meant = [word for word in words if word.startswith(asked)] or difflib.get_close_matches(asked, words, 1, _LIKE)
    if meant:
        raise OperationError(
            f"{name!r} is none of {', '.join(words)}. Did you mean {meant[0]!r}? A model of this name is `*/{name}`."
        )


def _set(config_file: str | None, before: dict[str, Any], changed: dict[str, Any]) -> int:
    """The version that the settings have now."""
    if not changed:
        raise OperationError("Say a limit: --requests-per-minute 60, or none to take it away.")
    after = before["settings"] | changed
    version: int = ask(config_file, "settings.set", settings=after, version=before["version"])["version"]
    return version


def _say(of: str, limits: dict[str, Any] | None, version: int) -> None:
    click.echo(f"{of}: {said(limits or {})}. The settings have version {version}.")


@click.command()
@organization_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@usual_options
def audit(organization: str | None, limit: int, config_file: str | None, as_json: bool) -> None:
    """The newest changes: who did what to what. With --json also what it was before, and after."""
    found = every(config_file, "changes.list", limit, organization=organization)
    rows = [
        (row["seq"], when(row["time_ms"]), row["actor"], row["action"], row["organization_id"] or "-", row["target"])
        for row in found
    ]
    echo_rows(found, as_json, ("seq", "time (UTC)", "who", "what", "organization", "of"), rows)
