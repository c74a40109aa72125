"""The same model at another provider, for the canary and in an emergency."""

from __future__ import annotations

import pytest

from trivium.canon.api import Api
from trivium.providers.provider import Provider
from trivium.routing.catalog import catalog
from trivium.routing.twins import twin

MODEL = "openrouter/x-ai/grok-4"


def there(models: list[str] | None, name: str = MODEL, *, unlisted: bool = False) -> str | None:
    kinds = {"openrouter": ["x-ai/grok-4", "openai/gpt-5", "m"], "vercel": models, "xai": ["grok-*"]}
    providers = [
        Provider(
            name=kind,
            kind=kind,
            base_url="http://h/v1",
            apis=frozenset(Api),
            models=None if ids is None else tuple(ids),
        )
        for kind, ids in kinds.items()
    ]
    where = catalog(providers, {}, {})
    found = twin(where, where.resolve(name), "vercel", unlisted=unlisted)
    return found.model if found is not None else None


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (["xai/grok-4"], "xai/grok-4"),
        (["xai/*"], "xai/grok-4"),
        (["*"], "xai/grok-4"),
        (["x-ai/*", "openai/gpt-5"], None),
        (["*", "x-ai/grok-4"], "x-ai/grok-4"),
        ([], None),
        (None, None),
    ],
)
def test_a_list_or_a_wildcard_says_that_it_is_there(models: list[str] | None, found: str | None) -> None:
    assert there(models) == found


def test_of_whose_list_is_not_known_it_may_be_taken_that_it_has_everything() -> None:
    assert there(None, unlisted=True) == "xai/grok-4"
    assert there(None, "m", unlisted=True) == "m"
    assert there(["openai/*"], unlisted=True) is None


def test_a_vendors_wildcard_means_its_own_models() -> None:
    providers = [
        Provider(name=kind, kind=kind, base_url="http://h/v1", apis=frozenset(Api), models=(ids,))
        for kind, ids in (("openrouter", "*"), ("xai", "*"))
    ]
    where = catalog(providers, {}, {})
    found = twin(where, where.resolve(MODEL), "xai")
    assert found is not None
    assert found.model == "grok-4"
    assert twin(where, where.resolve("openrouter/openai/gpt-5"), "xai") is None
