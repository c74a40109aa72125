"""What free requests count for, what is said at the limit, and which policies let a model of the house be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import CredentialMissing, Forbidden, FreeLimitReached, RateLimited
from trivium.policy.caller import Caller, Policy
from trivium.policy.counters import Claim, Denial, Windows
from trivium.policy.free import (
    DAY,
    HOUR,
    Standing,
    check_house_model,
    claims_of,
    key_needed,
    looks_of,
    refusal_key,
    refused_by,
    standing_of,
)
from trivium.providers.house import HouseModel
from trivium.settings import FreeModelSettings, FreeSettings

ANN = Caller(id="key_1", user_id="ann")
NOBODYS = Caller(id="key_2")
LIMITED = FreeSettings(per_user_per_hour=5, per_user_per_day=9, sign_up_url="https://sign.up")


def counted(settings: FreeSettings, caller: Caller | None, *, house: bool) -> list[tuple[str, int, int]]:
    """(whose, limit, seconds)."""
    claims = claims_of(settings, caller=caller, house=house, address="192.0.2.1")
    assert all(claim.amount == 1 for claim in claims)
    return [(claim.key, claim.limit, claim.window_s) for claim in claims]


def test_a_model_of_the_house_counts_for_the_address_whoever_asks() -> None:
    hour = ("free:address:192.0.2.1", 200, HOUR)
    assert counted(FreeSettings(), ANN, house=True) == [hour]
    assert counted(FreeSettings(), None, house=True) == [("free:anonymous:192.0.2.1", 2000, DAY), hour]


def test_other_free_models_count_for_those_without_a_key() -> None:
    assert counted(FreeSettings(), ANN, house=False) == []
    assert [whose for whose, _, _ in counted(FreeSettings(), None, house=False)] == [
        "free:anonymous:192.0.2.1",
        "free:address:192.0.2.1",
    ]


def test_users_have_limits_of_their_own_where_they_are_set() -> None:
    assert counted(LIMITED, ANN, house=False) == [("free:user:ann:3600", 5, HOUR), ("free:user:ann:86400", 9, DAY)]
    assert counted(LIMITED, NOBODYS, house=False)[0] == ("free:user:key:key_2:3600", 5, HOUR)
    assert len(counted(LIMITED, ANN, house=True)) == 3


@given(st.booleans(), st.sampled_from([None, ANN, NOBODYS]), st.sampled_from([FreeSettings(), LIMITED]))
def test_no_two_claims_of_a_request_are_of_one_counter(house: bool, caller: Caller | None, of: FreeSettings) -> None:
    keys = [key for key, _, _ in counted(of, caller, house=house)]
    assert len(set(keys)) == len(keys)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60), st.integers(0, 6), st.integers(0, 9))
def test_exactly_as_many_pass_as_the_narrower_limit_lets(addresses: list[str], hour: int, day: int) -> None:
    windows = Windows()
    settings = FreeSettings(per_ip_per_hour=hour, anonymous_per_ip_per_day=day)
    passed = dict.fromkeys("abc", 0)
    for address in addresses:
        claims = claims_of(settings, caller=None, house=True, address=address)
        passed[address] += windows.take(claims, "", 1_000_000).denial is None
    assert passed == {address: min(addresses.count(address), hour, day) for address in "abc"}


def denied(claim: Claim, wait: int) -> Denial:
    return Denial(claim, claim.limit, wait)


def test_strangers_are_sent_to_sign_up_and_the_hour_passes() -> None:
    day, hour = claims_of(LIMITED, caller=None, house=True, address="::1")
    error = refused_by(denied(day, 7201), LIMITED)
    assert isinstance(error, FreeLimitReached)
    assert (error.status, error.code) == (401, "free_limit_reached")
    assert "2000 requests" in error.message
    assert "Sign up for a key at https://sign.up, or come back in 3 h." in error.message
    error = refused_by(denied(hour, 90), LIMITED)
    assert isinstance(error, RateLimited)
    assert (error.status, error.retry_after) == (429, 90)
    assert "200 requests for free models in an hour is reached for this address. Try again in 2 min" in error.message
    assert "::1" not in error.message


def test_a_user_hears_of_the_users_limit() -> None:
    hour, day = claims_of(LIMITED, caller=ANN, house=False, address="")
    assert "5 requests for free models in an hour is reached for this user. Try again in 30 s" in (
        refused_by(denied(hour, 30), LIMITED).message
    )
    assert "in 24 hours" in refused_by(denied(day, 30), LIMITED).message


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (7201, "3 h"),
    ],
)
def test_whoever_comes_back_when_told_does_not_come_too_early(seconds: int, said: str) -> None:
    hour, _ = claims_of(LIMITED, caller=ANN, house=False, address="")
    assert f"Try again in {said}, or" in refused_by(denied(hour, seconds), LIMITED).message


def test_where_nobody_is_to_sign_up_no_address_is_named() -> None:
    assert ". Sign up for an API key and send it as `Authorization" in key_needed("m", FreeSettings()).message


def test_whoever_needs_a_key_is_not_told_whether_the_model_exists() -> None:
    error = key_needed("x" * 500, FreeSettings())
    assert isinstance(error, CredentialMissing)
    assert error.code == "paid_model_auth_required"
    assert error.message.startswith(f"The model `{'x' * 100}` needs an API key")


def may(policy: Policy, *, collects: bool = False, retains: bool = False, **said: bool | None) -> bool:
    model = HouseModel(id="h/a", provider="acme", model="big", said=FreeModelSettings(route="acme/big", **said))  # type: ignore[arg-type]
    try:
        check_house_model(policy, model, "acme", collects=collects, retains=retains)
    except Forbidden as error:
        if said.get("stealth"):
            assert "acme" not in error.message
        return False
    return True


DENY = Policy(data_collection="deny")


@pytest.mark.parametrize("collects", [True, False])
def test_who_denies_the_collection_of_data_gets_no_model_that_requires_it(collects: bool) -> None:
    for stealth in (True, False):
        assert may(Policy(), collects=collects, requires_data_collection=True, stealth=stealth)
        assert not may(DENY, collects=collects, requires_data_collection=True, stealth=stealth)
        assert may(DENY, collects=collects, requires_data_collection=False, stealth=stealth)
    assert may(DENY, collects=collects) is not collects
    assert not may(DENY, collects=collects, stealth=True)


PROVIDERS = [
    Policy(providers_allow=("acme",)),
    Policy(providers_allow=("other",)),
    Policy(providers_deny=("acme",)),
    Policy(providers_deny=("other",)),
    Policy(zdr=True),
]


def test_a_policy_about_providers_holds_and_is_no_way_to_find_out_who_is_stealth() -> None:
    assert [may(policy) for policy in PROVIDERS] == [True, False, False, True, True]
    assert [may(policy, retains=True) for policy in PROVIDERS] == [True, False, False, True, False]
    assert [may(policy, stealth=True) for policy in PROVIDERS] == [False] * 5
    denying = [Policy(models_deny=(name,)) for name in ("acme/*", "big", "other/*")]
    assert [may(policy, stealth=True) for policy in denying] == [False] * 3
    assert [may(policy) for policy in denying] == [False, False, True]
    assert not may(Policy(models_deny=("acme/*",)))
    assert not may(Policy(models_deny=("big",)))


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:2::/64", ""])
@pytest.mark.parametrize("caller", [None, ANN, NOBODYS])
def test_a_counter_says_what_it_is_about(caller: Caller | None, address: str) -> None:
    """By its key alone: of requests, and of the refusals beside them."""
    claims = claims_of(LIMITED, caller=caller, house=True, address=address)
    found = [standing_of(claim.key, claim.window_s) for claim in claims]
    refusals = [standing_of(refusal_key(claim), claim.window_s) for claim in claims]
    of_address = Standing("address", address, "per_ip_per_hour", False)
    if caller is None:
        assert found == [Standing("address", address, "anonymous_per_ip_per_day", False), of_address]
    else:
        kind, who = ("user", "ann") if caller is ANN else ("key", "key_2")
        limits = ("per_user_per_hour", "per_user_per_day")
        assert found == [of_address, *(Standing(kind, who, limit, False) for limit in limits)]  # type: ignore[arg-type]
    assert [one and (one.kind, one.who, one.limit, one.refusals) for one in refusals] == [
        one and (one.kind, one.who, one.limit, True) for one in found
    ]
    assert len({refusal_key(claim) for claim in claims} | {claim.key for claim in claims}) == 2 * len(claims)


def test_who_is_looked_up_is_asked_for_by_the_same_keys_and_counts_nothing() -> None:
    asked = [*looks_of("address", "192.0.2.1", LIMITED).values(), *looks_of("user", "ann", LIMITED).values()]
    asked += looks_of("key", "key_2", LIMITED).values()
    counted = [*claims_of(LIMITED, caller=None, house=True, address="192.0.2.1")]
    for caller in (ANN, NOBODYS):
        counted += claims_of(LIMITED, caller=caller, house=False, address="192.0.2.1")
    assert {(claim.key, claim.limit, claim.window_s, claim.amount) for claim in asked} == {
        (claim.key, claim.limit, claim.window_s, 0) for claim in counted
    }
    assert looks_of("key", "key_2", FreeSettings()) == {}
    for key in ("requests:key:key_1", "free:", "free:other:x", "free"):
        assert standing_of(key, HOUR) is None
