"""What is counted by the minute for alerts, and that nobody can make it grow."""

from __future__ import annotations

from typing import Any

import msgspec

from support_records import MIDNIGHT, record
from trivium.metering.record import Record
from trivium.policy.alert_rules import Counted, Series
from trivium.policy.blame import Apps
from trivium.telemetry.hub import Ended
from trivium.telemetry.minutes import Minutes

MINUTE = MIDNIGHT // 60_000
GOOD: dict[str, Any] = {"provider": "up", "upstream_model": "m", "payer": "house", "client_app": "opencode/1.2"}
BAD = GOOD | {"outcome": "failed", "status": 500, "upstream_status": 500}


def known(provider: str | None, model: str | None) -> tuple[str, str]:
    return provider or "none", model if model is not None and model.startswith("m") else "other"


def counted(*records: Record, most: int = 100, slow_ms: int | None = None) -> dict[tuple[int, Series], Counted]:
    minutes = Minutes(known, Apps(), most=most)
    minutes.slow_ms = lambda _, __: slow_ms
    minutes.take([Ended(one, None) for one in records])
    rows = minutes.drain()
    assert minutes.drain() == []
    return {(minute - MINUTE, series): counts for minute, series, counts in rows}


def test_calls_count_in_the_minute_in_which_they_ended() -> None:
    long = record("c", **BAD, total_us=60_000_000)
    assert counted(record("a", **GOOD), record("b", **BAD), long) == {
        (0, Series("up", "m", "opencode")): Counted(2, 1),
        (1, Series("up", "m", "opencode")): Counted(1, 1),
    }


def test_what_says_nothing_about_the_provider_does_not_count() -> None:
    refused = record("a", outcome="refused", status=401, requests=40)
    own = record("b", **(BAD | {"payer": "byok"}))
    left = record("c", **(GOOD | {"outcome": "aborted", "status": 499}))
    tokens = record("d", **(GOOD | {"payer": None, "operation": "count_tokens"}))
    assert counted(refused, own, left, tokens) == {}


def test_slow_first_tokens_are_looked_for_where_there_is_a_threshold_in_successes_alone() -> None:
    records = [record(str(us), **GOOD, stream=True, first_token_us=us) for us in (1_000, 2_000, 2_001, 9_000_000)]
    records += [record("bad", **BAD, first_token_us=9_000_000), record("whole", **GOOD)]
    place = (0, Series("up", "m", "opencode"))
    assert counted(*records, slow_ms=2)[place] == Counted(6, 1, 4, 2)
    assert counted(*records)[place] == Counted(6, 1)


def test_a_route_that_was_tried_in_vain_is_an_error_of_its_provider() -> None:
    tried = [{"route": "first/m#2", "status": 503}, {"route": "small/m", "status": 413}]
    routing = msgspec.json.encode({"tried": tried}).decode()
    assert counted(record("a", **GOOD, routing=routing)) == {
        (0, Series("up", "m", "opencode")): Counted(1, 0),
        (0, Series("first", "m", "opencode")): Counted(1, 1),
        (0, Series("small", "m", "opencode")): Counted(1, 0),  # what was asked was too much for it
    }


def test_names_of_strangers_make_no_series() -> None:
    many = [record(str(n), **(GOOD | {"client_app": f"x{n}", "upstream_model": f"z{n}"})) for n in range(9_000)]
    assert counted(*many) == {(0, Series("up", "other", "other")): Counted(9_000)}


def test_beyond_so_many_series_there_is_one() -> None:
    many = [record(str(n), **(GOOD | {"upstream_model": f"m{n}"})) for n in range(5)]
    found = counted(*many, most=3)
    assert len(found) == 4
    assert found[0, Series("other", "other", "other")] == Counted(2)


def test_calls_with_callers_keys_do_not_count_whoever_takes_the_request_in_the_end() -> None:
    tried = [{"route": "theirs/m", "status": 500, "own": True}, {"route": "first/m", "status": 503}]
    routing = msgspec.json.encode({"tried": tried}).decode()
    first, up = (0, Series("first", "m", "opencode")), (0, Series("up", "m", "opencode"))
    assert counted(record("a", **GOOD, routing=routing)) == {first: Counted(1, 1), up: Counted(1, 0)}
    for payer in ("byok", "byok_fee"):
        assert counted(record("b", **BAD | {"payer": payer}, routing=routing)) == {first: Counted(1, 1)}
