"""Names by which lists mean vendors' models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.caller import matches, names_of
from trivium.providers.vendor_names import Beside, called_at, is_anothers, known_as, served_as, spellings
from trivium.providers.vendors import VENDORS, match

IDS = {
    "anthropic": "claude-opus-",
    "openai": "gpt-",
    "google": "gemini-",
    "mistral": "mistral-",
    "codestral": "codestral-",
    "xai": "grok-",
    "zai": "glm-",
    "minimax": "MiniMax-M",
}
SPACES = sorted({space for row in VENDORS.values() for space in row.namespaces} | set(VENDORS))
AFFIXES = ["", "models/", "anthropic/"]


@given(
    st.sampled_from(sorted(VENDORS)),
    st.sampled_from(["", *SPACES]),
    st.sampled_from(AFFIXES),
    st.lists(st.sampled_from(["4", "5", "2.5", "4.5", "-", ".", "pro", "Mini", "2025"]), min_size=1, max_size=5),
    st.sampled_from(["", ":thinking", " "]),
)
def test_whatever_spelling_leads_to_a_model_is_a_name_of_it(
    vendor: str, space: str, affix: str, parts: list[str], suffix: str
) -> None:
    """So a list that is written with one spelling holds for a call that is made with another."""
    name = f"{space}{'/' if space else ''}{affix}{IDS.get(vendor, 'm-')}{''.join(parts)}{suffix}"
    found = match(name, [vendor])
    if found is None:
        return
    assert found.vendor == vendor
    names = known_as(vendor, found.model)
    assert matches((name,), names)
    assert all(one == one.lower().strip() for one in names)


@pytest.mark.parametrize(
    ("denied", "called"),
    [
        ("anthropic/claude-opus-4.5", "claude-opus-4-5"),
        ("anthropic/claude-opus-4.5", "anthropic/claude-opus-4-5"),
        ("claude-opus-4.5-20251101", "anthropic/claude-opus-4-5-20251101"),
        ("anthropic/claude-*-4.5", "claude-opus-4-5"),
        ("x-ai/grok-4", "xai/grok-4"),
        ("x-ai/grok-4", "grok-4"),
        ("x-ai/grok-4", "vercel/xai/grok-4"),
        ("grok-4", "openrouter/x-ai/grok-4:online"),
        ("mistralai/mistral-large", "mistral/mistral-large"),
        ("mistralai/mistral-large", "mistral-large"),
        ("mistralai/codestral-2508", "codestral-2508"),
        ("z-ai/glm-4.6", "zai/glm-4.6"),
        ("z-ai/glm-4.6", "zai-coding/glm-4.6"),
        ("google/gemini-2.5-pro", "google/models/gemini-2.5-pro"),
        ("google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("minimax/minimax-m2", "MiniMax-M2"),
        ("anthropic/claude-opus-4-5", "openrouter/anthropic/claude-opus-4.5"),
        ("bedrock/anthropic.claude-opus-4-5-v1:0", "amazon-bedrock/anthropic.claude-opus-4-5-v1:0"),
    ],
)
def test_a_list_means_a_model_by_all_its_names(denied: str, called: str) -> None:
    found = match(called, list(VENDORS))
    assert found is not None
    assert matches((denied,), known_as(found.vendor, found.model))


@pytest.mark.parametrize(
    ("listed", "called"),
    [
        ("anthropic/claude-opus-4.5", "claude-opus-4-6"),
        ("anthropic/claude-opus-4.5", "claude-opus-45"),
        ("anthropic/claude-opus-4.5", "claude-opus-4-5-20251101"),
        ("openai/*", "custom/gpt-5"),
        ("openrouter/*", "anthropic/claude-opus-4.5"),
    ],
)
def test_other_models_are_other_models(listed: str, called: str) -> None:
    found = match(called, list(VENDORS))
    assert found is not None
    assert not matches((listed,), known_as(found.vendor, found.model))


def test_the_houses_own_providers_lead_there_too() -> None:
    beside = Beside(gateways=("OR",), own=("claude",))
    names = known_as("anthropic", "claude-opus-4-5", beside)
    for name in ("or/anthropic/claude-opus-4.5", "claude/claude-opus-4-5", "or/claude-opus-4.5"):
        assert name in names
        assert name not in known_as("anthropic", "claude-opus-4-5")


def test_what_vercel_takes_for_one_model_is_one_there() -> None:
    at_vercel = Beside(at_vercel=True)
    assert set(known_as("google", "gemini-3-flash", at_vercel)) == set(
        known_as("google", "gemini-3-flash-preview", at_vercel)
    )
    assert "google/gemini-3-flash" not in known_as("google", "gemini-3-flash-preview")


def test_a_long_id_has_few_spellings() -> None:
    """Callers choose ids, and names double with each place."""
    assert len(spellings("anthropic", "claude-" + "-".join("1" * 100))) == 16


@pytest.mark.parametrize("model", ["~anthropic/claude-opus-latest", "anthropic/claude-opus-latest@preset/x"])
def test_marks_of_openrouter_hide_nothing(model: str) -> None:
    names = served_as("openrouter", "house", model)
    for listed in ("anthropic/*", "anthropic/claude-opus-latest", "claude-*", "openrouter/anthropic/*"):
        assert matches((listed,), names + names_of("openrouter", model))


@pytest.mark.parametrize(
    ("there", "kind", "model", "called"),
    [
        ("vercel", "openrouter", "x-ai/grok-4", ("xai/grok-4",)),
        ("vercel", "openrouter", "arcee-ai/trinity-large-preview:free", ("arcee-ai/trinity-large-preview",)),
        ("vercel", "openrouter", "mistralai/devstral-2512:free", ("mistral/devstral-2",)),
        ("openrouter", "vercel", "xai/grok-4", ("x-ai/grok-4",)),
        ("openrouter", "anthropic", "claude-sonnet-4-5", ("anthropic/claude-sonnet-4.5",)),
        ("anthropic", "openrouter", "anthropic/claude-sonnet-4.5", ("claude-sonnet-4-5",)),
        ("anthropic", "openrouter", "openai/gpt-5", ()),
        ("openai-compatible", "openrouter", "openai/gpt-5", ()),
        ("vercel", "openrouter", "somebody/else", ()),
    ],
)
def test_a_provider_calls_a_model_its_own_way(there: str, kind: str, model: str, called: tuple[str, ...]) -> None:
    assert called_at(there, kind, kind, model) == called


def test_a_vendor_has_not_what_another_makes() -> None:
    assert is_anothers("anthropic", "openrouter", "openrouter", "openai/gpt-5")
    assert not is_anothers("anthropic", "openrouter", "openrouter", "anthropic/claude-opus-4.5")
    assert not is_anothers("anthropic", "openrouter", "openrouter", "somebody/else"), "nobody knows whose it is"
    for anybodys in ("vercel", "groq", "openai-compatible"):
        assert not is_anothers(anybodys, "openrouter", "openrouter", "openai/gpt-5")
