"""Guessed keys."""

from __future__ import annotations

import pytest

from trivium.errors import RateLimited
from trivium.policy import guesses as module
from trivium.policy.guesses import WINDOW_MS, Guesses


def test_who_guesses_often_waits_for_the_window_to_end() -> None:
    guesses = Guesses(most=3)
    for _ in range(3):
        guesses.check("192.0.2.1", 1_000)
        guesses.wrong("192.0.2.1", 1_000)
    with pytest.raises(RateLimited) as limited:
        guesses.check("192.0.2.1", 1_500)
    assert limited.value.retry_after == 60
    assert limited.value.message.endswith("came from this address. Try again in 60 seconds.")
    guesses.check("192.0.2.2", 1_500)
    guesses.check("192.0.2.1", 1_000 + WINDOW_MS)
    guesses.wrong("192.0.2.1", 1_000 + WINDOW_MS)
    guesses.check("192.0.2.1", 1_001 + WINDOW_MS)


def test_a_clock_that_was_ahead_locks_nobody_out_when_it_has_gone_back() -> None:
    guesses = Guesses(most=1)
    guesses.wrong("192.0.2.1", 365 * 86_400_000)
    guesses.check("192.0.2.1", 1_000)
    guesses.wrong("192.0.2.1", 1_000)
    with pytest.raises(RateLimited):
        guesses.check("192.0.2.1", 1_000)


def test_many_addresses_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    guesses = Guesses(most=1)
    for address in ("a", "b", "c"):
        guesses.wrong(address, 1)
    guesses.check("a", 1)
    for address in ("b", "c"):
        with pytest.raises(RateLimited):
            guesses.check(address, 1)


def test_what_proves_right_does_not_count() -> None:
    guesses = Guesses(most=2)
    guesses.wrong("192.0.2.1", 1)
    for _ in range(5):
        guesses.wrong("192.0.2.1", 1)
        guesses.right("192.0.2.1")
        guesses.check("192.0.2.1", 1)
    guesses.wrong("192.0.2.1", 1)
    with pytest.raises(RateLimited):
        guesses.check("192.0.2.1", 1)
    guesses.right("192.0.2.9")  # of whom nothing is known
