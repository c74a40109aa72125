"""Providers by the names they go by."""

import pytest

from trivium.canon.conventions import DEFAULT, GOOGLE_COMPAT, MISTRAL, VERCEL, XAI, conventions_for
from trivium.canon.usage import Conventions


@pytest.mark.parametrize(
    ("name", "conventions"),
    [
        ("xai", XAI),
        ("xai-openai-compatible", XAI),
        ("google-compat", GOOGLE_COMPAT),
        ("google", GOOGLE_COMPAT),
        ("gemini", GOOGLE_COMPAT),
        ("mistral", MISTRAL),
        ("vercel", VERCEL),
        ("ai-gateway", VERCEL),
    ],
)
def test_every_alias_finds_its_conventions(name: str, conventions: Conventions) -> None:
    assert conventions_for(name) == conventions


def test_case_blanks_and_underscores_do_not_matter() -> None:
    assert conventions_for(" AI_Gateway ") == VERCEL


@pytest.mark.parametrize("name", ["openai", "somebody-new", "", None])
def test_who_is_not_known_counts_as_the_apis_owner_does(name: str | None) -> None:
    assert conventions_for(name) == DEFAULT == Conventions()
