"""Forms of operations' arguments, and arguments of what was sent. Pure.

A form is made of the JSON Schema of an operation's arguments (`operations.describe`), so that a new argument is there
without a line here. A member of an object within is named with dots. What is left empty is left out; in a form that
shows what there is, only what was changed in it is sent: it carries what it showed with it, since that may be something
else by the time that it comes back.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from trivium.clock import dated_ms
from trivium.dashboard.visitor import properties, resolved
from trivium.dashboard.words import words

SECRET = frozenset(("key", "password", "present", "session_token", "url"))
"""What is typed unseen."""
_LONG = frozenset(("note", "why", "challenge"))
_NONE = {"lines": [], "choices": [], "json": {}, "text": "", "area": ""}
MINUTES = "%Y-%m-%dT%H:%M"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """With dots: `limits.requests_per_minute`."""
    kind: str
    """`text`, `area`, `secret`, `number`, `check`, `choice`, `choices`, `lines`, `moment` or `json`."""
    label: str
    group: str = ""
    """Of which object it is a member."""
    value: Any = ""
    """As text; of a check a boolean, of choices a list."""
    choices: Sequence[str] = ()
    required: bool = False
    nullable: bool = False
    help: str = ""

    @property
    def id(self) -> str:
        return "f-" + self.name.replace(".", "-").replace("_", "-")


def fields(
    schema: Mapping[str, Any],
    *,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    help: Mapping[str, str] | None = None,
) -> list[Field]:
    """Of the arguments that a schema describes, or of `only` some in this order; `values` is what there is."""
    known, needed = properties(schema), resolved(schema, schema).get("required", [])
    names = [name for name in (known if only is None else only) if name in known and name not in without]
    made = _Maker(schema, help or {})
    return [field for name in names for field in made.of(name, known[name], (values or {}).get(name), name in needed)]


class _Maker:
    """Of fields by a schema, `root`, in which definitions stand."""

    def __init__(self, root: Mapping[str, Any], help: Mapping[str, str]) -> None:
        self._root = root
        self._help = help

    def of(self, name: str, said: Mapping[str, Any], value: Any, required: bool) -> list[Field]:
        schema, nullable = self._without_null(said)
        if members := schema.get("properties"):
            inner, needed = value if isinstance(value, dict) else {}, schema.get("required", [])
            return [
                field
                for member, one in members.items()
                for field in self.of(f"{name}.{member}", one, inner.get(member), required and member in needed)
            ]
        group, _, last = name.rpartition(".")
        items = resolved(schema.get("items", {}), self._root)
        kind = _kind(last, schema, items)
        if value is None and said.get("default") not in ({}, []):
            value = said.get("default")
        choices = (items if kind == "choices" else schema).get("enum", ())
        field = Field(
            name=name,
            kind=kind,
            label=words(last),
            group=group,
            value=_SHOWN.get(kind, str)(value) if value is not None or kind in ("check", "choices") else "",
            choices=[str(choice) for choice in choices],
            required=required and kind != "check",
            nullable=nullable,
            help=self._help.get(name, ""),
        )
        return [field]

    def _without_null(self, said: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        schema = resolved(said, self._root)
        parts = schema.get("anyOf")
        if parts is None:
            return schema, False
        left = [part for part in parts if part.get("type") != "null"]
        only = resolved(left[0], self._root) if len(left) == 1 else {"anyOf": left}
        return only, len(left) < len(parts)


def _kind(name: str, schema: Mapping[str, Any], items: Mapping[str, Any]) -> str:
    """`name` is the last part of the field's; `items` the schema of a list's items."""
    if name in SECRET:
        return "secret"
    if "enum" in schema:
        return "choice"
    kind = schema.get("type")
    if kind == "array":
        is_text = items.get("type", "string") == "string"
        return "choices" if "enum" in items else "lines" if is_text else "json"
    if kind in ("integer", "number") and name.endswith("_ms"):
        return "moment"
    return _KINDS.get(str(kind), "area" if name in _LONG else "text")


def _moment_shown(value: Any) -> str:
    """Nothing of one that no such field can hold; left empty it stays."""
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC).strftime(MINUTES)
    except (ValueError, OverflowError, OSError):
        return ""


def _json_shown(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


_KINDS = {"boolean": "check", "integer": "number", "number": "number", "object": "json"}
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "check": bool,
    "choices": lambda value: [str(one) for one in value or ()],
    "lines": lambda value: "\n".join(map(str, value)),
    "json": _json_shown,
    "moment": _moment_shown,
}


def filled(made: Sequence[Field], sent: Mapping[str, list[str]]) -> list[Field]:
    """The same form as somebody has filled it in; what is typed unseen is typed again."""
    return [msgspec.structs.replace(field, value=_as_sent(field, sent.get(field.name, []))) for field in made]


def _as_sent(field: Field, texts: list[str]) -> Any:
    if field.kind == "secret":
        return ""
    if field.kind == "check":
        return bool(texts)
    return texts if field.kind == "choices" else (texts[0] if texts else "")


class Unfit(Exception):
    """What somebody typed is not what the field takes. `args[0]` is for people."""


def arguments(made: Sequence[Field], sent: Mapping[str, list[str]]) -> dict[str, Any]:
    """Raises Unfit."""
    found: dict[str, Any] = {}
    for field in made:
        value = _read(field, sent.get(field.name, []))
        if value is None:
            continue
        *groups, last = field.name.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return found


def carried(made: Sequence[Field]) -> str:
    """What a form shows, in short, as it has it with it when it comes back (`rebased`)."""
    texts = _as_shown(made)
    return json.dumps({field.name: _mark(field, texts[field.name]) for field in made if field.kind != "secret"})


def rebased(
    made: Sequence[Field], sent: Mapping[str, list[str]], carried: str
) -> tuple[dict[str, list[str]], list[str]]:
    """What was sent of a form that had `carried` with it, put into one that shows what there is by now (`made`): what
    nobody has touched in it is as it is by now. And the labels of fields that have become something else meanwhile, and
    were changed in it too. Raises Unfit."""
    try:
        before = msgspec.json.decode(carried, type=dict[str, str])
    except ValueError:
        raise Unfit("This form is not as it was shown. Load the page again.") from None
    now, found, clashing = _as_shown(made), {}, []
    for field in made:
        texts, present = sent.get(field.name, []), now[field.name]
        mine, there = _mark(field, texts), _mark(field, present)
        was = before.get(field.name, there)
        found[field.name] = present if mine == was else texts
        if mine != was and there not in (mine, was):
            clashing.append(field.label)
    return found, clashing


def _mark(field: Field, texts: list[str]) -> str:
    """The same for the same value, however it is written."""
    try:
        value = _read(field, texts)
    except Unfit:
        value = texts
    said = repr(sorted(value) if field.kind == "choices" and value else value)
    return hashlib.blake2b(said.encode(errors="replace"), digest_size=6).hexdigest()


def changes(made: Sequence[Field], sent: Mapping[str, list[str]]) -> dict[str, Any]:
    """Of a form that showed what there is: what of it is different now. Raises Unfit."""
    after, before = arguments(made, sent), arguments(made, _as_shown(made))
    nulls = {field.name: None if field.nullable else _NONE.get(field.kind) for field in made}
    tops = dict.fromkeys(field.name.partition(".")[0] for field in made)
    return {name: after.get(name, nulls.get(name, {})) for name in tops if after.get(name) != before.get(name)}


def _as_shown(made: Sequence[Field]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field in made:
        if field.kind == "check":
            found[field.name] = ["on"] if field.value else []
        else:
            found[field.name] = field.value if field.kind == "choices" else [field.value]
    return found


def _read(field: Field, texts: list[str]) -> Any:
    """None: it was left empty."""
    if field.kind == "check":
        return bool(texts)
    if field.kind == "choices":
        return texts or None
    text = (texts[0] if texts else "").replace("\r\n", "\n")
    if field.kind != "secret":
        text = text.strip()
    if not text:
        return None
    try:
        return _READERS.get(field.kind, str)(text)
    except (ValueError, RecursionError):
        raise Unfit(f"{field.label}: expected {_EXPECTED[field.kind]}.") from None


def _number(text: str) -> int | float:
    """Raises ValueError, for what is infinite or no number too: in JSON that would be null, which ends a limit."""
    if text.lstrip("-").isdecimal():
        return int(text)
    found = float(text)
    if not math.isfinite(found):
        raise ValueError
    return found


def _moment(text: str) -> int:
    return dated_ms(text[:16], MINUTES)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


_READERS: dict[str, Any] = {"number": _number, "moment": _moment, "lines": _lines, "json": msgspec.json.decode}
"""JSON as the gateway reads it: no NaN, and no half of a character."""
_EXPECTED = {"number": "a number", "moment": "a date and a time", "json": "JSON", "lines": "lines"}
