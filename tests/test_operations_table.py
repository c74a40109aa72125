"""The one place where roles are checked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_desk import member
from trivium.errors import NotFound, OperationError, RoleMissing
from trivium.operations.table import (
    HOUSE,
    OFFICERS,
    OPERATOR,
    Actor,
    Arguments,
    ListArguments,
    Needs,
    Op,
    check,
    check_membership,
    listed,
    named,
)
from trivium.policy.caller import Role


class Asked(Arguments, frozen=True, kw_only=True):
    organization: str | None = None
    user: str | None = None


async def act(query: Any, actor: Actor) -> None: ...


def op(**needs: Any) -> Op:
    return Op(arguments=Asked, result=None, act=act, needs=Needs(**needs))


ROLES = st.frozensets(st.sampled_from(Role))
IDS = st.sampled_from(["acme", "blue"])
USERS = st.none() | st.sampled_from(["ann", "bob"])
ACTORS = st.builds(
    Actor, id=st.just("adm"), house=st.booleans(), user_id=USERS, roles=st.dictionaries(IDS, st.sampled_from(Role))
)
NEEDS = st.builds(Needs, roles=ROLES, own=ROLES, personal=st.booleans())
QUERIES = st.builds(Asked, organization=st.none() | IDS, user=USERS)


@given(NEEDS, QUERIES, ACTORS)
def test_who_may_is_of_the_house_or_has_the_role_or_asks_of_itself(needs: Needs, query: Asked, actor: Actor) -> None:
    own = actor.user_id is not None and query.user == actor.user_id
    role = actor.roles.get(query.organization or "")
    if query.organization is None:
        may = own and needs.personal
    else:
        may = role is not None and (role in needs.roles or (own and role in needs.own))
    try:
        check(msgspec.structs.replace(op(), needs=needs), query, actor)
    except NotFound:
        assert not actor.house
        assert query.organization not in {None, *actor.roles}
    except RoleMissing:
        assert not (may or actor.house)
    else:
        assert may or actor.house


def test_whether_an_organization_exists_is_told_to_nobody_outside() -> None:
    with pytest.raises(NotFound, match="There is no organization 'acme'"):
        check(op(roles=frozenset(Role)), Asked(organization="acme"), member("ann", {"blue": Role.OWNER}))


def test_what_names_nobody_is_the_houses() -> None:
    check(op(), Asked(), OPERATOR)
    assert op().needs == HOUSE
    for actor in (member("ann", {"acme": Role.OWNER}), Actor(id="adm", house=False)):
        with pytest.raises(RoleMissing, match="for the operators"):
            check(op(), Asked(), actor)


@pytest.mark.parametrize(
    ("needs", "hint"),
    [
        ({"roles": OFFICERS}, "name an organization where you are admin or owner."),
        ({"own": OFFICERS, "personal": True}, "as the user in an organization of yours; or name yourself as the user."),
        ({}, "Ask them."),
    ],
)
def test_a_refusal_says_what_would_do(needs: dict[str, Any], hint: str) -> None:
    with pytest.raises(RoleMissing) as refused:
        check(op(**needs), Asked(), member("ann"))
    assert refused.value.message.endswith(hint)


@given(ACTORS, st.none() | st.sampled_from(Role), st.none() | st.sampled_from(Role))
def test_only_owners_make_and_unmake_owners(actor: Actor, before: Role | None, after: Role | None) -> None:
    may = actor.house or actor.roles.get("acme") is Role.OWNER or Role.OWNER not in {before, after}
    if may:
        check_membership(actor, "acme", before, after)
        return
    with pytest.raises(RoleMissing):
        check_membership(actor, "acme", before, after)


@given(st.lists(st.integers(0, 99), unique=True).map(sorted), st.integers(1, 5))
def test_the_parts_of_a_list_are_the_whole(numbers: list[int], limit: int) -> None:
    found: list[int] = []
    after: str | None = ""
    while after is not None:
        query = ListArguments(after=after, limit=limit)
        page = query.page()
        rows = [one for one in numbers if one > int(page.after or -1)][: page.limit]
        part = listed(rows, query, lambda one: one)
        assert len(part.items) <= limit
        found += part.items
        after = part.next
    assert found == numbers


@pytest.mark.parametrize("after", ["a b", "'", "x" * 201, "\0", "a\n"])
def test_a_cursor_that_was_made_up_is_refused(after: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"after": after}, ListArguments)


def test_a_cursor_of_a_list_that_goes_down_is_a_number_within_reason() -> None:
    assert [ListArguments(after=after).below() for after in ("", "7", "9" * 200)] == [2**62, 7, 2**62]
    with pytest.raises(OperationError, match="No part of this list begins there"):
        ListArguments(after="abc").below()


def test_a_name_is_printable() -> None:
    assert named("  Füße 足 ", "A key") == "Füße 足"
    for name in ("", "  ", "a\nb", "x" * 101):
        with pytest.raises(OperationError, match="A key needs a name"):
            named(name, "A key")
