"""API keys: of a member of an organization, of an organization, of a user, or of nobody. `table` is for `Operations`.

A key's text is shown once, where it is made or rotated. Who is not of the house makes keys for an organization by the
role there, or for itself; limits of such keys are at most those that the house gives a key.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from trivium import ids
from trivium.clock import HOUR_MS
from trivium.errors import OperationError, RoleMissing
from trivium.operations.money import ID, budget_of
from trivium.operations.table import (
    EVERY_ROLE,
    OFFICERS,
    SPENDERS,
    Actor,
    Arguments,
    ListArguments,
    Listed,
    Moment,
    Needs,
    Op,
    Table,
    given_of,
    listed,
    named,
)
from trivium.policy import addresses
from trivium.policy.caller import Id, Limits, Scopes
from trivium.policy.ceiling import within
from trivium.policy.spending import Budget, Period
from trivium.store.answers import told
from trivium.store.keys import ApiKey
from trivium.store.store import Store
from trivium.store.whose import Whose

SHORT_LIVED_MS = 15 * 60_000
_YEAR_HOURS = 8_784

Wanted = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class BudgetOfKey(Arguments, frozen=True, kw_only=True):
    period: Period
    usd: str
    """Decimal; 0 allows nothing that costs."""


class CreateKey(Arguments, frozen=True, kw_only=True):
    name: str
    strict: bool = False
    """Calls with it are refused rather than sent on with a loss."""
    account: str | None = None
    """Whose balance pays for its calls in credits mode, where it is neither the organization's nor the user's."""
    organization: Id | None = None
    """Which pays, and whose policy holds."""
    user: str | None = None
    """Whose it is; of an organization's key one of its members, or nobody."""
    project: str | None = None
    expires_ms: Moment | None = None
    short_lived: bool = False
    """It expires after 15 minutes."""
    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    budget: BudgetOfKey | None = None
    capture: bool = False
    """The bodies of its calls are kept for some days (docs/capture.md), where the house does that and nobody forbids
    it."""
    capture_until_ms: Moment | None = None
    """When that ends; null: when it is switched off."""


class ListKeys(ListArguments, frozen=True, kw_only=True):
    """Revoked and expired ones too."""

    organization: Id | None = None
    user: Id | None = None


class OneKey(Arguments, frozen=True, kw_only=True):
    key: Wanted
    """Its id, or a name that only one live key has."""
    organization: Id | None = None
    user: Id | None = None


class SetKey(OneKey, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    strict: bool | msgspec.UnsetType = msgspec.UNSET
    project: str | msgspec.UnsetType | None = msgspec.UNSET
    expires_ms: Moment | msgspec.UnsetType | None = msgspec.UNSET
    scopes: Scopes | msgspec.UnsetType = msgspec.UNSET
    limits: Limits | msgspec.UnsetType = msgspec.UNSET
    budget: BudgetOfKey | msgspec.UnsetType = msgspec.UNSET
    capture: bool | msgspec.UnsetType = msgspec.UNSET
    capture_until_ms: Moment | msgspec.UnsetType | None = msgspec.UNSET


class RotateKey(OneKey, frozen=True, kw_only=True):
    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=_YEAR_HOURS)] = 24
    """For how long the text that it has so far stays good."""


class KeyWithText(ApiKey, frozen=True, kw_only=True):
    key: str
    """Its text, shown this once."""


class KeyOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        making = Needs(roles=OFFICERS, own=SPENDERS, personal=True)
        seeing = Needs(roles=OFFICERS, own=EVERY_ROLE, personal=True)
        self.table: Table = {
            "keys.create": Op(arguments=CreateKey, result=KeyWithText, act=self._create, needs=making, changes=True),
            "keys.list": Op(arguments=ListKeys, result=Listed[ApiKey], act=self._list, needs=seeing),
            "keys.show": Op(arguments=OneKey, result=ApiKey, act=self._show, needs=seeing),
            "keys.set": Op(
                arguments=SetKey,
                result=ApiKey,
                act=self._set,
                needs=Needs(roles=OFFICERS, personal=True),
                changes=True,
            ),
            "keys.rotate": Op(arguments=RotateKey, result=KeyWithText, act=self._rotate, needs=making, changes=True),
            "keys.revoke": Op(arguments=OneKey, result=ApiKey, act=self._revoke, needs=seeing, changes=True),
        }

    async def _create(self, query: CreateKey, actor: Actor) -> KeyWithText:
        now = self._store.clock.now_ms()
        if query.organization is not None and query.account not in (None, query.organization):
            raise OperationError("An organization's key is paid from the organization's account.")
        if not actor.house and query.account not in (None, query.organization, query.user):
            raise RoleMissing("Only the operators of the gateway choose which account pays for a key.")
        if query.organization is not None:
            await self._store.organizations.get(query.organization)  # An account of this id is not enough.
        _check_id(query.user)
        _check_id(query.project)
        _check_project(query.project, query.organization, actor)
        if query.short_lived and query.expires_ms is not None:
            raise OperationError("A short-lived key expires after 15 minutes; say that, or when it expires.")
        await self._check(query.scopes, query.limits, query.expires_ms, now, actor)
        self._check_capture(query.capture, query.capture_until_ms, now)
        if query.capture_until_ms is not None and not query.capture:
            raise OperationError("There is no capture that could end: switch it on.")
        text = ids.new_api_key()
        creating = self._store.key_changes.create(
            text,
            _budget(query.budget, now),
            actor.id,
            house=actor.house,
            name=named(query.name, "A key"),
            strict=query.strict,
            account_id=query.organization or (query.account if actor.house else None),
            user_id=query.user,
            project_id=query.project,
            expires_ms=now + SHORT_LIVED_MS if query.short_lived else query.expires_ms,
            scopes=query.scopes,
            limits=query.limits,
            capture=query.capture,
            capture_until_ms=query.capture_until_ms,
        )
        made = await told(lambda key: _with_text(key, text), creating)
        await self._counted(query.budget)
        return made

    async def _list(self, query: ListKeys, actor: Actor) -> Listed[ApiKey]:
        await self._store.note_uses()
        rows = await self._store.key_changes.page(query.page(), _whose(query, actor))
        return listed(rows, query, lambda key: key.id)

    async def _show(self, query: OneKey, actor: Actor) -> ApiKey:
        await self._store.note_uses()
        return await self._store.key_changes.get(query.key, _whose(query, actor))

    async def _set(self, query: SetKey, actor: Actor) -> ApiKey:
        now = self._store.clock.now_ms()
        fields = given_of(query, ("name", "strict", "expires_ms", "scopes", "limits", "capture", "capture_until_ms"))
        if query.project is not msgspec.UNSET:
            fields["project_id"] = query.project
        if "name" in fields:
            fields["name"] = named(fields["name"], "A key")
        _check_id(fields.get("project_id"))
        _check_project(fields.get("project_id"), query.organization, actor)
        scopes, limits = fields.get("scopes", Scopes()), fields.get("limits", Limits())
        await self._check(scopes, limits, fields.get("expires_ms"), now, actor)
        self._check_capture(bool(fields.get("capture")), fields.get("capture_until_ms"), now)
        budget = query.budget or None
        changed = await self._store.key_changes.set(
            query.key, _whose(query, actor), _budget(budget, now), actor.id, house=actor.house, **fields
        )
        await self._counted(budget)
        return changed

    async def _rotate(self, query: RotateKey, actor: Actor) -> KeyWithText:
        text = ids.new_api_key()
        overlap_ms = query.overlap_hours * HOUR_MS
        rotating = self._store.key_changes.rotate(query.key, _whose(query, actor), text, overlap_ms, actor.id)
        return await told(lambda key: _with_text(key, text), rotating)

    async def _revoke(self, query: OneKey, actor: Actor) -> ApiKey:
        return await self._store.key_changes.revoke(query.key, _whose(query, actor), actor.id)

    async def _check(self, scopes: Scopes, limits: Limits, expires_ms: int | None, now_ms: int, actor: Actor) -> None:
        """Raises OperationError."""
        if expires_ms is not None and expires_ms <= now_ms:
            raise OperationError("The key would have expired already.")
        try:
            addresses.networks(scopes.networks)
        except ValueError as error:
            raise OperationError(f"networks: {error}") from None
        if not actor.house:
            within(limits, Limits(), (await self._store.house.get()).settings.key_limits)

    def _check_capture(self, capture: bool, until_ms: int | None, now_ms: int) -> None:
        """Raises OperationError."""
        if capture and not self._store.captures.allowed:
            raise OperationError(
                "This gateway keeps no bodies of calls: `[capture] enabled` of its configuration says so."
            )
        if until_ms is not None and until_ms <= now_ms:
            raise OperationError("The capture would have ended already.")

    async def _counted(self, budget: BudgetOfKey | None) -> None:
        """The ledger has to hear of a new limit."""
        if budget is not None:
            await self._store.ledger.load()


def _check_id(id: str | None) -> None:
    if id is not None and not ID.fullmatch(id):
        raise OperationError("An id has 1 to 100 letters, digits and ._@- and begins with one of the first.")


def _check_project(project: str | None, organization: str | None, actor: Actor) -> None:
    """Words for what keys outside organizations are for are the house's, as budgets can be for them. Raises
    OperationError."""
    if project is not None and organization is None and not actor.house:
        raise OperationError("Projects are of organizations: name the organization that the key is for.")


def _whose(query: OneKey | ListKeys, actor: Actor) -> Whose:
    """A user's own are, for the user, those that no organization pays: of the others its officers decide."""
    personal = query.user if query.organization is None and not actor.house else query.organization
    return Whose(organization=personal, user=query.user)


def _budget(said: BudgetOfKey | None, now_ms: int) -> Budget | None:
    return budget_of("", said.period, said.usd, now_ms) if said is not None else None


def _with_text(key: ApiKey, text: str) -> KeyWithText:
    return KeyWithText(**msgspec.structs.asdict(key), key=text)
