"""`trivium up` as a process of its own: how it starts, and every way in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support_cli import CommandLine
from trivium import config
from trivium.cli.up import Console
from trivium.errors import TriviumError
from trivium.mock import Model, Reply, Rule, Script, ScriptedUpstream
from trivium.operations.sessions import address_of
from trivium.server import run
from trivium.server.deps import Gateway

_SOURCES = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
"""Where a process finds the same program as this one, if that is not installed."""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CHAT, "stream": True}


class Up:
    """A gateway's process, once it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, banner: str) -> None:
        self.process = process
        self.banner = banner
        self.url = re.findall(r"Anthropic base URL +(\S+)", banner)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.key = re.findall(r"API key +(\S+)", banner)[0]
        self.curls = [line.strip() for line in banner.splitlines() if line.startswith("  curl ")]

    @contextlib.asynccontextmanager
    async def asked(self, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"x-api-key": self.key}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
            session.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            yield response

    async def ended(self) -> tuple[int, str]:
        """Exit status and what was logged."""
        async with asyncio.timeout(60):
            _, errors = await self.process.communicate()
            return await self.process.wait(), errors.decode()

    async def stopped(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return await self.ended()

    async def until_it_refuses(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                except ConnectionRefusedError:
                    return
                except ConnectionResetError:
                    pass  # it was in the queue of those that are accepted when that came to its end
                await asyncio.sleep(0.02)


class House:
    """A data folder, a configuration, and an upstream in the test's own loop."""

    def __init__(self, folder: Path, upstream: ScriptedUpstream) -> None:
        self.data = folder / "data"
        self.file = folder / "trivium.toml"
        self.upstream = upstream
        self.trivium = CommandLine(self.data)
        self.configure()

    def configure(self, server: str = "port = 0", provider: str = 'models = ["m"]', url: str | None = None) -> None:
        lines = ["[server]", server, "[local]", "enabled = false", "[providers.up]"]
        lines += [f'base_url = "{url or self.upstream.url}/v1"', 'apis = ["chat", "responses", "messages"]', provider]
        self.file.write_text("\n".join(lines))

    async def launch(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trivium", "up", "--config", str(self.file),
            env={"PATH": os.environ["PATH"], "TRIVIUM_DATA": str(self.data), **_SOURCES},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Up]:
        process = await self.launch()
        try:
            assert process.stdout is not None
            banner = ""
            async with asyncio.timeout(60):
                while not re.search("v1/messages -H|none is known by name", banner):
                    line = (await process.stdout.readline()).decode()
                    assert line, banner
                    banner += line
            yield Up(process, banner)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def refusal(self) -> str:
        """The one line with which it does not start."""
        process = await self.launch()
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
        assert process.returncode == 1
        (line,) = errors.decode().splitlines()
        assert line.startswith("trivium: ")
        return line

    async def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await asyncio.to_thread(self.trivium.json, "requests")
        return found


@contextlib.asynccontextmanager
async def house(folder: Path, *replies: Reply, models: tuple[str, ...] = ("m",)) -> AsyncIterator[House]:
    script = Script(rules=[Rule(reply) for reply in replies], models=[Model(name) for name in models])
    async with ScriptedUpstream(script) as upstream:
        yield House(folder, upstream)


async def test_it_says_ready_and_shows_lines_that_work_when_they_are_pasted(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="hello")) as home, home.up() as gateway:
        assert gateway.banner.splitlines()[:2] == [
            f"data in {home.data}",
            "no embedded model: switched off in the configuration",
        ]
        assert "\nready\n" in gateway.banner
        assert len(gateway.curls) == 3
        if shutil.which("curl") is None:
            pytest.skip("there is no curl")
        for line in gateway.curls:
            shell = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=-1, stderr=-1)
            out, _ = await shell.communicate()
            assert b"hello" in out
        assert [record["status"] for record in await home.requests()] == [200] * 3


