"""A secret that is spread over the events of a stream does not arrive, and nothing else waits or changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_work import little_work
from trivium.providers.credential import spellings
from trivium.wire.spread import Spread

SECRET, OTHER = "sk-ant-api03-canary/0123456789", "sk-token-77"
SECRETS = spellings([SECRET.encode(), OTHER.encode()])


def chat(piece: str) -> dict[str, object]:
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": piece}}]}


def responses(piece: str) -> dict[str, object]:
    return {"type": "response.output_text.delta", "item_id": "msg_1", "delta": piece, "obfuscation": "x9"}


def messages(piece: str) -> dict[str, object]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}


Shape = Callable[[str], dict[str, object]]
SHAPES = [chat, responses, messages]


def event(said: object, end: str = "\n\n") -> bytes:
    return f"event: x{end[: len(end) // 2]}data: {json.dumps(said)}{end}".encode()


def text(stream: bytes, shape: Shape) -> str:
    """All that is said in a stream of these events."""
    said = (json.loads(data) for data in re.findall(rb"data: (\{.*\})", stream))
    pieces = []
    for one in said:
        found = one.get("delta", one.get("choices") and one["choices"][0]["delta"])
        pieces.append(found if isinstance(found, str) else found.get("content", found.get("text", "")))
    return "".join(pieces)


def masked(chunks: Iterable[bytes]) -> list[bytes]:
    spread = Spread(SECRETS)
    return [*(spread.feed(chunk) for chunk in chunks), spread.rest()]


PIECES = st.lists(
    st.one_of(
        st.sampled_from([SECRET, OTHER, "sk-", "sk-ant-api03-", "canary/", " said ", '"quoted"\n', "\\", "ü"]),
        st.builds(lambda at: SECRET[at], st.integers(0, len(SECRET) - 1)),
    ),
    max_size=8,
)


@pytest.mark.parametrize("shape", SHAPES)
@given(PIECES, st.integers(1, 12), st.integers(1, 60), st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"]))
def test_no_way_to_spread_it_lets_a_secret_through(
    shape: Shape, said: list[str], size: int, cut: int, end: str
) -> None:
    whole = "".join(said)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    stream = b"".join(event(shape(piece), end) for piece in pieces)
    told = b"".join(masked(stream[at : at + cut] for at in range(0, len(stream), cut)))
    assert len(told) == len(stream)
    assert all(new in (old, ord("*")) for old, new in zip(stream, told, strict=True))
    if end != "\r\r":  # which `re` does not take for the end of a line
        assert SECRET not in text(told, shape)
        assert OTHER not in text(told, shape)
    if SECRET not in whole and OTHER not in whole:
        assert told == stream


@pytest.mark.parametrize("shape", SHAPES)
def test_what_cannot_be_a_secret_goes_on_at_once(shape: Shape) -> None:
    """What begins like many keys does not wait, what begins like this one does until it is clear."""
    pieces = ["Put sk-", "ant", "-", "api03-", "... there, like sk-t", "o", "ast"]
    events = [event(shape(piece)) for piece in pieces]
    ping = b": ping\n\n"
    first, second, third, held, also_held, freed, held_too, freed_too, rest = masked([*events[:4], ping, *events[4:]])
    assert [first, second, third] == events[:3], "seven characters are too few"
    assert (held, also_held, freed) == (b"", b"", events[3] + ping + events[4])
    assert (held_too, freed_too, rest) == (b"", events[5] + events[6], b""), "of short ones half is enough"


def test_a_secret_is_masked_as_far_as_it_has_not_gone() -> None:
    out = masked(event(chat(piece)) for piece in ("key sk-", "ant-", "api03-canary", "/01234567", "89 is wrong"))
    assert out[0] == event(chat("key sk-"))
    told = text(b"".join(out), chat)
    assert told == "key sk-ant-" + "*" * (len(SECRET) - 7) + " is wrong"


def test_parts_of_events_wait_for_their_end_and_very_long_ones_do_not() -> None:
    spread = Spread(SECRETS)
    blank = event(chat("sk-ant-api")) + b"\n"
    assert spread.feed(blank) + spread.rest() == blank
    whole = event(chat("hi"))
    assert [spread.feed(whole[:20]), spread.feed(whole[20:])] == [b"", whole]
    long = b"data: " + b"x" * 300_000
    assert spread.feed(long) == long
    assert spread.feed(whole[20:]) + spread.rest() == whole[20:]


def test_endless_events_behind_a_beginning_do_not_wait_for_ever() -> None:
    spread = Spread(SECRETS)
    begun = event(chat("sk-ant-api"))
    assert spread.feed(begun) == b""
    pings = [spread.feed(b": ping\n\n" * 10_000) for _ in range(5)]
    assert b"".join([*pings, spread.rest()]) == begun + b": ping\n\n" * 50_000
    assert any(pings)


def test_an_event_that_says_the_secret_in_every_word_holds_nobody_up() -> None:
    half = SECRET[: len(SECRET) // 2], SECRET[len(SECRET) // 2 :]
    members = ",".join(f'"content":"{half[0]}","content":"{half[1]}"' for _ in range(3_000))
    with little_work():
        told = b"".join(masked([f"data: {{{members}}}\n\n".encode()]))
    assert set("".join(re.findall(r'"content":"([^"]*)"', told.decode()))) == {"*"}


def test_many_short_events_in_one_piece_hold_nobody_up() -> None:
    """Whoever brings a key along chooses it: one that is alike everywhere begins at every letter."""
    key = b"a" * 5_000 + b"b"
    spread = Spread([key * 2])
    begun = event(chat("a" * 4_000 + "c" + "a" * 4_999))
    with little_work():
        told = spread.feed(begun) + spread.feed(event(chat("a")) * 10_000) + spread.rest()
    assert told == begun + event(chat("a")) * 10_000
