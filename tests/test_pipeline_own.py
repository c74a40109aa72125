"""Calls that the caller's own upstream key pays for, through a real gateway and a scripted vendor."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway import CALLS, CHAT, MESSAGES, RESPONSES, Running, running
from test_pipeline_handle import message_of
from trivium.mock import Reply, Rule, Usage
from trivium.policy.caller import OrganizationSettings, Policy, Role
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User

KEY = "sk-own-canary-0123456789abcdef"
OTHER = "sk-own-second-fedcba9876543210"
OPEN = '[security]\nallow_networks = ["127.0.0.0/8"]\nallow_http = true\n'
"""The scripted vendor listens on loopback."""
CREDITS = f'{OPEN}[billing]\nmode = "credits"\n'


class People:
    """Ann, who has a key of her own, and the organization acme, which she is a member of."""

    def __init__(self, house: Running) -> None:
        self.house = house
        self.perform = house.gateway.operations.perform

    async def settle(self, policy: Policy | None = None) -> People:
        store = self.house.gateway.store
        await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
        settings = OrganizationSettings(policy=policy or Policy())
        acme = OrganizationRow(id="acme", name="Acme", created_ms=1, settings=settings)
        await store.organizations.add(acme, "ann", "operator")
        self.house.key = store.keys.create("ann's", user_id="ann", account_id="ann")[1]
        self.member_key = store.keys.create("member's", user_id="ann", account_id="acme")[1]
        return self

    async def bring(self, vendor: str, key: str = KEY, /, **what: Any) -> dict[str, Any]:
        """Adds a key of Ann's; the scripted vendor is where it is good unless something else is said."""
        owner = {} if "organization" in what else {"user": "ann"}
        url = {"base_url": f"{self.house.upstream.url}/{vendor}/v1"}
        given = {"vendor": vendor, "credential": {"key": key}, **owner, **url, **what}
        return await self.perform("byok.add", given)  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def people(
    *rules: Rule | Reply,
    settings: str = CREDITS,
    policy: Policy | None = None,
    provider: str = 'apis = ["chat", "responses", "messages"]\nmodels = ["m"]',
) -> AsyncIterator[People]:
    async with running(*rules, settings=settings, provider=provider) as house:
        yield await People(house).settle(policy)


def named(body: dict[str, Any], model: str) -> dict[str, Any]:
    return {**body, "model": model}


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_model_of_a_vendor_that_the_caller_has_a_key_for_is_paid_by_that_key(
    path: str, body: dict[str, Any]
) -> None:
    async with people(Reply(text="hello", usage=Usage(input=7, output=5))) as ann:
        await ann.bring("anthropic")
        status, answer, _ = await ann.house.post(path, named(body, "anthropic/claude-sonnet-4.5"))
        (asked,) = ann.house.upstream.requests
        record = await ann.house.record()
    assert (status, "hello" in str(answer)) == (200, True)
    assert asked.path == "/anthropic/v1/messages"
    assert asked.headers["x-api-key"] == KEY
    assert asked.json["model"] == "claude-sonnet-4-5"
    assert (record["payer"], record["provider"], record["cost_usd"]) == ("byok", "anthropic", "0")
