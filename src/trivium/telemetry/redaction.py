"""Keys and passwords do not leave by the back door: what is logged or told as telemetry is looked through first.

Known secrets, those of the configuration, are hidden wherever they stand and however JSON writes them. Others are known
by their shape: keys of this gateway and of the usual vendors, values of headers that carry credentials, tokens of three
parts, passwords and tokens in URLs. A secret of no known shape that nobody configured here cannot be seen; none is
logged on purpose. A text may be JSON, or a line of the log: an escape such as `\\n` is no letter of the word behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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
_PAIR = r"""[^\s"'\\,;)}\]=]{1,128}=[^\s"'\\,;)}\]]*"""
"""With a bound to its name: it is looked for behind every `cookie:`, of which a text may be made."""
_SCHEME = r"(?i:(?:bearer|basic|digest|token|negotiate|apikey|key)\s+)"
_PLACEHOLDER = r"(?:[A-Za-z]{1,4}-)?\.\.\."
"""What help has in the place of a key: `tv-...`."""
_PARAMETER = r"""\w+=(?:\\{0,7}"[^"\\]*\\{0,7}"|[^\s"'\\,;)}\]]+)"""
_EDGE = r"(?a:\b)"
"""Of a word; Chinese writes none of its own around it."""
_SHAPES = (
    _Shape(("digest",), re.compile(rf"{_EDGE}(?i:digest)\s+({_PARAMETER}(?:\s*,\s*{_PARAMETER})+)")),
    _Shape(("cookie",), re.compile(rf"(?i:cookie){_TO_VALUE}({_PAIR}(?:;\s*{_PAIR})*)")),
    _Shape(
        HEADERS,
        re.compile(rf"""(?i:{"|".join(HEADERS)}){_TO_VALUE}{_SCHEME}?+(?!{_PLACEHOLDER})([^\s"'\\,;)}}\]]+)"""),
    ),
    _Shape(("bearer", "basic"), re.compile(rf"{_EDGE}(?i:bearer|basic)\s+((?=\S*[0-9])[A-Za-z0-9._~+/=-]{{8,}})")),
    _Shape(
        _KEYS,
        re.compile(rf"(?<![A-Za-z0-9_-])((?:{'|'.join(_KEYS)})(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{{12,}})"),
    ),
    _Shape(("aiza", "ya29."), re.compile(rf"{_EDGE}((?:AIza|ya29\.)[0-9A-Za-z_-]{{20,}})")),
    _Shape(("akia", "asia"), re.compile(rf"{_EDGE}((?:AKIA|ASIA)[0-9A-Z]{{16}}){_EDGE}")),
    _Shape(("eyj",), re.compile(r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*)")),
    _Shape(("hooks.slack.com",), re.compile(r"(?i:hooks\.slack\.com)\\*/[a-z]+\\*/([A-Za-z0-9_/\\-]{10,})")),
    _Shape(
        ("://",), re.compile(r"""://([^\s:@/"'\\]*:[^\s@/"'\\]+|(?=[A-Za-z._~-]*[0-9])[A-Za-z0-9._~-]{16,})(?=@)""")
    ),
)
_ESCAPE = re.compile(r"(?:\x1b|\\x1b|\\u001[bB])\[[0-9;]{0,20}m|\\(?:[bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-f]{2})")
"""A letter as JSON, Python or our log say it, and a colour of the terminal."""
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
        return _clean(without(text, _shapes_in(text), 1))

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


def without(text: str, patterns: Sequence[re.Pattern[str]], group: int = 0) -> str:
    """The text without what the patterns find, from this group on. They see blanks where it has escapes, so that what
    is behind a line break of JSON stands at the beginning of a word."""
    seen = _bare(text) if patterns else text
    for pattern in patterns:
        if places := [(found.start(group), found.end()) for found in pattern.finditer(seen)]:
            text = _cut(text, places)
            seen = _bare(text)
    return text


def _bare(text: str) -> str:
    """As long as it was."""
    return _ESCAPE.sub(lambda found: " " * len(found[0]), text) if "\\" in text or "\x1b" in text else text


def _cut(text: str, places: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in places:
        pieces += text[done:start], HIDDEN
        done = end
    return "".join((*pieces, text[done:]))


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _spellings(secret: str) -> set[str]:
    quoted = _encode(_clean(secret)).decode()[1:-1]
    return {secret, quoted, quoted.replace("/", "\\/")}


REDACTION = Redaction()
"""Of the process: its log is one, and so are its secrets."""
