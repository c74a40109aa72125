"""Server-sent events, cut anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.wire.sse import ServerSentEvent, SseParser


def read(*chunks: bytes, limit: int = 10_000) -> list[ServerSentEvent]:
    parser = SseParser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_lf_crlf_or_cr(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    assert read(stream) == [ServerSentEvent("a", b"1"), ServerSentEvent(None, b"2")]


def test_a_crlf_cut_by_the_network_is_one_line_end() -> None:
    assert read(b"data: 1\r", b"\n\r", b"\ndata: 2\r", b"\n\r", b"\n") == [
        ServerSentEvent(None, b"1"),
        ServerSentEvent(None, b"2"),
    ]


def test_an_event_that_ends_in_cr_cr_does_not_wait_for_more() -> None:
    assert SseParser().feed(b"data: 1\r\r") == [ServerSentEvent(None, b"1")]


def test_u2028_and_its_kin_are_not_line_ends() -> None:
    data = '{"a":"x\u2028y\u0085z\x0b\x0c\x1c"}'.encode()
    assert read(b"data: " + data + b"\n\n") == [ServerSentEvent(None, data)]


def test_the_blank_after_the_colon_is_optional_and_only_one_is_taken() -> None:
    assert read(b"event:a\ndata:1\n\ndata:  2\n\n") == [ServerSentEvent("a", b"1"), ServerSentEvent(None, b" 2")]


def test_several_data_lines_are_joined_by_lf() -> None:
    assert read(b'data: {"a":\ndata: 1}\n\n') == [ServerSentEvent(None, b'{"a":\n1}')]


def test_comments_other_fields_and_events_without_data_say_nothing() -> None:
    assert read(b": OPENROUTER PROCESSING\n\n: \n\nid: 7\nretry: 3\nnonsense\nevent: ping\n\ndata: 1\n\n") == [
        ServerSentEvent(None, b"1")
    ]


def test_a_bare_data_field_is_an_empty_line_of_data() -> None:
    assert read(b"data\n\n") == [ServerSentEvent(None, b"")]


def test_a_byte_order_mark_and_keep_alive_blanks_before_the_stream_are_passed_over() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: 1\n\n") == [ServerSentEvent(None, b"1")]
    assert read(b"\n\n  \n data: 1\n\n data: 2\n\n") == [ServerSentEvent(None, b"1")]


def test_what_has_no_end_when_the_stream_ends_is_still_tried() -> None:
    assert read(b"data: 1\n\ndata: 2") == [ServerSentEvent(None, b"1"), ServerSentEvent(None, b"2")]
    assert read(b"data: 3\r") == [ServerSentEvent(None, b"3")]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_beyond_the_limit_is_dropped_counted_and_not_kept(size: int) -> None:
    parser = SseParser(limit=160)
    stream = b"data: " + b"x" * 300 + b"\ndata: tail\n\n" + b": " + b"y" * 300 + b"\n\ndata: 1\n\n"
    found = [event for at in range(0, len(stream), size) for event in parser.feed(stream[at : at + size])]
    assert found == [ServerSentEvent(None, b"1")]
    assert parser.dropped >= 1


def test_many_lines_of_data_count_together_towards_the_limit() -> None:
    parser = SseParser(limit=100)
    assert parser.feed(b"data: 0123456789\n" * 20 + b"\n") == []
    assert parser.dropped == 1


def test_an_endless_line_does_not_fill_the_memory() -> None:
    parser = SseParser(limit=1000)
    for _ in range(1000):
        parser.feed(b"x" * 1000)
    assert len(parser._rest) <= 1000


@pytest.mark.parametrize("line", [b"data\n", b"data:\n", b"data: \n"])
def test_nor_do_lines_without_anything(line: bytes) -> None:
    parser = SseParser(limit=10_000)
    for _ in range(100):
        parser.feed(line * 100)
    assert len(parser._data) <= 10_000 / 40
    assert parser.held > 10_000, "it is known to be too much"
    assert (parser.feed(b"\ndata: 1\n\n"), parser.dropped) == ([ServerSentEvent(None, b"1")], 1)


LINES = st.lists(
    st.sampled_from(
        ["data: a", "data:", "data: \u00e9\U0001f600\u2028", "event: e", ": c", "", "", "id: 1", "data: {", "x"]
    ),
    max_size=14,
)


@settings(max_examples=150)
@given(lines=LINES, end=st.sampled_from([b"\n", b"\r\n", b"\r"]), cuts=st.lists(st.integers(1, 9), max_size=40))
def test_chunks_of_any_size_give_the_same_events(lines: list[str], end: bytes, cuts: list[int]) -> None:
    stream = end.join(line.encode() for line in lines)
    whole = read(stream)
    assert read(*(bytes([byte]) for byte in stream)) == whole
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(stream[at : at + cut])
        at += cut
    assert read(*chunks, b"", stream[at:]) == whole


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_bytes_are_too_odd(chunks: list[bytes]) -> None:
    read(*chunks, limit=30)
