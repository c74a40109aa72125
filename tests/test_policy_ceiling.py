"""Limits that are set from outside the house."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import OperationError
from trivium.policy.caller import Limits, Scopes, matches, names_of
from trivium.policy.ceiling import Ceiling, within, within_ceiling

NUMBERS = st.none() | st.integers(0, 5)
LIMITS = st.builds(Limits, requests_per_minute=NUMBERS, concurrent_requests=NUMBERS)


def effective(own: Limits, house: Limits, name: str) -> float:
    """What holds of a limit."""
    said = [value for limits in (own, house) if (value := getattr(limits, name)) is not None]
    return said[0] if said else float("inf")


@given(LIMITS, LIMITS, LIMITS)
def test_what_holds_afterwards_is_never_more_than_before(asked: Limits, own: Limits, house: Limits) -> None:
    try:
        within(asked, own, house)
    except OperationError:
        return
    for name in ("requests_per_minute", "concurrent_requests"):
        assert effective(asked, house, name) <= effective(own, house, name)


def test_lower_ones_and_those_of_nobody_are_free() -> None:
    within(Limits(requests_per_minute=4), Limits(requests_per_minute=5), Limits())
    within(Limits(requests_per_minute=9**9), Limits(), Limits())
    within(Limits(), Limits(), Limits(requests_per_minute=1))


def test_the_refusal_names_the_limit() -> None:
    with pytest.raises(OperationError, match="requests_per_minute is 5 and can only be lowered"):
        within(Limits(requests_per_minute=6), Limits(), Limits(requests_per_minute=5))


class Key(msgspec.Struct, frozen=True):
    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    expires_ms: int | None = None


TEXTS = st.lists(st.sampled_from(["a", "b", "/", ":", "*", "?"]), min_size=1, max_size=4).map("".join)
PATTERNS = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)


@given(PATTERNS, PATTERNS, st.text("abc/:", min_size=1, max_size=6))
def test_models_that_are_within_others_reach_nothing_beside_them(
    asked: tuple[str, ...], most: tuple[str, ...], name: str
) -> None:
    try:
        within_ceiling(Key(Scopes(models=asked)), Ceiling(scopes=Scopes(models=most)))
    except OperationError:
        return
    names = names_of("b", name)
    assert not matches(asked, names) or matches(most, names)


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        *(("up/*", "up/*"), ("up/small", "up/*"), ("up/s*", "up/*"), ("UP/small*", "up/*"), ("m?", "m*"), ("m?", "m?")),
        *(("m:free", "m"), ("m:free", "m:online"), (" M :free", "m*"), ("up/m*:free", "*:free"), ("*:free", "*:free")),
    ],
)
def test_models_within_others(asked: str, most: str) -> None:
    within_ceiling(Key(Scopes(models=(asked,))), Ceiling(scopes=Scopes(models=(most,))))


@pytest.mark.parametrize(
    ("asked", "most"), [("up/small:free", "*:free"), ("up/small:free ", "up/small:*"), ("m:", "m:*"), ("m", "*:free")]
)
def test_an_exact_name_has_to_be_within_as_what_it_means(asked: str, most: str) -> None:
    """Its suffix says nothing: it means the dear model too."""
    assert matches((asked,), names_of("up", asked.partition(":")[0].removeprefix("up/")))
    with pytest.raises(OperationError, match="Which models"):
        within_ceiling(Key(Scopes(models=(asked,))), Ceiling(scopes=Scopes(models=(most,))))


@pytest.mark.parametrize(
    ("asked", "most", "is_within"),
    [
        ("10.1.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.1", "10.0.0.0/8", True),
        ("fd00::/64", "fd00::/8", True),
        ("0.0.0.0/0", "10.0.0.0/8", False),
        ("11.0.0.1", "10.0.0.0/8", False),
        ("::a00:0", "10.0.0.0/8", False),
    ],
)
def test_networks_within_others(asked: str, most: str, *, is_within: bool) -> None:
    try:
        within_ceiling(Key(Scopes(networks=(asked,))), Ceiling(scopes=Scopes(networks=(most,))))
    except OperationError:
        assert not is_within
    else:
        assert is_within


def test_where_the_house_has_set_nothing_everything_is_free() -> None:
    for key in (Key(), Key(Scopes(models=("m",)), Limits(requests_per_minute=1), 5)):
        within_ceiling(key, Ceiling())
