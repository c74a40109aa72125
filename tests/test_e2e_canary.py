"""Secrets as canaries: through every path of a gateway that logs everything, and found nowhere but at their vendor."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from gateway import CALLS
from support_cli import CommandLine
from support_telemetry import Collector, collector
from test_pipeline_own import KEY, OPEN, SONNET, named, people
from trivium.clock import SystemClock
from trivium.mock import Error, Match, Reply, Rule, Script, ScriptedUpstream
from trivium.store.store import Store
from trivium.store.users import User

CANARY = "sk-canary/7f3a+9c1e5b2d8406"
AWS_SECRET = "aws-canary/wJalrXUtnFEMI+K7MDENG"
TOKEN = "token-canary//FwoGZXIvYXdzEXAMPLE=="
REPLACED = "sk-canary-replaced-55aa55aa"
CANARIES = (CANARY, AWS_SECRET, TOKEN, REPLACED)


def spellings(canary: str) -> set[bytes]:
    """As it may stand in a file, a log or an answer: plain, in JSON, in a URL, encoded, and the half of it."""
    plain = canary.encode()
    forms = {plain, canary.replace("/", "\\/").encode(), quote(canary, safe="").encode(), plain.hex().encode()}
    return forms | {base64.b64encode(plain), plain[: len(plain) // 2 + 4], plain[len(plain) // 2 - 4 :]}


def hits(where: dict[str, bytes]) -> list[str]:
    return [
        f"{place}: {form!r}"
        for place, text in where.items()
        for canary in CANARIES
        for form in spellings(canary)
        if form in text
    ]


def test_the_search_finds_what_it_looks_for() -> None:
    assert hits({"a": b"x" + CANARY.encode(), "b": json.dumps({"k": TOKEN}).encode(), "c": b"nothing"})
    assert not hits({"c": b"nothing"})


TELLING = """
[log]
level = "debug"
format = "json"
requests = true
[telemetry.events]
url = "{url}/events"
interval = 0.1
omit = []
[telemetry.otel]
endpoint = "{url}"
interval = 0.1
"""
PLACES = ("refusing", "failing", "html", "inband", "broken", "garbage", "echoing")


def answers(secret: str) -> dict[str, Reply]:
    """What a vendor says that tells everybody which key it was called with."""
    echo = f"the key {secret}, "
    return {
        "refusing": Reply(status=401, error=Error(message=echo)),
        "failing": Reply(status=500, error=Error(message=echo)),
        "html": Reply(status=502, body=f"<html>{echo}</html>", content_type="text/html"),
        "inband": Reply(error=Error(message=echo)),
        "broken": Reply(text=echo, omit_terminal=True, chunk_bytes=5),
        "garbage": Reply(raw=f"HTTP/1.1 nonsense {echo}\r\n\r\n"),
        "echoing": Reply(text=echo, headers={"x-request-id": secret, "x-ratelimit-key": secret}),
    }


def vendor_rules() -> list[Rule]:
    """AWS's secret access key does not come to the vendor; its session token does."""
    signed = {"x-amz-security-token": TOKEN}
    rules = [Rule(reply, Match(path=f"/{place}/*", headers=signed)) for place, reply in answers(TOKEN).items()]
    return rules + [Rule(reply, Match(path=f"/{place}/*")) for place, reply in answers(CANARY).items()]


