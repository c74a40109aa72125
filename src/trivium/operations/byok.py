"""Upstream keys that users and organizations bring along: added, listed, changed, removed, put in order. `table` is for
`Operations`.

What is shown of a key is where it belongs and its last four characters; the key itself goes in and never comes out.
Where its vendor is called through OpenRouter, it is registered there before it counts here (`registrar`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import msgspec

from trivium.errors import OperationError, SecretUnreadable
from trivium.operations.registrar import Registrar, read
from trivium.operations.table import OFFICERS, Actor, Arguments, Needs, Op, Table
from trivium.patterns import matching
from trivium.policy.caller import Id
from trivium.providers.credential import Credential, Region
from trivium.providers.openrouter import KeptCredential
from trivium.providers.vendors import VENDORS
from trivium.store.answers import told
from trivium.store.secrets import Secret, Secrets, owner_of

Name = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*\Z",
        "letters, digits, blanks and ._@-, a letter or digit at the beginning",
        shortest=1,
        longest=100,
    ),
]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
_Wanted = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Owned(Arguments, frozen=True, kw_only=True):
    """Whose keys it is about: one of the two."""

    organization: Id | None = None
    user: Id | None = None


class Add(Owned, frozen=True, kw_only=True):
    """A key behind the others of its owner for this vendor."""

    vendor: str
    credential: Credential
    name: Name = "main"
    base_url: Url | None = None
    """Instead of the vendor's."""
    region: Region | None = None


class List(Owned, frozen=True, kw_only=True):
    vendor: str | None = None


class Set(Owned, frozen=True, kw_only=True):
    """What is left out stays as it is; an empty base URL gives way to the vendor's."""

    key: _Wanted
    """Its id, or a name that only one of the owner's keys has."""
    credential: Credential | None = None
    name: Name | None = None
    base_url: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    region: Region | None = None
    enabled: bool | None = None


class Remove(Owned, frozen=True, kw_only=True):
    key: _Wanted


class Order(Owned, frozen=True, kw_only=True):
    """All keys for a vendor, by id or name, as they are to be tried."""

    vendor: str
    keys: Annotated[tuple[_Wanted, ...], msgspec.Meta(max_length=100)]


class UpstreamKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, as much of it as is ever shown. Times are milliseconds since the epoch."""

    id: str
    organization: str | None
    user: str | None
    vendor: str
    name: str
    position: int
    """The lowest is tried first."""
    base_url: str | None
    region: str | None
    enabled: bool
    hint: str
    """Its last four characters; of AWS's credentials, the id's."""
    created_ms: int


class ByokOperations:
    """Must run where the store is owned."""

    def __init__(self, secrets: Secrets, check_url: Callable[[str], str], registrar: Registrar | None = None) -> None:
        """`check_url` gives a user's URL as it is to be kept, or raises OperationError."""
        self._secrets = secrets
        self._check_url = check_url
        self._registrar = registrar
        needs = Needs(roles=OFFICERS, personal=True)
        self.table: Table = {
            "byok.add": Op(arguments=Add, result=UpstreamKey, act=self.add, needs=needs, changes=True),
            "byok.list": Op(arguments=List, result=list[UpstreamKey], act=self.listed, needs=needs),
            "byok.set": Op(arguments=Set, result=UpstreamKey, act=self.set, needs=needs, changes=True),
            "byok.remove": Op(arguments=Remove, result=UpstreamKey, act=self.remove, needs=needs, changes=True),
            "byok.order": Op(arguments=Order, result=list[UpstreamKey], act=self.order, needs=needs, changes=True),
        }

    async def add(self, query: Add, actor: Actor) -> UpstreamKey:
        """Raises NotFound, Conflict, OperationError, SecretUnreadable where there is no key to seal it with."""
        _check_vendor(query.vendor)
        _check_fit(query.vendor, query.credential, query.region)
        base_url = self._url(query.base_url)
        _check_server(query.vendor, base_url)
        what = {"vendor": query.vendor, "name": query.name, "base_url": base_url, "region": query.region}
        what |= {"hint": query.credential.hint}
        registrar = self._registrar_of(query.vendor, base_url)
        if registrar is None:
            return await told(_shown, self._secrets.add(_owner(query), _plain(query.credential), actor.id, **what))
        fresh = await registrar.registered(query.vendor, query.credential)
        async with _forgotten(registrar, fresh):
            return await told(_shown, self._secrets.add(_owner(query), _plain(fresh), actor.id, **what))

    async def listed(self, query: List, _: Actor) -> list[UpstreamKey]:
        return [_shown(secret) for secret in await self._secrets.listed(_owner(query), query.vendor)]

    async def set(self, query: Set, actor: Actor) -> UpstreamKey:
        """Raises NotFound, Conflict, OperationError."""
        owner = _owner(query)
        before = await self._secrets.named(owner, query.key)
        fields: dict[str, Any] = {
            name: value for name in ("name", "region", "enabled") if (value := getattr(query, name)) is not None
        }
        if query.base_url is not None:
            _check_server(before.vendor, query.base_url)
            fields["base_url"] = self._url(query.base_url or None)
        if query.credential is not None:
            fields["hint"] = query.credential.hint
        _check_fit(before.vendor, query.credential, query.region)
        plain = _plain(query.credential) if query.credential is not None else None
        registrar = self._registrar_of(before.vendor, fields.get("base_url", before.base_url))
        if registrar is None:
            return await told(_shown, self._secrets.set(owner, before.id, plain, actor.id, **fields))
        on = fields.get("enabled", before.enabled)
        renews = on and (query.credential is not None or not before.enabled)
        old = await self._kept(before, must=renews and query.credential is None) if renews or not on else None
        fresh = None
        if renews:
            fresh = await registrar.registered(before.vendor, query.credential or old)  # type: ignore[arg-type] # one is
            plain = _plain(fresh)
        async with _forgotten(registrar, fresh):
            changed = await told(_shown, self._secrets.set(owner, before.id, plain, actor.id, **fields))
        await registrar.forget(old)
        return changed

    async def remove(self, query: Remove, actor: Actor) -> UpstreamKey:
        """Raises NotFound, OperationError."""
        owner = _owner(query)
        before = await self._secrets.named(owner, query.key)
        registrar = self._registrar_of(before.vendor, None)
        old = await self._kept(before) if registrar is not None else None
        removed = await told(_shown, self._secrets.remove(owner, before.id, actor.id))
        if registrar is not None:
            await registrar.forget(old)
        return removed

    def _registrar_of(self, vendor: str, base_url: str | None) -> Registrar | None:
        """Who registers a key for a vendor; None: nobody. Raises OperationError."""
        if self._registrar is None or not self._registrar.handles(vendor):
            return None
        if base_url is not None:
            raise OperationError(
                f"Calls for {VENDORS[vendor].title} go through OpenRouter here, which knows no base URL of your own."
            )
        return self._registrar

    async def _kept(self, secret: Secret, *, must: bool = False) -> KeptCredential | None:
        """A key as it is sealed; None where it cannot be opened and need not be. Raises SecretUnreadable."""
        try:
            return read(await self._secrets.opened(secret.owner, secret.id))
        except SecretUnreadable:
            if must:
                raise
            return None

    async def order(self, query: Order, actor: Actor) -> list[UpstreamKey]:
        """Raises OperationError."""
        ordering = self._secrets.order(_owner(query), query.vendor, query.keys, actor.id)
        return await told(lambda ordered: [_shown(secret) for secret in ordered], ordering)

    def _url(self, url: str | None) -> str | None:
        return self._check_url(url) if url is not None else None


@contextlib.asynccontextmanager
async def _forgotten(registrar: Registrar, fresh: KeptCredential | None) -> AsyncIterator[None]:
    """What was registered for a change does not stay there where the change fails."""
    try:
        yield
    except BaseException:
        await registrar.forget(fresh)
        raise


def _owner(query: Owned) -> str:
    return owner_of(organization=query.organization, user=query.user)


def _plain(credential: Credential) -> bytes:
    return msgspec.json.encode(credential)


def _check_server(vendor: str, base_url: str | None) -> None:
    if not base_url and not VENDORS[vendor].doors[0].base_urls:
        raise OperationError(f"A key for {vendor!r} needs the base URL of the server that it is for.")


def _check_vendor(vendor: str) -> None:
    if vendor not in VENDORS:
        raise OperationError(f"There is no such vendor; expected one of {', '.join(VENDORS)}.")


def _check_fit(vendor: str, credential: Credential | None, region: str | None) -> None:
    has_regions = VENDORS[vendor].row.region is not None
    if region is not None and not has_regions:
        raise OperationError(f"{VENDORS[vendor].title} has no regions.")
    if credential is not None and credential.access_key_id is not None and not has_regions:
        raise OperationError(f"Only bedrock takes AWS credentials; for {vendor!r} give an API key.")
    if credential is not None and credential.session_token is not None and credential.access_key_id is None:
        raise OperationError("A session token belongs to an access key id.")


def _shown(secret: Secret) -> UpstreamKey:
    kind, _, id = secret.owner.partition(":")
    shown = msgspec.structs.asdict(secret)
    del shown["owner"]
    shown["organization"], shown["user"] = (id, None) if kind == "organization" else (None, id)
    return UpstreamKey(**shown)
