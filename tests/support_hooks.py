"""Where alerts arrive in tests: a server for webhooks, and one for mail."""

from __future__ import annotations

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any


class Hook:
    """Answers each POST with a status and some words; None: it never does."""

    def __init__(self, status: int | None = 200, body: str = "") -> None:
        self.status, self.body = status, body
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/services/secret-path"

    async def __aenter__(self) -> Hook:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value for name, _, value in lines}
                body = await reader.readexactly(int(headers["content-length"]))
                self.headers.append(headers)
                self.bodies.append(json.loads(body))
                if self.status is None:
                    await reader.read()
                    return
                writer.write(
                    f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\n\r\n{self.body}".encode()
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class MailServer:
    """Speaks as much of SMTP as a mail takes. `says` replaces what it answers to a command, by its first word or all of
    it."""

    def __init__(
        self,
        says: dict[str, str] | None = None,
        *,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._says, self._starttls, self._tls = says or {}, starttls, tls
        self.heard: list[str] = []
        """Commands, in clear and behind TLS; those behind it begin with `TLS `."""
        self.mails: list[str] = []

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> MailServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = self._tls is not None
        writer.write(b"220 mail.test\r\n")
        try:
            while line := (await reader.readline()).decode().strip():
                word = line.split(" ")[0].upper()
                self.heard.append(f"{'TLS ' if secure else ''}{line}")
                if word == "DATA":
                    writer.write(b"354 go on\r\n")
                    self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                offers = "\r\n250-STARTTLS" if self._starttls is not None and not secure else ""
                usual = {
                    "EHLO": f"250-mail.test{offers}\r\n250 AUTH PLAIN",
                    "AUTH": "235 in",
                    "STARTTLS": "220 now",
                    "QUIT": "221 bye",
                }
                said = self._says.get(line.upper(), self._says.get(word, usual.get(word, "250 fine")))
                writer.write(f"{said}\r\n".encode())
                if word == "STARTTLS" and self._starttls is not None:
                    await writer.start_tls(self._starttls)
                    secure = True
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
