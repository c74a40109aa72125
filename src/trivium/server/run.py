"""`trivium up`: from settings to a gateway that listens, and from SIGTERM to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import math
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import uvicorn

from trivium.clock import age_ms
from trivium.config import taken_before
from trivium.errors import ConfigError, UpstreamUnreachable
from trivium.operations.bootstrap import bootstrap_key
from trivium.operations.captures import keep_forgetting
from trivium.operations.config import held
from trivium.operations.folding import keep_folding
from trivium.operations.retention import keep_erasing
from trivium.operations.sessions import address_of
from trivium.server import control
from trivium.server.app import App
from trivium.server.beside import watched
from trivium.server.deps import Gateway
from trivium.server.parts import check_workers
from trivium.server.protocol import GuardedProtocol
from trivium.server.team import Colleagues, door_of, worker_table
from trivium.server.workers import Life, Line, work_together
from trivium.settings import Settings
from trivium.store.ownership import ownership
from trivium.telemetry import logs

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
_LOCAL_READY = 60.0
_LISTS_READY = 3.0
"""Longest that being ready waits for the first look at the providers' lists."""
UNWINDING = 5.0
"""Seconds that calls have, which were cut, to write their records."""


class Console(Protocol):
    """Whoever started the gateway."""

    @property
    def is_attended(self) -> bool:
        """Whether a person reads along, who may be told a secret."""
        ...

    def say(self, text: str) -> None:
        """Hears how far the preparations are."""
        ...

    def ready(self, url: str, key: str | None, gateway: Gateway) -> None:
        """Hears once that the gateway is ready. `key` is the bootstrap key, None if it has been revoked."""
        ...


class Crew(Protocol):
    """The workers that a gateway is one of."""

    leads: bool
    """It does what one of them does for all."""

    def join(self, gateway: Gateway) -> None:
        """Before it is opened."""
        ...

    async def open_doors(self) -> list[asyncio.Server]:
        """For the operator, and whoever else may ask."""
        ...

    async def ready(self) -> bool:
        """Returns when all are ready; whether it is for this one to say so."""
        ...


class Alone:
    """A gateway that is the only one of its data folder."""

    leads = True

    def join(self, gateway: Gateway) -> None:
        self._gateway = gateway
        gateway.operations.table.update(worker_table(gateway))

    async def open_doors(self) -> list[asyncio.Server]:
        gateway = self._gateway
        return [await control.serve(gateway.folder, gateway.operations.perform, gateway.sessions.actor)]

    async def ready(self) -> bool:
        return True


class Silence:
    """The console of a worker that has nothing to say."""

    is_attended = False

    def say(self, text: str) -> None:
        """Whoever leads has said it."""

    def ready(self, url: str, key: str | None, gateway: Gateway) -> None:
        """That is the leader's to say."""


