"""Balances, budgets and the holds on both: never more is admitted than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.clock import moment_ms
from trivium.policy.spending import (
    Account,
    Budget,
    Lot,
    Period,
    Window,
    consume,
    settle,
    take,
    window_end,
    window_start,
)

DAY = 86_400_000


def budget(limit: int, period: Period = "day") -> Budget:
    return Budget(id="bud", scope="key:k", period=period, limit_nano=limit, created_ms=0)


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("day", "2026-11-25T17:38:08", "2026-11-25", "2026-11-26"),
        ("day", "2026-11-25T00:00:00", "2026-11-25", "2026-11-26"),
        ("week", "2026-11-25T17:38:08", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-22T23:59:59", "2026-11-16", "2026-11-23"),
        ("month", "2026-11-25T17:38:08", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_periods_begin_and_end_in_utc(period: Period, moment: str, start: str, end: str) -> None:
    assert window_start(period, moment_ms(moment)) == moment_ms(start)
    assert window_end(period, moment_ms(start)) == moment_ms(end)


def test_a_total_has_neither_beginning_nor_end() -> None:
    assert window_start("total", moment_ms("2026-11-25")) == 0
    assert window_end("total", 0) is None


@given(st.sampled_from(["day", "week", "month"]), st.integers(0, 4_000_000_000_000))
def test_every_moment_lies_in_its_period(period: Period, moment: int) -> None:
    start = window_start(period, moment)
    end = window_end(period, start)
    assert end is not None
    assert start <= moment < end
    assert window_start(period, end) == end


def test_what_is_free_can_be_held_to_the_last_nanodollar_and_no_further() -> None:
    account = Account("a", balance=100, held=0)
    assert take(60, account, []) is None
    assert take(40, account, []) is None
    refusal = take(1, account, [])
    assert refusal is not None
    assert (refusal.needed, refusal.free, refusal.held, refusal.budget) == (1, 0, 100, None)


def test_a_settled_hold_frees_at_once_what_was_not_spent() -> None:
    account, window = Account("a", balance=100, held=0), Window(budget(100), 0)
    assert take(100, account, [window]) is None
    settle(100, 30, account, [window])
    assert (account.balance, account.held, account.free) == (70, 0, 70)
    assert (window.spent, window.held, window.free) == (30, 0, 70)


def test_a_released_hold_leaves_no_trace() -> None:
    account, window = Account("a", balance=100, held=0), Window(budget(100), 0)
    take(100, account, [window])
    settle(100, 0, account, [window])
    assert (account.free, window.free) == (100, 100)


def test_a_budget_that_refuses_leaves_the_others_and_the_balance_alone() -> None:
    account, wide = Account("a", balance=100, held=0), Window(budget(100), 0)
    narrow = Window(budget(50, "month"), moment_ms("2026-11-01"), spent=20, held=10)
    refusal = take(21, account, [wide, narrow])
    assert refusal is not None
    assert refusal.budget is narrow.budget
    assert (refusal.needed, refusal.free, refusal.held) == (21, 20, 10)
    assert refusal.resets_ms == moment_ms("2026-12-01")
    assert (account.held, wide.held, narrow.held) == (0, 0, 10)


def test_a_budget_of_nothing_allows_nothing_that_costs() -> None:
    nothing = Window(budget(0), 0)
    assert take(1, None, [nothing]) is not None
    assert take(0, None, [nothing]) is None


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.booleans()), max_size=40),
)
def test_calls_together_never_hold_or_spend_more_than_there_was(
    balance: int, limit: int, calls: list[tuple[int, int, bool]]
) -> None:
    """Each call holds an amount, and some end: by at most what they held."""
    account, window = Account("a", balance, held=0), Window(budget(limit), 0)
    for hold, cost, ends in calls:
        before = (account.free, window.free)
        refused = take(hold, account, [window]) is not None
        assert refused == (hold > min(before))
        if not refused and ends:
            settle(hold, min(cost, hold), account, [window])
        assert account.free >= 0
        assert window.free >= 0
        assert window.spent + window.held <= limit
    assert account.balance == balance - window.spent


def test_credits_are_consumed_in_the_order_of_their_expiry() -> None:
    lots = [Lot("first", 10), Lot("second", 5), Lot("third", 7)]
    assert consume(lots, 0) == []
    assert consume(lots, 4) == [Lot("first", 6)]
    assert consume(lots, 12) == [Lot("first", 0), Lot("second", 3)]
    assert consume(lots, 100) == [Lot("first", 0), Lot("second", 0), Lot("third", 0)]