async def test_the_bootstrap_key_stays_the_same_until_it_is_revoked_and_then_stays_revoked(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.up() as gateway:
            key = gateway.key
            assert (home.data / "bootstrap.key").read_text() == key + "\n"
            assert (home.data / "bootstrap.key").stat().st_mode & 0o777 == 0o600
            assert await gateway.stopped() == (0, "")
        async with home.up() as gateway:
            assert gateway.key == key
            async with gateway.asked(CHAT) as response:
                assert response.status == 200
            await asyncio.to_thread(home.trivium.json, "keys", "revoke", "bootstrap")
            async with gateway.asked(CHAT) as response:
                assert response.status == 401
        async with home.up() as gateway:
            assert "revoked; make one with: " in gateway.banner
            assert " -m trivium keys create" in gateway.banner
            gateway.key = key
            async with gateway.asked(CHAT) as response:
                assert response.status == 401


async def test_a_second_one_on_the_same_data_and_one_on_a_taken_port_are_refused_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.up() as gateway:
        pid = gateway.process.pid
        assert await home.refusal() == f"trivium: The data folder {home.data} is in use by process {pid}."
        home.data = tmp_path / "other"
        home.configure(f"port = {gateway.port}")
        place = f"server.host, server.port: cannot listen on 127.0.0.1:{gateway.port}"
        assert (await home.refusal()).startswith(f"trivium: {place}: Address already in use")
        async with gateway.asked(CHAT) as response:
            assert response.status == 200


async def test_a_wrong_configuration_is_refused_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.configure(provider="key = 'env:NOPE'")
        assert await home.refusal() == (
            f"trivium: {home.file}:8: providers.up.key: the environment variable NOPE is not set"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_a_stream_finish_takes_no_more_calls_and_ends_with_status_0(
    tmp_path: Path, number: int
) -> None:
    async with house(tmp_path, Reply(text=["w "] * 20, event_delay_ms=50)) as home:
        async with home.up() as gateway, gateway.asked(STREAM) as response:
            got = await response.content.readany()
            gateway.process.send_signal(number)
            await gateway.until_it_refuses()
            assert gateway.process.returncode is None
            got += await response.content.read()
            assert got.count(b"w ") == 20
            assert got.endswith(b"data: [DONE]\n\n")
            assert await gateway.ended() == (0, "")
        (record,) = await home.requests()
    assert (record["outcome"], record["status"], record["finish_reason"]) == ("success", 200, "stop")


async def test_sighup_has_the_configuration_read_again_and_no_stream_notices(tmp_path: Path) -> None:
    slow = Reply(text=["w "] * 20, event_delay_ms=50)
    async with house(tmp_path, slow) as home, home.up() as gateway, gateway.asked(STREAM) as response:
        got = await response.content.readany()
        home.configure(provider='models = ["other"]')
        gateway.process.send_signal(signal.SIGHUP)
        status = None
        async with asyncio.timeout(60):
            while status != 200:
                async with gateway.asked({**CHAT, "model": "other"}) as answered:
                    status = answered.status
        got += await response.content.read()
        assert got.count(b"w ") == 20
        assert (await gateway.stopped())[0] == 0


async def test_sighup_ends_no_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    async with house(tmp_path) as home:
        home.configure(f"port = {port}")
        process = await home.launch()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                await asyncio.sleep(0.005)
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while line := await process.stdout.readline():
                if b"v1/messages -H" in line:
                    break
        writer.close()
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(("command", "lives"), [("up", True), ("usage", False)])
def test_sighup_is_ignored_from_the_first_import_on_by_what_stays(command: str, lives: bool) -> None:
    usual = "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # whatever the tests were started with
    program = f"{usual}; import trivium.cli; os.kill(os.getpid(), signal.SIGHUP)"
    ended = subprocess.run([sys.executable, "-c", program, command], check=False, env={**os.environ, **_SOURCES})
    assert ended.returncode == (0 if lives else -signal.SIGHUP)


async def test_sighup_at_the_end_costs_no_record(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="hi")) as home:
        async with home.up() as gateway:
            other = sqlite3.connect(home.data / "trivium.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            async with gateway.asked(CHAT) as response:
                assert response.status == 200
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.until_it_refuses()
            for _ in range(20):
                gateway.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(0.05)
            other.close()
            assert (await gateway.ended())[0] == 0
        (record,) = await home.requests()
    assert record["outcome"] == "success"


async def test_when_the_grace_is_over_a_stream_is_cut_and_recorded_as_aborted(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text=["w "] * 2000, event_delay_ms=20)) as home:
        home.configure("port = 0\nshutdown_grace = 1")
        async with home.up() as gateway, gateway.asked(STREAM) as response:
            await response.content.readany()
            gateway.process.send_signal(signal.SIGTERM)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()
            status, _ = await gateway.ended()
            assert status == 0
        (seen,) = await home.upstream.wait_for_endings(1)
        assert seen.ending == "client_closed"
        (record,) = await home.requests()
    assert (record["outcome"], record["status"], record["stream"]) == ("aborted", 200, 1)


async def test_what_could_not_be_stored_is_in_the_log_and_the_exit_status_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="hi")) as home:
        home.configure("port = 0\nshutdown_grace = 1")
        async with home.up() as gateway:
            other = sqlite3.connect(home.data / "trivium.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            async with gateway.asked(CHAT) as response:
                assert response.status == 200
            status, log = await gateway.stopped()
            other.close()
        assert (status, "record not stored" in log) == (1, True)
        assert log.endswith("trivium: Not everything could be stored at the end; the log has what it was.\n")


async def test_a_grace_of_less_than_a_second_is_one(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text=["w "] * 10, event_delay_ms=30)) as home:
        home.configure("port = 0\nshutdown_grace = 0.99")
        async with home.up() as gateway, gateway.asked(STREAM) as response:
            await response.content.readany()
            gateway.process.send_signal(signal.SIGTERM)
            assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


