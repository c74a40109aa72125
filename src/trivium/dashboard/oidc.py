"""Signing in with OpenID Connect: the authorization code flow with PKCE, as OpenID Connect Core 1.0 (section 3.1) and
RFC 7636 and RFC 9207 have it.

What ties the answer to the browser that asked is a cookie of that browser with state, nonce and verifier; each is good
for one try within ten minutes, and there may be several. Of an ID token are checked: signature by the issuer's keys (no
symmetric one, never `none`), issuer, audience, authorized party, expiry, nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
import jwt
import msgspec

from trivium.errors import OperationError, Unavailable
from trivium.settings_dashboard import OidcSettings

_LOG = logging.getLogger("trivium.dashboard")
LASTS_S = 600
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_LARGEST = 1024 * 1024
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S = 60
NOT_NOW = "The sign-in provider does not answer as it should. Try again in a moment."
NOT_OURS = "This sign-in was not begun in this browser, or too long ago. Begin again."


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser keeps between asking and the answer."""

    state: str
    nonce: str
    verifier: str
    next: str = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    email: str | None
    """Only where the provider says that it has seen to it that it is the person's, or the operator does."""
    name: str | None


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None

    def takes_basic_alone(self) -> bool:
        """Whether a client's secret may only come as HTTP Basic. Where nothing is said that is the rule (RFC 8414,
        section 2), and the form is what is taken all the same."""
        methods = self.token_endpoint_auth_methods_supported
        return methods is not None and "client_secret_basic" in methods and "client_secret_post" not in methods


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str | None = None


def fresh(next: str) -> Try:
    return Try(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        next=next,
    )


def packed(one: Try) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(one)).decode()


def unpacked(cookie: str) -> Try:
    """Raises OperationError."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cookie), type=Try)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise OperationError(NOT_OURS) from None


class Provider:
    """Mutable: remembers what the provider says of itself."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._metadata: _Metadata | None = None

    async def address(self, one: Try, redirect_uri: str) -> str:
        """Where the browser is sent. Raises Unavailable."""
        metadata = await self._known()
        digest = hashlib.sha256(one.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._settings.scopes,
            "state": one.state,
            "nonce": one.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(asked)}"

    async def identity(self, one: Try, answer: dict[str, str], redirect_uri: str) -> Identity:
        """Who came back, by the query that the browser came back with. Raises OperationError, Unavailable."""
        if not hmac.compare_digest(answer.get("state", "").encode(), one.state.encode()):
            raise OperationError(NOT_OURS)
        if "error" in answer or "code" not in answer:
            raise OperationError("The sign-in provider did not let you in.")
        metadata = await self._known()
        if answer.get("iss", metadata.issuer) != metadata.issuer:
            raise OperationError(NOT_OURS)
        tokens = await self._exchange(metadata, answer["code"], one.verifier, redirect_uri)
        claims = await self._claims(metadata, tokens.id_token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), one.nonce.encode()):
            raise OperationError(NOT_OURS)
        if "email" not in claims or ("email_verified" not in claims and not self._settings.trust_emails):
            claims |= await self._told_of(metadata, tokens, claims["sub"])
        return _identity(claims, trusted=self._settings.trust_emails)

    async def _told_of(self, metadata: _Metadata, tokens: _Tokens, subject: str) -> dict[str, Any]:
        """What the provider says of a person to whoever asks: of many a token says no more than who it is (OpenID
        Connect Core, 5.3 and 5.4). Where it does not answer, that has to do."""
        if metadata.userinfo_endpoint is None or tokens.access_token is None:
            return {}
        bearer = {"authorization": f"Bearer {tokens.access_token}"}
        try:
            told = await self._get(metadata.userinfo_endpoint, dict[str, Any], headers=bearer)
        except Unavailable as error:
            _LOG.warning("nothing is known of somebody who signs in but the subject: %s", error.detail)
            return {}
        if told.get("sub") != subject:
            raise OperationError("The sign-in provider's word is for somebody else.")
        return {name: told[name] for name in ("email", "email_verified", "name") if name in told}

    async def _known(self) -> _Metadata:
        if self._metadata is None:
            found = await self._get(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration", _Metadata)
            if found.issuer != self._settings.issuer:
                raise Unavailable(NOT_NOW, detail=f"the issuer calls itself {found.issuer}")
            self._metadata = found
        return self._metadata

    async def _exchange(self, metadata: _Metadata, code: str, verifier: str, redirect_uri: str) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self._settings.client_id,
        }
        secret, headers = self._settings.client_secret, {}
        if secret is not None and metadata.takes_basic_alone():
            headers["authorization"] = _basic(form.pop("client_id"), secret)
        elif secret is not None:
            form["client_secret"] = secret
        tokens: _Tokens = await self._get(metadata.token_endpoint, _Tokens, form, headers)
        return tokens

    async def _claims(self, metadata: _Metadata, token: str) -> dict[str, Any]:
        """Of an ID token that is good. Raises OperationError."""
        keys = await self._get(metadata.jwks_uri, dict[str, Any])
        try:
            head = jwt.get_unverified_header(token)
            found = jwt.PyJWKSet.from_dict(keys).keys
            fitting = [key for key in found if key.key_id == head.get("kid") or "kid" not in head]
            if len(fitting) != 1:
                raise OperationError(NOT_NOW, detail="no key of the issuer fits")
            claims: dict[str, Any] = jwt.decode(
                token,
                fitting[0].key,
                algorithms=list(_ALGORITHMS),
                audience=self._settings.client_id,
                issuer=metadata.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            raise OperationError("The sign-in provider's word is not good.", detail=str(error)) from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._settings.client_id:
            raise OperationError("The sign-in provider's word is for somebody else.")
        return claims

    async def _get(
        self, url: str, kind: Any, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Raises Unavailable."""
        method = "GET" if form is None else "POST"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
                session.request(method, url, data=form, headers=headers, allow_redirects=False) as response,
            ):
                content = bytearray()
                async for part in response.content.iter_any():
                    content += part
                    if len(content) > _LARGEST:
                        raise Unavailable(NOT_NOW, detail=f"{url} does not end")
                if response.status != 200:
                    raise Unavailable(NOT_NOW, detail=f"{url} answered {response.status}")
                return msgspec.json.decode(content, type=kind)
        except (TimeoutError, aiohttp.ClientError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unavailable(NOT_NOW, detail=f"{url}: {error!r}") from None


def _basic(client_id: str, secret: str) -> str:
    """As RFC 6749 has it (section 2.3.1): both as a form has them."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def _identity(claims: dict[str, Any], *, trusted: bool) -> Identity:
    email, name = claims.get("email"), claims.get("name")
    verified = claims.get("email_verified", trusted)
    vouched = (verified is True or verified == "true") and isinstance(email, str)
    return Identity(
        subject=str(claims["sub"]),
        email=email if vouched else None,
        name=name if isinstance(name, str) else None,
    )
