"""What content weighs, event by event and whole, and what media cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trivium.canon import events as ev
from trivium.canon.events import Event
from trivium.canon.fold import fold
from trivium.canon.parts import Citation, Seal
from trivium.canon.size import DOCUMENT, FILM, IMAGE, SOUND, content_bytes, content_of, utf8

WORDS = st.text(min_size=1, max_size=9)
SAID = st.one_of(
    st.builds(ev.TextDelta, WORDS, st.just(0)),
    st.builds(ev.ReasoningDelta, WORDS, st.just(1)),
    st.builds(ev.RefusalDelta, WORDS, st.just(2)),
    st.builds(ev.ToolCallDelta, st.just(3), WORDS),
)


def test_letters_count_in_utf8() -> None:
    assert [utf8(said) for said in ("", "a", "ü", "中", "😀", "\ud83d")] == [0, 1, 2, 3, 4, 3]


def test_text_reasoning_refusals_and_arguments_are_content_and_nothing_else_is() -> None:
    content: list[Event] = [
        ev.TextDelta("ab"), ev.ReasoningDelta("ab"), ev.RefusalDelta("ab"), ev.ToolCallDelta(0, "{}")
    ]  # fmt: skip
    assert [content_of(event) for event in content] == [2, 2, 2, 2]
    others: list[Event] = [
        ev.ToolCallBegin(0, "id", "name"), ev.ReasoningSeal(0, Seal("f", "data")), ev.Begin("id"), ev.End(),
        ev.Cited(0, Citation("https://x")), ev.Fault("type", "message"), ev.Foreign("field"),
    ]  # fmt: skip
    assert [content_of(event) for event in others] == [0] * 7


@given(st.lists(SAID, max_size=20))
def test_a_whole_answer_weighs_what_its_events_do(said: list[Event]) -> None:
    answer = fold([ev.ToolCallBegin(3, "id", "name"), *said])
    assert content_bytes(answer) == sum(map(content_of, said))


@given(st.integers(1, 10**8))
def test_the_most_of_a_medium_is_never_less_than_what_is_usual(size: int) -> None:
    for medium in (IMAGE, DOCUMENT, SOUND, FILM):
        assert medium.tokens(size) <= medium.most_tokens(size)
        assert 0 < medium.tokens(0) <= medium.most_tokens(0)
        assert medium.most_tokens(size) <= medium.most_tokens(size + 1000)
