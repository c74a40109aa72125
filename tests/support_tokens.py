"""Tokens as an issuer makes them, and as nobody should."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

KEY = "a secret that the issuer and the gateway share"


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header: Any, payload: Any, key: str = KEY, hash: str = "sha256") -> str:
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.digest(key.encode(), text.encode(), getattr(hashlib, hash)))}"


def token(now_ms: int, key: str = KEY, **claims: Any) -> str:
    """For the user `alice`, good for an hour. A claim that is None is left out."""
    said = {"kiloUserId": "alice", "exp": now_ms // 1000 + 3600, **claims}
    return signed(
        {"alg": "HS256", "typ": "JWT"}, {name: value for name, value in said.items() if value is not None}, key
    )
