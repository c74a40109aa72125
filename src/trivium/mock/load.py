"""Script files: TOML or JSON by their suffix, checked whole before anything listens."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trivium.errors import ConfigError
from trivium.mock.script import Citation, Error, Generation, Match, Model, Reply, Rule, Script, ToolCall, Usage

_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": msgspec.json.decode}
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": Script,
    "rules": Rule,
    "match": Match,
    "reply": Reply,
    "default": Reply,
    "tool_calls": ToolCall,
    "citations": Citation,
    "usage": Usage,
    "error": Error,
    "models": Model,
    "generations": Generation,
}
"""By the last name in a key: to say which keys it could have had."""
_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")


def load_script(path: Path) -> Script:
    """Raises ConfigError, which names the file, the key (`rules[0].reply.status`) and what was expected."""
    try:
        script = msgspec.convert(_parse(path), Script)
    except msgspec.ValidationError as complaint:
        raise ConfigError(f"{path}: {_explain(str(complaint))}") from None
    rules = [
        msgspec.structs.replace(rule, reply=_located(rule.reply, path, f"rules[{position}].reply"))
        for position, rule in enumerate(script.rules)
    ]
    default = script.default and _located(script.default, path, "default")
    return msgspec.structs.replace(script, rules=rules, default=default)


def _parse(path: Path) -> Any:
    parse = _PARSERS.get(path.suffix)
    if parse is None:
        raise ConfigError(f"{path}: expected a file name that ends in .toml or .json")
    try:
        return parse(path.read_text("utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: cannot be read: {failure.strerror}") from None
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: expected {path.suffix[1:].upper()}: {failure}") from None


def _explain(complaint: str) -> str:
    found = _COMPLAINT.fullmatch(complaint)
    what, key = (found["what"], found["key"] or "") if found else (complaint, "")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is None:
        return f"{key or 'the script'}: {what[:1].lower()}{what[1:]}"
    table = _TABLES[re.sub(r"\[.*?\]", "", key).rpartition(".")[2]]
    full = f"{key}.{unknown['name']}" if key else unknown["name"]
    return f"{full}: unknown key; expected one of {', '.join(table.__struct_fields__)}"


def _located(reply: Reply, script: Path, key: str) -> Reply:
    """The reply with its `file` found from the script's folder."""
    if reply.file is None:
        return reply
    file = script.parent / reply.file
    if not file.is_file():
        raise ConfigError(f"{script}: {key}.file: expected a file at {file}")
    return msgspec.structs.replace(reply, file=str(file))
