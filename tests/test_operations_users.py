"""What is done about users and e-mail domains."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_desk import Desk
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.store.sessions import Visit
from trivium.store.store import Store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock())
    yield Desk(store)
    await store.close()


async def test_a_user_is_made_shown_changed_and_listed(desk: Desk) -> None:
    made = await desk("users.create", name=" Ann ", email="Ann@One.example", limits={"requests_per_minute": 3})
    assert made["id"].startswith("user_")
    assert (made["name"], made["email"], made["staff"]) == ("Ann", "ann@one.example", False)
    assert await desk("users.show", user=made["id"]) == made
    changed = await desk("users.set", user=made["id"], staff=True, email=None)
    assert changed == made | {"staff": True, "email": None}
    others = [(await desk("users.create", name="x", id=id))["id"] for id in ("a", "b", "c")]
    assert [user["id"] for user in await desk.items("users.list")] == [*others, made["id"]]
    assert (await desk("users.set", user="a", email="a@B.example"))["email"] == "a@b.example"
    assert [user["id"] for user in await desk.items("users.list", email="A@b.example")] == ["a"]
    assert [user["id"] for user in await desk.items("users.list", id="a")] == ["a"]
    assert await desk.items("users.list", id="a", email="nobody@b.example") == []


async def test_blocks_and_revocations_say_what_they_did(desk: Desk) -> None:
    for id in ("ann", "bob"):
        await desk("users.create", name=id, id=id)
    assert await desk("users.block", users=["ann", "bob", "ann"], why="spam") == {"blocked": 2}
    assert await desk.refusal("users.block", users=["ann", "nobody"]) == "not_found"
    shown = await desk("users.show", user="ann")
    assert (shown["blocked_why"], shown["blocked_ms"] is None) == ("spam", False)
    assert (await desk("users.unblock", user="ann"))["blocked_ms"] is None
    key = await desk("keys.create", name="k", user="ann")
    assert await desk("users.revoke_keys", user="ann") == {"revoked": (key["id"],)}
    assert await desk("domains.block", domain="Spam.Example") == {"domain": "spam.example", "blocked": True}
    assert await desk("domains.list") == {"items": ["spam.example"], "next": None}
    assert await desk("domains.unblock", domain="spam.example") == {"domain": "spam.example", "blocked": False}
    assert [action for _, action, _ in await desk.log()][2:] == [
        *("users.block", "users.block", "users.unblock", "keys.create", "users.revoke_keys"),
        *("domains.block", "domains.unblock"),
    ]


async def test_who_is_erased_is_named_nowhere_any_more(desk: Desk) -> None:
    for id in ("ann", "bob"):
        await desk("users.create", name=f"{id} Canary", id=id, email=f"{id}@canary.example")
        await desk("keys.create", name=f"{id}s canary", user=id)
        await desk("passwords.set", user=id, password="canary in a coal mine")
        await desk("sessions.link", user=id)
        await desk.store.sessions.open(id, Visit(way="link", agent="canary", address="192.0.2.1", lasts_ms=10**9))
        await desk.store.sessions.identified("https://id.example", id, f"{id}@canary.example")
        await desk("users.block", users=[id], why="canary")  # which ends all sessions
    await desk("domains.block", domain="canary.example")
    await desk("users.revoke_keys", user="ann")
    done = await desk("retention.erase", user="ann", apply=True)
    assert (done["live_keys"], done["applied"]) == (0, True)
    ann = [
        await desk("users.show", user="ann"),
        *await desk.items("accounts.list", user="ann"),
        *(line for line in await desk.items("changes.list") if line["target"] == "ann"),
    ]
    keys = [key for key in await desk.items("keys.list") if key["name"] == "erased"]
    ann += [line for line in await desk.items("changes.list") if line["target"] in {key["id"] for key in keys}]
    assert len(ann) == 10
    assert "anary" not in str(ann)
    for table in ("sign_in_links", "passwords", "identities"):
        assert desk.store.database.query(f"SELECT user_id FROM {table}")[1] == [("bob",)], table
    # The others, and what blocks, stay as they were.
    assert (await desk("users.show", user="bob"))["email"] == "bob@canary.example"
    (domain,) = desk.store.database.query("SELECT domain FROM users WHERE id = 'ann'")[1]
    assert domain == ("canary.example",)


async def test_who_is_erased_is_signed_out(desk: Desk) -> None:
    for id in ("ann", "bob"):
        await desk("users.create", name=id, id=id)
        await desk.store.sessions.open(id, Visit(way="link", agent="a browser", address="192.0.2.1", lasts_ms=10**9))
    await desk("retention.erase", user="ann", apply=True)
    assert desk.store.database.query("SELECT user_id FROM sessions")[1] == [("bob",)]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("users.create", {"name": ""}),
        ("users.create", {"name": "x", "id": "a b"}),
        ("users.create", {"name": "x", "id": "-a"}),
        ("users.create", {"name": "x", "email": "nobody"}),
        ("users.create", {"name": "x", "email": "a b@c.example"}),
        ("users.create", {"name": "x", "limits": {"requests_per_minute": -1}}),
        ("users.create", {"name": "x", "limits": {"requests": 1}}),
        ("users.set", {"user": "ann", "name": "\n"}),
        ("users.block", {"users": []}),
        ("users.block", {"users": ["a"] * 1001}),
        ("domains.block", {"domain": "a@b"}),
        ("domains.block", {"domain": ""}),
        ("users.list", {"limit": 201}),
    ],
)
async def test_what_is_none_is_refused(desk: Desk, operation: str, arguments: dict[str, Any]) -> None:
    await desk("users.create", name="ann", id="ann")
    with pytest.raises(OperationError):
        await desk(operation, **arguments)
