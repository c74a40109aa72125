"""From settings and environment to providers."""

from __future__ import annotations

import pytest

from trivium import config
from trivium.canon.api import Api, Solo
from trivium.canon.conventions import XAI
from trivium.errors import ConfigError
from trivium.providers import builtin
from trivium.providers.provider import Provider
from trivium.providers.rows import ROWS
from trivium.upstream.client import UpstreamRequest
from trivium.upstream.target import parse_url, render_head

COMPATIBLE = "[providers.x]\nbase_url = 'http://h/v1'\n"


def build(text: str, **env: str) -> dict[str, Provider]:
    return builtin.build(config.parse(text, "t.toml"), env)


def complaint(text: str, **env: str) -> str:
    with pytest.raises(ConfigError) as raised:
        build(text, **env)
    return raised.value.message


def test_a_key_in_the_environment_is_all_that_a_known_provider_needs() -> None:
    found = build("", OPENAI_API_KEY="sk-1", ANTHROPIC_API_KEY="sk-2", OPENROUTER_API_KEY="", PATH="/bin")
    assert list(found) == ["openai", "anthropic"]
    assert found["openai"].headers == ((b"authorization", b"Bearer sk-1"),)
    assert found["anthropic"].headers == ((b"x-api-key", b"sk-2"),)
    assert found["anthropic"].apis == {Api.MESSAGES}
    assert found["openai"].models is None


def test_what_is_known_of_a_row_holds_unless_the_operator_says_otherwise() -> None:
    env = {"ANTHROPIC_API_KEY": "k", "OPENROUTER_API_KEY": "k", "AI_GATEWAY_API_KEY": "k"}
    found = build(COMPATIBLE, **env)
    assert {name: one.strict for name, one in found.items() if one.strict} == {"anthropic": True}
    honoured = {"openrouter": {"data_collection", "zdr"}, "vercel": {"zdr"}}
    assert {name: set(one.honours) for name, one in found.items() if one.honours} == honoured
    said = build("[providers.openrouter]\nretains_data = true\nstrict = true", **env)["openrouter"]
    assert (set(said.honours), said.strict) == ({"data_collection"}, True)
    assert not build("[providers.anthropic]\nstrict = false", **env)["anthropic"].strict


def test_prices_of_a_list_are_believed_of_those_that_are_known_to_tell_them_by_the_token() -> None:
    text = f"{COMPATIBLE}[providers.other]\nbase_url = 'http://h/v1'\nlists_prices = true\n"
    env = {"OPENROUTER_API_KEY": "k", "AI_GATEWAY_API_KEY": "k", "TOGETHER_API_KEY": "k"}
    believed = {name for name, one in build(text, **env).items() if one.lists_prices}
    assert believed == {"openrouter", "vercel", "other"}
    assert not build("[providers.vercel]\nlists_prices = false", **env)["vercel"].lists_prices


def test_without_settings_and_keys_there_is_nobody() -> None:
    assert build("") == {}


def test_what_the_file_says_wins_over_the_row_and_over_the_environment() -> None:
    text = """
    [providers.openai]
    key = "sk-file"
    base_url = "http://127.0.0.1:9/v1/"
    apis = ["chat"]
    models = ["m"]
    timeouts = { idle = 5 }
    on_abort = "drain"
    drain_limit = 7
    byok = true
    """
    provider = build(text, OPENAI_API_KEY="sk-env")["openai"]
    assert provider.headers == ((b"authorization", b"Bearer sk-file"),)
    assert (provider.base_url, provider.apis, provider.models) == (
        "http://127.0.0.1:9/v1",
        frozenset({Api.CHAT}),
        ("m",),
    )
    assert (provider.timeouts.idle, provider.timeouts.connect) == (5, 10)
    assert (provider.on_abort, provider.drain_limit, provider.byok) == ("drain", 7, True)


