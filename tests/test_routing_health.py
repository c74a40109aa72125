"""When routes rest, how they come back, and what part of their calls has failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trivium.routing.health import Health, Sessions

MINUTE = 60_000


def health() -> Health:
    return Health(failures=3, rest_s=30)


def test_a_route_rests_after_failures_in_a_row() -> None:
    one = health()
    one.failed("a/m", 0)
    one.failed("a/m", 1)
    one.answered("a/m", 2)
    for now in (3, 4):
        one.failed("a/m", now)
        assert one.rests_ms("a/m", now) == 0
    one.failed("a/m", 5)
    assert one.rests_ms("a/m", 5) == 30_000
    assert one.rests_ms("a/other", 5) == 0


def test_of_a_provider_that_is_another_one_now_nothing_is_known() -> None:
    one = health()
    for route in ("a/m", "a/m#1", "ab/m"):
        one.failed(route, 0, wish_s=600)
    one.forget({"a"})
    assert [one.rests_ms(route, 1) for route in ("a/m", "a/m#1", "ab/m")] == [0, 0, 599_999]
    assert (one.rates("a", 1).calls, one.rates("ab", 1).calls, one.is_well) == (0, 1, False)
    one.forget({"ab", "none"})
    assert one.is_well


def test_one_call_looks_whether_it_answers_again() -> None:
    one = health()
    for now in range(3):
        one.failed("a/m", now)
    assert one.rests_ms("a/m", 30_002) == 0
    one.begins("a/m", 30_002)
    assert one.rests_ms("a/m", 30_003) > 0  # the others wait for its end
    one.answered("a/m", 30_500)
    assert one.rests_ms("a/m", 30_500) == 0
    one.failed("a/m", 30_600)
    assert one.rests_ms("a/m", 30_600) == 0  # as good as new


def test_a_route_that_fails_again_rests_longer_up_to_a_bound() -> None:
    one, now, rests = health(), 0, []
    for _ in range(3):
        one.failed("a/m", now)
    for _ in range(6):
        rests.append(one.rests_ms("a/m", now))
        now += rests[-1]
        one.begins("a/m", now)
        one.failed("a/m", now)
    assert rests == [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]


def test_pauses_that_a_provider_asks_for_make_no_rest_longer() -> None:
    one = health()
    for now in (0, 2_000, 4_000):
        one.begins("a/m", now)
        one.failed("a/m", now, wish_s=1)
        assert one.rests_ms("a/m", now) == 1_000
    rests = []
    for now in (6_000, 36_000):
        one.begins("a/m", now)
        one.failed("a/m", now)
        rests.append(one.rests_ms("a/m", now))
    assert rests == [30_000, 60_000]


def test_a_client_that_leaves_ends_the_look() -> None:
    one = health()
    for now in range(3):
        one.failed("a/m", now)
    claim = one.begins("a/m", 40_000)
    one.unknown("a/m", claim)
    assert one.rests_ms("a/m", 40_001) == 0


def test_calls_that_fail_together_are_one_reason_to_rest() -> None:
    one = health()
    for _ in range(20):
        one.failed("a/m", 1_000)
    assert one.rests_ms("a/m", 1_000) == 30_000
    one.begins("a/m", 31_000)
    one.failed("a/m", 31_000)
    assert one.rests_ms("a/m", 31_000) == 60_000


def test_who_did_not_look_ends_nobodys_look() -> None:
    one = health()
    before = one.begins("a/m", 0)
    for _ in range(3):
        one.failed("a/m", 0)
    claim = one.begins("a/m", 40_000)
    assert (before, one.begins("a/m", 40_001)) == (0, 0)
    one.unknown("a/m", before)
    assert one.rests_ms("a/m", 40_002) > 0
    one.unknown("a/m", claim)
    assert one.rests_ms("a/m", 40_003) == 0


def test_an_answer_to_a_call_from_before_ends_no_pause_that_was_asked_for() -> None:
    one = health()
    for _ in range(3):
        one.failed("a/m", 0, wish_s=60)
    one.answered("a/m", 1)
    assert one.rests_ms("a/m", 1) == 59_999
    one.begins("a/m", 60_000)
    one.failed("a/m", 60_000)
    assert one.rests_ms("a/m", 60_000) == 30_000  # its first rest that nobody asked for
    one.answered("a/m", 100_000)
    assert one.rests_ms("a/m", 100_000) == 0
    assert one.is_well


def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    one = health()
    one.failed("a/m", 0, wish_s=7)
    assert one.rests_ms("a/m", 0) == 7_000
    one.failed("b/m", 0, wish_s=10**9)
    assert one.rests_ms("b/m", 0) == 3_600_000
    one.failed("c/m", 0, wish_s=0)
    assert one.rests_ms("c/m", 0) == 0


def test_rates_are_of_the_last_ten_minutes_by_route_and_provider() -> None:
    one = health()
    for minute in range(5):
        one.failed("a/m", minute * MINUTE)
        one.answered("a/n", minute * MINUTE)
    assert one.rates("a/m", 5 * MINUTE) == (5, 5)
    assert one.rates("a", 5 * MINUTE).rate == 0.5
    assert one.rates("a/m", 12 * MINUTE) == (2, 2)
    assert one.rates("a/m", 60 * MINUTE) == (0, 0)
    assert one.rates("nobody/knows", 0).rate == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 * MINUTE)), max_size=60))
def test_rates_count_what_happened(calls: list[tuple[bool, int]]) -> None:
    one, now, seen = health(), 0, []
    for good, pause in calls:
        now += pause
        (one.answered if good else one.failed)("a/m", now)
        seen.append((now // MINUTE, good))
    recent = [good for minute, good in seen if minute > now // MINUTE - 10]
    assert one.rates("a/m", now) == (len(recent), recent.count(False))


def test_memory_of_routes_and_sessions_is_bounded() -> None:
    one, sessions = health(), Sessions(60, most=10)
    for number in range(12_000):
        one.failed(f"a/{number}", number)
        sessions.keep(f"s{number}", "m", "a/m", number)
    assert len(one.all(12_000)) <= 10_000
    assert sessions.route("s11999", "m", 12_000) == "a/m"
    assert sessions.route("s1", "m", 12_000) is None
    assert sessions.route("s11999", "m", 72_001) is None


def test_a_route_says_what_state_it_is_in() -> None:
    one = health()
    assert one.state("a/m", 0) == "well"
    for now in range(3):
        one.failed("a/m", now)
    assert one.state("a/m", 3) == "resting"
    assert one.state("a/m", 30_002) == "half_open"
    one.begins("a/m", 30_002)
    assert one.state("a/m", 30_003) == "half_open"
    one.answered("a/m", 30_500)
    assert one.state("a/m", 30_500) == "well"
