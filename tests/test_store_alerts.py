"""What alerts are made from, in both databases, and what was told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from support_records import MIDNIGHT, keep, record
from support_store import Home
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.policy.alert_rules import AlertRules, Audited, Counted, Finding, Refusing, Series, Told
from trivium.policy.baseline import Past
from trivium.policy.burn import LONGEST, SPANS
from trivium.store.alerts import AlertStore, Rules
from trivium.store.sql import Writing
from trivium.store.store import Store

A, B = Series("up", "m", "x"), Series("up", "n", "x")
NOW = MIDNIGHT // 60_000
HOUSE: dict[str, Any] = {"provider": "up", "upstream_model": "m", "payer": "house"}


@pytest.fixture
async def store(store: Store) -> Store:
    await store.ledger.load()
    return store


@pytest.fixture
def alerts(store: Store) -> AlertStore:
    return store.alerts


def finding(key: str = "k", rule: str = "errors") -> Finding:
    return Finding(rule=rule, severity="page", key=key, title="T", text="x", silenced=(), facts={"n": 1})


async def test_what_gateways_count_adds_up_by_window(alerts: AlertStore) -> None:
    await alerts.count([(NOW - 1, A, Counted(10, 1, 5, 2)), (NOW - 4, B, Counted(3))], [])
    await alerts.count([(NOW - 1, A, Counted(1, 1)), (NOW - LONGEST, A, Counted(100)), (NOW, A, Counted(7))], [])
    await alerts.count([(NOW - LONGEST - 1, A, Counted(1_000, 1_000))], [])
    seen = await alerts.seen(NOW)
    assert [seen[A][span] for span in SPANS] == [*[Counted(11, 2, 5, 2)] * 4, Counted(111, 2, 5, 2)]
    assert [seen[B][span].calls for span in SPANS] == [0, 0, 3, 3, 3]


async def test_one_gateway_has_the_turn_of_a_minute_and_forgets_what_is_over(home: Home, alerts: AlertStore) -> None:
    await alerts.count([(NOW - LONGEST - 1, A, Counted(1)), (NOW - LONGEST, B, Counted(1))], [])
    turns = await asyncio.gather(*(alerts.turn(NOW) for _ in range(5)))
    assert sorted(turns) == [False] * 4 + [True]
    assert [await alerts.turn(NOW - 1), await alerts.turn(NOW + 1)] == [False, True]
    assert home.open().query("SELECT minute FROM alert_minutes ORDER BY minute")[1] == []  # of NOW + 1 both are over


async def test_what_is_counted_by_a_transaction_of_unknown_end_is_counted_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost behind the commit, whose word nobody hears."""
    committing, unheard = store.database.transaction, ["the first"]

    @contextmanager
    def lossy() -> Iterator[Writing]:
        with committing() as tx:
            yield tx
        if unheard:
            unheard.pop()
            raise StoreUnavailable("The connection is lost.")

    await store.ledger.writer.flush()
    with monkeypatch.context() as outage:
        outage.setattr(store.database, "transaction", lossy)
        await store.alerts.count([(NOW - 1, A, Counted(10, 1, 5, 2))], [])
    assert not unheard
    await store.alerts.count([(NOW - 1, A, Counted(3))], [])
    assert (await store.alerts.seen(NOW))[A][1] == Counted(13, 1, 5, 2)


async def test_what_was_counted_is_told_from_what_was_not_for_an_hour(home: Home, alerts: AlertStore) -> None:
    """Which takes a row each time."""
    await alerts.count([(NOW, A, Counted(1))], [])
    now = SystemClock().now_ms() // 60_000
    for minute, left in ((now, 1), (now + 62, 0)):
        assert await alerts.turn(minute)
        rows = home.open().query("SELECT 1 FROM alert_states WHERE name LIKE 'counted:%'")[1]
        assert len(rows) == left


