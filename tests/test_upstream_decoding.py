"""Decompression in pieces: all that can be had is given, and never more than a piece at a time."""

from __future__ import annotations

import gzip
import zlib

import pytest

from trivium.errors import UpstreamGarbage
from trivium.upstream.decoding import Inflater


def inflate(coding: bytes, data: bytes, step: int) -> bytes:
    inflater, out = Inflater(coding), b""
    for start in range(0, len(data), step):
        inflater.feed(data[start : start + step])
        while piece := inflater.take():
            assert len(piece) <= 64 * 1024
            out += piece
    inflater.finish()
    return out


TEXT = b"".join(b"%d tokens, " % number for number in range(60_000))


@pytest.mark.parametrize("step", [1000, 1 << 30])
@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip"])
def test_gzip_of_several_members_is_one_body(coding: bytes, step: int) -> None:
    assert inflate(coding, gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end"), step) == TEXT + b"end"


@pytest.mark.parametrize("step", [1000, 1 << 30])
def test_gzip_may_have_a_member_for_each_event(step: int) -> None:
    events = [b'data: {"choices":[{"delta":{"content":"%d"}}],"model":"some-model"}\n\n' % n for n in range(5000)]
    assert inflate(b"gzip", b"".join(map(gzip.compress, events)), step) == b"".join(events)


@pytest.mark.parametrize("step", [1000, 1 << 30])
@pytest.mark.parametrize("window", [15, -15])
def test_deflate_is_understood_with_and_without_its_wrapper(window: int, step: int) -> None:
    packer = zlib.compressobj(wbits=window)
    assert inflate(b"deflate", packer.compress(TEXT) + packer.flush(), step) == TEXT


def test_a_byte_at_a_time_is_enough() -> None:
    assert inflate(b"gzip", gzip.compress(b"hello"), 1) == b"hello"


def test_an_empty_body_needs_no_header() -> None:
    assert inflate(b"gzip", b"", 1) == b""


def test_what_repeats_itself_a_lot_passes_while_it_is_short() -> None:
    assert inflate(b"gzip", gzip.compress(bytes(1 << 20)), 100) == bytes(1 << 20)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        (b"gzip", gzip.compress(TEXT)[:-1]),
        (b"gzip", gzip.compress(TEXT)[:5]),
        (b"gzip", gzip.compress(TEXT) + b"surplus"),
        (b"gzip", b"plain text"),
        (b"deflate", b"\xff\xff"),
        (b"gzip", gzip.compress(bytes(32 << 20))),
        (b"gzip", gzip.compress(b"") * 2000),
        (b"gzip", gzip.compress(b"x") * 2000),
        (b"deflate", b"\x03\x00" * 2),
        (b"br", b"anything"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"twice"))),
    ],
    ids=(
        *("cut", "stump", "surplus", "plain", "deflate", "bomb", "empty members", "small members", "second stream"),
        *("unknown", "twice"),
    ),
)
def test_stumps_bombs_and_unknown_codings_are_garbage(coding: bytes, data: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        inflate(coding, data, 1 << 16)
