"""Organizations, their members and their projects."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trivium.errors import Conflict, NotFound, PreconditionFailed
from trivium.policy.caller import OrganizationSettings, Role
from trivium.store.budgets import end_budgets_of, has_houses_budget
from trivium.store.changes import Changing, Page, text
from trivium.store.sql import Row, Writing
from trivium.store.users import found_user


class OrganizationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An organization as its members see it."""

    id: str
    name: str
    created_ms: int
    version: int = 1
    """Of its settings: goes up by one with each change."""
    settings: OrganizationSettings = OrganizationSettings()


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    organization_id: str
    user_id: str
    role: Role
    created_ms: int
    accepted_ms: int | None
    """When the user has agreed to it; null: an invitation, which gives nobody any rights. Those that the house makes
    need no consent."""

    @property
    def accepted(self) -> bool:
        return self.accepted_ms is not None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    organization_id: str
    name: str
    created_ms: int


May = Callable[[Role | None], None]
"""Hears the role that somebody has so far, and raises OperationError where that may not be changed."""

_ORGANIZATION = ("id", "name", "created_ms", "version", "settings")
_MEMBERSHIP = ("organization_id", "user_id", "role", "created_ms", "accepted_ms")
_PROJECT = ("id", "organization_id", "name", "created_ms")
_KEEP_MEMBER = (
    f"INSERT INTO memberships ({', '.join(_MEMBERSHIP)}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (organization_id, user_id)"
    " DO UPDATE SET role = excluded.role, accepted_ms = excluded.accepted_ms"
)
_PROJECT_OF = f"SELECT {', '.join(_PROJECT)} FROM projects WHERE organization_id = ? AND id = ?"
_ORGANIZATIONS_OF = "SELECT organization_id FROM memberships WHERE user_id = ? AND accepted_ms IS NOT NULL"


def _everybody(_: Role | None) -> None:
    """Whoever asked was looked at before."""


