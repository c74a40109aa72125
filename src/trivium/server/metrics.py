"""`/metrics`: on the gateway's port for admin credentials of the house, or on a listener of its own for whoever reaches
it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn

from trivium.admin.credential import Credentials
from trivium.admin.face import Asked
from trivium.admin.reply import Answer, refusal
from trivium.errors import ConfigError, MethodNotAllowed, RoleMissing, TriviumError
from trivium.pipeline.call import Reply

PATH = "/metrics"
_METHODS = ("GET", "HEAD")
_ALLOW = (b"allow", b"GET, HEAD")

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
"""The metrics and their content type, for an `accept` header."""
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class MetricsPage:
    """On the gateway's port."""

    def __init__(self, scrape: Scrape, credentials: Credentials) -> None:
        self._scrape = scrape
        self._credentials = credentials

    async def serve(self, asked: Asked, reply: Reply) -> None:
        """Raises nothing but what ends the task."""
        headers = [(b"x-trivium-request-id", asked.id.encode()), (b"cache-control", b"no-store")]
        try:
            content, kind = await self._answer(asked)
            status = 200
        except TriviumError as error:
            told = refusal(error)
            status, content, kind = told.status, told.content, "application/json"
            headers += _hints(error, told)
        headers += [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(content))]
        await reply.start(status, headers)
        await reply.end(content)

    async def _answer(self, asked: Asked) -> tuple[bytes, str]:
        """Raises MethodNotAllowed, CredentialInvalid, RateLimited, RoleMissing, StoreUnavailable."""
        if asked.method not in _METHODS:
            raise MethodNotAllowed(f"{asked.method[:20]} is not possible here; use GET.")
        asking = await self._credentials.authenticate(asked.headers.get(b"authorization"), asked.client_ip)
        if not asking.actor.house:
            raise RoleMissing("Metrics are the house's: this admin credential is a user's.")
        return await self._scrape(asked.headers.get(b"accept", b"").decode("latin-1"))


class MetricsListener:
    """On a socket of its own: no credentials, and nothing else is there."""

    def __init__(self, scrape: Scrape, listen: str, further: int = 0) -> None:
        """`listen` is `HOST:PORT`, of which the port is so many further. Raises ConfigError."""
        self._scrape = scrape
        host, _, first = listen.rpartition(":")
        host, port = host.strip("[]"), int(first) + further if int(first) else 0
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except (OSError, OverflowError) as error:
            problem = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"telemetry.prometheus.listen: cannot listen on {host}:{port}: {problem}") from error
        self._server = _Server(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        )

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Ends by being cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    async def _app(self, scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
        if scope["path"] != PATH:
            await _send(send, 404, b"There is nothing here but /metrics.\n", [])
        elif scope["method"] not in _METHODS:
            await _send(send, 405, b"Use GET.\n", [_ALLOW])
        else:
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            content, kind = await self._scrape(accept)
            await _send(send, 200, content, [], kind.encode())


class _Server(uvicorn.Server):
    """Signals are the gateway's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _send(
    send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]], kind: bytes = b"text/plain"
) -> None:
    headers = [*headers, (b"content-type", kind), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _hints(error: TriviumError, told: Answer) -> list[tuple[bytes, bytes]]:
    hints = [(name.encode(), value.encode()) for name, value in told.headers.items()]
    if error.status == 401:
        hints.append((b"www-authenticate", b'Bearer realm="trivium admin"'))
    if isinstance(error, MethodNotAllowed):
        hints.append(_ALLOW)
    return hints
