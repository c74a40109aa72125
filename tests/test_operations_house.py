"""What the house decides while it runs, and the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_desk import Desk
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.operations.house import HouseOperations
from trivium.operations.operations import Operations
from trivium.policy.access import HouseSettings
from trivium.store.store import Store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock())
    yield Desk(store)
    await store.close()


async def test_settings_are_taken_into_use_when_they_are_set(desk: Desk) -> None:
    heard: list[HouseSettings] = []
    desk.operations = Operations(desk.store, [HouseOperations(desk.store, heard.append).table])
    assert (await desk("settings.show"))["version"] == 0
    gate = {"open_to": "named", "users": ["ann"]}
    changed = await desk("settings.set", settings={"apis": {"messages": gate}, "models": {"up/*": gate}}, version=0)
    assert await desk("settings.show") == changed
    assert [settings.apis["messages"].users for settings in heard] == [("ann",)]
    assert await desk.refusal("settings.set", settings={}, version=0) == "changed_meanwhile"
    assert len(heard) == 1


async def test_a_gate_for_what_there_is_not_is_refused(desk: Desk) -> None:
    wrong: list[Any] = [{"apis": {"telepathy": {}}}, {"apis": {"messages": {"open_to": "some"}}}, {"gates": {}}]
    for settings in wrong:
        with pytest.raises(OperationError):
            await desk("settings.set", settings=settings)


async def test_the_log_is_of_every_change_the_newest_first(desk: Desk) -> None:
    await desk("accounts.create", name="Ann", id="ann")
    await desk("credits.grant", account="ann", usd="3", note="gift", idempotency_key="g1")
    await desk("credits.grant", account="ann", usd="3", note="gift", idempotency_key="g1")
    await desk("credits.adjust", account="ann", usd="-1")
    budget = await desk("budgets.set", scope="account:ann", period="day", usd="1")
    await desk("budgets.set", scope="account:ann", period="day", usd="2")
    await desk("budgets.remove", budget=budget["id"])
    await desk("settings.set", settings={"key_limits": {"requests_per_minute": 1}})
    await desk("retention.erase", user="ann", apply=True)
    assert await desk.log() == [
        ("operator", "accounts.create", "ann"),
        ("operator", "credits.grant", "ann"),
        ("operator", "credits.adjust", "ann"),
        ("operator", "budgets.set", budget["id"]),
        ("operator", "budgets.set", budget["id"]),
        ("operator", "budgets.remove", budget["id"]),
        ("operator", "settings.set", "house"),
        ("operator", "retention.erase", "user:ann"),
    ]
    lines = await desk.items("changes.list", organization="ann")
    assert [(line["before"] or {}).get("usd") for line in lines][:2] == ["2", "1"]
    assert lines[-1]["after"] == {"usd": "3", "note": "gift"}
    assert [line["seq"] for line in lines] == sorted((line["seq"] for line in lines), reverse=True)
