"""Places of answers to calls, in either database."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from support_store import Home
from support_wait import until
from trivium.clock import HOUR_MS, SystemClock
from trivium.errors import CallInProgress, IdempotencyConflict, StoreUnavailable
from trivium.settings_idempotency import IdempotencySettings
from trivium.store import call_answers as module
from trivium.store.answers import KEPT_MS
from trivium.store.call_answers import CLAIM_MS, CallAnswers, CallPlace, call_answers
from trivium.store.ledger import Ledger
from trivium.store.sql import Writing
from trivium.store.store import Store

CREDENTIAL = "tv-" + "a" * 43


class Watch(SystemClock):
    """A clock that tests set; what is behind it is the time that has passed."""

    def __init__(self) -> None:
        self.now, self.passed = 1_795_600_000_000, 0

    def now_ms(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.passed * 1_000_000

    def passes(self, ms: int) -> None:
        self.now += ms
        self.passed += ms


class Desk:
    """A gateway's answers, and another gateway's in the same database."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.store = store
        self.clock = Watch()
        self.mine, self.theirs = (self._answers(settings), self._answers(settings))

    def _answers(self, settings: dict[str, Any]) -> CallAnswers:
        made = call_answers(self.store.ledger.writer, self.clock, IdempotencySettings(**settings))
        assert made is not None
        return made

    def place(self, key: str = "k", question: bytes = b"POST", answers: CallAnswers | None = None) -> CallPlace:
        return (answers or self.mine).place(CREDENTIAL, key, question)

    async def until_let_go(self) -> None:
        await until(lambda: not self.mine.going)

    async def until_nothing_is_kept(self) -> None:
        async with asyncio.timeout(30):
            while await self.rows():  # noqa: ASYNC110 # a table has no event
                await asyncio.sleep(0)

    async def rows(self) -> int:
        await self.store.ledger.writer.flush()
        return len(await self.store.database.ask("SELECT id FROM answers"))


@pytest.fixture
async def desk(home: Home, tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock(), home.url)
    yield Desk(store)
    await store.close()


async def test_the_first_call_has_the_place_and_the_next_its_answer(desk: Desk) -> None:
    place = desk.place()
    assert await place.claim() is None
    place.keep(b"said")
    for answers in (desk.mine, desk.theirs):
        assert await desk.place(answers=answers).claim() == b"said"


async def test_while_it_goes_on_others_wait_at_whichever_gateway(desk: Desk) -> None:
    place = desk.place()
    await place.claim()
    for answers in (desk.mine, desk.theirs):
        with pytest.raises(CallInProgress):
            await desk.place(answers=answers).claim()
    place.free()
    assert await desk.place(answers=desk.theirs).claim() is None


