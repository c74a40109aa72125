"""The last requests, as they are watched."""

from __future__ import annotations

import pytest

from trivium.metering.record import Record
from trivium.store import recent
from trivium.store.recent import Recent


def record(id: str, outcome: str = "success") -> Record:
    return Record(id=id, time_ms=1, api="chat", operation="generate", outcome=outcome, status=200)


def ids(records: list[Record]) -> list[str]:
    return [record.id for record in records]


def everything(_: Record) -> bool:
    return True


def test_without_a_cursor_the_last_ones_come_and_then_what_is_new() -> None:
    seen = Recent("run")
    for n in range(5):
        seen.add(record(f"r{n}"))
    found, cursor, lost = seen.after("", 2, everything)
    assert (ids(found), lost) == (["r3", "r4"], False)
    assert seen.after(cursor, 2, everything) == ([], cursor, False)
    for n in range(5, 8):
        seen.add(record(f"r{n}"))
    found, cursor, _ = seen.after(cursor, 2, everything)
    assert ids(found) == ["r5", "r6"]
    found, cursor, _ = seen.after(cursor, 2, everything)
    assert ids(found) == ["r7"]


def test_what_is_not_wanted_is_passed_over_and_not_asked_again() -> None:
    seen = Recent("run")
    for n in range(6):
        seen.add(record(f"r{n}", "failed" if n % 2 else "success"))
    asked: list[str] = []

    def failed(one: Record) -> bool:
        asked.append(one.id)
        return one.outcome == "failed"

    found, cursor, _ = seen.after("run:0", 10, failed)
    assert ids(found) == ["r1", "r3", "r5"]
    asked.clear()
    assert seen.after(cursor, 10, failed)[0] == []
    assert asked == []


def test_who_looks_too_seldom_hears_that_some_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT", 3)
    seen = Recent("run")
    seen._records = type(seen._records)(maxlen=3)
    _, cursor, _ = seen.after("", 5, everything)
    for n in range(5):
        seen.add(record(f"r{n}"))
    found, cursor, lost = seen.after(cursor, 5, everything)
    assert (ids(found), lost) == (["r2", "r3", "r4"], True)
    assert seen.after(cursor, 5, everything)[2] is False


@pytest.mark.parametrize("cursor", ["other:2", "run:x", "2", ":", "run:"])
def test_a_cursor_of_another_life_or_made_up_begins_anew(cursor: str) -> None:
    seen = Recent("run")
    for n in range(3):
        seen.add(record(f"r{n}"))
    found, after, lost = seen.after(cursor, 2, everything)
    assert (ids(found), after, lost) == (["r0", "r1"], "run:2", False)


def test_several_find_their_parts_of_one_cursor() -> None:
    one, other = Recent("run_one"), Recent("run_two")
    cursor = ".".join(seen.after("", 9, everything)[1] for seen in (one, other))
    one.add(record("a"))
    other.add(record("b"))
    assert [ids(seen.after(cursor, 9, everything)[0]) for seen in (one, other)] == [["a"], ["b"]]
    cursor = ".".join(seen.after(cursor, 9, everything)[1] for seen in (one, other))
    other.add(record("c"))
    assert [ids(seen.after(cursor, 9, everything)[0]) for seen in (one, other)] == [[], ["c"]]


def test_a_cursor_beyond_the_end_is_the_end() -> None:
    seen = Recent("run")
    seen.add(record("a"))
    assert seen.after("run:99", 9, everything) == ([], "run:1", False)
