"""Puts together what operators see of a running gateway, as `[telemetry]` says. What is not wanted is not there: calls
hand their records to the ledger and to nobody else."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from trivium.admin.face import Face
from trivium.config import secret
from trivium.metering.record import COLUMNS, Record
from trivium.patterns import twice
from trivium.pipeline.deps import Now
from trivium.providers.builtin import HEADER_NAME
from trivium.providers.provider import Provider
from trivium.server.beside import watched
from trivium.server.hidden import secrets_of
from trivium.server.metrics import MetricsListener, MetricsPage
from trivium.server.readings import Names, readings
from trivium.settings import Settings, wrong_setting
from trivium.settings_telemetry import EventSettings
from trivium.store.ledger import Ledger
from trivium.telemetry.counts import Counts
from trivium.telemetry.events import Events, Post
from trivium.telemetry.hub import Hub, Sink
from trivium.telemetry.instruments import Family
from trivium.telemetry.lag import LoopLag
from trivium.telemetry.logs import RequestLog
from trivium.telemetry.redaction import REDACTION
from trivium.telemetry.trace import Propagation
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest
from trivium.upstream.extras import installing
from trivium.upstream.target import parse_url

if TYPE_CHECKING:
    from trivium.telemetry.otel import Otel

_LOG = logging.getLogger("trivium.telemetry")
_LAST_WORD = 5.0
"""Seconds that an ending gateway waits for services that take telemetry."""
_MOST_READS = 100
_LAST_PORT = 65_535
_VALUE = re.compile(r"[\x20-\x7e]*")

Families = Callable[[], Sequence[Family]]


class Telemetry:
    """`start` before the first call, `close` behind the last one."""

    def __init__(  # noqa: PLR0917
        self,
        settings: Settings,
        env: Mapping[str, str],
        now: Now,
        ledger: Ledger,
        admin: Face | None,
        lost: Mapping[str, int] | None = None,
    ) -> None:
        """`lost` is how many processes of the dashboard were. Raises ConfigError."""
        check_telemetry(settings, env, now.deps.catalog.providers)
        said = settings.telemetry
        self._now, self._ledger = now, ledger
        self._most_routes = said.max_models
        self._lost = lost or {}
        self._tasks: list[asyncio.Task[None]] = []
        names = Names(now)
        self._counts: Counts | None = None
        self._lag: LoopLag | None = None
        self._events: Events | None = None
        self._otel: Otel | None = None
        if said.prometheus.enabled or (said.otel is not None and said.otel.metrics):
            self._counts, self._lag = Counts(names, max_models=said.max_models), LoopLag()
        if said.events is not None:
            self._events = Events(said.events, _post(said.events, settings, env, now.deps.client))
        if said.otel is not None:
            self._otel = _otel(settings, env, ledger.owner, names, self.families)
        sinks: list[Sink] = [one for one in (self._counts, self._events, self._otel) if one is not None]
        sinks += [RequestLog()] if settings.log.requests else []
        self._hub = Hub(sinks)
        self.propagation = _propagation(settings)
        self.page: MetricsPage | None = None
        self.listener: MetricsListener | None = None
        self._listen = said.prometheus.listen if said.prometheus.enabled else None
        self.worker = 1
        """Which of several workers this is: each has a listener of its own, on the ports that follow."""
        alone = settings.server.workers == 1  # else nobody knows whose figures the gateway's port would show
        if said.prometheus.enabled and self._listen is None and admin is not None and alone:
            self.page = MetricsPage(self.scrape, admin.credentials)

    @property
    def ended(self) -> Callable[[Record, bytes | None], None] | None:
        """What calls hand their records to; None where nobody wants any."""
        return self._hub.ended if self._hub.heard else None

    def listen(self, sink: Sink, wants: bool) -> None:
        """A sink that no part of `[telemetry]` is about, which wants records from now on, or no longer does."""
        self._hub.listen(sink, wants)

    def start(self) -> None:
        """Raises ConfigError."""
        if self._listen is not None:
            self.listener = MetricsListener(self.scrape, self._listen, self.worker - 1)
        if self._otel is not None:
            self._otel.start()
        for part in (self.listener, self._lag, self._events, self._otel):
            if part is not None:
                self._tasks.append(asyncio.create_task(watched("a part of telemetry", part.run())))

    async def close(self) -> None:
        """Sends what is left, as far as somebody takes it in time."""
        self._hub.drain()
        ends = [part.close(_LAST_WORD) for part in (self._events, self._otel) if part is not None]
        await asyncio.gather(*ends)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        return await asyncio.to_thread(_rendered, self.families(), accept)

    def families(self) -> list[Family]:
        """All metrics as they stand. On the event loop."""
        self._hub.drain()
        found = readings(self._now.deps, self._ledger, self._lost, most_routes=self._most_routes)
        if self._counts is not None and self._lag is not None:
            found += [*self._counts.families(), self._lag.family()]
        return found if self._events is None else [*found, self._events.family()]


def hide(settings: Settings, env: Mapping[str, str], providers: Mapping[str, Provider]) -> None:
    """Has logs and telemetry know the secrets of a configuration. Raises ConfigError."""
    REDACTION.hide(secrets_of(settings, env, providers.values()))


def check_telemetry(settings: Settings, env: Mapping[str, str], providers: Mapping[str, object]) -> None:
    """Whether what `[telemetry]` names is there. Raises ConfigError."""
    said = settings.telemetry
    if said.prometheus.listen is not None and int(said.prometheus.listen.rpartition(":")[2]) > _LAST_PORT:
        raise wrong_setting(settings.source, ("telemetry", "prometheus", "listen"), f"no port is above {_LAST_PORT}")
    if said.otel is not None:
        _sdk(settings)
        if said.otel.endpoint is not None:
            checked_url(("telemetry", "otel", "endpoint"), said.otel.endpoint, settings)
        _headers("otel", said.otel.headers, settings, env)
        for name in said.otel.propagate:
            if name not in providers:
                raise wrong_setting(settings.source, ("telemetry", "otel", "propagate"), f"no provider {name!r}")
    if said.events is not None:
        checked_url(("telemetry", "events", "url"), said.events.url, settings)
        _headers("events", said.events.headers, settings, env)
        for name in said.events.omit:
            if name not in COLUMNS:
                raise wrong_setting(settings.source, ("telemetry", "events", "omit"), f"records have no {name!r}")


def checked_url(place: tuple[str, ...], url: str, settings: Settings) -> str:
    """Not repeated in an error: it may be a secret."""
    try:
        parse_url(url)
    except ValueError as error:
        raise wrong_setting(settings.source, place, str(error)) from None
    return url


def _rendered(families: Sequence[Family], accept: str) -> tuple[bytes, str]:
    from trivium.telemetry.prometheus import render  # noqa: PLC0415 # 45 ms, and nobody may ever ask

    return render(families, accept)


def checked_headers(
    place: tuple[str, ...], said: Mapping[str, str], settings: Settings, env: Mapping[str, str]
) -> dict[str, str]:
    """Headers of a part of the configuration, secrets looked up. Raises ConfigError."""
    headers = {name: secret(value, env, settings.source, (*place, "headers", name)) for name, value in said.items()}
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise wrong_setting(settings.source, (*place, "headers", name), "expected a header of printable ASCII")
    if again := twice(headers):
        raise wrong_setting(settings.source, (*place, "headers", again), "expected each header once, capitals or not")
    return headers


def _headers(section: str, said: Mapping[str, str], settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    return checked_headers(("telemetry", section), said, settings, env)


def _propagation(settings: Settings) -> Propagation | None:
    said = settings.telemetry.otel
    return Propagation(said.sample, said.propagate) if said is not None and said.propagate else None


def _otel(settings: Settings, env: Mapping[str, str], instance: str, names: Names, families: Families) -> Otel:
    said = settings.telemetry.otel
    assert said is not None
    return _sdk(settings)(said, _headers("otel", said.headers, settings, env), instance, names.semantic, families)


def _sdk(settings: Settings) -> type[Otel]:
    try:
        from trivium.telemetry.otel import Otel  # noqa: PLC0415 # only with the extra `otel`
    except ImportError as error:
        why = f"needs the extra `otel` to be installed ({installing('otel')}): {error}"
        raise wrong_setting(settings.source, ("telemetry", "otel"), why) from error
    return Otel


def _post(said: EventSettings, settings: Settings, env: Mapping[str, str], client: UpstreamClient) -> Post:
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in _headers("events", said.headers, settings, env).items()
    ]
    timeouts = Timeouts(connect=said.timeout, first_byte=said.timeout, idle=said.timeout)

    async def post(content: bytes, kind: str) -> int:
        sent = [(b"content-type", kind.encode()), *headers]
        response = await client.send(UpstreamRequest(url=said.url, headers=sent, body=content, timeouts=timeouts))
        try:
            for _ in range(_MOST_READS):  # a whole answer leaves the connection for the next batch
                if not await response.read():
                    break
            return response.status
        finally:
            response.close()

    return post
