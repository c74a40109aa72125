"""What lasts on its way to the disk: many in one transaction, none lost, none twice, whatever the file does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import re
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support_records import record
from support_store import furnish
from trivium.errors import OperationError, StoreUnavailable
from trivium.metering.record import COLUMNS, Record
from trivium.store import writer as writing
from trivium.store.ops import Op
from trivium.store.posting import write_records
from trivium.store.sql import Undone, Writing
from trivium.store.sqlite import SqliteDatabase
from trivium.store.writer import Writer


class Kept:
    """A record on its way, and what its writer was told."""

    row = None

    def __init__(self, record: Record, *, urgent: bool = False, alone: bool = False) -> None:
        self.record = record
        self.urgent = urgent
        self.alone = alone
        self.leans = False
        self.told: list[str] = []

    def done(self) -> None:
        self.told.append("done")

    def failed(self, error: StoreUnavailable) -> None:
        self.told.append(f"failed: {error.detail}")

    def lost(self, why: object) -> None:
        self.told.append(f"lost: {why}")
        logging.getLogger("trivium.store").critical("record not stored: %s", msgspec.json.encode(self.record).decode())

    def lessened(self, _: object) -> bool:
        return False


def apply(ops: Sequence[Op], tx: Writing, again: bool) -> None:
    write_records(tx, [op.record for op in ops if isinstance(op, Kept)], set(), 0)
    for op in ops:
        if not isinstance(op, Kept):
            op.perform(tx)  # type: ignore[attr-defined]


class Disk:
    """A file whose writers wait for no lock, and a second connection that can hold one."""

    def __init__(self, folder: Path) -> None:
        furnish(folder)
        self.database = SqliteDatabase(folder / "trivium.db", patience=0)
        self.mine = self.database._writer
        self.other = sqlite3.connect(folder / "trivium.db", isolation_level=None)
        self._writers: list[Writer] = []

    def writer(self, linger: float = 0.001, backlog: int = 100_000, window: float = 0.002) -> Recorder:
        writer = Writer(self.database, apply, window=window, linger=linger, retry=0.001, backlog=backlog)
        self._writers.append(writer)
        return Recorder(writer)

    def lock(self) -> None:
        self.other.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        if self.other.in_transaction:
            self.other.execute("ROLLBACK")

    def ids(self) -> list[str]:
        return [id for (id,) in self.other.execute("SELECT id FROM records ORDER BY id")]

    def close(self) -> None:
        for writer in self._writers:
            writer.stop()
        self.database.close()
        self.other.close()


class Recorder:
    """The writer of a test."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.flush, self.close, self.run = writer.flush, writer.close, writer.run

    @property
    def failing(self) -> str | None:
        return self.writer.failing

    def accepts(self) -> bool:
        return self.writer.accepts()

    def add(self, record: Record, *, urgent: bool = False) -> Kept:
        kept = Kept(record, urgent=urgent)
        self.writer.add(kept)
        return kept


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    with contextlib.closing(Disk(tmp_path)) as opened:
        yield opened


