"""Who calls: from the headers alone, before a byte of the body is read (behaviour page, section 3).

A key comes as `Authorization: Bearer` or as `x-api-key`. Where several are there, in both headers or in one that is
repeated, the one with our prefix counts, since clients send a left-over key of another vendor beside ours; two of ours
that differ are refused. What is presented must be valid: a wrong key never makes an anonymous caller. With
`x-trivium-organization` a user's key is used for an organization, which then pays.
"""

from __future__ import annotations

from collections.abc import Mapping

from trivium.errors import AuthenticationError, NotAMember
from trivium.ids import KEY_PREFIX
from trivium.pipeline.call import API_KEY, AUTHORIZATION
from trivium.pipeline.deps import Deps
from trivium.policy.access import JOIN, check_blocked, check_caller
from trivium.policy.addresses import subscriber
from trivium.policy.caller import Caller
from trivium.policy.context import ORGANIZATION, first

_LINE_END = ord("\n")
_USUAL = b"Bearer " + KEY_PREFIX.encode()
"""How nearly all calls begin, of which no more need be looked at."""
_SCHEME = len(b"Bearer ")
_INVALID = "The API key is not valid. Send a Trivium key as `Authorization: Bearer tv-...` or `x-api-key: tv-...`."


async def authenticate(headers: Mapping[bytes, bytes], client_ip: str | None, deps: Deps) -> Caller | None:
    """The caller; None where no credential is presented. Raises AuthenticationError, RateLimited, Forbidden,
    StoreUnavailable."""
    credential = credential_of(headers)
    if credential is None:
        return None
    caller = deps.keys.known(credential) or await _find(credential, client_ip, deps)
    if not headers.keys().isdisjoint(ORGANIZATION):
        caller = await acting(caller, headers, deps)
    check_caller(caller, client_ip)
    return caller


async def acting(caller: Caller, headers: Mapping[bytes, bytes], deps: Deps) -> Caller:
    """The caller, for the organization that the headers name if they name one. Raises Forbidden, StoreUnavailable."""
    if (organization_id := first(headers, ORGANIZATION)) is not None:
        check_blocked(caller)
        return await _acting_for(caller, organization_id, deps)
    return caller


async def _find(credential: str, client_ip: str | None, deps: Deps) -> Caller:
    """Whom memory does not have."""
    address, now_ms = subscriber(client_ip), deps.clock.now_ms()
    if not deps.keys.lately_good(credential):
        deps.guesses.check(address, now_ms)
    caller = await _looked_up(credential, deps)
    if caller is None:
        deps.guesses.wrong(address, now_ms)
        raise AuthenticationError(_INVALID)
    return caller


async def _looked_up(credential: str, deps: Deps) -> Caller | None:
    if credential.startswith(KEY_PREFIX):
        return await deps.keys.find(credential)
    return await deps.tokens.find(credential) if deps.tokens is not None else None


async def _acting_for(caller: Caller, organization_id: str, deps: Deps) -> Caller:
    """A user's key is good for organizations that the user is a member of; an organization's key for it alone, and one
    that belongs to nobody for none."""
    if caller.organization is not None:
        if caller.organization.id == organization_id:
            return caller
        raise NotAMember(
            f"The API key belongs to {caller.organization.id}, and cannot be used for another organization. Send a key "
            "of a member's own."
        )
    if caller.user_id is None:
        raise NotAMember(
            f"The API key belongs to nobody who could be a member of {organization_id[:100]!r}. Send a member's."
        )
    acting = await deps.keys.acting_for(caller, organization_id)
    if acting is None:
        raise NotAMember(f"The key's user is no member of an organization {organization_id[:100]!r}. {JOIN}")
    return acting


def credential_of(headers: Mapping[bytes, bytes]) -> str | None:
    """What is presented, valid or not. Raises AuthenticationError for two that differ."""
    usual = headers.get(AUTHORIZATION, b"")
    if usual.startswith(_USUAL) and _LINE_END not in usual and API_KEY not in headers:
        return usual[_SCHEME:].strip().decode("latin-1")
    sent = [_bearer(line) for line in headers.get(AUTHORIZATION, b"").split(b"\n")]
    sent += headers.get(API_KEY, b"").split(b"\n")
    presented = [text for one in sent if (text := one.strip().decode("latin-1")) and text != "anonymous"]
    keys = [text for text in presented if text.startswith(KEY_PREFIX)]
    ours = keys or [text for text in presented if _is_token(text)] or presented
    if len(set(ours)) > 1:
        raise AuthenticationError("Two different API keys were sent. Send one.")
    return ours[0] if ours else None


def is_presented(headers: Mapping[bytes, bytes]) -> bool:
    """Whether there is any credential, valid or not."""
    try:
        return credential_of(headers) is not None
    except AuthenticationError:
        return True


def _bearer(line: bytes) -> bytes:
    scheme, _, token = line.strip().partition(b" ")
    return token if scheme.lower() == b"bearer" else scheme + token


def _is_token(text: str) -> bool:
    """A JSON object in base64url, twice, and a signature."""
    return text.startswith("eyJ") and text.count(".") == 2
