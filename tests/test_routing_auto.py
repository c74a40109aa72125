"""Which model an auto model leads to: the order of candidates, the choice that fits, why others were passed over."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from trivium import config
from trivium.canon.api import Api
from trivium.providers.provider import Provider
from trivium.routing import auto
from trivium.routing.auto import Asked, Autos, Passed, Resolution, autos, resolve
from trivium.routing.catalog import Catalog, ModelEntry, catalog

NOBODY = '[auto."auto/frontier"]\nenabled = false\n[auto."auto/balanced"]\nenabled = false\n'
MIXED = (
    "claude-sonnet-4-5",
    "claude-opus-4-5-20251101",
    "claude-opus-4-7",
    "claude-opus-4-6",
    "kimi-k2",
    "kimi-k2.5",
    "MiniMax-M2.1",
    "gpt-5-mini",
    "gift:free",
)


def house(*models: str, name: str = "up", kind: str = "openai-compatible", **others: tuple[str, ...]) -> Catalog:
    """Providers by name with the models that they list."""
    providers = {name: (kind, models)} | {other: (other, listed) for other, listed in others.items()}
    return catalog(
        [
            Provider(name=name, kind=kind, base_url="http://h/v1", apis=frozenset(Api), models=listed)
            for name, (kind, listed) in providers.items()
        ],
        {},
        {},
    )


def settled(text: str = "", *providers: str) -> Autos:
    return autos(config.parse(text), providers)


def led(
    id: str, models: Catalog, text: str = "", refused: dict[str, str] | None = None, **asked: Any
) -> tuple[str | None, Resolution]:
    """What an auto model leads to; `refused` says of models why the caller may not have them."""

    def judge(name: str, price: Literal["free", "paid"] | None) -> Passed | None:
        if price is not None and name.endswith(":free") is not (price == "free"):
            return Passed(name, "price", told=False)
        why = (refused or {}).get(name)
        return Passed(name, why, forbidden=True) if why is not None else None

    known = settled(text)
    model = known.get(id)
    assert model is not None, id
    found = resolve(model, Asked(**asked), models, known, judge)
    return found.model, found


@pytest.mark.parametrize(
    ("mode", "model", "effort"),
    [
        *((mode, "claude-opus-4-7", "high") for mode in ("plan", "architect", "orchestrator", "ask", "debug")),
        ("general", "claude-opus-4-7", "medium"),
        ("build", "claude-sonnet-4-5", "medium"),
        ("explore", "claude-sonnet-4-5", "medium"),
        ("code", "claude-sonnet-4-5", "low"),
        ("never-heard-of", "claude-sonnet-4-5", "low"),
        (None, "claude-sonnet-4-5", "medium"),
    ],
)
def test_frontier_leads_to_the_newest_claude_that_the_mode_wants(mode: str | None, model: str, effort: str) -> None:
    name, found = led("auto/frontier", house(*MIXED), mode=mode)
    assert (name, found.choice.reasoning, found.choice.effort) == (model, True, effort)
    assert (found.id, found.mode) == ("auto/frontier", mode or "build")


def test_balanced_looks_at_modes_and_images() -> None:
    models = house(*MIXED)
    assert led("auto/balanced", models, mode="plan")[0] == "kimi-k2.5"
    assert led("auto/balanced", models, mode="code")[0] == "MiniMax-M2.1"
    assert led("auto/balanced", models, mode="code", image=True)[0] == "kimi-k2.5"


def test_small_goes_by_balance_and_free_never_costs() -> None:
    models = house(*MIXED)
    assert led("auto/small", models)[0] == "gpt-5-mini"
    assert led("auto/small", models, balance=False)[0] == "gift:free"
    assert led("auto/free", models)[0] == "gift:free"
    # Where there is no small paid model, a free one is better than none.
    assert led("auto/small", house("gift:free"))[0] == "gift:free"


@pytest.mark.parametrize("name", ["kilo-auto/frontier", "kilo/auto"])
def test_aliases_mean_the_same_and_are_told_by_its_own_id(name: str) -> None:
    assert led(name, house(*MIXED))[1].id == "auto/frontier"


@pytest.mark.parametrize(
    ("models", "newest"),
    [
        (("claude-opus-4", "claude-opus-4-1", "claude-opus-4-20250514"), "claude-opus-4-1"),
        (("claude-opus-4-9", "claude-opus-4-10"), "claude-opus-4-10"),
        (("claude-opus-4-7", "claude-opus-5"), "claude-opus-5"),
        (("anthropic/claude-opus-4.6-fast", "anthropic/claude-opus-4.6"), "anthropic/claude-opus-4.6"),
        (("anthropic/claude-opus-4.6:thinking", "anthropic/claude-opus-4.6"), "anthropic/claude-opus-4.6"),
        (("claude-opus-4-5-20251101", "claude-opus-4-5"), "claude-opus-4-5-20251101"),
        (("claude-3-opus-20240229", "claude-opus-4-0"), "claude-opus-4-0"),
        (("claude-opus-4.6-1m", "claude-opus-4.6"), "claude-opus-4.6"),
        (("us.anthropic.claude-opus-4-1-20250805-v1:0", "us.anthropic.claude-opus-4-6-v1"), None),
    ],
)
def test_the_newest_comes_first_whatever_the_order(models: tuple[str, ...], newest: str | None) -> None:
    expected = newest or models[1]
    assert led("auto/frontier", house(*models), mode="plan")[0] == expected
    if newest != "claude-opus-4-5-20251101":  # of the same version the catalogue's first
        assert led("auto/frontier", house(*reversed(models)), mode="plan")[0] == expected


def test_kimi_by_its_number_not_by_its_date() -> None:
    models = house("moonshotai/kimi-k2-0905", "moonshotai/kimi-k2.5", "moonshotai/kimi-k2-thinking")
    assert led("auto/balanced", models, mode="plan")[0] == "moonshotai/kimi-k2.5"


@pytest.mark.parametrize(
    "names",
    [
        ("mistral-small-3.2-24b-instruct", "mistral-small-3.1-24b-instruct", "mistral-small-24b-instruct-2501"),
        ("mistral-small-4", "mistral-small-3-70B", "mistral-small-3-1.7b", "mistral-small-8x7b"),
    ],
)
def test_a_size_is_no_version(names: tuple[str, ...]) -> None:
    text = '[[auto."a".choices]]\nmodels = ["mistral-small-*"]\n'
    last = names[-1]
    assert led("a", house(*reversed(names)), text)[0] == names[0]
    assert led("a", house(last, names[1]), text)[0] == names[1]


def test_a_pattern_means_a_vendors_model_at_any_provider() -> None:
    text = '[[auto."a".choices]]\nmodels = ["anthropic/claude-opus-*"]\n'
    assert led("a", house("claude-opus-4-6", name="here", kind="anthropic"), text)[0] == "claude-opus-4-6"
    assert led("a", house("anthropic/claude-opus-4.6", name="or", kind="openrouter"), text)[0]
    both = house("claude-opus-4-6", name="here", kind="anthropic", openrouter=("anthropic/claude-opus-4.7",))
    assert led("a", both, text)[0] == "anthropic/claude-opus-4.7"
    assert led("a", house("claude-opus-4-6"), text)[0] is None  # nobody knows whose that is


def test_candidates_are_taken_in_order_and_those_refused_are_told_with_the_reason() -> None:
    refused = {"claude-opus-4-7": "not yours", "claude-opus-4-6": "nor this"}
    name, found = led("auto/frontier", house(*MIXED), refused=refused, mode="plan")
    assert name == "claude-opus-4-5-20251101"
    assert [(one.name, one.why) for one in found.passed] == list(refused.items())
    refused |= {"claude-opus-4-5-20251101": "old", "claude-sonnet-4-5": "no"}
    name, found = led("auto/frontier", house(*MIXED), refused=refused, mode="plan")
    assert (name, len(found.passed), all(one.forbidden for one in found.passed)) == (None, 4, True)


def test_where_opus_is_not_to_be_had_sonnet_does_its_work() -> None:
    name, found = led("auto/frontier", house("claude-sonnet-4-5"), mode="plan")
    assert (name, found.choice.effort) == ("claude-sonnet-4-5", "high")


def test_a_house_without_candidates_leads_nowhere() -> None:
    assert led("auto/frontier", house("gpt-5"))[0] is None


OWN = """
[auto."auto/mine"]
default_mode = "think"
aliases = ["mine"]
[[auto."auto/mine".choices]]
headers = { "X-Client" = "kilo*" }
models = ["gpt-5-mini"]
[[auto."auto/mine".choices]]
modes = ["think"]
models = ["auto/frontier", "kimi-k9", "up/claude-opus-4-6"]
reasoning = true
[[auto."auto/mine".choices]]
models = ["kimi-k2"]
reasoning = false
"""


def test_operators_write_their_own() -> None:
    models = house(*MIXED)
    known = {"kimi-k9": "it is not there"}
    name, found = led("mine", models, OWN, known)
    assert (name, found.mode, found.choice.reasoning) == ("up/claude-opus-4-6", "think", True)
    assert [one.name for one in found.passed] == ["auto/frontier", "kimi-k9"]  # an auto model leads to no other
    assert led("auto/mine", models, OWN, known, mode="rest")[0] == "kimi-k2"
    assert led("auto/mine", models, OWN, known, mode="rest", headers={b"x-client": b"Kilo-Code/1"})[0] == "gpt-5-mini"


def test_who_reads_no_images_is_passed_over() -> None:
    text = '[[auto."a".choices]]\nmodels = ["*"]\n'
    listed = (
        ModelEntry("blind", "up", takes=("text",)),
        ModelEntry("seeing", "up", takes=("text", "image")),
        ModelEntry("sketcher", "up", takes=("text", "image"), gives=("image",)),
    )
    provider = Provider(name="up", base_url="http://h/v1", apis=frozenset(Api))
    models = catalog([provider], {}, {"up": listed})
    assert led("a", models, text)[0] == "blind"
    name, found = led("a", models, text, image=True)
    assert (name, [(one.name, one.why) for one in found.passed]) == ("seeing", [("blind", "It reads no images.")])


def test_a_new_list_of_models_is_looked_through_anew() -> None:
    known = settled()
    before, after = house("claude-opus-4-6"), house("claude-opus-4-6", "claude-opus-4-7")
    assert [one.name for one in known.candidates(before, "*claude-opus-*")] == ["claude-opus-4-6"]
    assert [one.name for one in known.candidates(after, "*claude-opus-*")] == ["claude-opus-4-7", "claude-opus-4-6"]


def test_prepared_for_a_list_of_models_they_search_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    known, models = settled(), house("claude-opus-4-6", "kimi-k2", "gift:free")
    known.prepare(models)
    monkeypatch.setattr(auto, "_meant", None)
    assert [one.name for one in known.candidates(models, "*claude-opus-*")] == ["claude-opus-4-6"]
    for one in known.names.values():
        resolve(one, Asked(mode="plan", image=True), models, known, lambda name, _: Passed(name, "no"))


def test_names_that_mean_something_else_are_left_to_it() -> None:
    assert settled('[aliases]\n"auto/free" = "up/m"\n').get("auto/free") is None
    assert settled('[free.models."auto/free"]\nroute = "up/m"\n').get("auto/free") is None
    assert settled("", "kilo").get("kilo/auto") is None
    assert settled("", "kilo").get("auto/frontier") is not None
    best = settled('[aliases]\nbest = "auto/frontier"\n').get("best")
    assert best is not None
    assert best.id == "auto/frontier"


def test_all_or_one_of_them_can_be_switched_off_or_changed() -> None:
    assert settled("[auto]\nenabled = false\n").names == {}
    assert set(settled(NOBODY).names) == {"auto/free", "kilo-auto/free", "auto/small", "kilo-auto/small"}
    renamed = settled('[auto."auto/free"]\nname = "Gratis"\n').get("auto/free")
    assert renamed is not None
    assert (renamed.said.name, renamed.said.choices[0].price) == ("Gratis", "free")
    other = settled('[[auto."auto/free".choices]]\nmodels = ["m"]\n').get("auto/free")
    assert other is not None
    assert [choice.models for choice in other.said.choices] == [("m",)]


def test_an_auto_model_is_known_by_all_names_that_lead_to_it_and_no_others() -> None:
    text = '[aliases]\nBest = "auto/balanced"\n[catalog.models."kilo-auto/balanced"]\nroutes = [{ to = "up/m" }]\n'
    known = settled(text)
    for name in ("auto/balanced", "Best"):
        model = known.get(name)
        assert model is not None
        assert sorted(model.known_as) == ["auto/balanced", "best"]
    assert led("auto/balanced", house(*MIXED), text)[1].known_as == ("auto/balanced", "best")
