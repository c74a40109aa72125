"""Callers by tokens: looked up once, ended within a second, as keys are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support_store import rows
from support_tokens import KEY, token
from test_store_keys import Counting, Ticking
from trivium.errors import NotFound
from trivium.policy.caller import Caller, Role
from trivium.settings import TokenSettings
from trivium.store.issuer import Issuer
from trivium.store.keys import KeyStore
from trivium.store.ledger import Ledger
from trivium.store.organizations import OrganizationRow, Organizations
from trivium.store.sql import Database, Row
from trivium.store.tokens import Claims, Peppers, TokenStore
from trivium.store.users import User, Users


class Reading(Issuer):
    """Counts how often a signature is looked at."""

    read_ = 0

    def read(self, token: str, now_ms: int) -> Claims | None:
        self.read_ += 1
        return super().read(token, now_ms)


class House:
    def __init__(self, database: Database) -> None:
        self.clock = Ticking()
        self.counting = Counting(database)
        self.keys = KeyStore(self.counting, b"p" * 32, self.clock)  # type: ignore[arg-type]
        self.ledger = Ledger(database, self.clock, "run_1")
        changing = (database, self.ledger.writer, self.clock, self.keys.forget)
        self.users, self.organizations = Users(*changing), Organizations(*changing)
        self.peppers = Peppers(*changing)
        self.issuer = Reading(TokenSettings(), KEY.encode())
        self.tokens = TokenStore(self.counting, self.keys, self.clock, self.issuer)  # type: ignore[arg-type]

    async def call(self, text: str) -> Caller | None:
        """As `pipeline/authenticate.py` asks."""
        return self.keys.known(text) or await self.tokens.find(text)

    def token(self, **claims: Any) -> str:
        return token(self.clock.now_ms(), **claims)


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    yield House(database)


@pytest.fixture
async def alice(house: House) -> str:
    """A token of hers."""
    await house.users.add(User(id="alice", name="Alice", created_ms=1), "operator")
    return house.token()


async def test_a_token_is_its_users_caller(house: House, alice: str) -> None:
    caller = await house.call(alice)
    assert caller is not None
    assert (caller.user_id, caller.account_id) == ("alice", "alice")
    assert caller.id == house.keys.token_id("alice")
    assert re.fullmatch(r"tok_[0-9a-f]{16}", caller.id)
    assert caller.organization is None
    assert await house.call(house.token(kiloUserId="nobody")) is None


async def test_it_is_verified_and_looked_up_once(house: House, alice: str) -> None:
    for _ in range(100):
        assert await house.call(alice) is not None
        if house.counting.shared:
            house.clock.ms -= 2  # a second must not pass
    assert (house.issuer.read_, house.counting.asked) == (1, 1)


async def test_a_reset_ends_all_tokens_of_the_user_and_no_others(house: House, alice: str, database: Database) -> None:
    await house.users.add(User(id="bob", name="Bob", created_ms=1), "operator")
    bobs = house.token(kiloUserId="bob")
    assert await house.call(alice)
    assert await house.call(bobs)
    pepper = await house.peppers.reset("alice", "operator")
    assert await house.call(alice) is None
    assert await house.call(bobs)
    assert await house.call(house.token(apiTokenPepper="another")) is None
    assert await house.call(house.token(apiTokenPepper=pepper))
    assert rows(database, "SELECT actor, action, target, after FROM changes WHERE action = 'tokens.reset'") == [
        ("operator", "tokens.reset", "alice", None)
    ]


async def test_other_gateways_of_the_database_hear_of_it_within_a_second(
    house: House, alice: str, database: Database
) -> None:
    assert await house.call(alice)
    await House(database).peppers.reset("alice", "operator")
    if house.counting.shared:
        house.clock.ms += 1_001
        assert await house.call(alice) is None


async def test_a_user_who_is_blocked_is_so_with_a_token(house: House, alice: str) -> None:
    assert (caller := await house.call(alice)) is not None
    assert not caller.blocked
    await house.users.block(["alice"], "spam", "operator")
    assert (caller := await house.call(alice)) is not None
    assert caller.blocked


async def test_it_ends_at_its_end_even_in_memory(house: House, alice: str) -> None:
    short = house.token(exp=house.clock.ms / 1000 + 1)
    assert await house.call(short)
    house.clock.ms += 1_000
    assert await house.call(short) is None


async def test_for_an_organization_the_role_is_known_or_there_is_none(house: House, alice: str) -> None:
    await house.organizations.add(OrganizationRow(id="acme", name="Acme", created_ms=1), None, "operator")
    for organization in ("acme", "nowhere"):
        stranger = await house.call(house.token(organizationId=organization))
        assert stranger is not None
        assert stranger.organization is not None
        assert (stranger.organization.id, stranger.role) == (organization, None)
    await house.organizations.set_member("acme", "alice", Role.MEMBER, "adm_owner", house=False)
    invited = await house.call(house.token(organizationId="acme"))
    assert invited is not None
    assert invited.role is None
    await house.organizations.accept("acme", "alice", "adm_alice")
    member = await house.call(house.token(organizationId="acme"))
    assert member is not None
    assert (member.role, member.account_id) == (Role.MEMBER, "acme")


async def test_nobody_is_reset_who_is_not_there(house: House) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await house.peppers.reset("nobody", "operator")


async def test_what_was_read_before_a_change_is_not_believed_after_it(house: House, alice: str) -> None:
    asked = house.counting.ask

    async def overtaken(statement: str, values: Row = ()) -> list[Row]:
        found = await asked(statement, values)
        await house.peppers.reset("alice", "operator")
        return found

    house.counting.ask = overtaken  # type: ignore[method-assign]
    assert await house.call(alice)
    house.counting.ask = asked  # type: ignore[method-assign]
    assert await house.call(alice) is None
