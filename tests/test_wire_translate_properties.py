"""Properties of translation, on answers by the thousand: nothing that an API can say is lost on its way."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support_answers import Facts, an_answer, as_read, call_ids, called, facts
from support_grammar import check
from support_streams import cut_streams
from support_translation import decoded, encoded, encoder, translated, translated_whole
from support_voices import body, stream
from trivium.canon.api import Api
from trivium.canon.events import CONTENT, Apart, Cited, Event, RefusalDelta, TextDelta, ToolCallBegin
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import AnswerPart, Reasoning, Text, ToolCall
from trivium.wire.codec import decode_answer
from trivium.wire.toolnames import inward_id

APIS = list(Api)
RANDOM = st.randoms(use_true_random=False)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
each_api = pytest.mark.parametrize("api", APIS)
each_way = pytest.mark.parametrize(("source", "to"), [(api, to) for api in APIS for to in APIS if api is not to])


def content(events: list[Event], api: Api) -> list[Event]:
    """What is of the answer itself. Messages' own citations are of its own search; that texts are apart is told by
    what stands between them."""
    left_out = (Apart, Cited) if api is Api.MESSAGES else (Apart,)
    return [event for event in events if type(event) in CONTENT and not isinstance(event, left_out)]


def plain(part: AnswerPart) -> AnswerPart:
    return msgspec.structs.replace(part, apart=False) if isinstance(part, Text) else part


def worded(events: list[Event], api: Api) -> list[Event]:
    """In Messages the blanks before a text's first word go out with it, and a text of nothing else does not."""
    if api is not Api.MESSAGES:
        return events
    told: list[Event] = []
    blanks: dict[int, str] = {}
    begun: set[int] = set()
    for event in events:
        if not isinstance(event, TextDelta | RefusalDelta) or event.index in begun:
            told.append(event)
            continue
        blanks[event.index] = blanks.get(event.index, "") + event.text
        if event.text.strip():
            begun.add(event.index)
            told.append(msgspec.structs.replace(event, text=blanks[event.index]))
    numbers = {index: number for number, index in enumerate(dict.fromkeys(map(place, told)))}
    return [msgspec.structs.replace(event, index=numbers[place(event)]) for event in told]


def place(event: Event) -> int:
    index: int = getattr(event, "index", -1)
    return index


def inward(event: Event) -> Event:
    """As the upstream gets it back: ids that other APIs would not take are coded."""
    if isinstance(event, ToolCallBegin):
        return msgspec.structs.replace(event, id=inward_id(event.id))
    return event


def about(answer: Answer) -> Answer:
    """All but what the parts say, what no other API has words for or only figures tell, and whether these were cut."""
    usage = answer.usage and msgspec.structs.replace(answer.usage, clamped=False)
    said = msgspec.structs.replace(answer, parts=(), text="", reasoning="", tool_calls=(), foreign=())
    return msgspec.structs.replace(said, usage=usage, service_tier=None)


@each_api
@relaxed
@given(rnd=RANDOM, end=ENDS)
def test_what_is_decoded_and_encoded_and_decoded_is_the_same(api: Api, rnd: Random, end: bytes) -> None:
    said = an_answer(api, rnd)
    events = decoded(api, stream(said, rnd, end))
    out = encoded(encoder(api), events)
    check(api, out)
    again = decoded(api, out)
    # Calls that came side by side go out one after the other; all else keeps its order and its pieces.
    assert [*map(inward, content(again, api))] == worded(sorted(content(events, api), key=place), api)
    assert about(fold(again)) == about(fold(events))
    assert tuple(map(plain, fold(events).parts)) == said.parts


@each_api
@relaxed
@given(rnd=RANDOM)
def test_a_body_that_is_decoded_and_encoded_and_decoded_is_the_same(api: Api, rnd: Random) -> None:
    answer = fold(decode_answer(api, body(an_answer(api, rnd, in_order=api is Api.CHAT))))
    again = fold(decode_answer(api, encoder(api).whole(answer)))
    assert called(again) == called(answer)
    ids = [call.id for call in answer.tool_calls]
    assert call_ids(again) == ids or len(set(ids)) < len(ids)  # an id that is there twice becomes two
    assert without_calls(again) == without_calls(as_read(answer, api) if api is Api.MESSAGES else answer)


