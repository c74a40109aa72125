"""`trivium wire`: look at captures with the decoders that meter, translate them as the gateway does."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from trivium.canon.api import Api
from trivium.errors import OperationError
from trivium.operations.translate import translate_request, translate_response, translate_stream
from trivium.operations.wire import as_json, as_text, is_known, read_capture

_APIS = click.Choice([api.short for api in Api])
_KINDS = {"request": translate_request, "response": translate_response, "stream": translate_stream}


@click.group()
def wire() -> None:
    """Read and translate what clients and upstreams say."""


@wire.command()
@click.option("--api", required=True, type=_APIS)
@click.option("--provider", help="Apply this provider's way of counting tokens (xai, google, mistral, vercel, ...).")
@click.option("--json", "json_lines", is_flag=True, help="One JSON object a file, one a line.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def read(api: str, provider: str | None, json_lines: bool, files: tuple[str, ...]) -> None:
    """What each FILE says: text, tool calls, finish, usage, errors. - is standard input."""
    if provider is not None and not is_known(provider):
        click.echo(f"No provider is known as {provider!r}; tokens are counted as the API's owner does.", err=True)
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


@wire.command()
@click.option("--from", "source", required=True, type=_APIS, help="The API of FILE.")
@click.option("--to", "target", required=True, type=_APIS, help="The API to say it in.")
@click.option("--request", "kind", flag_value="request", help="FILE is what a client sent.")
@click.option("--response", "kind", flag_value="response", help="FILE is a whole answer, or an error, of an upstream.")
@click.option("--stream", "kind", flag_value="stream", help="FILE is a stream of an upstream.")
@click.option("--model", help="The upstream's model; by default the one that FILE names.")
@click.option(
    "--provider", help="The upstream: what it takes, how it counts (openai, anthropic, openrouter, xai, ...)."
)
@click.argument("file", metavar="FILE")
def translate(source: str, target: str, kind: str | None, model: str | None, provider: str | None, file: str) -> None:  # noqa: PLR0917
    """FILE in another API on standard output, what is lost as lines of JSON on standard error. - is standard input."""
    if kind is None:
        raise click.UsageError("Say what FILE is: --request, --response or --stream.")
    told = _KINDS[kind](_bytes(file), Api.parse(source), Api.parse(target), model=model, provider=provider)
    sys.stdout.buffer.write(told.body)
    for loss in told.losses:
        click.echo(msgspec.json.encode(loss).decode(), err=True)


def _bytes(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise OperationError(f"{name}: {error.strerror}") from None
