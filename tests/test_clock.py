"""Texts that say when."""

from __future__ import annotations

import pytest

from trivium.clock import LAST_MS, dated, dated_ms, moment_ms

DAY = 86_400_000
NEW_YEAR = 1_798_761_600_000  # 2027-01-01T00:00:00Z


@pytest.mark.parametrize("date", ["2027-01-01", "20270101", "2026-W53-5"])
def test_a_date_is_its_beginning_or_its_end_however_it_is_written(date: str) -> None:
    assert moment_ms(date) == NEW_YEAR
    assert moment_ms(date, end_of_day=True) == NEW_YEAR + DAY - 1


@pytest.mark.parametrize(
    "moment",
    ["2027-01-01T00:00", "2027-01-01 00:00Z", "2027-01-01t00:00Z", "2027-01-01T01:00+01:00", "20270101T00"],
)
def test_a_moment_is_itself_in_utc_where_it_names_no_zone(moment: str) -> None:
    assert moment_ms(moment) == moment_ms(moment, end_of_day=True) == NEW_YEAR


@pytest.mark.parametrize("text", ["", "yesterday", "2027-13-01", "12h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment_ms(text)


def test_the_last_year_that_can_be_written_is_9999() -> None:
    assert dated(NEW_YEAR, "%Y-%m-%d") == "2027-01-01"
    assert dated(LAST_MS, "%Y-%m-%d") == "9999-12-31"
    assert dated(LAST_MS + 1, "%Y-%m-%d") == str(LAST_MS + 1)


def test_what_is_written_as_a_date_is_read_again_and_nothing_else() -> None:
    assert dated_ms("2027-01-01", "%Y-%m-%d") == NEW_YEAR
    with pytest.raises(ValueError, match="day is out of range"):
        dated_ms("2027-02-30", "%Y-%m-%d")
