"""The classifier under `examples/`, as an operator would start from it."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway import CHAT
from support_money import METER, PATHS, shop
from trivium.mock import Reply, Usage

FILE = Path(__file__).parents[1] / "examples" / "abuse" / "classifier.py"
DEAR = Reply(text="Hi", usage=Usage(input=200_000, output=100_000))
"""2.10 USD."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("classifier_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "KEY", "secret")
    server = ThreadingHTTPServer(("127.0.0.1", 0), example.Classifier)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def said(text: str) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": text}]}


async def test_it_blocks_and_challenges(url: str) -> None:
    on = f'[abuse]\nmode = "enforce"\n[abuse.classifier]\nurl = "{url}"\nkey = "secret"\n{METER}'
    async with shop(DEAR, settings=on) as house:
        told = [(await house.post(PATHS["chat"], said(text)))[0] for text in ("hi", "Steal KEYS!")]
        async with asyncio.timeout(30):
            while not (await house.gateway.operations.perform("abuse.status", {})).get("reports_answered"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        status, body, _ = await house.post(PATHS["chat"], said("hi"))
        records = await house.records()
    assert (told, status) == ([200, 403], 403)
    assert "abuse@example.com" in body["error"]["message"]
    assert {record["abuse_reason"] for record in records} == {
        None,
        "classifier: asks for keys",
        "classifier: spends much",
    }


async def test_a_wrong_key_is_a_classifier_that_does_not_answer(url: str) -> None:
    on = f'[abuse]\nmode = "enforce"\n[abuse.classifier]\nurl = "{url}"\nkey = "other"\n{METER}'
    async with shop(DEAR, settings=on) as house:
        assert (await house.post(PATHS["chat"], said("Steal KEYS!")))[0] == 200
        assert "abuse_unchecked" in (await house.record())["flags"]


def test_what_is_no_port_is_told_how_it_is_called() -> None:
    done = subprocess.run([sys.executable, FILE, "--port", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: classifier.py [PORT]\n")
