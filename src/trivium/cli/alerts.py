"""`trivium alerts`: which providers refuse the running gateway; what operators are alerted about, and where."""

from __future__ import annotations

from pathlib import Path

import click

from trivium.cli.alert_channels import channels
from trivium.cli.ask import ask, ask_running, every
from trivium.cli.options import config_option, echo_json, echo_rows, echo_table, read_json, usual_options, when
from trivium.errors import OperationError


@click.group(invoke_without_command=True)
@usual_options
@click.pass_context
def alerts(ctx: click.Context, config_file: str | None, as_json: bool) -> None:
    """Providers that refuse the gateway's own key or account: wrong, without rights, or out of credit. The commands
    below are about alerts that are sent."""
    if ctx.invoked_subcommand is not None:
        return
    try:
        found = ask_running(config_file, "alerts.show")
    except ConnectionError:
        raise OperationError("No gateway runs here, and only a running one knows.") from None
    if as_json:
        echo_json(found)
    elif not found:
        click.echo("No provider refuses this gateway's account.")
    else:
        rows = [
            (
                one["provider"],
                one["status"],
                one["calls"],
                when(one["since_ms"]),
                when(one["last_ms"]),
                one["message"],
            )
            for one in found
        ]
        echo_table(("provider", "status", "calls", "since (UTC)", "last (UTC)", "what it says"), rows)


@alerts.group()
def rules() -> None:
    """What alerts are about. Changes hold from the next minute on."""


@rules.command()
@config_option
def show(config_file: str | None) -> None:
    """Show the rules with their version, as JSON."""
    echo_json(ask(config_file, "alerts.rules.show"))


@rules.command(name="set")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--version", "if_version", type=int, help="Refuse where they have another version by now.")
@config_option
def set_(file: Path, if_version: int | None, config_file: str | None) -> None:
    """Replace the rules by those in FILE (JSON, as `show` has them under `settings`; `-` is standard input)."""
    echo_json(ask(config_file, "alerts.rules.set", settings=read_json(file), version=if_version))


@alerts.command()
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 90), help="How far back.")
@click.option("--apply", is_flag=True, help="Take the suggestions into the rules; other models keep theirs.")
@usual_options
def baseline(days: int, apply: bool, config_file: str | None, as_json: bool) -> None:
    """What the past suggests, by model: an objective that was kept, and from when on a first token is slow."""
    found = ask(config_file, "alerts.baseline", days=days)
    if apply:
        version = ask(config_file, "alerts.baseline.take", days=days)["version"]
        click.echo(f"The rules have version {version}.", err=True)
    names = ("model", "calls", "errors", "first_token_ms", "objective", "slow_ms")
    rows = [tuple("-" if one[name] is None else one[name] for name in names) for one in found]
    echo_rows(found, as_json, ("model", "calls", "errors", "p99 first token (ms)", "objective", "slow from (ms)"), rows)


@alerts.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@usual_options
def notices(limit: int, config_file: str | None, as_json: bool) -> None:
    """What was told, the newest first."""
    found = every(config_file, "alerts.notices", limit)
    rows = [(when(one["time_ms"]), one["severity"], one["title"], ", ".join(one["channels"])) for one in found]
    echo_rows(found, as_json, ("time (UTC)", "severity", "what", "told to"), rows)


alerts.add_command(channels)


@alerts.command()
@click.argument("channel", required=False)
@usual_options
@click.pass_context
def test(ctx: click.Context, channel: str | None, config_file: str | None, as_json: bool) -> None:
    """Send a test through CHANNEL, or through all that are not paused, and tell what was answered. The exit status is 1
    where one did not arrive."""
    found = ask(config_file, "alerts.test", channel=channel)
    if not found:
        raise OperationError("There is no channel: `trivium alerts channels add` makes one.")
    rows = [(one["channel"], one["answer"], one["problem"] or "-") for one in found]
    echo_rows(found, as_json, ("channel", "answer", "problem"), rows)
    if any(one["problem"] for one in found):
        ctx.exit(1)