def up(settings: Settings, folder: Path, env: Mapping[str, str], console: Console) -> None:
    """Runs until SIGTERM or SIGINT. Raises ConfigError, OperationError, StoreUnavailable before it listens; the last of
    them also at the end, where not everything could be stored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # but while it serves: it would end the start, or the last records
    check_workers(settings)
    logs.set_up(settings.log.level, settings.log.format)
    _allow_many_connections()
    with ownership(folder):
        if settings.server.workers > 1:
            _together(settings, folder, env, console)
            return
        with _listening(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, folder, env, listener, console, Alone()))


def _together(settings: Settings, folder: Path, env: Mapping[str, str], console: Console) -> None:
    """As several workers. Each has a listening socket of its own on one port, so that the kernel spreads connections by
    their hashes; on a single socket most of a burst went to the one that woke first
    (docs/decisions/0021-workers-share-a-port.md)."""
    count, grace = settings.server.workers, math.ceil(settings.server.shutdown_grace)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(_reserved(settings)).getsockname()
        operators = stack.enter_context(control.door(folder))
        doors = [stack.enter_context(_inner_door(folder, number)) for number in range(1, count + 1)]

        def work(life: Life, line: Line) -> None:
            said = settings if life.config is None else held(settings, taken_before(life.config, settings, env))[0]
            logs.set_up(said.log.level, said.log.format, life.number)
            crew = Colleagues(folder, life, line, count, (operators, doors[life.number - 1]))
            speaks = console if crew.leads and life.first else Silence()
            with _bound(address) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_serve(said, folder, env, listener, speaks, crew))

        gc.collect()
        gc.freeze()  # what workers have in common stays one copy in memory
        work_together(count, work, grace)


async def _serve(  # noqa: PLR0917
    settings: Settings, folder: Path, env: Mapping[str, str], listener: socket.socket, console: Console, crew: Crew
) -> None:
    gateway, until = Gateway(settings, folder, env), 0.0
    try:
        gateway.sessions.address = url = address_of(*listener.getsockname()[:2])
        crew.join(gateway)
        await gateway.open()
        if absent := await gateway.read_prices():
            console.say(absent)
        key = await bootstrap_key(folder, gateway.store.keys)
        settle_down()
        doors = await crew.open_doors()
        server = Server(gateway)
        looked = asyncio.Event()

        async def ready() -> None:
            await _get_ready(gateway, looked, console, crew)
            if await crew.ready():
                console.ready(url, key, gateway)
                await invite(gateway, console)

        running = {**_beside(gateway, looked, crew), "getting ready": ready()}
        beside = [asyncio.create_task(watched(what, one)) for what, one in running.items()]
        try:
            await server.serve(sockets=[listener])
            await server.settle()
            until = server.grace_ends
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            for door in doors:
                door.close()
    finally:
        await gateway.close(until)


class Server(uvicorn.Server):
    """uvicorn with signals that end the process with status 0, and the connections' sweep."""

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings.server
        app = App(
            gateway.now,
            gateway.store.problem,
            gateway.desk,
            gateway.admin,
            metrics=gateway.telemetry.page,
            panel=gateway.panel,
            webhooks=gateway.payments.door if gateway.payments is not None else None,
        )
        parts = {"__slots__": (), "now": gateway.now, "outbox": gateway.outbox, "app": staticmethod(app.__call__)}
        self._reloading = gateway.reloading
        self._grace = settings.shutdown_grace
        self.grace_ends = 0.0
        """By the loop's clock, once a signal has come."""
        super().__init__(
            uvicorn.Config(
                app,  # which it hands to the protocol, and never calls
                http=type("Protocol", (GuardedProtocol,), parts),
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive,
                timeout_graceful_shutdown=math.ceil(settings.shutdown_grace),
                backlog=2048,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again at the end, and the exit status would tell of a crash. SIGHUP is ignored
        afterwards, while records are still written: the loop, taking a handler away, would make it deadly."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._reloading.soon, "SIGHUP"))
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for number in signals:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.grace_ends = self.grace_ends or asyncio.get_running_loop().time() + self._grace
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.sweep(now)
        return await super().on_tick(counter)

    async def settle(self) -> None:
        """Calls that the grace period cut are cancelled by now: their records are written as they unwind. Answers that
        are still read to their end, for nobody (`pipeline/drain`), are cut as well."""
        for _ in range(2):
            tasks = list(self.server_state.tasks)
            if not tasks:
                break
            _, late = await asyncio.wait(tasks, timeout=UNWINDING)
            for task in late:
                task.cancel()


async def invite(gateway: Gateway, console: Console) -> None:
    """Tells a person how to get into the dashboard."""
    if gateway.panel is not None and gateway.settings.dashboard.links and console.is_attended:
        link = await gateway.operations.perform("sessions.link", {})
        console.say(f"  sign in, once:       {link['url']}\n")


async def _get_ready(gateway: Gateway, looked: asyncio.Event, console: Console, crew: Crew) -> None:
    """Starts the embedded model and says how far it is; without it the gateway is no less ready."""
    if gateway.local is not None and gateway.settings.local.start == "up" and crew.leads:
        console.say("starting the embedded model")
        try:
            await gateway.local.start()
            await gateway.local.wait_ready(_LOCAL_READY, progress=lambda words: console.say(f"embedded model: {words}"))
        except UpstreamUnreachable as error:
            console.say(f"{error.message} {error.detail or ''}".strip())
    elif gateway.local_absent:
        console.say(f"no embedded model: {gateway.local_absent}")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(looked.wait(), _LISTS_READY)


def _beside(gateway: Gateway, looked: asyncio.Event, crew: Crew) -> dict[str, Coroutine[Any, Any, None]]:
    """What runs beside the calls, by what the log calls it. Some of it one does for all that share the database."""
    everybody = {
        "watching the configuration": gateway.reloading.watch(),
        "housekeeping": gateway.housekeeping.run(),
        "following other gateways": gateway.follow(),
        "alerting": gateway.alerting.run(),
    }
    if not crew.leads:
        return {**everybody, "following the lists of models": gateway.lists.follow(looked)}
    leading = {
        "looking at the lists of models": gateway.lists.run(looked),
        "registering keys": gateway.registrar.run(),
        "folding usage into days": keep_folding(gateway.store),
        "forgetting bodies of calls": keep_forgetting(gateway.store, lambda: gateway.settings.capture.retention_days),
    }
    if age := gateway.settings.storage.retention:
        leading["erasing old records"] = keep_erasing(gateway.store, age_ms(age))
    if gateway.payments is not None:
        leading["topping up balances"] = gateway.payments.top_ups.run()
    return {**everybody, **leading}


def settle_down() -> None:
    """What is there for good need not be looked through again and again, and a request leaves few cycles behind. The
    writer's thread may keep the event loop waiting for half a millisecond, not for Python's usual five."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)
    sys.setswitchinterval(0.0005)
    _keep_memory()


def _keep_memory() -> None:
    """As it comes, glibc gives the end of its heap back to the system with each body that is let go of, and takes it
    again for the next one, a fault for each page: a tenth of what a call with 64 KB costs. Other libraries do not."""
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * 1024 * 1024)
        libc.mallopt(_M_MMAP_THRESHOLD, 1024 * 1024)


def _allow_many_connections() -> None:
    """The usual limit of 1,024 open files is two for each stream: as far as the system lets us, there are more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket is opened first, so that a taken port stops the start before anything else happens."""
    host, port = settings.server.host, settings.server.port
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048, reuse_port=False
        )
    except OSError as error:
        raise ConfigError(f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener


@contextlib.contextmanager
def _inner_door(folder: Path, number: int) -> Iterator[socket.socket]:
    with control.door(folder, door_of(number)) as door:
        yield door
    (folder / door_of(number)).unlink(missing_ok=True)


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[socket.socket]:
    """The port, kept for the workers: nobody comes to a socket that does not listen."""
    with _listening(settings) as first:  # which fails also where somebody else's workers have the port
        address = first.getsockname()
    with _bound(address) as reserved:
        yield reserved


@contextlib.contextmanager
def _bound(address: tuple[Any, ...]) -> Iterator[socket.socket]:
    """A socket of those that share the port."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as `create_server` has it
        one.bind(address)
        yield one


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 # not there on Windows

    return uvloop.new_event_loop
