"""What history would cost at other prices, and the booking of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support_prices import Desk, dataset, record
from trivium.errors import OperationError
from trivium.metering.overlay import day

NOW = day("2026-11-20")
TOKENS = {"usage_known": True, "input_uncached_tokens": 1_000_000}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, NOW, known=dataset())


async def test_nothing_is_booked_unless_it_is_asked_for(desk: Desk) -> None:
    desk.put(record("a", cost_nano=3 * 10**9, **TOKENS), record("b", cost_nano=10**9, account_id="acme", **TOKENS))
    await desk.perform("prices.set", pattern="house/m", price={"input": 2, "output": 1}, effective_ms=0)
    told = await desk.perform("prices.rerate", since_ms=0)
    assert told == {
        "groups": [
            {
                "model": "house/m", "account_id": account, "requests": 1, "changed": 1, "unpriced": 0,
                "before_nano": before, "after_nano": 2 * 10**9, "difference_nano": 2 * 10**9 - before,
            }
            for account, before in (("acme", 10**9), (None, 3 * 10**9))
        ],
        "booked": 0,
    }  # fmt: skip
    assert desk.booked == {}


async def test_a_time_that_ends_before_it_begins_is_refused(desk: Desk) -> None:
    with pytest.raises(OperationError, match="ends before it begins"):
        await desk.perform("prices.rerate", since_ms=NOW, until_ms=NOW)


async def test_each_difference_is_booked_once_with_a_version_that_is_kept(desk: Desk) -> None:
    desk.put(
        record("a", cost_nano=3 * 10**9, account_id="acme", **TOKENS),
        record("same", cost_nano=2 * 10**9, **TOKENS),
    )
    await desk.perform("prices.set", pattern="house/m", price={"input": 2, "output": 1}, effective_ms=0)
    for booked in (1, 0):
        assert (await desk.perform("prices.rerate", since_ms=0, apply=True))["booked"] == booked
    ((request, version),) = desk.booked
    correction = desk.booked[request, version]
    assert (request, correction.account_id, correction.before_nano, correction.after_nano) == (
        "a", "acme", 3 * 10**9, 2 * 10**9,
    )  # fmt: skip
    assert desk.store.find(version)


async def test_the_price_is_that_of_the_requests_own_time_and_account(desk: Desk) -> None:
    await desk.perform("prices.set", pattern="house/m", price={"input": 1, "output": 1}, effective_ms=0)
    await desk.perform("prices.set", pattern="house/m", price={"input": 2, "output": 1}, effective_ms=1000)
    await desk.perform("prices.set", pattern="*", markup_ppm=500_000, account_id="acme", effective_ms=0)
    desk.put(
        record("early", time_ms=999, **TOKENS),
        record("late", time_ms=1000, **TOKENS),
        record("acme", time_ms=999, account_id="acme", **TOKENS),
    )
    await desk.perform("prices.rerate", since_ms=0, apply=True)
    assert {id: one.after_nano for (id, _), one in desk.booked.items()} == {
        "early": 10**9, "late": 2 * 10**9, "acme": 15 * 10**8,
    }  # fmt: skip


async def test_every_bucket_and_the_service_tier_count(desk: Desk) -> None:
    table = {
        "input": 1, "output": 10, "cache_read": "0.1", "cache_write": 2, "cache_write_1h": 3, "reasoning": 20,
        "tools": {"web_search": 1000}, "tiers": {"batch": {"input": "0.5"}},
    }  # fmt: skip
    await desk.perform("prices.set", pattern="house/m", price=table, effective_ms=0)
    million = 1_000_000
    desk.put(
        record(
            "a", input_uncached_tokens=million, cache_read_tokens=million, cache_write_5m_tokens=million,
            cache_write_1h_tokens=million, cache_write_other_tokens=million, output_tokens=2 * million,
            reasoning_tokens=million, server_tools='{"web_search":2}', service_tier="batch",
        )
    )  # fmt: skip
    (told,) = (await desk.perform("prices.rerate", since_ms=0))["groups"]
    assert told["after_nano"] == 0.5e9 + 0.1e9 + 2e9 + 3e9 + 2e9 + 10e9 + 20e9 + 2e9


async def test_what_nobody_can_price_stays_and_is_counted(desk: Desk) -> None:
    desk.put(
        record("no price", cost_nano=5, upstream_model="n", **TOKENS),
        record("no tokens", cost_nano=5, cost_source="estimated"),
        record("unpriced", cost_source=None, flags="unpriced", **TOKENS),
    )
    await desk.perform("prices.set", pattern="house/m", price={"input": 2, "output": 1}, effective_ms=0)
    first, second = (await desk.perform("prices.rerate", since_ms=0, apply=True))["groups"]
    assert (first["model"], first["requests"], first["unpriced"], first["before_nano"], first["after_nano"]) == (
        "house/m", 2, 1, 5, 5 + 2 * 10**9,
    )  # fmt: skip
    assert (second["model"], second["unpriced"], second["difference_nano"]) == ("house/n", 1, 0)
    assert [id for id, _ in desk.booked] == ["unpriced"]


async def test_a_provider_that_is_configured_no_more_is_known_by_its_name(desk: Desk) -> None:
    desk.providers.pop(0)
    desk.models.pop("anthropic")
    desk.put(record("a", provider="anthropic", upstream_model="claude-opus-5-5", time_ms=NOW, **TOKENS))
    (told,) = (await desk.perform("prices.rerate", since_ms=0))["groups"]
    assert told["after_nano"] == 4 * 10**9


async def test_only_the_time_and_the_model_that_were_asked_for(desk: Desk) -> None:
    desk.put(
        *(record(f"t{n}", time_ms=n, **TOKENS) for n in range(10)),
        *(record(f"n{n}", time_ms=n, upstream_model="n", **TOKENS) for n in range(10)),
        record("future", time_ms=NOW + 10**9, **TOKENS),
    )
    told = await desk.perform("prices.rerate", since_ms=3, until_ms=5, model="house/n")
    assert [(one["model"], one["requests"]) for one in told["groups"]] == [("house/n", 2)]
    told = await desk.perform("prices.rerate", since_ms=0)
    assert sum(one["requests"] for one in told["groups"]) == 20


async def test_a_long_history_is_one_sum(desk: Desk) -> None:
    desk.put(*(record(f"r{n:05}", cost_nano=1, account_id="acme", **TOKENS) for n in range(1100)))
    await desk.perform("prices.set", pattern="house/m", price={"input": 2, "output": 1}, effective_ms=0)
    told = await desk.perform("prices.rerate", since_ms=0, apply=True)
    assert (told["booked"], told["groups"][0]["requests"]) == (1100, 1100)
    assert told["groups"][0]["difference_nano"] == 1100 * (2 * 10**9 - 1)