class Organizations(Changing):
    """As `Changing` has it."""

    async def add(self, organization: OrganizationRow, owner: str | None, actor: str) -> OrganizationRow:
        """With an account of the same id, and an owner if one is named."""

        def act(tx: Writing) -> OrganizationRow:
            if tx.execute("SELECT 1 FROM organizations WHERE id = ?", (organization.id,)):
                raise Conflict(f"There is an organization {organization.id!r}.")
            if tx.execute("SELECT 1 FROM users WHERE id = ?", (organization.id,)):
                raise Conflict(f"{organization.id!r} is a user, who has the account of this id.")
            if owner is not None:
                found_user(tx, owner)
            self.open_account(tx, organization.id, "organization", organization.name)
            tx.execute(
                "INSERT INTO organizations (id, name, settings, version, created_ms) VALUES (?, ?, ?, ?, ?)",
                (
                    organization.id,
                    organization.name,
                    text(organization.settings),
                    organization.version,
                    organization.created_ms,
                ),
            )
            if owner is not None:
                made_ms = organization.created_ms
                tx.execute(_KEEP_MEMBER, (organization.id, owner, Role.OWNER.value, made_ms, made_ms))
            self.note(tx, actor, "orgs.create", organization.id, organization_id=organization.id, after=organization)
            return organization

        return await self.change(act)

    async def page(self, page: Page, of_user: str | None = None) -> list[OrganizationRow]:
        """All of them, or those that a user is a member of."""
        where, values = "", []
        if of_user is not None:
            where, values = f"AND id IN ({_ORGANIZATIONS_OF})", [of_user]
        rows = await self.database.ask(
            f"SELECT {', '.join(_ORGANIZATION)} FROM organizations WHERE id > ? {where} ORDER BY id LIMIT ?",
            [page.after, *values, page.limit],
        )
        return [_organization(row) for row in rows]

    async def get(self, id: str) -> OrganizationRow:
        rows = await self.database.ask(f"SELECT {', '.join(_ORGANIZATION)} FROM organizations WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"There is no organization {id!r}.")
        return _organization(rows[0])

    async def rename(self, id: str, name: str, actor: str) -> OrganizationRow:
        def act(tx: Writing) -> OrganizationRow:
            before = _found_organization(tx, id)
            tx.execute("UPDATE organizations SET name = ? WHERE id = ?", (name, id))
            after = msgspec.structs.replace(before, name=name)
            self.note(
                tx, actor, "orgs.rename", id, organization_id=id, before={"name": before.name}, after={"name": name}
            )
            return after

        return await self.change(act)

    async def set_settings(
        self,
        id: str,
        settings: OrganizationSettings,
        version: int | None,
        actor: str,
        check: Callable[[OrganizationSettings], None] | None = None,
    ) -> OrganizationRow:
        """Replaces an organization's settings; `version` is the one that they were made from, if that matters. `check`
        hears those that they replace, and raises OperationError where they may not be replaced by these."""

        def act(tx: Writing) -> OrganizationRow:
            before = _found_organization(tx, id)
            check_version(version, before.version)
            if check is not None:
                check(before.settings)
            after = msgspec.structs.replace(before, settings=settings, version=before.version + 1)
            tx.execute(
                "UPDATE organizations SET settings = ?, version = ? WHERE id = ?", (text(settings), after.version, id)
            )
            self.note(tx, actor, "orgs.settings.set", id, organization_id=id, before=before.settings, after=settings)
            return after

        return await self.change(act)

    async def set_member(
        self, organization_id: str, user_id: str, role: Role, actor: str, may: May = _everybody, *, house: bool = True
    ) -> Membership:
        """Makes a user a member, or gives a member another role; the last owner stays one. Who is not of the house can
        but invite."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> Membership:
            _found_organization(tx, organization_id)
            found_user(tx, user_id)
            was = _member(tx, organization_id, user_id)
            may(was.role if was else None)
            if was and role is not Role.OWNER:
                _keep_an_owner(tx, was)
            after = Membership(
                organization_id=organization_id,
                user_id=user_id,
                role=role,
                created_ms=was.created_ms if was else now,
                accepted_ms=(was.accepted_ms if was else None) or (now if house else None),
            )
            _keep_member(tx, after)
            self.note(tx, actor, "members.set", user_id, organization_id=organization_id, before=was, after=after)
            return after

        return await self.change(act)

    async def accept(self, organization_id: str, user_id: str, actor: str, role: Role | None = None) -> Membership:
        """An invitation becomes a membership, if it is for this role, where one is named; one that is a membership
        stays as it is."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> Membership:
            _found_organization(tx, organization_id)
            before = _member(tx, organization_id, user_id)
            if before is None:
                raise NotFound(f"{user_id!r} is not invited to {organization_id!r}.")
            if before.accepted:
                return before
            if role not in (None, before.role):
                raise Conflict(f"{user_id!r} is invited to {organization_id!r} as {before.role} by now, not as {role}.")
            after = msgspec.structs.replace(before, accepted_ms=now)
            _keep_member(tx, after)
            self.note(tx, actor, "members.accept", user_id, organization_id=organization_id, before=before, after=after)
            return after

        return await self.change(act)

    async def invitations(self, user_id: str, page: Page) -> list[Membership]:
        """By the organization's id, behind one."""
        rows = await self.database.ask(
            f"SELECT {', '.join(_MEMBERSHIP)} FROM memberships WHERE user_id = ? AND accepted_ms IS NULL"
            " AND organization_id > ? ORDER BY organization_id LIMIT ?",
            (user_id, page.after, page.limit),
        )
        return [_membership(row) for row in rows]

    async def remove_member(self, organization_id: str, user_id: str, actor: str, may: May = _everybody) -> None:
        """Ends a membership, and with it the keys by which the organization paid for this user."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> None:
            _found_organization(tx, organization_id)
            before = _member(tx, organization_id, user_id)
            if before is None:
                raise NotFound(f"{user_id!r} is no member of {organization_id!r}.")
            may(before.role)
            _keep_an_owner(tx, before)
            tx.execute("DELETE FROM memberships WHERE organization_id = ? AND user_id = ?", (organization_id, user_id))
            ended = tx.execute(
                "UPDATE keys SET revoked_ms = ? WHERE account_id = ? AND user_id = ? AND revoked_ms IS NULL"
                " RETURNING id",
                (now, organization_id, user_id),
            )
            keys = {"keys_revoked": sorted(id for (id,) in ended)}
            self.note(tx, actor, "members.remove", user_id, organization_id=organization_id, before=before, after=keys)

        await self.change(act)

    async def members(self, organization_id: str, page: Page) -> list[Membership]:
        rows = await self.database.ask(
            f"SELECT {', '.join(_MEMBERSHIP)} FROM memberships WHERE organization_id = ? AND user_id > ?"
            " ORDER BY user_id LIMIT ?",
            (organization_id, page.after, page.limit),
        )
        return [_membership(row) for row in rows]

    async def add_project(self, project: Project, actor: str) -> Project:
        def act(tx: Writing) -> Project:
            _found_organization(tx, project.organization_id)
            if tx.execute(_PROJECT_OF, (project.organization_id, project.id)):
                raise Conflict(f"{project.organization_id!r} has a project {project.id!r}.")
            values = msgspec.structs.astuple(project)
            tx.execute("INSERT INTO projects (id, organization_id, name, created_ms) VALUES (?, ?, ?, ?)", values)
            self.note(tx, actor, "projects.create", project.id, organization_id=project.organization_id, after=project)
            return project

        return await self.change(act)

    async def remove_project(self, organization_id: str, id: str, actor: str, *, house: bool = True) -> None:
        """Its keys go on, and belong to no project. Its budgets end, so that one with a budget of the house is the
        house's to remove; the ledger has to `load` then."""
        now, scope = self.clock.now_ms(), f"project:{organization_id}/{id}"

        def act(tx: Writing) -> None:
            project = _found_project(tx, organization_id, id)
            if not house and has_houses_budget(tx, scope):
                raise Conflict(
                    f"The operators of the gateway have set a budget of the project {id!r}, which would end with it. "
                    "They can remove the project, or take the budget away first."
                )
            tx.execute("DELETE FROM projects WHERE organization_id = ? AND id = ?", (organization_id, id))
            tx.execute(
                "UPDATE keys SET project_id = NULL WHERE account_id = ? AND project_id = ?", (organization_id, id)
            )
            end_budgets_of(tx, scope, now, actor)
            self.note(tx, actor, "projects.remove", id, organization_id=organization_id, before=project)

        await self.change(act)

    async def projects(self, organization_id: str, page: Page) -> list[Project]:
        rows = await self.database.ask(
            f"SELECT {', '.join(_PROJECT)} FROM projects WHERE organization_id = ? AND id > ? ORDER BY id LIMIT ?",
            (organization_id, page.after, page.limit),
        )
        return [_project(row) for row in rows]


def check_version(expected: int | None, found: int) -> None:
    if expected is not None and expected != found:
        raise PreconditionFailed(f"The settings were changed meanwhile: they have version {found}, not {expected}.")


def _found_organization(tx: Writing, id: str) -> OrganizationRow:
    """Nobody else changes it, or who its owners are, until the transaction ends."""
    rows = tx.execute(
        f"UPDATE organizations SET version = version WHERE id = ? RETURNING {', '.join(_ORGANIZATION)}", (id,)
    )
    if not rows:
        raise NotFound(f"There is no organization {id!r}.")
    return _organization(rows[0])


def _member(tx: Writing, organization_id: str, user_id: str) -> Membership | None:
    rows = tx.execute(
        f"SELECT {', '.join(_MEMBERSHIP)} FROM memberships WHERE organization_id = ? AND user_id = ?",
        (organization_id, user_id),
    )
    return _membership(rows[0]) if rows else None


def _keep_member(tx: Writing, member: Membership) -> None:
    tx.execute(
        _KEEP_MEMBER, (member.organization_id, member.user_id, member.role.value, member.created_ms, member.accepted_ms)
    )


def _keep_an_owner(tx: Writing, leaving: Membership) -> None:
    """Who is invited to be one is none yet."""
    if leaving.role is not Role.OWNER or not leaving.accepted:
        return
    ((owners,),) = tx.execute(
        "SELECT count(*) FROM memberships WHERE organization_id = ? AND role = 'owner' AND accepted_ms IS NOT NULL",
        (leaving.organization_id,),
    )
    if owners < 2:
        raise Conflict(f"{leaving.organization_id!r} has no other owner; make somebody else one first.")


def _found_project(tx: Writing, organization_id: str, id: str) -> Project:
    rows = tx.execute(_PROJECT_OF, (organization_id, id))
    if not rows:
        raise NotFound(f"{organization_id!r} has no project {id!r}.")
    return _project(rows[0])


def _organization(row: Row) -> OrganizationRow:
    told = dict(zip(_ORGANIZATION, row, strict=True))
    return OrganizationRow(**told | {"settings": msgspec.json.decode(told["settings"], type=OrganizationSettings)})


def _project(row: Row) -> Project:
    return Project(**dict(zip(_PROJECT, row, strict=True)))


def _membership(row: Row) -> Membership:
    told = dict(zip(_MEMBERSHIP, row, strict=True))
    return Membership(**told | {"role": Role(told["role"])})
