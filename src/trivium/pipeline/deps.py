"""What the pipeline needs of the outside, as small Protocols; `server/deps.py` puts the real things together."""

from __future__ import annotations

from typing import Protocol

from trivium.clock import Clock
from trivium.config import ServerSettings
from trivium.metering.record import Outcome, Record
from trivium.policy.flood import Flood
from trivium.policy.inflight import InFlight
from trivium.routing.catalog import Catalog
from trivium.upstream.client import UpstreamClient


class Key(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def strict(self) -> bool:
        """Its calls are refused rather than sent on with a loss."""
        ...


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
        seal_key: bytes = b"",
    ) -> None:
        """`seal_key` is the secret with which sealed reasoning is put into envelopes."""
        self.settings = settings
        self.clock = clock
        self.keys = keys
        self.records = records
        self.client = client
        self.local = local
        self.catalog = catalog
        self.seal_key = seal_key
        self.in_flight = InFlight(settings.max_in_flight_bytes, settings.max_calls)
        self.flood = Flood()

    def keep(self, record: Record) -> None:
        """Hands a record to the store; refusals of strangers by way of `Flood`."""
        stranger = record.key_id is None and record.outcome == Outcome.REFUSED
        for kept in self.flood.admit(record) if stranger else (record,):
            self.records.add(kept)

    def keep_counted(self) -> None:
        """Hands over what is only counted so far, before somebody asks or the gateway ends."""
        for record in self.flood.flush():
            self.records.add(record)
