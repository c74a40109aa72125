"""The minute of alerts: every gateway counts, one evaluates and tells, and what was taken is written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_clock import Standing
from support_records import MIDNIGHT, record
from trivium.errors import StoreUnavailable
from trivium.operations import alerting as alerting_module
from trivium.operations.alerting import Alerting, outcome_of
from trivium.operations.channels import Channel, Channels
from trivium.policy import alert_rules
from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_rules import AlertRules, Audited, Counted, Series
from trivium.policy.alert_words import Message
from trivium.policy.alerts import Alert
from trivium.policy.blame import Apps
from trivium.policy.spending import Budget
from trivium.store.store import Store
from trivium.telemetry.hub import Ended
from trivium.telemetry.minutes import Minutes
from trivium.upstream.webhook import Problem, Taken

START = MIDNIGHT // 60_000
HOUSE: dict[str, Any] = {"provider": "up", "upstream_model": "m", "payer": "house", "client_app": "opencode/1"}
BAD = HOUSE | {"outcome": "failed", "status": 500, "upstream_status": 500}


class World:
    """One database with gateways over it; minutes go by when they are told to."""

    def __init__(self, folder: Path) -> None:
        self.clock = Standing(MIDNIGHT)
        self.store = Store(folder, self.clock)
        self.minute = START
        self.heard: list[Message] = []
        self.problem: Problem | None = None
        self.refused: list[Alert] = []
        self.audits: list[Audited | Exception] = []
        self.gateways = [self.gateway()]

    def gateway(self) -> Alerting:
        async def send(message: Message) -> Problem | Taken:
            if self.problem is None:
                self.heard.append(message)
            return self.problem or Taken()

        async def audit() -> Audited:
            audited = self.audits.pop(0) if self.audits else Audited(findings=0, time_ms=self.clock.ms)
            if isinstance(audited, Exception):
                raise audited
            return audited

        def refused() -> list[Alert]:
            found, self.refused = self.refused, []
            return found

        channel = Channel(name="ops", said=Said(kind="webhook", timeout=5), send=send)
        minutes = Minutes(lambda provider, model: (provider or "", model or ""), Apps())
        return Alerting(self.store.alerts, minutes, Channels([channel]), refused, audit, self.clock)

    async def passes(self, bad: int = 0, good: int = 0) -> list[str]:
        """A minute with so many calls at each gateway; the titles that were told at its end."""
        self.heard.clear()
        for one in self.gateways:
            calls = [record(f"{n}", **BAD) for n in range(bad)] + [record(f"{n}", **HOUSE) for n in range(good)]
            one.minutes.take([Ended(msgspec.structs.replace(call, time_ms=self.clock.ms), None) for call in calls])
        self.minute += 1
        self.clock.ms = self.minute * 60_000
        for one in self.gateways:
            await one.count()
        for one in self.gateways:
            await one.evaluate(self.minute)
            if one._auditing is not None:
                await one._auditing
        return [finding.title for message in self.heard for finding in message.findings]

    async def notices(self) -> list[str]:
        return [one.title for one in await self.store.alerts.notices(10**9, 100)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.store.ledger.load()
    yield made
    await made.store.close()


ERRORS = "Errors: up/m for opencode"


async def test_what_burns_is_told_once_and_written_down(world: World) -> None:
    assert await world.passes(good=100) == []
    assert await world.passes(bad=100) == [ERRORS]
    assert await world.passes(bad=100) == []
    assert await world.notices() == [ERRORS]
    (notice,) = await world.store.alerts.notices(10**9, 100)
    assert (notice.severity, notice.channels, notice.time_ms) == ("page", ("ops",), (START + 2) * 60_000)


async def test_a_synthetic_history_has_known_answers(world: World) -> None:
    """Fifteen hours of two series: `steady` burns at exactly 1 throughout, `calm` not at all; ten hours in, both fail
    for five minutes."""
    steady, calm = (Series("up", name, "none") for name in ("steady", "calm"))
    outage = range(600, 605)
    await world.store.alerts.count(
        [
            (START + at, series, Counted(1000, 1000 if at in outage else usual))
            for at in range(900)
            for series, usual in ((steady, 1), (calm, 0))
        ],
        [],
    )

    async def at(minute: int) -> list[str]:
        world.heard.clear()
        await world.gateways[0].evaluate(START + minute)
        return sorted(f"{one.severity} {one.facts['model']}" for message in world.heard for one in message.findings)

    told = {minute: await at(minute) for minute in (360, 361, 599, 600, 601, 602, 606, 615, 616, 617, 839, 840, 856)}
    assert {minute: titles for minute, titles in told.items() if titles} == {
        360: ["ticket steady"],
        600: ["ticket steady"],  # four hours later
        601: ["page calm", "page steady"],
        616: ["ticket calm"],  # while the page was new, it stood for the ticket
        840: ["ticket steady"],
    }


async def test_gateways_of_one_database_count_together_and_tell_once(world: World) -> None:
    world.gateways.append(world.gateway())
    assert await world.passes(bad=5) == [ERRORS]  # ten, of five each
    assert await world.passes(bad=5) == []


async def test_everything_is_counted_once(world: World) -> None:
    for _ in range(3):
        await world.passes(good=7)
    (windows,) = (await world.store.alerts.seen(world.minute)).values()
    assert (windows[1].calls, windows[3].calls) == (7, 21)


async def test_a_restart_forgets_neither_what_was_counted_nor_what_was_told(world: World) -> None:
    await world.passes(bad=5)
    world.gateways = [world.gateway()]
    assert await world.passes(bad=10, good=0) == [ERRORS]
    world.gateways = [world.gateway()]
    assert await world.passes(bad=10) == []


async def test_what_a_closing_gateway_has_counted_is_not_lost(world: World) -> None:
    (first,) = world.gateways
    first.minutes.take([Ended(record(f"{n}", **BAD), None) for n in range(10)])
    await first.close()
    world.gateways = [world.gateway()]
    assert await world.passes() == [ERRORS]


async def test_what_nobody_takes_is_not_written_down_and_tried_again(world: World) -> None:
    world.problem = Problem("status 404", passing=False)
    assert await world.passes(bad=100) == []
    assert (await world.notices(), await world.store.alerts.problems()) == ([], {"ops": "status 404"})
    world.problem = None
    assert await world.passes(bad=100) == [ERRORS]
    assert (await world.notices(), await world.store.alerts.problems()) == ([ERRORS], {})


async def test_a_rule_that_fails_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(alert_rules, "error_findings", broken)
    world.refused = [Alert(provider="up", status=402, message="no credit", calls=1, since_ms=1, last_ms=MIDNIGHT)]
    assert await world.passes(bad=100) == ["up refuses this gateway's account"]
    assert "alerts go on without the rule `errors`" in caplog.text


async def test_a_provider_that_refuses_is_told_while_calls_find_it_so(world: World) -> None:
    title = "up refuses this gateway's account"
    said = "Incorrect key sk-abcdefghijklmnop1234567890"
    world.refused = [Alert(provider="up", status=402, message=said, calls=1, since_ms=1, last_ms=MIDNIGHT)]
    log = [len(await world.passes()) for _ in range(30)]
    assert (log[0], sum(log)) == (1, 1)  # it stands there still, but nobody has called since
    (notice,) = await world.store.alerts.notices(10**9, 9)
    assert (notice.text, notice.facts["message"]) == ("Status 402: Incorrect key ***", "Incorrect key ***")
    world.refused = [Alert(provider="up", status=402, message="", calls=9, since_ms=1, last_ms=world.clock.ms)]
    assert await world.passes() == [title]


async def test_rules_hold_from_the_next_minute_on(world: World) -> None:
    await world.store.alerts.rules.set(AlertRules(errors=False, slow_ms={"up/*": 1}), None, "op")
    await world.passes()
    slow = record("s", **HOUSE, stream=True, first_token_us=2_000, time_ms=world.clock.ms)
    world.gateways[0].minutes.take([Ended(slow, None)] * 20)
    assert await world.passes(bad=100) == ["Slow first tokens: up/m for opencode"]


async def test_a_gateway_that_has_just_begun_knows_the_rules(world: World) -> None:
    await world.passes(bad=5)
    await world.store.alerts.rules.set(AlertRules(minimum=5), None, "op")
    await world.gateway().evaluate(world.minute)  # that turn was another's
    assert world.heard == []
    await world.gateway().evaluate(world.minute + 1)
    assert world.heard != []
    world.heard.clear()
    await world.store.alerts.rules.set(AlertRules(errors=False), None, "op")
    await world.gateway().evaluate(world.minute + 20)
    assert world.heard == []


async def test_a_balance_is_told_when_it_becomes_low_and_again_after_it_was_not(world: World) -> None:
    await world.store.alerts.rules.set(AlertRules(low_balance={"acme": "5"}), None, "op")
    await world.store.accounts.create("Acme", "organization", "acme")

    async def with_balance(nano: int) -> list[str]:
        with world.store.database.transaction() as tx:
            tx.execute("UPDATE accounts SET balance_nano = ? WHERE id = 'acme'", (nano,))
        return await world.passes()

    low, high = 10**9, 10**10
    assert [await with_balance(nano) for nano in (high, low, low, high, high, low)] == [
        [], ["Low balance: acme"], [], [], [], ["Low balance: acme"],
    ]  # fmt: skip


async def test_a_budget_that_is_used_up_in_the_last_minute_of_its_day_is_told(world: World) -> None:
    await world.store.accounts.create("acme", "organization", "acme")
    budget = Budget(id="bud_1", scope="account:acme", period="day", limit_nano=100, created_ms=1)
    await world.store.accounts.set_budget(budget)
    world.minute = START + 24 * 60 - 1
    spent = "INSERT INTO spends (budget_id, window_ms, spent_nano) VALUES (?, ?, ?)"
    await world.store.ledger.writer.run(lambda tx: tx.execute(spent, ("bud_1", MIDNIGHT, 100)))
    assert await world.passes() == ["Budget of account:acme: 100 % reached"]
    assert await world.passes() == []


async def test_the_auditor_looks_once_a_day_and_is_told_of_until_it_is_content(world: World) -> None:
    title = "The ledger's auditor fails"
    bad = Audited(findings=1, failed=("lots",), time_ms=(START + 1) * 60_000)
    world.audits = [bad, ValueError("no disk")]
    assert [await world.passes() for _ in range(4)] == [[], [title], [], []]
    assert len(world.audits) == 1
    world.minute += 24 * 60
    assert [await world.passes() for _ in range(3)] == [[], [], []]  # the same, in other words
    assert world.audits == []
    audited = await world.store.alerts.audited()
    assert audited is not None
    assert audited.problem == "It could not look: no disk"
    world.minute += 24 * 60
    await world.passes()
    await world.passes()
    (notice,) = await world.store.alerts.notices(10**9, 10)
    assert notice.ended_ms is not None


async def test_a_look_at_the_ledger_that_lies_ahead_is_none(world: World) -> None:
    """Some gateway's clock was wrong."""
    await world.store.alerts.put_audited(Audited(findings=0, time_ms=(START + 365 * 1_440) * 60_000))
    world.audits = [Audited(findings=0, time_ms=START * 60_000)]
    await world.passes()
    await world.passes()
    assert world.audits == []


