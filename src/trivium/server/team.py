"""A gateway that is one of several workers: what it asks the others, and what they ask it. docs/operations.md.

Every worker has a door of its own beside `control.sock`, at which all of them answer. What is only in memory is asked
of all of them, and their answers become one; what the leader alone does or knows is asked of the leader. Everything
else any worker does for all, for what it changes is in the database, where the others look twice a second.

Doors are the parent's, so that whoever knocks at a worker that is just being started again waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trivium.errors import OperationError, UpstreamUnreachable
from trivium.operations.free_use import as_one
from trivium.operations.overview import Home, Live
from trivium.operations.requests import Tail
from trivium.operations.routes import RouteState
from trivium.operations.table import Actor, Op, Table, telling
from trivium.operations.workers import WorkerState
from trivium.policy.alerts import Alert
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.server.parts import LOCAL_READY
from trivium.server.workers import Life, Line, Word
from trivium.settings import Settings
from trivium.store.counters import State
from trivium.store.recent import SEVERAL

_LOG = logging.getLogger("trivium.workers")
_PATIENCE = 5.0
"""Seconds to wait for the others' answers, of which those that come in time are told."""
_DONE = 60.0
"""The same where one has to do something."""
_FLUSH, _BASE_URL = "worker.flush", "worker.local"


def door_of(number: int) -> str:
    return f"worker-{number}.sock"


class Colleagues:
    """The other workers. `doors`: the operator's, and ours."""

    def __init__(self, folder: Path, life: Life, line: Line, count: int, doors: tuple[socket.socket, ...]) -> None:
        self.leads = life.leads
        self._folder = folder
        self._life = life
        self._line = line
        self._others = [number for number in range(1, count + 1) if number != life.number]
        self._doors = doors
        self._mine: Table = {}
        self._gateway: Gateway

    def join(self, gateway: Gateway) -> None:
        """Makes a gateway one of the workers, before it is opened."""
        self._gateway = gateway
        operations = gateway.operations
        operations.table.update(worker_table(gateway, self._life.number, self._life.count))
        self._mine = dict(operations.table)
        operations.others = self._flush
        operations.table.update({name: self._of_all(name, merge) for name, merge in _AS_ONE.items()})
        operations.table.update({name: self._by_all(name) for name in _BY_ALL})
        gateway.housekeeping.leads, gateway.housekeeping.ended = self.leads, self._life.ended
        gateway.reloading.taken, gateway.reloading.notes = self._taken, self.leads
        gateway.telemetry.worker = self._life.number
        if not self.leads:
            operations.table.update({name: self._of_the_leader(name) for name in _THE_LEADERS})
            if gateway.local is not None:
                gateway.change(local=LeadersModel(self))

    async def open_doors(self) -> list[asyncio.Server]:
        operators, mine = self._doors
        return [
            await control.answer(operators, self._gateway.operations.perform, self._gateway.sessions.actor),
            await control.answer(mine, self._perform),
        ]

    async def ready(self) -> bool:
        """Returns when all workers are; whether it is for this one to say so."""
        await self._line.ready(self._gateway.store.ledger.owner)
        return self.leads and self._life.first

    async def ask_leader(self, operation: str, arguments: dict[str, Any], patience: float) -> Any:
        """Raises OperationError."""
        return await self._ask(1, operation, arguments, patience)

    def _taken(self, settings: Settings) -> None:
        if settings.source is not None:
            self._line.say(Word(taken=settings.source.text))

    async def _perform(self, operation: str, question: dict[str, Any]) -> Any:
        """What another worker asks. Whether its own caller may has been looked at there."""
        if operation == _FLUSH:
            return await self._gateway.operations.flush()
        if operation == _BASE_URL:
            local = self._gateway.deps.local
            return await local.base_url() if local is not None else None
        op = self._mine[operation]
        query = msgspec.convert(question["arguments"], op.arguments)
        return msgspec.to_builtins(await op.act(query, Actor(id=question["actor"], house=question["house"])))

    def _of_all(self, name: str, merge: Callable[[list[Any]], Any]) -> Op:
        op = self._mine[name]

        async def act(query: Any, actor: Actor) -> Any:
            mine, others = await op.act(query, actor), await self._asked(name, _put(query, actor))
            return merge([mine, *(msgspec.convert(other, op.result) for other in others)])

        return msgspec.structs.replace(op, act=act)

    def _by_all(self, name: str) -> Op:
        """Done by this worker first: where it cannot be done, no other one hears of it."""
        op = self._mine[name]

        async def act(query: Any, actor: Actor) -> Any:
            done, asked = await op.act(query, actor), _put(query, actor)
            await asyncio.gather(*(self._ask(number, name, asked, _DONE) for number in self._others))
            return done

        return msgspec.structs.replace(op, act=act)

    def _of_the_leader(self, name: str) -> Op:
        async def act(query: Any, actor: Actor) -> Any:
            return await self.ask_leader(name, _put(query, actor), _DONE)

        return msgspec.structs.replace(self._mine[name], act=act)

    async def _flush(self) -> None:
        await self._asked(_FLUSH, {})

    async def _asked(self, operation: str, arguments: dict[str, Any]) -> list[Any]:
        """The answers that come in time."""
        asking = (self._ask(number, operation, arguments, _PATIENCE) for number in self._others)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                _LOG.warning("%s is answered without one of the workers: %s", operation, answer)
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def _ask(self, number: int, operation: str, arguments: dict[str, Any], patience: float) -> Any:
        """Raises OperationError."""
        try:
            async with asyncio.timeout(patience):
                return await control.ask_at(self._folder, door_of(number), operation, arguments)
        except (OSError, TimeoutError) as error:
            why = str(error) or f"{patience:g} s have passed"
            raise OperationError(f"Worker {number} does not answer: {why}") from None
        except OperationError as error:
            raise OperationError(f"Worker {number}: {error.message}", detail=error.detail) from None