def test_two_accounts_of_one_vendor_are_two_providers() -> None:
    found = build("[providers.second]\ntype = 'anthropic'\nkey = 'sk-2'", ANTHROPIC_API_KEY="sk-1")
    assert {name: provider.headers[0][1] for name, provider in found.items()} == {
        "second": b"sk-2",
        "anthropic": b"sk-1",
    }
    assert found["second"].base_url == "https://api.anthropic.com/v1"


@pytest.mark.parametrize(
    ("kind", "written", "called"),
    [
        ("openai-compatible", "http://h:8080", "http://h:8080/v1"),
        ("openai-compatible", "http://h:8080/", "http://h:8080/v1"),
        ("openai-compatible", "http://h/v1/", "http://h/v1"),
        ("openai-compatible", "http://h/api/paas/v4", "http://h/api/paas/v4"),
        ("openai-compatible", "http://[::1]:8080", "http://[::1]:8080/v1"),
        ("anthropic-compatible", "https://h/anthropic", "https://h/anthropic/v1"),
        ("anthropic-compatible", "https://h/anthropic/v1", "https://h/anthropic/v1"),
    ],
)
def test_base_urls_may_be_written_as_the_sdks_take_them(kind: str, written: str, called: str) -> None:
    assert build(f"[providers.x]\ntype = '{kind}'\nbase_url = '{written}'")["x"].base_url == called


@pytest.mark.parametrize("kind", list(ROWS))
def test_every_row_makes_a_provider_whose_requests_can_be_written(kind: str) -> None:
    project = "project = 'my-project'" if ROWS[kind].project_env else ""
    (provider,) = build(f"[providers.p]\ntype = '{kind}'\nkey = 'k'\nbase_url = 'http://h'\n{project}").values()
    request = UpstreamRequest(url=provider.base_url + "/x", headers=list(provider.headers))
    assert b"k" in render_head(request, parse_url(request.url))


def test_headers_are_sent_in_lower_case_and_may_be_secret() -> None:
    found = build(COMPATIBLE + "headers = { X-Team = 'env:TEAM', 'X-Empty' = '' }", TEAM="blue")
    assert found["x"].headers == ((b"x-team", b"blue"), (b"x-empty", b""))


def test_a_header_that_stands_for_the_key_is_sent_alone() -> None:
    found = build("[providers.openai]\nheaders = { Authorization = 'Token t' }", OPENAI_API_KEY="sk-1")
    assert found["openai"].headers == ((b"authorization", b"Token t"),)
    beside = build("[providers.openai]\nheaders = { x-api-key = 'k' }", OPENAI_API_KEY="sk-1")
    assert beside["openai"].headers == ((b"authorization", b"Bearer sk-1"), (b"x-api-key", b"k"))
    for keys in ("key = 'sk-1'", "keys = ['sk-1', 'sk-2']"):
        said = complaint(f"[providers.openai]\n{keys}\nheaders = {{ Authorization = 'Token t' }}")
        assert said == "t.toml:3: providers.openai.headers.Authorization: " + (
            "expected either this header or a key, which is sent in it"
        )


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[providers.x]\nkey = 'k'", "t.toml:1: providers.x", "needs `base_url`"),
        ("[providers.x]\nbase_url = '/v1'", "t.toml:2: providers.x.base_url", "absolute http or https URL"),
        ("[providers.x]\nbase_url = 'ftp://h'", "t.toml:2: providers.x.base_url", "absolute http or https URL"),
        ("[providers.x]\nbase_url = 'http://h/?a=1'", "t.toml:2: providers.x.base_url", "without query"),
        ("[providers.x]\nbase_url = 'http://h/#a'", "t.toml:2: providers.x.base_url", "without query, fragment"),
        ("[providers.x]\ntype = 'opanai'", "t.toml:2: providers.x.type", "expected one of openai, anthropic"),
        ("[providers.openai]", "t.toml:1: providers.openai", "OPENAI_API_KEY"),
        ("[providers.x]\ntype = 'vercel'", "t.toml:1: providers.x", "AI_GATEWAY_API_KEY"),
        ("[providers.openai]\nkey = 'env:MINE'", "t.toml:2: providers.openai.key", "MINE is not set"),
        ("[providers.openai]\nkey = 'sk \\n'", "t.toml:2: providers.openai.key", "printable ASCII"),
        ("[providers.openai]\nkey = '“sk”'", "t.toml:2: providers.openai.key", "printable ASCII"),
        (COMPATIBLE + "headers = { X-A = 'b', x-a = 'c' }", "t.toml:3: providers.x.headers.x-a", "each header once"),
        (COMPATIBLE + "headers = { a = 'é' }", "t.toml:3: providers.x.headers.a", "printable ASCII"),
        (COMPATIBLE + "headers = { a = 'env:NO' }", "t.toml:3: providers.x.headers.a", "NO is not set"),
        ("[providers.local]\nbase_url = 'http://h'", "t.toml:1: providers.local", "embedded model"),
    ],
)
def test_what_makes_no_provider_is_said_with_its_place(text: str, place: str, words: str) -> None:
    said = complaint(text.replace("'sk \\n'", '"sk \\n"'))
    assert said.startswith(f"{place}: ")
    assert words in said


