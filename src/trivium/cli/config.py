"""`trivium config` and `trivium reload`: is the configuration right, and does the running gateway follow it."""

from __future__ import annotations

import os
from typing import Any

import click

from trivium.cli.ask import ask_running, settings_and_folder
from trivium.cli.options import config_option, echo_json, usual_options, when
from trivium.config import data_folder
from trivium.errors import ConfigError, OperationError
from trivium.server import control
from trivium.server.parts import check_whole
from trivium.settings import Settings


@click.group()
def config() -> None:
    """The configuration file."""


@config.command()
@config_option
def check(config_file: str | None) -> None:
    """Say whether a gateway would start with it, without starting one. Secrets are looked up, nobody is called."""
    settings, folder = settings_and_folder(config_file)
    providers, told = check_whole(settings, folder, os.environ)
    for warning in told:
        click.echo(f"warning: {warning}", err=True)
    file = settings.source.name if settings.source else "no file"
    click.echo(f"{file}: right; providers: {', '.join(providers) or 'none'}")


@config.command()
@usual_options
def show(config_file: str | None, as_json: bool) -> None:
    """Say which file the running gateway follows, and what became of it the last time that it was read."""
    told = _ask(config_file, "config.show")
    if as_json:
        echo_json(told)
        return
    last, loaded = told["last"], told["loaded"]
    click.echo(f"file: {told['file'] or 'none'}")
    click.echo(f"taken: {when(loaded['at_ms'])} UTC ({loaded['trigger']})")
    if loaded["needs_restart"]:
        click.echo(f"needs a restart: {', '.join(loaded['needs_restart'])}")
    if not last["applied"]:
        click.echo(f"not taken: {when(last['at_ms'])} UTC ({last['trigger']}): {last['problem']}")


@click.command(name="reload")
@usual_options
def reload_(config_file: str | None, as_json: bool) -> None:
    """Have the running gateway read its configuration file again, and files with secrets with it."""
    told = _ask(config_file, "config.reload")
    if as_json:
        echo_json(told)
        return
    click.echo(f"changed: {', '.join(told['changed']) or 'nothing'}")
    if told["needs_restart"]:
        click.echo(f"needs a restart: {', '.join(told['needs_restart'])}")


_NOBODY = "No gateway runs here; it reads its configuration when it starts. `trivium config check` says whether it can."


def _ask(config_file: str | None, operation: str) -> Any:
    """The running gateway's answer; where the file is no TOML any more, of the one in the usual folder. Raises
    ConfigError, OperationError."""
    try:
        try:
            return ask_running(config_file, operation)
        except ConfigError:
            return control.ask(data_folder(Settings(), os.environ), operation, {})
    except ConnectionError:
        settings_and_folder(config_file)
        raise OperationError(_NOBODY) from None
