"""The log: lines of text or of JSON, with the request they belong to and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from support_records import record
from trivium.telemetry import logs
from trivium.telemetry.hub import Ended
from trivium.telemetry.logs import REQUEST, RequestLog
from trivium.telemetry.redaction import REDACTION


@pytest.fixture(autouse=True)
def log_of_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    REDACTION.hide(())


def lines(captured: pytest.CaptureFixture[str]) -> list[str]:
    return captured.readouterr().err.splitlines()


def test_text_names_time_level_source_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    log = logging.getLogger("trivium.x")
    log.info("nobody's")
    token = REQUEST.set("req_1")
    log.warning("somebody's")
    log.error("admin request %s", "req_1")
    REQUEST.reset(token)
    log.debug("unheard")
    first, second, third = lines(capsys)
    assert first.endswith(" INFO trivium.x: nobody's")
    assert second.endswith(" WARNING trivium.x: req_1: somebody's")
    assert third.endswith(" ERROR trivium.x: admin request req_1")


def test_no_stranger_writes_a_line_of_his_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    logging.getLogger("trivium.x").info(
        "model %s", "m\n2026-01-01 00:00:00 INFO trivium: all is well\x1b[2J\x9b2J\u2028x"
    )
    (line,) = lines(capsys)
    assert r"m\x0a2026" in line
    assert not {"\x1b", "\x9b", "\u2028"} & {*line}
    try:
        raise ValueError("m\n2026-01-01 00:00:00 INFO trivium: all is well\x1b[2J")
    except ValueError:
        logging.getLogger("trivium.x").exception("it failed")
    first, *trace = lines(capsys)
    assert first.endswith("it failed")
    assert all(line.startswith("  ") for line in trace)
    assert "\x1b" not in "".join(trace)


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    token = REQUEST.set("req_1")
    try:
        raise ValueError("with\nlines")
    except ValueError:
        logging.getLogger("trivium.x").exception("failed for %r", "a\nb")
    REQUEST.reset(token)
    (line,) = lines(capsys)
    told = json.loads(line)
    assert told["time"].endswith("Z")
    assert (told["level"], told["logger"], told["message"]) == ("error", "trivium.x", r"failed for 'a\nb'")
    assert told["request_id"] == "req_1"
    assert told["exception"].endswith("ValueError: with\nlines")


def test_of_several_workers_each_says_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        logs.set_up("info", form, 2)
        logging.getLogger("trivium.x").info("all is well")
    text, line = lines(capsys)
    assert text.endswith(" INFO trivium.x: worker 2: all is well")
    assert json.loads(line)["worker"] == 2


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_do_not_go_out_in_messages_and_traces(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", form)
    REDACTION.hide(["house/secret+1"])
    try:
        raise RuntimeError("upstream said: tv-0123456789ABCDEF is no key; house/secret+1")
    except RuntimeError:
        logging.getLogger("trivium.x").exception("with %s", {"authorization": "Bearer q"})
    said = capsys.readouterr().err
    assert "0123456789ABCDEF" not in said
    assert "secret+1" not in said
    assert "Bearer q" not in said
    assert "RuntimeError" in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_nor_do_those_that_begin_a_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", form)
    logging.getLogger("trivium.x").info("up refuses: %s", "Incorrect key:\nsk-ant-api03-0123456789abcdef\tis none")
    (line,) = lines(capsys)
    assert "sk-ant" not in line
    assert "***" in line


def test_requests_are_lines_with_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    done = record("req_2", provider="up", upstream_model="m", total_us=1500, cost_nano=7, prompt_prefix="secret words")
    RequestLog().take([Ended(done, None), Ended(record("req_3", outcome="refused", status=401), None)])
    first, second = map(json.loads, lines(capsys))
    assert first["message"] == "req_2 messages success 200 1500 us, up/m"
    assert (first["request_id"], first["total_us"], first["cost_nano"]) == ("req_2", 1500, 7)
    assert "secret words" not in str(first)
    assert (second["message"], second["status"]) == ("req_3 messages refused 401 0 us", 401)
