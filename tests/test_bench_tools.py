"""bench/load.c and bench/upstream.c: what happens to a byte on the way does not go unnoticed."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"
BODIES = {
    "whole": b'{"model":"m","content":"serial=0000000000000000 one"}',
    "stream": (
        b'{"model":"m","system":"a text that must\\narrive as it is","stream":true,'
        b'"content":"serial=0000000000000000 other"}'
    ),
}
WORDS = {"whole": ['"completion_tokens":140'], "stream": ['"finish_reason":"stop"', "[DONE]"]}

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
    async with provider(tools) as port:
        yield port


@pytest.fixture
async def loose(tools: Path) -> AsyncIterator[int]:
    """The upstream that asks what a request says, not how it is written."""
    async with provider(tools, "-l") as port:
        yield port


KEY = "Authorization: Bearer sk-ours"


@pytest.fixture
async def keyed(tools: Path) -> AsyncIterator[int]:
    """The upstream that has a key, and is asked by gateways whose clients' begin with `tv-`."""
    async with provider(tools, "-k", "sk-ours", "-x", "tv-") as port:
        yield port


@contextlib.asynccontextmanager
async def provider(tools: Path, *options: str) -> AsyncIterator[int]:
    kinds = [f"{name}={tools / name}" for name in BODIES]
    process = await asyncio.create_subprocess_exec(
        tools / "upstream", *options, "3", "1", "1000", *kinds, stdout=subprocess.PIPE
    )
    assert process.stdout
    yield int((await process.stdout.readline()).split()[1])
    process.kill()
    await process.wait()


async def load(
    tools: Path, upstream: int, kind: str, there: tuple[bytes, bytes], back: tuple[bytes, bytes], *more: str
) -> Any:
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
        options = [
            "-p",
            str(port),
            "-b",
            str(tools / kind),
            "-n",
            "2",
            *(["-e", "3"] if kind == "stream" else []),
            *more,
        ]
        done = await asyncio.create_subprocess_exec(
            tools / "load", *options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return json.loads((await asyncio.wait_for(done.communicate(), 20))[0])


UNTOUCHED = (b"\0", b"")


def counts(upstream: int) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{upstream}/counts", timeout=20) as answer:
        return json.load(answer)


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
    ("kind", "change", "wrong"),
    [
        ("whole", (b"gpt-mock", b"gpt-muck"), "body"),
        ("whole", (b"chatcmpl-00", b"chatcmpl-01"), "body"),
        ("whole", (b'"000000000000000', b'"000000000000001'), "body"),
        ("stream", (b"00000001 ", b"00000002 "), "body"),
        ("stream", (b" tokens", b" tokenz"), "body"),
        ("stream", (b'"stop"', b'"slop"'), "body"),
        ("whole", (b"application/json", b"text/plain"), "type"),
        ("whole", (b"content-type", b"x-content-type"), "type"),
        ("stream", (b"text/event-stream", b"application/json"), "type"),
    ],
)
async def test_a_change_in_an_answer_is_seen(
    tools: Path, upstream: int, kind: str, change: tuple[bytes, bytes], wrong: str
) -> None:
    seen = await load(tools, upstream, kind, UNTOUCHED, change)
    assert {name: seen[name] for name in ("requests", "wrong_body", "wrong_type") if seen[name]} == {
        f"wrong_{wrong}": 2
    }


async def test_broken_framing_is_an_error(tools: Path, upstream: int) -> None:
    seen = await load(tools, upstream, "stream", UNTOUCHED, (b"0\r\n\r\n", b"0\r\nX\r\n"))
    assert (seen["requests"], seen["errors"]) == (0, 2)


