"""Keys of callers at OpenRouter, through its management API: registered, listed, removed
(openrouter.ai/docs/api/api-reference/byok and /api-keys).

To register one an API key is made first, with a monthly limit, and then the caller's key is put there for that API key
alone, without a fallback to OpenRouter's shared endpoints. What OpenRouter says that it has kept is compared with what
was asked: a server that passes over one of these restrictions registers nothing. Removing goes the other way: the API
key first, so that there is no moment in which it could be used without the caller's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from trivium.errors import OperationError, UpstreamError
from trivium.providers.credential import masked, spellings
from trivium.providers.openrouter import Registration
from trivium.providers.provider import Network
from trivium.upstream.body import answered
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest

_TIMEOUTS = Timeouts(connect=5, first_byte=20, idle=10)
_LIMIT = 4 * 1024 * 1024
_PAGE = 100
_PAGES = 1_000
_SAID = 300
_T = TypeVar("_T")


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Where keys are registered."""

    url: str
    """OpenRouter's API, as the house's provider has it."""
    key: bytes
    """For its management. Secret."""
    workspace: str
    limit_usd: float
    network: Network | None = None

    def __repr__(self) -> str:
        return f"Registry({self.workspace})"


class ApiKey(msgspec.Struct, frozen=True):
    """One of OpenRouter's, as it is listed."""

    hash: str
    name: str
    created_at: datetime
    disabled: bool = False
    limit: float | None = None
    limit_reset: str | None = None


class Registered(msgspec.Struct, frozen=True):
    """A caller's key, as it is listed."""

    id: str
    provider: str
    workspace_id: str
    created_at: datetime
    name: str | None = None
    disabled: bool = False
    is_fallback: bool = True
    is_byok_only: bool = False
    allowed_api_key_hashes: tuple[str, ...] | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_user_ids: tuple[str, ...] | None = None

    def is_for(self, hash: str, provider: str) -> bool:
        """Whether it pays for this API key alone, all that this asks of the provider, and nothing else ever does."""
        only = self.is_byok_only and not self.is_fallback and not self.disabled
        always = not self.allowed_models and not self.allowed_user_ids
        return only and always and (self.provider, self.allowed_api_key_hashes) == (provider, (hash,))


class There(msgspec.Struct, frozen=True):
    """What is registered: API keys by their hashes, callers' keys by their ids."""

    api_keys: Mapping[str, ApiKey]
    credentials: Mapping[str, Registered]


class _Made(msgspec.Struct, frozen=True):
    key: str
    data: ApiKey


class _One(msgspec.Struct, frozen=True):
    data: Registered


class _ApiKeys(msgspec.Struct, frozen=True):
    data: tuple[ApiKey, ...]


class _Credentials(msgspec.Struct, frozen=True):
    data: tuple[Registered, ...]


class _Refusal(msgspec.Struct, frozen=True):
    error: Any = None


class OpenRouterKeys:
    """At one registry. What goes wrong is an OperationError without a secret in it."""

    def __init__(self, client: UpstreamClient, registry: Registry) -> None:
        self._client = client
        self.registry = registry

    async def register(self, provider: str, key: str, name: str) -> Registration:
        """Nothing is left behind where it fails, as far as OpenRouter can be reached. Raises OperationError."""
        registry = self.registry
        wanted = {
            "name": name,
            "workspace_id": registry.workspace,
            "limit": registry.limit_usd,
            "limit_reset": "monthly",
            "include_byok_in_limit": False,
        }
        made = await self._ask("POST", "/keys", _Made, wanted, (key,))
        registration = Registration(api_key=made.key, hash=made.data.hash, credential_id="")
        try:
            asked = {
                "provider": provider,
                "key": key,
                "name": name,
                "workspace_id": registry.workspace,
                "allowed_api_key_hashes": [made.data.hash],
                "is_byok_only": True,
                "is_required": True,
            }
            kept = (await self._ask("POST", "/byok", _One, asked, (key, made.key))).data
            registration = msgspec.structs.replace(registration, credential_id=kept.id)
            if kept.workspace_id != registry.workspace or not kept.is_for(made.data.hash, provider):
                raise OperationError("OpenRouter did not keep the key to its owner alone, so it is not left there.")
        except BaseException:
            with contextlib.suppress(OperationError):
                await self.remove(registration)
            raise
        return registration

    async def remove(self, registration: Registration) -> None:
        """What is not there any more is as well. Raises OperationError."""
        await self.remove_api_key(registration.hash)
        if registration.credential_id:
            await self.remove_credential(registration.credential_id)

    async def remove_api_key(self, hash: str) -> None:
        await self._ask("DELETE", f"/keys/{quote(hash, safe='')}", None, gone=True)

    async def remove_credential(self, id: str) -> None:
        await self._ask("DELETE", f"/byok/{quote(id, safe='')}", None, gone=True)

    async def there(self) -> There:
        """Everything in the workspace. Raises OperationError."""
        api_keys: dict[str, ApiKey] = {}
        credentials: dict[str, Registered] = {}
        for page in range(_PAGES):
            asked = {"workspace_id": self.registry.workspace, "offset": page * _PAGE}
            found = await self._ask("GET", f"/keys?{urlencode({**asked, 'include_disabled': 'true'})}", _ApiKeys)
            api_keys.update((one.hash, one) for one in found.data)
            if len(found.data) < _PAGE:
                break
        for page in range(_PAGES):
            asked = {"workspace_id": self.registry.workspace, "offset": page * _PAGE, "limit": _PAGE}
            listed = await self._ask("GET", f"/byok?{urlencode(asked)}", _Credentials)
            credentials.update((one.id, one) for one in listed.data)
            if len(listed.data) < _PAGE:
                break
        return There(api_keys, credentials)

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[_T] | None,
        content: Mapping[str, Any] | None = None,
        secrets: tuple[str, ...] = (),
        *,
        gone: bool = False,
    ) -> _T:
        """`secrets` must not be seen in what OpenRouter says of them; `gone`: 404 is an answer."""
        headers = [(b"authorization", b"Bearer " + self.registry.key), (b"accept", b"application/json")]
        if content is not None:
            headers.append((b"content-type", b"application/json"))
        request = UpstreamRequest(
            method=method,
            url=self.registry.url + path,
            headers=headers,
            body=msgspec.json.encode(content) if content is not None else b"",
            timeouts=_TIMEOUTS,
            network=self.registry.network,
        )
        try:
            status, body = await answered(self._client, request, _LIMIT)
        except UpstreamError as error:
            raise OperationError(f"OpenRouter cannot be reached to manage keys there: {error.message}") from None
        if not (200 <= status < 300 or (gone and status == 404)):
            hidden = spellings([*(text.encode() for text in secrets), self.registry.key])
            raise OperationError(f"OpenRouter refused (status {status}): {_said(masked(body, hidden))}")
        if answer is None:
            return None  # type: ignore[return-value] # whoever names no type wants none
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise OperationError(
                f"OpenRouter's answer to {method} {path.partition('?')[0]} is not understood."
            ) from None


def _said(body: bytes) -> str:
    """OpenRouter's own words."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = msgspec.json.decode(body, type=_Refusal).error
        message = told.get("message") if isinstance(told, dict) else told
        if isinstance(message, str):
            return message[:_SAID]
    return body[:_SAID].decode(errors="replace") or "no reason given"
