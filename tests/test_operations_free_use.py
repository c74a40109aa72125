"""Who uses free models: as the house sees it while the limits count, and of days, weeks and months that are over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway import CHAT, Running, running
from support_money import PRICES
from support_redis import RedisServer
from trivium.clock import moment_ms
from trivium.errors import RoleMissing
from trivium.metering.record import Record
from trivium.mock import Reply, Usage
from trivium.operations.free_use import FreeUse, FreeUseOperations, Order, ShowFreeUse, as_one
from trivium.operations.table import OPERATOR, Actor
from trivium.policy.caller import Role
from trivium.policy.counters import Claim
from trivium.policy.free import LIMIT_REACHED
from trivium.settings import FreeSettings
from trivium.store import free_use
from trivium.store.counters import LocalCounters
from trivium.store.free_use import begins_of
from trivium.store.store import Store

SETTINGS = f"""
[server]
trusted_proxies = ["127.0.0.1"]
[models."up/*"]
{PRICES}
[free]
anonymous = true
per_ip_per_hour = 3
anonymous_per_ip_per_day = 100
per_user_per_hour = 2
[free.models."house/gift"]
route = "up/m-1"
"""
GIFT = {**CHAT, "model": "house/gift"}
ANSWER = Reply(text="Hi", usage=Usage(input=10, output=5))
DAY = 86_400_000


async def ask(house: Running, address: str, key: str | None = None, times: int = 1) -> list[int]:
    sent = {"x-forwarded-for": address}
    return [(await house.post("/v1/chat/completions", GIFT, key=key, headers=sent))[0] for _ in range(times)]


async def told(house: Running, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await house.gateway.operations.perform("free.use", arguments)
    return found


async def person(house: Running, id: str) -> str:
    perform = house.gateway.operations.perform
    await perform("users.create", {"id": id, "name": id.title()})
    return str((await perform("keys.create", {"name": f"{id}'s", "user": id}))["key"])


async def test_who_is_near_to_the_limits_and_who_is_refused() -> None:
    async with running(ANSWER, settings=SETTINGS) as house:
        ann = await person(house, "ann")
        assert await ask(house, "203.0.113.7", times=5) == [200, 200, 200, 429, 429]
        assert await ask(house, "198.51.100.1", ann, times=3) == [200, 200, 429]
        assert await ask(house, "198.51.100.2", house.key) == [200]
        found = await told(house)
    assert found["limits"] == {
        "per_ip_per_hour": 3,
        "anonymous_per_ip_per_day": 100,
        "per_user_per_hour": 2,
        "per_user_per_day": None,
    }
    greedy, two, one = found["addresses"]
    assert (greedy["name"], greedy["requests"], greedy["anonymous"], greedy["refused"]) == ("203.0.113.0/24", 3, 3, 2)
    assert (greedy["input_tokens"], greedy["output_tokens"], greedy["at_limit"]) == (30, 15, True)
    assert list(greedy["windows"]) == [
        {"limit": "per_ip_per_hour", "window_s": 3600, "most": 3, "used": 3, "refused": 2},
        {"limit": "anonymous_per_ip_per_day", "window_s": 86400, "most": 100, "used": 3, "refused": 0},
    ]
    assert (two["requests"], two["anonymous"], two["refused"], two["at_limit"]) == (2, 0, 1, False)
    assert [use["used"] for use in two["windows"]] == [2]
    assert one["requests"] == 1
    assert [(who["kind"], who["id"], who["name"]) for who in found["callers"]] == [
        ("user", "ann", "Ann"),
        ("key", found["callers"][1]["id"], "test"),
    ]
    assert [who["at_limit"] for who in found["callers"]] == [True, False]
    (use,) = found["callers"][0]["windows"]
    assert (use["limit"], use["used"], use["most"], use["refused"]) == ("per_user_per_hour", 2, 2, 1)
    worth = greedy["market_cost_nano"] // 3
    assert worth > 0
    assert found["total"] == {
        "requests": 6,
        "anonymous": 3,
        "refused": 3,
        "suspect": 0,
        "input_tokens": 60,
        "output_tokens": 30,
        "market_cost_nano": 6 * worth,
    }
    assert found["how_many"] == {"addresses": 3, "callers": 2, "at_limit": 2}


async def test_no_address_is_told_or_kept_beside_the_records() -> None:
    async with running(ANSWER, settings=SETTINGS) as house:
        await ask(house, "203.0.113.77", times=4)
        await ask(house, "2001:db8:1:2::77")
        await ask(house, "2001:db8:1:2:ffff::1")  # the same subscriber
        found = await told(house)
        _, rows = house.gateway.store.database.query("SELECT * FROM free_use")
    for text in ("203.0.113.77", "2001:db8:1:2"):
        assert text not in str(found)
        assert text not in str(rows)
    assert [(one["name"], one["requests"]) for one in found["addresses"]] == [
        ("203.0.113.0/24", 3),
        ("2001:db8:1::/48", 2),
    ]


async def test_models_that_cost_and_refusals_of_other_kinds_count_for_nobody() -> None:
    async with running(ANSWER, settings=SETTINGS) as house:
        await house.post("/v1/chat/completions", {**CHAT, "model": "up/m-1"})
        await house.post("/v1/chat/completions", {**CHAT, "model": "up/m-1"}, key=None)
        await house.post("/v1/chat/completions", GIFT, key="tv-wrong")
        found = await told(house)
    assert (found["addresses"], found["callers"], found["total"]["requests"]) == ([], [], 0)


async def test_of_a_flood_each_address_is_told_exactly() -> None:
    async with running(ANSWER, settings=SETTINGS) as house:
        house.gateway.deps.flood._singly = 2
        for address, times in (("203.0.113.7", 13), ("203.0.113.8", 8)):
            await ask(house, address, times=times)
        found = await told(house, order="refused")
        assert [(one["requests"], one["refused"]) for one in found["addresses"]] == [(3, 10), (3, 5)]
        assert [one["windows"][0]["refused"] for one in found["addresses"]] == [10, 5]
        records = await house.records()
    counted = [record for record in records if "aggregate" in record["flags"]]
    assert sorted((record["client_ip"], record["requests"]) for record in counted) == [
        ("203.0.113.7", 8),
        ("203.0.113.8", 5),
    ]


async def test_it_leads_to_the_requests_and_to_what_was_judged() -> None:
    abuse = '[abuse]\nmode = "log"\n[abuse.rules]\nbad_agents = ["Evil*"]\n'
    async with running(ANSWER, settings=SETTINGS + abuse) as house:
        perform = house.gateway.operations.perform
        await ask(house, "203.0.113.7", times=4)
        await house.post(
            "/v1/chat/completions", GIFT, key=None, headers={"x-forwarded-for": "203.0.113.8", "user-agent": "EvilBot"}
        )
        first, second = (await told(house))["addresses"]
        assert (first["suspect"], second["suspect"]) == (0, 1)
        calls = (await perform("requests.search", {"address": first["id"]}))["items"]
        assert {call["client_ip"] for call in calls} == {"203.0.113.7"}
        assert [call["status"] for call in calls] == [429, 200, 200, 200]
        assert calls[0]["flags"] == LIMIT_REACHED
        for verdict, count in (("suspect", 1), ("hard_block", 1), ("allow", 3), ("challenge", 0)):
            assert len((await perform("requests.search", {"verdict": verdict}))["items"]) == count
        flagged = await perform("requests.search", {"flag": LIMIT_REACHED})
        assert [call["status"] for call in flagged["items"]] == [429]
        assert (await perform("requests.search", {"flag": "freexlimit"}))["items"] == []
        both = {"verdict": "suspect", "address": first["id"]}
        assert (await perform("requests.search", both))["items"] == []
        member = Actor(id="ann", user_id="ann", roles={"acme": Role.OWNER})
        for filters in ({"verdict": "suspect"}, {"flag": "stale"}, {"address": first["id"]}):
            with pytest.raises(RoleMissing):
                await perform("requests.search", {**filters, "user": "ann"}, member)
        with pytest.raises(RoleMissing):
            await perform("free.use", {}, member)


async def test_the_lists_have_first_what_is_asked_for(store: Store) -> None:
    now = store.clock.now_ms()
    with store.database.transaction() as tx:
        store.free_use.count(tx, [call(now, n, user_id="many") for n in range(9)])
        store.free_use.count(tx, [call(now, 10, user_id="long", output_tokens=10**6)])
        store.free_use.count(tx, [call(now, 11, user_id="dear", market_cost_nano=10**9)])
        store.free_use.count(tx, [refusal(now, n, user_id="greedy") for n in range(20, 23)])
    counters = LocalCounters(store.clock)
    await counters.take([Claim("free:user:greedy:3600", 5, amount=5, window_s=3600)])
    await counters.take([Claim("free:user:many:3600", 5, amount=2, window_s=3600)])
    show = operations(store, counters, FreeSettings(per_user_per_hour=5)).table["free.use"].act
    firsts: list[tuple[Order, str]] = [("requests", "many"), ("tokens", "long"), ("market_cost_nano", "dear")]
    firsts += [("refused", "greedy"), ("used", "greedy")]
    for order, first in firsts:
        one = await show(ShowFreeUse(order=order), OPERATOR)
        assert (one.callers[0].id, len(one.callers)) == (first, 4), order


async def test_days_weeks_and_months_that_are_over(store: Store) -> None:
    times = ["2026-01-31T23:59", "2026-02-01T00:01", "2026-02-02T12:00", "2026-02-28T23:59", "2026-03-01T00:00"]
    with store.database.transaction() as tx:
        for number, time_text in enumerate(times):
            store.free_use.count(tx, [call(moment_ms(time_text), number, user_id="ann")])
    show = operations(store).table["free.use"].act

    async def requests(period: str, at: str) -> tuple[int, str, str]:
        one = await show(ShowFreeUse(period=period, at_ms=moment_ms(at)), OPERATOR)  # type: ignore[arg-type]
        ends = (datetime.fromtimestamp(moment / 1000, UTC).strftime("%m-%d") for moment in (one.since_ms, one.until_ms))
        assert one.total.requests == sum(who.requests for who in one.callers)
        return one.total.requests, *ends

    assert await requests("day", "2026-02-01T15:00") == (1, "02-01", "02-02")
    assert await requests("week", "2026-02-01T15:00") == (2, "01-26", "02-02")
    assert await requests("month", "2026-02-14T00:00") == (3, "02-01", "03-01")
    assert await requests("month", "2026-01-31T23:59") == (1, "01-01", "02-01")
    assert await requests("month", "2025-12-01T00:00") == (0, "12-01", "01-01")
    for period, end in (("day", "01-01"), ("week", "01-04"), ("month", "01-01")):
        assert (await requests(period, "9998-12-31T23:59"))[2] == end
        assert (await requests(period, "1970-01-01T00:00"))[0] == 0


async def test_a_record_that_is_written_twice_counts_once(store: Store) -> None:
    now = store.clock.now_ms()
    for _ in range(2):
        store.ledger.end(call(now, 1, user_id="ann", client_ip="192.0.2.1"))
        await store.ledger.writer.flush()
    begin = begins_of(now)["day"]
    assert store.free_use.total("day", begin)["requests"] == 1
    assert [row["requests"] for row in store.free_use.top("day", begin, ("address",), "requests", 9)] == [1]


async def test_what_names_a_person_goes_with_the_records(store: Store) -> None:
    now = moment_ms("2026-03-04T12:00")
    old = [moment_ms("2026-01-10T00:00"), moment_ms("2026-02-27T00:00"), now]
    with store.database.transaction() as tx:
        for number, moment in enumerate(old):
            store.free_use.count(tx, [call(moment, number, user_id="ann", client_ip=f"192.0.2.{number}")])
        while free_use.forget_addresses(tx, moment_ms("2026-03-01T00:00")):
            pass
    kinds = "SELECT kind, span FROM free_use WHERE who <> '' ORDER BY kind, span"
    left = store.database.query(kinds)[1]
    # Of the week from 23 February the first of March is a part: its last day is not over yet.
    assert [row for row in left if row[0] == "address"] == [
        *[("address", "day"), ("address", "month"), ("address", "week"), ("address", "week")]
    ]
    assert len([row for row in left if row[0] == "user"]) == 9
    with store.database.transaction() as tx:
        assert len(tx.execute("DELETE FROM free_use WHERE who = ? AND kind = 'user' RETURNING who", ("ann",))) == 9


async def test_retention_and_erasure_reach_it() -> None:
    async with running(ANSWER, settings=SETTINGS) as house:
        ann = await person(house, "ann")
        await ask(house, "203.0.113.7", ann)
        perform, store = house.gateway.operations.perform, house.gateway.store
        await house.records()
        with store.database.transaction() as tx:
            tx.execute("UPDATE free_use SET begin_ms = begin_ms - ?", (400 * DAY,))
            tx.execute("UPDATE records SET time_ms = time_ms - ?", (400 * DAY,))
        kinds = "SELECT DISTINCT kind FROM free_use ORDER BY kind"
        await perform("retention", {"keep_ms": 30 * DAY, "apply": True})
        assert store.database.query(kinds)[1] == [("all",), ("user",)]
        await perform("retention.erase", {"user": "ann", "apply": True})
        assert store.database.query(kinds)[1] == [("all",)]


async def test_two_gateways_with_one_redis_tell_what_they_have_counted_together(redis_server: RedisServer) -> None:
    redis = f'[limits]\nredis_url = "{redis_server.url}"\nredis_timeout = 5\n'
    async with (
        running(ANSWER, settings=SETTINGS + redis) as one,
        running(ANSWER, settings=SETTINGS + redis) as other,
    ):
        assert await ask(one, "203.0.113.7") + await ask(other, "203.0.113.7", times=3) == [200, 200, 200, 429]
        for house in (one, other):
            (found,) = (await told(house))["addresses"]
            use = found["windows"][0]
            assert (use["used"], use["refused"], found["at_limit"]) == (3, 1, True)


async def test_workers_are_told_as_one(store: Store) -> None:
    now = store.clock.now_ms()
    with store.database.transaction() as tx:
        store.free_use.count(tx, [call(now, 1, user_id="ann", client_ip="192.0.2.1")])
    said: list[FreeUse] = []
    for amount in (2, 5):
        counters = LocalCounters(store.clock)
        await counters.take([Claim("free:address:192.0.2.1", 9, amount=amount, window_s=3600)])
        await counters.take([Claim(f"free:address:192.0.2.{amount}", 9, window_s=3600)])
        said.append(await operations(store, counters).table["free.use"].act(ShowFreeUse(), OPERATOR))
    whole = as_one(said)
    assert [(who.requests, [use.used for use in who.windows]) for who in whole.addresses] == [(1, [5]), (0, [1])]
    assert whole.total == said[0].total


async def test_no_record_is_looked_at_and_no_other_period(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records there are: what is read are the sums of one day, week or month, by their primary key."""
    now = store.clock.now_ms()
    with store.database.transaction() as tx:
        store.free_use.count(tx, [call(now, n, user_id=f"u{n}", client_ip=f"192.0.2.{n}") for n in range(9)])
    asked: list[tuple[str, Any]] = []
    query = store.database.query

    def listened(statement: str, values: Any = ()) -> Any:
        asked.append((statement, values))
        return query(statement, values)

    monkeypatch.setattr(store.database, "query", listened)
    found = await operations(store).table["free.use"].act(ShowFreeUse(limit=5), OPERATOR)
    assert (len(found.addresses), len(found.callers)) == (5, 5)
    read = [(statement, values) for statement, values in asked if "free_use" in statement]
    assert not [statement for statement, _ in asked if "records" in statement or "usage_hours" in statement]
    assert len(read) == 5
    if store.database.dialect == "sqlite":
        for statement, values in read:
            ((*_, plan),) = [row for row in query(f"EXPLAIN QUERY PLAN {statement}", values)[1] if "free_use" in row[3]]
            assert plan.startswith("SEARCH free_use USING PRIMARY KEY (span=? AND begin_ms=? AND kind=?"), plan


def call(time_ms: int, number: int, **more: Any) -> Record:
    made = Record(
        id=f"req_{time_ms:012x}{number:016x}",
        time_ms=time_ms,
        api="messages",
        operation="generate",
        outcome="success",
        status=200,
        payer="free",
        input_uncached_tokens=10,
        market_cost_nano=7,
    )
    return msgspec.structs.replace(made, **more)


def refusal(time_ms: int, number: int, **more: Any) -> Record:
    made = call(time_ms, number, outcome="refused", status=429, payer=None, flags=LIMIT_REACHED)
    return msgspec.structs.replace(made, input_uncached_tokens=0, market_cost_nano=None, **more)


def operations(
    store: Store, counters: LocalCounters | None = None, settings: FreeSettings | None = None
) -> FreeUseOperations:
    async def flush() -> None:
        await store.ledger.writer.flush()

    return FreeUseOperations(store, counters or LocalCounters(store.clock), lambda: settings or FreeSettings(), flush)
