"""The double as a server: where it listens, how it stops, what it leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from test_mock_player import EVENTS, THREE, connect, exchange, playing, request
from trivium.errors import OperationError
from trivium.mock import Reply, Rule, Script, ScriptedUpstream, serve


async def test_it_listens_on_a_free_port_and_gives_it_back() -> None:
    async with ScriptedUpstream() as upstream:
        assert (await exchange(upstream))[0].startswith(b"HTTP/1.1 200")
    with pytest.raises(ConnectionRefusedError):
        await connect(upstream)


async def test_a_port_in_use_and_a_file_out_of_reach_are_said(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        port = urlsplit(upstream.url).port
        assert port is not None
        with pytest.raises(OperationError, match="cannot start"):
            await serve(Script(), "127.0.0.1", port, None)
    with pytest.raises(OperationError, match="cannot start"):
        await serve(Script(), "127.0.0.1", 0, tmp_path / "none" / "record.jsonl")


async def test_stopping_cuts_what_is_under_way_and_records_it_as_aborted(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    script = Script([Rule(Reply(sse=THREE, event_delay_ms=3_600_000))])
    async with ScriptedUpstream(script, record=record) as upstream:
        reader, writer = await connect(upstream)
        writer.write(request())
        await reader.readuntil(EVENTS[0])
    assert upstream.requests[0].ending == "aborted"
    writer.close()

    lines = [msgspec.json.decode(line) for line in record.read_bytes().splitlines()]
    assert [(line["ending"], line["sent_events"], line["json"]["model"]) for line in lines] == [("aborted", 1, "m")]


async def test_the_record_file_is_appended_to(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    for _ in range(2):
        async with ScriptedUpstream(record=record) as upstream:
            await exchange(upstream)
            await upstream.wait_for_endings(1)

    assert len(record.read_bytes().splitlines()) == 2


async def test_forgetting_does_not_start_the_script_afresh() -> None:
    script = Script([Rule(Reply(body="first"), times=1)], default=Reply(body="later"))
    async with ScriptedUpstream(script) as upstream:
        assert (await exchange(upstream))[1] == b"first"
        upstream.forget()
        assert upstream.requests == []
        assert (await exchange(upstream))[1] == b"later"


async def test_one_can_wait_for_arrivals_and_for_endings() -> None:
    async with playing(sse=THREE, abort="stall", abort_after_events=1) as upstream:
        peers = [await connect(upstream) for _ in range(2)]
        for _, writer in peers:
            writer.write(request())
        assert len(await upstream.wait_for_requests(2)) == 2
        peers[1][1].close()
        (ended,) = await upstream.wait_for_endings(1)
        assert ended.ending == "client_closed"
        assert [seen.ending for seen in upstream.requests].count(None) == 1
        peers[0][1].close()


async def test_serving_goes_on_until_it_is_cancelled(tmp_path: Path) -> None:
    async with ScriptedUpstream() as spare:
        port = urlsplit(spare.url).port
    assert port is not None
    serving = asyncio.create_task(serve(Script(default=Reply(body="here")), "127.0.0.1", port, None))
    while True:
        try:
            _, body = await exchange(spare)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert body == b"here"
    with pytest.raises(ConnectionRefusedError):
        await connect(spare)
