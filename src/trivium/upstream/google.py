"""Google's access tokens for its APIs: asked for by a service account's signed request, of the metadata server, or with
the token of an identity elsewhere, which Google's token service exchanges (google.aip.dev/auth/4117).

Whatever goes wrong is an UpstreamError or a ValueError, with nothing secret in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from trivium.providers.account import CredentialSource, ExternalAccount, GoogleAccount, MetadataServer, ServiceAccount
from trivium.providers.provider import Network
from trivium.upstream.body import answered
from trivium.upstream.client import Headers, Timeouts, UpstreamClient, UpstreamRequest

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SIGNED = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGED = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 # no secret
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_LASTS = 3600
"""Seconds that a signed request for a token is good for; Google allows no more."""
_EARLY = 300
_EARLY_AT_SERVER = 225
"""Seconds before its end that another is asked for. The metadata server itself gives out the same until five minutes
before its end (google-auth: `REFRESH_THRESHOLD`)."""
_TIMEOUTS = Timeouts(connect=5, first_byte=10, idle=5)
_LIMIT = 64 * 1024


class AccessToken(msgspec.Struct, frozen=True):
    text: str
    lasts_s: float
    """From when it was asked for."""
    early_s: float = _EARLY

    def __repr__(self) -> str:
        return f"AccessToken({self.lasts_s} s)"


class _Told(msgspec.Struct):
    """An answer of Google's, of whichever of the three."""

    access_token: str = ""
    expires_in: float = 0
    impersonated: str = msgspec.field(name="accessToken", default="")
    expires: datetime | None = msgspec.field(name="expireTime", default=None)
    error: str | dict[str, object] = ""
    error_description: str = ""

    @property
    def problem(self) -> str:
        told = self.error.get("message", "") if isinstance(self.error, dict) else self.error
        return f"{told} {self.error_description}".strip()


class Google:
    """Asks for tokens. `network` is how the provider is reached, and with it the services beside it; the metadata
    server and other sources of subject tokens are near by."""

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def token(self, account: GoogleAccount, network: Network | None, now_ms: int) -> AccessToken:
        """Raises UpstreamError, ValueError."""
        if isinstance(account, MetadataServer):
            url = f"http://{account.host}{_METADATA_PATH}?{urlencode({'scopes': _SCOPE})}"
            told = await self._ask("GET", url, [(b"metadata-flavor", b"Google")], b"", None)
            return AccessToken(*_plain(told), _EARLY_AT_SERVER)
        if isinstance(account, ServiceAccount):
            assertion = await asyncio.to_thread(_assertion, account, now_ms // 1000)
            form = {"grant_type": _SIGNED, "assertion": assertion}
            return AccessToken(*_plain(await self._form(account.token_uri, form, network)))
        return await self._exchanged(account, network, now_ms)

    async def _exchanged(self, account: ExternalAccount, network: Network | None, now_ms: int) -> AccessToken:
        form = {
            "grant_type": _EXCHANGED,
            "audience": account.audience,
            "scope": _SCOPE,
            "requested_token_type": _ACCESS_TOKEN,
            "subject_token": await self._subject(account.credential_source),
            "subject_token_type": account.subject_token_type,
        }
        federated = AccessToken(*_plain(await self._form(account.token_url, form, network)))
        if account.service_account_impersonation_url is None:
            return federated
        wanted = msgspec.json.encode({"scope": [_SCOPE], "lifetime": f"{account.lifetime_s}s"})
        headers = [(b"authorization", b"Bearer " + _ascii(federated.text)), (b"content-type", b"application/json")]
        told = await self._ask("POST", account.service_account_impersonation_url, headers, wanted, network)
        if not told.impersonated or told.expires is None or told.expires.tzinfo is None:
            raise ValueError("the answer is no token of a service account")
        return AccessToken(told.impersonated, told.expires.astimezone(UTC).timestamp() - now_ms / 1000)

    async def _subject(self, source: CredentialSource) -> str:
        """The token of the identity elsewhere, which is renewed by somebody else, and so is read each time."""
        if source.file is not None:
            try:
                text = await asyncio.to_thread(Path(source.file).read_text, "utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"the subject token cannot be read: {type(error).__name__}") from None
        else:
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in source.headers]
            status, body = await self._send("GET", source.url or "", headers, b"", None)
            if status != 200:
                raise ValueError(f"status {status} where the subject token should be")
            text = body.decode(errors="replace")
        if source.format.type == "json":
            text = _field(text, source.format.subject_token_field_name)
        if not text.strip():
            raise ValueError("the subject token is empty")
        return text.strip()

    async def _form(self, url: str, form: Mapping[str, str], network: Network | None) -> _Told:
        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        return await self._ask("POST", url, headers, urlencode(form).encode(), network)

    async def _ask(self, method: str, url: str, headers: Headers, body: bytes, network: Network | None) -> _Told:
        status, answer = await self._send(method, url, headers, body, network)
        try:
            told = msgspec.json.decode(answer, type=_Told)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            told = _Told(error="the answer is no token")
        if status != 200 or told.problem:
            raise ValueError(f"status {status} {told.problem}".strip())
        return told

    async def _send(
        self, method: str, url: str, headers: Headers, body: bytes, network: Network | None
    ) -> tuple[int, bytes]:
        request = UpstreamRequest(
            method=method, url=url, headers=headers, body=body, timeouts=_TIMEOUTS, network=network
        )
        return await answered(self._client, request, _LIMIT)


def _plain(told: _Told) -> tuple[str, float]:
    """Token and seconds. Raises ValueError."""
    if not told.access_token or told.expires_in <= 0:
        raise ValueError("status 200")
    return told.access_token, told.expires_in


def _ascii(text: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError("the answer is no token") from None


def _field(text: str, name: str) -> str:
    try:
        value = msgspec.json.decode(text, type=dict[str, object]).get(name)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise ValueError(f"there is no subject token called {name!r}")
    return value


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
