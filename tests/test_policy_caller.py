"""Values of who calls, as they are kept and read."""

from __future__ import annotations

import msgspec
import pytest

from trivium.policy.caller import Id, Limits, OrganizationSettings, Policy, Scopes, matches, names_of


def test_names_are_with_and_without_provider_and_suffix_each_once() -> None:
    assert names_of("up", "m") == ("up/m", "m")
    assert names_of("Up", " Vendor/M:free ") == ("up/vendor/m", "vendor/m", "up/vendor/m:free", "vendor/m:free")


def test_names_are_without_openrouters_marks_too() -> None:
    assert {"vendor/m", "openrouter/vendor/m"} <= set(names_of("openrouter", "~vendor/m:nitro@preset/x"))
    assert {"@preset/x", "openrouter/@preset/x"} == set(names_of("openrouter", "@preset/x"))


def test_no_pattern_means_no_name() -> None:
    assert not matches((), ("m",))
    assert matches(("x", "m"), ("up/m", "m"))


@pytest.mark.parametrize("pattern", ["up/m ", " UP/M", "up/*  ", " Up/M:free", "up/m :free"])
def test_patterns_mean_what_names_do_without_blanks_and_capitals(pattern: str) -> None:
    assert matches((pattern,), names_of("up", "m"))


def test_the_largest_list_is_read_without_regular_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in the first call with it, and all other calls wait meanwhile."""
    monkeypatch.setattr("trivium.canon.wildcard.compiled", None)
    wild = tuple(f"*a*b*c*d*e*f*g{'x' * 180}{n}*" for n in range(100))
    exact = tuple(f"{n}{'y' * 190}" for n in range(900))
    scopes = msgspec.convert({"models": wild + exact}, Scopes)
    assert not matches(scopes.models, ("abcdefg", "up/abcdefg"))
    assert matches(scopes.models, ("1" + "y" * 190,))


def test_limits_are_true_where_one_is_said_even_nothing() -> None:
    assert not Limits()
    assert Limits(requests_per_minute=0)


@pytest.mark.parametrize("id", ["a", "org_1", "a.b@c-d", "A" * 100])
def test_an_id_is_letters_digits_and_a_few_signs(id: str) -> None:
    assert msgspec.convert(id, Id) == id


@pytest.mark.parametrize("id", ["", "-a", ".a", "a/b", "a b", "a\n", "a\0", "A" * 101, "ä"])
def test_what_is_no_id_is_refused(id: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(id, Id)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Limits, {"requests_per_minute": -1}),
        (Limits, {"requests": 1}),
        (Policy, {"models_allow": ["x"] * 1001}),
        (Policy, {"models_allow": [f"*{n}" for n in range(101)]}),
        (Policy, {"models_deny": ["a*" * 9]}),
        (Policy, {"providers_deny": ["a?"]}),
        (Scopes, {"models": [f"*{n}" for n in range(101)]}),
        (Scopes, {"models": ["x" * 201]}),
        (Policy, {"data_collection": "perhaps"}),
        (Scopes, {"apis": ["chat"]}),
        (OrganizationSettings, {"name": "x"}),
    ],
)
def test_what_is_said_wrongly_is_refused_rather_than_overlooked(kind: type[msgspec.Struct], said: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(said, kind)