def without_calls(answer: Answer) -> Answer:
    """What its text is, its parts say."""
    parts = tuple(None if isinstance(part, ToolCall) else plain(part) for part in answer.parts)
    return msgspec.structs.replace(answer, parts=parts, text="", tool_calls=(), foreign=(), service_tier=None)


@each_api
@relaxed
@given(rnd=RANDOM)
def test_a_failure_stays_the_same_failure(api: Api, rnd: Random) -> None:
    events = decoded(api, stream(an_answer(api, rnd, fails=True), rnd))
    out = encoded(encoder(api), events)
    check(api, out, failed=True)
    before, after = fold(events).error, fold(decoded(api, out)).error
    assert before
    assert after
    assert (after.message, after.code or after.type) == (before.message, before.code or before.type)


@relaxed
@given(cuts=cut_streams(), to=st.sampled_from(APIS))
def test_chunks_do_not_matter(cuts: tuple[Api, list[bytes], list[bytes]], to: Api) -> None:
    """An event whose blank line never came is told where the stream came to its end, and not where it broke off."""
    source, blocks, chunks = cuts
    got, whole = translated(source, to, chunks), translated(source, to, blocks)
    if sum(map(len, chunks)) == sum(map(len, blocks)):
        assert got == whole
    else:
        assert got in (whole, translated(source, to, blocks[:-1]))


@each_way
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rnd=RANDOM, size=st.integers(1, 7), end=ENDS)
def test_chunks_within_letters_and_line_ends_do_not_matter(
    source: Api, to: Api, rnd: Random, size: int, end: bytes
) -> None:
    whole = stream(an_answer(source, rnd), rnd, end)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert translated(source, to, pieces) == translated(source, to, [whole])


@each_way
@relaxed
@given(rnd=RANDOM)
def test_a_stream_and_its_whole_answer_say_the_same(source: Api, to: Api, rnd: Random) -> None:
    said = an_answer(source, rnd, in_order=Api.CHAT in (source, to))
    out = translated(source, to, [stream(said, rnd)])
    check(to, out)
    streamed, whole = fold(decoded(to, out)), translated_whole(source, to, body(said))
    assert facts(streamed) == facts(whole)
    assert sealed(streamed) == sealed(whole)


def sealed(answer: Answer) -> list[AnswerPart]:
    """Reasoning, which has to come back as it is."""
    return [part for part in answer.parts if isinstance(part, Reasoning)]


@each_way
@relaxed
@given(rnd=RANDOM)
def test_what_both_apis_can_say_arrives(source: Api, to: Api, rnd: Random) -> None:
    told = stream(an_answer(source, rnd), rnd)
    out = translated(source, to, [told])
    check(to, out)
    before, after = facts(as_read(fold(decoded(source, told)), to), upstream=True), facts(fold(decoded(to, out)))
    assert comparable(after, source, to) == comparable(before, source, to)


def comparable(found: Facts, source: Api, to: Api) -> Facts:
    """Pages do not reach Messages clients, and a namespace is Responses' alone."""
    return msgspec.structs.replace(found, cited=[]) if Api.MESSAGES in (source, to) else found


@each_way
@relaxed
@given(rnd=RANDOM)
def test_a_failure_ends_the_stream_as_the_clients_api_ends_one(source: Api, to: Api, rnd: Random) -> None:
    said = an_answer(source, rnd, fails=True)
    told = stream(said, rnd)
    out = translated(source, to, [told])
    check(to, out, failed=True)
    after = fold(decoded(to, out))
    assert after.error
    assert after.error.message == said.error
    assert facts(as_read(fold(decoded(source, told)), to)).spoken.startswith(facts(after).spoken)