async def test_of_many_at_once_one_has_the_place(desk: Desk) -> None:
    claims = [desk.place(answers=answers).claim() for answers in (desk.mine, desk.theirs) * 5]
    found = await asyncio.gather(*claims, return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["CallInProgress"] * 9 + ["NoneType"]


async def test_another_question_is_a_conflict_also_while_the_first_goes_on(desk: Desk) -> None:
    place = desk.place()
    await place.claim()
    with pytest.raises(IdempotencyConflict):
        await desk.place(question=b"other", answers=desk.theirs).claim()
    place.keep(b"said")
    with pytest.raises(IdempotencyConflict):
        await desk.place(question=b"other").claim()
    assert await desk.place(key="other", question=b"other").claim() is None


async def test_what_a_clock_far_ahead_has_left_counts_from_now(desk: Desk) -> None:
    now, desk.clock.now = desk.clock.now, desk.clock.now + 400 * 24 * HOUR_MS
    answered = desk.place("answered")
    await answered.claim()
    answered.keep(b"said")
    await desk.place("killed", answers=desk.theirs).claim()
    desk.clock.now = now
    assert await desk.place("answered").claim() == b"said"
    with pytest.raises(CallInProgress):
        await desk.place("killed").claim()
    desk.clock.passes(CLAIM_MS)
    await desk.until_let_go()
    assert await desk.place("killed").claim() is None
    desk.clock.passes(KEPT_MS)
    assert await desk.place("answered").claim() is None


async def test_a_clock_that_is_behind_for_a_moment_takes_no_answer_away(desk: Desk) -> None:
    place = desk.place("answered")
    await place.claim()
    place.keep(b"said")
    assert await desk.place("answered").claim() == b"said"
    now, desk.clock.now = desk.clock.now, desk.clock.now - 25 * HOUR_MS
    await desk.place("other").claim()
    desk.clock.now = now + 1
    assert await desk.place("answered").claim() == b"said"


async def test_nor_does_one_that_is_ahead(desk: Desk) -> None:
    for key in ("answered", "asked"):
        place = desk.place(key)
        await place.claim()
        place.keep(b"said")
    now, desk.clock.now = desk.clock.now, desk.clock.now + 25 * HOUR_MS
    await desk.place("other").claim()
    assert await desk.place("asked").claim() == b"said"
    desk.clock.now = now + 1
    assert await desk.place("answered").claim() == b"said"
    desk.clock.now += 25 * HOUR_MS
    await desk.place("another").claim()
    desk.clock.passes(HOUR_MS)
    assert await desk.place("answered").claim() is None  # it is believed after an hour


async def test_nor_a_call_that_goes_on_at_a_gateway_whose_clock_is_right(desk: Desk) -> None:
    await desk.place("going").claim()
    now, desk.clock.now = desk.clock.now, desk.clock.now - 2 * HOUR_MS
    await desk.place("other", answers=desk.theirs).claim()
    desk.clock.now = now + 1
    with pytest.raises(CallInProgress):
        await desk.place("going", answers=desk.theirs).claim()


async def test_an_answer_is_there_for_as_long_as_was_set(desk: Desk) -> None:
    short = Desk(desk.store, hours=1)
    place = short.place()
    await place.claim()
    place.keep(b"said")
    short.clock.passes(HOUR_MS - 1)
    assert await short.place().claim() == b"said"
    short.clock.passes(1)
    assert await short.place(question=b"other").claim() is None
    assert await short.rows() == 1
    short.clock.passes(KEPT_MS)
    await short.place(key="other").claim()
    assert await short.rows() == 1  # what is older than a day goes with the next claim


async def test_a_claim_that_a_crash_left_ends_by_itself(desk: Desk) -> None:
    place = desk.place(answers=desk.theirs)
    await place.claim()
    desk.clock.passes(CLAIM_MS - 1)
    with pytest.raises(CallInProgress):
        await desk.place().claim()
    desk.clock.passes(1)
    heir = desk.place()
    assert await heir.claim() is None
    place.keep(b"too late")  # it went on after all
    place.free()
    with pytest.raises(CallInProgress):
        await desk.place(answers=desk.theirs).claim()
    heir.keep(b"said")
    assert await desk.place().claim() == b"said"


async def test_a_long_call_keeps_its_place_in_its_own_process(desk: Desk) -> None:
    place = desk.place()
    await place.claim()
    desk.clock.passes(2 * CLAIM_MS)
    with pytest.raises(CallInProgress):
        await desk.place().claim()
    place.keep(b"said")
    assert await desk.place().claim() == b"said"


async def test_a_long_call_keeps_its_place_at_other_gateways(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEWED", 0.01)
    place, began = desk.place(), desk.clock.now
    await place.claim()
    desk.clock.passes(CLAIM_MS)
    async with asyncio.timeout(30):
        while await desk.store.database.ask("SELECT time_ms FROM answers") == [(began,)]:  # noqa: ASYNC110 # no event
            await asyncio.sleep(0.01)
    with pytest.raises(CallInProgress):
        await desk.place(answers=desk.theirs).claim()
    place.keep(b"said")
    assert await desk.place(answers=desk.theirs).claim() == b"said"
    desk.clock.passes(24 * HOUR_MS - CLAIM_MS)  # by when it began
    assert await desk.place(answers=desk.theirs).claim() is None


@pytest.mark.parametrize(("end", "found"), [(lambda place: place.keep(b"said"), b"said"), (CallPlace.free, None)])
async def test_what_became_of_a_call_outlives_a_store_that_cannot_be_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, end: Callable[[CallPlace], None], found: bytes | None
) -> None:
    place = desk.place()
    await place.claim()
    with monkeypatch.context() as patched:
        patched.setattr(desk.store.database, "transaction", Mock(side_effect=StoreUnavailable("away")))
        end(place)
        with pytest.raises(StoreUnavailable):
            await desk.store.ledger.writer.flush()
    assert await desk.place(answers=desk.theirs).claim() == found


async def test_a_caller_that_leaves_while_it_claims_leaves_no_claim(desk: Desk) -> None:
    task = asyncio.create_task(desk.place().claim())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await desk.until_nothing_is_kept()
    assert await desk.place().claim() is None


async def test_a_claim_of_which_nothing_came_back_is_let_go_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection was lost behind the commit: the place may be taken, and nobody calls for it."""
    database = desk.store.database
    transaction = database.transaction

    @contextlib.contextmanager
    def lost() -> Iterator[Writing]:
        with transaction() as tx:
            yield tx
        monkeypatch.undo()
        raise StoreUnavailable("lost")

    monkeypatch.setattr(database, "transaction", lost)
    with pytest.raises(StoreUnavailable):
        await desk.place().claim()
    await desk.until_nothing_is_kept()
    assert await desk.place().claim() is None


async def test_a_damaged_answer_is_said_to_be_one(desk: Desk) -> None:
    place = desk.place()
    await place.claim()
    place.keep(b"said")
    await desk.store.ledger.writer.run(lambda tx: tx.execute("UPDATE answers SET sealed = ?", (b"x" * 40,)))
    with pytest.raises(IdempotencyConflict, match="damaged"):
        await desk.place().claim()


async def test_there_is_room_for_so_many_bytes(desk: Desk) -> None:
    small = Desk(desk.store, max_total_bytes=100)
    for key in ("a", "b"):
        place = small.place(key=key)
        await place.claim()
        place.keep(b"x" * 50)
    assert await small.place(key="a").claim() == b"x" * 50
    assert await small.place(key="b").claim() is None


async def test_what_others_have_kept_is_counted_once_a_minute(desk: Desk) -> None:
    """A count of a quarter of a million answers keeps everything else from being written."""
    small, counts = Desk(desk.store, max_total_bytes=200), 0

    class Counted:
        def execute(self, *_: Any) -> list[tuple[int]]:
            nonlocal counts
            counts += 1
            return [(90 * counts,)]

    said = [small.mine.has_room(50, Counted()) for _ in range(4)]  # type: ignore[arg-type]
    assert (said, counts) == ([True, True, False, False], 1)
    small.clock.passes(60_000)
    assert (small.mine.has_room(50, Counted()), counts) == (False, 2)  # type: ignore[arg-type]


async def test_what_cannot_be_written_is_given_up_in_silence(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    place = desk.place()
    await place.claim()

    def failing(*_: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(CallPlace, "_freed", failing)
    place.free()
    await desk.store.ledger.writer.flush()
    await asyncio.sleep(0.01)
    gc.collect()
    assert told == []


def test_where_nothing_is_kept_there_is_no_place(desk: Desk) -> None:
    assert call_answers(desk.store.ledger.writer, desk.clock, IdempotencySettings(hours=0)) is None


async def test_two_gateways_that_hear_of_the_same_calls_do_not_wait_for_each_other_for_ever(
    desk: Desk, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    if home.url is None:
        pytest.skip("one process owns the file")
    ledger = Ledger(home.open(), desk.clock, "run_2")
    theirs = call_answers(ledger.writer, desk.clock, IdempotencySettings())
    for turn in range(20):
        keys = [f"{turn} {number}" for number in range(30)]
        claims = [desk.place(key).claim() for key in keys] + [
            desk.place(key, answers=theirs).claim() for key in reversed(keys)
        ]
        told = await asyncio.gather(*claims, return_exceptions=True)
        assert [one for one in told if one is not None and not isinstance(one, CallInProgress)] == []
        assert sum(one is None for one in told) == len(keys)
    assert not caplog.messages
    await ledger.writer.close()
