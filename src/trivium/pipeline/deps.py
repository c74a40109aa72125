"""What the pipeline needs of the outside, as small Protocols; `server/deps.py` puts the real things together."""

from __future__ import annotations

from typing import Protocol

from trivium.clock import Clock
from trivium.config import ServerSettings
from trivium.metering.record import Record
from trivium.policy.inflight import InFlight
from trivium.routing.catalog import Catalog
from trivium.upstream.client import UpstreamClient


class Key(Protocol):
    @property
    def id(self) -> str: ...


class Keys(Protocol):
    def find(self, key: str) -> Key | None:
        """The live key with this text. Raises StoreUnavailable."""
        ...


class Records(Protocol):
    @property
    def accepts(self) -> bool:
        """False while so many records wait for the disk that no more may be taken."""
        ...

    def add(self, record: Record) -> None: ...


class Local(Protocol):
    """The embedded model's process."""

    async def base_url(self) -> str:
        """Where it listens, started if need be. Raises UpstreamUnreachable."""
        ...


class Deps:
    """The one mutable member is `catalog`: a frozen snapshot, replaced whole."""

    def __init__(
        self,
        *,
        settings: ServerSettings,
        clock: Clock,
        keys: Keys,
        records: Records,
        client: UpstreamClient,
        local: Local | None,
        catalog: Catalog,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.keys = keys
        self.records = records
        self.client = client
        self.local = local
        self.catalog = catalog
        self.in_flight = InFlight(settings.max_in_flight_bytes, settings.max_calls)
        self.stopping = False
        """True from SIGTERM on: what is cut now is cut by us."""
