"""`trivium models`: the catalogue and where it is known from, and models of organizations that are not the house's. A
key is read from a file or standard input, as other programs and the shell's history see what is on the command line."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from trivium.canon.api import KINDS
from trivium.cli.ask import ask, every
from trivium.cli.options import echo_json, echo_rows, several, usual_options, when
from trivium.errors import OperationError

_organization = click.option("--organization", required=True, help="Whose model it is.")
_APIS = click.Choice([kind.short for kind in KINDS])


_settings = several(
    click.option("--retains/--retains-nothing", "retains_data", default=None, help="Whether it may keep anything."),
    click.option("--collects/--collects-nothing", "collects_data", default=None, help="Whether it may learn."),
    click.option("--exclude-tool", "exclude_tools", multiple=True, help="A tool that it is not given."),
    click.option("--include-tool", "include_tools", multiple=True, help="It is given these tools alone."),
    click.option("--extra-body", metavar="JSON", help="Members of every request."),
    click.option("--output-limit", type=int, help="The most tokens of an answer."),
    click.option("--context", type=int, help="Tokens."),
    click.option("--auth", type=click.Choice(("bearer", "x-api-key")), help="Where the key goes."),
    click.option("--display-name"),
    click.option("--model", help="The server's own id of it, where that is another."),
    click.option("--api", "apis", multiple=True, type=_APIS, help="One that the server speaks (default: chat)."),
    click.option(
        "--key-file",
        type=click.File(),
        metavar="FILE",
        help="The server's key is in it; -: standard input.",
    ),
)


@click.group()
def models() -> None:
    """The catalogue, and models on servers of organizations. Takes effect at once in a running gateway."""


@models.command()
@click.option("--provider", help="Only names that may lead to this one.")
@usual_options
def catalog(config_file: str | None, as_json: bool, provider: str | None) -> None:
    """List every name of the house's models, and where it leads."""
    found = every(config_file, "catalog.models", provider=provider)
    rows = [
        (
            one["id"],
            ", ".join(one["routes"]),
            "free" if one["free"] else "",
            one["context"] or "",
            one["output_limit"] or "",
            ",".join(one["takes"]),
        )
        for one in found
    ]
    echo_rows(found, as_json, ("name", "routes", "", "context", "output", "takes"), rows)


@models.command()
@usual_options
def sources(config_file: str | None, as_json: bool) -> None:
    """Show where each provider's models are known from, since when, and why the last try failed."""
    _echo_sources(ask(config_file, "catalog.sources"), as_json)


@models.command()
@click.argument("provider", required=False)
@click.option("--force", is_flag=True, help="Take a list however short it is.")
@usual_options
def refresh(config_file: str | None, as_json: bool, provider: str | None, force: bool) -> None:
    """Ask PROVIDER for its models now; without one, all that are asked at all."""
    _echo_sources(ask(config_file, "catalog.refresh", provider=provider, force=force), as_json)


def _echo_sources(found: list[dict[str, Any]], as_json: bool) -> None:
    rows = [
        (
            one["provider"],
            one["origin"],
            one["models"],
            when(one["learned_ms"]) or "-",
            when(one["confirmed_ms"]) or "-",
            one["problem"] or "",
        )
        for one in found
    ]
    echo_rows(found, as_json, ("provider", "from", "models", "learned (UTC)", "confirmed (UTC)", "problem"), rows)


@models.command()
@_organization
@click.argument("name")
@click.option("--base-url", required=True, help="https://HOST[:PORT][/PATH]; the API's path is appended.")
@_settings
@usual_options
def add(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Add a model, by the NAME that callers ask for."""
    _tell(ask(config_file, "models.add", **_told(given)), as_json, "is there")


@models.command(name="list")
@_organization
@usual_options
def list_(config_file: str | None, as_json: bool, organization: str) -> None:
    """List an organization's models."""
    found = ask(config_file, "models.list", organization=organization)
    rows = [
        (
            model["name"],
            model["model"] or model["name"],
            model["base_url"],
            ",".join(model["apis"]),
            "-" if model["hint"] is None else f"...{model['hint']}",
            ",".join(model["organizations"]) or "-",
            when(model["created_ms"]),
        )
        for model in found
    ]
    echo_rows(found, as_json, ("name", "model", "where", "APIs", "key", "shown to", "created (UTC)"), rows)


@models.command(name="set")
@_organization
@click.argument("name")
@click.option("--base-url")
@click.option("--no-key", is_flag=True, help="Take its key away.")
@_settings
@usual_options
def set_(config_file: str | None, as_json: bool, no_key: bool, **given: Any) -> None:
    """Change the model NAME. What is left out stays as it is."""
    told = _told(given) | ({"key": None} if no_key else {})
    _tell(ask(config_file, "models.set", **told), as_json, "is changed")


@models.command()
@_organization
@click.argument("name")
@click.option("--with", "organizations", multiple=True, help="An organization whose callers see it; none: no other.")
@usual_options
def share(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Show the model NAME to callers of other organizations, whose prompts then go to its server."""
    _tell(ask(config_file, "models.share", **given), as_json, "is shared")


@models.command()
@_organization
@click.argument("name")
@usual_options
def remove(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Remove the model NAME, with its key."""
    _tell(ask(config_file, "models.remove", **given), as_json, "is removed")


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the operation: what was given, and nothing else."""
    told = {name: value for name, value in given.items() if value not in (None, ())}
    if key_file := told.pop("key_file", None):
        told["key"] = key_file.read().strip()
    if "extra_body" in told:
        try:
            told["extra_body"] = msgspec.json.decode(told["extra_body"], type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise OperationError(f"--extra-body must be a JSON object: {error}") from None
    return told


def _tell(model: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        echo_json(model)
    else:
        shown = f", shown to {', '.join(model['organizations'])} too" if model["organizations"] else ""
        click.echo(f"{model['name']} of {model['organization']}, at {model['base_url']}{shown}, {what}.")
