"""What the pipeline needs of the outside, as small Protocols; `server/deps.py` puts the real things together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from trivium.canon import wildcard
from trivium.clock import Clock
from trivium.errors import UpstreamRefusedUs
from trivium.metering.book import PriceBook
from trivium.metering.prices import Quote
from trivium.metering.record import Outcome, Record
from trivium.metering.start import Start
from trivium.pipeline.lookup import Generations, Lookups
from trivium.pipeline.screening import Screening
from trivium.pipeline.turn import Turn
from trivium.policy.access import HouseSettings
from trivium.policy.addresses import networks
from trivium.policy.alerts import LONGEST, Alerts
from trivium.policy.caller import Caller
from trivium.policy.counters import Claim, Denial, Taken
from trivium.policy.flood import Flood
from trivium.policy.guesses import Guesses
from trivium.policy.inflight import InFlight
from trivium.policy.limits import RuleBook
from trivium.policy.promotions import Promotions
from trivium.policy.spending import Refusal
from trivium.providers.custom import CustomModel
from trivium.providers.provider import Provider
from trivium.providers.sigv4 import Signing
from trivium.routing.auto import NO_AUTOS
from trivium.routing.catalog import Catalog, Target
from trivium.routing.health import Health, Sessions
from trivium.settings import (
    NOTHING_FREE,
    BillingSettings,
    ByokSettings,
    FreeSettings,
    RecordSettings,
    ServerSettings,
)
from trivium.settings_idempotency import IdempotencySettings
from trivium.settings_requests import AdaptSettings, IdentitySettings
from trivium.settings_routing import CatalogSettings, RoutingSettings
from trivium.store.counters import LocalCounters
from trivium.store.secrets import SealedSecret
from trivium.telemetry.trace import Propagation
from trivium.upstream.client import UpstreamClient
from trivium.upstream.credentials import HouseCredentials

if TYPE_CHECKING:
    from trivium.pipeline.capture import Captured

_LOG = logging.getLogger("trivium.pipeline")


class Keys(Protocol):
    """Who calls, by the key that they send."""

    def known(self, key: str) -> Caller | None:
        """The caller with this live key, if memory has it."""
        ...

    def lately_good(self, key: str) -> bool:
        """Whether the key was good not long ago; it may have ended since."""
        ...

    async def find(self, key: str) -> Caller | None:
        """The caller with this live key. Raises StoreUnavailable."""
        ...

    async def acting_for(self, caller: Caller, organization_id: str) -> Caller | None:
        """The same caller where an organization pays that the user is a member of. Raises StoreUnavailable."""
        ...


class OwnKeys(Protocol):
    """Upstream keys of users and organizations."""

    def vendors(self, owner: str) -> Mapping[str, bool]:
        """The vendors for which an owner has keys, and whether any of them has a base URL of its own."""
        ...

    async def keys(self, owner: str, vendor: str) -> Sequence[SealedSecret]:
        """In the order in which they are tried. Raises StoreUnavailable."""
        ...

    def plain(self, secret: SealedSecret) -> bytes:
        """What a key consists of. Raises SecretUnreadable."""
        ...


class Tokens(Protocol):
    """Who calls, by a token of the issuer that the configuration trusts."""

    async def find(self, token: str) -> Caller | None:
        """The caller that a valid token names. Raises StoreUnavailable."""
        ...


class Ledger(Protocol):
    """Starts and ends of calls."""

    def accepts(self) -> bool:
        """False while so much waits for the disk that no more may be taken."""
        ...

    async def counts(self, scopes: Iterable[str]) -> bool:
        """Whether a budget counts calls of these scopes."""
        ...

    async def free_nano(self, account_id: str) -> tuple[int, int]:
        """What of a balance no call has a hold on, and what is held. Raises StoreUnavailable."""
        ...

    async def lacks(self, amount: int, account_id: str | None, scopes: Sequence[str], time_ms: int) -> Refusal | None:
        """Why a call would not be started that holds so much; nothing is held. Raises StoreUnavailable."""
        ...

    async def start(self, start: Start) -> Refusal | None:
        """Begins a call; a hold is durable when this returns None. Raises StoreUnavailable."""
        ...

    def priced(self, quote: Quote) -> None:
        """Keeps a price that calls are charged with."""
        ...

    def seen(self, id: str, upstream_id: str) -> None:
        """Keeps the id by which the provider knows the call."""
        ...

    def moved(  # noqa: PLR0917
        self, id: str, provider: str, model: str, price_version: str | None, payer: str | None, public_model: str | None
    ) -> None:
        """Keeps where a call that was started leads now."""
        ...

    def has_begun(self, id: str) -> bool:
        """Whether a call was started, or may have been, and has not ended."""
        ...

    def end(self, record: Record) -> None:
        """The outcome of a call, and its end if it was started."""
        ...


class CustomModels(Protocol):
    """Servers of organizations."""

    def of(self, organization_id: str) -> Mapping[str, CustomModel]:
        """What the organization's callers see, by name."""
        ...

    def key(self, model: CustomModel) -> str | None:
        """The model's key, if it has one. Raises SecretUnreadable."""
        ...


