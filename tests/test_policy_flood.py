"""A flood of refusals: few records, exact counts."""

import msgspec

from trivium.metering.record import TOLD_BY_CLIENT, Record
from trivium.policy.flood import MOST_ADDRESSES, Flood
from trivium.policy.free import LIMIT_REACHED


def refusal(at_ms: int, status: int = 401) -> Record:
    return Record(id=f"r{at_ms}", time_ms=at_ms, api="messages", operation="generate", outcome="refused", status=status)


def test_the_first_are_kept_one_by_one_and_the_rest_are_counted_by_kind() -> None:
    flood = Flood(singly=2, window_ms=1000)
    kept = [record for at in range(10) for record in flood.admit(refusal(at + 1, 404 if at == 9 else 401))]
    assert [record.requests for record in kept] == [1, 1]
    assert sorted((record.status, record.requests) for record in flood.flush()) == [(401, 7), (404, 1)]
    assert flood.flush() == []


def test_what_is_counted_has_nothing_of_the_one_that_was_first() -> None:
    flood = Flood(singly=0, window_ms=1000)
    own = dict.fromkeys(
        ("client_ip", "client_country", "tls_fingerprint", "client_app", "requested_model", *TOLD_BY_CLIENT), "mine"
    )
    flood.admit(msgspec.structs.replace(refusal(1), **own))
    (counted,) = flood.flush()
    assert "mine" not in msgspec.structs.astuple(counted)


def test_a_new_window_tells_of_the_last_one_and_keeps_singly_again() -> None:
    flood = Flood(singly=1, window_ms=1000)
    for at in (5000, 5001, 5002):
        flood.admit(refusal(at))
    out = flood.admit(refusal(6001))
    assert [(record.requests, record.flags) for record in out] == [(2, "aggregate"), (1, "")]


def test_a_clock_that_was_ahead_ends_no_keeping_one_by_one() -> None:
    flood = Flood(singly=1, window_ms=1000)
    flood.admit(refusal(10**9))
    assert [record.requests for at in (5000, 6000, 7000) for record in flood.admit(refusal(at))] == [1, 1, 1]


def test_who_began_before_others_begins_no_window() -> None:
    flood = Flood(singly=1, window_ms=1000)
    assert [len(flood.admit(refusal(at))) for at in (600_000, 100_000, 600_001)] == [1, 0, 0]


def test_what_stands_for_many_says_nothing_of_the_first() -> None:
    flood = Flood(singly=0, window_ms=1000)
    told = {"client_ip": "192.0.2.1", "client_app": "curl", "requested_model": "m", "prompt_prefix": "I am Anna"}
    told |= {"client_country": "DE", "tls_fingerprint": "t13d"}
    flood.admit(msgspec.structs.replace(refusal(1), system_prompt_prefix="x", system_prompt_length=1, **told))
    assert flood.flush() == [msgspec.structs.replace(refusal(1), flags="aggregate")]


def test_whom_a_limit_of_free_models_has_refused_is_told_by_address_up_to_so_many() -> None:
    flood = Flood(singly=0, window_ms=10_000)
    for at in range(MOST_ADDRESSES + 10):
        for _ in range(2):
            limited = {"client_ip": f"address {at}", "client_app": "curl", "flags": LIMIT_REACHED}
            flood.admit(msgspec.structs.replace(refusal(1, 429), **limited))
    flood.admit(msgspec.structs.replace(refusal(1, 429), client_ip="address 1"))
    counted = {record.client_ip: record for record in flood.flush() if LIMIT_REACHED in record.flags}
    assert len(counted) == MOST_ADDRESSES + 1
    assert {counted[f"address {at}"].requests for at in range(MOST_ADDRESSES)} == {2}
    assert counted[None].requests == 20
    assert (counted["address 1"].client_app, counted["address 1"].flags) == (None, f"aggregate {LIMIT_REACHED}")
    flood.admit(msgspec.structs.replace(refusal(2, 429), client_ip="address 1009", flags=LIMIT_REACHED))
    assert [record.client_ip for record in flood.flush()] == ["address 1009"]  # each window tells of others
