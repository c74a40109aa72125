"""Whom a provider is told that it answers: a hash that is the same for the same user, and another at every provider, so
that nobody learns a user's id and no two of them can compare (behaviour page, section 8)."""

from __future__ import annotations

import base64
import hashlib


def hashed(salt: str, provider: str, who: str) -> str:
    """base64(SHA-256(salt + provider + who)): 44 letters, which every API takes."""
    said = (salt + provider + who).encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha256(said).digest()).decode()


def default_salt(key: bytes) -> str:
    """A salt that lasts as long as a secret of the store's, and tells nothing of it."""
    return hashlib.blake2b(key, person=b"identity", digest_size=32).hexdigest()