@pytest.mark.parametrize("key", [KEY, "AUTHORIZATION: bearer sk-ours"])
async def test_the_upstream_takes_its_own_key(tools: Path, keyed: int, key: str) -> None:
    seen = await load(tools, keyed, "whole", UNTOUCHED, UNTOUCHED, "-H", key)
    assert (seen["requests"], seen["wrong_status"]) == (2, 0)
    assert counts(keyed) == {"requests": 2, "wrong": 0, "wrong_key": 0, "wrong_type": 0, "cut": 0}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization: Bearer sk-another"],
        ["Authorization: Bearer sk-ours-and-more"],
        ["Authorization: sk-ours"],
        ["x-api-key: sk-ours"],
        [KEY, "Authorization: Bearer sk-another"],
        [KEY, "x-api-key: sk-another"],
        [KEY, "x-client: Bearer tv-mine"],
    ],
)
async def test_another_key_or_the_clients_is_refused_by_the_upstream(
    tools: Path, keyed: int, headers: list[str]
) -> None:
    options = [word for header in headers for word in ("-H", header)]
    seen = await load(tools, keyed, "whole", UNTOUCHED, UNTOUCHED, *options)
    assert (seen["requests"], seen["wrong_status"]) == (0, 2)
    assert counts(keyed) == {"requests": 2, "wrong": 0, "wrong_key": 2, "wrong_type": 0, "cut": 0}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_request_that_does_not_say_it_is_json_is_refused_by_the_upstream(
    tools: Path, upstream: int, kind: str
) -> None:
    seen = await load(tools, upstream, kind, (b"application/json", b"application/jsonl"), UNTOUCHED)
    assert (seen["requests"], seen["wrong_status"]) == (0, 2)
    assert counts(upstream) == {"requests": 2, "wrong": 0, "wrong_key": 0, "wrong_type": 2, "cut": 0}


def words(kind: str) -> list[str]:
    return [option for word in WORDS[kind] for option in ("-w", word)]


ANEW = [UNTOUCHED, (b'"content":', b'"CONTENT":'), (b"chatcmpl-00", b"an-id-of-my")]


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("change", ANEW)
async def test_a_gateway_may_write_anew_what_is_said(
    tools: Path, loose: int, kind: str, change: tuple[bytes, bytes]
) -> None:
    there, back = (change, UNTOUCHED) if change[0].startswith(b'"') else (UNTOUCHED, change)
    seen = await load(tools, loose, kind, there, back, *words(kind))
    assert (seen["requests"], seen["events"]) == (2, 6 if kind == "stream" else 0)
    assert (seen["errors"], seen["wrong_status"], seen["wrong_body"]) == (0, 0, 0)


@pytest.mark.parametrize("change", [(b"arrive", b"depart"), (b'"m"', b'"n"'), (b" other", b" othem")])
async def test_a_gateway_may_not_say_something_else(tools: Path, loose: int, change: tuple[bytes, bytes]) -> None:
    seen = await load(tools, loose, "stream", change, UNTOUCHED, *words("stream"))
    assert (seen["requests"], seen["wrong_status"]) == (0, 2)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("whole", (b'"000000000000000', b'"000000000000001')),
        ("whole", (b'"completion_tokens":140', b'"completion_tokens":141')),
        ("stream", (b"00000001 ", b"00000000 ")),
        ("stream", (b'"0000000', b'"0000001')),
        ("stream", (b" tokens", b" tokenz")),
        ("stream", (b'"stop"', b'"slop"')),
        ("stream", (b"[DONE]", b"[GONE]")),
    ],
)
async def test_an_answer_that_says_something_else_is_seen(
    tools: Path, loose: int, kind: str, change: tuple[bytes, bytes]
) -> None:
    seen = await load(tools, loose, kind, UNTOUCHED, change, *words(kind))
    assert (seen["requests"], seen["wrong_body"]) == (0, 2)


async def test_keys_are_sent_in_turn(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("X-Key: one\nX-Key: two\nX-Key: six\n")
    seen: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODIES["whole"]))
                seen.extend(line for line in head.split(b"\r\n") if line.startswith(b"X-"))
                writer.write(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        options = ["-p", port, "-b", str(tools / "whole"), "-n", "4", "-K", str(tmp_path / "keys"), "-H", "X-More: 1"]
        done = await asyncio.create_subprocess_exec(tools / "load", *options, stderr=subprocess.DEVNULL)
        await asyncio.wait_for(done.wait(), 20)
    more = b"X-More: 1"
    assert seen == [more, b"X-Key: two", more, b"X-Key: six", more, b"X-Key: one", more, b"X-Key: two"]