async def test_a_clock_that_was_wrong_once_takes_no_turn_for_good(
    alerts: AlertStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway believed for a minute that it was a year later."""
    wrong = NOW + 365 * 1_440
    assert await alerts.turn(wrong)
    assert await alerts.claim_audit(wrong * 60_000)
    await alerts.tell([(finding("a"), ["ops"])], wrong * 60_000)
    assert caplog.records == []
    assert [await alerts.turn(NOW), await alerts.turn(NOW), await alerts.turn(NOW + 1)] == [True, False, True]
    assert [await alerts.claim_audit(NOW * 60_000 + one) for one in (0, 1)] == [True, False]
    assert [one.getMessage() for one in caplog.records] == [
        f"alerts: `{what}` was taken {365 * 86_400} s ahead of this gateway's clock" for what in ("turn", "auditing")
    ]
    assert await alerts.told(["a"], NOW * 60_000) == []
    await alerts.tell([(finding("a"), ["ops"])], NOW * 60_000)
    assert await alerts.told(["a"], NOW * 60_000) == [Told("a", NOW * 60_000)]


async def test_what_one_gateway_saw_all_know(alerts: AlertStore) -> None:
    first = Refusing(provider="up", status=402, message="a", last_ms=1)
    await alerts.count([], [first, Refusing(provider="b", status=None, message="", last_ms=1)])
    newer = msgspec.structs.replace(first, message="b", last_ms=2)
    await alerts.count([], [newer])
    assert newer in await alerts.refusing()
    assert len(await alerts.refusing()) == 2
    assert await alerts.audited() is None
    await alerts.put_audited(Audited(findings=2, failed=("lots",), time_ms=5))
    assert await alerts.audited() == Audited(findings=2, failed=("lots",), time_ms=5)


async def test_what_was_told_is_known_until_it_ends(alerts: AlertStore) -> None:
    first = [finding("a"), finding("b", "balance"), finding("c", "balance")]
    await alerts.tell([(one, ["ops", "mail"]) for one in first], 5)
    await alerts.tell([(finding("a"), ["ops"])], 9)
    assert sorted(await alerts.told(["a", "b", "nobody", "a"], 20)) == [Told("a", 9), Told("b", 5)]
    await alerts.end("balance", ["c"], 11)
    assert sorted(await alerts.told(["a", "b", "c"], 20)) == [Told("a", 9), Told("c", 5)]
    newest, *_, oldest = await alerts.notices(100, 10)
    assert (newest.key, newest.channels, newest.facts, newest.ended_ms) == ("a", ("ops",), {"n": 1}, None)
    assert [one.ended_ms for one in await alerts.notices(100, 10) if one.key == "b"] == [11]
    assert [one.seq for one in await alerts.notices(newest.seq, 1)] == [newest.seq - 1]
    assert oldest.channels == ("ops", "mail")


async def test_which_channels_did_not_take_the_last_message(alerts: AlertStore) -> None:
    assert await alerts.problems() == {}
    for problems in ({"ops": "status 404"}, {}):
        await alerts.put_problems(problems, 5)
        assert await alerts.problems() == problems


async def test_balances_of_those_that_are_named_or_had_credits(store: Store) -> None:
    with store.database.transaction() as tx:
        for id, nano in (("named", 0), ("rich", 9), ("never", 0)):
            tx.execute(
                "INSERT INTO accounts (id, kind, name, created_ms, balance_nano) VALUES (?, 'user', ?, 1, ?)",
                (id, id.title(), nano),
            )
        tx.execute(
            "INSERT INTO entries (account_id, kind, amount_nano, time_ms, idempotency_key)"
            " VALUES ('rich', 'grant', 9, 1, 'g')"
        )
    assert await store.alerts.low_balances(AlertRules()) == []
    assert await store.alerts.low_balances(AlertRules(low_balance={"named": "1"})) == [("named", 0)]
    both = await store.alerts.low_balances(AlertRules(low_balance={"named": "1", "*": "1"}))
    assert sorted(both) == [("named", 0), ("rich", 9)]


async def test_budgets_that_may_have_reached_a_threshold_in_their_present_period(store: Store) -> None:
    with store.database.transaction() as tx:
        for id, period, limit, ended in (("d", "day", 10**17, None), ("t", "total", 7, None), ("e", "total", 7, 1)):
            tx.execute(
                "INSERT INTO budgets (id, scope, period, limit_nano, created_ms, ended_ms)"
                " VALUES (?, 'key:k', ?, ?, 1, ?)",
                (id, period, limit, ended),
            )
        for id, window, spent in (("d", MIDNIGHT, 10**17), ("d", 0, 10**17), ("t", 0, 7), ("e", 0, 7)):
            tx.execute("INSERT INTO spends (budget_id, window_ms, spent_nano) VALUES (?, ?, ?)", (id, window, spent))
    found = await store.alerts.spent(AlertRules(), MIDNIGHT + 5)
    assert sorted((one.budget.id, one.window_ms, one.nano) for one in found) == [
        ("d", MIDNIGHT, 10**17),
        ("t", 0, 7),
    ]
    assert await store.alerts.spent(AlertRules(budgets=()), MIDNIGHT) == []


async def test_the_past_of_models_is_that_of_the_houses_calls(store: Store) -> None:
    streams = [record(f"s{us}", **HOUSE, stream=True, first_token_us=us * 1000) for us in range(1, 201)]
    failed = {"outcome": "failed", "status": 500, "upstream_status": 500}
    others = [
        record("bad", **HOUSE | failed | {"first_token_us": 10**9}),
        record("clients", **HOUSE | failed | {"upstream_status": 400, "status": 400}),
        record("left", **HOUSE | {"outcome": "aborted", "status": 499}),
        record("own", **HOUSE | failed | {"payer": "byok"}),
        record("old", **HOUSE | failed | {"time_ms": MIDNIGHT - 1}),
        record("one", **HOUSE | {"upstream_model": "n"}),
    ]
    keep(store.database, *streams, *others)
    first, second = sorted(await store.alerts.past(MIDNIGHT), key=lambda one: one.model)
    assert first == Past(provider="up", model="m", calls=202, errors=1, streams=200, first_token_ms=198)
    assert second == Past(provider="up", model="n", calls=1, errors=0)


async def test_rules_have_a_version(alerts: AlertStore) -> None:
    assert await alerts.rules.get() == Rules(version=0, settings=AlertRules())
    after = AlertRules(objectives={"up/*": 0.99}, low_balance={"*": "1.5"})
    assert await alerts.rules.set(after, 0, "op") == Rules(version=1, settings=after)
    assert await alerts.rules.get() == Rules(version=1, settings=after)
