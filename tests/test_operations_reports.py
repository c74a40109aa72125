"""Reports and receipts as operations; whose they are is in `test_operations_people.py`."""

from __future__ import annotations

import pytest

from support_desk import Desk
from support_store import keep
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.store import search


def call(id: str, time_ms: int = 1, **more: object) -> Record:
    told = {"api": "chat", "operation": "generate", "outcome": "success", "status": 200}
    return Record(id=id, time_ms=time_ms, **told | more)  # type: ignore[arg-type]


async def test_requests_come_in_parts_also_where_many_arrived_at_once(desk: Desk) -> None:
    records = [call(f"req_{n}", time_ms) for n, time_ms in enumerate((1, 2, 2, 2, 2, 3, 3))]
    keep(desk.store.database, records)
    found = [row["id"] for row in await desk.items("requests")]
    assert found == ["req_6", "req_5", "req_4", "req_3", "req_2", "req_1", "req_0"]


async def test_of_requests_the_newest_come_first_and_an_outcome_can_be_asked_for(desk: Desk) -> None:
    keep(desk.store.database, [call(f"r{n}", n, outcome=("success", "failed")[n % 2]) for n in range(30)])
    told = await desk("requests", limit=3)
    assert [row["id"] for row in told["items"]] == ["r29", "r28", "r27"]
    told = await desk("requests", limit=15, outcome="failed")
    assert [row["id"] for row in told["items"]] == [f"r{n}" for n in range(29, 0, -2)]
    assert told["next"] is None
    assert [row["id"] for row in (await desk("requests", id="r7"))["items"]] == ["r7"]
    assert (await desk("requests", id="r7", outcome="success"))["items"] == []


async def test_who_has_few_requests_among_very_many_gets_them_without_a_look_at_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_STEP", 2)
    monkeypatch.setattr(search, "_MOST", 8)
    records = [call(f"r{n:03}", n * 3_600_000 // 4, organization_id="acme" if n == 9 else "blue") for n in range(400)]
    keep(desk.store.database, records)
    told = await desk("requests", organization="acme")
    assert ([row["id"] for row in told["items"]], told["next"]) == (["r009"], None)


@pytest.mark.parametrize("after", ["x", "1", "x:req_1", f"{'9' * 16}:req_1"])
async def test_a_cursor_that_was_made_up_does_no_harm(desk: Desk, after: str) -> None:
    keep(desk.store.database, [call("req_1")])
    try:
        assert (await desk("requests", after=after))["items"] == []
    except OperationError as error:
        assert "No part of this list begins there" in error.message  # either will do


async def test_a_request_that_there_is_not_has_no_receipt(desk: Desk) -> None:
    assert await desk.refusal("receipt", request="req_0") == "not_found"
    assert await desk("requests", id="req_0") == {"items": [], "next": None}


async def test_calls_of_an_organizations_keys_are_its_own_where_no_balance_is_charged(desk: Desk) -> None:
    """In meter mode a record names no account."""
    for id in ("acme", "blue"):
        await desk.organization(id)
        key = await desk("keys.create", name="k", organization=id, user=f"{id}-member")
        keep(desk.store.database, [call(f"req_{id}", key_id=key["id"])])
    assert [row["id"] for row in await desk.items("requests", organization="acme")] == ["req_acme"]
    rows = await desk("usage", organization="acme", by=["key"])
    assert [row["requests"] for row in rows] == [1]
    assert await desk("usage", organization="acme", user="blue-member") == []
    assert [row["id"] for row in await desk.items("requests", user="blue-member")] == ["req_blue"]


async def test_usage_has_the_groups_that_were_asked_for_alone(desk: Desk) -> None:
    keep(desk.store.database, [call("req_1", key_id="k")])
    (row,) = await desk("usage", by=["api", "key"])
    assert list(row)[:3] == ["api", "key", "requests"]
    assert "model" not in row
