"""`trivium orgs`: organizations, what they allow, their members and projects, while the gateway runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import limit_options, said, take_limits, taken
from trivium.cli.options import config_option, echo_json, echo_rows, read_json, usual_options, when

_POLICY = ("models_allow", "models_deny", "providers_allow", "providers_deny", "data_collection", "default_model")
_ROLES = ("owner", "admin", "member", "billing")


@click.group()
def orgs() -> None:
    """Organizations: made, changed; their policy, limits, members and projects. Takes effect at once."""


@orgs.command()
@click.option("--name", required=True)
@click.option("--id", "id_", help="Letters, digits and ._@-; made up where none is given.")
@click.option("--owner", help="A user, who becomes its first owner.")
@usual_options
def create(name: str, id_: str | None, owner: str | None, config_file: str | None, as_json: bool) -> None:
    """Make an organization, with an account of the same id."""
    made = ask(config_file, "orgs.create", name=name, id=id_, owner=owner)
    echo_json(made) if as_json else click.echo(made["id"])


@orgs.command(name="list")
@click.option("--user", help="Only those that this user is a member of.")
@usual_options
def list_(user: str | None, config_file: str | None, as_json: bool) -> None:
    """List all organizations."""
    found = every(config_file, "orgs.list", user=user)
    rows = [
        (
            organization["id"],
            organization["name"],
            when(organization["created_ms"]),
            said(organization["settings"]["policy"]),
            said(organization["settings"]["limits"]),
        )
        for organization in found
    ]
    echo_rows(found, as_json, ("id", "name", "created (UTC)", "policy", "limits"), rows)


@orgs.command()
@click.argument("organization")
@config_option
def show(organization: str, config_file: str | None) -> None:
    """Show ORGANIZATION with its settings, as JSON."""
    echo_json(ask(config_file, "orgs.show", organization=organization))


@orgs.command()
@click.argument("organization")
@click.argument("name")
@usual_options
def rename(organization: str, name: str, config_file: str | None, as_json: bool) -> None:
    """Call ORGANIZATION NAME; its id stays."""
    changed = ask(config_file, "orgs.rename", organization=organization, name=name)
    echo_json(changed) if as_json else click.echo(f"{changed['id']} is called {changed['name']}.")


@orgs.command()
@click.argument("organization")
@click.option("--allow-model", "models_allow", multiple=True, help="Only these; `*` for many, as in `anthropic/*`.")
@click.option("--deny-model", "models_deny", multiple=True)
@click.option("--allow-provider", "providers_allow", multiple=True, help="Only these.")
@click.option("--deny-provider", "providers_deny", multiple=True)
@click.option("--data-collection", type=click.Choice(["allow", "deny"]), help="deny: no provider that may learn.")
@click.option("--zdr/--no-zdr", default=None, help="Zero data retention: only providers that keep nothing.")
@click.option("--default-model")
@click.option("--anew", is_flag=True, help="What no option says is not restricted; else it stays as it is.")
@usual_options
def policy(
    organization: str, anew: bool, zdr: bool | None, config_file: str | None, as_json: bool, **arguments: Any
) -> None:
    """Say which models and providers ORGANIZATION's calls may reach. A list that is given replaces the one before.
    Without an option it is shown."""
    before = ask(config_file, "orgs.settings.show", organization=organization)
    said_now = taken(arguments, _POLICY) | ({"zdr": zdr} if zdr is not None else {})
    policy = ({} if anew else before["settings"]["policy"]) | said_now
    _change(config_file, organization, before, {"policy": policy} if said_now or anew else {}, as_json)


@orgs.command()
@click.argument("organization")
@limit_options
@usual_options
def limits(organization: str, config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Limit all calls together that ORGANIZATION pays for. What no option says stays as it is; without one they are
    shown."""
    before = ask(config_file, "orgs.settings.show", organization=organization)
    limits = take_limits(arguments, before["settings"]["limits"])
    _change(config_file, organization, before, {"limits": limits} if limits else {}, as_json)


@orgs.command()
@click.argument("organization")
@click.option("--forbid/--allow", default=None, help="Forbid it, which erases what has been kept; or take that back.")
@usual_options
def capture(organization: str, forbid: bool | None, config_file: str | None, as_json: bool) -> None:
    """Say whether bodies of ORGANIZATION's calls may be kept where its keys say so. Without an option it is shown."""
    before = ask(config_file, "orgs.settings.show", organization=organization)
    _change(config_file, organization, before, {} if forbid is None else {"forbid_capture": forbid}, as_json)


