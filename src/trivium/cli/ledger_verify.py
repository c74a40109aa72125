"""`trivium ledger verify`: what the auditor says, check by check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, printable, usual_options
from trivium.operations.audit import verify_file


@click.command(name="verify")
@click.option(
    "--database",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this SQLite file, a backup for example, and ask no gateway.",
)
@usual_options
@click.pass_context
def verify_command(ctx: click.Context, database: Path | None, config_file: str | None, as_json: bool) -> None:
    """Check that balances, holds, charges, budgets, usage and prices agree with each other, row by row.

    Changes nothing. The exit status is 1 where something was found.
    """
    report = verify_file(database) if database else ask(config_file, "ledger.verify")
    if as_json:
        echo_json(report)
    else:
        for check in report["checks"]:
            _show(check)
        click.echo(
            f"verify: {len(report['checks'])} checks, {report['entries']:,} entries, {report['records']:,} records,"
            f" {report['findings']:,} findings"
        )
    if report["findings"]:
        ctx.exit(1)


def _show(check: dict[str, Any]) -> None:
    result = f"{check['found']:,} findings" if check["found"] else "ok"
    click.echo(f"{check['check']:<10}{check['counted']:>12,} {check['of']:<12} {result}")
    for finding in check["findings"]:
        click.echo(printable(f"    {finding['where']} {finding['what']}: {_figures(finding)}"))
    if rest := check["found"] - len(check["findings"]):
        click.echo(f"    and {rest:,} more")
    for what in check["unchecked"]:
        click.echo(f"    not checked: {what}")


def _figures(finding: dict[str, Any]) -> str:
    found = "nothing" if finding["found"] is None else finding["found"]
    return f"found {found}" if finding["expected"] is None else f"expected {finding['expected']}, found {found}"
