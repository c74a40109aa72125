"""Shares of calls, read off counts in bands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.metering.record import Record
from trivium.store import bands


def counted(*times_us: int) -> tuple[list[int], list[int]]:
    told = {"id": "r", "time_ms": 1, "api": "chat", "operation": "generate", "outcome": "success", "status": 200}
    records = [Record(**told, ttfb_us=time, total_us=time) for time in times_us]  # type: ignore[arg-type]
    counts = bands.counted(records)[3:]
    return counts[:9], counts[9:]


def test_of_no_calls_nothing_can_be_said() -> None:
    ttfb, total = counted()
    assert (bands.ttfb_ms(ttfb, 0.5), bands.total_ms(total, 0.95)) == (None, None)


@pytest.mark.parametrize("us", [1, 200_000, 500_000, 3_000_000, 20_000_000])
def test_alike_calls_lie_within_their_band(us: int) -> None:
    ttfb, total = counted(*[us] * 10)
    for told in (bands.ttfb_ms(ttfb, 0.5), bands.total_ms(total, 0.5)):
        assert told is not None
        if us > 2**19:
            assert us / 2000 <= told <= us / 500


@given(st.lists(st.integers(300_000, 10_000_000), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_share_is_never_wrong_by_more_than_its_band(times: list[int], share: float) -> None:
    exact = sorted(times)[max(0, -(-int(len(times) * share * 100) // 100) - 1)] / 1000
    told = bands.ttfb_ms(counted(*times)[0], share)
    assert told is not None
    assert exact / 2.01 <= told <= exact * 2.01 or len(times) < 3


def test_more_slow_calls_never_make_it_faster() -> None:
    calls = [200_000] * 9
    shown = []
    for _ in range(12):
        calls.append(5_000_000)
        shown.append(bands.ttfb_ms(counted(*calls)[0], 0.5) or 0)
    assert shown == sorted(shown)
    assert shown[-1] > 2_000
