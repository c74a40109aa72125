"""What somebody's own upstream key consists of, and what of it must never be seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from trivium.patterns import matching
from trivium.providers.sigv4 import Signing

Part = Annotated[str, matching(r"^[!-~]{8,10000}\Z", "8 to 10,000 printable characters of ASCII without blanks")]
"""Printable ASCII, as headers take it."""
Region = Annotated[str, matching(r"^[a-z]{2,9}(-[a-z]{2,12}){1,4}-[0-9]{1,2}\Z", "a region, as us-east-1")]
AUTH: Mapping[str, tuple[bytes, bytes]] = {
    "bearer": (b"authorization", b"Bearer "),
    "x-api-key": (b"x-api-key", b""),
    "api-key": (b"api-key", b""),
}
"""The ways to send a key: a header, and what stands before the key in it."""
_HINT = 4
_SHORTEST_HINTED = 12
"""Of a shorter key the last characters would tell too much."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key; with an `access_key_id` it is AWS's secret access key, and calls are signed."""

    key: Part
    access_key_id: Annotated[str, matching(r"^[A-Z0-9]{16,128}\Z", "16 to 128 capitals and digits")] | None = None
    session_token: Part | None = None

    def __repr__(self) -> str:
        return "Credential(...)"

    @property
    def hint(self) -> str:
        """By which its owner knows it: the last four characters; of AWS's credentials, of the id that is no secret."""
        return end_of(self.access_key_id or self.key)

    def secrets(self) -> tuple[bytes, ...]:
        """The texts that nobody may be shown."""
        return tuple(text.encode() for text in (self.key, self.session_token) if text)

    def signing(self, region: str) -> Signing | None:
        """How calls are signed; None where the key itself goes with them."""
        if self.access_key_id is None:
            return None
        return Signing(
            access_key_id=self.access_key_id,
            secret_access_key=self.key,
            session_token=self.session_token,
            region=region,
        )


def end_of(key: str) -> str:
    """The last characters of a key, by which its owner knows it; none of a short one."""
    return key[-_HINT:] if len(key) >= _SHORTEST_HINTED else ""


def sent_as(auth: str, key: bytes) -> tuple[bytes, bytes]:
    """The header in which a key goes along."""
    name, prefix = AUTH[auth]
    return name, prefix + key


def spellings(secrets: Iterable[bytes]) -> tuple[bytes, ...]:
    """The secrets, and as JSON may write them."""
    return tuple(dict.fromkeys(form for secret in secrets for form in (secret, secret.replace(b"/", b"\\/"))))


def masked(text: bytes, spelt: Iterable[bytes]) -> bytes:
    """With asterisks, as many, where one of the spellings stood."""
    for spelling in spelt:
        if spelling in text:
            text = text.replace(spelling, b"*" * len(spelling))
    return text
