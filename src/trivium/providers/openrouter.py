"""Own keys at OpenRouter: what is registered there, and how calls and errors tell whose key it is about.

Each own key has an API key of OpenRouter's to itself, and is registered for that one alone, never to be replaced by
OpenRouter's shared endpoints (openrouter.ai/docs/guides/overview/auth/byok: "Key Filters", "Managing Shared Capacity
Fallback"). A call says by its API key whose key pays, and by `provider.only` that nobody but the vendor is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trivium.providers.credential import Credential, sent_as
from trivium.providers.provider import Provider
from trivium.providers.vendors import VENDORS, Match, dotted

KIND = "openrouter"
_AUTHORIZATION = "authorization"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Of one key. It is never changed: a new key, or one that is switched on again, gets another."""

    api_key: str
    """OpenRouter's, which can be paid for by that key alone. Secret."""
    hash: str
    """By which OpenRouter knows the API key."""
    credential_id: str
    """By which it knows the registered one."""

    def __repr__(self) -> str:
        return f"Registration({self.credential_id})"


class KeptCredential(Credential, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is sealed: with its registration, if it has one."""

    at_openrouter: Registration | None = None

    def __repr__(self) -> str:
        return "KeptCredential(...)"

    def secrets(self) -> tuple[bytes, ...]:
        registered = self.at_openrouter
        return super().secrets() + ((registered.api_key.encode(),) if registered is not None else ())


def kept(credential: Credential, registration: Registration | None) -> KeptCredential:
    """A key with this registration in the place of any other."""
    told = {name: getattr(credential, name) for name in Credential.__struct_fields__}
    return KeptCredential(**told, at_openrouter=registration)


def openrouter_id(match: Match) -> str:
    """A vendor's model in OpenRouter's words, which are in small letters."""
    row = VENDORS[match.vendor]
    model = dotted(match.model.partition(":")[0].lower())
    return f"{(row.namespaces or (match.vendor,))[0]}/{model}"


def registered(provider: Provider, registration: Registration) -> Provider:
    """The house's provider, called with the API key that stands for somebody's own key."""
    others = tuple(pair for pair in provider.headers if pair[0].decode().lower() != _AUTHORIZATION)
    headers = (sent_as("bearer", registration.api_key.encode()), *others)
    return msgspec.structs.replace(provider, headers=headers, spare=(), elsewhere=(), key_number=0)


def only(vendor: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A client's `provider`, with this vendor as the only one that may be asked."""
    told = {name: value for name, value in said.items() if name not in {"order", "ignore"}}
    return {**told, "only": [VENDORS[vendor].openrouter]}


class _Metadata(msgspec.Struct, frozen=True):
    is_byok: bool = False
    raw: Any = None


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    metadata: _Metadata = _Metadata()


class _Body(msgspec.Struct, frozen=True):
    error: _Error = _Error()


class _Vendors(msgspec.Struct, frozen=True):
    error: Any = None
    message: str = ""


def refused_own(body: bytes) -> str | None:
    """What the vendor said, where OpenRouter's error is the vendor's answer to a registered key (`metadata.is_byok`)
    and not OpenRouter's to its own."""
    try:
        told = msgspec.json.decode(body, type=_Body).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not told.metadata.is_byok:
        return None
    raw = told.metadata.raw
    return _said(raw) if isinstance(raw, str) and raw.strip() else told.message


def _said(raw: str) -> str:
    """The message in the vendor's own error, if it has one."""
    try:
        told = msgspec.json.decode(raw, type=_Vendors)
    except (msgspec.MsgspecError, RecursionError):
        return raw
    message = told.error.get("message") if isinstance(told.error, dict) else told.error
    return message if isinstance(message, str) and message else told.message or raw
