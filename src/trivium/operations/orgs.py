"""What is done about organizations, their members and their projects. `table` is for `Operations`."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec

from trivium.errors import OperationError
from trivium.operations.captures import erase_all_of
from trivium.operations.table import (
    EVERY_ROLE,
    OFFICERS,
    Actor,
    Arguments,
    ListArguments,
    Listed,
    Needs,
    Op,
    Table,
    check_membership,
    listed,
    named,
)
from trivium.policy.caller import Id, OrganizationSettings, Role
from trivium.policy.capture import forbids
from trivium.policy.ceiling import within
from trivium.store.answers import told
from trivium.store.organizations import Membership, OrganizationRow, Project
from trivium.store.store import Store

Version = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class CreateOrganization(Arguments, frozen=True, kw_only=True):
    name: str
    id: Id | None = None
    """Made up where it is left out."""
    owner: Id | None = None
    """A user, who becomes its first owner."""
    settings: OrganizationSettings = OrganizationSettings()


class ListOrganizations(ListArguments, frozen=True, kw_only=True):
    user: Id | None = None
    """Only those that this user is a member of."""


class OneOrganization(Arguments, frozen=True, kw_only=True):
    organization: Id


class OfOrganization(ListArguments, frozen=True, kw_only=True):
    organization: Id


class RenameOrganization(OneOrganization, frozen=True, kw_only=True):
    name: str


class SetSettings(OneOrganization, frozen=True, kw_only=True):
    """Replaces all of them."""

    settings: OrganizationSettings
    version: Version | None = None
    """The version that they were made from: refused where there is another by now."""


class VersionedSettings(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    settings: OrganizationSettings


class OneMember(OneOrganization, frozen=True, kw_only=True):
    user: Id


class OfUser(ListArguments, frozen=True, kw_only=True):
    user: Id


class SetMember(OneMember, frozen=True, kw_only=True):
    role: Role


class AcceptInvitation(OneMember, frozen=True, kw_only=True):
    role: Role | None = None
    """The one that is agreed to: refused where the invitation is for another by now. The house may leave it out."""


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """Of what is there no more."""


class CreateProject(OneOrganization, frozen=True, kw_only=True):
    name: str
    id: Id | None = None


class OneProject(OneOrganization, frozen=True, kw_only=True):
    project: Id


class OrganizationOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        members, officers = Needs(roles=EVERY_ROLE), Needs(roles=OFFICERS)
        self.table: Table = {
            "orgs.create": Op(arguments=CreateOrganization, result=OrganizationRow, act=self._create, changes=True),
            "orgs.list": Op(
                arguments=ListOrganizations, result=Listed[OrganizationRow], act=self._list, needs=Needs(personal=True)
            ),
            "orgs.show": Op(arguments=OneOrganization, result=OrganizationRow, act=self._show, needs=members),
            "orgs.rename": Op(
                arguments=RenameOrganization, result=OrganizationRow, act=self._rename, needs=officers, changes=True
            ),
            "orgs.settings.show": Op(
                arguments=OneOrganization, result=VersionedSettings, act=self._settings, needs=members
            ),
            "orgs.settings.set": Op(
                arguments=SetSettings, result=VersionedSettings, act=self._set_settings, needs=officers, changes=True
            ),
            "members.list": Op(arguments=OfOrganization, result=Listed[Membership], act=self._members, needs=members),
            "members.set": Op(
                arguments=SetMember, result=Membership, act=self._set_member, needs=officers, changes=True
            ),
            "members.remove": Op(
                arguments=OneMember,
                result=Removed,
                act=self._remove_member,
                needs=Needs(roles=OFFICERS, own=EVERY_ROLE, invited=True),
                changes=True,
            ),
            "members.accept": Op(
                arguments=AcceptInvitation,
                result=Membership,
                act=self._accept,
                needs=Needs(own=EVERY_ROLE, invited=True),
                changes=True,
            ),
            "invitations.list": Op(
                arguments=OfUser, result=Listed[Membership], act=self._invitations, needs=Needs(personal=True)
            ),
            "projects.list": Op(arguments=OfOrganization, result=Listed[Project], act=self._projects, needs=members),
            "projects.create": Op(
                arguments=CreateProject, result=Project, act=self._create_project, needs=officers, changes=True
            ),
            "projects.remove": Op(
                arguments=OneProject, result=Removed, act=self._remove_project, needs=officers, changes=True
            ),
        }

    async def _create(self, query: CreateOrganization, actor: Actor) -> OrganizationRow:
        organization = OrganizationRow(
            id=query.id or f"org_{secrets.token_hex(8)}",
            name=named(query.name, "An organization"),
            created_ms=self._store.clock.now_ms(),
            settings=query.settings,
        )
        return await self._store.organizations.add(organization, query.owner, actor.id)

    async def _list(self, query: ListOrganizations, _: Actor) -> Listed[OrganizationRow]:
        rows = await self._store.organizations.page(query.page(), query.user)
        return listed(rows, query, lambda organization: organization.id)

    async def _show(self, query: OneOrganization, _: Actor) -> OrganizationRow:
        return await self._store.organizations.get(query.organization)

    async def _rename(self, query: RenameOrganization, actor: Actor) -> OrganizationRow:
        name = named(query.name, "An organization")
        return await self._store.organizations.rename(query.organization, name, actor.id)

    async def _settings(self, query: OneOrganization, _: Actor) -> VersionedSettings:
        return _versioned(await self._store.organizations.get(query.organization))

    async def _set_settings(self, query: SetSettings, actor: Actor) -> VersionedSettings:
        """Who is not of the house may lower limits, and raise none above what is in force."""
        house = (await self._store.house.get()).settings

        def check(before: OrganizationSettings) -> None:
            if not actor.house:
                within(query.settings.limits, before.limits, house.organization_limits)

        setting = self._store.organizations.set_settings(
            query.organization, query.settings, query.version, actor.id, check
        )
        changed = await told(_versioned, setting)
        if forbids(query.settings):
            await erase_all_of(self._store, "organization", query.organization)
        return changed

    async def _members(self, query: OfOrganization, _: Actor) -> Listed[Membership]:
        rows = await self._store.organizations.members(query.organization, query.page())
        return listed(rows, query, lambda member: member.user_id)

    async def _set_member(self, query: SetMember, actor: Actor) -> Membership:
        def may(before: Role | None) -> None:
            check_membership(actor, query.organization, before, query.role)

        return await self._store.organizations.set_member(
            query.organization, query.user, query.role, actor.id, may, house=actor.house
        )

    async def _accept(self, query: AcceptInvitation, actor: Actor) -> Membership:
        if query.role is None and not actor.house:
            raise OperationError("Say which `role` is agreed to: the one of the invitation.")
        return await self._store.organizations.accept(query.organization, query.user, actor.id, query.role)

    async def _invitations(self, query: OfUser, _: Actor) -> Listed[Membership]:
        rows = await self._store.organizations.invitations(query.user, query.page())
        return listed(rows, query, lambda membership: membership.organization_id)

    async def _remove_member(self, query: OneMember, actor: Actor) -> Removed:
        def may(before: Role | None) -> None:
            if query.user != actor.user_id:
                check_membership(actor, query.organization, before, None)

        removing = self._store.organizations.remove_member(query.organization, query.user, actor.id, may)
        return await told(lambda _: Removed(id=query.user), removing)

    async def _projects(self, query: OfOrganization, _: Actor) -> Listed[Project]:
        rows = await self._store.organizations.projects(query.organization, query.page())
        return listed(rows, query, lambda project: project.id)

    async def _create_project(self, query: CreateProject, actor: Actor) -> Project:
        project = Project(
            id=query.id or f"proj_{secrets.token_hex(8)}",
            organization_id=query.organization,
            name=named(query.name, "A project"),
            created_ms=self._store.clock.now_ms(),
        )
        return await self._store.organizations.add_project(project, actor.id)

    async def _remove_project(self, query: OneProject, actor: Actor) -> Removed:
        removing = self._store.organizations.remove_project(
            query.organization, query.project, actor.id, house=actor.house
        )
        removed = await told(lambda _: Removed(id=query.project), removing)
        await self._store.ledger.load()
        return removed


def _versioned(organization: OrganizationRow) -> VersionedSettings:
    return VersionedSettings(version=organization.version, settings=organization.settings)
