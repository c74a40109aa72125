"""A provider: one upstream that can be called, as a frozen value."""

from __future__ import annotations

from typing import Literal

import msgspec

from trivium.canon.api import Api
from trivium.canon.usage import Conventions
from trivium.providers.sigv4 import Signing
from trivium.settings import TimeoutSettings

Headers = tuple[tuple[bytes, bytes], ...]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the pipeline needs to know about an upstream; nothing of it depends on its name."""

    name: str
    kind: str = "openai-compatible"
    """Its row of the provider table."""
    base_url: str
    """Without a slash at its end; the API's path is appended. Empty for the embedded model, whose port comes late."""
    apis: frozenset[Api]
    headers: Headers = ()
    """Credential and configured headers, sent with every call. Secret."""
    signing: Signing | None = None
    """Whose signature its calls carry instead of a credential."""
    counts: frozenset[Api] = frozenset()
    """The APIs in which it may be asked how many tokens a request has."""
    generations: str | None = None
    """Where it tells what a past call was: a path under the base URL, `{id}` in place of the generation's id. None: it
    keeps no such records."""
    tells_byok: bool = False
    """It marks each cost with whether the vendor was paid by the account's own key."""
    models: tuple[str, ...] | None = None
    """Upstream ids it serves, `*` and `?` as wildcards. None: ask the provider."""
    conventions: Conventions = Conventions()
    timeouts: TimeoutSettings = TimeoutSettings()
    on_abort: Literal["cancel", "drain"] = "cancel"
    """What becomes of a call whose client left."""
    drain_limit: float = 60
    """Seconds that such a call is read on for its figures."""
    reports_cost: bool = False
    """Its word for what a call cost is believed."""
    byok: bool = False
    """The caller's side pays it: its calls are charged nothing."""
    guarded: bool = False
    """Its address comes from a user: it is checked before it is connected to."""
    collects_data: bool = True
    """It may keep prompts for more than abuse checks, or learn from them."""
    retains_data: bool = True
    """It may keep anything of a call for a while."""
    embedded: bool = False
    quirks: frozenset[str] = frozenset()
    """Names of the mendings in `providers/quirks.py` that its answers need."""

    def __repr__(self) -> str:
        """Without its credential, for a log or a trace."""
        return f"Provider({self.name}, {self.base_url})"


PATHS = {Api.CHAT: "/chat/completions", Api.RESPONSES: "/responses", Api.MESSAGES: "/messages"}
COUNT_PATHS = {Api.RESPONSES: "/responses/input_tokens", Api.MESSAGES: "/messages/count_tokens"}
