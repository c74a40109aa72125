"""`trivium up` as a person starts it, with the real embedded model behind it and the official SDKs in front."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from support_sdks import CHAT, MESSAGES, RESPONSES, STREAMED, WAYS, Clients, clients, recorded
from trivium.server import control
from trivium.upstream.local import LocalModel
from trivium.upstream.local_model import CONTEXT, MODEL

ABSENT = LocalModel(Path()).available()
pytestmark = pytest.mark.skipif(ABSENT is not None, reason=ABSENT or "")

PATIENCE = 60.0
"""Seconds for what takes two: the machine may be busy."""
ASKED = [way for way in WAYS if "sync" not in way]


class Up(NamedTuple):
    """A running gateway, seen from outside."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    @property
    def key(self) -> str:
        return (self.folder / "bootstrap.key").read_text().strip()

    def clients(self) -> contextlib.AbstractAsyncContextManager[Clients]:
        return clients(self.url, self.key)

    def records(self, limit: int = 1) -> list[dict[str, Any]]:
        """The newest first."""
        found: list[dict[str, Any]] = control.ask(self.folder, "requests", {"limit": limit})["items"]
        return found

    def totals(self) -> tuple[int, int, int]:
        """Requests, input and output tokens so far."""
        rows = control.ask(self.folder, "usage", {"by": ["model"]})
        requests, inputs, outputs = (
            sum(row[name] for row in rows) for name in ("requests", "input_tokens", "output_tokens")
        )
        return requests, inputs, outputs

    def children(self) -> list[str]:
        """The model's processes: their command lines name the folder."""
        listed = subprocess.run(["ps", "-axwwo", "command="], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if "local_child" in line and str(self.folder) in line]


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Up]:
    ours = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    env = {**ours, "HOME": str(folder), "TRIVIUM_DATA": str(folder), "TRIVIUM_PORT": "0"}
    command = [sys.executable, "-m", "trivium", "up"]
    with (folder / "up.log").open("w+") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            yield Up(process, _url(process, folder / "up.log"), folder)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _url(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.strip().startswith("Anthropic base URL"):
                return line.split()[-1]
        time.sleep(0.05)
    raise AssertionError(f"`trivium up` is not ready:\n{log.read_text()}")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    with started(folder) as gateway:
        yield gateway
    shutil.rmtree(folder)  # the weights are large


async def test_every_sdk_gets_words_and_the_records_tell_the_tokens_it_saw(up: Up) -> None:
    before = up.totals()
    seen = []
    async with up.clients() as on:
        for way in ASKED:
            seen.append(await WAYS[way](on, MODEL))
            (record,) = up.records()
            assert seen[-1].text.strip()
            assert (way, *recorded(record)) == (way, *seen[-1][1:])
            assert (record["outcome"], record["provider"], record["stream"]) == (
                "success",
                "local",
                way.endswith(STREAMED),
            )
    requests, inputs, outputs = (now - then for now, then in zip(up.totals(), before, strict=True))
    assert requests == len(ASKED)
    assert (inputs, outputs) == (sum(answer.input for answer in seen), sum(answer.output for answer in seen))


async def test_the_stream_of_responses_has_all_that_the_sdks_accumulator_reads(up: Up) -> None:
    async with up.clients() as on, on.openai.responses.stream(model=MODEL, **RESPONSES) as stream:
        events: list[Any] = [event async for event in stream]
        final = await stream.get_final_response()
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {(event.output_index, event.content_index) for event in deltas} == {(0, 0)}
    assert final.output_text == "".join(event.delta for event in deltas)
    assert [event.type for event in (events[0], events[-1])] == ["response.created", "response.completed"]


async def test_an_answer_ends_before_the_models_own_next_question(up: Up) -> None:
    async with up.clients() as on:
        plain = await on.anthropic.messages.create(model=MODEL, **MESSAGES)
        other = await on.anthropic.messages.create(model=MODEL, stop_sequences=["zzz"], **MESSAGES)
        chat = await on.openai.chat.completions.create(model=MODEL, stop="zzz", **CHAT)
    for message in (plain, other):
        assert message.stop_sequence is None
        assert message.stop_reason in ("end_turn", "max_tokens")  # it says what it likes, and as much
        assert not [part for part in message.content if part.type == "text" and "\nQuestion:" in part.text]
    assert "\nQuestion:" not in (chat.choices[0].message.content or "")


async def test_tokens_are_counted_as_the_answer_will_count_them(up: Up) -> None:
    async with up.clients() as on:
        counted = await on.anthropic.messages.count_tokens(model=MODEL, messages=MESSAGES["messages"])
        message = await on.anthropic.messages.create(model=MODEL, **MESSAGES)
        counted_too = await on.openai.responses.input_tokens.count(model=MODEL, input=RESPONSES["input"])
        response = await on.openai.responses.create(model=MODEL, **RESPONSES)
    assert counted.input_tokens == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    assert response.usage is not None
    assert counted_too.input_tokens == response.usage.input_tokens


async def test_both_vendors_sdks_find_the_model(up: Up) -> None:
    async with up.clients() as on:
        found = ["auto/free", "auto/small", MODEL]
        assert [model.id async for model in on.openai.models.list()] == found
        assert [model.id async for model in on.anthropic.models.list()] == found
        told = {model.id: model.model_dump() async for model in on.openai.models.list()}
        assert told[MODEL]["context_length"] == CONTEXT


async def test_all_three_apis_are_served_at_once(up: Up) -> None:
    async with up.clients() as on:
        seen = await asyncio.gather(*(WAYS[way](on, MODEL) for way in ("chat", "responses", "messages")))
    assert sorted(map(recorded, up.records(3))) == sorted(answer[1:] for answer in seen)


async def test_it_embeds_beside_chat_and_vectors_have_its_dimension_and_a_length_of_one(up: Up) -> None:
    texts = ["a cat sits on the mat", "a kitten lies on the rug", "the stock market fell today"]
    async with up.clients() as on:
        answer, chat = await asyncio.gather(
            on.openai.embeddings.create(model=f"local/{MODEL}", input=texts), WAYS["chat"](on, MODEL)
        )
        floats = await on.openai.embeddings.create(model=MODEL, input=texts, encoding_format="float")
        tokens = await on.openai.embeddings.create(model=MODEL, input=[1, 2, 3], dimensions=640)
        with pytest.raises(openai.BadRequestError, match="vectors of 640 numbers alone"):
            await on.openai.embeddings.create(model=MODEL, input="a", dimensions=64)
    cat, kitten, market = vectors = [entry.embedding for entry in answer.data]
    assert [len(vector) for vector in vectors] == [640] * 3
    assert [round(math.hypot(*vector), 5) for vector in vectors] == [1.0] * 3
    assert _alike(cat, kitten) > _alike(cat, market)
    assert _alike(floats.data[0].embedding, cat) > 0.999
    assert (chat.text.strip() != "", len(tokens.data[0].embedding)) == (True, 640)
    records = [record for record in up.records(10) if record["api"] == "embeddings"]
    assert {(one["provider"], one["cost_nano"], one["output_tokens"]) for one in records} <= {("local", 0, 0)}
    assert answer.usage.prompt_tokens in {record["input_uncached_tokens"] for record in records}


def _alike(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_a_client_that_leaves_is_recorded_and_the_model_goes_on_answering(up: Up) -> None:
    async with up.clients() as on:
        long = {**CHAT, "max_completion_tokens": 1000}
        stream: Any = await on.openai.chat.completions.create(model=MODEL, stream=True, **long)
        await anext(aiter(stream))
        await stream.close()
        assert (await WAYS["chat"](on, MODEL)).text
    assert sorted(record["outcome"] for record in up.records(2)) == ["aborted", "success"]


def test_a_gateway_that_is_killed_leaves_no_model_behind(up: Up, tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(up.folder / "cache")
    with started(tmp_path) as gateway:
        assert len(gateway.children()) == 1
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while gateway.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert gateway.children() == []
    assert len(up.children()) == 1


def test_a_gateway_that_is_asked_to_stop_stops_in_order(up: Up, tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(up.folder / "cache")
    with started(tmp_path) as gateway:
        gateway.process.terminate()
        assert gateway.process.wait(PATIENCE) == 0
        assert gateway.children() == []