def worker_table(gateway: Gateway, number: int = 1, lives: int = 1) -> Table:
    """What a worker that starts now tells of itself."""
    state = WorkerState(number=number, process=os.getpid(), since_ms=gateway.store.clock.now_ms(), lives=lives)
    return {"workers.show": telling(list[WorkerState], lambda: [state])}


class LeadersModel:
    """The embedded model, which is the leader's: `pipeline/deps.Local` for the other workers."""

    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues

    async def base_url(self) -> str:
        """Raises UpstreamUnreachable."""
        try:
            found: str = await self._colleagues.ask_leader(_BASE_URL, {}, LOCAL_READY + _PATIENCE)
        except OperationError as error:
            raise UpstreamUnreachable("The embedded model cannot be reached.", detail=error.message) from error
        return found


def _put(query: Any, actor: Actor) -> dict[str, Any]:
    return {"arguments": msgspec.to_builtins(query), "actor": actor.id, "house": actor.house}


def _alerts(told: Iterable[list[Alert]]) -> list[Alert]:
    """A provider stands there while it does so at any worker."""
    found: dict[str, Alert] = {}
    for alert in (alert for alerts in told for alert in alerts):
        before = found.get(alert.provider, alert)
        newest = max(before, alert, key=lambda one: one.last_ms)
        calls = alert.calls + (before.calls if before is not alert else 0)
        since_ms = min(before.since_ms, alert.since_ms)
        found[alert.provider] = msgspec.structs.replace(newest, calls=calls, since_ms=since_ms)
    return sorted(found.values(), key=lambda alert: alert.last_ms, reverse=True)


def _routes(told: Iterable[list[RouteState]]) -> list[RouteState]:
    """A route rests for as long as it does at any worker."""
    found: dict[str, RouteState] = {}
    for state in (state for states in told for state in states):
        before = found.get(state.route, RouteState(route=state.route, calls=0, failed=0, rests_s=0))
        found[state.route] = RouteState(
            route=state.route,
            calls=before.calls + state.calls,
            failed=before.failed + state.failed,
            rests_s=max(before.rests_s, state.rests_s),
        )
    return sorted(found.values(), key=lambda state: state.route)


def _counters(told: list[State]) -> State:
    """One that has a problem, if there is one."""
    return max(told, key=lambda state: (state.problem is not None, state.counters == "memory"))


def _sums(told: list[dict[str, Any]]) -> dict[str, Any]:
    summed = dict(told[0])
    for one in told[1:]:
        for name, value in one.items():
            summed[name] = value + summed.get(name, 0) if isinstance(value, int) else value
    return summed


def _workers(told: Iterable[list[WorkerState]]) -> list[WorkerState]:
    return sorted((state for states in told for state in states), key=lambda state: state.number)


def _overview(told: list[Home]) -> Home:
    """What is in the database each knows; what goes on now each has a part of."""
    live = Live(calls=sum(one.live.calls for one in told), streams=sum(one.live.streams for one in told))
    return msgspec.structs.replace(told[0], live=live)


def _tail(told: list[Tail]) -> Tail:
    """Each finds its own part in the common cursor."""
    rows: list[Any] = [row for one in told for row in one.items]
    items = sorted(rows, key=lambda row: row.time_ms + row.total_us // 1000)
    return Tail(items=items, next=SEVERAL.join(one.next for one in told), skipped=any(one.skipped for one in told))


_AS_ONE: Mapping[str, Callable[[list[Any]], Any]] = {
    "alerts.show": _alerts,
    "routes.show": _routes,
    "limits.show": _counters,
    "abuse.status": _sums,
    "free.use": as_one,
    "workers.show": _workers,
    "overview": _overview,
    "requests.tail": _tail,
}
"""Looks at what each worker has in memory, and how their answers become one."""
_BY_ALL = ("config.reload",)
_THE_LEADERS = ("catalog.sources", "catalog.refresh")
