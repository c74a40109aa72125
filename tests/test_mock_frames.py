"""Events as bytes."""

from __future__ import annotations

import gzip
import zlib

import pytest

from trivium.mock.frames import compressed, frame, recut, split_events


def test_a_frame_has_an_event_line_only_if_it_is_named() -> None:
    assert frame({"a": 1}) == b'data: {"a":1}\n\n'
    assert frame({"a": "\u2028"}, "x") == 'event: x\ndata: {"a":"\u2028"}\n\n'.encode()


@pytest.mark.parametrize("stream", [b"data: 1\n\ndata: 2\n\n", b": c\r\n\r\ndata: 2\r\n\r\n", b"data: 1\n\ndata: cut"])
def test_a_capture_is_taken_apart_without_losing_a_byte(stream: bytes) -> None:
    events = split_events(stream)

    assert len(events) == 2
    assert b"".join(events) == stream


def test_pieces_are_cut_anew_whatever_their_borders() -> None:
    assert recut([b"abc", b"de"], 2) == [b"ab", b"cd", b"e"]
    assert recut([b"abc", b"de"], None) == [b"abc", b"de"]


def test_every_compressed_piece_can_be_read_when_it_arrives() -> None:
    pieces = compressed([b"first ", b"second"])

    assert zlib.decompressobj(wbits=31).decompress(pieces[0]) == b"first "
    assert gzip.decompress(b"".join(pieces)) == b"first second"
    assert compressed([]) == []
