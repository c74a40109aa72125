"""`trivium retention`: what is no longer needed is forgotten. Nothing is, unless `--apply` is given."""

from __future__ import annotations

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, usual_options, when
from trivium.clock import HOUR_MS, age_ms
from trivium.errors import OperationError

_apply_option = click.option("--apply", is_flag=True, help="Do it, rather than say what would be done.")


@click.group(invoke_without_command=True)
@click.option("--keep", help="The age up to which records are kept, such as 90d or 36h.")
@_apply_option
@usual_options
@click.pass_context
def retention(ctx: click.Context, keep: str | None, apply: bool, config_file: str | None, as_json: bool) -> None:
    """Erase records of old requests. Usage by the hour and the ledger stay."""
    if ctx.invoked_subcommand is not None:
        return
    if keep is None:
        raise click.UsageError("Say which records to keep: --keep 90d.")
    try:
        keep_ms = age_ms(keep)
    except ValueError as error:
        raise OperationError(f"{error}.") from None
    if keep_ms < HOUR_MS:
        raise OperationError(f"{keep!r} is too young an age: records of the last hour stay.")
    done = ask(config_file, "retention", keep_ms=keep_ms, apply=apply)
    if as_json:
        echo_json(done)
        return
    what = f"{done['records']} records of {done['requests']} requests before {when(done['before_ms'])} UTC"
    if done["captures"]:
        what += f", and the bodies of {done['captures']} calls"
    click.echo(f"{what} are erased." if apply else f"{what} would be erased. Nothing was: --apply does it.")


@retention.command()
@click.option("--key", help="The id of a key, as `trivium keys list` shows it.")
@click.option("--user", help="The id of a user.")
@_apply_option
@usual_options
def erase(key: str | None, user: str | None, apply: bool, config_file: str | None, as_json: bool) -> None:
    """Make the records of a key or of a user name nobody: no address, program, user or error text, no bodies."""
    done = ask(config_file, "retention.erase", key=key, user=user, apply=apply)
    if as_json:
        echo_json(done)
        return
    what = f"{done['records']} records"
    click.echo(f"{what} name nobody now." if apply else f"{what} would name nobody. Nothing was done: --apply does it.")
    if done["captures"]:
        click.echo(f"The bodies of {done['captures']} calls {'are' if apply else 'would be'} gone.")
    if done["live_keys"]:
        click.echo(f"{done['live_keys']} keys that are not revoked still name the user.")
