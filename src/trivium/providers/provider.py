"""A provider: one upstream that can be called, as a frozen value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from trivium.canon.api import Api, Kind, Solo
from trivium.canon.usage import Conventions
from trivium.providers.account import Account, ServiceAccount
from trivium.providers.sigv4 import Signing
from trivium.settings_providers import TimeoutSettings

Headers = tuple[tuple[bytes, bytes], ...]
_SECRET = (b"key", b"auth", b"token", b"secret", b"cookie")
"""Of a configured header's name, what says that its value is one."""
_SHORTEST = 8


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is connected to, where that is not as all others are."""

    proxy: str | None = None
    """`http://HOST:PORT`, with user and password where it wants them. Secret."""
    ca_file: str | None = None
    """Only its authorities are trusted (PEM)."""
    client_cert: str | None = None
    """Our certificate with its key (PEM)."""
    files: str = ""
    """A digest of what these files hold (`upstream/tls`): with others in their place it is another network."""

    def __repr__(self) -> str:
        return "Network(...)"


class Provider(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything the pipeline needs to know about an upstream; nothing of it depends on its name."""

    name: str
    kind: str = "openai-compatible"
    """Its row of the provider table."""
    base_url: str
    """Without a slash at its end; the API's path is appended. Empty for the embedded model, whose port comes late."""
    apis: frozenset[Kind]
    headers: Headers = ()
    """Credential and configured headers, sent with every call. Secret."""
    signing: Signing | None = None
    """Whose signature its calls carry instead of a credential."""
    account: Account | None = None
    """Who it is called by, where that has to be asked for now and then: `upstream/credentials` does."""
    spare: tuple[Headers, ...] = ()
    """Headers with further keys of the same account, for `keyed`."""
    key_number: int = 0
    """Which of several keys the headers have, from 1; 0: there is one at the most."""
    style: str = ""
    """How its requests differ from their API's: a name in `providers/styles.py`."""
    query: str = ""
    """What stands in the query of each call."""
    elsewhere: tuple[Provider, ...] = ()
    """The same provider where it serves further APIs at other addresses; `apis` and `counts` have these too."""
    network: Network | None = None
    list_path: str | None = "/models"
    """Where it lists its models, under the base URL. None: nowhere."""
    list_prefix: str = ""
    """What its list puts before each id."""
    mistold: tuple[tuple[int, bytes, int], ...] = ()
    """(status, pattern of what it says with it, status that it means)."""
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
    lists_prices: bool = False
    """What its list of models tells of prices is USD per token, and believed."""
    charges_fee: bool = False
    """Of calls that somebody's own key pays for, the house pays it a fee, which is charged."""
    byok: bool = False
    """The caller's side pays it: its calls are charged nothing."""
    guarded: bool = False
    """Its address comes from a user: it is checked before it is connected to."""
    collects_data: bool = True
    """It may keep prompts for more than abuse checks, or learn from them."""
    retains_data: bool = True
    """It may keep anything of a call for a while."""
    honours: frozenset[str] = frozenset()
    """What it keeps to for a single call if that says so: names of `providers/preferences.py`."""
    told_who: bool = True
    """It may be told who calls, where providers are."""
    strict: bool = False
    """Its Messages API refuses a request with keys that Anthropic's does not have."""
    stream_usage: bool = True
    """It may be asked for the usage of Chat's streams."""
    embedded: bool = False
    quirks: frozenset[str] = frozenset()
    """Names of the mendings in `providers/quirks.py` that its answers need."""

    @cached_property
    def named(self) -> frozenset[bytes]:
        """The names of its headers."""
        return frozenset([name for name, _ in self.headers])

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What nobody may be shown. A key that is the name of a server, as those have that want any (`ollama`), is no
        secret."""
        return frozenset(self._secrets()) - {"", self.name, self.kind}

    def _secrets(self) -> Iterator[str]:
        for headers in (self.headers, *self.spare):
            for name, value in headers:
                if any(word in name.lower() for word in _SECRET):
                    yield value.decode("latin-1").rpartition(" ")[2]  # without the word `Bearer`
        if self.signing is not None:
            yield self.signing.secret_access_key
            yield self.signing.session_token or ""
        if isinstance(self.account, ServiceAccount):
            yield self.account.private_key
        if self.network is not None and self.network.proxy is not None:
            password = urlsplit(self.network.proxy).password or ""
            yield password
            yield unquote(password)
        for door in self.elsewhere:
            yield from door.secrets

    @cached_property
    def masks(self) -> tuple[bytes, ...]:
        """The secrets as answers may have them, without what is so short that other things have it, too."""
        return tuple(text.encode("latin-1", "replace") for text in sorted(self.secrets) if len(text) >= _SHORTEST)

    def meant(self, status: int, body: bytes) -> int:
        """The status of an error as it should have been."""
        found = (meant for told, pattern, meant in self.mistold if told == status and re.search(pattern, body))
        return next(found, status)

    def at(self, api: Kind) -> Provider:
        """The provider where it serves this API."""
        return next((door for door in self.elsewhere if api in door.apis), self) if self.elsewhere else self

    def keyed(self) -> tuple[Provider, ...]:
        """The provider once for each of its keys, in their order: what a call may be sent with in turn."""
        if not self.spare:
            return (self,)
        every = (self.headers, *self.spare)
        further = [one.keyed() for one in self.elsewhere]
        return tuple(
            msgspec.structs.replace(
                self,
                headers=headers,
                spare=(),
                key_number=number,
                elsewhere=tuple(doors[number - 1] for doors in further),
            )
            for number, headers in enumerate(every, 1)
        )

    def __repr__(self) -> str:
        """Without its credential, for a log or a trace."""
        return f"Provider({self.name}, {self.base_url})"


PATHS: dict[Kind, str] = {
    Api.CHAT: "/chat/completions",
    Api.RESPONSES: "/responses",
    Api.MESSAGES: "/messages",
    Solo.EMBEDDINGS: "/embeddings",
    Solo.FIM: "/fim/completions",
}
"""Behind a base URL: a provider's, and the house's own."""
COUNT_PATHS: dict[Api, str] = {Api.RESPONSES: "/responses/input_tokens", Api.MESSAGES: "/messages/count_tokens"}
STRICT = frozenset({"anthropic", "bedrock", "bedrock-messages", "vertex"})
"""Rows whose Messages API refuses a request with keys that it does not know (wire notes, section 10)."""
