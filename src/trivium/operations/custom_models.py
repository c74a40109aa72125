"""Custom models of organizations: added, listed, changed, removed by their admins; shown to other organizations by the
house alone, whose callers' prompts then go to a server that is not theirs. `table` is for `Operations`.

The key goes in and never comes out. A base URL is checked when it is saved, and again whenever it is connected to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from trivium.errors import OperationError
from trivium.operations.table import OFFICERS, Actor, Arguments, Needs, Op, Table, given_of
from trivium.patterns import Tokens
from trivium.policy.caller import Id
from trivium.providers.credential import Part
from trivium.providers.custom import (
    Apis,
    Auth,
    CustomModel,
    CustomSettings,
    DisplayName,
    ModelName,
    Tools,
    UpstreamId,
)
from trivium.store.answers import told
from trivium.store.custom_models import CustomModels
from trivium.wire.custom import OURS

_LARGEST_EXTRA = 16 * 1024
"""Bytes of JSON."""


class Add(CustomSettings, frozen=True, kw_only=True):
    organization: Id
    name: ModelName
    key: Part | None = None


class List(Arguments, frozen=True, kw_only=True):
    organization: Id


class Set(Arguments, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    organization: Id
    name: ModelName
    key: Part | UnsetType | None = UNSET
    base_url: str | UnsetType = UNSET
    apis: Apis | UnsetType = UNSET
    model: UpstreamId | UnsetType | None = UNSET
    display_name: DisplayName | UnsetType | None = UNSET
    auth: Auth | UnsetType | None = UNSET
    context: Tokens | UnsetType | None = UNSET
    output_limit: Tokens | UnsetType | None = UNSET
    extra_body: dict[str, Any] | UnsetType = UNSET
    include_tools: Tools | UnsetType = UNSET
    exclude_tools: Tools | UnsetType = UNSET
    collects_data: bool | UnsetType = UNSET
    retains_data: bool | UnsetType = UNSET


class Share(Arguments, frozen=True, kw_only=True):
    """To whose callers a model is shown beside those of the organization whose it is: to these alone."""

    organization: Id
    name: ModelName
    organizations: Annotated[tuple[Id, ...], msgspec.Meta(max_length=1000)]


class Remove(Arguments, frozen=True, kw_only=True):
    organization: Id
    name: ModelName


class CustomModelRow(CustomSettings, frozen=True, kw_only=True):
    """A model as its admins see it."""

    id: str
    organization: str
    name: str
    organizations: tuple[str, ...]
    """Others whose callers see it."""
    hint: str | None
    """The last characters of its key; null: it has none."""
    created_ms: int


class CustomModelOperations:
    """Must run where the store is owned."""

    def __init__(self, models: CustomModels, check_url: Callable[[str], str]) -> None:
        """`check_url` gives a user's URL as it is to be kept, or raises OperationError."""
        self._models = models
        self._check_url = check_url
        needs = Needs(roles=OFFICERS)
        self.table: Table = {
            "models.add": Op(arguments=Add, result=CustomModelRow, act=self.add, needs=needs, changes=True),
            "models.list": Op(arguments=List, result=list[CustomModelRow], act=self.listed, needs=needs),
            "models.set": Op(arguments=Set, result=CustomModelRow, act=self.set, needs=needs, changes=True),
            "models.share": Op(arguments=Share, result=CustomModelRow, act=self.share, changes=True),
            "models.remove": Op(arguments=Remove, result=CustomModelRow, act=self.remove, needs=needs, changes=True),
        }

    async def add(self, query: Add, actor: Actor) -> CustomModelRow:
        """Raises NotFound, Conflict, UrlRefused, OperationError, SecretUnreadable where nothing can be sealed."""
        given = {name: getattr(query, name) for name in CustomSettings.__struct_fields__}
        settings = CustomSettings(**given | self._checked(given))
        return await told(_shown, self._models.add(query.organization, query.name, settings, query.key, actor.id))

    async def listed(self, query: List, _: Actor) -> list[CustomModelRow]:
        return [_shown(model) for model in await self._models.listed(query.organization)]

    async def set(self, query: Set, actor: Actor) -> CustomModelRow:
        """Raises NotFound, UrlRefused, OperationError, SecretUnreadable."""
        given = given_of(query, CustomSettings.__struct_fields__)
        given |= self._checked(given)

        def change(before: CustomSettings) -> CustomSettings:
            return msgspec.structs.replace(before, **given)

        return await told(_shown, self._models.set(query.organization, query.name, actor.id, change, query.key))

    async def share(self, query: Share, actor: Actor) -> CustomModelRow:
        """Raises NotFound."""
        others = tuple(dict.fromkeys(id for id in query.organizations if id != query.organization))
        return await told(_shown, self._models.show(query.organization, query.name, others, actor.id))

    async def remove(self, query: Remove, actor: Actor) -> CustomModelRow:
        """Raises NotFound."""
        return await told(_shown, self._models.remove(query.organization, query.name, actor.id))

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        """What must be put in other words, of settings that are right. Raises UrlRefused, OperationError."""
        extra = given.get("extra_body") or {}
        if ours := OURS.intersection(extra):
            raise OperationError(f"An extra body cannot set `{min(ours)}`.")
        if len(msgspec.json.encode(extra)) > _LARGEST_EXTRA:
            raise OperationError(f"An extra body has {_LARGEST_EXTRA} bytes of JSON at the most.")
        for name in ("model", "display_name"):
            if given.get(name) is not None and not given[name].isprintable():
                raise OperationError(f"`{name}` may hold printable characters only.")
        changed: dict[str, Any] = {}
        if "base_url" in given:
            changed["base_url"] = self._check_url(given["base_url"])
        if "apis" in given:
            changed["apis"] = tuple(dict.fromkeys(given["apis"]))
        return changed


def _shown(model: CustomModel) -> CustomModelRow:
    return CustomModelRow(
        **{name: getattr(model.settings, name) for name in CustomSettings.__struct_fields__},
        id=model.id,
        organization=model.organization_id,
        name=model.name,
        organizations=model.shown_to,
        hint=model.hint,
        created_ms=model.created_ms,
    )
