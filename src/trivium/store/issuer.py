"""Reads tokens of an issuer: JSON Web Tokens, signed with a key that both know (HS256, RFC 7515 and 7519).

What is not exactly that is no token: another algorithm or none, a name that stands twice, no expiry.
"""

from __future__ import annotations

import json
from typing import Any

import jwt

from trivium.settings import TokenSettings
from trivium.store.tokens import Claims

_ALGORITHM = "HS256"
_LONGEST = 8192
"""Characters; no honest token is longer."""
_EARLY_MS = 10_000
"""How far an issuer's clock may be ahead of ours."""
_LATEST_MS = 2**53


class _Fault(Exception):
    """No valid token. Why is nobody's business but the issuer's, who can read it."""


class Issuer:
    """Reads tokens. Blocks for some microseconds."""

    def __init__(self, settings: TokenSettings, key: bytes) -> None:
        self._said = settings
        self._key = key
        self._signatures = jwt.PyJWS(algorithms=[_ALGORITHM])

    def read(self, token: str, now_ms: int) -> Claims | None:
        """The claims of a token that is valid now."""
        if len(token) > _LONGEST:
            return None
        try:
            _object(jwt.utils.base64url_decode(token.partition(".")[0].encode("ascii")))
            return self._claims(_object(self._signatures.decode(token, self._key, [_ALGORITHM])), now_ms)
        except (jwt.PyJWTError, ValueError, RecursionError, _Fault):
            return None

    def _claims(self, said: dict[str, Any], now_ms: int) -> Claims:
        audience = said.get("aud")
        if self._said.issuer is not None and said.get("iss") != self._said.issuer:
            raise _Fault
        if audience is not None and self._said.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _Fault
        if self._said.audience is not None and audience is None:
            raise _Fault
        expires_ms = _moment(said.get("exp"))
        if expires_ms <= now_ms or _moment(said.get("nbf", 0)) > now_ms + _EARLY_MS:
            raise _Fault
        user_id = _text(said.get(self._said.user_claim))
        if user_id is None:
            raise _Fault
        return Claims(
            user_id=user_id,
            organization_id=_text(said.get(self._said.organization_claim)),
            pepper=_text(said.get(self._said.pepper_claim)),
            expires_ms=expires_ms,
        )


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice: readers differ on which of the two counts (RFC 7515, section 4)."""
    said = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(said, dict):
        raise _Fault
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise _Fault
    return said


def _no_constant(_: str) -> None:
    raise _Fault


def _moment(said: object) -> int:
    """Milliseconds of a NumericDate."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < _LATEST_MS / 1000:
        raise _Fault
    return int(said * 1000)


def _text(said: object) -> str | None:
    """A claim that is text; None where it is absent or null."""
    if said is None:
        return None
    if not isinstance(said, str) or not 0 < len(said) <= 500 or not said.isprintable():
        raise _Fault
    return said