def test_a_bad_key_is_never_repeated() -> None:
    assert "sk-top-secret" not in complaint('[providers.openai]\nkey = "sk-top-secret\\n"')
    assert "sk-top-secret" not in complaint("", OPENAI_API_KEY="sk-top-secret\n")


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://h:99999/v1", "http://h:abc/v1", "http://u:p@h/v1", "http://h/a b", "http://hé/v1"]
)
def test_a_url_that_cannot_be_called_is_refused_at_the_start(url: str) -> None:
    assert complaint(f"[providers.x]\nbase_url = '{url}'").startswith("t.toml:2: providers.x.base_url: ")


@pytest.mark.parametrize("name", ["x team", "a:b", "", "Content-Length", "Host", "Transfer-Encoding", "connection"])
def test_a_header_that_cannot_be_sent_is_refused_at_the_start(name: str) -> None:
    assert complaint(f"{COMPATIBLE}headers = {{ '{name}' = '5' }}").startswith("t.toml:3: providers.x.headers.")


@pytest.mark.parametrize("setting", ["apis = []", "key = ''"])
def test_an_empty_setting_is_not_the_same_as_none(setting: str) -> None:
    assert complaint(COMPATIBLE + setting).startswith("t.toml:3: providers.x.")


def test_a_provider_that_counts_in_its_own_way_is_known_by_its_type_or_its_name() -> None:
    assert build("[providers.grok]\nbase_url = 'http://h'")["grok"].conventions == XAI
    assert build("[providers.mine]\ntype = 'xai'\nkey = 'k'")["mine"].conventions == XAI


def test_naming_the_type_that_holds_anyway_changes_nothing() -> None:
    plain = "[providers.grok]\nbase_url = 'http://h'\n"
    assert build(plain + "type = 'openai-compatible'") == build(plain)


def test_the_embedded_provider_speaks_all_three_apis() -> None:
    provider = builtin.embedded("gemma")
    assert (provider.name, provider.models, provider.apis) == ("local", ("gemma",), frozenset({*Api, Solo.EMBEDDINGS}))


def test_gateways_of_many_vendors_keep_records_of_generations_wherever_they_are() -> None:
    found = build(
        f"[providers.mine]\ntype = 'openrouter'\nkey = 'k'\nbase_url = 'http://h/api/v1'\n{COMPATIBLE}",
        OPENAI_API_KEY="sk-1",
        AI_GATEWAY_API_KEY="sk-2",
    )
    assert {name: one.generations and one.base_url + one.generations for name, one in found.items()} == {
        "mine": "http://h/api/v1/generation?id={id}",
        "x": None,
        "openai": None,
        "vercel": "https://ai-gateway.vercel.sh/v1/generation?id={id}",
    }
