"""Our envelope around what a provider seals its reasoning with: signatures, encrypted content.

A seal is of use to nobody but the provider and model that made it, and breaks when a byte of the sealed text changes.
A client of another API gets it as `~tv1.<tag>.<form>.<proof>.<the seal's own bytes>` in the member that its own API has
for such things, and sends it back with the conversation. It is opened for the same origin, if nobody has changed the
text or the envelope, and for nobody else. The tag and the proof are made with a secret of the gateway: an envelope does
not tell who answered, and nobody else can write one.

A veiled envelope shows nothing of the seal. It can hold the sealed text as well, of reasoning that the client does not
want to read: whoever made it takes back both or none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from trivium.canon.api import Api
from trivium.canon.parts import Reasoning, Seal

MARK = "~tv1."
"""It begins with a letter that is rare in conversations, so that looking for it costs little."""
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
"""None: the reasoning came without a seal, or not at all. In an envelope it says whose reasoning it is."""

VEILED = "veiled"
"""Any of them, of which nothing is shown: its form and its letters would tell who answered, or what was thought."""
_NONCE = 12

_HOMES = {SIGNATURE: Api.MESSAGES, REDACTED: Api.MESSAGES, ENCRYPTED: Api.RESPONSES, DETAIL: Api.CHAT, GOOGLE: Api.CHAT}


def origin_tag(provider: str, api: Api, model: str, key: bytes = b"") -> str:
    """A secret name for whoever answers as this model of this provider through this API."""
    return _hash(key, f"{provider}\n{api.short}\n{model}", 18)


def close(seal: Seal, origin: str, text: str) -> str:
    """The envelope, for the text that the client gets beside it."""
    tag, _, proof = _origin(origin, Seal(seal.form, seal.data, text=_digest(text))).partition(".")
    return f"{MARK}{tag}.{seal.form}.{proof}.{seal.data}"


def open_(sealed: str, text: str, form: str) -> Seal:
    """What a client sent back: ours opened, or a seal of the given form that nobody tagged."""
    fields = sealed.split(".", _FIELDS - 1)
    if not sealed.startswith(MARK) or len(fields) != _FIELDS:
        return Seal(form, sealed)
    _, tag, inner, proof, data = fields
    return Seal(inner, data, f"{tag}.{proof}", _digest(text))


def fits(seal: Seal | None, origin: str, api: Api) -> bool:
    """Whether the upstream of this origin and API may get the seal. One without an envelope is trusted for its API."""
    if seal is None:
        return False
    home = _HOMES.get(seal.form)
    if seal.origin is None or (home is not api and seal.form != PLAIN):
        return seal.origin is None and home is api
    return hmac.compare_digest(seal.origin.encode(), _origin(origin, seal).encode())


def is_empty(seal: Seal | None, text: str) -> bool:
    """Whether there is nothing in an envelope: it says that its upstream did not reason, and is of use to none."""
    return seal is not None and seal.form == PLAIN and not text


def veiled(seal: Seal, origin: str, text: str = "") -> Seal:
    """The seal, and a text that nobody gets beside it, legible for its origin alone. As long as what it holds, so that
    no request unfolds to more than was sent."""
    head = f"{seal.form}:{len(seal.data)}" if text else seal.form
    said = f"{head}.{seal.data}{text}".encode("utf-8", "replace")
    nonce = hmac.digest(origin.encode(), said, "sha256")[:_NONCE]
    return Seal(VEILED, base64.urlsafe_b64encode(nonce + _mixed(said, origin, nonce)).decode())


def unveiled(thought: Reasoning, origin: str) -> Reasoning:
    """What a client sent back, for the upstream of this origin; as it is, where another made it."""
    seal = thought.seal
    if seal is None or seal.form != VEILED or seal.origin is None:
        return thought
    if not hmac.compare_digest(seal.origin.encode(), _origin(origin, seal).encode()):
        return thought
    mixed = base64.urlsafe_b64decode(seal.data)
    head, _, held = _mixed(mixed[_NONCE:], origin, mixed[:_NONCE]).decode().partition(".")
    form, _, length = head.partition(":")
    data, text = (held[: int(length)], held[int(length) :]) if length else (held, "")
    inner = Seal(form, data, text=_digest(text) if text else seal.text)
    return Reasoning(text or thought.text, thought.at, Seal(form, data, _origin(origin, inner), inner.text))


def _mixed(said: bytes, origin: str, nonce: bytes) -> bytes:
    """With a stream of bytes that only who knows the origin can make; mixed twice, it is what it was."""
    stream = hashlib.shake_256(hmac.digest(origin.encode(), nonce, "sha256")).digest(len(said))
    return (int.from_bytes(said) ^ int.from_bytes(stream)).to_bytes(len(said))


def _origin(origin: str, seal: Seal) -> str:
    tag = _hash(b"tag", origin, 9)
    return f"{tag}.{_hash(origin.encode(), f'{seal.form}.{seal.text}.{seal.data}', 9)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _hash(key: bytes, said: str, size: int) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, said.encode("utf-8", "replace"), "sha256")[:size]).decode()
