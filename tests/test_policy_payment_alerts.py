"""What operators hear about payments, and how often."""

from __future__ import annotations

from trivium.policy.alert_rules import AlertRules, Told, due
from trivium.policy.payment_alerts import Trouble, payment_findings
from trivium.settings_alerts import RULES

FOUND = [
    Trouble("stray", "evt_1", "There is no payment here."),
    Trouble("stopped", "acme", "Your card was declined. (card_declined)"),
    Trouble("silent", "pay_1", "The card of acme was charged a while ago."),
]


def test_money_for_nobody_is_for_pages_and_a_card_for_a_ticket() -> None:
    told = payment_findings(FOUND, AlertRules())
    assert [(one.severity, one.title) for one in told] == [
        ("page", "A payment has no account: evt_1"),
        ("ticket", "An automatic top-up was switched off: acme"),
        ("page", "A payment is not told of: pay_1"),
    ]
    assert told[1].text.startswith("Your card was declined. (card_declined)")
    assert told[0].facts == {"kind": "stray", "of": "evt_1", "why": "There is no payment here."}


def test_a_channel_that_is_told_of_everything_is_told_of_them() -> None:
    assert {one.rule for one in payment_findings(FOUND, AlertRules())} <= set(RULES)


def test_it_is_told_once() -> None:
    told = payment_findings(FOUND, AlertRules())
    assert len(due(told, [], 1)) == 3
    assert due(told, [Told(one.key, 1) for one in told], 10**12) == []


def test_who_does_not_want_to_know() -> None:
    assert payment_findings(FOUND, AlertRules(payments=False)) == []
