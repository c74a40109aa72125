"""Who serves embeddings and fills in the middle, and which models."""

from __future__ import annotations

import pytest

from trivium import config
from trivium.canon.api import KINDS, Api, Solo, kind_of
from trivium.errors import ConfigError
from trivium.providers.builtin import build, embedded
from trivium.providers.provider import PATHS
from trivium.providers.rows import ROWS
from trivium.providers.solo import OWN_ALONE, Filler, dialect_of, filler, vectors_of

URL = 'base_url = "http://127.0.0.1:1/v1"\n'


def apis(text: str, name: str) -> set[str]:
    return {str(api) for api in build(config.parse(text), {})[name].apis}


@pytest.mark.parametrize("name", ["openai", "mistral", "google", "qwen", "together", "fireworks", "vllm", "ollama"])
def test_providers_that_are_known_to_embed_need_not_be_told(name: str) -> None:
    assert "embeddings" in apis(f'[providers.{name}]\nkey = "sk"\n', name)
    assert "embeddings" in apis(f'[providers.mine]\ntype = "{name}"\n{URL}key = "sk"\n', "mine")


def test_of_any_other_the_configuration_says_it() -> None:
    assert apis(f"[providers.acme]\n{URL}", "acme") == {"chat_completions"}
    said = apis(f'[providers.acme]\n{URL}apis = ["chat", "embeddings", "fim"]\n', "acme")
    assert said == {"chat_completions", "embeddings", "fim"}
    assert apis('[providers.mistral]\nkey = "sk"\napis = ["chat"]\n', "mistral") == {"chat_completions"}
    with pytest.raises(ConfigError):
        config.parse(f'[providers.acme]\n{URL}apis = ["images"]\n')


def test_mistral_and_codestral_fill_in_the_middle() -> None:
    filling = {name for name, row in ROWS.items() for door in row.doors if Solo.FIM in door.apis}
    assert filling - OWN_ALONE == {"codestral", "mistral"}


def test_the_embedded_model_embeds_beside_chat() -> None:
    assert embedded("m").apis == {*Api, Solo.EMBEDDINGS}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mistralai/codestral-2508", Filler("codestral", "codestral-2508", True)),
        ("mistralai/a/b", Filler("codestral", "a/b", True)),
        ("inception/mercury-edit", Filler("inception", "mercury-edit", False)),
        ("inception/mercury-edit-2", Filler("inception", "mercury-edit-2", False)),
        ("inception/mercury-2", None),
        ("mistral/codestral-2508", None),
        ("codestral-2508", None),
        ("mistralai/", None),
        pytest.param("mistralai/" + "a" * 257, None, id="longer than any id"),
        pytest.param("inception/mercury-edit-" + "1" * 257, None, id="longer than any id of Inception's"),
        ("x/mistralai/codestral", None),
    ],
)
def test_which_names_fill_in_the_middle(name: str, found: Filler | None) -> None:
    assert filler(name) == found


@pytest.mark.parametrize(
    ("model", "longest", "shortens"),
    [
        ("text-embedding-3-large", 3072, True),
        ("openai/text-embedding-3-small", 1536, True),
        ("text-embedding-ada-002", 1536, False),
        ("mistral-embed", 1024, False),
        ("codestral-embed-2505", 3072, True),
        ("google/gemini-embedding-001", 3072, True),
        ("gemma-3-270m", 640, False),
    ],
)
def test_how_long_vectors_of_known_models_are(model: str, longest: int, shortens: bool) -> None:
    found = vectors_of(model)
    assert found is not None
    assert (found.longest, found.shortens) == (longest, shortens)


def test_nothing_is_known_of_others() -> None:
    assert vectors_of("bge-m3") is None
    assert dialect_of("openai") == {}


def test_every_kind_has_a_path_and_two_names() -> None:
    assert [kind_of(api.short) for api in KINDS] == [kind_of(api.value) for api in KINDS] == list(KINDS) == list(PATHS)
    assert {api.shape for api in Solo} == {Api.CHAT}
    with pytest.raises(ValueError, match="images"):
        kind_of("images")
