"""The memory of the double."""

from __future__ import annotations

import io

import msgspec
import pytest

from trivium.mock import Recorded
from trivium.mock.record import Records


def recorded(records: Records) -> Recorded:
    return Recorded(
        number=records.next_number(), arrived=1.0, method="GET", path="/", query="", headers=[], body=b"\xff", json=None
    )


def test_the_oldest_is_forgotten_and_numbers_go_on() -> None:
    records = Records(keep=2)
    for _ in range(3):
        records.begin(recorded(records))

    assert [request.number for request in records.all] == [2, 3]
    records.clear()
    records.begin(recorded(records))
    assert [request.number for request in records.all] == [4]


def test_an_ended_request_replaces_itself_and_becomes_a_line() -> None:
    file = io.BytesIO()
    records = Records(keep=2, file=file)
    request = recorded(records)
    records.begin(request)
    records.end(msgspec.structs.replace(request, ending="aborted", ended=2.0))

    assert [(held.number, held.ending) for held in records.all] == [(1, "aborted")]
    line = msgspec.json.decode(file.getvalue())
    assert (line["number"], line["ending"], line["body"]) == (1, "aborted", "/w==")


def test_a_request_that_ends_after_it_was_cleared_does_not_come_back() -> None:
    records = Records(keep=2)
    request = recorded(records)
    records.begin(request)
    records.clear()
    records.end(request)

    assert records.all == []


async def test_waiting_ends_when_the_wanted_is_there() -> None:
    records = Records(keep=2)
    records.begin(recorded(records))

    assert len(await records.until(lambda held: len(held) == 1, within=0)) == 1
    with pytest.raises(TimeoutError):
        await records.until(lambda held: len(held) == 2, within=0)
