"""The house's credentials that end after a while: access tokens of Google's service accounts, AWS's temporary keys.

Asked for when first needed, kept, and renewed beside the calls some time before they end, once for all calls. While
they cannot be renewed those at hand are used to their end. Then calls hear that the provider is not there for now, and
the operator reads in the log why. What failed is tried again after a pause, and no call waits for it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from trivium.clock import Clock
from trivium.errors import UpstreamError, UpstreamRefusedUs
from trivium.providers.account import Account, CredentialChain, ServiceAccount
from trivium.providers.provider import Network, Provider
from trivium.providers.sigv4 import Signing
from trivium.settings import Settings, wrong_setting
from trivium.upstream.aws import ChainFailed, chain_signing, is_available
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest

_LOG = logging.getLogger("trivium.credentials")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LASTS = 3600
"""Seconds that a signed request for a token is good for; Google allows no more."""
_EARLY_MS = 5 * 60_000
"""Before the end of a token another is asked for."""
_SPARE_MS = 10_000
"""So long before its end a token is no longer sent: it has to arrive."""
_CHAIN_RENEWED_MS = 60_000
_CHAIN_GOOD_MS = 5 * 60_000
"""AWS's SDK renews what it has ten minutes before its end; it is asked each minute what that is."""
_PAUSE_MS = 5_000
"""After a failure."""
_TIMEOUTS = Timeouts(connect=5, first_byte=10, idle=5)
_LIMIT = 64 * 1024


def check_accounts(settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Whoever is called by what AWS's SDK finds needs it. Raises ConfigError."""
    for name, provider in providers.items():
        if isinstance(provider.account, CredentialChain) and not is_available():
            problem = (
                "needs a key: set `key`, `access_key_id` with `key`, or AWS_BEARER_TOKEN_BEDROCK in the environment; "
                "profiles and roles need the extra `aws` (pip install 'trivium[aws]')"
            )
            raise wrong_setting(settings.source, ("providers", name), problem)


class Held(msgspec.Struct, frozen=True):
    """What calls carry, and until when (milliseconds since the epoch)."""

    signing: Signing | None
    headers: Headers
    renew_ms: int
    until_ms: int

    def __repr__(self) -> str:
        return f"Held(until {self.until_ms})"


class _Token(msgspec.Struct):
    access_token: str = ""
    expires_in: int = 0
    error: str = ""
    error_description: str = ""


class HouseCredentials:
    """Belongs to one event loop."""

    def __init__(self, client: UpstreamClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[Account, Held] = {}
        self._asking: dict[Account, asyncio.Task[Held | str]] = {}
        self._failed: dict[Account, tuple[str, int]] = {}
        """Why, and when it may be tried again."""

    async def of(self, provider: Provider) -> tuple[Signing | None, Headers]:
        """How calls to a provider with an account are signed, and headers for them. Raises UpstreamRefusedUs."""
        account = provider.account
        assert account is not None
        now, held = self._clock.now_ms(), self._held.get(account)
        if held is None or now >= held.until_ms:
            held = await self._new(account, provider)
        elif now >= held.renew_ms:
            self._ask(account, provider)
        return held.signing, held.headers

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
        if account in self._failed and self._clock.now_ms() < self._failed[account][1]:
            return None
        asking = self._asking[account] = asyncio.create_task(self._renewed(account, provider))
        asking.add_done_callback(lambda _: self._asking.pop(account))
        return asking

    async def _renewed(self, account: Account, provider: Provider) -> Held | str:
        try:
            if isinstance(account, ServiceAccount):
                held = await self._token(account, provider.network)
            else:
                signing, now = await asyncio.to_thread(chain_signing, account), self._clock.now_ms()
                held = Held(signing, [], now + _CHAIN_RENEWED_MS, now + _CHAIN_GOOD_MS)
        except (UpstreamError, ChainFailed, ValueError) as error:
            why = f"{error} {error.detail or ''}".strip() if isinstance(error, UpstreamError) else str(error)
            self._failed[account] = why, self._clock.now_ms() + _PAUSE_MS
            _LOG.error("no credentials for the provider %s: %s", provider.name, why)
            return why
        self._failed.pop(account, None)
        self._held[account] = held
        return held

    async def _token(self, account: ServiceAccount, network: Network | None) -> Held:
        """Raises UpstreamError, ValueError."""
        now_ms = self._clock.now_ms()
        assertion = await asyncio.to_thread(_assertion, account, now_ms // 1000)
        request = UpstreamRequest(
            url=account.token_uri,
            headers=[(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")],
            body=urlencode({"grant_type": _GRANT, "assertion": assertion}).encode(),
            timeouts=_TIMEOUTS,
            network=network,
        )
        response = await self._client.send(request)
        try:
            body = bytearray()
            while len(body) < _LIMIT and (chunk := await response.read()):
                body += chunk
        finally:
            response.close()
        token = _read(bytes(body))
        if response.status != 200 or not token.access_token or token.expires_in <= 0:
            raise ValueError(f"status {response.status} {token.error} {token.error_description}".strip())
        headers = [(b"authorization", b"Bearer " + token.access_token.encode("ascii"))]
        until_ms = now_ms + 1000 * token.expires_in
        return Held(None, headers, until_ms - _EARLY_MS, until_ms - _SPARE_MS)


def _assertion(account: ServiceAccount, now: int) -> str:
    """A signed request for a token. Raises ValueError where the key is none."""
    import jwt  # noqa: PLC0415 # 70 ms for who does not use it

    claims = {
        "iss": account.client_email, "scope": _SCOPE, "aud": account.token_uri, "iat": now, "exp": now + _LASTS
    }  # fmt: skip
    named = {"kid": account.private_key_id} if account.private_key_id else None
    try:
        return jwt.encode(claims, account.private_key, algorithm="RS256", headers=named)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ValueError("the private key of the service account cannot be read") from None


def _read(body: bytes) -> _Token:
    try:
        return msgspec.json.decode(body, type=_Token)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Token(error="the answer is no token")
