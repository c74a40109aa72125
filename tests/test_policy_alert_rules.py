"""What is found, and what of it is told when: minutes go by, and the answers are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trivium.clock import MINUTE_MS
from trivium.policy.alert_rules import (
    AlertRules,
    Audited,
    Balance,
    Counted,
    Finding,
    Refusing,
    Series,
    Spent,
    Told,
    audit_findings,
    balance_findings,
    budget_findings,
    due,
    error_findings,
    fitting,
    refusal_findings,
    slow_findings,
    with_suggestions,
)
from trivium.policy.baseline import Suggestion
from trivium.policy.burn import SPANS
from trivium.policy.spending import Budget

SERIES = Series("up", "m", "opencode")
Minute = Callable[[int], Counted]


def seen(at: int, minute: Minute) -> dict[Series, dict[int, Counted]]:
    """The windows before a minute."""
    return {SERIES: {span: total([minute(one) for one in range(at - span, at)]) for span in SPANS}}


def total(some: list[Counted]) -> Counted:
    return Counted(*(sum(values) for values in zip(*some, strict=True)))


def told(minutes: range, look: Callable[[int], list[Finding]]) -> list[tuple[int, str]]:
    """Which minutes tell what, where all that is due is sent."""
    sent: list[Told] = []
    log: list[tuple[int, str]] = []
    for at in minutes:
        for one in due(look(at), sent, at * MINUTE_MS):
            sent.append(Told(one.key, at * MINUTE_MS))
            log.append((at, one.severity))
    return log


def errors_in(bad: Callable[[int], int], rules: AlertRules | None = None) -> Callable[[int], list[Finding]]:
    """Of 1,000 calls a minute."""
    return lambda at: error_findings(seen(at, lambda one: Counted(1_000, bad(one))), rules or AlertRules())


def test_an_outage_pages_at_once_and_again_after_a_quarter_of_an_hour_until_it_is_over() -> None:
    """Everything fails in the minutes 400 to 419."""
    log = told(range(390, 500), errors_in(lambda at: 1_000 if 400 <= at < 420 else 0))
    assert log[:2] == [(401, "page"), (416, "page")]
    # The short windows are clean three minutes after its end; what remains is a ticket's, once the page has been quiet.
    assert log[2:] == [(431, "ticket")]


def test_a_slow_burn_is_a_ticket_every_four_hours() -> None:
    log = told(range(400, 1_000), errors_in(lambda _: 2))
    assert log == [(400, "ticket"), (640, "ticket"), (880, "ticket")]


def test_a_page_silences_the_ticket_of_the_same_series_alone() -> None:
    found = error_findings(seen(400, lambda _: Counted(1_000, 2)), AlertRules())
    (ticket,) = found
    page_key = ticket.key.replace(":ticket:", ":page:")
    page = msgspec.structs.replace(ticket, severity="page", key=page_key, silenced=((page_key, 15 * MINUTE_MS),))
    assert due([ticket, page], [], 0) == [page]
    assert due([ticket], [Told(page_key, 0)], 14 * MINUTE_MS) == []
    assert due([ticket], [Told(page_key, 0)], 15 * MINUTE_MS) == [ticket]
    assert due([ticket], [Told(page_key + "x", 0)], 0) == [ticket]


def test_a_finding_says_what_was_counted() -> None:
    (one,) = error_findings(seen(400, lambda _: Counted(1_000, 20)), AlertRules())
    assert one.title == "Errors: up/m for opencode"
    assert one.text == (
        "100 of 5000 calls (2 %) failed in 5 minutes: 20 times what an objective of 99.9 % leaves room for."
    )
    assert one.facts["minutes"] == [5, 1]
    (all_of_them,) = error_findings(seen(400, lambda _: Counted(10, 10)), AlertRules())
    assert all_of_them.text.startswith("50 of 50 calls (100 %) failed in 5 minutes: 1000 times what")
    assert (one.facts["burn_rate"], one.facts["threshold"]) == (20, 14.4)


def test_objectives_are_by_model_the_most_precise_pattern_counts() -> None:
    lax = AlertRules(objectives={"up/*": 0.9, "up/m": 0.99, "*": 0.99999})
    assert error_findings(seen(400, lambda _: Counted(1_000, 9)), lax) == []
    (one,) = error_findings(seen(400, lambda _: Counted(1_000, 11)), lax)
    assert one.facts["objective"] == 0.99
    assert fitting({"other/*": 1}, "up", "m") is None


def test_slow_first_tokens_have_a_threshold_and_a_budget_of_their_own() -> None:
    def look(rules: AlertRules) -> list[Finding]:
        return slow_findings(seen(400, lambda _: Counted(9_000, 9_000, 100, 2)), rules)

    assert look(AlertRules()) == []  # no threshold, nothing is slow
    (one,) = look(AlertRules(slow_ms={"up/*": 800}))
    assert (one.rule, one.severity, one.facts["calls"], one.facts["limit_ms"]) == ("slow", "ticket", 36_000, 800)
    assert look(AlertRules(slow_ms={"up/*": 800}, slow_objective=0.95)) == []
    (page,) = look(AlertRules(slow_ms={"up/*": 800}, slow_objective=0.999))
    assert page.severity == "page"


def test_a_low_balance_is_told_once() -> None:
    rules = AlertRules(low_balance={"acme": "5", "*": "0.5"})
    balances = [
        Balance("acme", 5 * 10**9 - 1),
        Balance("rich", 5 * 10**8),
        Balance("poor", 0),
    ]
    found = balance_findings(balances, rules)
    assert [(one.key, one.text) for one in found] == [
        ("balance:acme", "acme has 4.999999999 USD left, less than 5."),
        ("balance:poor", "poor has 0 USD left, less than 0.5."),
    ]
    assert due(found, [Told("balance:acme", 0)], 10**15) == found[1:]
    assert balance_findings(balances, AlertRules()) == []


def budget(spent: int, limit: int = 100, window_ms: int = 0) -> Spent:
    return Spent(Budget(id="b", scope="key:k", period="day", limit_nano=limit, created_ms=0), window_ms, spent)


def test_a_budget_tells_each_threshold_once_a_period_and_the_highest_of_several() -> None:
    def look(spent: int) -> Callable[[int], list[Finding]]:
        return lambda _: budget_findings([budget(spent)], AlertRules(), 0)

    steps: list[Told] = []
    log = []
    for spent in (0, 49, 50, 79, 95, 80, 70, 100, 300):
        for one in due(look(spent)(0), steps, 0):
            steps.append(Told(one.key, 0))
            log.append((spent, one.facts["percent"]))
    assert log == [(50, 50), (95, 80), (100, 100)]
    (whole,) = due(look(120)(0), [], 0)
    assert whole.title == "Budget of key:k: 100 % reached"
    assert due(look(60)(0), [Told(whole.key, 0)], 0) == []  # a correction has made it less


def test_a_budget_of_a_period_that_is_over_or_of_nothing_tells_nothing() -> None:
    day = 86_400_000
    assert budget_findings([budget(100)], AlertRules(), day) == []
    assert budget_findings([budget(100, window_ms=day)], AlertRules(), day) != []
    assert budget_findings([budget(0, limit=0)], AlertRules(), 0) == []
    assert budget_findings([budget(100)], AlertRules(budgets=()), 0) == []


def test_a_provider_that_refuses_us_is_a_page_while_it_does() -> None:
    one = Refusing(provider="up", status=402, message="no credit", last_ms=0)

    def look(at: int) -> list[Finding]:
        refusing = msgspec.structs.replace(one, last_ms=min(at, 20) * MINUTE_MS)  # the last call was in minute 20
        return refusal_findings([refusing], AlertRules(), at * MINUTE_MS)

    assert told(range(100), look) == [(0, "page"), (15, "page")]
    assert look(0)[0].text == "Status 402: no credit"
    assert refusal_findings([one], AlertRules(refusals=False), 0) == []
    assert refusal_findings([one], AlertRules(), -365 * 1_440 * MINUTE_MS) == []  # said by a clock that was wrong


@pytest.mark.parametrize(
    ("audited", "text"),
    [
        (None, None),
        (Audited(findings=0), None),
        (Audited(findings=3, failed=("lots", "hours")), "3 findings in lots, hours: `trivium ledger verify` has them."),
        (Audited(findings=0, problem="It could not look: x"), "It could not look: x"),
    ],
)
def test_the_auditor(audited: Audited | None, text: str | None) -> None:
    assert [one.text for one in audit_findings(audited)] == ([] if text is None else [text])


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": 1.0},
        {"objectives": {"x": 0.2}},
        {"budgets": [0]},
        {"low_balance": {"a b": "1"}},
        {"low_balance": {"a": "-1"}},
        {"minimum": 0},
        {"nonsense": 1},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, AlertRules)


def test_suggestions_become_part_of_the_rules() -> None:
    def said(model: str, objective: float | None, slow_ms: int | None) -> Suggestion:
        return Suggestion(
            model=model, calls=1, errors=0, streams=1, first_token_ms=1, objective=objective, slow_ms=slow_ms
        )

    before = AlertRules(objectives={"up/*": 0.9, "up/m": 0.5}, slow_ms={"up/n": 7}, minimum=3)
    after = with_suggestions(before, [said("up/m", 0.99, 510), said("up/n", None, None), said("up/o", 0.95, None)])
    assert after.objectives == {"up/*": 0.9, "up/m": 0.99, "up/o": 0.95}
    assert (after.slow_ms, after.minimum, before.slow_ms) == ({"up/n": 7, "up/m": 510}, 3, {"up/n": 7})
