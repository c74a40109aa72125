"""bench/load.c and bench/upstream.c: what happens to a byte on the way does not go unnoticed."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"
BODIES = {
    "whole": b'{"content":"serial=0000000000000000"}',
    "stream": b'{"stream":true,"content":"serial=0000000000000000"}',
}

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    for name in ("load", "upstream"):
        subprocess.run(["cc", "-Wall", "-Werror", "-o", folder / name, BENCH / f"{name}.c"], check=True, timeout=60)
    for name, body in BODIES.items():
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
async def upstream(tools: Path) -> AsyncIterator[int]:
    kinds = [f"{name}={tools / name}" for name in BODIES]
    process = await asyncio.create_subprocess_exec(tools / "upstream", "3", "1", "1000", *kinds, stdout=subprocess.PIPE)
    assert process.stdout
    yield int((await process.stdout.readline()).split()[1])
    process.kill()
    await process.wait()


async def load(tools: Path, upstream: int, kind: str, there: tuple[bytes, bytes], back: tuple[bytes, bytes]) -> Any:
    """Two requests through a relay that replaces bytes on the way there and on the way back."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(pass_on(reader, other_writer, there), pass_on(other_reader, writer, back))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: tuple[bytes, bytes]) -> None:
        while data := await reader.read(65_536):
            writer.write(data.replace(*change, 1))
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        options = [*("-p", str(port), "-b", str(tools / kind), "-n", "2"), *(["-e", "3"] if kind == "stream" else [])]
        done = await asyncio.create_subprocess_exec(
            tools / "load", *options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return json.loads((await asyncio.wait_for(done.communicate(), 20))[0])


UNTOUCHED = (b"\0", b"")


@pytest.mark.parametrize(("kind", "events"), [("whole", 0), ("stream", 6)])
async def test_what_arrives_untouched_is_right(tools: Path, upstream: int, kind: str, events: int) -> None:
    seen = await load(tools, upstream, kind, UNTOUCHED, UNTOUCHED)
    assert (seen["requests"], seen["events"]) == (2, events)
    assert (seen["errors"], seen["wrong_status"], seen["wrong_body"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", BODIES)
async def test_a_byte_changed_in_a_request_is_refused_by_the_upstream(tools: Path, upstream: int, kind: str) -> None:
    seen = await load(tools, upstream, kind, (b"content", b"contemt"), UNTOUCHED)
    assert (seen["requests"], seen["wrong_status"]) == (0, 2)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("whole", (b"gpt-mock", b"gpt-muck")),
        ("whole", (b"chatcmpl-00", b"chatcmpl-01")),
        ("stream", (b'"0000000000000001 ', b'"0000000000000002 ')),
        ("stream", (b" tokens", b" tokenz")),
        ("stream", (b'"stop"', b'"slop"')),
    ],
)
async def test_a_byte_changed_in_an_answer_is_seen(
    tools: Path, upstream: int, kind: str, change: tuple[bytes, bytes]
) -> None:
    seen = await load(tools, upstream, kind, UNTOUCHED, change)
    assert (seen["requests"], seen["wrong_body"]) == (0, 2)


async def test_broken_framing_is_an_error(tools: Path, upstream: int) -> None:
    seen = await load(tools, upstream, "stream", UNTOUCHED, (b"0\r\n\r\n", b"0\r\nX\r\n"))
    assert (seen["requests"], seen["errors"]) == (0, 2)
