"""`trivium wire`: look at captures with the decoders that meter."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from trivium.canon.api import Api
from trivium.errors import OperationError
from trivium.operations.wire import as_json, as_text, read_capture


@click.group()
def wire() -> None:
    """Read captured answers: bodies, SSE streams, Bedrock event streams."""


@wire.command()
@click.option("--api", required=True, type=click.Choice([api.short for api in Api]))
@click.option("--provider", help="Apply this provider's way of counting tokens (xai, google, mistral, vercel, ...).")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object a file, one a line.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def read(api: str, provider: str | None, json_lines: bool, files: tuple[str, ...]) -> None:
    """What each FILE says: text, tool calls, finish, usage, errors. - is standard input."""
    unread = []
    for name in files:
        try:
            answer = read_capture(_bytes(name), Api.parse(api), provider)
        except OperationError as error:
            unread.append(error.message)
            continue
        click.echo(msgspec.json.encode(as_json(answer)).decode() if json_lines else as_text(answer, name))
    if unread:
        raise OperationError("; ".join(unread))


def _bytes(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise OperationError(f"{name}: {error.strerror}") from None
