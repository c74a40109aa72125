"""Providers that refuse the house: what stands, and when it is logged."""

from __future__ import annotations

from trivium.policy.alerts import LONGEST, Alert, Alerts


def test_a_refusal_stands_until_the_provider_answers_again() -> None:
    alerts = Alerts()
    alerts.raised("openai", 402, "no credit", 1_000)
    alerts.raised("anthropic", 401, "bad key", 2_000)
    alerts.raised("openai", 402, "x" * 10_000, 3_000)
    first, second = alerts.all()
    assert first == Alert(provider="openai", status=402, message="x" * LONGEST, calls=2, since_ms=1_000, last_ms=3_000)
    assert (second.provider, second.calls) == ("anthropic", 1)
    alerts.answered("openai")
    alerts.answered("nobody")
    assert [one.provider for one in alerts.all()] == ["anthropic"]
    alerts.raised("openai", 403, "again", 4_000)
    assert (alerts.all()[0].since_ms, alerts.all()[0].calls) == (4_000, 1)


def test_the_last_calls_to_a_provider_that_was_removed_bring_nothing_back() -> None:
    alerts = Alerts()
    alerts.raised("a", 401, "bad key", 1)
    alerts.keep({"b"})
    alerts.raised("a", 401, "bad key", 2)
    alerts.raised("b", 402, "no credit", 3)
    assert [one.provider for one in alerts.all()] == ["b"]


def test_it_is_logged_once_a_minute_for_each_provider() -> None:
    alerts = Alerts()
    assert [alerts.raised("a", 402, "", ms) for ms in (0, 1, 59_999, 60_000, 60_001)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert alerts.raised("b", 402, "", 2)
    alerts.answered("b")
    assert not alerts.raised("b", 402, "", 3)  # one that comes and goes fills no log


def test_who_refused_us_is_told_also_where_it_has_served_us_since() -> None:
    alerts = Alerts()
    for message in ("no credit", "none at all"):
        alerts.raised("a", 402, message, 1)
    alerts.answered("a")
    assert [(one.provider, one.message, one.calls) for one in alerts.drain()] == [("a", "none at all", 2)]
    assert alerts.drain() == []
