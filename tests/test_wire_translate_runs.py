"""Pieces of a text that are like the one before them go on unread: the client, and the record, are told what they would
be if each were read."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_translation import translation
from trivium.canon.api import Api
from trivium.canon.events import Event
from trivium.wire.mould import Mould
from trivium.wire.sse import ServerSentEvent, SseParser
from trivium.wire.translate import StreamTranslation

WORDS = ["content", "c1", "m", "text_delta", "null", " ", "0", "stop", "a", "{}", "[DONE]"]
RAW = [
    b"\xff",
    b"\xc3",
    b"a\tb",
    b"\x01",
    b"\\u0061b",
    b"\\ud800",
    b'\\"',
    b"/",
    b"\\/",
    b"",
    b"a\\n",
    b"\x7f",
    b"\xe2\x80\xa8",
]
relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Unhoped(Mould):
    """Nothing fits it, so that every event is read."""

    def hopes(self) -> bool:
        return False


def chat(delta: bytes, finish: bytes = b"null", behind: bytes = b"", id: bytes = b"c1", last: bytes = b"") -> bytes:
    form = b'{"id":"%b","model":"m","choices":[{"index":0,"delta":{%b},"finish_reason":%b%b}]%b}'
    return form % (id, delta, finish, behind, last)


def chat_event(kind: str, said: bytes) -> bytes:
    call = b'"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":%b}}]' % said
    weights = b',"logprobs":{"content":[{"token":"a","logprob":-1.0}]}'
    source = b'{"type":"url_citation","url_citation":{"url":"u","title":%b,"start_index":20,"end_index":25}}'
    figures = b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
    return {
        "text": chat(b'"content":' + said),
        "same text twice": chat(b'"content":%b,"refusal":null' % said, behind=b',"more":%b' % said),
        "other id": chat(b'"content":' + said, id=b"c2"),
        "thought": chat(b'"reasoning_content":' + said),
        "both": chat(b'"reasoning_content":%b,"content":%b' % (said, said)),
        "weighed": chat(b'"content":' + said, behind=weights),
        "call": chat(call),
        "figures": b'{"id":"c1","model":"m","choices":[],%b}' % figures,
        "source": chat(b'"annotations":[%b]' % source % said),
        "finish": chat(b"", b'"stop"'),
        "stops": chat(b'"content":' + said, b'"stop"'),
        "is cut": chat(b'"content":' + said, b'"length"'),
        "flex": chat(b'"content":' + said, last=b',"service_tier":"flex",' + figures),
        "priority": chat(b'"content":' + said, last=b',"service_tier":"priority",' + figures),
        "odd": chat(b'"content":' + said, last=b',"odd":1'),
        "call without a name": chat(b'"tool_calls":[{"index":3,"function":{"arguments":"{}"}}]'),
        "text and call": chat(b'"content":%b,"tool_calls":[{"index":3,"function":{"arguments":"1"}}]' % said),
        "call with a name": chat(b'"tool_calls":[{"index":3,"id":"t","function":{"name":"f"}}]'),
        "parts": chat(b'"content":[{"type":"reasoning","summary":[{"text":"sum"},{"text":"mary"}]}]'),
        "silence": chat(b'"content":""', b'""'),
        "done": b"[DONE]",
    }[kind]


CHAT = (
    *("same text twice", "source", "other id", "both", "weighed", "call", "figures", "finish", "silence", "done"),
    *(
        "stops",
        "is cut",
        "flex",
        "priority",
        "odd",
        "call without a name",
        "text and call",
        "call with a name",
        "parts",
    ),
)


def messages_event(kind: str, said: bytes) -> bytes:
    match kind:
        case "text" | "thought" | "call":
            form, member = {"text": (b"text_delta", b"text"), "thought": (b"thinking_delta", b"thinking")}.get(
                kind, (b"input_json_delta", b"partial_json")
            )
            at = {"text": 0, "thought": 1, "call": 2}[kind]
            delta = b'{"type":"%b","%b":%b}' % (form, member, said)
            return b'{"type":"content_block_delta","index":%d,"delta":%b}' % (at, delta)
        case "begin":
            return b'{"type":"message_start","message":{"id":%b,"model":"m","usage":{"input_tokens":3}}}' % said
        case "block":
            return b'{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f"}}'
        case "search":
            block = b'{"type":"server_tool_use","id":"t","name":"web_search","input":{}}'
            return b'{"type":"content_block_start","index":3,"content_block":%b}' % block
        case "next":
            return b'{"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":%b}}' % said
        case "over":
            return b'{"type":"content_block_stop","index":0}'
        case "finish":
            return b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}'
    return b'{"type":"message_stop"}'


MESSAGES = ("call", "begin", "block", "search", "next", "over", "finish", "stop")


def piece(rnd: Random) -> bytes:
    """A JSON string: of plain letters as a rule, else of words that stand elsewhere too, or one that has to be read."""
    if rnd.random() < 0.08:
        return b'"%b"' % rnd.choice(RAW)
    text = rnd.choice(WORDS) if rnd.random() < 0.1 else "".join(rnd.choices("xyz \xe9\U0001f600.", k=rnd.randint(2, 6)))
    return json.dumps(text, ensure_ascii=rnd.random() < 0.1).encode()


def a_stream(rnd: Random) -> tuple[Api, bytes]:
    """Runs of text, runs of thoughts, and now and then something else between them."""
    api = rnd.choice([Api.CHAT, Api.MESSAGES])
    event, rare = (chat_event, CHAT) if api is Api.CHAT else (messages_event, MESSAGES)
    blocks, kind = [], "text"
    for _ in range(rnd.randint(1, 40)):
        kind = rnd.choices([kind, "text", "thought", rnd.choice(rare)], [24, 3, 3, 1])[0]
        named = rnd.choice(rare) if rnd.random() < 0.07 else kind
        end = b"\r\n" if rnd.random() < 0.01 else b"\n"
        before = rnd.choice([b": keep-alive\n\n", b"event: x\n", b"\n"]) if rnd.random() < 0.05 else b""
        blocks.append(b"%bdata: %b%b%b" % (before, event(named, piece(rnd)), end, end))
    return api, b"".join(blocks)


def in_chunks(whole: bytes, rnd: Random) -> list[bytes]:
    """At the ends of events, or anywhere."""
    ends = [place + 2 for place in range(len(whole)) if whole.startswith(b"\n\n", place)]
    places = rnd.sample(ends, min(len(ends), rnd.randint(0, 9)))
    if rnd.random() < 0.5:
        places += [rnd.randrange(len(whole)) for _ in range(rnd.randint(1, 9))]
    cuts = sorted({0, len(whole), *places})
    return [whole[start:end] for start, end in pairwise(cuts)]


def run(source: Api, to: Api, chunks: list[bytes], *, read: bool) -> dict[str, Any]:
    """What a client is told, and what is known in the end."""
    way = translation(source, to)
    stream: StreamTranslation = way.stream()
    if read:
        stream._mould = Unhoped()
    said, seen = [], []
    for chunk in chunks:
        said.append(stream.feed(chunk))
        seen.append((len(said[-1]), stream.content_bytes, stream.held, stream.content_began, stream.ended))
        if stream.fault:
            break
    else:
        said.append(stream.close())
    told = {"said": b"".join(said), "seen": seen, "answer": stream.answer(), "losses": way.losses()}
    return told | {"malformed": stream.malformed, "fault": stream.fault, "bytes": stream.content_bytes}


@relaxed
@given(rnd=st.randoms(use_true_random=True), to=st.sampled_from([*Api]))
def test_it_makes_no_difference_whether_pieces_are_read(rnd: Random, to: Api) -> None:
    source, whole = a_stream(rnd)
    chunks = in_chunks(whole, rnd)
    assert run(source, to, chunks, read=False) == run(source, to, chunks, read=True)


@pytest.mark.parametrize("source", [Api.CHAT, Api.MESSAGES])
def test_most_pieces_are_not_read(source: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    event = chat_event if source is Api.CHAT else messages_event
    pieces = [b"data: %b\n\n" % event("text", b'"piece %d "' % number) for number in range(1000)]
    way = translation(source, Api.MESSAGES if source is Api.CHAT else Api.CHAT)
    stream = way.stream()
    read: list[ServerSentEvent] = []
    decode = stream._decoder.decode

    def noted(one: ServerSentEvent) -> list[Event]:
        read.append(one)
        return decode(one)

    monkeypatch.setattr(stream._decoder, "decode", noted)
    out = stream.feed(b"".join(pieces[:500])) + b"".join(map(stream.feed, pieces[500:]))
    assert len(read) <= 2  # the first tells the names, too
    assert out.count(b"piece ") == 1000
    assert stream.content_bytes == sum(len(f"piece {number} ") for number in range(1000))


def test_an_upstream_that_says_its_text_again_is_read() -> None:
    """Responses says at the end of a text what it was, and llama.cpp does not number its events."""
    form = b'event: response.output_text.%b\ndata: {"type":"response.output_text.%b","item_id":"i","output_index":0,'
    form += b'"content_index":0,"%b":"%b"}\n\n'
    pieces = [form % (b"delta", b"delta", b"delta", said) for said in (b"one ", b"two ", b"three")]
    stream = translation(Api.RESPONSES, Api.CHAT).stream()
    out = stream.feed(b"".join([*pieces, form % (b"done", b"done", b"text", b"one two three")]))
    assert [out.count(said) for said in (b"one ", b"two ", b"three")] == [1, 1, 1]
    assert not stream._learns()


def test_pieces_that_never_fit_are_read_as_they_come() -> None:
    """After a few events that bear a number each nobody looks for what they have in common."""
    stream = translation(Api.CHAT, Api.MESSAGES).stream()
    pieces = [b"data: %b\n\n" % chat(b'"content":"ab"', behind=b',"number":%d' % number) for number in range(20)]
    out = b"".join(map(stream.feed, pieces))
    assert out.count(b'"text":"ab"') == 20
    assert not stream._mould.hopes()


@pytest.mark.parametrize(
    "kinds",
    [
        ["stops", "stops", "is cut!", "text!", "stops"],
        ["text", "text", "odd!", "flex!", "odd!", "text", "odd!", "text"],
        ["flex", "flex", "priority!", "flex"],
        ["stops", "stops", "call without a name", "text!", "stops", "text"],
        ["parts", "parts", "parts"],
        ["text and call"] * 5 + ["call with a name"],
    ],
    ids=[
        "why it ends",
        "members nobody knows",
        "its tier",
        "a call that waits for its name",
        "texts in lists",
        "arguments",
    ],
)
def test_what_an_event_says_beside_its_piece_is_told_again(kinds: list[str]) -> None:
    """Where another event has said something else between, which is not learnt from, as it has an escape (!)."""
    said = [b'"\\n%d"' % number if kind.endswith("!") else b'"piece %d"' % number for number, kind in enumerate(kinds)]
    chunks = [b"data: %b\n\n" % chat_event(kind.rstrip("!"), one) for kind, one in zip(kinds, said, strict=True)]
    for to in Api:
        assert run(Api.CHAT, to, chunks, read=False) == run(Api.CHAT, to, chunks, read=True)


def test_an_event_beyond_the_limit_is_dropped_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"data: %b\n\n" % chat_event("text", b'"%b"' % said) for said in (b"one", b"two", b"three", b"four")]
    stream = translation(Api.CHAT, Api.MESSAGES).stream()
    stream._parser = SseParser(limit=1000)
    out = b"".join(map(stream.feed, [*texts[:2], b"data: " + b"x" * 2000 + b"\n", *texts[2:]]))
    assert [said in out for said in (b"one", b"two", b"three", b"four")] == [True, True, False, True]


def test_what_it_learns_takes_little_memory() -> None:
    padded = chat(b'"content":"piece"', last=b',"obfuscation":"%b"' % (b"p" * 100_000))
    stream = translation(Api.CHAT, Api.MESSAGES).stream()
    for _ in range(3):
        stream.feed(b"data: %b\n\n" % padded)
    assert stream._mould.texts(b"data: %b\n\n" % padded, 0) == (0, [])


def test_the_place_of_a_source_counts_what_went_by_unread() -> None:
    kinds = [*["text"] * 4, "thought", "text", "source", "finish", "done"]
    chunks = [b"data: %b\n\n" % chat_event(kind, b'"12345"') for kind in kinds]
    told = run(Api.CHAT, Api.RESPONSES, chunks, read=False)
    assert b'"start_index":0,"end_index":5' in told["said"]
    assert told == run(Api.CHAT, Api.RESPONSES, chunks, read=True)
