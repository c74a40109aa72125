"""Replies that stand in front of another reply: what they do not change passes on."""

from __future__ import annotations

from trivium.pipeline.call import Headers, Reply


class Passing:
    """A `Reply` that hands everything to the next one."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def provisional(self) -> bool:
        return self._reply.provisional

    @property
    def started(self) -> bool:
        return self._reply.started

    async def start(self, status: int, headers: Headers) -> None:
        await self._reply.start(status, headers)

    async def write(self, data: bytes) -> None:
        await self._reply.write(data)

    async def end(self, data: bytes = b"") -> None:
        await self._reply.end(data)

    def cut(self) -> None:
        self._reply.cut()


class Copying(Passing):
    """One that takes a copy of the answer's body."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._ended = False
        """The answer went out whole."""

    def _copy(self, data: bytes) -> None:
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        self._copy(data)
        await super().write(data)

    async def end(self, data: bytes = b"") -> None:
        self._copy(data)
        await super().end(data)
        self._ended = True
