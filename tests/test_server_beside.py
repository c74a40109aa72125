"""What runs beside the calls goes on, or says that it does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from trivium.errors import StoreUnavailable
from trivium.server.beside import Following, watched


class Kinds:
    """What other gateways are told of, by kind: what reading it does, and what has been read."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.read: list[str] = []
        self.following = Following({kind: self._look(kind) for kind in ("prices", "channels", "rules")})

    def _look(self, kind: str) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            if kind in self.fails:
                raise self.fails[kind]
            self.read.append(kind)

        return look


async def test_what_cannot_be_read_keeps_nobody_from_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    kinds = Kinds()
    kinds.fails["channels"] = ValueError("a kind of a newer version")
    await kinds.following.look()
    assert kinds.read == ["prices", "rules"]
    assert "channels stay as they were" in caplog.text
    assert "a kind of a newer version" in caplog.text


async def test_it_is_said_once_and_again_where_it_is_another(caplog: pytest.LogCaptureFixture) -> None:
    kinds = Kinds()
    for said, records in ((ValueError("x"), 1), (ValueError("x"), 1), (ValueError("y"), 2), (None, 2)):
        kinds.fails = {"channels": said} if said is not None else {}
        await kinds.following.look()
        assert len(caplog.records) == records
    kinds.fails["channels"] = ValueError("y")
    await kinds.following.look()
    assert len(caplog.records) == 3


async def test_a_store_that_does_not_answer_is_asked_once_a_round_and_named_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kinds = Kinds()
    kinds.fails["channels"] = StoreUnavailable("The database is away.")
    await kinds.following.look()
    assert (kinds.read, caplog.records) == (["prices"], [])


async def test_what_ends_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def housekeeping() -> None:
        raise ValueError("odd")

    await watched("housekeeping", housekeeping())
    assert "housekeeping has ended" in caplog.text
    assert "odd" in caplog.text
