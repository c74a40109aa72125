"""What the dashboard tells people to type."""

from __future__ import annotations

import json
import shlex
import tomllib

import pytest

from trivium.dashboard.snippets import KEY, first_calls, setups

URL = "https://llm.example:8443"
NAMES = ["m", 'it\'s "$(touch /tmp/x)" `id` \\ \n', "<script>"]


@pytest.mark.parametrize("model", NAMES)
def test_a_shell_takes_names_for_text(model: str) -> None:
    for one, path in zip(first_calls(URL, model), ("chat/completions", "responses", "messages"), strict=True):
        said = shlex.split(one.text)
        assert said[1] == f"{URL}/v1/{path}"
        assert f"Authorization: Bearer {KEY}" in said
        assert json.loads(said[-1])["model"] == model


@pytest.mark.parametrize("model", NAMES)
def test_every_client_is_told_where_and_with_what_key(model: str) -> None:
    made = {one.title: one.text for one in setups(URL, model, "tv-key")}
    assert shlex.split(made["Claude Code"])[:4] == [
        "export",
        f"ANTHROPIC_BASE_URL={URL}",
        "export",
        "ANTHROPIC_AUTH_TOKEN=tv-key",
    ]
    codex = tomllib.loads(made["Codex"])
    assert codex["model"] == model
    assert codex["model_providers"]["trivium"]["base_url"] == f"{URL}/v1"
    name = codex["model_providers"]["trivium"]["env_key"]
    assert shlex.split(made["Codex, its key"])[:2] == ["export", f"{name}=tv-key"]
    opencode = json.loads(made["opencode"])["provider"]["trivium"]
    assert (opencode["options"]["baseURL"], list(opencode["models"])) == (f"{URL}/v1", [model])
    for title in ("OpenAI SDK, Python", "Anthropic SDK, Python"):
        compile(made[title], title, "exec")
        assert 'api_key="tv-key"' in made[title]
    for title in ("OpenAI SDK, JavaScript", "Anthropic SDK, JavaScript"):
        assert 'apiKey: "tv-key"' in made[title]
        assert f"model: {json.dumps(model)}" in made[title]
    assert all("tv-key" in text for title, text in made.items() if title != "Codex")
