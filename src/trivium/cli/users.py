"""`trivium users`: people with keys of their own, while the gateway runs or not."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import limit_options, said, show_fields, take_limits
from trivium.cli.options import echo_json, echo_rows, echo_table, usual_options, when


@click.group()
def users() -> None:
    """Users: made, changed, blocked. Takes effect at once in a running gateway."""


@users.command()
@click.option("--name", required=True)
@click.option("--id", "id_", help="Letters, digits and ._@-; made up where none is given.")
@click.option("--email")
@click.option("--staff", is_flag=True, help="Works for the house: gates that are open to `admins` are open.")
@limit_options
@usual_options
def create(id_: str | None, config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Make a user, with an account of the same id. Keys are made with `trivium keys create --user ID`."""
    limits = take_limits(arguments) or {}
    made = ask(config_file, "users.create", id=id_, limits=limits, **arguments)
    echo_json(made) if as_json else click.echo(made["id"])


@users.command(name="list")
@click.option("--email", help="Only the one with this address.")
@click.option("--id", "id_", help="Only the one with this id.")
@usual_options
def list_(email: str | None, id_: str | None, config_file: str | None, as_json: bool) -> None:
    """List all users."""
    found = every(config_file, "users.list", email=email, id=id_)
    rows = [
        (
            user["id"],
            user["name"],
            user["email"],
            "staff" if user["staff"] else "-",
            when(user["created_ms"]),
            when(user["blocked_ms"]) or "-",
            said(user["limits"]),
        )
        for user in found
    ]
    echo_rows(found, as_json, ("id", "name", "e-mail", "house", "created (UTC)", "blocked (UTC)", "limits"), rows)


@users.command()
@click.argument("user")
@usual_options
def show(user: str, config_file: str | None, as_json: bool) -> None:
    """Show USER, named by its id."""
    found = ask(config_file, "users.show", user=user)
    if as_json:
        echo_json(found)
        return
    found |= {"limits": said(found["limits"])}
    show_fields(found)


@users.command(name="set")
@click.argument("user")
@click.option("--name")
@click.option("--email")
@click.option("--staff/--no-staff", default=None)
@limit_options
@usual_options
def set_(user: str, config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Change USER. What no option says stays as it is."""
    limits = take_limits(arguments, ask(config_file, "users.show", user=user)["limits"])
    fields = {name: value for name, value in (arguments | {"limits": limits}).items() if value is not None}
    changed = ask(config_file, "users.set", user=user, **fields)
    echo_json(changed) if as_json else click.echo(f"{changed['id']} ({changed['name']}) is changed.")


@users.command()
@click.argument("users", nargs=-1, required=True)
@click.option("--why", help="Kept with the users.")
@usual_options
def block(users: tuple[str, ...], why: str | None, config_file: str | None, as_json: bool) -> None:
    """Block USERS: all of them or, where one is not there, none. Their keys answer 403."""
    done = ask(config_file, "users.block", users=users, why=why)
    echo_json(done) if as_json else click.echo(f"{done['blocked']} of {len(set(users))} were not blocked before.")


@users.command()
@click.argument("user")
@usual_options
def unblock(user: str, config_file: str | None, as_json: bool) -> None:
    """Let USER call again."""
    changed = ask(config_file, "users.unblock", user=user)
    echo_json(changed) if as_json else click.echo(f"{changed['id']} ({changed['name']}) is not blocked.")


@users.command(name="revoke-keys")
@click.argument("user")
@usual_options
def revoke_keys(user: str, config_file: str | None, as_json: bool) -> None:
    """Revoke all keys of USER, whoever pays for them."""
    done = ask(config_file, "users.revoke_keys", user=user)
    echo_json(done) if as_json else click.echo(f"{len(done['revoked'])} keys are revoked.")


@users.command(name="block-domain")
@click.argument("domain")
@usual_options
def block_domain(domain: str, config_file: str | None, as_json: bool) -> None:
    """Block all users with an e-mail address of DOMAIN."""
    done = ask(config_file, "domains.block", domain=domain)
    echo_json(done) if as_json else click.echo(f"{done['domain']} is blocked.")


@users.command(name="unblock-domain")
@click.argument("domain")
@usual_options
def unblock_domain(domain: str, config_file: str | None, as_json: bool) -> None:
    """Let users with an e-mail address of DOMAIN call again."""
    done = ask(config_file, "domains.unblock", domain=domain)
    echo_json(done) if as_json else click.echo(f"{done['domain']} is not blocked.")


@users.command(name="blocked-domains")
@usual_options
def blocked_domains(config_file: str | None, as_json: bool) -> None:
    """List the e-mail domains whose users are blocked."""
    found = every(config_file, "domains.list")
    echo_json(found) if as_json else echo_table(("domain",), [(domain,) for domain in found])
