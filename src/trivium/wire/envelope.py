"""Our envelope around what a provider seals its reasoning with: signatures, encrypted content.

A seal is of use to nobody but the provider and model that made it, and breaks when a byte of the sealed text changes.
A client of another API gets it as `tv1.<origin>.<form>.<digest of the text>.<the seal's own bytes>` in the member that
its own API has for such things, and sends it back with the conversation. It is opened for the same origin, if the text
is still the same, and for nobody else. The origin is a hash: an envelope does not tell who answered.
"""

from __future__ import annotations

import base64
import hashlib

from trivium.canon.api import Api
from trivium.canon.parts import Seal

MARK = "tv1."
_FIELDS = 5

# The forms: which member of which API held the seal.
SIGNATURE = "signature"
"""Messages: `thinking.signature`."""
REDACTED = "redacted"
"""Messages: `redacted_thinking.data`."""
ENCRYPTED = "encrypted"
"""Responses: `encrypted_content` of a reasoning item."""
DETAIL = "detail"
"""Chat: an entry of OpenRouter's `reasoning_details` without its text, as JSON."""
GOOGLE = "google"
"""Chat: `extra_content.google.thought_signature` of the tool call that follows."""
PLAIN = "plain"
"""None: the reasoning came without a seal. In an envelope it says whose reasoning it is."""

_HOMES = {SIGNATURE: Api.MESSAGES, REDACTED: Api.MESSAGES, ENCRYPTED: Api.RESPONSES, DETAIL: Api.CHAT, GOOGLE: Api.CHAT}
_ALTERED = "altered"
"""No origin has this tag."""


def origin_tag(provider: str, api: Api, model: str) -> str:
    """A short name for whoever answers as this model of this provider through this API."""
    return _short(f"{provider}\n{api.short}\n{model}", 9)


def close(seal: Seal, origin: str, text: str) -> str:
    """The envelope, for the text that the client gets beside it."""
    return f"{MARK}{origin}.{seal.form}.{_short(text, 6)}.{seal.data}"


def open_(sealed: str, text: str, form: str) -> Seal:
    """What a client sent back: ours opened, or a seal of the given form that nobody tagged."""
    fields = sealed.split(".", _FIELDS - 1)
    if not sealed.startswith(MARK) or len(fields) != _FIELDS:
        return Seal(form, sealed)
    _, origin, inner, digest, data = fields
    return Seal(inner, data, origin if digest == _short(text, 6) else _ALTERED)


def fits(seal: Seal | None, origin: str, api: Api) -> bool:
    """Whether the upstream of this tag and API may get the seal. One that nobody tagged is trusted for its own API."""
    if seal is None:
        return False
    return seal.origin == origin if seal.origin is not None else _HOMES.get(seal.form) is api


def _short(text: str, size: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:size]).decode()
