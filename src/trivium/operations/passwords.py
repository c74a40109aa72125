"""Passwords, as scrypt keeps them: `scrypt$N$r$p$SALT$HASH`, so that the cost can be raised later. Takes 16
MiB and tens of milliseconds: for a thread."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from trivium.errors import OperationError

SHORTEST = 10
LONGEST = 200
_N, _R, _P = 2**14, 8, 1
_MOST_MEMORY = 64 * 1024 * 1024


def hashed(password: str) -> str:
    """Raises OperationError for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise OperationError(f"A password has {SHORTEST} to {LONGEST} characters.")
    salt = secrets.token_bytes(16)
    return "$".join(["scrypt", str(_N), str(_R), str(_P), _text(salt), _text(_scrypt(password, salt, _N, _R, _P))])


def is_right(password: str, kept: str) -> bool:
    _, n, r, p, salt, hash = kept.split("$")
    found = _scrypt(password[: LONGEST + 1], base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(hash))


def nobodys() -> str:
    """What is compared with where there is no such user, so that it takes as long as where there is."""
    return "$".join(["scrypt", str(_N), str(_R), str(_P), _text(bytes(16)), _text(bytes(32))])


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    said = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
