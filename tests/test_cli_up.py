"""What `trivium up` tells the operator who starts it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from trivium import config
from trivium.canon.api import Api
from trivium.cli.up import Console, _program
from trivium.providers.provider import PATHS
from trivium.routing.catalog import ModelEntry, catalog
from trivium.server.deps import Gateway

URL = "http://127.0.0.1:4000"
ANY = "[local]\nenabled = false\n[providers.up]\nbase_url = 'http://h'\napis = ['chat', 'responses', 'messages']\n"

Banner = Callable[..., str]


@pytest.fixture
async def banner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Banner]:
    gateways = []

    def show(
        settings: str = ANY,
        key: str | None = "tv-key",
        listed: tuple[str, ...] = (),
        program: str = "trivium",
        file: str | None = None,
    ) -> str:
        gateway = Gateway(config.parse(settings), tmp_path, {})
        gateways.append(gateway)
        if listed:
            known = {"up": tuple(ModelEntry(id, "up") for id in listed)}
            gateway.change(catalog=catalog(gateway.providers.values(), {}, known))
        Console(program, file).ready(URL, key, gateway)
        return capsys.readouterr().out

    yield show
    for gateway in gateways:
        await gateway.close()


def pasted(shown: str, **env: str) -> list[list[str]]:
    """The words that a shell makes of each curl line."""
    lines = [line for line in shown.splitlines() if line.startswith("  curl ")]
    told = "\n".join(["curl() { for word; do printf '%s\\0' \"$word\"; done; printf '\\n'; }", *lines])
    out = subprocess.run(["/bin/sh", "-c", told], env=env, capture_output=True, text=True, check=True).stdout
    return [line.split("\0")[:-1] for line in out.splitlines()]


def bodies(shown: str) -> list[dict[str, object]]:
    return [json.loads(words[-1]) for words in pasted(shown)]


def test_it_says_ready_first_and_then_where_and_with_what_key(banner: Banner) -> None:
    shown = banner(ANY + "models = ['m']")
    assert shown.startswith("ready\n")
    for said in (f"OpenAI base URL      {URL}/v1\n", f"Anthropic base URL   {URL}\n", "API key              tv-key\n"):
        assert said in shown
    assert "Providers            up\n" in shown


def test_a_line_for_each_api_carries_path_key_and_model(banner: Banner) -> None:
    lines = pasted(banner(ANY + "models = ['m']"))
    assert [line[0] for line in lines] == [f"{URL}/v1{PATHS[api]}" for api in Api]
    assert ["Authorization: Bearer tv-key" in line for line in lines] == [True, True, False]
    assert ["x-api-key: tv-key" in line for line in lines] == [False, False, True]
    assert all("Content-Type: application/json" in line for line in lines)
    assert {json.loads(line[-1])["model"] for line in lines} == {"m"}


def test_models_that_the_provider_told_are_named(banner: Banner) -> None:
    assert {body["model"] for body in bodies(banner(listed=("told", "other")))} == {"told"}


def test_without_providers_it_says_what_to_do(banner: Banner) -> None:
    assert "none: see the README on configuration" in banner("[local]\nenabled = false")


def test_a_revoked_key_is_said_to_be_and_how_to_make_another(banner: Banner) -> None:
    assert "revoked; make one with: trivium keys create --name NAME" in banner(key=None)


def test_a_name_that_an_upstream_chose_is_only_a_name_to_the_shell(banner: Banner) -> None:
    hostile = "it's'; exit 3; echo '$(exit 3)`exit 3`"
    assert {body["model"] for body in bodies(banner(listed=(hostile,)))} == {hostile}


def test_without_a_key_the_lines_take_it_from_the_environment(banner: Banner) -> None:
    for words in pasted(banner(ANY + "models = ['m']", key=None), TRIVIUM_KEY="tv-mine"):
        assert "Authorization: Bearer tv-mine" in words or "x-api-key: tv-mine" in words


def test_each_line_names_a_model_whose_provider_speaks_the_api_if_there_is_one(banner: Banner) -> None:
    settings = ANY.replace("'chat', 'responses', 'messages'", "'chat'") + "models = ['m']\n"
    settings += "[providers.other]\ntype = 'anthropic-compatible'\nbase_url = 'http://h'\nmodels = ['n']"
    paths = {words[0].removeprefix(URL + "/v1"): json.loads(words[-1])["model"] for words in pasted(banner(settings))}
    assert paths == {PATHS[Api.CHAT]: "m", PATHS[Api.RESPONSES]: "m", PATHS[Api.MESSAGES]: "n"}


def test_no_line_names_a_model_that_there_is_not(banner: Banner) -> None:
    wild = "[providers.other]\ntype = 'anthropic-compatible'\nbase_url = 'http://h'\nmodels = ['claude-*']"
    shown = banner("[local]\nenabled = false\n" + wild)
    assert "Models               none is known by name; call one as PROVIDER/MODEL\n" in shown
    assert "curl" not in shown
    beside = banner(ANY.replace(", 'messages'", "") + "models = ['m']\n" + wild)
    assert [body["model"] for body in bodies(beside)] == ["m", "m", "m"]


def test_what_is_to_be_called_is_said_as_this_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my bin" / "trivium"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr("sys.argv", ["my bin/trivium", "up"])
    assert _program() == "'my bin/trivium'"
    monkeypatch.setenv("PATH", f"/usr/bin:{program.parent}")
    assert _program() == "trivium"
    monkeypatch.setattr("sys.argv", ["lib/trivium/__main__.py", "up"])
    assert _program().endswith(" -m trivium")


def test_a_revoked_key_is_made_anew_by_the_program_that_was_called(banner: Banner) -> None:
    shown = banner(key=None, program=".venv/bin/trivium")
    assert "make one with: .venv/bin/trivium keys create --name NAME" in shown
    assert "(sign in with a link: .venv/bin/trivium login-link)" in shown


def test_what_is_to_be_called_names_the_file_that_this_was_given(banner: Banner) -> None:
    shown = banner(key=None, file="my house/t.toml")
    assert "make one with: trivium keys create --name NAME --config 'my house/t.toml'" in shown
    assert "(sign in with a link: trivium login-link --config 'my house/t.toml')" in shown
