"""What is read of a request in an API that stands alone, before it goes on as it came.

Embeddings (OpenAI's shape): `input` is a text, texts, tokens or lists of tokens; of a list the first entry is looked
at, the rest is the upstream's to judge. Fill-in-the-middle (Mistral's shape): an answer has 1,000 tokens at the most
and says so beforehand (vendors page, "FIM").
"""

from __future__ import annotations

import re

from trivium.canon.api import Solo
from trivium.errors import FieldInvalid
from trivium.wire.body import Members, count, is_said, text

MOST_FILLED = 1000
"""Tokens."""
FORMATS = ("float", "base64")
_INPUT = re.compile(rb'"|\[\s*(?:["\d]|\[\s*\d)')
_TEXT = re.compile(rb'"')
_LOOKED_AT = 256
"""Bytes of a value by which it is known what it is."""
AN_HOUR = 3600


def check_fields(api: Solo, members: Members) -> None:
    """Raises FieldInvalid, FieldUnsupported."""
    (_check_embeddings if api is Solo.EMBEDDINGS else _check_fim)(members)


def dimensions(members: Members) -> int | None:
    """How long the vectors shall be; None where nothing is said. Raises FieldInvalid."""
    if not is_said(members, "dimensions"):
        return None
    digits = bytes(members["dimensions"])
    if not digits.isdigit() or len(digits) > 9 or not int(digits):
        raise FieldInvalid("`dimensions` must be a positive whole number.", param="dimensions")
    return int(digits)


def encoding(members: Members) -> str:
    """How the vectors shall be written. Raises FieldInvalid, FieldUnsupported."""
    said = text(members, "encoding_format") or FORMATS[0]
    if said not in FORMATS:
        raise FieldInvalid("`encoding_format` must be `float` or `base64`.", param="encoding_format")
    return said


def _check_embeddings(members: Members) -> None:
    if not _begins(members, "input", _INPUT):
        raise FieldInvalid(
            "`input` must be a text, a list of texts, a list of tokens, or a list of lists of tokens.", param="input"
        )
    dimensions(members)
    encoding(members)
    text(members, "user")


def _check_fim(members: Members) -> None:
    if not _begins(members, "prompt", _TEXT):
        raise FieldInvalid("`prompt` must be a text: what stands before the gap.", param="prompt")
    if is_said(members, "suffix") and not _begins(members, "suffix", _TEXT):
        raise FieldInvalid("`suffix` must be a text: what stands behind the gap.", param="suffix")
    most = count(members, "max_tokens")
    if most is None or not 0 < most <= MOST_FILLED:
        error = FieldInvalid(
            f"`max_tokens` must be said here, and be {MOST_FILLED:,} at the most; the same request is refused again.",
            param="max_tokens",
            retry_after=AN_HOUR,
        )
        error.status, error.code = 503, "max_tokens_out_of_range"  # as the clients of this API know it
        raise error


def _begins(members: Members, name: str, as_: re.Pattern[bytes]) -> bool:
    return name in members and as_.match(bytes(memoryview(members[name])[:_LOOKED_AT])) is not None
