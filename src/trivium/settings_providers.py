"""`[providers.NAME]`: what may be said of a provider. `settings` has it with all the others."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trivium.patterns import Secret, matching
from trivium.settings_routing import ApiWord, Seconds

Path = Annotated[str, msgspec.Meta(min_length=1)]


class TimeoutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[providers.NAME.timeouts]`, in seconds."""

    connect: Seconds = 10
    first_byte: Seconds = 300
    idle: Seconds = 120


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[providers.NAME]`: an upstream. What is left out comes from the row of its `type`."""

    type: str | None = None
    """A row of the provider table; by default the row with the provider's own name, if there is one."""
    base_url: str | None = None
    key: Secret | None = None
    """With `access_key_id` it is AWS's secret access key."""
    keys: list[Secret] = []
    """Further keys of the same account, used in turn with `key`."""
    access_key_id: Secret | None = None
    session_token: Secret | None = None
    profile: Secret | None = None
    """Of AWS's shared configuration, whose credentials are used; needs the extra `aws`."""
    service_account: Secret | None = None
    """A file of Google's, by `file:PATH`, `env:NAME` or its text: the key of a service account, or of workload identity
    federation. `metadata`: the account of the machine."""
    region: Annotated[str, matching(r"^[a-z0-9-]{2,40}\Z", "2 to 40 of a-z, 0-9 and -")] | None = None
    project: Annotated[str, matching(r"^[a-zA-Z0-9.:_-]{1,100}\Z", "1 to 100 letters, digits and .:_-")] | None = None
    """Google's."""
    api_version: Annotated[str, matching(r"^[a-zA-Z0-9.-]{1,40}\Z", "1 to 40 letters, digits and .-")] | None = None
    """Azure's `api-version`."""
    proxy: Secret | None = None
    """`http://[USER:PASSWORD@]HOST:PORT`, through which it is called."""
    ca_file: Path | None = None
    """Whom to trust instead of the system's authorities (PEM)."""
    client_cert: Path | None = None
    """A client certificate with its key (PEM)."""
    apis: Annotated[list[ApiWord], msgspec.Meta(min_length=1)] | None = None
    models: list[str] | None = None
    """Model ids it serves, `*` and `?` as wildcards; by default asked of the provider itself."""
    headers: dict[str, str] = {}
    timeouts: TimeoutSettings = TimeoutSettings()
    on_abort: Literal["cancel", "drain"] = "cancel"
    """What becomes of a call whose client left: it is cut, or read to its end for the figures there."""
    drain_limit: Seconds = 60
    """The longest that it is read on."""
    byok: bool = False
    """The caller's side pays this provider itself: calls are charged nothing."""
    collects_data: bool | None = None
    """It may keep prompts for more than abuse checks, or learn from them. By default as the
    provider's row says (docs/providers.md), true of servers nobody knows."""
    retains_data: bool | None = None
    """It may keep anything of a call for a while. By default as the row says."""
    told_who: bool = True
    """Whether it is told who calls, where `[identity]` says that providers are; some servers refuse to be."""
    strict: bool | None = None
    """Its Messages API refuses keys that Anthropic's does not have. By default true of Anthropic and its clouds."""
    stream_usage: bool = True
    """It is asked for the usage of Chat's streams (`stream_options`); some servers refuse to be."""
    honours: list[Literal["data_collection", "zdr"]] | None = None
    """What it keeps to where a request asks for it in OpenRouter's or Vercel's words. By default of these two, at their
    own addresses."""
    reports_cost: bool | None = None
    """What it says in its answers that a call cost is charged. By default of OpenRouter, Vercel and xAI alone."""
    lists_prices: bool | None = None
    """What its list of models tells of prices is believed, as USD per token. By default of OpenRouter and Vercel."""