async def test_after_a_kill_the_database_opens_with_all_that_was_stored_before(tmp_path: Path) -> None:
    async with house(tmp_path, Reply(text="one two", event_delay_ms=20)) as home:
        async with home.up() as gateway:
            for _ in range(5):
                async with gateway.asked(CHAT) as response:
                    assert response.status == 200
            before = await home.requests()
            async with gateway.asked(STREAM) as response:
                await response.content.readany()
                gateway.process.kill()
                await gateway.ended()
        assert len(before) == 5
        async with home.up() as gateway:
            async with gateway.asked(CHAT) as response:
                assert response.status == 200
            after = await home.requests()
        assert [record["id"] for record in after[1:]] == [record["id"] for record in before]


async def test_it_starts_while_its_providers_are_away(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.configure(provider="", url="http://127.0.0.1:9")
        async with home.up() as gateway, gateway.asked(CHAT) as response:
            assert response.status == 502


async def test_the_lines_name_a_model_that_the_provider_lists(tmp_path: Path) -> None:
    async with house(tmp_path, models=("listed",)) as home:
        home.configure(provider="")
        async with home.up() as gateway:
            assert '"model":"listed"' in shlex.split(gateway.curls[0])[-1]


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
def test_a_host_that_is_not_ours_is_a_config_error(host: str) -> None:
    settings = config.parse(f"[server]\nhost = '{host}'\nport = 0")
    with pytest.raises(TriviumError, match=re.escape(f"cannot listen on {host}:0: ")), run._listening(settings):
        pass


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_that_is_shown_can_be_called(host: str, shown: str) -> None:
    with run._listening(config.parse(f"[server]\nhost = '{host}'\nport = 0")) as listener:
        url = address_of(*listener.getsockname()[:2])
        assert re.fullmatch(rf"http://{re.escape(shown)}:\d+", url)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as client:
            client.connect((shown.strip("[]"), listener.getsockname()[1]))


async def test_what_keeps_it_from_getting_ready_ends_it(tmp_path: Path) -> None:
    (tmp_path / "bootstrap.key").mkdir()
    settings = config.parse("[local]\nenabled = false\n[server]\nport = 0")
    with run._listening(settings) as listener, pytest.raises((TriviumError, IsADirectoryError)):
        async with asyncio.timeout(30):
            await run._serve(settings, tmp_path, {}, listener, Console(), run.Alone())


def test_a_soft_block_that_leads_nowhere_stops_the_start(tmp_path: Path) -> None:
    text = (
        "[local]\nenabled = false\n[providers.a]\nbase_url = 'http://h'\nmodels = ['m']\n[abuse]\nsoft_block_model = "
    )
    with pytest.raises(TriviumError, match=r"t\.toml:7: abuse\.soft_block_model: leads to 'n': no provider has it\Z"):
        Gateway(config.parse(text + "'n'", "t.toml"), tmp_path, {})


async def test_a_default_model_that_nobody_has_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "[local]\nenabled = false\n[providers.a]\nbase_url = 'http://h'\nmodels = ['m']\n[catalog]\n"
    await Gateway(config.parse(text + "default_model = 'n'", "t.toml"), tmp_path, {}).close()
    assert "t.toml:7: catalog.default_model: leads to 'n': no provider has it" in caplog.text


def test_an_alias_that_leads_nowhere_stops_the_start(tmp_path: Path) -> None:
    text = "[local]\nenabled = false\n[providers.a]\nbase_url = 'http://h'\nmodels = ['m']\n[aliases]\nfast = 'b/m'"
    with pytest.raises(
        TriviumError, match=r"t\.toml:7: aliases\.fast: leads to 'b/m': there is no provider 'b'; .* a\Z"
    ):
        Gateway(config.parse(text, "t.toml"), tmp_path, {})
