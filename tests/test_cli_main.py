"""What all commands have in common."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from support_cli import CommandLine
from support_records import record
from trivium import __version__


def run(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "TRIVIUM_DATA": str(data), "LANG": "C"}
    return subprocess.run(
        [sys.executable, "-m", "trivium", *words], cwd=data.parent, env=env, capture_output=True, text=True, check=False
    )


def test_python_m_trivium_is_trivium_in_any_language(tmp_path: Path) -> None:
    done = run(tmp_path / "data", "keys", "create", "--name", "Füße")
    assert (done.returncode, done.stdout[:3]) == (0, "tv-")
    assert "Füße" in run(tmp_path / "data", "keys", "list").stdout


def test_an_error_is_one_line_on_standard_error_and_status_1(tmp_path: Path) -> None:
    done = run(tmp_path / "data", "keys", "revoke", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trivium: No live key has the id or name 'nobody'; `trivium keys list` shows them.\n"


def test_a_reader_who_has_enough_causes_no_complaint(tmp_path: Path) -> None:
    CommandLine(tmp_path / "data").keep(*(record(f"r{n}", error_message="x" * 900) for n in range(2000)))
    env = {"PATH": os.environ["PATH"], "TRIVIUM_DATA": str(tmp_path / "data")}
    words = [sys.executable, "-m", "trivium", "requests", "--json", "--limit", "2000"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("words", [["--help"], ["keys", "list"], ["usage", "--json"]])
def test_output_for_which_there_is_no_room_is_one_line_of_error(tmp_path: Path, words: list[str]) -> None:
    env = {"PATH": os.environ["PATH"], "TRIVIUM_DATA": str(tmp_path / "data")}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trivium", *words], env=env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"trivium: [Errno 28] No space left on device\n")


def test_version_and_help(trivium: CommandLine) -> None:
    assert trivium("--version").stdout == f"trivium, version {__version__}\n"
    shown = trivium("-h").stdout
    for command in ("keys", "mock", "requests", "up", "usage", "wire"):
        assert f"\n  {command} " in shown
        assert trivium(command, "--help").exit_code == 0


def test_the_mock_needs_no_script() -> None:
    words = [sys.executable, "-m", "trivium", "mock", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        url = re.findall(r"listening on (\S+)", process.stdout.readline())[0]
        body = b'{"model": "any", "messages": [{"role": "user", "content": "Hello."}]}'
        with urllib.request.urlopen(f"{url}/v1/chat/completions", body) as answer:
            assert "You said: Hello." in answer.read().decode()
        process.terminate()


def test_a_script_of_the_mock_that_is_none_is_one_line(trivium: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[[rules]]\nreply = 3")
    for script in ("s.toml", "gone.toml"):
        assert script in trivium.refusal("mock", "--port", "0", "--script", script)
