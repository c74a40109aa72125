"""What is done about API keys; who may is in `test_operations_people.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_desk import Desk, member
from trivium.clock import SystemClock
from trivium.errors import NotFound, OperationError
from trivium.policy.caller import Role
from trivium.store.store import Store

MINUTE = 60_000


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock())
    desk = Desk(store)
    await desk.organization("acme")
    yield desk
    await store.close()


async def test_everything_about_a_key_is_said_where_it_is_made(desk: Desk) -> None:
    later = desk.store.clock.now_ms() + MINUTE
    said: dict[str, Any] = {
        "scopes": {"apis": ("messages",), "models": ("up/*",), "networks": ("10.0.0.0/8", "2001:db8::1")},
        "limits": {"requests_per_minute": 3, "concurrent_requests": 1},
    }
    budget = {"usd": "2.5", "period": "week"}
    made = await desk(
        "keys.create", name="ci", organization="acme", user="acme-member", expires_ms=later, budget=budget, **said
    )
    assert (made["account_id"], made["user_id"], made["expires_ms"]) == ("acme", "acme-member", later)
    shown = await desk("keys.show", key="ci")
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert shown["scopes"] == said["scopes"]
    (row,) = await desk.items("budgets.list", organization="acme")
    assert (row["scope"], row["period"], row["usd"]) == (f"key:{made['id']}", "week", "2.5")
    assert await desk.store.ledger.counts([f"key:{made['id']}"])


async def test_a_short_lived_one_expires_after_fifteen_minutes_and_is_in_the_log(desk: Desk) -> None:
    before = desk.store.clock.now_ms()
    made = await desk("keys.create", name="k", organization="acme", short_lived=True)
    assert before + 15 * MINUTE <= made["expires_ms"] <= desk.store.clock.now_ms() + 15 * MINUTE
    line = (await desk("changes.list", limit=1))["items"][0]
    assert (line["action"], line["after"]["expires_ms"]) == ("keys.create", made["expires_ms"])


async def test_what_is_not_said_stays_and_what_is_said_as_none_goes(desk: Desk) -> None:
    later = desk.store.clock.now_ms() + MINUTE
    made = await desk("keys.create", name="k", limits={"requests_per_minute": 3}, expires_ms=later)
    changed = await desk("keys.set", key="k", name="laptop", strict=True)
    assert changed["limits"] == made["limits"]
    assert (changed["name"], changed["strict"], changed["expires_ms"]) == ("laptop", True, later)
    changed = await desk("keys.set", key="laptop", expires_ms=None, limits={}, budget={"usd": "0", "period": "total"})
    assert (changed["expires_ms"], changed["limits"]["requests_per_minute"]) == (None, None)
    assert [row["usd"] for row in await desk.items("budgets.list")] == ["0"]


async def test_it_is_rotated_and_revoked(desk: Desk) -> None:
    made = await desk("keys.create", name="k")
    rotated = await desk("keys.rotate", key="k", overlap_hours=1)
    assert (rotated["id"], rotated["key"] == made["key"]) == (made["id"], False)
    for text in (made["key"], rotated["key"]):
        assert await desk.store.keys.find(text)
    assert (await desk("keys.show", key=made["id"]))["last_used_ms"]
    await desk("keys.revoke", key="k")
    for text in (made["key"], rotated["key"]):
        assert await desk.store.keys.find(text) is None
    told = str(await desk.items("changes.list"))
    assert made["key"] not in told
    assert rotated["key"] not in told
    assert (await desk("keys.show", key=made["id"]))["revoked_ms"]
    assert await desk.refusal("keys.rotate", key=made["id"]) == "not_found"


async def test_a_list_is_of_all_of_an_organizations_or_of_a_users(desk: Desk) -> None:
    keys: dict[str, dict[str, Any]] = {
        "a": {"organization": "acme", "user": "acme-member"},
        "b": {"organization": "acme"},
        "c": {"user": "acme-member"},
        "d": {},
    }
    for name, owner in keys.items():
        await desk("keys.create", name=name, **owner)

    async def names(**whose: Any) -> str:
        return "".join(sorted(key["name"] for key in await desk.items("keys.list", **whose)))

    assert (await names(), await names(organization="acme"), await names(user="acme-member")) == ("abcd", "ab", "ac")
    assert await names(organization="acme", user="acme-member") == "a"


@pytest.mark.parametrize(
    "more",
    [
        {"expires_ms": 1},
        {"short_lived": True, "expires_ms": 2**47},
        {"scopes": {"networks": ["10.0.0.0/33"]}},
        {"scopes": {"networks": ["example.org"]}},
        {"scopes": {"apis": ["images"]}},
        {"scopes": {"models": [""]}},
        {"limits": {"requests_per_minute": 10**13}},
        {"budget": {"usd": "-1", "period": "day"}},
        {"budget": {"usd": "1", "period": "year"}},
        {"organization": "acme", "account": "other"},
        {"organization": "nowhere"},
        {"project": "a/b"},
        {"user": ""},
    ],
)
async def test_what_is_none_is_refused_and_no_key_is_made(desk: Desk, more: dict[str, Any]) -> None:
    with pytest.raises(OperationError):
        await desk("keys.create", name="k", **more)
    assert await desk.items("keys.list") == []
    assert await desk.items("budgets.list") == []


async def test_an_organizations_key_is_for_one_that_is_there_and_an_account_is_none(desk: Desk) -> None:
    await desk("accounts.create", name="Alone", id="alone")
    for id in ("nowhere", "alone", "acme-member"):
        with pytest.raises(NotFound, match=f"There is no organization '{id}'."):
            await desk("keys.create", name="k", organization=id)
    assert (await desk("keys.create", name="k", account="alone"))["account_id"] == "alone"


async def test_who_is_not_of_the_house_has_no_other_account_pay(desk: Desk) -> None:
    await desk("accounts.create", name="Alone", id="alone")
    mike, owner = member("acme-member", {"acme": Role.MEMBER}), member("acme-owner", {"acme": Role.OWNER})
    for account in ("alone", "acme", "nowhere"):
        asked = {"name": "k", "user": "acme-member", "account": account}
        assert await desk.refusal("keys.create", mike, **asked) == "role_missing"
    assert await desk.items("keys.list") == []
    own = await desk("keys.create", mike, name="k", user="acme-member", account="acme-member")
    assert own["account_id"] == "acme-member"
    made = await desk("keys.create", owner, name="k2", organization="acme", account="acme")
    assert made["account_id"] == "acme"


@pytest.mark.parametrize("said", [{"expires_ms": 1}, {"name": ""}, {"project": "a b"}, {"scopes": {"networks": ["x"]}}])
async def test_what_is_none_changes_nothing(desk: Desk, said: dict[str, Any]) -> None:
    made = await desk("keys.create", name="k")
    with pytest.raises(OperationError):
        await desk("keys.set", key="k", **said)
    assert await desk("keys.show", key="k") == {name: value for name, value in made.items() if name != "key"}
