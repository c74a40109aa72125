"""What the mendings make of the embedded server's own streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import AsyncOpenAI

from gateway import RESPONSES, running
from trivium.canon.api import Api
from trivium.mock import Reply
from trivium.providers import builtin
from trivium.providers.quirks import mending

FIXTURES = Path(__file__).parent / "fixtures" / "local"


def mended(name: str) -> list[dict[str, Any]]:
    mend = mending(frozenset({"responses-numbering"}), Api.RESPONSES)
    assert mend is not None
    events = [event + "\n\n" for event in (FIXTURES / name).read_text().split("\n\n") if event]
    return [json.loads(mend(event.encode()).partition(b"data: ")[2]) for event in events]


@pytest.mark.parametrize("name", ["responses.sse", "responses_tool.sse"])
def test_events_are_numbered_and_items_keep_their_index(name: str) -> None:
    events = mended(name)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    indexes: dict[str, set[int]] = {}
    for event in events:
        if item_id := event.get("item_id") or event.get("item", {}).get("id"):
            indexes.setdefault(item_id, set()).add(event["output_index"])
    assert [index for (index,) in indexes.values()] == list(range(len(indexes)))
    assert all(event["response"]["output"] is not None for event in events if "response" in event)


def test_other_apis_and_unreadable_events_stay_as_they_are() -> None:
    assert mending(frozenset({"responses-numbering"}), Api.CHAT) is None
    mend = mending(frozenset({"responses-numbering"}), Api.RESPONSES)
    assert mend is not None
    for event in (b": keep-alive\n\n", b"data: {broken\n\n", b"data: [1]\n\n"):
        assert mend(event) == event
    odd: list[dict[str, Any]] = [{"item_id": []}, {"item": {"id": {}}}, {"item_id": 7}]
    for item in odd:
        assert json.loads(mend(b"data: %b\n\n" % json.dumps(item).encode())[6:]).items() >= item.items()


@pytest.mark.parametrize("name", ["responses.json", "responses_tool.json"])
def test_a_whole_response_has_what_a_streamed_one_has(name: str) -> None:
    mend = mending(frozenset({"responses-numbering"}), Api.RESPONSES)
    assert mend is not None
    said = json.loads(mend.whole((FIXTURES / name).read_bytes()))
    assert {*mended(name.replace(".json", ".sse"))[-1]["response"]} <= {*said}
    assert (said["tools"], said["tool_choice"], said["parallel_tool_calls"]) == ([], "auto", True)
    assert said["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert said["usage"]["input_tokens_details"]["cached_tokens"] > 0
    for other in ((FIXTURES / "input_tokens.json").read_bytes(), b"{broken", b"[]"):
        assert mend.whole(other) == other


@pytest.mark.parametrize(
    ("quirk", "stop", "said"),
    [
        ("embedded-stops", "\n\nQuestion:", ("end_turn", None)),
        ("embedded-stops", "END", ("stop_sequence", "END")),
        ("messages-stops", "\n\nQuestion:", ("stop_sequence", "\n\nQuestion:")),
    ],
)
def test_a_stop_sequence_is_told_where_the_client_named_it(quirk: str, stop: str, said: tuple[str, str | None]) -> None:
    mend = mending(frozenset({quirk}), Api.MESSAGES)
    assert mend is not None
    there, here = json.dumps("\n\nQuestion:").encode(), json.dumps(stop).encode()
    whole = json.loads(mend.whole((FIXTURES / "messages.json").read_bytes().replace(there, here)))
    stream = (FIXTURES / "messages.sse").read_bytes().replace(there, here).split(b"\n\n")[:-1]
    events = [json.loads(mend(event + b"\n\n").partition(b"data: ")[2]) for event in stream]
    (delta,) = (event["delta"] for event in events if event["type"] == "message_delta")
    for one in (whole, delta):
        assert (one["stop_reason"], one["stop_sequence"]) == said


@pytest.mark.parametrize("name", ["messages_tool", "messages_length"])
def test_other_ends_stay_as_they_are(name: str) -> None:
    mend = mending(frozenset({"embedded-stops"}), Api.MESSAGES)
    assert mend is not None
    whole, stream = ((FIXTURES / f"{name}.{ending}").read_bytes() for ending in ("json", "sse"))
    assert mend.whole(whole) == whole
    assert [mend(event) for event in stream.split(b"\n\n")] == stream.split(b"\n\n")


@pytest.mark.parametrize("name", ["responses.sse", "responses_tool.sse"])
async def test_the_sdks_helper_accepts_a_mended_stream(name: str) -> None:
    async with running(Reply(file=str(FIXTURES / name))) as house:
        provider = house.gateway.providers["up"]
        house.gateway.providers["up"] = msgspec.structs.replace(provider, quirks=builtin.embedded("m").quirks)
        await house.gateway.learn()
        async with (
            AsyncOpenAI(base_url=f"{house.url}/v1", api_key=house.key) as client,
            client.responses.stream(**RESPONSES) as stream,
        ):
            events = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert (await house.record())["usage_known"] == 1
    assert events[0] == "response.created"
    assert final.output_text == ("2 + 2 = 4" if name == "responses.sse" else "")
    assert len(final.output) == (1 if name == "responses.sse" else 2)
