"""What only the counters in memory have to answer for, their memory. What all counters do: `test_store_counters.py`."""

from __future__ import annotations

import tracemalloc

from trivium.policy.counters import SLICES, Claim, Windows, standing


def test_those_that_count_nothing_any_more_are_forgotten_as_others_come() -> None:
    windows = Windows()
    for number in range(1_000):
        windows.take([Claim(f"old {number}", 5)], "", 0)
    for number in range(1_000):
        windows.take([Claim(f"new {number}", 5)], "", 65_000)
    assert windows.keys == 1_000


def test_there_are_never_more_than_so_many_and_those_in_use_stay() -> None:
    windows, passed = Windows(most_keys=100), 0
    for number in range(10_000):
        windows.take([Claim(f"passing {number}", 5)], "", 0)
        passed += windows.take([Claim("busy", 3)], "", 0).denial is None
    assert (windows.keys, passed) == (100, 3)


def test_minutes_hours_and_days_do_not_push_each_other_out() -> None:
    windows = Windows(most_keys=10)
    few = [Claim("hour", 1, window_s=3_600), Claim("minute", 1)]
    windows.take(few, "", 0)
    for number in range(100):
        windows.take([Claim(f"{number}", 1, window_s=86_400)], "", 0)
    assert windows.keys == 10, "of all lengths together"
    for claim in few:
        assert windows.take([claim], "", 0).denial is not None


def test_the_few_of_a_length_find_room_though_others_have_it_all() -> None:
    windows, few = Windows(most_keys=10), [Claim("one", 1), Claim("other", 1)]
    for number in range(100):
        windows.take([Claim(f"{number}", 1, window_s=86_400)], "", 0)
    assert [windows.take([claim], "", 0).denial for claim in few] == [None, None]
    assert windows.keys == 10
    for claim in few:
        assert windows.take([claim], "", 0).denial is not None


def test_a_counter_takes_half_a_kilobyte() -> None:
    tracemalloc.start()
    try:
        windows = Windows()
        for number in range(20_000):
            windows.take([Claim(f"requests:key:key_{number:020}", 5)], "", 0)
        assert tracemalloc.get_traced_memory()[0] < 20_000 * 700
    finally:
        tracemalloc.stop()


def test_who_holds_nothing_leaves_nothing_behind() -> None:
    windows = Windows()
    for number in range(100):
        windows.take([Claim("k", 1_000, 1, 0)], str(number), 0)
    assert [(key, len(holders)) for key, holders in windows.holders()] == [("k", 100)]
    for number in range(100):
        windows.leave("k", str(number))
    assert windows.holders() == []


def test_a_clock_that_goes_back_makes_no_room() -> None:
    windows = Windows()
    assert windows.take([Claim("k", 1)], "", 100_000).denial is None
    assert windows.take([Claim("k", 1)], "", 20_000).denial is not None


def test_how_all_of_them_stand_is_seen_without_changing_any() -> None:
    windows, minute = Windows(), 60_000
    for now in range(0, 3 * minute, 7_000):
        windows.take([Claim("free:a", 99, amount=2), Claim("free:b", 99, window_s=3_600)], "", now)
        for later in (now, now + 1, now + 20_000, now + minute, now + minute + minute // SLICES, now + 2 * minute):
            seen = standing(windows.kept(), "free:", later)
            assert dict.fromkeys(key for key, _, _ in seen).keys() <= {"free:a", "free:b"}
            assert [window_s for key, window_s, _ in seen if key == "free:b"] == [3_600]
            assert seen == standing(windows.kept(), "free:", later)
        used = {key: count for key, _, count in standing(windows.kept(), "free:", now)}
        asked = windows.take([Claim("free:a", 99, amount=0), Claim("free:b", 99, amount=0, window_s=3_600)], "", now)
        assert [used["free:a"], used["free:b"]] == [use.used for use in asked.uses]
    assert standing(windows.kept(), "other:", 0) == []
    assert [key for key, _, _ in standing(windows.kept(), "free:", 10 * minute)] == ["free:b"]
