"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

from trivium.telemetry.instruments import LOOP_LAG, Histogram
from trivium.telemetry.lag import LoopLag


def told(lag: LoopLag) -> Histogram:
    ((_, value),) = lag.family().points
    assert isinstance(value, Histogram)
    return value


def test_a_delay_falls_into_its_bucket() -> None:
    lag = LoopLag()
    for seconds in (0.0, 0.003, 9.0):
        lag.observe(seconds)
    at = dict(zip([*LOOP_LAG.bounds, None], told(lag).counts, strict=True))
    assert (at[0.0001], at[0.005], at[None]) == (1, 1, 1)
    assert told(lag).sum == 9.003


async def test_a_loop_that_is_held_up_is_seen() -> None:
    lag = LoopLag()
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251 # what must not happen
    while not sum(told(lag).counts):  # noqa: ASYNC110 # the task's turn
        await asyncio.sleep(0.01)
    running.cancel()
    assert told(lag).sum >= 0.1
