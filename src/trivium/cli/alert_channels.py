"""`trivium alerts channels`: where alerts go. What it takes to write there is read from a file, a prompt or standard
input, as other programs and the shell's history see what is on the command line."""

from __future__ import annotations

from typing import IO, Any

import click
import msgspec

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_rows, several, typed, usual_options
from trivium.errors import OperationError
from trivium.settings_alerts import RULES, SEVERITIES

_KINDS = click.Choice(("slack", "webhook", "email"))
_SECRETS = ("url", "headers", "password")


_FILE: dict[str, Any] = {"type": click.File(), "metavar": "FILE"}
_settings = several(
    click.option("--password-file", **_FILE, help="The mail server's password is in it; -: standard input."),
    click.option("--login", help="By which the mail server knows the gateway."),
    click.option("--to", multiple=True, help="Who gets the mail."),
    click.option("--sender", help="Whom the mail is from."),
    click.option("--security", type=click.Choice(("starttls", "tls", "none"))),
    click.option("--port", type=click.IntRange(1, 65_535), help="Left out: that of --security."),
    click.option("--host", help="The mail server."),
    click.option("--headers-file", **_FILE, help='What a webhook is sent along, as {"authorization": "..."}.'),
    click.option("--url-file", **_FILE, help="The webhook's URL is in it; -: standard input."),
    click.option("--timeout", type=float, help="Seconds for each step."),
    click.option("--rule", "rules", multiple=True, type=click.Choice(RULES), help="Of what (default: all)."),
    click.option("--severity", "severities", multiple=True, type=click.Choice(SEVERITIES), help="Default: both."),
)


@click.group(invoke_without_command=True)
@usual_options
@click.pass_context
def channels(ctx: click.Context, config_file: str | None, as_json: bool) -> None:
    """Where alerts go, and whether the last one arrived. The commands below take effect at once in a running gateway;
    channels of the configuration file are changed there."""
    if ctx.invoked_subcommand is not None:
        return
    found = ask(config_file, "alerts.channels")
    rows = [
        (
            one["name"],
            one["kind"],
            one["where"],
            ", ".join(one["severities"]),
            "all" if len(one["rules"]) == len(RULES) else ", ".join(one["rules"]),
            "on" if one["enabled"] else "paused",
            "file" if one["source"] == "configuration" else "-",
            one["problem"] or "-",
        )
        for one in found
    ]
    echo_rows(found, as_json, ("channel", "kind", "where", "severities", "rules", "", "of", "problem"), rows)


@channels.command()
@click.argument("kind", type=_KINDS)
@click.argument("name")
@click.option("--paused", is_flag=True, help="It is told nothing yet.")
@_settings
@usual_options
def add(config_file: str | None, as_json: bool, kind: str, paused: bool, **given: Any) -> None:
    """Add a channel. Its URL or password is kept encrypted and never shown again."""
    told = _told(given)
    if kind == "email":
        if "login" in told and "password" not in told:
            told["password"] = typed("Password")
    elif "url" not in told:
        told["url"] = typed("URL")
    _tell(ask(config_file, "alerts.channels.add", kind=kind, enabled=not paused, **told), as_json, "is there")


@channels.command(name="set")
@click.argument("name")
@click.option("--no-headers", is_flag=True, help="Take them away.")
@click.option("--no-login", is_flag=True, help="Take login and password away.")
@_settings
@usual_options
def set_(config_file: str | None, as_json: bool, name: str, no_headers: bool, no_login: bool, **given: Any) -> None:
    """Change the channel NAME. What is left out stays as it is."""
    told = _told(given) | ({"headers": {}} if no_headers else {}) | ({"login": None} if no_login else {})
    _tell(ask(config_file, "alerts.channels.set", channel=name, **told), as_json, "is changed")


@channels.command()
@click.argument("name")
@usual_options
def pause(config_file: str | None, as_json: bool, name: str) -> None:
    """Tell the channel NAME nothing until it is resumed."""
    _tell(ask(config_file, "alerts.channels.set", channel=name, enabled=False), as_json, "is paused")


@channels.command()
@click.argument("name")
@usual_options
def resume(config_file: str | None, as_json: bool, name: str) -> None:
    """Tell the channel NAME again."""
    _tell(ask(config_file, "alerts.channels.set", channel=name, enabled=True), as_json, "is told again")


@channels.command()
@click.argument("name")
@usual_options
def remove(config_file: str | None, as_json: bool, name: str) -> None:
    """Remove the channel NAME, with what is sealed for it."""
    _tell(ask(config_file, "alerts.channels.remove", channel=name), as_json, "is removed")


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the operation: what was given, and nothing else."""
    told = {name: value for name, value in given.items() if value not in (None, ())}
    for name in _SECRETS:
        if (file := told.pop(f"{name}_file", None)) is not None:
            told[name] = _json(file) if name == "headers" else file.read().strip()
    return told


def _json(file: IO[str]) -> Any:
    try:
        return msgspec.json.decode(file.read())
    except ValueError as error:
        raise OperationError(f"The file of headers cannot be read: {error}") from None


def _tell(channel: dict[str, Any], as_json: bool, what: str) -> None:
    echo_json(channel) if as_json else click.echo(f"{channel['name']} ({channel['kind']}, {channel['where']}) {what}.")
