"""Upstream keys as their owners manage them: what goes in never comes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.operations.byok import ByokOperations
from trivium.operations.operations import Operations
from trivium.policy.destinations import Destinations, check_url
from trivium.store.organizations import OrganizationRow
from trivium.store.store import Store
from trivium.store.users import User

KEY = "sk-canary-0123456789"
AWS_ID = "AKIDEXAMPLE000000001"


class Desk:
    def __init__(self, store: Store) -> None:
        byok = ByokOperations(store.secrets, lambda url: check_url(url, Destinations()))
        self.store = store
        self._operations = Operations(store, [byok.table])

    async def __call__(self, operation: str, /, **arguments: Any) -> Any:
        owner = {} if "organization" in arguments else {"user": "ann"}
        return await self._operations.perform(f"byok.{operation}", owner | arguments)

    async def add(self, vendor: str = "openai", /, **arguments: Any) -> Any:
        return await self("add", **{"vendor": vendor, "credential": {"key": KEY}, **arguments})

    async def refusal(self, operation: str, /, **arguments: Any) -> str:
        with pytest.raises(OperationError) as told:
            await self(operation, **arguments)
        assert KEY not in f"{told.value!r} {told.value.message} {told.value.detail}"
        return told.value.message


@pytest.fixture
async def byok(home: Home, tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock(), home.url)
    await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
    await store.organizations.add(OrganizationRow(id="acme", name="Acme", created_ms=1), "ann", "operator")
    yield Desk(store)
    await store.close()


async def test_a_key_is_added_and_shown_by_its_last_four_characters(byok: Desk) -> None:
    added = await byok.add(name="laptop")
    assert KEY not in str(added)
    assert {
        name: added[name] for name in ("user", "organization", "vendor", "name", "position", "hint", "enabled")
    } == {
        "user": "ann",
        "organization": None,
        "vendor": "openai",
        "name": "laptop",
        "position": 1,
        "hint": "6789",
        "enabled": True,
    }
    assert await byok("list") == [added]
    assert await byok("list", vendor="google") == []
    assert await byok("list", organization="acme") == []


async def test_a_key_is_sent_to_no_other_server_than_it_was_given_for(byok: Desk) -> None:
    """Who may say where a key is sent would have it otherwise, though it is never shown."""
    await byok.add()
    elsewhere = "https://another.example.org/v1"
    for _ in range(2):
        assert "give it again with the new URL" in await byok.refusal("set", key="main", base_url=elsewhere)
        assert [row["base_url"] for row in await byok("list")] == [None]
    moved = await byok("set", key="main", base_url=elsewhere, credential={"key": KEY})
    assert moved["base_url"] == elsewhere
    assert "give it again" in await byok.refusal("set", key="main", base_url=f"{elsewhere}/x")
    same = await byok("set", key="main", base_url=f"{elsewhere}/", name="renamed")
    assert (same["base_url"], same["name"]) == (elsewhere, "renamed")
    assert (await byok("set", key="renamed", base_url=""))["base_url"] is None, "the vendor's own needs no word"


async def test_what_is_set_changes_and_the_rest_stays(byok: Desk) -> None:
    added = await byok.add(base_url="https://proxy.example.org/v1/")
    assert added["base_url"] == "https://proxy.example.org/v1"
    changed = await byok("set", key="main", name="renamed", enabled=False)
    assert changed == {**added, "name": "renamed", "enabled": False}
    changed = await byok("set", key=added["id"], credential={"key": "sk-another-key-9999"}, base_url="")
    assert (changed["hint"], changed["base_url"], changed["name"]) == ("9999", None, "renamed")


async def test_keys_are_put_in_order_and_removed(byok: Desk) -> None:
    for name in ("a", "b", "c"):
        await byok.add(name=name)
    ordered = await byok("order", vendor="openai", keys=["c", "a", "b"])
    assert [(key["name"], key["position"]) for key in ordered] == [("c", 1), ("a", 2), ("b", 3)]
    await byok("remove", key="a")
    assert [key["name"] for key in await byok("list")] == ["c", "b"]
    assert (await byok.add(name="d"))["position"] == 4


async def test_an_organization_has_keys_of_its_own(byok: Desk) -> None:
    added = await byok.add(
        "bedrock", organization="acme", region="eu-west-1", credential={"key": KEY, "access_key_id": AWS_ID}
    )
    assert (added["organization"], added["user"], added["region"], added["hint"]) == ("acme", None, "eu-west-1", "0001")
    ((organization, action),) = rows(
        byok.store.database, "SELECT organization_id, action FROM changes WHERE action LIKE 'byok%'"
    )
    assert (organization, action) == ("acme", "byok.add")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"vendor": "nobody"}, "There is no such vendor; expected one of anthropic, openai"),
        ({"vendor": KEY}, "There is no such vendor"),
        ({"credential": {"key": "short"}}, "Expected 8 to 10,000 printable characters of ASCII without blanks"),
        ({"credential": {"key": KEY + " x"}}, "printable characters of ASCII without blanks"),
        ({"credential": KEY}, "Expected `object`, got `str`"),
        ({"credential": {"key": KEY, "extra": KEY}}, "unknown field `extra`"),
        ({"name": ""}, "length >= 1"),
        ({"region": "eu-west-1"}, "OpenAI has no regions"),
        ({"vendor": "bedrock", "region": "evil.example/"}, "Expected a region, as us-east-1"),
        ({"credential": {"key": KEY, "access_key_id": AWS_ID}}, "Only bedrock takes AWS credentials"),
        ({"vendor": "bedrock", "credential": {"key": KEY, "session_token": KEY}}, "belongs to an access key id"),
        ({"vendor": "custom"}, "needs the base URL of the server"),
        ({"base_url": "https://127.0.0.1/v1"}, "The URL cannot be used: its address is not allowed here (loopback)"),
        ({"base_url": "http://example.org/v1"}, "only https is allowed here"),
        ({"base_url": f"https://{KEY}@example.org/"}, "it may hold no user and no password"),
        ({"organization": "acme", "user": "ann"}, "Name whose key it is"),
        ({"organization": "nobody"}, "There is no organization 'nobody'"),
    ],
)
async def test_what_cannot_be_kept_is_said_without_repeating_the_key(
    byok: Desk, arguments: dict[str, Any], said: str
) -> None:
    given = {"vendor": "openai", "credential": {"key": KEY}, **arguments}
    assert said in await byok.refusal("add", **given)
    assert await byok("list") == []


async def test_a_custom_server_keeps_its_address(byok: Desk) -> None:
    await byok.add("custom", base_url="https://llm.example.org/v1")
    assert "needs the base URL" in await byok.refusal("set", key="main", base_url="")
