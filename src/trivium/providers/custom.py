"""Custom models: servers of an organization's own, as its admins describe them, and the provider that each of them is.

Nothing here is the house's: the server's owner pays for it, and its calls are charged nothing. Its URL comes from a
user, so that each connection to it is guarded.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from trivium.canon.api import Api, kind_of
from trivium.canon.conventions import UNKNOWN, conventions_for
from trivium.patterns import Tokens, matching
from trivium.providers.credential import end_of, sent_as
from trivium.providers.provider import COUNT_PATHS, Headers, Provider
from trivium.providers.rows import ROWS
from trivium.settings_routing import ApiWord

ModelName = Annotated[
    str,
    matching(
        r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}\Z",
        "1 to 200 letters, digits and ._:/@+-, a letter or digit at the beginning",
    ),
]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Tools = Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=200)]
Apis = Annotated[tuple[ApiWord, ...], msgspec.Meta(min_length=1, max_length=5)]
UpstreamId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
DisplayName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Auth = Literal["bearer", "x-api-key"]

PREFIX = "custom@"


class CustomSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an organization's admins say of a model. The key is kept apart."""

    base_url: str
    """The API's path is appended."""
    apis: Apis = ("chat",)
    """Those that the server speaks; clients of the others are translated."""
    model: UpstreamId | None = None
    """The server's own id of it. None: its name."""
    display_name: DisplayName | None = None
    auth: Auth | None = None
    """Where the key goes. None: as the APIs' owners have it."""
    context: Tokens | None = None
    output_limit: Tokens | None = None
    """The most tokens of an answer: requests for more are sent on with this."""
    extra_body: dict[str, Any] = {}
    """Members of every request."""
    include_tools: Tools = ()
    """By name, `*` and `?` as wildcards: only these reach the model. Empty: all."""
    exclude_tools: Tools = ()
    """These do not."""
    collects_data: bool = True
    """The server may keep prompts for more than abuse checks, or learn from them."""
    retains_data: bool = True
    """It may keep anything of a call for a while."""


class CustomModel(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    organization_id: str
    """Whose it is."""
    name: str
    """By which callers ask for it."""
    settings: CustomSettings
    shown_to: tuple[str, ...] = ()
    """Other organizations whose callers see it."""
    created_ms: int
    """Milliseconds since the epoch."""
    hint: str | None = None
    """The key's last characters; None: there is no key."""

    @property
    def upstream_id(self) -> str:
        return self.settings.model or self.name


def provider_of(model: CustomModel, key: str | None) -> Provider:
    """The server as the pipeline calls it. Its name is none that an operator could give a provider."""
    settings = model.settings
    apis = frozenset(map(kind_of, settings.apis))
    only_messages = apis == {Api.MESSAGES}
    name = f"{PREFIX}{model.organization_id}"
    kind = "anthropic-compatible" if only_messages else "openai-compatible"
    return Provider(
        name=name,
        kind=kind,
        list_path=ROWS[kind].list_path,
        base_url=ROWS[kind].rooted(settings.base_url),
        apis=apis,
        headers=_headers(settings.auth or ("x-api-key" if only_messages else "bearer"), key),
        counts=frozenset(COUNT_PATHS) & apis,
        models=(model.upstream_id,),
        conventions=conventions_for(name, UNKNOWN),
        byok=True,
        guarded=True,
        collects_data=settings.collects_data,
        retains_data=settings.retains_data,
    )


def is_custom(provider: str) -> bool:
    """Whether a provider's name is that of an organization's own server."""
    return provider.startswith(PREFIX)


def owner_of(provider: str | None) -> str | None:
    """The organization whose server a provider of this name is; None: it is the house's."""
    return provider.removeprefix(PREFIX) if provider is not None and is_custom(provider) else None


def hint_of(key: str | None) -> str | None:
    """By which its owner knows a key."""
    return None if key is None else end_of(key)


def _headers(auth: str, key: str | None) -> Headers:
    return () if key is None else (sent_as(auth, key.encode()),)
