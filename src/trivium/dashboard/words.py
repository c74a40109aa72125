"""Names of arguments and members as people read them, and what a type wants of them. Pure."""

from __future__ import annotations

import re

_SAID = {
    "api": "API",
    "apis": "APIs",
    "email": "e-mail",
    "id": "id",
    "ip": "IP",
    "ttfb": "first byte",
    "url": "URL",
    "usd": "USD",
    "zdr": "zero data retention",
}
_WHOLE = {
    "models_allow": "allowed models",
    "models_deny": "denied models",
    "providers_allow": "allowed providers",
    "providers_deny": "denied providers",
    "in_band": "inside the answer",
    "all": "also those seen to",
    "below_usd": "balance below",
    "markup_ppm": "markup",
    "month_usd": "at most in a month",
    "month_charged_usd": "charged this month",
    "ms": "took",
    "usd": "amount",
    "usd_per_million": "USD per million",
}
_UNSAID = re.compile(r"(?<=.)_(?:ms|nano|usd|id)\Z")
_UNFIT = re.compile(r"[\w.]+: Expected (.+?)(?:, got .+?)? - at `\$\.?(.*?)`")
_OTHERWISE = re.compile(r"[\w.]+: (.+) - at `\$\.?(.*?)`")
_MISSING = re.compile(r"[\w.]+: Object missing required field `(\w+)`(?: - at `\$\.?(.*?)`)?")
_DATED = (
    (re.compile(r"`int` >= 0"), "a time from 1970 on"),
    (re.compile(r"`int` <= \d+"), "a time before the year 10000"),
)
_EXPECTED = (
    (re.compile(r" \| null"), ""),
    (re.compile(r"`str` matching regex .*"), "letters, digits and . _ @ - :"),
    (re.compile(r"`(?:int|float)`"), "a number"),
    (re.compile(r"`str`"), "text"),
    (re.compile(r"`array`"), "a list"),
    (re.compile(r"`object`"), "an object"),
    (re.compile(r"`bool`"), "yes or no"),
    (re.compile(r"of length"), "of a length"),
    (re.compile(r">="), "of at least"),
    (re.compile(r"<="), "of at most"),
)


def words(name: str) -> str:
    """`input_tokens_per_minute` -> input tokens per minute; units of times and amounts are seen at the value, and an id
    is known as one."""
    if name in _WHOLE:
        return _WHOLE[name]
    plain = _UNSAID.sub("", name).replace("_", " ")
    return " ".join(_SAID.get(word, word) for word in plain.split())


def plainly(message: str) -> str:
    """What an operation's types say of an argument that does not fit, as people say it; any other message as it is.

    `requests.search: Expected `int` >= 0 - at `$.min_cost_nano`` -> min cost: expected a number of at least 0."""
    if missing := _MISSING.fullmatch(message):
        name, where = missing.groups(default="")
        return f"{_place(f'{where}.{name}')}: this is needed."
    found = _UNFIT.fullmatch(message)
    if found is None:
        other = _OTHERWISE.fullmatch(message)
        return f"{_place(other[2])}: {other[1]}." if other else message
    expected, where = found[1], found[2]
    for kind, said in (*_DATED, *_EXPECTED) if where.endswith("_ms") else _EXPECTED:  # what was typed is a date
        expected = kind.sub(said, expected)
    return f"{_place(where)}: expected {expected}."


def _place(path: str) -> str:
    """Of an argument, with dots; which of a list it is, is seen."""
    return ", ".join(words(part.partition("[")[0]) for part in path.split(".") if part)
