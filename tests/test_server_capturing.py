"""Bodies on their way to the store: settings that make no sense, what is counted, and the end of a gateway."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway import CHAT, Running, running
from support_store import rows
from test_pipeline_capture import ON, REPLY, captured_key
from test_server_readings import read
from trivium import config
from trivium.errors import ConfigError
from trivium.pipeline import settle
from trivium.server.parts import check_whole

PATH = "/v1/chat/completions"


async def call(house: Running, key: str) -> None:
    assert (await house.post(PATH, CHAT, key=key))[0] == 200
    await house.records()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[capture]\nhide = ["okay", "(no"]', "t.toml:2: capture.hide.1: no pattern"),
        ("[capture]\nretention_days = 0", "t.toml:2: capture.retention_days"),
        ("[capture]\nmax_body_bytes = 99999999", "t.toml:2: capture.max_body_bytes"),
    ],
)
def test_settings_that_make_no_sense_stop_the_start_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_whole(config.parse(text, "t.toml"), tmp_path, {})
    assert raised.value.message.startswith(said)


async def test_what_became_of_them_is_counted_where_any_are_kept() -> None:
    async with running(REPLY) as house:
        assert "trivium_captures_total" not in read(house)
    async with running(REPLY, settings=ON) as house:
        await call(house, await captured_key(house))
        await house.gateway.capturing.flush()
        told = read(house)
        assert told["trivium_captures_total"] == {("kept",): 1, ("lost",): 0}
        assert told["trivium_captures_waiting_bytes"] == {(): 0}


async def test_what_waits_at_the_end_of_a_gateway_is_written() -> None:
    async with running(REPLY, settings=ON) as house:
        key = await captured_key(house)
        for _ in range(40):
            await call(house, key)
        await house.gateway.capturing.close()
        assert rows(house.gateway.store.database, "SELECT count(*) FROM captures") == [(40,)]


async def test_a_machine_without_threads_loses_bodies_and_no_record(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with running(REPLY, settings=ON) as house:
        key, capturing = await captured_key(house), house.gateway.capturing
        with monkeypatch.context() as then:
            then.setattr(threading.Thread, "start", start)
            assert (await house.post(PATH, CHAT, key=key))[0] == 200
        assert len(await house.records()) == 1
        await call(house, key)
        await capturing.flush()
        assert (dict(capturing.counts), capturing.waiting) == ({"kept": 1, "lost": 1}, 0)
        assert "can't start new thread" in caplog.text


async def test_a_record_that_cannot_be_made_leaves_no_bodies_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(REPLY, settings=ON) as house:
        key, capturing = await captured_key(house), house.gateway.capturing
        with monkeypatch.context() as then:
            then.setattr(settle, "record_of", None)
            await house.post(PATH, CHAT, key=key)
        await capturing.flush()
        assert capturing.waiting == 0


async def test_bodies_that_cannot_be_read_harm_no_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(REPLY, settings=ON) as house:
        key, capturing = await captured_key(house), house.gateway.capturing
        with monkeypatch.context() as then:
            then.setattr(capturing, "_text", None)
            await call(house, key)
            await capturing.flush()
        await call(house, key)
        await capturing.flush()
        assert (dict(capturing.counts), capturing.waiting) == ({"kept": 1, "lost": 1}, 0)
        assert "they could not be read" in caplog.text
