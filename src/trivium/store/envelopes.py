"""Secrets that must be read again, as the database keeps them: envelopes of AES-256-GCM.

Each secret has a data key of its own, and a key-encryption key (KEK) wraps that. KEKs have versions: a new one wraps
what is written from then on, and the older ones are kept until everything is wrapped anew, for which no secret itself
need be opened. Both layers are bound to the owner and the id of the secret (associated data), so that a row that was
copied to somebody else's opens nothing.

KEKs come from the configuration, else from a file in the data folder, made at the first start: a line for each version,
`VERSION=BASE64`, the current one first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trivium.errors import ConfigError, SecretUnreadable, StoreUnavailable
from trivium.store import durable

FILE = "secrets.key"
_PUT_BACK = f"put it back into `[secrets] keys`, or the file {FILE} into the data folder"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_LINE = re.compile(r"(local-[0-9a-f]{8})=([A-Za-z0-9+/]{43}=)")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, sealed."""

    version: str
    """Of the KEK that wraps its data key."""
    wrapped_key: bytes
    sealed: bytes

    @property
    def row(self) -> tuple[str, bytes, bytes]:
        """Values of `COLUMNS`."""
        return self.version, self.wrapped_key, self.sealed


COLUMNS = "key_version, wrapped_key, sealed"


def envelope_of(row: Sequence[Any]) -> Envelope:
    """Of values of `COLUMNS`."""
    version, wrapped_key, sealed = row
    return Envelope(version=version, wrapped_key=bytes(wrapped_key), sealed=bytes(sealed))


class Keyring:
    """The KEKs by version; the first is the current one. None at all: nothing can be opened or sealed."""

    def __init__(self, keys: Sequence[tuple[str, bytes]], absent: str = "") -> None:
        """`absent` says why there are none."""
        self._keys: Mapping[str, AESGCM] = {version: AESGCM(key) for version, key in keys}
        self._proofs = {version: _proof(version, key) for version, key in keys}
        self._current = keys[0][0] if keys else None
        self._absent = absent

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    @property
    def current(self) -> str:
        """Raises SecretUnreadable."""
        if self._current is None:
            raise SecretUnreadable(f"No secret can be kept: {self._absent}")
        return self._current

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def proof(self, version: str) -> bytes:
        """A check value that only the key of this version makes, under this name."""
        return self._proofs[version]

    def fault(self, version: str, proof: bytes | None) -> str | None:
        """Why what is under a version cannot be opened; `proof` is the check value that is kept for it, if any."""
        if version not in self._keys:
            return f"The key {version!r} is not at hand: {_PUT_BACK}."
        if proof is not None and not hmac.compare_digest(proof, self._proofs[version]):
            return (
                f"The key that is called {version!r} here is not the one that secrets were sealed under by this name: "
                "put that one back, or give this one a name of its own."
            )
        return None

    def seal(self, owner: str, id: str, secret: bytes) -> Envelope:
        """Raises SecretUnreadable where there is no KEK."""
        data_key = AESGCM.generate_key(256)
        sealed = _encrypt(AESGCM(data_key), secret, _bound("secret", owner, id))
        return self._wrapped(owner, id, data_key, sealed)

    def open(self, owner: str, id: str, envelope: Envelope) -> bytes:
        """Raises SecretUnreadable."""
        data_key = AESGCM(self._data_key(owner, id, envelope))
        return _decrypt(data_key, envelope.sealed, _bound("secret", owner, id), f"The secret {id} is damaged.")

    def rewrap(self, owner: str, id: str, envelope: Envelope) -> Envelope:
        """The same secret under the current KEK. Raises SecretUnreadable."""
        return self._wrapped(owner, id, self._data_key(owner, id, envelope), envelope.sealed)

    def _wrapped(self, owner: str, id: str, data_key: bytes, sealed: bytes) -> Envelope:
        version = self.current
        wrapped = _encrypt(self._keys[version], data_key, _bound("key", owner, id))
        return Envelope(version=version, wrapped_key=wrapped, sealed=sealed)

    def _data_key(self, owner: str, id: str, envelope: Envelope) -> bytes:
        kek = self._keys.get(envelope.version)
        if kek is None:
            raise SecretUnreadable(
                f"The secret {id} was sealed under the key {envelope.version!r}, which is not at hand: {_PUT_BACK}."
            )
        fault = f"The secret {id} was sealed under another key that was called {envelope.version!r}, or is damaged."
        return _decrypt(kek, envelope.wrapped_key, _bound("key", owner, id), fault)


def _proof(version: str, key: bytes) -> bytes:
    """The text is none that a secret is bound to, and nothing can be learnt from the digest."""
    return hmac.digest(key, f"trivium\nname\n{version}".encode(), "sha256")


def _bound(layer: str, owner: str, id: str) -> bytes:
    """What both layers are bound to. Neither owners nor ids hold line breaks."""
    return f"trivium\n{layer}\n{owner}\n{id}".encode()


def _encrypt(key: AESGCM, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, bound)


def _decrypt(key: AESGCM, sealed: bytes, bound: bytes, fault: str) -> bytes:
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SecretUnreadable(fault) from None


def key_of(text: str) -> bytes | None:
    """A KEK written as base64 or in hexadecimal digits; None for anything but 32 bytes."""
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * _KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == _KEY_BYTES else None


def deciphered(configured: Iterable[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """KEKs by version, of their texts. Raises ConfigError."""
    found: list[tuple[str, bytes]] = []
    for version, text in configured:
        if (key := key_of(text)) is None:
            raise ConfigError(
                f"secrets.keys: the key {version!r} is not 32 bytes in base64 or hexadecimal digits; "
                "`openssl rand -base64 32` makes one"
            )
        found.append((version, key))
    return found


def keyring(folder: Path, configured: Sequence[tuple[str, bytes]], *, in_use: bool) -> Keyring:
    """The KEKs that are configured, and behind them those of the file. Where there is neither, a file is made, unless
    secrets are `in_use` that it could not open. Raises StoreUnavailable for a damaged file."""
    path = folder / FILE
    local = read_keys(path) if path.exists() else []
    if not configured and not local:
        if in_use:
            return Keyring((), f"the file {FILE} is gone from the data folder, and the secrets there are need it.")
        local = with_new_key([])
        write_keys(path, local)
    return Keyring([*configured, *local])


def read_keys(path: Path) -> list[tuple[str, bytes]]:
    """Raises StoreUnavailable."""
    try:
        found = [_LINE.fullmatch(line) for line in path.read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"The file {FILE} cannot be read.", detail=str(error)) from None
    keys = [(line[1], base64.b64decode(line[2])) for line in found if line is not None]
    if not keys or len(keys) < len(found) or len(dict(keys)) < len(keys):
        raise StoreUnavailable(f"The file {FILE} is damaged: expected lines VERSION=BASE64.", detail=str(path))
    return keys


def write_keys(path: Path, keys: Sequence[tuple[str, bytes]]) -> None:
    """All or nothing, and durable before it counts. Raises StoreUnavailable."""
    text = "".join(f"{version}={base64.b64encode(key).decode()}\n" for version, key in keys)
    try:
        durable.write(path, text.encode())
    except OSError as error:
        raise StoreUnavailable(f"The file {FILE} cannot be written.", detail=str(error)) from None


def with_new_key(keys: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """A fresh KEK before all that there are. Its version is made of its content, so that the files of two gateways
    never mean two keys by one name."""
    key = os.urandom(_KEY_BYTES)
    return [(f"local-{hashlib.sha256(key).hexdigest()[:8]}", key), *keys]
