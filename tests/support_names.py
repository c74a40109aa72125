"""A name server on UDP whose answers change from question to question, a resolver that asks it, and listeners that
count who connects to them."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from trivium.upstream.guard import AddrInfo

_A, _AAAA = 1, 28
_FAMILIES = {_A: socket.AF_INET, _AAAA: socket.AF_INET6}


class NameServer(asyncio.DatagramProtocol):
    """`names` has, by name, the rounds of answers: each look-up hears the next one, and the last one for ever."""

    def __init__(self) -> None:
        self.names: dict[str, list[tuple[str, ...]]] = {}
        self.asked: list[str] = []
        self._told: dict[tuple[str, int], int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        name, end = _name(data, 12)
        kind = struct.unpack_from("!H", data, end)[0]
        if kind == _A:
            self.asked.append(name)
        rounds = self.names.get(name)
        number = self._told.get((name, kind), 0)
        self._told[name, kind] = number + 1
        addresses = rounds[min(number, len(rounds) - 1)] if rounds else ()
        said = [bytes_ for text in addresses if (bytes_ := _packed(text, kind))]
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one for one in said)
        status = 0x8180 if rounds else 0x8183
        head = data[:2] + struct.pack("!HHHHH", status, 1, len(said), 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + records, addr)


class Asking(asyncio.DatagramProtocol):
    """Resolves by asking a name server, A and AAAA, as the C library does."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._ids = itertools.count(1)

    async def __call__(self, host: str, port: int) -> Sequence[AddrInfo]:
        found: list[AddrInfo] = []
        for kind, family in _FAMILIES.items():
            for address in await self._ask(host, kind):
                place = (address, port) if family == socket.AF_INET else (address, port, 0, 0)
                found.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    async def _ask(self, host: str, kind: int) -> list[str]:
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Answer(heard), remote_addr=self._server)
        labels = b"".join(bytes([len(label)]) + label for label in host.encode("idna").split(b"."))
        head = struct.pack("!HHHHHH", next(self._ids) & 0xFFFF, 0x0100, 1, 0, 0, 0)
        try:
            transport.sendto(head + labels + b"\0" + struct.pack("!HH", kind, 1))
            return _addresses(await asyncio.wait_for(heard, 2))
        finally:
            transport.close()


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, heard: asyncio.Future[bytes]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._heard.set_result(data)


class Listeners:
    """Listen on one port of several addresses and count connections. They answer with `answer`, then close."""

    def __init__(self) -> None:
        self.port = 0
        self.counts: dict[str, int] = {}
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        self.heads: list[bytes] = []
        self._servers: list[asyncio.Server] = []

    async def listen(self, *addresses: str) -> None:
        for address in addresses:
            self.counts[address] = 0

            async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on: str = address) -> None:
                self.counts[on] += 1
                try:
                    self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(self.answer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(accepted, address, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    def close(self) -> None:
        for server in self._servers:
            server.close()


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, Asking]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server, Asking(transport.get_extra_info("sockname"))
    finally:
        transport.close()


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels), at + 1


def _packed(text: str, kind: int) -> bytes | None:
    address = ipaddress.ip_address(text)
    return address.packed if (address.version == 4) == (kind == _A) else None


def _addresses(data: bytes) -> list[str]:
    count = struct.unpack_from("!H", data, 6)[0]
    _, at = _name(data, 12)
    at += 4
    found = []
    for _ in range(count):
        size = struct.unpack_from("!H", data, at + 10)[0]
        found.append(str(ipaddress.ip_address(data[at + 12 : at + 12 + size])))
        at += 12 + size
    return found