class Place(Protocol):
    """Where the answer to one call with an idempotency key is kept."""

    async def claim(self) -> bytes | None:
        """The answer that is there; None: the call is the first, and the place is its. Raises IdempotencyConflict,
        CallInProgress, StoreUnavailable."""
        ...

    def keep(self, answer: bytes) -> None:
        """Ends the claim with an answer."""
        ...

    def free(self) -> None:
        """Ends the claim without one."""
        ...


class Answers(Protocol):
    """Answers to calls with idempotency keys."""

    @property
    def settings(self) -> IdempotencySettings: ...

    def place(self, credential: str, key: str, question: bytes) -> Place: ...


class Captures(Protocol):
    """Where the bodies of calls go that are captured."""

    @property
    def most(self) -> int:
        """Bytes of each body that are worth keeping until it is looked at."""
        ...

    def take(self, size: int) -> bool:
        """Takes room for so many bytes, if there is any; a negative size gives back."""
        ...

    def keep(self, bodies: Captured) -> None:
        """Takes over the bodies of a call that is over, and the room that they hold."""
        ...


class Local(Protocol):
    """The embedded model's process."""

    async def base_url(self) -> str:
        """Where it listens, started if need be. Raises UpstreamUnreachable."""
        ...


class Credentials(Protocol):
    """Of the house, where they end after a while."""

    async def of(self, provider: Provider) -> tuple[Signing | None, list[tuple[bytes, bytes]]]:
        """How calls to a provider are signed, and headers for them. Raises UpstreamRefusedUs."""
        ...

    def refused(self, provider: Provider, headers: list[tuple[bytes, bytes]]) -> None:
        """The provider does not take these headers."""
        ...


class Counters(Protocol):
    """Counters of limits, of this gateway or of several together. None of these raises anything."""

    async def take(self, claims: Sequence[Claim], holder: str = "") -> Denial | None:
        """Counts all claims or none of them, in one step that nothing comes between. `holder` names the call for claims
        of what goes on at once, which it holds until it leaves."""
        ...

    async def enter(self, claims: Sequence[Claim], holder: str = "") -> Taken:
        """As `take`; says also how the counters stand."""
        ...

    def add(self, key: str, amount: int, window_s: int = 60, ago_ms: int = 0) -> None:
        """Counts what is known only afterwards, whatever the limit; a negative amount corrects what was counted so many
        milliseconds ago."""
        ...

    def add_to(self, keys: Sequence[str], amount: int, window_s: int, ago_ms: int) -> None:
        """As `add`, of several."""
        ...

    def leave(self, keys: Sequence[str], holder: str) -> None:
        """Ends what a call holds of these."""
        ...


NO_DETOURS = RoutingSettings()


