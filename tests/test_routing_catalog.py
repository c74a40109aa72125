"""Where a model name leads, and which names a client is shown."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.errors import ModelAmbiguous, ModelEnded, ModelNotFound
from trivium.providers.provider import Provider
from trivium.routing.catalog import Catalog, ModelEntry, catalog
from trivium.settings import NOTHING_FREE, FreeModelSettings, FreeSettings


def house(
    configured: Mapping[str, list[str] | None],
    listed: Mapping[str, list[str]] | None = None,
    aliases: Mapping[str, str] | None = None,
    free: FreeSettings = NOTHING_FREE,
) -> Catalog:
    """Providers with their configured models, None where they are asked for their list."""
    providers = [
        Provider(name=name, base_url="http://h/v1", apis=frozenset(Api), models=None if ids is None else tuple(ids))
        for name, ids in configured.items()
    ]
    told = {name: tuple(ModelEntry(id, name) for id in ids) for name, ids in (listed or {}).items()}
    return catalog(providers, aliases or {}, told, free)


def lead(where: Catalog, name: str) -> tuple[str, str]:
    target = where.resolve(name)
    return target.provider.name, target.model


def shown(where: Catalog) -> list[str]:
    return [entry.id for entry, _ in where.entries()]


def test_a_bare_id_leads_to_the_one_provider_that_serves_it() -> None:
    assert lead(house({"a": ["m", "n"], "b": ["o"]}), "o") == ("b", "o")


def test_an_alias_wins_over_everything_and_leads_one_step() -> None:
    where = house({"a": ["m"], "b": ["n"]}, aliases={"m": "b/n", "a/m": "n", "x": "y", "y": "m"})
    assert lead(where, "m") == ("b", "n")
    assert lead(where, "a/m") == ("b", "n")
    with pytest.raises(ModelNotFound):
        where.resolve("x")


def test_a_provider_in_front_names_the_upstreams_id_listed_or_not() -> None:
    where = house({"openrouter": ["openai/gpt-x"], "b": ["m"]})
    assert lead(where, "openrouter/openai/gpt-x") == ("openrouter", "openai/gpt-x")
    assert lead(where, "openai/gpt-x") == ("openrouter", "openai/gpt-x")
    assert lead(where, "b/unlisted") == ("b", "unlisted")
    assert not where.resolve("b/unlisted").listed


def test_a_provider_may_have_its_own_name_in_that_of_a_model() -> None:
    where = house({"openrouter": ["openrouter/auto", "openrouter/m", "m"]})
    for name in ("openrouter/auto", "openrouter/openrouter/auto"):
        assert lead(where, name) == ("openrouter", "openrouter/auto")
    assert lead(where, "openrouter/m") == ("openrouter", "m")
    assert lead(where, "openrouter/openrouter/m") == ("openrouter", "openrouter/m")


def test_several_providers_of_one_id_are_named() -> None:
    with pytest.raises(ModelAmbiguous) as raised:
        house({"a": ["m"], "b": ["m*"], "c": ["n"]}).resolve("m")
    assert "`a/m`, `b/m`" in raised.value.message
    assert (raised.value.status, raised.value.param) == (400, "model")


@pytest.mark.parametrize("name", ["nobody", "nobody/m", "/m", "a/", "/", "M", "m ", "../m"])
def test_a_name_that_leads_nowhere_is_404(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        house({"a": ["m"]}).resolve(name)
    assert (raised.value.status, raised.value.param) == (404, "model")
    assert f"`{name}`" in raised.value.message


def test_patterns_match_whole_ids_with_their_case() -> None:
    where = house({"a": ["claude-*"], "b": ["gpt-?"]})
    assert lead(where, "claude-") == ("a", "claude-")
    assert lead(where, "gpt-5") == ("b", "gpt-5")
    for name in ("Claude-1", "x-claude-1", "gpt-55"):
        with pytest.raises(ModelNotFound):
            where.resolve(name)


def test_brackets_are_no_wildcards() -> None:
    assert lead(house({"a": ["m[1]*"]}), "m[1]-x") == ("a", "m[1]-x")


def test_a_name_is_compared_once_however_many_wildcards_there_are() -> None:
    def give_up(*_: object) -> None:
        raise TimeoutError

    where = house({"a": ["*a*a*a*a*a*a*a*a*b", "*claude*sonnet*opus*"]})
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        for name in ("a" * 100, "claude-sonnet-" * 5_000):
            with pytest.raises(ModelNotFound):
                where.resolve(name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_provider_without_a_list_may_serve_what_nobody_else_is_known_to() -> None:
    where = house({"a": None, "b": ["m"]})
    assert lead(where, "m") == ("b", "m")
    assert lead(where, "anything") == ("a", "anything")
    with pytest.raises(ModelAmbiguous):
        house({"a": None, "c": None}).resolve("anything")


def test_names_that_callers_make_up_keep_no_other_from_being_remembered() -> None:
    where = house({"a": None, "b": ["m"]})
    for number in range(10_000):
        where.resolve(f"made-up-{number}")
    assert where.resolve("m") is where.resolve("m")


def test_once_it_has_told_its_list_it_serves_that_alone() -> None:
    where = house({"a": None}, listed={"a": ["m"]})
    assert lead(where, "m") == ("a", "m")
    with pytest.raises(ModelNotFound):
        where.resolve("anything")


def test_configured_models_win_over_what_a_provider_tells() -> None:
    where = house({"a": ["m"]}, listed={"a": ["n"]})
    assert shown(where) == ["m"]
    with pytest.raises(ModelNotFound):
        where.resolve("n")


def test_an_alias_is_a_name_by_which_lists_mean_what_it_leads_to() -> None:
    where = house({"up": ["m"]}, aliases={"Quick": "up/m", "quick:1": "m"})
    assert where.resolve("Quick").also == ("quick",)
    assert where.resolve("quick:1").also == ("quick", "quick:1")
    assert where.resolve("up/m").also == ()
    assert {entry.id: target.also for entry, target in where.entries()}["Quick"] == ("quick",)


def test_names_at_providers_are_of_those_that_may_serve_them() -> None:
    where = house({"a": ["m"], "B": ["m", "x-*"]})
    assert where.names_at_providers("m") == ("a/m", "b/m")
    assert where.names_at_providers("x-1") == ("b/x-1",)
    assert where.names_at_providers("n") == ()


def test_the_list_shows_aliases_then_ids_with_the_provider_where_two_serve_the_same() -> None:
    where = house({"a": ["m", "n", "x-*"], "b": ["m"]}, aliases={"quick": "a/m"})
    assert shown(where) == ["quick", "a/m", "n", "b/m"]


def test_nobody_serves_nothing() -> None:
    assert shown(house({})) == []
    with pytest.raises(ModelNotFound):
        house({}).resolve("m")


def test_an_id_that_reads_as_another_providers_is_shown_with_its_own() -> None:
    where = house({"openai": ["gpt-x"], "openrouter": ["openai/gpt-x"]})
    assert shown(where) == ["gpt-x", "openrouter/openai/gpt-x"]


@pytest.mark.parametrize(("told", "aliases"), [(["m", "m"], {}), (["m"], {"a/m": "a/m", "m": "a/m"})])
def test_no_name_is_shown_twice(told: list[str], aliases: dict[str, str]) -> None:
    names = shown(house({"a": None}, listed={"a": told}, aliases=aliases))
    assert len(names) == len(set(names))


def test_an_error_stays_short_however_long_the_name() -> None:
    for where in (house({"a": ["m"]}), house({"a": None, "b": None})):
        with pytest.raises((ModelNotFound, ModelAmbiguous)) as raised:
            where.resolve("x" * 100_000)
        assert len(raised.value.message) < 2000


IDS = st.lists(st.sampled_from(["m", "n", "b/m", "a/n", "c/x", "gpt-*", "é"]), max_size=4, unique=True)
PROVIDERS = st.sampled_from(["a", "b", "c"])


@settings(deadline=None)
@given(st.dictionaries(PROVIDERS, st.none() | IDS), st.dictionaries(PROVIDERS, IDS))
def test_every_name_that_is_shown_leads_to_its_owner(
    configured: dict[str, list[str] | None], listed: dict[str, list[str]]
) -> None:
    where = house(configured, listed)
    for entry, _ in where.entries():
        provider, model = lead(where, entry.id)
        assert entry.owned_by == provider
        assert entry.id in (model, f"{provider}/{model}")


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_name_leads_somewhere_or_is_an_error_of_ours(name: str) -> None:
    where = house({"a": ["m", "x*"], "b": None}, listed={"b": ["m"]}, aliases={"q": "a/m"})
    try:
        where.resolve(name)
    except (ModelNotFound, ModelAmbiguous) as error:
        assert error.param == "model"


def gift(route: str, **said: bool) -> FreeModelSettings:
    return FreeModelSettings(route=route, **said)  # type: ignore[arg-type]


def test_a_model_of_the_house_is_asked_for_by_its_id_and_is_free() -> None:
    free = FreeSettings(models={"ours/quick": gift("a/m"), "m": gift("b/n")})
    where = house({"a": ["m"], "b": ["n"], "ours": ["quick"]}, aliases={"fast": "ours/quick"}, free=free)
    for name in ("ours/quick", "fast"):
        target = where.resolve(name)
        assert (target.provider.name, target.model, target.free, target.public) == ("a", "m", True, "ours/quick")
        assert target.known_as == ("", "ours/quick")
    assert lead(where, "m") == ("b", "n")
    direct = where.resolve("a/m")
    assert (direct.house, direct.free, direct.known_as) == (None, False, ("a", "m"))
    assert shown(where) == ["fast", "ours/quick", "m", "a/m", "n", "quick"]
    assert {entry.owned_by for entry, target in where.entries() if target.house} == {"trivium"}


def test_free_patterns_mean_models_that_a_provider_is_known_to_have() -> None:
    """Where a provider may serve names that are on no list, a name makes nothing free: callers make names up."""
    where = house({"a": ["x:free", "y"], "b": ["v/*", "w:free"], "c": None, "d": None}, {"d": ["z:free"]})
    free = ["a/x:free", "x:free", "b/w:free", "d/z:free", "z:free"]
    made_up = [
        "b/v/x:free",
        "v/x:free",
        "c/x:free",
        "any:free",
        "c/y:free:free",
        "c/y/:free",
        "a/x:free:free",
        "d/z:Free",
    ]
    for name in [*free, *made_up, "y", "a/y", "a/y:free", "b/x:free", "c/x", "d/x:free", "d/z"]:
        assert where.resolve(name).free is (name in free), name
    assert not house({"a": ["x:free"]}, free=FreeSettings(patterns=())).resolve("x:free").free
    assert house({"a": ["x", "y"]}, free=FreeSettings(patterns=("a/*",))).resolve("y").free
    assert not house({"a": ["y"]}, aliases={"z:free": "y"}).resolve("z:free").free


def test_a_model_whose_free_time_is_over_says_so_and_is_not_shown() -> None:
    where = house({"a": ["m"]}, aliases={"old": "gone"}, free=FreeSettings(models={"gone": gift("a/m", disabled=True)}))
    assert shown(where) == ["m"]
    for name in ("gone", "old"):
        with pytest.raises(ModelEnded, match="The free period for this model has ended"):
            where.check_offered(where.resolve(name))
    where.check_offered(where.resolve("m"))


@pytest.mark.parametrize(
    ("pattern", "hidden"),
    [
        ("x:free", ["x:free", "a/x:free", "a/X:Free"]),
        ("A/X:free", ["x:free", "a/x:free", "a/X:Free"]),
        ("*:free", ["x:free", "a/x:free", "a/X:Free", "g:free"]),
        ("g:free", ["g:free"]),
        ("b/*", ["b/n"]),
        ("x", ["x"]),
    ],
)
def test_what_is_hidden_is_not_found_and_not_shown_however_it_is_written(pattern: str, hidden: list[str]) -> None:
    free = FreeSettings(hidden=(pattern,), models={"g:free": gift("b/n")})
    where = house({"a": ["x:free", "x"], "b": ["n"]}, aliases={"alias": "x:free"}, free=free)
    names = ["x:free", "a/x:free", "a/X:Free", "x", "g:free", "b/n"]
    found = []
    for name in names:
        try:
            where.check_offered(where.resolve(name))
        except ModelNotFound as error:
            assert "does not exist" in error.message
            found.append(name)
    assert found == hidden
    assert not {name for name in shown(where) if name in hidden}
    assert ("alias" in shown(where)) is ("x:free" not in hidden)


@pytest.mark.parametrize("pattern", ["gift/x:free", "a/gift/x:free", "gift/*", "*:free"])
def test_what_is_hidden_is_not_reached_by_blanks_in_its_name(pattern: str) -> None:
    where = house({"a": ["gift/x:free"]}, free=FreeSettings(hidden=(pattern,)))
    written = ["gift/x:free", " gift/x:free", "gift/x:free ", "gift /x:free", "gift/ x: free", "\u00a0Gift/\tx :free"]
    for name in written:
        with pytest.raises(ModelNotFound, match="does not exist"):
            where.check_offered(where.resolve(f"a/{name}"))
    where.check_offered(where.resolve("a/gif t/x"))


def test_a_house_model_whose_provider_is_away_is_no_model() -> None:
    where = house({"a": ["m"]}, free=FreeSettings(models={"g": gift("gone/m")}))
    assert shown(where) == ["m"]
    with pytest.raises(ModelNotFound):
        where.resolve("g")


def test_a_hidden_provider_is_told_by_no_answer() -> None:
    """Whatever is asked for, the answer is that of a house without it."""
    free = FreeSettings(hidden=("acme/*",))
    aliases = {"fast": "acme/only", "slow": "only"}
    with_it = house({"up": ["large"], "other": ["m"], "acme": ["large", "only", "m"]}, aliases=aliases, free=free)
    without = house({"up": ["large"], "other": ["m"]}, aliases=aliases)
    assert shown(with_it) == shown(without) == ["large", "m"]
    for name in ("large", "only", "acme/only", "acme/made-up", "nobody/made-up", "fast", "slow", "m", "up/x"):
        told = []
        for where in (with_it, without):
            try:
                where.check_offered(where.resolve(name))
                told.append(lead(where, name))
            except ModelNotFound as error:
                told.append((error.code, ""))
        assert told[0] == told[1], name
    assert lead(with_it.unveiled, "acme/only") == ("acme", "only")


def test_an_alias_of_a_stealth_model_tells_what_the_model_does() -> None:
    free = FreeSettings(models={"ours": gift("a/m", stealth=True)})
    where = house({"a": ["m"]}, aliases={"fast": "ours"}, free=free)
    entries = {entry.id: entry for entry, _ in where.entries()}
    assert entries["fast"].house is entries["ours"].house is not None
