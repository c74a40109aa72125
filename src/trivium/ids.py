"""Identifiers and secrets: request ids, API keys and operators' credentials, and the form in which they are kept."""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import time

KEY_PREFIX = "tv-"
ADMIN_PREFIX = "tva-"
"""Of the credentials of operators, which are no API keys."""
SESSION_PREFIX = "tvs-"
"""Of sessions in the dashboard."""
LINK_PREFIX = "tvl-"
"""Of links for signing in."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_BYTES = 32
_KEY_LENGTH = 43
"""Base62 digits that 32 bytes need."""
_BLOCK = 64
"""Bytes of a block of SHA-256."""
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_AT_ONCE = 256
_random: list[str] = []
"""Random digits of the next request ids: the system is asked for many at once, since a request is not worth a call."""
os.register_at_fork(after_in_child=_random.clear)


def request_id() -> str:
    """`req_` + 12 hex digits of milliseconds + 16 random ones: unique, and sortable by time of arrival."""
    try:
        digits = _random.pop()
    except IndexError:
        fresh = os.urandom(8 * _AT_ONCE).hex()
        _random.extend([fresh[n : n + 16] for n in range(16, len(fresh), 16)])
        digits = fresh[:16]
    return f"req_{int(time.time() * 1000):012x}{digits}"


def least_request_id(now_ms: int) -> str:
    """An id before which no request that arrives from this moment on is sorted."""
    return f"req_{now_ms:012x}"


def key_id() -> str:
    """The public name of an API key: `key_` + 12 base62 digits. Knowing it gives no access."""
    return "key_" + _some_digits()


def admin_id() -> str:
    """The public name of an operator's credential: `adm_` + 12 base62 digits."""
    return "adm_" + _some_digits()


def secret_id() -> str:
    """The public name of an upstream key that somebody keeps here: `byok_` + 12 base62 digits."""
    return "byok_" + _some_digits()


def custom_model_id() -> str:
    """The public name of an organization's own model: `cm_` + 12 base62 digits."""
    return "cm_" + _some_digits()


def alert_channel_id() -> str:
    """The id of a channel of alerts that was set while the gateway runs: `ac_` + 12 base62 digits."""
    return "ac_" + _some_digits()


def session_id() -> str:
    """The public name of somebody's session in the dashboard: `ses_` + 12 base62 digits."""
    return "ses_" + _some_digits()


def new_session() -> str:
    """`tvs-` + 32 random bytes in base62: what the cookie of a session holds."""
    return SESSION_PREFIX + _secret()


def new_link() -> str:
    """`tvl-` + 32 random bytes in base62: what a link for signing in holds."""
    return LINK_PREFIX + _secret()


def new_api_key() -> str:
    """`tv-` + 32 random bytes in base62."""
    return KEY_PREFIX + _secret()


def new_admin_credential() -> str:
    """`tva-` + 32 random bytes in base62."""
    return ADMIN_PREFIX + _secret()


def _some_digits() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


def _secret() -> str:
    number = int.from_bytes(secrets.token_bytes(_KEY_BYTES))
    digits = ""
    for _ in range(_KEY_LENGTH):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def key_hash(pepper: bytes, key: str) -> bytes:
    """HMAC-SHA256 of an API key: the store alone, without the pepper, neither opens a door nor confirms a guess."""
    inside, outside = _hmac_of(pepper)
    inner, outer = inside.copy(), outside.copy()
    inner.update(key.encode("utf-8", "surrogateescape"))
    outer.update(inner.digest())
    return outer.digest()


@functools.lru_cache(8)
def _hmac_of(pepper: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two hashes of RFC 2104, begun with the key. `hmac.digest` begins them anew each time, which takes three times
    as long, and lets another thread go first."""
    key = (pepper if len(pepper) <= _BLOCK else hashlib.sha256(pepper).digest()).ljust(_BLOCK, b"\0")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))
