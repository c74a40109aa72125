"""Settings of who answers: models of the catalogue with their routes, and how a call finds its way."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec

from trivium.patterns import Tokens, matching

ApiWord = Literal["chat", "responses", "messages", "embeddings", "fim"]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
RoutePlace = Annotated[str, matching(r"^[^/\s]+/\S+\Z", "PROVIDER/MODEL")]
"""`PROVIDER/MODEL`, the model by the provider's own id."""


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `[catalog.models."ID"] routes`."""

    to: RoutePlace
    weight: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Its share of the calls. Where no route has one, the first that can answers."""
    apis: Annotated[list[ApiWord], msgspec.Meta(min_length=1)] | None = None
    """Of the provider's, those that this model has there. Default: all."""
    needs: list[Literal["data_collection", "data_retention"]] = []
    """What the caller's organization must allow, though the provider as a whole needs it not."""


class CatalogModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[catalog.models."ID"]`: a model of the house's catalogue, and who answers as it."""

    routes: Annotated[list[RouteSettings], msgspec.Meta(min_length=1, max_length=50)]
    """In the order in which they are tried."""
    aliases: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    name: str | None = None
    """For lists that people read."""
    context: Tokens | None = None
    """This and what follows is by default as the first route's provider says."""
    output_limit: Tokens | None = None
    modalities: list[str] | None = None
    """What it reads: `text`, `image`, `file`, ..."""
    capabilities: list[str] | None = None
    """Settings of a request that it knows, by OpenRouter's names: `tools`, `reasoning`, ..."""


class CatalogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """`[catalog]`: how the list of models is kept and shown."""

    refresh: Annotated[float, msgspec.Meta(ge=1, le=7 * 86_400)] = 3600
    """Seconds after which providers are asked for their lists again."""
    default_model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None
    """Proposed to clients that ask for one, where their organization allows it and proposes no other."""
    preferred: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    """Shown before the others, in this order; from them comes a default model where none is set or allowed."""
    assumed_context: Tokens = 128_000
    """Tokens: told under `/api/` of a model whose context nobody knows, for clients that drop a list with a gap."""
    models: dict[str, CatalogModelSettings] = {}
    """By the id under which they are asked for."""

    @cached_property
    def places(self) -> dict[str, int]:
        """Of the preferred models, by their names."""
        return {name: n for n, name in enumerate(self.preferred)}


class CanarySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[routing.canary]`: a provider that gets part of another's calls, and most of them when the other fails."""

    main: str
    """A provider, by its name."""
    to: str
    """Another, that has the same models."""
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10
    failover_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 90
    """While more than half of the main provider's calls fail and less than half of its own."""
    models: list[str] = []
    """`*` and `?` as wildcards, by the main provider's ids. Default: all that both have."""


class RoutingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[routing]`: how a call is brought to one of several routes."""

    canary: CanarySettings | None = None
    emergency_provider: str | None = None
    """A provider that gets every call whose model it has, whatever is said elsewhere."""
    deadline: Seconds = 600
    """After which no other route is tried."""
    preamble: Seconds = 2
    """How long the beginning of a stream may wait for its first content, while another route could still answer."""
    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """In a row, after which a route rests."""
    rest: Seconds = 30
    """The first time; twice as long each time that it fails again, up to ten times as long."""
    keep_session: Seconds = 300
    """How long after its last call a session stays with its route, for the sake of the provider's prompt cache."""
    salt: str = "trivium"
    """Says, with the task, session or user, who is in which share."""
