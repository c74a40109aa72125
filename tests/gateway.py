"""A gateway in front of a scripted upstream, both real and both in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from support_store import furnish
from trivium import config
from trivium.mock import Reply, Rule, Script, ScriptedUpstream
from trivium.routing.catalog import ModelEntry
from trivium.server.deps import Gateway
from trivium.server.run import Server

_PEPPER = b"the same for all gateways here: "
"""What one has put into an envelope another can open, as after a restart."""
_FREE = '[models."up/*"]\nfree = true\n'
"""Where a test is not about money, nothing costs any."""
ALL_APIS = 'apis = ["chat", "responses", "messages"]'


class Running:
    """The gateway's address, a key that opens it, and what lies behind it."""

    def __init__(self, gateway: Gateway, server: Server, url: str, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.server = server
        self.url = url
        self.upstream = upstream
        self.key = gateway.store.keys.create("test")[1]
        self.port = int(url.rpartition(":")[2])

    async def post(
        self, path: str, body: Any, *, key: str | None = "", headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, parsed JSON (or the text of a stream) and headers. `key=None` sends none."""
        key = self.key if key == "" else key
        sent = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        data = body if isinstance(body, bytes) else None
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, headers=sent, data=data, json=None if data is not None else body) as response,
        ):
            is_json = response.content_type == "application/json"
            content = await response.json() if is_json else await response.text()
            return response.status, content, {name.lower(): value for name, value in response.headers.items()}

    async def records(self) -> list[dict[str, Any]]:
        """All records, newest first, once every call has ended."""
        async with asyncio.timeout(30):
            while self.gateway.deps.in_flight.calls:  # noqa: ASYNC110 # counted by the code under test
                await asyncio.sleep(0.005)
            await asyncio.sleep(0)  # a call among many writes its record when it has its last turn
        found: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            part = await self.gateway.operations.perform("requests", {"limit": 200, "after": after})
            found += part["items"]
            after = part["next"]
        return found

    async def record(self) -> dict[str, Any]:
        """The one record there is."""
        (found,) = await self.records()
        return found

    def connect(self) -> tuple[socket.socket, bytes]:
        """A raw connection, and the header line that authenticates it."""
        return socket.create_connection(("127.0.0.1", self.port)), f"authorization: Bearer {self.key}\r\n".encode()


class PromptServer(Server):
    """Ends as soon as it is asked to; uvicorn looks ten times a second."""

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        while not (self.should_exit or ticking.done()):  # noqa: ASYNC110 # uvicorn has no event for it
            await asyncio.sleep(0.005)
        ticking.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which rests for a tenth of a second."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110 # uvicorn has no event for it
                    await asyncio.sleep(0.002)
        for task in state.tasks:
            task.cancel()


@contextlib.contextmanager
def nothing_fails_behind_an_answer() -> Iterator[None]:
    """Of a call that fails when its client has all of its answer, nobody hears but the log."""
    failed: list[str] = []

    class Failures(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.module == "protocol":
                failed.append(logging.Formatter().format(record))

    log, handler = logging.getLogger("trivium.server"), Failures(logging.ERROR)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    assert not failed, failed[0]


@contextlib.asynccontextmanager
async def running(
    *rules: Rule | Reply, settings: str = "", provider: str = ALL_APIS, script: Script | None = None, name: str = "up"
) -> AsyncIterator[Running]:
    """`settings` is TOML, `{upstream}` in it the address of the scripted one; `provider` is the content of the table of
    the provider `up`, which serves any model; `name` is another name for it."""
    ordered = [rule if isinstance(rule, Rule) else Rule(rule) for rule in rules]
    with tempfile.TemporaryDirectory() as folder, nothing_fails_behind_an_answer():
        async with ScriptedUpstream(script or Script(rules=ordered)) as upstream:
            prices = "" if "[models." in settings else _FREE
            provided = f'[providers.{name}]\nbase_url = "{upstream.url}/v1"\n{provider}\n'
            settings = settings.replace("{upstream}", upstream.url)
            auto = "" if "[auto" in settings else "[auto]\nenabled = false\n"
            text = f"{settings}\n{prices}{auto}[local]\nenabled = false\n{provided}"
            furnish(Path(folder))
            (Path(folder) / "pepper").write_bytes(_PEPPER)
            file = Path(folder) / "trivium.toml"
            file.write_text(text)
            gateway = Gateway(config.parse(text, file=file), Path(folder), {})
            await gateway.open()
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = PromptServer(gateway)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 # uvicorn has no event for it
                await asyncio.sleep(0.005)
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                yield Running(gateway, server, url, upstream)
            finally:
                server.should_exit = True
                await serving
                await server.settle()
                await gateway.close()


async def tell(gateway: Gateway, **models: tuple[ModelEntry, ...]) -> None:
    """Providers have told that they serve these models."""
    for name, told in models.items():
        gateway.lists._lists[name].models = told
    await gateway.learn()


CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RESPONSES: dict[str, Any] = {"model": "m", "input": "hi"}
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
CALLS = [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSES), ("/v1/messages", MESSAGES)]
