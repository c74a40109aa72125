"""The log of holds: what is kept outlives whoever kept it, wherever it broke off, until the database has it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import StoreUnavailable
from trivium.store.hold_log import HoldLog
from trivium.store.sql import Row

A, B, C = ("req_a", 1, None), ("req_b", 2, "größer"), ("req_c", 3, "x" * 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trivium.db-holds"


@pytest.fixture
def log(path: Path) -> Iterator[HoldLog]:
    with contextlib.closing(HoldLog(path, lambda: True)) as opened:
        yield opened


def found(path: Path) -> list[Row]:
    """By the next run."""
    return HoldLog(path, lambda: True).read()


def test_what_is_kept_is_there_for_the_next_run_until_the_database_has_it(log: HoldLog, path: Path) -> None:
    assert found(path) == []
    assert log.keep([A, B])
    assert log.keep([C])
    assert found(path) == [A, B, C]
    log.clear()
    assert found(path) == []
    assert log.keep([C])
    assert found(path) == [C]  # and nothing of what lies behind it


def test_nobody_else_can_read_it(log: HoldLog, path: Path) -> None:
    log.keep([A])
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_goes_when_the_database_has_everything_and_stays_otherwise(path: Path) -> None:
    for clears in (False, True):
        log = HoldLog(path, lambda: True)
        log.keep([A])
        if clears:
            log.clear()
        log.close()
        assert path.exists() is not clears


def test_an_empty_one_that_a_kill_has_left_goes_with_a_later_run_that_keeps_nothing(path: Path) -> None:
    killed = HoldLog(path, lambda: True)
    killed.keep([A])
    killed.clear()
    later = HoldLog(path, lambda: True)
    assert later.read() == []
    assert path.exists()
    later.close()
    assert not path.exists()


def test_it_never_grows_and_what_has_no_room_is_for_the_database(log: HoldLog, path: Path) -> None:
    log.keep([A])
    size = path.stat().st_size
    many = [C] * 300
    kept = 0
    while log.keep(many):
        kept += 1
    assert 1 <= kept < 10
    assert path.stat().st_size == size
    assert found(path) == [A, *many * kept]
    log.clear()
    assert log.keep(many)


def test_what_cannot_be_said_in_it_is_for_the_database_and_so_is_what_follows(log: HoldLog, path: Path) -> None:
    log.keep([A])
    assert not log.keep([("req_\ud800", 1)])
    assert not log.keep([B])
    assert found(path) == [A]
    log.clear()
    assert log.keep([B])


def test_without_a_place_for_it_nothing_is_kept(tmp_path: Path) -> None:
    assert not HoldLog(tmp_path / "missing" / "holds", lambda: True).keep([A])


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_one_that_was_taken_away_is_made_anew_once_the_database_has_what_it_had(
    log: HoldLog, path: Path, how: str
) -> None:
    log.keep([A])
    path.unlink()
    if how == "replaced":
        path.write_bytes(b"")
    assert not log.keep([B])
    log.clear()
    assert log.keep([C])
    assert found(path) == [C]


def test_where_nothing_was_in_it_it_is_made_anew_at_once(log: HoldLog, path: Path) -> None:
    log.keep([A])
    log.clear()
    path.unlink()
    assert log.keep([B])
    assert found(path) == [B]


def test_that_of_another_database_in_its_place_stays(path: Path) -> None:
    old, is_there = HoldLog(path, lambda: is_there), True
    old.keep([A])
    old.clear()
    path.rename(path.with_name("moved"))
    is_there = False
    with contextlib.closing(HoldLog(path, lambda: True)) as new:
        new.keep([B])
        assert not old.keep([A])
        old.clear()
        old.close()
        assert found(path) == [B]


def test_nothing_is_kept_for_a_database_that_is_gone(path: Path) -> None:
    assert not HoldLog(path, lambda: False).keep([A])


def test_a_log_that_cannot_be_read_stops_the_start(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable) as raised:
        found(path)
    assert str(path) in str(raised.value.detail)


@given(
    batches=st.lists(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3), min_size=1, max_size=4),
    before=st.lists(st.sampled_from([A, B, C]), max_size=30),
    data=st.data(),
)
def test_of_what_broke_off_or_was_damaged_everything_before_is_there(
    batches: list[list[Row]], before: list[Row], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "holds"
        with contextlib.closing(HoldLog(path, lambda: True)) as log:
            if before:
                log.keep(before)
                log.clear()
            ends = []
            for batch in batches:
                assert log.keep(batch)
                ends.append(log._end)
            assert found(path) == [row for batch in batches for row in batch]
        place = data.draw(st.integers(0, ends[-1] - 1))
        whole = path.read_bytes()
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        untouched = [batch for batch, end in zip(batches, ends, strict=True) if end <= place]
        assert found(path) == [row for batch in untouched for row in batch]
        path.write_bytes(whole[:place])
        assert found(path) == [row for batch in untouched for row in batch]