async def until(condition: Callable[[], object], within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 # what is waited for happens on a thread
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("many", [1, 20])
async def test_what_somebody_waits_for_is_stored_behind_few_and_behind_many(disk: Disk, many: int) -> None:
    writer = disk.writer(linger=60, window=0.02)

    async def stored(count: int) -> None:
        there = len(disk.ids())
        added = [writer.add(record(f"{there + n:03}"), urgent=True) for n in range(count)]
        await until(lambda: all(one.told == ["done"] for one in added))

    for _ in range(3):
        await stored(many)
        await stored(1)  # while it pauses
        await asyncio.sleep(0.05)
        await stored(1)  # when it waits again
    await writer.close()


async def test_close_stores_what_is_still_waiting(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    for n in range(1000):
        writer.add(record(f"{n:04}"))
    await writer.close()
    assert disk.ids() == [f"{n:04}" for n in range(1000)]


async def test_what_is_closed_can_be_closed_again(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    writer.add(record("a"))
    await writer.close()
    await writer.close()
    assert disk.ids() == ["a"]


async def test_a_record_is_stored_without_anyone_asking(disk: Disk) -> None:
    writer = disk.writer()
    writer.add(record("a"))
    await until(lambda: disk.ids() == ["a"])
    writer.add(record("b"))
    await until(lambda: disk.ids() == ["a", "b"])
    await writer.close()


async def test_many_records_are_one_commit(disk: Disk) -> None:
    statements: list[str] = []
    disk.mine.set_trace_callback(statements.append)
    writer = disk.writer(linger=60)
    for n in range(500):
        writer.add(record(str(n)))
    await writer.flush()
    assert statements.count("COMMIT") == 1
    await writer.close()


async def test_every_field_comes_back_as_it_went(disk: Disk) -> None:
    told = record(
        "a", key_id="k", stream=True, usage_known=True, is_byok=False, input_uncached_tokens=2**54, requests=7,
        requested_model="m\u2028'\"\0", error_message="é😀", reported_cost_usd="0.10", losses='[["a","b"]]', total_us=5,
    )  # fmt: skip
    writer = disk.writer()
    writer.add(told)
    await writer.close()
    (row,) = disk.other.execute(f"SELECT {', '.join(COLUMNS)} FROM records")
    assert row == msgspec.structs.astuple(told)


async def test_a_locked_file_makes_records_wait_and_loses_none(disk: Disk) -> None:
    writer = disk.writer()
    disk.lock()
    writer.add(record("a"))
    await until(lambda: writer.failing)
    writer.add(record("b"))
    with pytest.raises(StoreUnavailable) as raised:
        await writer.flush()
    assert "locked" in str(raised.value.detail)
    disk.unlock()
    await writer.flush()
    assert writer.failing is None
    assert disk.ids() == ["a", "b"]
    await writer.close()


@pytest.mark.parametrize("trouble", ["PRAGMA query_only = 1", "PRAGMA max_page_count = 1"], ids=["read-only", "full"])
async def test_it_goes_on_by_itself_once_the_disk_can_be_written_again(
    disk: Disk, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = disk.writer(linger=0.1)
    disk.mine.execute(trouble)
    for n in range(300):
        writer.add(record(f"{n:03}", error_message="x" * 1000))
    await until(lambda: writer.failing)
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    assert re.search(r"cannot be written, \d+ wait: ", caplog.text)
    disk.mine.execute("PRAGMA query_only = 0")
    disk.mine.execute("PRAGMA max_page_count = 1000000")
    await until(lambda: len(disk.ids()) == 300)
    await writer.close()
    assert writer.failing is None
    assert [line.message for line in caplog.records][1:] == ["the store is written again"]


async def test_where_nothing_waited_the_log_does_not_say_that_the_store_is_written_again(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    writer = disk.writer()
    disk.mine.execute("PRAGMA query_only = 1")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await writer.run(lambda tx: tx.execute("DELETE FROM records"))
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    await writer.close()


async def test_what_cannot_be_stored_at_the_end_is_in_the_log(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    writer = disk.writer()
    disk.lock()
    writer.add(record("req_a", output_tokens=12))
    assert not await writer.close(0.01)
    assert "record not stored" in caplog.text
    assert '"id":"req_a"' in caplog.text
    assert '"output_tokens":12' in caplog.text


async def test_at_the_end_a_store_that_is_away_is_waited_for(disk: Disk) -> None:
    writer, loop, tried = disk.writer(), asyncio.get_running_loop(), itertools.count(1)
    disk.lock()

    def back_at_last(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and next(tried) == 15:
            loop.call_soon_threadsafe(disk.unlock)

    disk.mine.set_trace_callback(back_at_last)
    writer.add(record("req_a"))
    assert await writer.close(60)
    assert disk.ids() == ["req_a"]


async def test_what_a_call_leaves_while_the_writer_closes_is_stored_too(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    loop, late = asyncio.get_running_loop(), iter(["late 1", "late 2"])

    def one_more(statement: str) -> None:
        if statement == "COMMIT" and (id := next(late, None)):
            loop.call_soon_threadsafe(writer.add, record(id))

    disk.mine.set_trace_callback(one_more)
    writer.add(record("early"))
    await writer.close()
    assert disk.ids() == ["early", "late 1", "late 2"]


async def test_a_full_backlog_is_said_and_passes(disk: Disk) -> None:
    writer = disk.writer(linger=60, backlog=2)
    accepts = []
    for id in ("a", "b", "c"):
        writer.add(record(id))
        accepts.append(writer.accepts())
    assert accepts == [True, False, False]
    await writer.flush()
    assert writer.accepts()
    assert disk.ids() == ["a", "b", "c"]
    await writer.close()


async def test_what_waits_and_how_long_can_be_read(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    plain = writer.writer
    assert (plain.backlog, plain.lag) == (0, 0)
    writer.add(record("a"))
    await asyncio.sleep(0.02)
    writer.add(record("b"))
    assert plain.backlog == 2
    assert 0.02 <= plain.lag < 5  # the oldest counts
    disk.lock()
    with pytest.raises(StoreUnavailable):
        await writer.flush()
    assert plain.backlog == 2
    assert plain.lag >= 0.02
    disk.unlock()
    await writer.flush()
    assert (plain.backlog, plain.lag) == (0, 0)
    await writer.close()


async def test_a_reader_who_gives_up_while_it_is_written_doubles_nothing(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    for n in range(2000):
        writer.add(record(f"{n:04}"))
    asking = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    writer.add(record("last"))
    await writer.close()
    assert len(disk.ids()) == 2001


async def test_a_record_that_is_added_twice_is_stored_once(disk: Disk) -> None:
    writer = disk.writer()
    writer.add(record("a", status=200))
    await writer.flush()
    writer.add(record("a", status=500))
    await writer.close()
    assert disk.other.execute("SELECT id, status FROM records").fetchall() == [("a", 200)]


async def test_flush_waits_for_what_was_there_and_not_for_what_comes_meanwhile(disk: Disk) -> None:
    writer = disk.writer(linger=60)
    loop, arriving = asyncio.get_running_loop(), iter(range(20))

    def one_more(statement: str) -> None:
        if statement == "COMMIT" and (n := next(arriving, None)) is not None:
            loop.call_soon_threadsafe(writer.add, record(f"late {n}"))

    disk.mine.set_trace_callback(one_more)
    writer.add(record("early"))
    await writer.flush()
    assert len(disk.ids()) <= 2
    await writer.close()


async def test_a_record_that_no_database_takes_does_not_take_the_others_with_it(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    writer = disk.writer()
    odd, good = writer.add(record("odd", total_us=2**63)), writer.add(record("good"))
    await writer.flush()
    assert disk.ids() == ["good"]
    assert odd.told[0].startswith("lost: ")
    assert good.told == ["done"]
    assert '"id":"odd"' in caplog.text
    await writer.close()


class TestUrgent:
    async def test_what_is_urgent_does_not_wait_for_the_others(self, disk: Disk) -> None:
        writer = disk.writer(linger=60)
        slow = writer.add(record("slow"))
        hurried = writer.add(record("hurried"), urgent=True)
        await until(lambda: hurried.told)
        assert disk.ids() == ["hurried"]
        await writer.close()
        assert slow.told == ["done"]

    async def test_what_comes_within_the_window_is_one_commit(self, disk: Disk) -> None:
        statements: list[str] = []
        disk.mine.set_trace_callback(statements.append)
        writer = disk.writer(linger=60, window=1)
        first = writer.add(record("first"), urgent=True)
        await until(lambda: first.told)
        rest = [writer.add(record(f"{n:03}"), urgent=True) for n in range(100)]
        await until(lambda: all(op.told for op in rest))
        assert statements.count("COMMIT") == 2
        await writer.close()

    async def test_it_hears_at_once_that_it_cannot_be_written_and_is_not_tried_again(self, disk: Disk) -> None:
        writer = disk.writer(linger=60)
        disk.lock()
        patient = writer.add(record("patient"))
        hurried = writer.add(record("hurried"), urgent=True)
        await until(lambda: hurried.told)
        assert hurried.told == ["failed: database is locked"]
        disk.unlock()
        await writer.close()
        assert disk.ids() == ["patient"]
        assert patient.told == ["done"]

    async def test_who_comes_while_the_store_is_silent_hears_of_it_with_those_who_wait_already(
        self, disk: Disk
    ) -> None:
        begun, ended = threading.Event(), threading.Event()

        def silent_at_first(ops: Sequence[Op], tx: Writing, again: bool) -> None:
            if not begun.is_set():
                begun.set()
                ended.wait(20)
                raise StoreUnavailable("The store cannot be written.", detail="it is silent")
            apply(ops, tx, again)

        writer = Writer(disk.database, silent_at_first, linger=60, retry=0)
        early, late, later = (Kept(record(name), urgent=True) for name in ("early", "late", "later"))
        writer.add(early)
        await until(begun.is_set)
        writer.add(late)
        ended.set()
        await until(lambda: late.told)
        assert early.told == late.told == ["failed: it is silent"]
        writer.add(later)
        await until(lambda: later.told)
        assert disk.ids() == ["later"]
        await writer.close()


class TestWhateverHappens:
    """Nobody else writes: the thread goes on."""

    async def test_without_memory_what_is_urgent_hears_of_it_and_the_rest_is_tried_again(self, disk: Disk) -> None:
        short = True

        def short_at_first(ops: Sequence[Op], tx: Writing, again: bool) -> None:
            if short:
                raise MemoryError
            apply(ops, tx, again)

        writer = Writer(disk.database, short_at_first, linger=60, retry=0)
        patient, hurried = Kept(record("patient")), Kept(record("hurried"), urgent=True)
        writer.add(patient)
        writer.add(hurried)
        await until(lambda: hurried.told)
        assert hurried.told == ["failed: out of memory"]
        short = False
        await writer.close()
        assert (disk.ids(), patient.told) == (["patient"], ["done"])

    async def test_one_that_cannot_be_told_keeps_nobody_else_from_hearing(
        self, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer = disk.writer()
        odd, plain = writer.add(record("a")), writer.add(record("b"))
        monkeypatch.setattr(odd, "done", lambda: 1 / 0)
        await writer.flush()
        assert plain.told == ["done"]
        assert "an op was not told how it went" in caplog.text

    async def test_what_fails_outside_of_a_transaction_loses_nothing_and_leaves_nobody_waiting(
        self, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = Writer(disk.database, apply, linger=60, retry=0)
        patient, hurried = Kept(record("patient")), Kept(record("hurried"), urgent=True)
        with monkeypatch.context() as patched:
            patched.setattr(writer, "_transact", lambda *_, **__: 1 / 0)
            for op in (patient, hurried):
                writer.add(op)
            with pytest.raises(StoreUnavailable):
                await writer.flush()
        assert (hurried.told, patient.told) == (["failed: ZeroDivisionError('division by zero')"], [])
        await writer.close()
        assert (disk.ids(), patient.told) == (["patient"], ["done"])

    async def test_where_not_even_that_can_be_told_the_thread_goes_on(
        self, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = Writer(disk.database, apply, linger=0, retry=0)
        patient = Kept(record("patient"))
        with monkeypatch.context() as patched:
            patched.setattr(writer, "_tell", lambda *_: 1 / 0)
            writer.add(patient)
            await until(lambda: writer.failing)
        await until(lambda: patient.told)
        assert (disk.ids(), patient.told) == (["patient"], ["done"])
        await writer.close()

    async def test_what_nobody_thought_of_is_said_and_not_the_end(
        self, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer = disk.writer()
        with monkeypatch.context() as patched:
            patched.setattr(writer.writer, "_cut", lambda **_: 1 / 0)
            first = writer.add(record("first"))
            await until(lambda: writer.failing)
        assert "division by zero" in str(writer.failing)
        assert "the store was not written" in caplog.text
        await until(lambda: first.told)
        assert (disk.ids(), writer.failing) == (["first"], None)
        await writer.close()


class TestRun:
    async def test_a_function_sees_everything_before_it_and_its_result_comes_back(self, disk: Disk) -> None:
        writer = disk.writer(linger=60)
        writer.add(record("a"))
        assert await writer.run(lambda tx: tx.execute("SELECT id FROM records")) == [("a",)]
        await writer.close()

    async def test_a_refusal_is_the_callers_and_harms_nobody_else(self, disk: Disk) -> None:
        def refuse(tx: Writing) -> None:
            raise OperationError("no")

        writer = disk.writer(linger=60)
        asked = asyncio.create_task(writer.run(refuse))
        await asyncio.sleep(0)
        writer.add(record("a"))
        with pytest.raises(OperationError, match="no"):
            await asked
        await writer.close()
        assert disk.ids() == ["a"]

    async def test_a_refusal_in_a_transaction_that_was_undone_is_none(
        self, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        real, undone = disk.database.transaction, [Undone("unwritten", detail="a circle")]

        @contextlib.contextmanager
        def transaction() -> Iterator[Writing]:
            with real() as tx:
                yield tx
                if undone:
                    raise undone.pop()

        attempts: list[None] = []

        def refuse_first(tx: Writing) -> str:
            attempts.append(None)
            if len(attempts) == 1:
                raise OperationError("no")
            return "yes"

        monkeypatch.setattr(disk.database, "transaction", transaction)
        writer = disk.writer()
        assert await writer.run(refuse_first) == "yes"
        assert "made again: a circle" in caplog.text
        await writer.close()

    async def test_it_raises_where_the_disk_does_not_take_it(self, disk: Disk) -> None:
        writer = disk.writer()
        disk.lock()
        with pytest.raises(StoreUnavailable):
            await writer.run(lambda tx: None)
        disk.unlock()
        await writer.close()


STEPS = st.lists(st.sampled_from(["add", "add", "flush", "give up", "lock", "unlock", "rest"]), max_size=25)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_in_between_every_record_is_stored_once(steps: list[str]) -> None:
    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.closing(Disk(Path(folder))) as disk:
            writer = disk.writer()
            added = 0
            for step in steps:
                if step == "add":
                    writer.add(record(f"{added:03}"))
                    added += 1
                elif step == "flush":
                    with contextlib.suppress(StoreUnavailable):
                        await writer.flush()
                elif step == "give up":
                    flushing = asyncio.create_task(writer.flush())
                    await asyncio.sleep(0)
                    flushing.cancel()
                    await asyncio.wait([flushing], timeout=30)
                elif step == "lock" and not disk.other.in_transaction:
                    disk.lock()
                elif step == "unlock":
                    disk.unlock()
                else:
                    await asyncio.sleep(0.001)
            disk.unlock()
            await writer.close()
            assert disk.ids() == [f"{n:03}" for n in range(added)]

    asyncio.run(play())


def test_what_may_have_been_written_is_written_as_such_however_many_transactions_it_takes(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, bool]] = []

    def noted(ops: Sequence[Op], tx: Writing, again: bool) -> None:
        said.append(("".join(op.record.id for op in ops if isinstance(op, Kept)), again))
        if len(said) == 1:
            raise StoreUnavailable("The store cannot be written.")

    monkeypatch.setattr(writing, "_MOST", 6)
    writer = Writer(disk.database, noted, window=0, linger=0, retry=0, backlog=100)
    writer._others.extend(Kept(record(id)) for id in "abcdef")
    writer._write_some()
    writer._urgent.extend(Kept(record(id), urgent=True) for id in "WXYZ")
    writer._write_some()
    writer._write_some()
    writer._others.append(Kept(record("g")))
    writer._write_some()
    assert said == [("abcdef", False), ("WXYZab", True), ("cdef", True), ("g", False)]


def test_after_a_transaction_that_was_undone_memory_is_not_believed(disk: Disk) -> None:
    said: list[tuple[str, bool]] = []

    def noted(ops: Sequence[Op], tx: Writing, again: bool) -> None:
        said.append(("".join(op.record.id for op in ops if isinstance(op, Kept)), again))
        if "x" in said[-1][0]:
            raise ValueError("x")

    writer = Writer(disk.database, noted, window=0, linger=0, retry=0, backlog=100)
    for ids in ("ax", "y", "z"):
        writer._others.extend(Kept(record(id)) for id in ids)
        writer._write_some()
    assert said == [("ax", False), ("a", True), ("x", True), ("y", True), ("z", False)]


@pytest.mark.parametrize(("lost_at", "said"), [("begin", "cannot be written"), ("end", "may have been done")])
async def test_an_act_whose_commit_nobody_saw_is_said_to_be_one(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, lost_at: str, said: str
) -> None:
    transaction = disk.database.transaction

    @contextlib.contextmanager
    def lost() -> Iterator[Writing]:
        if lost_at == "begin":
            raise StoreUnavailable("The store cannot be written.")
        with transaction() as tx:
            yield tx
        raise StoreUnavailable("The store cannot be written.", detail="the connection was lost")

    monkeypatch.setattr(disk.database, "shared", True)
    monkeypatch.setattr(disk.database, "transaction", lost)
    writer = disk.writer()
    with pytest.raises(StoreUnavailable, match=said):
        await writer.run(lambda tx: tx.execute("SELECT 1"))
    await writer.close()


def noting(disk: Disk) -> tuple[Writer, list[str]]:
    """A writer that is told when to write, and of each of its transactions what was in it."""
    said: list[str] = []

    def noted(ops: Sequence[Op], tx: Writing, again: bool) -> None:
        said.append(" ".join(op.record.id for op in ops if isinstance(op, Kept)))

    return Writer(disk.database, noted, window=0, linger=0, retry=0, backlog=100), said


@pytest.mark.parametrize("shared", [False, True])
def test_no_end_is_written_before_its_start(disk: Disk, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    monkeypatch.setattr(disk.database, "shared", shared)
    writer, said = noting(disk)
    taken = writing._taken

    def taking(queue: Any, most: int) -> Any:
        """A call begins and ends while the thread is between its two queues."""
        found = taken(queue, most)
        if queue is writer._urgent and not said and writer._others and len(writer._others) == 1:
            writer._urgent.append(Kept(record("start"), urgent=True))
            writer._others.append(Kept(record("end")))
        return found

    monkeypatch.setattr(writing, "_taken", taking)
    writer._others.append(Kept(record("other")))
    writer._write_some()
    assert said == ["start other end"]


def test_where_others_write_too_what_is_to_be_alone_has_a_transaction_of_its_own(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.database, "shared", True)
    writer, said = noting(disk)
    writer._urgent.extend(Kept(record(id), urgent=True, alone=id in "XY") for id in "aXYb")
    writer._others.extend(Kept(record(id), alone=id == "Z") for id in "cZd")
    for _ in range(4):
        writer._write_some()
    assert said == ["a b c d", "Z", "X", "Y"]


def test_what_is_urgent_has_the_ends_before_it_though_something_that_is_to_be_alone_waits_before_them(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an end may free what it needs: a balance, or an idempotency key."""
    monkeypatch.setattr(disk.database, "shared", True)
    writer, said = noting(disk)
    writer._others_due = math.inf
    writer._others.extend(Kept(record(id), alone=id == "Z") for id in ("Z", "end"))
    writer._urgent.append(Kept(record("hold"), urgent=True))
    writer._write_some()
    writer._others_due = 0
    writer._write_some()
    assert said == ["hold end", "Z"]


async def test_who_waits_for_everything_waits_for_what_is_to_be_alone_whatever_comes_meanwhile(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.database, "shared", True)
    writer, said = noting(disk)
    taken, late = writing._taken, [Kept(record("late"), urgent=True)]

    def taking(queue: Any, most: int) -> Any:
        if queue is writer._others and late:
            writer._urgent.append(late.pop())
        return taken(queue, most)

    monkeypatch.setattr(writing, "_taken", taking)
    writer._others_due = math.inf
    writer._others.extend(Kept(record(id), alone=id == "Z") for id in "aZ")
    await writer.flush()
    assert said == ["late a", "Z"]
    await writer.close()


def test_where_others_write_too_no_end_goes_past_its_start_that_came_behind_what_is_to_be_alone(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.database, "shared", True)
    writer, said = noting(disk)
    writer._urgent.extend(Kept(record(id), urgent=True, alone=id == "act") for id in ("a", "act", "start"))
    writer._others.extend(Kept(record(id)) for id in ("end", "b"))
    for _ in range(2):
        writer._write_some()
    assert said == ["a start end b", "act"]


def test_what_is_to_be_alone_waits_for_no_end_of_what_is_urgent(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what was handed over behind it."""
    monkeypatch.setattr(disk.database, "shared", True)
    writer, said = noting(disk)
    writer._others.extend(Kept(record(id), alone=id == "Z") for id in "Zd")
    for id in "abc":
        writer._urgent.append(Kept(record(id), urgent=True))
        writer._write_some()
    assert said == ["Z", "a b d", "c"]
