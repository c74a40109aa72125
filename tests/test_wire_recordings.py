"""Recorded traffic of many providers, where it lies beside the project: every recording is read, and rules hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.conventions import conventions_for
from trivium.canon.events import Begin, End, Event, ToolCallBegin, ToolCallDelta, UsageReport
from trivium.canon.fold import fold
from trivium.operations.wire import as_json, as_text, read_capture
from trivium.wire.codec import stream_decoder
from trivium.wire.eventstream import FrameParser
from trivium.wire.sse import SseParser

WIRE = Path(__file__).resolve().parents[2] / "shared" / "wire"
RECORDINGS = sorted(path.parent for api in Api for path in (WIRE / "recordings" / api.short).glob("*/*/meta.json"))
SYNTHETIC = sorted(WIRE.glob("synthetic/*.*"))

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recordings at ../shared/wire")


def api_of(folder: Path) -> Api:
    return Api.parse(folder.parts[-3])


def body_of(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.stem == "response")


def each(*suffixes: str) -> pytest.MarkDecorator:
    folders = [folder for folder in RECORDINGS if body_of(folder).suffix in suffixes]
    return pytest.mark.parametrize("folder", folders, ids=lambda path: "/".join(path.parts[-3:]))


recorded, streamed, whole = each(".json", ".sse", ".bin", ".txt"), each(".sse", ".bin"), each(".json")


def events_of(folder: Path, chunk: int) -> list[Event]:
    data = body_of(folder).read_bytes()
    parser = FrameParser() if body_of(folder).suffix == ".bin" else SseParser()
    decoder = stream_decoder(api_of(folder), conventions_for(folder.parts[-2]))
    found = [
        event for at in range(0, len(data), chunk) for event in parser.feed(data[at : at + chunk])
    ] + parser.close()
    events = [told for event in found for told in decoder.decode(event)] + decoder.close()
    assert decoder.malformed == 0
    return events


@recorded
def test_a_recording_is_read_and_its_usage_adds_up(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    answer = read_capture(body_of(folder).read_bytes(), api_of(folder), folder.parts[-2])
    json.dumps(as_json(answer))
    assert as_text(answer, folder.name)
    assert meta["status"] < 400 or answer.error
    assert answer.finish != "unknown"
    usage = answer.usage
    if usage:
        assert min(usage.input_uncached, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) >= 0
        assert usage.reasoning <= usage.output


@streamed
def test_a_recorded_stream_keeps_the_order_of_events(folder: Path) -> None:
    events = events_of(folder, 65536)
    assert events_of(folder, 61) == events
    begun: set[int] = set()
    for event in events:
        if isinstance(event, ToolCallBegin):
            begun.add(event.index)
        assert not isinstance(event, ToolCallDelta) or event.index in begun
    if any(isinstance(event, End) for event in events) and not any(
        isinstance(event, Begin) and event.restarted for event in events
    ):
        last = max(at for at, event in enumerate(events) if isinstance(event, End))
        assert all(isinstance(event, UsageReport) for event in events[last + 1 :])


@whole
def test_a_recorded_answer_agrees_with_what_its_json_plainly_says(folder: Path) -> None:
    said: dict[str, Any] = json.loads(body_of(folder).read_bytes())
    answer = read_capture(body_of(folder).read_bytes(), api_of(folder), folder.parts[-2])
    if api_of(folder) is Api.CHAT and said.get("choices"):
        message = said["choices"][0].get("message") or {}
        assert answer.text == (message.get("content") or message.get("refusal") or "")
        assert [call.name for call in answer.tool_calls] == [
            call["function"]["name"] for call in message.get("tool_calls") or []
        ]
    elif api_of(folder) is Api.MESSAGES and said.get("type") == "message":
        assert answer.text == "".join(block["text"] for block in said["content"] if block["type"] == "text")
        assert len(answer.tool_calls) == sum(block["type"] == "tool_use" for block in said["content"])
    elif said.get("object") == "response":
        assert len(answer.tool_calls) == sum(item["type"] == "function_call" for item in said["output"])


@pytest.mark.parametrize("path", SYNTHETIC, ids=lambda path: path.name)
def test_a_composed_failure_is_seen(path: Path) -> None:
    answer = read_capture(path.read_bytes(), Api.parse(path.name.split(".")[0]), "openrouter")
    good = ("multiline-data", "usage-cost", "args-only")
    assert (answer.error is None) == any(name in path.name for name in good)


def test_streams_spliced_together_are_read_as_the_last_of_them() -> None:
    folders = [folder for folder in RECORDINGS if "spliced" in folder.name]
    for folder in folders:
        answer = fold(events_of(folder, 4096))
        assert answer.finish == "tool_calls"
        assert len(answer.tool_calls) == 1
