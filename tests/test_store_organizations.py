"""Organizations, members and projects in the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, NotFound, OperationError, PreconditionFailed, RoleMissing
from trivium.policy.caller import Limits, OrganizationSettings, Policy, Role
from trivium.store.changes import Page
from trivium.store.organizations import OrganizationRow, Project
from trivium.store.store import Store
from trivium.store.users import User

ACME = OrganizationRow(id="acme", name="Acme", created_ms=1)
STRICT = OrganizationSettings(policy=Policy(zdr=True), limits=Limits(requests_per_minute=1))


@pytest.fixture
async def store(store: Store) -> Store:
    for id in ("ann", "bob"):
        await store.users.add(User(id=id, name=id, created_ms=1), "op")
    await store.organizations.add(ACME, "ann", "op")
    return store


def lines(store: Store, action: str) -> int:
    return len(rows(store.database, "SELECT 1 FROM changes WHERE action = ?", action))


async def test_one_comes_back_as_it_was_with_its_owner_and_account(store: Store) -> None:
    assert await store.organizations.get("acme") == ACME
    assert [(one.user_id, one.role) for one in await store.organizations.members("acme", Page())] == [
        ("ann", Role.OWNER)
    ]
    assert rows(store.database, "SELECT kind FROM accounts WHERE id = 'acme'") == [("organization",)]
    with pytest.raises(Conflict):
        await store.organizations.add(ACME, None, "op")
    with pytest.raises(NotFound, match="'nobody'"):
        await store.organizations.add(OrganizationRow(id="blue", name="x", created_ms=1), "nobody", "op")
    with pytest.raises(NotFound):
        await store.organizations.get("blue")
    assert lines(store, "orgs.create") == 1


async def test_a_list_is_of_all_or_of_a_members(store: Store) -> None:
    await store.organizations.add(OrganizationRow(id="blue", name="Blue", created_ms=1), "bob", "op")
    assert [one.id for one in await store.organizations.page(Page())] == ["acme", "blue"]
    assert [one.id for one in await store.organizations.page(Page(after="acme"))] == ["blue"]
    assert [one.id for one in await store.organizations.page(Page(), "bob")] == ["blue"]


async def test_a_name_changes_and_the_settings_version_does_not(store: Store) -> None:
    assert (await store.organizations.rename("acme", "Acme Ltd", "op")).name == "Acme Ltd"
    assert (await store.organizations.get("acme")).version == 1
    with pytest.raises(NotFound):
        await store.organizations.rename("blue", "x", "op")


class TestSettings:
    async def test_they_have_a_version_that_goes_up(self, store: Store) -> None:
        changed = await store.organizations.set_settings("acme", STRICT, 1, "op")
        assert (changed.version, changed.settings) == (2, STRICT)
        assert await store.organizations.get("acme") == changed
        with pytest.raises(PreconditionFailed, match="have version 2, not 1"):
            await store.organizations.set_settings("acme", OrganizationSettings(), 1, "op")
        assert (await store.organizations.set_settings("acme", STRICT, None, "op")).version == 3
        assert lines(store, "orgs.settings.set") == 2

    async def test_of_two_who_change_the_same_version_one_is_told(
        self, home: Home, store: Store, tmp_path: Path
    ) -> None:
        other = store if home.dialect == "sqlite" else Store(tmp_path, SystemClock(), home.url)
        asked = [one.organizations.set_settings("acme", STRICT, 1, "op") for one in (store, other)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["OrganizationRow", "PreconditionFailed"]

    async def test_callers_have_them_at_once(self, store: Store) -> None:
        _, key = store.keys.create("k", account_id="acme", user_id="ann")
        for settings in (OrganizationSettings(), STRICT):
            await store.organizations.set_settings("acme", settings, None, "op")
            caller = await store.keys.find(key)
            assert caller
            assert caller.organization
            assert (caller.organization.settings, caller.role) == (settings, Role.OWNER)


class TestMembers:
    async def test_a_role_is_given_changed_and_taken(self, store: Store) -> None:
        made = await store.organizations.set_member("acme", "bob", Role.MEMBER, "op")
        changed = await store.organizations.set_member("acme", "bob", Role.ADMIN, "op")
        assert (made.role, changed.role, changed.created_ms) == (Role.MEMBER, Role.ADMIN, made.created_ms)
        assert [one.user_id for one in await store.organizations.members("acme", Page())] == ["ann", "bob"]
        assert await store.organizations.members("acme", Page(after="ann")) == [changed]
        await store.organizations.remove_member("acme", "bob", "op")
        assert [one.user_id for one in await store.organizations.members("acme", Page())] == ["ann"]
        with pytest.raises(NotFound):
            await store.organizations.remove_member("acme", "bob", "op")
        for organization, user in (("blue", "ann"), ("acme", "nobody")):
            with pytest.raises(NotFound):
                await store.organizations.set_member(organization, user, Role.MEMBER, "op")
        assert (lines(store, "members.set"), lines(store, "members.remove")) == (2, 1)

    async def test_who_is_invited_has_no_role_for_any_key(self, store: Store) -> None:
        _, key = store.keys.create("k", account_id="acme", user_id="bob")
        await store.organizations.set_member("acme", "bob", Role.ADMIN, "adm_ann", house=False)
        for role in (None, Role.ADMIN):
            caller = await store.keys.find(key)
            assert caller
            assert (caller.role, caller.personal) == (role, False)
            assert [one.organization_id for one in await store.own.memberships("bob")] == ["acme"] * bool(role)
            await store.organizations.accept("acme", "bob", "adm_bob")
        assert (lines(store, "members.set"), lines(store, "members.accept")) == (1, 1)

    async def test_the_last_owner_stays(self, store: Store) -> None:
        for act in (
            store.organizations.set_member("acme", "ann", Role.ADMIN, "op"),
            store.organizations.remove_member("acme", "ann", "op"),
        ):
            with pytest.raises(Conflict, match="no other owner"):
                await act
        await store.organizations.set_member("acme", "bob", Role.OWNER, "op")
        await store.organizations.set_member("acme", "ann", Role.ADMIN, "op")

    async def test_two_owners_cannot_unmake_each_other_at_once(self, home: Home, store: Store, tmp_path: Path) -> None:
        other = store if home.dialect == "sqlite" else Store(tmp_path, SystemClock(), home.url)
        await store.organizations.set_member("acme", "bob", Role.OWNER, "op")
        asked = [
            store.organizations.remove_member("acme", "ann", "op"),
            other.organizations.remove_member("acme", "bob", "op"),
        ]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["Conflict", "NoneType"]
        assert len(await store.organizations.members("acme", Page())) == 1

    async def test_whoever_may_not_changes_nothing(self, store: Store) -> None:
        seen: list[Role | None] = []

        def never(before: Role | None) -> None:
            seen.append(before)
            raise RoleMissing("no")

        for act in (
            store.organizations.set_member("acme", "ann", Role.ADMIN, "op", never),
            store.organizations.set_member("acme", "bob", Role.ADMIN, "op", never),
            store.organizations.remove_member("acme", "ann", "op", never),
        ):
            with pytest.raises(RoleMissing):
                await act
        assert seen == [Role.OWNER, None, Role.OWNER]
        assert [one.role for one in await store.organizations.members("acme", Page())] == [Role.OWNER]

    async def test_keys_that_the_organization_paid_for_end_with_the_membership(self, store: Store) -> None:
        await store.organizations.set_member("acme", "bob", Role.MEMBER, "op")
        own, other = store.keys.create("k", user_id="bob")[1], store.keys.create("k", account_id="acme")[1]
        ended = store.keys.create("k", account_id="acme", user_id="bob")[1]
        assert await store.keys.find(ended)
        await store.organizations.remove_member("acme", "bob", "op")
        assert [await store.keys.find(key) is None for key in (ended, own, other)] == [True, False, False]


class TestProjects:
    async def test_they_are_the_organizations_own(self, store: Store) -> None:
        await store.organizations.add(OrganizationRow(id="blue", name="x", created_ms=1), None, "op")
        project = Project(id="p", organization_id="acme", name="P", created_ms=1)
        assert await store.organizations.add_project(project, "op") == project
        with pytest.raises(Conflict):
            await store.organizations.add_project(project, "op")
        with pytest.raises(NotFound):
            await store.organizations.add_project(Project(id="q", organization_id="x", name="", created_ms=1), "op")
        assert await store.organizations.projects("acme", Page()) == [project]
        assert await store.organizations.projects("blue", Page()) == []
        with pytest.raises(NotFound, match="'blue' has no project 'p'"):
            await store.organizations.remove_project("blue", "p", "op")
        key, _ = store.keys.create("k", account_id="acme", project_id="p")
        await store.organizations.remove_project("acme", "p", "op")
        assert await store.organizations.projects("acme", Page()) == []
        assert rows(store.database, "SELECT project_id FROM keys WHERE id = ?", key.id) == [(None,)]


def test_refusals_are_the_operators() -> None:
    assert all(issubclass(kind, OperationError) for kind in (Conflict, NotFound, PreconditionFailed, RoleMissing))