class House:
    """`trivium up` as a program of its own, and all that it, its commands and its answers say."""

    def __init__(self, folder: Path, vendor: str, telemetry: Collector) -> None:
        self.folder = folder
        self.telemetry = telemetry
        self.vendor = vendor
        self.said: dict[str, bytes] = {}
        self.data = folder / "data"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TRIVIUM_DATA": str(self.data)}
        self.env |= {"TRIVIUM_PORT": "0", "PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"}
        telling = TELLING.format(url=telemetry.url)
        (folder / "trivium.toml").write_text(f"{telling}[local]\nenabled = false\n{OPEN}")
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    async def start(self) -> None:
        self.process = self._spawned()
        until = time.monotonic() + 60
        while not (said := re.search(rb"OpenAI base URL +(http\S+)/v1\n", text := (self.folder / "log").read_bytes())):
            assert time.monotonic() < until, text
            assert self.process.poll() is None, text
            await asyncio.sleep(0.05)
        self.url = said[1].decode()

    def _spawned(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-X", "dev", "-m", "trivium", "up"]
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.env, cwd=self.folder)

    def stop(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    async def command(self, *words: str, given: str = "") -> None:
        done = await asyncio.to_thread(CommandLine(self.data), *words, given=given.encode())
        self.said[f"trivium {' '.join(words)} ({len(self.said)})"] = done.output_bytes

    async def call(self, path: str, body: dict[str, Any], key: str) -> None:
        url = self.url + path
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}) as session:
            try:
                async with session.post(url, json=body) as response:
                    head = f"{response.status} {response.raw_headers!r} "
                    said = head.encode() + await response.content.read()
            except aiohttp.ClientError as error:
                said = repr(error).encode()
        self.said[f"{path} {body['model']} ({len(self.said)})"] = said

    def everything(self) -> dict[str, bytes]:
        files = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        with contextlib.closing(sqlite3.connect(self.data / "trivium.db")) as database:
            dump = "\n".join(database.iterdump()).encode("utf-8", "surrogateescape")
        return {**self.said, **files, "the database": dump, "telemetry": self.telemetry.everything}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with ScriptedUpstream(Script(rules=vendor_rules())) as vendor, collector() as telemetry:
        made = House(tmp_path, vendor.url, telemetry)
        yield made
        made.stop(signal.SIGKILL)


async def test_no_canary_is_found_outside_its_envelope(house: House) -> None:
    store = Store(house.data, SystemClock())
    keys = {}
    for user in (*PLACES, "nobody"):
        await store.users.add(User(id=user, name=user, created_ms=1), "operator")
        keys[user] = store.keys.create(user, user_id=user)[1]
    await store.close()
    await house.start()
    for user in keys:
        url = f"{house.vendor}/{user}/v1" if user in PLACES else "http://127.0.0.1:9/v1"
        where = ["--user", user, "--base-url", url]
        for vendor in ("anthropic", "openai"):
            await house.command("byok", "add", *where, "--vendor", vendor, given=CANARY)
        (house.folder.parent / "token").write_text(TOKEN)
        aws = ["--access-key-id", "AKIDEXAMPLE000000001", "--session-token-file", str(house.folder.parent / "token")]
        await house.command("byok", "add", *where, "--vendor", "bedrock", *aws, given=AWS_SECRET)
    await house.command("byok", "set", "--user", "echoing", "--new-key", "nobody-has-this-name", given=REPLACED)
    await house.command("byok", "add", "--user", "nobody", "--vendor", "openai", "--json", given=REPLACED + " blank")
    await house.command("byok", "add", "--user", "nobody", "--vendor", "nonsense", given=REPLACED)
    for key in keys.values():
        for path, body in CALLS:
            for model in (SONNET, "openai/gpt-5", "bedrock/anthropic.claude-x"):
                for stream in (False, True):
                    await house.call(path, {**named(body, model), "stream": stream}, key)
    await house.command("secrets", "rotate", "--new", "--json")
    await house.command("byok", "list", "--user", "echoing", "--json")
    await house.command("requests", "--json", "--limit", "1000")
    (house.folder / "log").open("ab").write(b"\n--- it crashes ---\n")
    house.stop(signal.SIGABRT)
    found = house.everything()
    assert sum(text.startswith(b"200") for text in found.values()) > 20
    assert sum(b"[BYOK]" in text for text in found.values()) > 10
    assert b"it crashes" in found[str(house.folder / "log")]
    assert b"Fatal Python error: Aborted" in found[str(house.folder / "log")]
    assert b'"logger":"trivium.request"' in found[str(house.folder / "log")]
    assert len(house.telemetry.events) > 20
    assert hits(found) == []


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


async def test_a_crash_in_the_middle_of_a_call_shows_no_key(everything_logged: pytest.LogCaptureFixture) -> None:
    """Whatever a step has in its hands may end up in the text of an exception."""
    async with people(settings=OPEN) as ann:
        await ann.bring("anthropic")
        client = ann.house.gateway.deps.client

        async def send(request: Any) -> Any:
            raise RuntimeError(f"{request!r} {request} {[request]} {client}")

        client.send = send  # type: ignore[method-assign]
        for path, body in CALLS:
            status, answer, _ = await ann.house.post(path, named(body, SONNET))
            assert (status, KEY in str(answer)) == (500, False)
        records = await ann.house.records()
    assert "RuntimeError" in everything_logged.text
    assert KEY not in everything_logged.text + str(records)