async def test_while_one_gateway_looks_at_the_ledger_no_other_does(world: World) -> None:
    alerts = world.store.alerts
    assert [await alerts.claim_audit(ms) for ms in (1, 2, 3_600_001)] == [True, False, False]
    assert await alerts.claim_audit(3_600_002)  # the first has ended without a word
    await alerts.put_audited(Audited(findings=0, time_ms=5))
    assert await alerts.claim_audit(3_600_003)


async def test_the_auditor_can_be_left_alone(world: World) -> None:
    await world.store.alerts.rules.set(AlertRules(audit_hours=0), None, "op")
    world.audits = [Audited(findings=1)]
    assert [await world.passes() for _ in range(3)] == [[], [], []]
    assert len(world.audits) == 1


async def test_what_cannot_be_written_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable("x")

    with monkeypatch.context() as outage:
        outage.setattr(world.store.alerts, "count", away)
        with pytest.raises(StoreUnavailable):
            await world.passes(bad=10)
    assert await world.passes() == [ERRORS]


async def test_it_goes_on_minute_by_minute_whatever_happens(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (alerting,) = world.gateways
    log: list[tuple[str, int]] = []

    async def until(moment_ms: int) -> None:
        await asyncio.sleep(0)
        world.clock.ms = max(world.clock.ms, moment_ms)
        if len(log) >= 6:
            raise InterruptedError

    async def count() -> None:
        log.append(("count", world.clock.ms - MIDNIGHT))
        raise StoreUnavailable("away")

    async def evaluate(minute: int) -> None:
        log.append(("evaluate", minute - START))
        raise ZeroDivisionError

    for name, stand_in in (("_until", until), ("count", count), ("evaluate", evaluate)):
        monkeypatch.setattr(alerting, name, stand_in)
    with caplog.at_level(logging.WARNING), pytest.raises(InterruptedError):
        await alerting.run()
    assert log[:2] == [("count", 0), ("count", 1_000)]
    assert [minute for what, minute in log if what == "evaluate"][:2] == [0, 1]
    assert "alerts wait for the store: away" in caplog.text
    assert "alerts go on after an error" in caplog.text


def test_what_the_auditor_says() -> None:
    report = {"findings": 3, "checks": [{"check": "lots", "found": 3}, {"check": "hours", "found": 0}]}
    assert outcome_of(report, 7) == Audited(findings=3, failed=("lots",), time_ms=7)
    assert alerting_module._COUNTED_MS < alerting_module._EVALUATED_MS
