"""Who calls, where somebody behind the same address guesses at keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from support_clock import Standing
from support_store import Home
from trivium.errors import AuthenticationError, RateLimited
from trivium.pipeline.authenticate import authenticate
from trivium.policy.caller import Caller
from trivium.policy.guesses import MOST, Guesses
from trivium.store.store import Store
from trivium.store.users import User
from trivium.store.whose import EVERYBODY

ADDRESS = "192.0.2.1"


class House:
    """A store with what `authenticate` needs of a gateway."""

    def __init__(self, store: Store, clock: Standing) -> None:
        self.store = store
        self.clock = clock
        self._deps = SimpleNamespace(keys=store.keys, guesses=Guesses(), clock=clock, tokens=None)

    async def call(self, key: str) -> Caller | None:
        return await authenticate({b"x-api-key": key.encode()}, ADDRESS, self._deps)  # type: ignore[arg-type]

    async def guess(self) -> None:
        """As often as it takes until the address is not listened to."""
        for number in range(MOST):
            with pytest.raises(AuthenticationError):
                await self.call(f"tv-guess-{number}")
        with pytest.raises(RateLimited):
            await self.call("tv-guess")


@pytest.fixture
async def house(home: Home, tmp_path: Path) -> AsyncIterator[House]:
    clock = Standing(1_000_000)
    store = Store(tmp_path, clock, home.url)
    yield House(store, clock)
    await store.close()


async def test_guesses_lock_out_no_key_that_is_in_use(house: House) -> None:
    """Not where what memory has is too old to be believed, and not where anything about callers has changed."""
    _, text = house.store.keys.create("laptop")
    assert await house.call(text)
    await house.guess()
    house.clock.ms += 5_000
    assert await house.call(text)
    await house.store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
    assert await house.call(text)


async def test_a_key_that_was_in_use_and_is_revoked_is_a_guess_like_any(house: House) -> None:
    key, text = house.store.keys.create("laptop")
    assert await house.call(text)
    await house.guess()
    await house.store.key_changes.revoke(key.id, EVERYBODY, "operator")
    with pytest.raises(AuthenticationError):
        await house.call(text)
    with pytest.raises(RateLimited):
        await house.call(text)


async def test_a_key_that_was_not_in_use_waits_as_the_guesser_does(house: House) -> None:
    _, text = house.store.keys.create("laptop")
    await house.guess()
    with pytest.raises(RateLimited):
        await house.call(text)