@orgs.command(name="settings")
@click.argument("organization")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--version", "if_version", type=int, help="Refuse where they have another version by now.")
@usual_options
def settings_(organization: str, file: Path, if_version: int | None, config_file: str | None, as_json: bool) -> None:
    """Replace all settings of ORGANIZATION by those in FILE (JSON; `-` is standard input)."""
    _show(_set(config_file, organization, read_json(file), if_version), as_json)


def _change(
    config_file: str | None, organization: str, before: dict[str, Any], changed: dict[str, Any], as_json: bool
) -> None:
    """Where nothing is said, nothing is written: a new version would refuse whoever edits the present one."""
    after = before["settings"] | changed
    _show(_set(config_file, organization, after, before["version"]) if changed else before, as_json)


def _set(config_file: str | None, organization: str, settings: Any, version: int | None) -> Any:
    return ask(config_file, "orgs.settings.set", organization=organization, settings=settings, version=version)


def _show(versioned: dict[str, Any], as_json: bool) -> None:
    settings = versioned["settings"]
    capture = "forbidden" if settings["forbid_capture"] else "-"
    row = (versioned["version"], said(settings["policy"]), said(settings["limits"]), capture)
    echo_rows(versioned, as_json, ("version", "policy", "limits", "capture"), [row])


@orgs.group()
def members() -> None:
    """Who belongs to an organization, and as what."""


@members.command(name="list")
@click.argument("organization")
@usual_options
def list_members(organization: str, config_file: str | None, as_json: bool) -> None:
    """List the members of ORGANIZATION."""
    found = every(config_file, "members.list", organization=organization)
    rows = [(row["user_id"], row["role"], when(row["created_ms"]), when(row["accepted_ms"]) or "-") for row in found]
    echo_rows(found, as_json, ("user", "role", "since (UTC)", "accepted (UTC)"), rows)


@members.command(name="set")
@click.argument("organization")
@click.argument("user")
@click.argument("role", type=click.Choice(_ROLES))
@usual_options
def set_member(organization: str, user: str, role: str, config_file: str | None, as_json: bool) -> None:
    """Make USER a member of ORGANIZATION, or give the member another role."""
    made = ask(config_file, "members.set", organization=organization, user=user, role=role)
    echo_json(made) if as_json else click.echo(f"{user} is {made['role']} in {organization}.")


@members.command()
@click.argument("organization")
@click.argument("user")
@usual_options
def accept(organization: str, user: str, config_file: str | None, as_json: bool) -> None:
    """Make a member of USER, whom an owner or admin of ORGANIZATION has invited, without waiting for the consent."""
    made = ask(config_file, "members.accept", organization=organization, user=user)
    echo_json(made) if as_json else click.echo(f"{user} is {made['role']} in {organization}.")


@members.command(name="remove")
@click.argument("organization")
@click.argument("user")
@usual_options
def remove_member(organization: str, user: str, config_file: str | None, as_json: bool) -> None:
    """End the membership of USER in ORGANIZATION, and the keys by which it paid for USER."""
    done = ask(config_file, "members.remove", organization=organization, user=user)
    echo_json(done) if as_json else click.echo(f"{done['id']} is no member of {organization} any more.")


@orgs.group()
def projects() -> None:
    """What an organization's keys are for."""


@projects.command(name="list")
@click.argument("organization")
@usual_options
def list_projects(organization: str, config_file: str | None, as_json: bool) -> None:
    """List the projects of ORGANIZATION."""
    found = every(config_file, "projects.list", organization=organization)
    rows = [(row["id"], row["name"], when(row["created_ms"])) for row in found]
    echo_rows(found, as_json, ("id", "name", "created (UTC)"), rows)


@projects.command(name="create")
@click.argument("organization")
@click.option("--name", required=True)
@click.option("--id", "id_", help="Made up where none is given.")
@usual_options
def create_project(organization: str, name: str, id_: str | None, config_file: str | None, as_json: bool) -> None:
    """Make a project of ORGANIZATION; its keys are made with `trivium keys create --project ID`."""
    made = ask(config_file, "projects.create", organization=organization, name=name, id=id_)
    echo_json(made) if as_json else click.echo(made["id"])


@projects.command(name="remove")
@click.argument("organization")
@click.argument("project")
@usual_options
def remove_project(organization: str, project: str, config_file: str | None, as_json: bool) -> None:
    """End PROJECT of ORGANIZATION; its keys go on, and belong to no project."""
    done = ask(config_file, "projects.remove", organization=organization, project=project)
    echo_json(done) if as_json else click.echo(f"{done['id']} is gone.")
