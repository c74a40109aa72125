"""Workers among themselves: who is asked, how answers become one, and what happens where one does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trivium import config
from trivium.errors import OperationError, UpstreamUnreachable
from trivium.metering.record import Record
from trivium.operations.routes import RouteState
from trivium.operations.table import OPERATOR, Actor
from trivium.policy.alerts import Alert
from trivium.policy.caller import Role
from trivium.server import control, team
from trivium.server.deps import Gateway
from trivium.server.team import Colleagues, LeadersModel, door_of
from trivium.server.workers import Life, Line, Word
from trivium.store.counters import State

REFUSED = Alert(provider="up", status=401, message="Wrong key.", calls=3, since_ms=1_000, last_ms=5_000)


PARENTS: list[socket.socket] = []
"""Kept until the end: a worker whose parent is gone ends, and here that would be the process of all tests."""


def line() -> tuple[socket.socket, Line]:
    ours, theirs = socket.socketpair()
    PARENTS.append(ours)
    return ours, Line(theirs, 60)


class Model:
    """The embedded one, as a gateway has it."""

    def __init__(self) -> None:
        self.fails = False

    async def base_url(self) -> str:
        if self.fails:
            raise UpstreamUnreachable("The embedded model is not ready after 120 s.")
        return "http://127.0.0.1:1234/v1"


class Worker:
    """One of two, in the test's own process."""

    def __init__(self, folder: Path, number: int, doors: list[socket.socket]) -> None:
        self.gateway = Gateway(
            config.parse("[local]\nenabled = false", file=folder / "t.toml"), folder / str(number), {}
        )
        self.model = Model()
        self.gateway.change(local=self.model)
        life = Life(number=number, count=3, ended=("run_before",), config=None)
        self.heard, self.line = line()
        self.colleagues = Colleagues(folder, life, self.line, 2, (doors[0], doors[number]))
        self.colleagues.join(self.gateway)

    async def ask(self, operation: str, actor: Actor = OPERATOR, **arguments: Any) -> Any:
        return await self.gateway.operations.perform(operation, arguments, actor)


@contextlib.asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    (folder / "t.toml").write_text("[local]\nenabled = false")
    doors = [control.door(folder, name) for name in ("control.sock", door_of(1), door_of(2))]
    first, second = (Worker(folder, number, doors) for number in (1, 2))
    opened = [await control.answer(doors[n], worker.colleagues._perform) for n, worker in ((1, first), (2, second))]
    try:
        yield first, second
    finally:
        for door in opened:
            door.close()
        for worker in (first, second):
            await worker.gateway.close()


