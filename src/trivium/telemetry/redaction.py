"""Keys and passwords do not leave by the back door: what is logged or told as telemetry is looked through first.

Known secrets, those of the configuration, are hidden wherever they stand and however JSON writes them. Others are known
by their shape: keys of this gateway and of the usual vendors, values of headers that carry credentials, tokens of three
parts, passwords and tokens in URLs. A secret of no known shape that nobody configured here cannot be seen; none is
logged on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

HIDDEN = "***"
_SHORTEST = 6
"""A shorter secret would hide words of every line."""
_KEYS = (
    *(
        "tv-",
        "tva-",
        "tvl-",
        "tvs-",
        "sk-",
        "sk_",
        "pk-",
        "pk_",
        "rk_",
        "xai-",
        "gsk_",
        "csk-",
        "pplx-",
        "hf_",
        "ghp_",
        "gho_",
    ),
    *("ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "vck_", "fw_", "nvapi-", "r8_"),
    *("xoxb-", "xoxp-", "xoxa-", "xoxs-", "xapp-", "whsec_", "npm_", "pypi-"),
)
"""What keys begin with: ours, then those of vendors."""
HEADERS = ("authorization", "x-api-key", "api-key", "api_key", "apikey", "cookie")


class _Shape(NamedTuple):
    """A secret's looks: the pattern's last group is the secret itself. Without one of the marks, in small letters, no
    text has it: looking for these first makes a text without any cost a fifth."""

    marks: tuple[str, ...]
    pattern: re.Pattern[str]


_QUOTE = r"""\\{0,7}["']"""
_TO_VALUE = rf"""(?:(?:{_QUOTE})?\s*[:=]|{_QUOTE}\s*,\s*{_QUOTE}value{_QUOTE}\s*:)\s*(?:{_QUOTE})?"""
"""What stands between a header's name and its value, which lists of headers (HAR) have in a member of its own."""
_PAIR = r"""[^\s"'\\,;)}\]=]+=[^\s"'\\,;)}\]]*"""
_SCHEME = r"(?i:(?:bearer|basic|digest|token|negotiate|apikey|key)\s+)"
_PARAMETER = r"""\w+=(?:\\{0,7}"[^"\\]*\\{0,7}"|[^\s"'\\,;)}\]]+)"""
_SHAPES = (
    _Shape(("digest",), re.compile(rf"(?i:\bdigest)\s+({_PARAMETER}(?:\s*,\s*{_PARAMETER})+)")),
    _Shape(("cookie",), re.compile(rf"(?i:cookie){_TO_VALUE}({_PAIR}(?:;\s*{_PAIR})*)")),
    _Shape(HEADERS, re.compile(rf"""(?i:{"|".join(HEADERS)}){_TO_VALUE}{_SCHEME}?([^\s"'\\,;)}}\]]+)""")),
    _Shape(("bearer", "basic"), re.compile(r"(?i:\bbearer|\bbasic)\s+((?=\S*[0-9])[A-Za-z0-9._~+/=-]{8,})")),
    _Shape(
        _KEYS,
        re.compile(rf"(?<![A-Za-z0-9_-])((?:{'|'.join(_KEYS)})(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{{12,}})"),
    ),
    _Shape(("aiza", "ya29."), re.compile(r"\b((?:AIza|ya29\.)[0-9A-Za-z_-]{20,})")),
    _Shape(("akia", "asia"), re.compile(r"\b((?:AKIA|ASIA)[0-9A-Z]{16})\b")),
    _Shape(("eyj",), re.compile(r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*)")),
    _Shape(("hooks.slack.com",), re.compile(r"(?i:hooks\.slack\.com)\\*/[a-z]+\\*/([A-Za-z0-9_/\\-]{10,})")),
    _Shape(
        ("://",), re.compile(r"""://([^\s:@/"'\\]*:[^\s@/"'\\]+|(?=[A-Za-z._~-]*[0-9])[A-Za-z0-9._~-]{16,})(?=@)""")
    ),
)
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class Redaction:
    """`mask` a text. `hide` says which secrets there are; it replaces those of before."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        spelt = {form for secret in secrets if len(secret) >= _SHORTEST for form in _spellings(secret)}
        self._known = sorted(spelt, key=len, reverse=True)

    def mask(self, text: str) -> str:
        """The text as it may go out, which is also such that it can: half a character becomes a question mark."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        for pattern in _shapes_in(text):
            text = pattern.sub(_hide, text)
        return _clean(text)

    def mask_beginning(self, text: str) -> str:
        """Of a text that was cut: also without what it ends with of a known secret's beginning."""
        text = self.mask(text)
        torn = (
            size for secret in self._known for size in range(_SHORTEST, len(secret)) if text.endswith(secret[:size])
        )
        return f"{text[:-most]}{HIDDEN}" if (most := max(torn, default=0)) else text

    def json(self, value: Any) -> str:
        """A value as JSON, its texts masked."""
        with suppress(UnicodeEncodeError):
            text = _encode(value).decode()
            if self.mask(text) == text:
                return text
        return _encode(self._masked(value)).decode()

    def _masked(self, value: Any) -> Any:
        match value:
            case str():
                return self.mask(value)
            case dict():
                return {self.mask(name): self._masked(item) for name, item in value.items()}
            case list() | tuple():
                return [self._masked(item) for item in value]
            case msgspec.Raw():
                return self._masked(msgspec.json.decode(value))
        return value


def _shapes_in(text: str) -> list[re.Pattern[str]]:
    """Those that the text may have."""
    small = text.lower()
    return [shape.pattern for shape in _SHAPES if any(mark in small for mark in shape.marks)]


def _hide(found: re.Match[str]) -> str:
    """What stands before the secret, such as the header's name, stays."""
    start = found.start(1) - found.start()
    return found[0][:start] + HIDDEN


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _spellings(secret: str) -> set[str]:
    quoted = _encode(_clean(secret)).decode()[1:-1]
    return {secret, quoted, quoted.replace("/", "\\/")}


REDACTION = Redaction()
"""Of the process: its log is one, and so are its secrets."""
