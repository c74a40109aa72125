"""Who calls, as a frozen value: the key, whose it is, who pays, and what all of these may do.

A key belongs to a user, or to a member of an organization, or (in a house with one developer) to nobody. Limits and
policies that say nothing are `None` or empty, so that a caller of whom nothing is said costs nothing to check.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from trivium.canon import wildcard
from trivium.patterns import matching
from trivium.providers.vendors import plain

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""With `*` and `?`, as the house's operators write them."""
Listed = Annotated[
    str, matching(r"^[^*?]*(\*[^*?]*){0,8}\Z", "a name with up to eight * and no ?", shortest=1, longest=200)
]
"""A name, or one with up to eight `*` in it: members write these, and everybody's calls wait while they are read."""
Patterns = Annotated[tuple[Listed, ...], msgspec.Meta(max_length=1000)]
MOST_WILD = 100
"""Patterns of a list that are no exact names."""
Id = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}\Z", "1 to 100 letters, digits and ._@-, a letter or digit at the beginning"
    ),
]
"""Of users, organizations, projects and accounts."""
ApiName = Literal["chat_completions", "responses", "messages", "embeddings", "fim"]


class Role(enum.StrEnum):
    """What a member is in an organization (behaviour page, section 3)."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    BILLING = "billing"
    """Sees and pays the bills; may spend nothing."""


BILLS = frozenset({Role.OWNER, Role.ADMIN, Role.BILLING})
"""Who sees what everybody's calls cost, and the balance."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most in a minute, or at once; None: no limit. 0 allows nothing."""

    requests_per_minute: Count | None = None
    input_tokens_per_minute: Count | None = None
    output_tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None

    def __bool__(self) -> bool:
        return self != _NO_LIMITS


_NO_LIMITS = Limits()


def _check_wild(patterns: Patterns) -> None:
    if len(patterns) > MOST_WILD and sum(map(wildcard.is_wild, patterns)) > MOST_WILD:
        raise ValueError(f"A list may have {MOST_WILD} patterns with `*`; exact names beside them up to a thousand.")


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an organization lets its calls reach. Model names are exact, or have `*` in them; an empty allow-list is no
    list (behaviour page, section 6)."""

    models_allow: Patterns = ()
    models_deny: Patterns = ()
    providers_allow: Patterns = ()
    providers_deny: Patterns = ()
    data_collection: Literal["allow", "deny"] = "allow"
    """`deny`: no provider that may keep prompts or learn from them."""
    zdr: bool = False
    """Zero data retention: only providers that keep nothing at all."""
    default_model: Pattern | None = None

    def __post_init__(self) -> None:
        for patterns in (self.models_allow, self.models_deny, self.providers_allow, self.providers_deny):
            _check_wild(patterns)


class OrganizationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an organization's owners and admins decide."""

    policy: Policy = Policy()
    limits: Limits = Limits()
    """Of all calls that it pays for together."""
    forbid_capture: bool = False
    """No bodies of its calls are kept, whatever keys and the house say (docs/capture.md)."""


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """Also its account's."""
    name: str
    settings: OrganizationSettings = OrganizationSettings()


class Scopes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key is good for; empty: everything that its owner may do."""

    apis: tuple[ApiName, ...] = ()
    models: Patterns = ()
    networks: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=100)] = ()
    """Addresses and networks (CIDR) that it may be used from."""

    def __post_init__(self) -> None:
        _check_wild(self.models)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A live key and its owner. Times are milliseconds since the epoch."""

    id: str
    """The key's."""
    name: str = ""
    strict: bool = False
    """Its calls are refused rather than sent on with a loss."""
    account_id: str | None = None
    """Whose balance its calls are charged to; an organization's or a user's id, if they have one of their own."""
    user_id: str | None = None
    project_id: str | None = None
    expires_ms: int | None = None
    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    """The key's own."""
    user_limits: Limits = Limits()
    """Of all calls of the user together."""
    staff: bool = False
    """The user works for the house: gates that are open to `admins` are open to them."""
    personal: bool = True
    """The key is no organization's. An organization's officers can have a key for each of its members: such a key opens
    nothing that is open to the user alone."""
    blocked: bool = False
    organization: Organization | None = None
    """Which pays, and whose policy holds."""
    role: Role | None = None
    """The user's in this organization; None: no member."""
    born_ms: int | None = None
    """When the user was made, else the key."""
    captured_until_ms: int = 0
    """Until when the bodies of its calls are kept, where nobody forbids it (`policy/capture.py`); 0: they are not."""

    @property
    def sees_bills(self) -> bool:
        """As over the admin API: whoever pays alone does, of an organization those with a role for it, and no key of
        nobody's, which any member may hold."""
        return self.organization is None or self.role in BILLS


def organization_of(caller: Caller | None) -> str | None:
    """The id of the organization that pays for a caller's calls."""
    return caller.organization.id if caller is not None and caller.organization is not None else None


@lru_cache(10_000)
def names_of(provider: str, model: str) -> tuple[str, ...]:
    """The names by which lists may mean a model: `provider/model` and the upstream's own id, each with and without the
    suffix that gateways put behind a colon (`:free`, `:online`), and without any of their marks (`~`, `@preset/...`).
    In small letters and without blanks around: upstreams overlook both, and so would whoever wants past a list."""
    provider, model = provider.lower(), model.strip().lower()
    bare = model.partition(":")[0].rstrip()
    ids = [id for id in (bare, model, plain(model)) if id]
    return tuple(dict.fromkeys(name for id in ids for name in (f"{provider}/{id}", id)))


@lru_cache(10_000)
def matches(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether one of the patterns means one of the names. The suffix of an exact name says nothing either, nor do
    capitals and blanks around."""
    exact, wild = _read(patterns)
    return not exact.isdisjoint(names) or any(fits(name) for fits in wild for name in names)


@lru_cache(1_000)
def _read(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[Callable[[str], object], ...]]:
    """The exact names, and what says whether a name fits, for each of the others."""
    read = [meant(pattern) for pattern in patterns]
    exact = frozenset(one for one in read if not wildcard.is_wild(one))
    return exact, tuple(wildcard.fitting(one) for one in read if wildcard.is_wild(one))


def meant(pattern: str) -> str:
    """What a pattern of a list is compared as: an exact name without its suffix."""
    lower = pattern.strip().lower()
    return lower if wildcard.is_wild(lower) else lower.partition(":")[0].rstrip()
