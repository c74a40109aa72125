"""The figures of a home page."""

from __future__ import annotations

from typing import Any

import pytest

from support_clock import Standing
from support_desk import Desk, member
from support_store import keep
from trivium import ids
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.policy.caller import Role

NOW = 1_767_960_000_000 + 754_321  # 2026-01-09, 12:12 UTC
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
def clock() -> Standing:
    return Standing(NOW)


def call(id: str, time_ms: int, **more: Any) -> Record:
    told = {"api": "chat_completions", "operation": "generate", "outcome": "success", "status": 200, "ttfb_us": 300_000}
    return Record(id=id, time_ms=time_ms, **told | more)  # type: ignore[arg-type]


async def test_today_stands_beside_yesterday_up_to_the_same_hour(desk: Desk) -> None:
    keep(
        desk.store.database,
        [
            call("a", NOW, cost_nano=5),
            call("b", NOW - 12 * HOUR, outcome="failed", status=502, cost_nano=1),
            call("c", NOW - DAY, cost_nano=2),
            call("late", NOW - DAY + 2 * HOUR),
            call("old", NOW - 2 * DAY),
        ],
    )
    told = await desk("overview")
    assert (told["now_ms"], told["since_ms"]) == (NOW, NOW - NOW % DAY)
    assert [(told[day]["requests"], told[day]["cost_nano"]) for day in ("today", "yesterday")] == [(2, 6), (1, 2)]
    assert told["today"]["error_rate"] == 0.5
    assert 262 < told["today"]["ttfb_p50_ms"] < 525
    assert [(hour["hour"], hour["requests"], hour["failed"]) for hour in told["hours"]] == [
        ("2026-01-08T14:00Z", 1, 0),
        ("2026-01-09T00:00Z", 1, 1),
        ("2026-01-09T12:00Z", 1, 0),
    ]


async def test_what_goes_on_now_is_counted_for_whose_it_is(desk: Desk) -> None:
    for id in ("acme", "blue"):
        await desk.organization(id)
    keys = {}
    for n, (organization, stream) in enumerate((("acme", True), ("acme", False), ("blue", True))):
        key = await desk("keys.create", name=f"k{n}", organization=organization, user=f"{organization}-member")
        keys[n] = key["id"]
        start = Start(
            id=ids.request_id(), time_ms=NOW, api="chat_completions", key_id=key["id"], account_id=None, scopes=(),
            organization_id=organization, payer=None, hold_nano=0, requested_model="m", provider="up",
            upstream_model="m", price_version=None, stream=stream,
        )  # fmt: skip
        await desk.store.ledger.start(start)
    assert (await desk("overview"))["live"] == {"calls": 3, "streams": 2}
    owner = member("acme-owner", {"acme": Role.OWNER})
    assert (await desk("overview", owner, organization="acme"))["live"] == {"calls": 2, "streams": 1}
    own = member("blue-member")
    assert (await desk("overview", own, user="blue-member"))["live"] == {"calls": 1, "streams": 1}
    assert await desk.refusal("overview", own) == "role_missing"
    assert await desk.refusal("overview", own, organization="blue") == "not_found"
