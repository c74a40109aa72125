"""Bodies of answers up to a limit."""

from __future__ import annotations

import pytest

from trivium.errors import UpstreamBroken
from trivium.upstream.body import answered, beginning, whole
from trivium.upstream.client import Headers, UpstreamRequest

REQUEST = UpstreamRequest(method="GET", url="http://server.example/")


class Answer:
    """Chunks, and then how the body breaks off, if it does."""

    status = 202

    def __init__(self, *chunks: bytes, then: Exception | None = None) -> None:
        self.headers: Headers = []
        self.left = list(chunks)
        self.closed = False
        self._then = then

    async def read(self) -> bytes:
        if not self.left and self._then is not None:
            raise self._then
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.closed = True


class Client:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def send(self, request: UpstreamRequest) -> Answer:
        return self._answer

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_short_answer_is_read_whole_and_closed() -> None:
    answer = Answer(b"ab", b"cd")
    assert await answered(Client(answer), REQUEST, 100) == (202, b"abcd")
    assert answer.closed


async def test_of_a_long_answer_no_more_is_read_than_was_wanted() -> None:
    answer = Answer(b"ab", b"cd", b"ef")
    assert await answered(Client(answer), REQUEST, 3) == (202, b"abcd")
    assert answer.left == [b"ef"]
    assert answer.closed


async def test_an_answer_that_breaks_off_is_none() -> None:
    answer = Answer(b"ab", then=UpstreamBroken("cut"))
    with pytest.raises(UpstreamBroken):
        await answered(Client(answer), REQUEST, 100)
    assert answer.closed


async def test_the_beginning_says_something_also_where_the_rest_is_missing() -> None:
    assert await beginning(Answer(b"ab", b"cd"), 100) == (b"abcd", False)
    assert await beginning(Answer(b"ab", b"cd"), 2) == (b"ab", False)
    broken = Answer(b"ab", then=UpstreamBroken("cut"))
    assert await beginning(broken, 100) == (b"ab", True)
    assert not broken.closed


async def test_a_whole_body_is_as_long_as_it_may_be_and_no_longer() -> None:
    assert await whole(Answer(b"ab", b"cd"), 4) == b"abcd"
    assert await whole(Answer(), 4) == b""
    with pytest.raises(ValueError, match="too long an answer"):
        await whole(Answer(b"ab", b"cde"), 4)
    with pytest.raises(ValueError, match="its list is endless"):
        await whole(Answer(b"abcde"), 4, "its list is endless")
