"""`trivium wire`: captures on the command line, read and translated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support_cli import CommandLine

CHAT = (
    b'data: {"id":"c1","model":"m","choices":[{"delta":{"content":"Hi \x1b[31m"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"cost":0.50}}\n\ndata: [DONE]\n\n'
)
WHOLE = (
    b'{"type":"message","id":"msg_1","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"max_tokens"}'
)


@pytest.fixture
def trivium(trivium: CommandLine, tmp_path: Path) -> CommandLine:
    (tmp_path / "a.sse").write_bytes(CHAT)
    (tmp_path / "b.sse").write_bytes(CHAT.replace(b"c1", b"c2"))
    return trivium


def test_a_capture_for_the_eye(trivium: CommandLine) -> None:
    out = trivium("wire", "read", "--api", "chat", "a.sse").stdout
    assert out.startswith("a.sse\n")
    for said in ("c1 m", "stop", "Hi \\x1b[31m", "input 3, output 2", "cost 0.5 USD"):
        assert said in out


def test_one_object_a_file_one_a_line_as_json(trivium: CommandLine) -> None:
    result = trivium("wire", "read", "--api", "chat", "--json", "a.sse", "b.sse")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["id"], second["id"]) == ("c1", "c2")
    assert (first["finish"], first["text"], first["reported_cost_usd"]) == ("stop", "Hi \x1b[31m", "0.5")
    assert (first["usage"]["input"], first["usage"]["output"], first["error"]) == (3, 2, None)


def test_standard_input(trivium: CommandLine) -> None:
    result = trivium("wire", "read", "--api", "messages", "--json", "-", given=WHOLE)
    assert json.loads(result.stdout)["finish"] == "length"


def test_a_provider_counts_in_its_own_way(trivium: CommandLine) -> None:
    body = b'{"choices":[{"message":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,'
    body += b'"completion_tokens_details":{"reasoning_tokens":5}}}'
    outputs = []
    for flags in ([], ["--provider", "xai"]):
        result = trivium("wire", "read", "--api", "chat", "--json", *flags, "-", given=body)
        outputs.append(json.loads(result.stdout)["usage"]["output"])
    assert outputs == [2, 7]


def test_a_provider_that_nobody_knows_is_said_to_be_none(trivium: CommandLine) -> None:
    for name, told in (
        ("xia", "No provider is known as 'xia'; tokens are counted as the API's owner does.\n"),
        ("xai", ""),
    ):
        result = trivium("wire", "read", "--api", "messages", "--json", "--provider", name, "-", given=WHOLE)
        assert (result.exit_code, result.stderr) == (0, told)
        assert json.loads(result.stdout)["finish"] == "length"


def test_what_cannot_be_read_is_one_line(trivium: CommandLine) -> None:
    assert trivium.refusal("wire", "read", "--api", "chat", "gone.sse") == (
        "trivium: gone.sse: No such file or directory"
    )
    assert "Is a directory" in trivium.refusal("wire", "read", "--api", "chat", ".")
    assert trivium("wire", "read", "--api", "gemini", "a.sse").exit_code == 2
    assert trivium("wire", "read", "--api", "chat").exit_code == 2


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"data: {\n\n", b"[" * 100_000], ids=["empty", "odd", "cut", "deep"]
)
def test_any_bytes_are_an_answer_or_an_error_inside_one(trivium: CommandLine, content: bytes) -> None:
    for api in ("chat", "responses", "messages"):
        result = trivium("wire", "read", "--api", api, "--json", "-", given=content)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["error"]


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_shown(trivium: CommandLine) -> None:
    result = trivium("wire", "read", "--api", "chat", "--json", "gone.sse", "a.sse")
    assert (result.exit_code, json.loads(result.stdout)["id"]) == (1, "c1")
    assert result.stderr.startswith("trivium: gone.sse: ")


REQUEST = b'{"model":"m","max_tokens":90,"top_k":3,"container":"c","messages":[{"role":"user","content":"Hi"}]}'


def test_a_request_in_another_api_and_what_is_lost_of_it(trivium: CommandLine) -> None:
    result = trivium("wire", "translate", "--from", "messages", "--to", "responses", "--request", "-", given=REQUEST)
    said = json.loads(result.stdout)
    assert (said["max_output_tokens"], said["input"][0]["content"][0]["text"]) == (90, "Hi")
    assert [json.loads(line)["field"] for line in result.stderr.splitlines()] == ["container", "top_k"]


def test_a_stream_in_another_api(trivium: CommandLine) -> None:
    result = trivium("wire", "translate", "--from", "chat", "--to", "messages", "--stream", "a.sse")
    assert result.stdout.startswith("event: message_start\n")
    assert result.stdout.endswith('data: {"type":"message_stop"}\n\n')


def test_what_cannot_be_translated_is_one_line(trivium: CommandLine) -> None:
    words = ("wire", "translate", "--from", "chat", "--to", "messages")
    assert trivium(*words, "a.sse").exit_code == 2
    assert "n" in trivium.refusal(*words, "--request", "gone.json")
    asked = b'{"model":"m","n":2,"messages":[{"role":"user","content":"Hi"}]}'
    result = trivium(*words, "--request", "-", given=asked)
    assert (result.exit_code, result.stderr.startswith("trivium: `n` is 2")) == (1, True)