async def test_looks_at_what_is_in_memory_are_at_all_of_them(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        for worker in (first, second):
            worker.gateway.deps.health.answered("up/m", time.monotonic_ns() // 1_000_000)
        second.gateway.deps.alert(UpstreamUnreachable("x"), "up", 401, 5_000)  # type: ignore[arg-type]
        assert [(one["route"], one["calls"]) for one in await first.ask("routes.show")] == [("up", 2), ("up/m", 2)]
        assert [one["provider"] for one in await first.ask("alerts.show")] == ["up"]
        assert (await first.ask("abuse.status"))["mode"] == "off"
        assert (await second.ask("limits.show"))["counters"] == "memory"
        for worker in (first, second):
            told = await worker.ask("workers.show")
            assert [(one["number"], one["lives"]) for one in told] == [(1, 3), (2, 3)]


async def test_a_report_waits_until_all_have_handed_over_what_they_have(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        flushed: list[bool] = []
        second.gateway.operations._before_reading = lambda: flushed.append(True)
        await first.ask("usage")
        assert flushed == [True]


async def test_a_reload_is_everybodys_and_its_parent_hears_what_was_read(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        (tmp_path / "t.toml").write_text("[local]\nenabled = false\n[server]\nmax_calls = 7")
        told = await second.ask("config.reload", Actor(id="adm_1", house=True))
        assert (told["trigger"], told["changed"]) == ("adm_1", ("server",))
        for worker in (first, second):
            assert worker.gateway.settings.server.max_calls == 7
            assert (await worker.ask("config.show"))["last"]["trigger"] == "adm_1"
            assert b"max_calls = 7" in worker.heard.recv(1_000)
        changes = [
            row["actor"] for row in (await first.ask("changes.list"))["items"] if row["action"] == "config.reload"
        ]
        assert changes == ["adm_1"]
        (tmp_path / "t.toml").write_text("[nonsense]")
        with pytest.raises(OperationError, match="The configuration is as before"):
            await first.ask("config.reload")


async def test_lists_and_the_embedded_model_are_the_leaders(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        assert first.gateway.housekeeping.leads
        assert not second.gateway.housekeeping.leads
        assert second.gateway.housekeeping.ended == ("run_before",)
        shared = LeadersModel(second.colleagues)
        assert await shared.base_url() == "http://127.0.0.1:1234/v1"
        first.model.fails = True
        with pytest.raises(UpstreamUnreachable) as raised:
            await shared.base_url()
        assert raised.value.detail == "Worker 1: The embedded model is not ready after 120 s."
        assert await second.ask("catalog.sources") == await first.ask("catalog.sources")
        with pytest.raises(OperationError, match="There is no provider 'nobody'"):
            await second.ask("catalog.refresh", provider="nobody")


async def test_who_does_not_answer_is_left_out_of_looks_and_named_where_all_have_to_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(team, "_PATIENCE", 0.05)
    monkeypatch.setattr(team, "_DONE", 0.05)
    (tmp_path / "t.toml").write_text("[local]\nenabled = false")
    doors = [control.door(tmp_path, name) for name in ("control.sock", door_of(1), door_of(2))]
    first = Worker(tmp_path, 1, doors)
    with caplog.at_level(logging.WARNING):
        assert await first.ask("alerts.show") == []
    assert "alerts.show is answered without one of the workers: Worker 2 does not answer: 0.05 s" in caplog.text
    with pytest.raises(OperationError, match=r"^Worker 2 does not answer: 0\.05 s have passed"):
        await first.ask("config.reload")
    await first.gateway.close()


def test_answers_become_one() -> None:
    newer = Alert(provider="up", status=402, message="No credit.", calls=2, since_ms=3_000, last_ms=9_000)
    other = Alert(provider="b", status=401, message="x", calls=1, since_ms=1, last_ms=9_500)
    (b, up) = team._alerts([[REFUSED, other], [], [newer]])
    assert b == other
    assert (up.message, up.calls, up.since_ms, up.last_ms) == ("No credit.", 5, 1_000, 9_000)

    rests = [RouteState(route="up/m", calls=2, failed=1, rests_s=rest) for rest in (0, 9)]
    assert team._routes([[rests[0]], [rests[1]]]) == [RouteState(route="up/m", calls=4, failed=2, rests_s=9)]

    well, ill = State(counters="redis", redis="r"), State(counters="memory", redis="r", problem="gone")
    assert team._counters([well, ill, well]) == ill
    assert team._sums([{"mode": "log", "allow": 2}, {"mode": "log", "allow": 3, "asked": 1}]) == {
        "mode": "log",
        "allow": 5,
        "asked": 1,
    }


async def test_a_worker_hears_that_all_are_ready(tmp_path: Path) -> None:
    ours, theirs = line()
    waiting = asyncio.create_task(theirs.ready("run_1"))
    said = await asyncio.to_thread(ours.recv, 1_000)
    assert said == b'{"ready":true,"run":"run_1"}\n'
    assert not waiting.done()
    ours.send(b".")
    async with asyncio.timeout(30):
        await waiting
    theirs.say(Word(taken="[server]"))
    assert ours.recv(1_000) == b'{"taken":"[server]"}\n'


async def test_what_goes_on_and_what_has_ended_is_told_of_all(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):

        def end(worker: Worker, id: str, time_ms: int, **more: Any) -> None:
            told: dict[str, Any] = {"api": "chat_completions", "operation": "generate", "outcome": "success"}
            told["status"] = 200
            worker.gateway.store.ledger.end(Record(id=id, time_ms=time_ms, **told | more))

        told = await first.ask("requests.tail")
        assert told["items"] == []
        end(second, "b", 2)
        end(first, "a", 1, public_model="house/x", provider="up", upstream_model="m", organization_id="acme")
        told = await first.ask("requests.tail", after=told["next"])
        assert [row["id"] for row in told["items"]] == ["a", "b"]
        assert (await second.ask("requests.tail", after=told["next"]))["items"] == []
        end(second, "c", 3)
        assert [row["id"] for row in (await first.ask("requests.tail", after=told["next"]))["items"]] == ["c"]
        owner = Actor(id="adm_2", user_id="ann", roles={"acme": Role.OWNER})
        (row,) = (await second.ask("requests.tail", owner, organization="acme"))["items"]
        assert (row["upstream_model"], row["provider"], "flags" in row) == ("house/x", None, False)
        assert (await first.ask("overview"))["live"] == {"calls": 0, "streams": 0}
