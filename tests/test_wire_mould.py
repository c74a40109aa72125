"""Events that differ in a text alone: measured at once where that is proven, and left to a search where it is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.wire.mould import Mould

CONTENT = re.compile(rb'"content": ?"([^"\\]*(?:\\.[^"\\]*)*)"')
PLAIN = st.text(st.characters(exclude_characters='"\\\n\r', codec="utf-8"), min_size=1, max_size=20)


def event(said: bytes, id: str = "1") -> bytes:
    return b'data: {"id":"%b","delta":{"content":"%b"},"finish_reason":null}\n\n' % (id.encode(), said)


def mould(*blocks: bytes) -> Mould:
    made = Mould()
    for block in blocks or (event(b"one"),):
        made.learn(block, CONTENT)
    return made


def test_before_anything_was_learnt_nothing_fits() -> None:
    assert Mould().run(event(b"one")) == (0, 0)


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_texts_are_measured_in_utf_8_however_many_there_are(texts: list[str]) -> None:
    said = [text.encode() for text in texts]
    block = b"".join(map(event, said))
    assert mould().run(block) == (len(block), sum(map(len, said)))


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_text_fits_that_is_a_json_string_as_it_stands(before: bytes, behind: bytes) -> None:
    said = before + b"x" + behind
    plain = not set(b'"\\\n\r') & set(said)
    assert mould().run(event(said)) == ((len(event(said)), len(said)) if plain else (0, 0))


@pytest.mark.parametrize(
    "block",
    [
        event(b""),
        event(b'say \\"one\\"'),
        event(b"a\\n"),
        event(b'a"},"usage":{"completion_tokens":1},"x":{"y":"z'),
        event(b"a\n\ndata: [DONE]\n\n"),
        event(b"a\r\rdata: [DONE]\r\r"),
        event(b"a", id="2"),
        b": a comment\n\n" + event(b"a"),
        event(b"a").removesuffix(b"\n"),
        event(b"a").replace(b"null", b'"stop"'),
    ],
)
def test_what_is_more_or_less_than_a_plain_text_does_not_fit(block: bytes) -> None:
    assert mould().run(block) == (0, 0)


@pytest.mark.parametrize(
    "other",
    [
        event(b""),
        event(b"a\\n"),
        event(b"a").replace(b"null", b'"stop"'),
        event(b"x" * 5000),
        b"data: [DONE]\n\n",
        b": a comment\n\n",
        event(b"a").removesuffix(b"\n"),
    ],
)
def test_events_fit_up_to_one_that_does_not_and_again_behind_it(other: bytes) -> None:
    before, behind = event(b"one") + event(b"two"), event(b"three")
    made, block = mould(), before + other + behind
    assert made.run(block) == (len(before), 6)
    assert made.run(block, len(before)) == (len(before), 0)
    assert made.run(block, len(before + other)) == (len(block), 5)


def test_an_event_with_two_texts_is_no_model_for_others() -> None:
    two = event(b"one").replace(b"null", b'null,"content":"two"')
    assert mould(two).run(two) == (0, 0)


def test_the_last_event_of_a_block_is_the_model() -> None:
    made = mould(event(b"one", id="1") + event(b"two", id="2"))
    assert (made.run(event(b"a", id="1"))[1], made.run(event(b"a", id="2"))[1]) == (0, 1)


def test_events_that_never_repeat_are_not_looked_at_for_ever() -> None:
    made = mould(*(event(b"a", id=str(number)) for number in range(4)))
    made.learn(event(b"a", id="9"), CONTENT)
    assert made.run(event(b"b", id="9"))[1] == 0
    assert made.run(event(b"b", id="3"))[1] == 1  # which gives it hope again
    made.learn(event(b"a", id="9"), CONTENT)
    assert made.run(event(b"b", id="9"))[1] == 1


def cast(event: bytes, said: bytes) -> Mould:
    made = Mould()
    assert made.cast(event, said)
    return made


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_texts_are_told_however_many_there_are(texts: list[str]) -> None:
    block = b"".join(event(text.encode()) for text in texts)
    assert cast(event(b"one"), b"one").texts(block + event(b"a", id="2"), 0) == (len(block), texts)


def test_a_text_that_is_no_utf_8_is_not_told() -> None:
    assert cast(event(b"one"), b"one").texts(event(b"a") + event(b"\xff"), 0) == (len(event(b"a")), ["a"])


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (event(b"1"), b"1"),
        (event(b"\\u0061", id="a"), b"a"),
        (event(b"a").removesuffix(b"\n"), b"a"),
        (event(b"a"), b"b"),
        (event(b"\xff", id="\ufffd"), "\ufffd".encode()),
        (event(b"a", id="b"), b"b"),
        (event(b"a").replace(b'"content":"a"', b'"content":[{"text":"a"}]'), b"a"),
        (event(b"a" + b" " * 5000, id="1" * 5000), b"a" + b" " * 5000),
        (event(b"a").replace(b"null", b'null,"tool_calls":[{"index":0}]'), b"a"),
        (event(b"a").replace(b"null", b'null,"usage":{"total_tokens":3}'), b"a"),
    ],
    ids=[
        *("stands there twice", "is written otherwise, and another is not", "is not over", "is not there"),
        *("is mended when it is read", "is no content", "is in a list", "has too much around it"),
        *("has a piece of a call", "has figures"),
    ],
)
def test_where_it_is_not_clear_what_an_event_says_nothing_is_learnt(odd: bytes, said: bytes) -> None:
    made = Mould()
    assert not made.cast(odd, said)
    assert made.texts(event(b"a") + event(b"b"), 0) == (0, [])


def test_events_that_never_fit_are_given_up() -> None:
    made = Mould()
    for number in range(20):
        text = f"text {number}".encode()
        made.cast(event(text, id=f"n{number}"), text)
    assert not made.hopes()
    assert made.texts(event(b"a", id="n19"), 0) == (0, [])


def test_one_that_fits_brings_hope_back() -> None:
    made = Mould()
    for number in range(20):
        text = f"text {number}".encode()
        assert made.cast(event(text, id=f"n{number}"), text)
        assert made.texts(event(b"a", id=f"n{number}"), 0)[1] == ["a"]
    assert made.hopes()
