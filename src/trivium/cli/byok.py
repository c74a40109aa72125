"""`trivium byok`: upstream keys of users and organizations. A key is read from a file, standard input or a prompt, as
other programs and the shell's history see what is on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_rows, several, typed, usual_options, when
from trivium.errors import OperationError

_PARTS = ("key_file", "session_token_file", "access_key_id")


_owner = several(
    click.option("--user", help="The user whose keys it is about."),
    click.option("--organization", help="The organization whose keys it is about."),
)
_credential = several(
    click.option("--session-token-file", metavar="FILE", help="AWS's session token, in a file."),
    click.option("--access-key-id", help="AWS's access key id; the key is then the secret access key."),
    click.option("--key-file", metavar="FILE", help="Read the key from a file instead of a prompt or standard input."),
)


@click.group()
def byok() -> None:
    """Upstream keys that users and organizations bring along. Takes effect at once in a running gateway."""


@byok.command()
@_owner
@click.option("--vendor", required=True, help="anthropic, openai, google, mistral, bedrock, ... (docs/byok.md).")
@click.option("--name", default="main", show_default=True, help="By which its owner knows it.")
@click.option("--base-url", help="Instead of the vendor's.")
@click.option("--region", help="AWS's region, for bedrock.")
@_credential
@usual_options
def add(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Add a key, behind the others for its vendor. It is kept encrypted and never shown again."""
    credential = _read(given)
    told = {name: value for name, value in given.items() if value is not None}
    _tell(ask(config_file, "byok.add", credential=credential, **told), as_json, "is kept")


@byok.command(name="list")
@_owner
@click.option("--vendor")
@usual_options
def list_(config_file: str | None, as_json: bool, **given: Any) -> None:
    """List an owner's keys in the order in which they are tried."""
    _table(ask(config_file, "byok.list", **given), as_json)


@byok.command(name="set")
@_owner
@click.argument("key")
@click.option("--new-key", is_flag=True, help="Replace the key itself, read as `add` reads it.")
@click.option("--name")
@click.option("--base-url", help="Instead of the vendor's; empty: the vendor's again.")
@click.option("--region")
@click.option("--enable/--disable", "enabled", default=None, help="Whether it is used.")
@_credential
@usual_options
def set_(config_file: str | None, as_json: bool, new_key: bool, **given: Any) -> None:
    """Change KEY, named by its id or its name."""
    if new_key or any(given[name] for name in _PARTS):
        given["credential"] = _read(given)
    told = {name: value for name, value in given.items() if value is not None}
    _tell(ask(config_file, "byok.set", **told), as_json, "is changed")


@byok.command()
@_owner
@click.argument("key")
@usual_options
def remove(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Remove KEY, named by its id or its name."""
    _tell(ask(config_file, "byok.remove", **given), as_json, "is removed")


@byok.command()
@_owner
@click.option("--vendor", required=True)
@click.argument("keys", nargs=-1, required=True)
@usual_options
def order(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Name all KEYS for a vendor in the order in which they are to be tried."""
    _table(ask(config_file, "byok.order", **given), as_json)


def _read(given: dict[str, Any]) -> dict[str, str]:
    """The key with what belongs to it; takes its options out of what was given."""
    key_file, token_file, id = (given.pop(name) for name in _PARTS)
    credential = {"key": _text(key_file) if key_file else typed("Key")}
    if not credential["key"]:
        raise OperationError("There is no key: it is read from --key-file FILE, standard input or a prompt.")
    if id is not None:
        credential["access_key_id"] = id
    if token_file is not None:
        credential["session_token"] = _text(token_file)
    return credential


def _text(file: str) -> str:
    try:
        return Path(file).expanduser().read_text().strip()
    except (OSError, ValueError, RuntimeError) as error:
        raise OperationError(f"The file {file} cannot be read.", detail=getattr(error, "strerror", None)) from None


def _tell(key: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        echo_json(key)
    else:
        owner = key["organization"] or key["user"]
        click.echo(f"{key['id']} ({owner}'s {key['name']} for {key['vendor']}, {_hint(key)}) {what}.")


def _table(keys: list[dict[str, Any]], as_json: bool) -> None:
    rows = [
        (
            key["id"],
            key["vendor"],
            key["position"],
            key["name"],
            _hint(key),
            key["base_url"] or key["region"] or "-",
            "on" if key["enabled"] else "off",
            when(key["created_ms"]),
        )
        for key in keys
    ]
    echo_rows(keys, as_json, ("id", "vendor", "order", "name", "key", "where", "use", "created (UTC)"), rows)


def _hint(key: dict[str, Any]) -> str:
    return f"...{key['hint']}"
