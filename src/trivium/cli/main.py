"""`trivium`: the commands, and what they have in common: an error is one line, without a trace."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from trivium import __version__
from trivium.cli import (
    abuse,
    admins,
    alerts,
    backup,
    byok,
    config,
    dev,
    explain,
    free,
    house,
    keys,
    limits,
    login,
    mock,
    models,
    money,
    orgs,
    payments,
    prices,
    reconcile,
    reports,
    retention,
    routes,
    secrets,
    tokens,
    up,
    users,
    wire,
    workers,
)
from trivium.dashboard.words import plainly
from trivium.errors import TriviumError


class Commands(click.Group):
    """A group whose commands end with exit status 1 and one line on standard error when something is wrong."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # of the output, as a rule: whatever reads or keeps it has no room
            click.echo(f"trivium: {error}", err=True)
            _say_no_more()
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TriviumError as error:
            click.echo(f"trivium: {plainly(error.message)}{f' ({error.detail})' if error.detail else ''}", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            _say_no_more()  # whoever read our output (`| head`) has enough
            ctx.exit(1)


def _say_no_more() -> None:
    """What is left of the output goes nowhere; Python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trivium")
def main() -> None:
    """Trivium, an LLM gateway: Chat Completions, Responses and Messages in, any provider out, every token metered."""


main.add_command(up.up)
main.add_command(config.config)
main.add_command(config.reload_)
main.add_command(mock.mock)
main.add_command(users.users)
main.add_command(orgs.orgs)
main.add_command(keys.keys)
main.add_command(limits.limits)
main.add_command(free.free)
main.add_command(byok.byok)
main.add_command(secrets.secrets)
main.add_command(models.models)
main.add_command(explain.explain)
main.add_command(routes.routes)
main.add_command(admins.admins)
main.add_command(login.login_link)
main.add_command(house.settings)
main.add_command(house.audit)
main.add_command(dev.dev)
main.add_command(reports.usage)
main.add_command(reports.requests)
main.add_command(prices.prices)
main.add_command(money.accounts)
main.add_command(money.credits)
main.add_command(money.budgets)
main.add_command(money.ledger)
main.add_command(payments.payments)
main.add_command(reconcile.reconcile)
main.add_command(abuse.abuse)
main.add_command(alerts.alerts)
main.add_command(workers.workers)
main.add_command(retention.retention)
main.add_command(backup.backup)
main.add_command(tokens.tokens)
main.add_command(wire.wire)
