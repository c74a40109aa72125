"""Script files: TOML and JSON say the same, and what is wrong is said with file, key and expectation."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivium.errors import ConfigError
from trivium.mock import Match, Reply, Rule, Script, ToolCall, load_script

TOML = """
[[rules]]
times = 2
match = { api = "chat", has_tool_result = false }
reply = { text = ["Hel", "lo"], tool_calls = [{ name = "look", arguments = { at = 1 } }] }
"""
JSON = """{"rules": [{"times": 2, "match": {"api": "chat", "has_tool_result": false},
  "reply": {"text": ["Hel", "lo"], "tool_calls": [{"name": "look", "arguments": {"at": 1}}]}}]}"""


def written(folder: Path, text: str, name: str = "script.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(("text", "name"), [(TOML, "s.toml"), (JSON, "s.json")])
def test_both_formats_have_the_structure_of_the_values(text: str, name: str, tmp_path: Path) -> None:
    reply = Reply(text=["Hel", "lo"], tool_calls=[ToolCall("look", {"at": 1})])

    assert load_script(written(tmp_path, text, name)) == Script(
        [Rule(reply, Match(api="chat", has_tool_result=False), times=2)]
    )


def test_a_file_is_found_from_the_folder_of_the_script(tmp_path: Path) -> None:
    written(tmp_path, "data: 1\n\n", "capture.sse")
    script = load_script(written(tmp_path, '[default]\nfile = "capture.sse"\n[[rules]]\nreply.file = "capture.sse"'))

    assert script.default is not None
    assert script.default.file == script.rules[0].reply.file == str(tmp_path / "capture.sse")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[rules]]\nreply.delay_ms = 'slow'", "rules[0].reply.delay_ms: expected `float`, got `str`"),
        ("[[rules]]\nreply.status = 99", "rules[0].reply.status: expected `int` >= 200"),
        ("[[rules]]\nmatch.api = 'gemini'", "rules[0].match.api: invalid enum value 'gemini'"),
        ("[[rules]]\ntimes = 1", "rules[0]: object missing required field `reply`"),
        ("[[rules]]\nreply.tex = 'Hi'", "rules[0].reply.tex: unknown key; expected one of text, reasoning,"),
        ("[default.usage]\ninputs = 1", "default.usage.inputs: unknown key; expected one of input, cache_read,"),
        ("default.citations = [{ uri = '' }]", "default.citations[0].uri: unknown key; expected one of url, title"),
        (
            "default.tool_calls = [{ name = 'f', kind = 'custom' }]",
            "default.tool_calls[0]: expected a string as the `arguments` of a custom call",
        ),
        ("generations = [{ id = '', after = 1 }]", "generations[0].after: unknown key; expected one of id, record,"),
        ("rule = []", "rule: unknown key; expected one of rules, default, models, generations, keep"),
        ("[[rules]]\nreply = { body = '', raw = '' }", "rules[0].reply: expected one of `body`, `raw`"),
        ("[[rules]]\nreply.file = 'gone.sse'", "rules[0].reply.file: expected a file at"),
        ("rules = [", "expected TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_file_key_and_expectation(text: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        load_script(path)
    assert raised.value.message.startswith(f"{path}: {complaint}")


def test_a_file_of_another_kind_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a file name that ends in \.toml or \.json"):
        load_script(written(tmp_path, "", "script.yaml"))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_script(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="expected JSON: "):
        load_script(written(tmp_path, "{", "script.json"))