class Deps:
    """One snapshot, which a call keeps from its beginning to its end. What changes while the gateway runs makes the
    next one by `changed`; what counts or connects is the same in all of them."""

    ended: Callable[[Record, bytes | None], None] | None
    """Hears of each record beside the ledger, with the trace that the client says it is part of."""
    propagation: Propagation | None
    """What providers hear of traces; None: nothing."""
    captures: Captures | None
    """Where bodies of calls are kept; None: nowhere."""

    def __init__(
        self,
        *,
        settings: ServerSettings,
        clock: Clock,
        keys: Keys,
        own: OwnKeys,
        ledger: Ledger,
        prices: PriceBook,
        generations: Generations,
        billing: BillingSettings,
        client: UpstreamClient,
        local: Local | None,
        catalog: Catalog,
        byok: ByokSettings,
        turn: Turn,
        seal_key: bytes = b"",
        tokens: Tokens | None = None,
        counters: Counters | None = None,
        free: FreeSettings = NOTHING_FREE,
        shown: CatalogSettings | None = None,
        screening: Screening | None = None,
        records: RecordSettings | None = None,
        custom_models: CustomModels | None = None,
        routing: RoutingSettings = NO_DETOURS,
        answers: Answers | None = None,
        adapt: AdaptSettings | None = None,
    ) -> None:
        """Without `screening` nobody looks for abuse, without `answers` idempotency keys are passed over."""
        self.settings, self.clock, self.turn = settings, clock, turn
        self.keys = keys
        self.own = own
        self.byok = byok
        self.tokens = tokens
        self.ledger = ledger
        self.prices = prices
        self.lookups = Lookups(generations)
        self.billing = billing
        self.client = client
        self.local = local
        self.catalog = catalog
        self.house, self.guesses = HouseSettings(), Guesses()
        self.identity, self.adapt = IdentitySettings(send=False), adapt or AdaptSettings()
        self.free = free
        self.shown = shown or CatalogSettings()
        self.rules = RuleBook()
        self.counters: Counters = counters or LocalCounters(clock)
        self.seal_key = seal_key
        self.screening = screening
        self.records = records or RecordSettings()
        self.custom_models = custom_models
        self.autos, self.ended, self.propagation, self.captures = NO_AUTOS, None, None, None
        self.credentials: Credentials = HouseCredentials(client, clock)
        self.answers = answers
        self.in_flight = InFlight(*settings.room)
        self.flood, self.alerts = Flood(), Alerts()
        self.routing = routing
        self.health = Health(failures=routing.failures, rest_s=routing.rest)
        self.sessions = Sessions(routing.keep_session)
        self._derive()

    def changed(self, **parts: Any) -> Deps:
        """The next snapshot: the same but for these parts, by the names of their attributes."""
        assert parts.keys() <= vars(self).keys()
        after = copy(self)
        vars(after).update(parts)
        after._derive()
        return after

    def _derive(self) -> None:
        """What follows from the other parts, and what is remembered of them."""
        self.permitted: dict[tuple[str, str, str], tuple[tuple[object, ...], object]] = {}
        """Which routes of models callers may use (`pipeline/legs.py`)."""
        self.promotions = Promotions(self.billing.promotions)
        self.proxies = networks(self.settings.trusted_proxies)
        self.detours = self.routing.canary is not None or self.routing.emergency_provider is not None
        """Whether a call may be led elsewhere than its model's name says."""

    def has_canary(self, model: str) -> bool:
        """Whether a model of the main provider's, by its id there, is one of those that the canary gets calls for."""
        patterns = self.routing.canary.models if self.routing.canary is not None else ()
        return not patterns or any(wildcard.compiled(pattern).fullmatch(model) for pattern in patterns)

    def context_of(self, target: Target) -> int | None:
        """The most tokens that a model takes, as far as callers may know."""
        if target.house is not None and (target.stealth or target.house.said.context is not None):
            return target.house.said.context
        if target.custom is not None:
            return target.custom.settings.context
        if target.routed is not None and target.routed.said.context is not None:
            return target.routed.said.context
        return self.prices.limits(target.provider, target.model).context

    def alert(self, error: UpstreamRefusedUs, provider: str, status: int | None, time_ms: int) -> None:
        """The operator is told that a provider refuses the house."""
        said = error.detail or error.message
        if self.alerts.raised(provider, status, said, time_ms):
            _LOG.error("%s refuses this gateway's account, status %s: %s", provider, status, said[:LONGEST])

    def keep(self, record: Record, trace: bytes | None = None) -> None:
        """Hands a record to the store; refusals of strangers by way of `Flood`, save of calls that have to be ended.
        `trace` is what the client says it is part of."""
        refused = record.key_id is None and record.outcome == Outcome.REFUSED
        stranger = refused and not self.ledger.has_begun(record.id)
        for kept in self.flood.admit(record) if stranger else (record,):
            self._end(kept, trace)

    def keep_counted(self) -> None:
        """Hands over what is only counted so far, before somebody asks or the gateway ends."""
        for record in self.flood.flush():
            self._end(record, None)

    def _end(self, record: Record, trace: bytes | None) -> None:
        self.ledger.end(record)
        if self.ended is not None:
            self.ended(record, trace)


class Now:
    """Where the snapshot of the moment stands. Whoever answers a call takes it once."""

    __slots__ = ("deps",)

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
