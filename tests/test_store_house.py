"""The house's settings in the database."""

from __future__ import annotations

import pytest

from support_store import rows
from trivium.errors import PreconditionFailed
from trivium.policy.access import Gate, HouseSettings
from trivium.policy.caller import Limits
from trivium.store.house import Settings
from trivium.store.store import Store

CLOSED = HouseSettings(apis={"messages": Gate(open_to="admins")}, key_limits=Limits(requests_per_minute=5))


async def test_until_they_are_set_everything_is_open(store: Store) -> None:
    assert await store.house.get() == Settings()


async def test_they_have_a_version_that_goes_up(store: Store) -> None:
    assert await store.house.set(CLOSED, 0, "op") == Settings(version=1, settings=CLOSED)
    with pytest.raises(PreconditionFailed, match="have version 1, not 0"):
        await store.house.set(HouseSettings(), 0, "op")
    assert await store.house.get() == Settings(version=1, settings=CLOSED)
    assert (await store.house.set(HouseSettings(), None, "adm")).version == 2
    told = rows(store.database, "SELECT actor, action, target, before, after FROM changes ORDER BY seq")
    assert [line[:3] for line in told] == [("op", "settings.set", "house"), ("adm", "settings.set", "house")]
    assert told[0][4] == told[1][3]
