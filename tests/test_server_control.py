"""The operator's door: a socket in the data folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trivium.errors import OperationError, StoreUnavailable
from trivium.server import control


async def echo(operation: str, arguments: dict[str, Any]) -> Any:
    return [operation, arguments]


@contextlib.asynccontextmanager
async def open_door(folder: Path, perform: control.Perform = echo) -> AsyncIterator[asyncio.Server]:
    door = await control.serve(folder, perform)
    try:
        yield door
    finally:
        door.close()


async def ask(folder: Path, operation: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(control.ask, folder, operation, arguments)


async def write(folder: Path, *lines: bytes) -> list[bytes]:
    """Raw lines to the door, a line back for each."""

    def talk() -> list[bytes]:
        handle = os.open(folder, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"/proc/self/fd/{handle}/{control.NAME}")
            os.close(handle)
            with client.makefile("rwb") as stream:
                answers = []
                for line in lines:
                    stream.write(line + b"\n")
                    stream.flush()
                    answers.append(stream.readline())
                return answers

    return await asyncio.to_thread(talk)


async def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    async with open_door(tmp_path):
        assert await ask(tmp_path, "usage", by=["é\u2028"], since=None) == ["usage", {"by": ["é\u2028"], "since": None}]


async def test_only_the_owner_may_knock(tmp_path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)
    async with open_door(tmp_path):
        mode = (tmp_path / control.NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert mode & 0o777 == 0o600
    after = os.umask(before)
    assert after == before


async def test_a_path_longer_than_sockets_allow_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    folder.mkdir(parents=True)
    async with open_door(folder):
        assert await ask(folder, "hello") == ["hello", {}]


@pytest.mark.parametrize("folder", ["empty", "missing", "missing/deep"])
async def test_where_nobody_listens_the_connection_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConnectionRefusedError):
        control.ask(tmp_path / folder, "usage", {})


async def test_the_socket_of_a_dead_owner_refuses_and_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / control.NAME))
    with pytest.raises(ConnectionRefusedError):
        control.ask(tmp_path, "usage", {})
    async with open_door(tmp_path):
        assert await ask(tmp_path, "hello") == ["hello", {}]


async def test_a_refusal_comes_back_as_an_operation_error(tmp_path: Path) -> None:
    async def refuse(operation: str, arguments: dict[str, Any]) -> Any:
        raise {"a": OperationError("No."), "b": StoreUnavailable("Not now.", detail="disk full")}[operation]

    async with open_door(tmp_path, refuse):
        with pytest.raises(OperationError, match=r"^No\.$"):
            await ask(tmp_path, "a")
        with pytest.raises(OperationError, match=r"^Not now\."):
            await ask(tmp_path, "b")


async def test_why_the_store_cannot_be_read_is_told_too(tmp_path: Path) -> None:
    async def refuse(operation: str, arguments: dict[str, Any]) -> Any:
        raise StoreUnavailable("Not now.", detail="disk full")

    async with open_door(tmp_path, refuse):
        with pytest.raises(OperationError) as raised:
            await ask(tmp_path, "a")
    assert "disk full" in f"{raised.value.message} {raised.value.detail}"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"operation":3}', b'{"arguments":{}}', b'{"operation":"a","arguments":[]}', b"\xff"]
)
async def test_what_is_no_question_is_said_to_be_none_and_the_next_is_heard(tmp_path: Path, line: bytes) -> None:
    async with open_door(tmp_path):
        refused, heard = await write(tmp_path, line, b'{"operation":"hello"}')
    assert refused.startswith(b'{"error":"not a question: ')
    assert heard == b'{"result":["hello",{}]}\n'


@pytest.mark.parametrize("line", [b'{"operation":"\xff"}', b'{"operation":"a","arguments":{"a":' + b"[" * 100_000])
async def test_what_is_no_json_in_other_ways_is_answered_too(tmp_path: Path, line: bytes) -> None:
    async with open_door(tmp_path):
        (refused,) = await write(tmp_path, line)
    assert refused.startswith(b'{"error":')


async def test_questions_and_answers_may_be_long(tmp_path: Path) -> None:
    async with open_door(tmp_path):
        assert (await ask(tmp_path, "hello", text="x" * 3_000_000))[1] == {"text": "x" * 3_000_000}


async def test_many_may_ask_at_once(tmp_path: Path) -> None:
    waiting = 0
    all_here = asyncio.Event()

    async def wait_for_the_others(operation: str, arguments: dict[str, Any]) -> Any:
        nonlocal waiting
        waiting += 1
        if waiting == 4:
            all_here.set()
        await all_here.wait()
        return operation

    async with open_door(tmp_path, wait_for_the_others):
        assert await asyncio.gather(*(ask(tmp_path, name) for name in "abcd")) == list("abcd")


async def test_an_operation_that_breaks_is_an_error_for_who_asked(tmp_path: Path) -> None:
    async def break_off(operation: str, arguments: dict[str, Any]) -> Any:
        raise RuntimeError("bug")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with open_door(tmp_path, break_off):
        with pytest.raises(OperationError):
            await ask(tmp_path, "a")


async def test_a_value_that_the_database_does_not_take_is_told(tmp_path: Path) -> None:
    async def refuse(operation: str, arguments: dict[str, Any]) -> Any:
        raise ValueError("text cannot contain NUL bytes")

    async with open_door(tmp_path, refuse):
        (told,) = await write(tmp_path, b'{"operation":"a"}')
        assert b'"status":400' in told


async def test_who_hangs_up_disturbs_nobody(tmp_path: Path) -> None:
    async with open_door(tmp_path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / control.NAME))
            client.sendall(b'{"operation":')
        assert await ask(tmp_path, "hello") == ["hello", {}]
