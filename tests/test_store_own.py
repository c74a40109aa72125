"""What callers may see of themselves."""

from __future__ import annotations

import pytest

from trivium.clock import DAY_MS
from trivium.operations.operations import Operations
from trivium.policy.caller import Role
from trivium.store.organizations import OrganizationRow
from trivium.store.own import Membership, Own, OwnBudget, Person
from trivium.store.store import Store
from trivium.store.users import User


@pytest.fixture
async def store(store: Store) -> Store:
    await store.users.add(User(id="alice", name="Alice", email="a@example.com", created_ms=1), "operator")
    return store


@pytest.fixture
def own(store: Store) -> Own:
    return store.own


async def test_a_person_is_told_by_id(own: Own) -> None:
    assert await own.person("alice") == Person(id="alice", name="Alice", email="a@example.com")
    assert await own.person("bob") is None


async def test_what_is_free_is_the_balance_less_what_is_held(own: Own, store: Store) -> None:
    await Operations(store).perform("credits.top_up", {"account": "alice", "usd": "1"})
    with store.database.transaction() as tx:
        tx.execute("UPDATE accounts SET held_nano = 400000000 WHERE id = 'alice'")
    assert await own.free_nano("alice") == 600_000_000
    assert await own.free_nano("nobody") == 0


async def test_organizations_come_with_role_and_balance_by_name(own: Own, store: Store) -> None:
    for id, name in (("b", "Alpha"), ("a", "Beta"), ("c", "Gamma")):
        await store.organizations.add(OrganizationRow(id=id, name=name, created_ms=1), None, "operator")
    await store.organizations.set_member("a", "alice", Role.OWNER, "operator")
    await store.organizations.set_member("b", "alice", Role.BILLING, "operator")
    await Operations(store).perform("credits.top_up", {"account": "a", "usd": "2"})
    assert await own.memberships("alice") == [
        Membership(organization_id="b", name="Alpha", role="billing", free_nano=0),
        Membership(organization_id="a", name="Beta", role="owner", free_nano=2 * 10**9),
    ]


async def test_budgets_are_those_of_the_scopes_with_what_is_spent_and_held(own: Own, store: Store) -> None:
    operations = Operations(store)
    day = await operations.perform("budgets.set", {"scope": "user:alice", "period": "day", "usd": "1"})
    await operations.perform("budgets.set", {"scope": "user:bob", "period": "day", "usd": "1"})
    ended = await operations.perform("budgets.set", {"scope": "user:alice", "period": "week", "usd": "1"})
    await operations.perform("budgets.remove", {"budget": ended["id"]})
    assert await own.budgets(["user:alice", "key:k"], DAY_MS) == [
        OwnBudget(scope="user:alice", period="day", limit_nano=10**9, window_ms=None, used_nano=0)
    ]
    with store.database.transaction() as tx:
        for window, spent in ((0, 9), (DAY_MS, 5), (2 * DAY_MS, 1)):  # the last by a clock that was ahead
            tx.execute(
                "INSERT INTO spends (budget_id, window_ms, spent_nano, held_nano) VALUES (?, ?, ?, 2)",
                (day["id"], window, spent),
            )
    (found,) = await own.budgets(["user:alice"], DAY_MS + 5)
    assert (found.window_ms, found.used_nano) == (DAY_MS, 7)
