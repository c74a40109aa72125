"""`trivium backup`: a copy of the store while the gateway runs or not, and a look at such a copy."""

from __future__ import annotations

from pathlib import Path

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_table, usual_options
from trivium.store.backup import check


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Look at FILE, a copy made before, instead of making one.")
@usual_options
def backup(file: Path, only_check: bool, config_file: str | None, as_json: bool) -> None:
    """Copy the whole store to FILE, which must not be there yet. Keep `pepper` and `secrets.key` of the data folder
    too, and elsewhere: a copy with both is the store."""
    if only_check:
        found = check(file)
        if as_json:
            echo_json(found)
            return
        click.echo(f"{file} is sound, schema {found['schema']}.")
        echo_table(("table", "rows"), list(found["rows"].items()))
        return
    made = ask(config_file, "backup", file=str(file.absolute()))
    if as_json:
        echo_json(made)
    else:
        click.echo(
            f"{made['file']}: {made['bytes']} bytes. Keep `pepper` and `secrets.key` of the data folder too, elsewhere."
        )
