"""The default model that a client is proposed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.caller import Policy
from trivium.policy.proposal import proposed

HOUSE, PREFERRED = "openai/gpt-5", ["anthropic/claude-opus", "mistral/codestral"]


def ask(policy: Policy | None, *usable: str, house: str | None = HOUSE) -> str | None:
    return proposed(policy, house, PREFERRED, lambda name: name in usable)


def test_the_organizations_own_wins_where_it_can_be_used() -> None:
    policy = Policy(default_model="xai/grok")
    assert ask(policy, "xai/grok", HOUSE) == "xai/grok"
    assert ask(policy, HOUSE) == HOUSE
    assert ask(Policy(default_model="xai/*"), "xai/*", HOUSE) == HOUSE  # a pattern is no model


def test_then_the_houses_then_the_first_named_in_the_list_then_a_preferred_one() -> None:
    policy = Policy(models_allow=("mistral/*", "meta/llama", "qwen/qwen3"))
    assert ask(policy, HOUSE, "meta/llama") == HOUSE
    assert ask(policy, "meta/llama", "qwen/qwen3", *PREFERRED) == "meta/llama"
    assert ask(policy, "qwen/qwen3", *PREFERRED) == "qwen/qwen3"
    assert ask(policy, PREFERRED[1]) == PREFERRED[1]
    assert ask(policy) is None


def test_without_a_policy_the_house_decides() -> None:
    assert ask(None, HOUSE, *PREFERRED) == HOUSE
    assert ask(None, *PREFERRED, house=None) == PREFERRED[0]
    assert ask(None, house=None) is None


NAMES = st.sampled_from(["a/1", "a/2", "b/1", "a/*", "?"])


@given(st.none() | NAMES, st.none() | NAMES, st.lists(NAMES), st.lists(NAMES), st.sets(NAMES))
def test_what_is_proposed_can_be_used(
    own: str | None, house: str | None, allowed: list[str], preferred: list[str], usable: set[str]
) -> None:
    policy = Policy(default_model=own, models_allow=tuple(allowed))
    found = proposed(policy, house, preferred, lambda name: name in usable)
    named = {name for name in (own, house, *allowed, *preferred) if name in usable and not {"*", "?"} & set(name)}
    assert (found in named) if named else found is None
