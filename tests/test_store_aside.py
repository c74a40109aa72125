"""Reports keep to threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import pytest

from support_desk import Desk
from trivium.clock import SystemClock
from trivium.store.aside import aside
from trivium.store.store import Store

WHO: ContextVar[str] = ContextVar("who")


async def test_it_answers_and_fails_as_what_was_asked() -> None:
    WHO.set("ann")

    def read(a: int, *, b: int) -> tuple[int, int, str]:
        return a, b, WHO.get()

    assert await aside(read, 1, b=2) == (1, 2, "ann")
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 1, 0)


@pytest.mark.parametrize("name", ["usage", "usage.report", "overview", "requests", "requests.search", "requests.tail"])
async def test_however_many_are_asked_for_names_of_upstreams_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = Store(tmp_path, SystemClock())
    desk, under_way, may_end = Desk(store), threading.Barrier(3), threading.Event()

    def held(*_: object, **__: object) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            under_way.wait(30)
        may_end.wait(30)
        raise ZeroDivisionError

    for method in ("usage", "search", "is_theirs"):
        monkeypatch.setattr(store, method, held)
    reports = [asyncio.create_task(desk(name)) for _ in range(50)]
    try:
        with ThreadPoolExecutor(1) as watching:  # until two are held up
            await asyncio.get_running_loop().run_in_executor(watching, under_way.wait, 30)
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
    finally:
        under_way.abort()
        may_end.set()
        await asyncio.gather(*reports, return_exceptions=True)
        await store.close()
