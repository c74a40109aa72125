"""The house's credentials that end after a while: access tokens of Google's, AWS's temporary keys.

Asked for when first needed, kept, and renewed beside the calls some time before they end, once for all calls. While
they cannot be renewed those at hand are used to their end. Then calls hear that the provider is not there for now, and
the operator reads in the log why. What failed is tried again after a pause, and no call waits for it meanwhile. What
the provider refuses is asked for anew: it was revoked, or the clock by which it still holds has been set back since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from trivium.clock import Clock
from trivium.errors import UpstreamError, UpstreamRefusedUs
from trivium.providers.account import Account, CredentialChain, GoogleAccount
from trivium.providers.provider import Network, Provider
from trivium.providers.sigv4 import Signing
from trivium.settings import Settings, wrong_setting
from trivium.upstream.aws import ChainFailed, chain_signing, is_available
from trivium.upstream.client import Headers, UpstreamClient
from trivium.upstream.extras import installing
from trivium.upstream.google import Google

_LOG = logging.getLogger("trivium.credentials")
_SPARE_MS = 10_000
"""So long before its end a token is no longer sent: it has to arrive."""
_CHAIN_RENEWED_MS = 60_000
_CHAIN_GOOD_MS = 5 * 60_000
"""AWS's SDK renews what it has ten minutes before its end; it is asked each minute what that is."""
_PAUSE_NS = 5 * 1_000_000_000
"""After a failure."""


def check_accounts(settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Whoever is called by what AWS's SDK finds needs it. Raises ConfigError."""
    for name, provider in providers.items():
        if isinstance(provider.account, CredentialChain) and not is_available():
            problem = (
                "needs a key: set `key`, `access_key_id` with `key`, or AWS_BEARER_TOKEN_BEDROCK in the environment; "
                f"profiles and roles need the extra `aws` ({installing('aws')})"
            )
            raise wrong_setting(settings.source, ("providers", name), problem)


class Held(msgspec.Struct, frozen=True):
    """What calls carry, and from when until when (milliseconds since the epoch)."""

    signing: Signing | None
    headers: Headers
    since_ms: int
    renew_ms: int
    until_ms: int

    def __repr__(self) -> str:
        return f"Held(until {self.until_ms})"


class HouseCredentials:
    """Belongs to one event loop."""

    def __init__(self, client: UpstreamClient, clock: Clock) -> None:
        self._google = Google(client)
        self._clock = clock
        self._held: dict[Account, Held] = {}
        self._asking: dict[Account, asyncio.Task[Held | str]] = {}
        self._failed: dict[Account, tuple[str, int]] = {}
        """Why, and when by the clock that nobody sets it may be tried again."""

    async def of(self, provider: Provider) -> tuple[Signing | None, Headers]:
        """How calls to a provider with an account are signed, and headers for them. Raises UpstreamRefusedUs."""
        account = provider.account
        assert account is not None
        now, held = self._clock.now_ms(), self._held.get(account)
        if held is None or not held.since_ms <= now < held.until_ms:  # before: the clock has been set back
            held = await self._new(account, provider)
        elif now >= held.renew_ms:
            self._ask(account, provider)
        return held.signing, held.headers

    def refused(self, provider: Provider, headers: Headers) -> None:
        """The provider does not take what a call carried, which may have been replaced meanwhile."""
        account = provider.account
        assert account is not None
        if (held := self._held.get(account)) is not None and held.headers is headers:
            del self._held[account]

    async def _new(self, account: Account, provider: Provider) -> Held:
        asking = self._ask(account, provider)
        found = self._failed[account][0] if asking is None else await asyncio.shield(asking)
        if isinstance(found, Held):
            return found
        raise UpstreamRefusedUs(
            "The provider does not serve this gateway at the moment. Its operator has to look at it.",
            detail=f"{provider.name}: {found}",
            retry_after=60,
        )

    def _ask(self, account: Account, provider: Provider) -> asyncio.Task[Held | str] | None:
        """What asks for a credential, begun if need be; None while it is too early after a failure."""
        if (asking := self._asking.get(account)) is not None:
            return asking
        if account in self._failed and self._clock.monotonic_ns() < self._failed[account][1]:
            return None
        asking = self._asking[account] = asyncio.create_task(self._renewed(account, provider))
        asking.add_done_callback(lambda _: self._asking.pop(account))
        return asking

    async def _renewed(self, account: Account, provider: Provider) -> Held | str:
        try:
            if isinstance(account, CredentialChain):
                signing, now = await asyncio.to_thread(chain_signing, account), self._clock.now_ms()
                held = Held(signing, [], now, now + _CHAIN_RENEWED_MS, now + _CHAIN_GOOD_MS)
            else:
                held = await self._token(account, provider.network)
        except (UpstreamError, ChainFailed, ValueError) as error:
            why = f"{error} {error.detail or ''}".strip() if isinstance(error, UpstreamError) else str(error)
            self._failed[account] = why, self._clock.monotonic_ns() + _PAUSE_NS
            _LOG.error("no credentials for the provider %s: %s", provider.name, why)
            return why
        self._failed.pop(account, None)
        self._held[account] = held
        return held

    async def _token(self, account: GoogleAccount, network: Network | None) -> Held:
        """Raises UpstreamError, ValueError."""
        now_ms = self._clock.now_ms()
        token = await self._google.token(account, network, now_ms)
        headers = [(b"authorization", b"Bearer " + token.text.encode("ascii"))]
        until_ms = now_ms + int(1000 * token.lasts_s)
        return Held(None, headers, now_ms, until_ms - int(1000 * token.early_s), until_ms - _SPARE_MS)
