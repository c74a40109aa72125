"""An answer without a secret in it, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.upstream.client import Headers
from trivium.upstream.masked import MaskedResponse, ReadResponse

SECRET, OTHER = b"sk-aab/aac+canary", b"sk-token"


class Chunks:
    """An answer that comes in these pieces."""

    status = 200

    def __init__(self, *chunks: bytes, headers: Headers | None = None) -> None:
        self.chunks = list(chunks)
        self.headers: Headers = headers or []
        self.closed = False

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def close(self) -> None:
        self.closed = True


async def all_of(response: MaskedResponse) -> list[bytes]:
    found = []
    while chunk := await response.read():
        found.append(chunk)
    assert await response.read() == b""
    return found


pieces = st.lists(
    st.sampled_from([SECRET, OTHER, SECRET.replace(b"/", b"\\/"), b"s", b"sk-", b"sk-aa", b"text ", b"\n"])
)


@given(pieces, st.lists(st.integers(1, 9), min_size=1))
async def test_no_way_to_cut_it_lets_a_secret_through_or_changes_anything_else(
    said: list[bytes], sizes: list[int]
) -> None:
    whole = b"".join(said)
    chunks: list[bytes] = []
    at = 0
    while at < len(whole):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(whole[at : at + size])
        at += size
    told = b"".join(await all_of(MaskedResponse(Chunks(*chunks), [SECRET, OTHER])))
    assert len(told) == len(whole)
    assert SECRET not in told
    assert OTHER not in told
    assert all(new in (old, ord("*")) for old, new in zip(whole, told, strict=True))
    if not any(secret in whole for secret in (SECRET, OTHER, SECRET.replace(b"/", b"\\/"))):
        assert told == whole


async def test_what_cannot_be_a_secret_is_not_held_back() -> None:
    response = MaskedResponse(Chunks(b"data: 1\n\n", b"data: sk", b"y\n\n"), [SECRET])
    assert await all_of(response) == [b"data: 1\n\n", b"data: ", b"sky\n\n"]


async def test_headers_are_masked_too_and_closing_goes_through() -> None:
    inner = Chunks(headers=[(b"x-echo", b"Bearer " + SECRET), (b"date", b"today")])
    response = MaskedResponse(inner, [SECRET])
    assert response.headers == [(b"x-echo", b"Bearer " + b"*" * len(SECRET)), (b"date", b"today")]
    assert response.status == 200
    response.close()
    assert inner.closed


@pytest.mark.parametrize("body", [b"", b"seen"])
async def test_what_was_looked_at_is_read_again(body: bytes) -> None:
    response = ReadResponse(Chunks(b" and the rest"), body)
    assert await response.read() + await response.read() == body + b" and the rest"
    assert (response.status, response.headers) == (200, [])
