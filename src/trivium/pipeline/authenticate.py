"""Who calls: from the headers alone, before a byte of the body is read (behaviour page, section 3).

A key comes as `Authorization: Bearer` or as `x-api-key`. Where both are there the one with our prefix counts, since
clients send a left-over key of another vendor beside ours; two of ours that differ are refused. What is presented must
be valid: a wrong key never makes an anonymous caller.
"""

from __future__ import annotations

from collections.abc import Mapping

from trivium.errors import AuthenticationError
from trivium.ids import KEY_PREFIX
from trivium.pipeline.deps import Key, Keys

_INVALID = "The API key is not valid. Send a Trivium key as `Authorization: Bearer tv-...` or `x-api-key: tv-...`."


async def authenticate(headers: Mapping[bytes, bytes], keys: Keys) -> Key | None:
    """The caller's key; None where no credential is presented. Raises AuthenticationError, StoreUnavailable."""
    credential = _credential(headers)
    if credential is None:
        return None
    key = await keys.find(credential) if credential.startswith(KEY_PREFIX) else None
    if key is None:
        raise AuthenticationError(_INVALID)
    return key


def _credential(headers: Mapping[bytes, bytes]) -> str | None:
    scheme, _, token = headers.get(b"authorization", b"").strip().partition(b" ")
    bearer = token.strip() if scheme.lower() == b"bearer" else scheme + token
    presented = [
        text
        for text in (bearer.decode("latin-1"), headers.get(b"x-api-key", b"").strip().decode("latin-1"))
        if text and text != "anonymous"
    ]
    ours = [text for text in presented if text.startswith(KEY_PREFIX)] or presented
    if len(set(ours)) > 1:
        raise AuthenticationError("Two different API keys were sent. Send one.")
    return ours[0] if ours else None
