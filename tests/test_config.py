"""Settings: what an operator may write, and what he is told when it is wrong: file, line, key and what was expected."""

from __future__ import annotations

import contextlib
import re
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.config import data_folder, database_url, find_file, identity, load, parse, redis_url, secret, secret_keys
from trivium.errors import ConfigError
from trivium.settings import BillingSettings, LimitSettings, Settings


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse(text, "t.toml")
    return raised.value.message


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "[serve]\nport = 1",
            "t.toml:1: serve",
            "unknown section; expected one of abuse, adapt, admin, alerts, aliases",
        ),
        ("port = 1", "t.toml:1: port", "unknown section"),
        ("free = 1", "t.toml:1: free", "got int"),
        ("[free]\nmodels = 1", "t.toml:2: free.models", '[free.models."ID"]'),
        ("[free]\nanonymus = true", "t.toml:2: free.anonymus", "expected one of anonymous, patterns"),
        ("[free]\nper_ip_per_hour = -1", "t.toml:2: free.per_ip_per_hour", ">= 0"),
        ("[free.models.m]\nstealth = true", "t.toml:1: free.models.m", "missing required field route"),
        ("[free.models.m]\nroute = 'm'", "t.toml:2: free.models.m.route", "Expected PROVIDER/MODEL"),
        ("[free.models.m]\nroute = 'a/b'\nsteath = true", "t.toml:3: free.models.m.steath", "expected one of route"),
        ("[free.models.' m']\nroute = 'a/b'", "t.toml:1: free.models. m", "without blanks"),
        ("[auto]\nenabled = 1", "t.toml:2: auto.enabled", "Expected bool, got int"),
        ("auto = 1", "t.toml:1: auto", "expected tables"),
        ("[auto.a]\nname = 'A'", "t.toml:1: auto.a.choices", "expected one or more tables"),
        ("[auto.'auto/fronteir']\nenabled = false", "t.toml:1: auto.auto/fronteir.choices", "only auto/frontier, "),
        ("[auto.' a']\nenabled = false", "t.toml:1: auto. a", "without blanks"),
        ("[[auto.a.choices]]\nmodels = []", "t.toml:2: auto.a.choices.0.models", "length >= 1"),
        (
            "[[auto.a.choices]]\nmodels = ['m']\nefort = 'low'",
            "t.toml:3: auto.a.choices.0.efort",
            "one of models, price",
        ),
        (
            "[[auto.a.choices]]\nmodels = ['m']\n[[auto.a.choices]]\nmodels = ['m']\neffort = 'huge'",
            "t.toml:5: auto.a.choices.1.effort",
            "expected one of minimal, low",
        ),
        ("[auto.'auto/free']\ndefault_mod = 'x'", "t.toml:2: auto.auto/free.default_mod", "one of enabled, name"),
        ("[aliases]\nm = 'x'\n[free.models.m]\nroute = 'a/b'", "t.toml:3: free.models.m", "is an alias too"),
        ("[server]\n\nprot = 1", "t.toml:3: server.prot", "expected one of host, port"),
        ('[server]\nport = "4000"', "t.toml:2: server.port", "Expected int, got str"),
        ("[server]\nport = 70000", "t.toml:2: server.port", "<= 65535"),
        ("[server]\nport = true", "t.toml:2: server.port", "got bool"),
        ("[server]\nport = 4000.5", "t.toml:2: server.port", "got float"),
        ("[server]\nhost = 2020-01-01", "t.toml:2: server.host", "Expected str, got date"),
        ("[server]\nheader_timeout = nan", "t.toml:2: server.header_timeout", "float > 0"),
        ("[server]\nheader_timeout = inf", "t.toml:2: server.header_timeout", "float <= 86400"),
        ("[server]\nheader_timeout = 0", "t.toml:2: server.header_timeout", "> 0"),
        ("server = 3", "t.toml:1: server", "got int"),
        ("[[server]]\nport = 1", "t.toml:1: server", "got array"),
        ("[storage]\ndata = 3", "t.toml:2: storage.data", "Expected str"),
        ('[storage]\nretention = "90"', "t.toml:2: storage.retention", "Expected hours or days, as 24h or 90d"),
        ('[storage]\nretention = "0d"', "t.toml:2: storage.retention", "as 24h or 90d"),
        ('[telemetry.prometheus]\nlisten = "x"', "t.toml:2: telemetry.prometheus.listen", "Expected HOST:PORT"),
        ("[alerts.slack.x]\nurll = 'h'", "t.toml:2: alerts.slack.x.urll", "expected one of url, severities"),
        ("[alerts.slack.x]\nurl = 'h'\n[alerts.slack.y]\nurl = 3", "t.toml:4: alerts.slack.y.url", "got int"),
        ("[alerts.slack]\nx = 1", "t.toml:2: alerts.slack.x", "got int"),
        (
            "[alerts.email.m]\nhost = 'h'\nsender = 'a@b'\nto = ['a@b', 'x']",
            "t.toml:4: alerts.email.m.to",
            "Expected an e-mail address",
        ),
        ("[alerts.webhooks.w]\nurl = 'h'\nheaders = { x = 1 }", "t.toml:3: alerts.webhooks.w.headers.x", "got int"),
        ('[storage]\nurl = ""', "t.toml:2: storage.url", "length >= 1"),
        ('[log]\nlevel = "loud"', "t.toml:2: log.level", "expected one of debug, info, warning, error"),
        ('[upstream]\nclient = "curl"', "t.toml:2: upstream.client", "expected one of http1, aiohttp"),
        ("[local]\nenabled = 1", "t.toml:2: local.enabled", "Expected bool, got int"),
        ("providers = 3", "t.toml:1: providers", "[providers.NAME]"),
        ("[[providers]]\nname = 'x'", "t.toml:1: providers", "[providers.NAME]"),
        ("[providers]\nx = 3", "t.toml:2: providers.x", "got int"),
        ("[providers.'A b']\nkey = 'x'", "t.toml:1: providers.A b", "a-z, 0-9"),
        ("[providers.x]\nurl = 'http://h'", "t.toml:2: providers.x.url", "expected one of type, base_url, key"),
        ('[providers.x]\napis = [\n"chat",\n"caht"\n]', "t.toml:5: providers.x.apis", "chat, responses, messages"),
        ("[providers.x]\nmodels = 'm'", "t.toml:2: providers.x.models", "Expected array"),
        ("[providers.x]\nmodels = ['m', 3]", "t.toml:2: providers.x.models", "Expected str, got int"),
        ("[providers.x.timeouts]\nconnect = 1\nidel = 1", "t.toml:3: providers.x.timeouts.idel", "first_byte"),
        ("[providers.x]\ntimeouts = { idel = 1 }", "t.toml:2: providers.x.timeouts.idel", "first_byte"),
        ("providers.x.timeouts.idel = 1", "t.toml:1: providers.x.timeouts.idel", "first_byte"),
        ("[server]\n'po rt' = 1", "t.toml:2: server.po rt", "unknown setting"),
        ("[providers.x]\non_abort = 'wait'", "t.toml:2: providers.x.on_abort", "expected one of cancel, drain"),
        ("[providers.x]\ndrain_limit = 0", "t.toml:2: providers.x.drain_limit", "> 0"),
        ("[providers.x]\nbyok = 'yes'", "t.toml:2: providers.x.byok", "Expected bool"),
        ("[billing]\nmode = 'free'", "t.toml:2: billing.mode", "expected one of meter, credits"),
        ("[billing]\ncurrency = 'EUR'", "t.toml:2: billing.currency", "expected one of mode, cost_header"),
        ("[identity]\nsalt = 'short'", "t.toml:2: identity.salt", "length >= 8"),
        ('[identity]\ntitle = "a\\nb"', "t.toml:2: identity.title", "Expected printable characters"),
        ("[identity]\nreferer = ''", "t.toml:2: identity.referer", "length >= 1"),
        ("[adapt]\nrepair = true", "t.toml:2: adapt.repair", "expected one of repair_tools, cache_marks"),
        ("[admin]\nenabled = 1", "t.toml:2: admin.enabled", "Expected bool, got int"),
        ("models = 3", "t.toml:1: models", 'tables [models."PROVIDER/MODEL"]'),
        ("[models.m]\nfree = true", "t.toml:1: models.m", "expected PROVIDER/MODEL, in quotes"),
        ("[models.'a/m']\nprise = 3", "t.toml:2: models.a/m.prise", "expected one of price, free, context"),
        ("[models.'a/m']\nprice = 3", "t.toml:2: models.a/m.price", "Expected object"),
        ("[models.'a/m']\ncontext = 0", "t.toml:2: models.a/m.context", ">= 1"),
        ("[models.'a/m']\nprice = {}\nfree = true", "t.toml:3: models.a/m.free", "is not free"),
        ('[server]\nhost = """\n[server]\nport = 1\n"""\nport = "x"', "t.toml:6: server.port", "got str"),
        ("[server]\r\n\r\nport = 'x'\r\n", "t.toml:3: server.port", "got str"),
    ],
)
def test_a_wrong_setting_is_said_with_file_line_key_and_what_was_expected(text: str, place: str, words: str) -> None:
    said = complaint(text)
    assert said.startswith(f"{place}: ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server\n\n", "line 1"),
        ("[server]\nport = 1\nport = 2\n\n", "line 3"),
        ("[server]\nport = 1\n[server]\nhost = 'x'", "line 3"),
        ("[server]\nport = \n\n", "line 2"),
        ("[server]\nport = 1 # \u2028\nhost = x", "line 3"),
    ],
)
def test_what_is_not_toml_is_said_with_file_and_line(text: str, words: str) -> None:
    said = complaint(text)
    assert said.startswith("t.toml: not TOML: ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[aliases]\na = 'b'\nquick = 3", "t.toml:3: aliases.quick"),
        ("[providers.x.headers]\na = 'b'\nx-team = 3", "t.toml:3: providers.x.headers.x-team"),
    ],
)
def test_a_wrong_value_in_a_table_of_names_is_said_with_its_name(text: str, place: str) -> None:
    assert complaint(text).startswith(f"{place}: ")


def test_a_line_separator_in_a_comment_does_not_move_the_line_number() -> None:
    assert complaint("[server] # \u2028 \u0085\nport = 'x'").startswith("t.toml:2: ")


def test_nesting_without_end_is_not_toml_either() -> None:
    said = ""
    with contextlib.suppress(RecursionError):
        said = complaint("a = " + "[" * 5000)
    assert said.startswith("t.toml: not TOML: ")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_bytes(b"\xef\xbb\xbf[server]\r\nport = 5000\r\n")
    assert load(tmp_path / "t.toml", {}).server.port == 5000


def test_every_setting_can_be_written_and_arrives() -> None:
    settings = parse(
        """
        [server]
        host = "0.0.0.0"
        port = 0
        shutdown_grace = 2.5
        [storage]
        data = "/srv/trivium"
        url = "env:DATABASE"
        retention = "90d"
        [upstream]
        client = "aiohttp"
        [local]
        enabled = false
        start = "first-use"
        [log]
        level = "debug"
        [aliases]
        "gpt-x:fast" = "a/b"
        [providers.a]
        base_url = "http://127.0.0.1:8080"
        apis = ["chat", "messages"]
        models = ["b", "c-*"]
        headers = { "X-Team" = "env:TEAM" }
        timeouts = { idle = 3 }
        on_abort = "drain"
        drain_limit = 5
        byok = true
        [billing]
        mode = "credits"
        cost_header = true
        buy_credits_url = "https://example.com/credits"
        [limits]
        redis_url = "env:REDIS"
        redis_timeout = 0.1
        [models."a/b-*"]
        price = { input = 0.3, output = "15" }
        context = 8192
        output_limit = 1024
        """
    )
    assert (settings.server.host, settings.server.port, settings.server.shutdown_grace) == ("0.0.0.0", 0, 2.5)
    assert (settings.upstream.client, settings.local.start, settings.log.level) == ("aiohttp", "first-use", "debug")
    assert (settings.storage.url, settings.storage.retention) == ("env:DATABASE", "90d")
    assert settings.aliases == {"gpt-x:fast": "a/b"}
    provider = settings.providers["a"]
    assert (provider.apis, provider.models) == (["chat", "messages"], ["b", "c-*"])
    assert (provider.timeouts.idle, provider.timeouts.connect) == (3, 10)
    assert (provider.on_abort, provider.drain_limit, provider.byok) == ("drain", 5, True)
    assert settings.billing == BillingSettings("credits", True, "https://example.com/credits")
    assert settings.limits == LimitSettings("env:REDIS", 0.1)
    model = settings.models["a/b-*"]
    assert (model.price, model.context, model.output_limit) == ({"input": 0.3, "output": "15"}, 8192, 1024)


def test_an_empty_file_and_no_file_are_the_defaults() -> None:
    assert parse("").server == load(None, {}).server == Settings().server


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(parse(text, "t.toml"), Settings)
    except ConfigError as error:
        assert error.message.startswith("t.toml")


KEYS = st.sampled_from(
    ["server", "providers", "x", "port", "host", "timeouts", "headers", "idle", "models", "a.b", "ü"]
)
VALUES = st.recursive(
    st.sampled_from(["1", "true", "1.5", "nan", '"s"', "''", "2020-01-01", "[]", "{}", "[1, 'a']"]),
    lambda inner: st.lists(st.tuples(KEYS, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda pairs: "{" + ", ".join(f'"{key}" = {value}' for key, value in pairs) + "}"
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, VALUES), max_size=4, unique_by=lambda pair: pair[0]))
def test_any_toml_is_settings_or_a_config_error_with_a_line(pairs: list[tuple[str, str]]) -> None:
    text = "\n".join(f'"{key}" = {value}' for key, value in pairs)
    tomllib.loads(text)
    try:
        parse(text, "t.toml")
    except ConfigError as error:
        _, line, _ = error.message.split(":", 2)
        assert 1 <= int(line) <= len(pairs)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    for name in ("missing.toml", "latin.toml", "."):
        with pytest.raises(ConfigError, match="cannot be read") as raised:
            load(tmp_path / name, {})
        assert raised.value.message.startswith(str(tmp_path / name))


class TestEnvironment:
    def test_it_wins_over_the_file_where_things_are(self, tmp_path: Path) -> None:
        file = tmp_path / "t.toml"
        file.write_text('[server]\nhost = "10.0.0.1"\nport = 1\nmax_calls = 7\n[storage]\ndata = "/a"\n')
        with file.open("a") as more:
            more.write('url = "env:DATABASE"\nretention = "36h"\n')
        env = {"TRIVIUM_HOST": "::1", "TRIVIUM_PORT": "5000", "TRIVIUM_DATA": "/b"}
        settings = load(file, env)
        assert (settings.server.host, settings.server.port, settings.server.max_calls) == ("::1", 5000, 7)
        assert data_folder(settings, env) == Path("/b")
        assert (settings.storage.url, settings.storage.retention) == ("env:DATABASE", "36h")
        assert data_folder(load(file, {}), {}) == Path("/a")

    def test_empty_variables_say_nothing(self) -> None:
        settings = load(None, {"TRIVIUM_HOST": "", "TRIVIUM_PORT": "", "TRIVIUM_DATA": ""})
        assert (settings.server.host, settings.server.port, settings.storage.data) == ("127.0.0.1", 4000, None)

    @pytest.mark.parametrize("port", ["http", "-1", "70000", "4000 ", "0x10", "1e3"])
    def test_a_port_that_is_none_is_refused_by_name(self, port: str) -> None:
        with pytest.raises(ConfigError, match="TRIVIUM_PORT: expected a port number from 0 to 65535"):
            load(None, {"TRIVIUM_PORT": port})

    def test_data_goes_where_the_desktop_keeps_it_unless_told_otherwise(self) -> None:
        assert data_folder(Settings(), {"XDG_DATA_HOME": "/x"}) == Path("/x/trivium")
        assert data_folder(Settings(), {}) == Path.home() / ".local" / "share" / "trivium"
        assert data_folder(parse('[storage]\ndata = "~/t"'), {}) == Path.home() / "t"

    def test_a_home_that_nobody_has_is_a_config_error(self) -> None:
        with pytest.raises(ConfigError, match=r"storage\.data"):
            data_folder(parse('[storage]\ndata = "~nobody-here/t"'), {})


class TestFindFile:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "here").mkdir()
        (tmp_path / "data").mkdir()
        monkeypatch.chdir(tmp_path / "here")

    def test_the_named_one_then_the_variable_then_here_then_the_data_folder(self, tmp_path: Path) -> None:
        env = {"TRIVIUM_DATA": str(tmp_path / "data")}
        assert find_file(None, env) is None
        (tmp_path / "data" / "trivium.toml").touch()
        assert find_file(None, env) == tmp_path / "data" / "trivium.toml"
        (tmp_path / "here" / "trivium.toml").touch()
        assert find_file(None, env) == Path("trivium.toml")
        env["TRIVIUM_CONFIG"] = "other.toml"
        assert find_file(None, env) == Path("other.toml")
        assert find_file("named.toml", env) == Path("named.toml")

    def test_one_that_is_named_and_missing_is_not_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "here" / "trivium.toml").touch()
        with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read"):
            load(find_file(None, {"TRIVIUM_CONFIG": "gone.toml"}), {})

    def test_a_folder_of_that_name_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "here" / "trivium.toml").mkdir()
        assert find_file(None, {}) is None

    def test_the_data_folder_counts_without_the_variable_too(self, tmp_path: Path) -> None:
        folder = tmp_path / "data" / "trivium"
        folder.mkdir()
        (folder / "trivium.toml").touch()
        assert find_file(None, {"XDG_DATA_HOME": str(tmp_path / "data")}) == folder / "trivium.toml"


class TestSecrets:
    PATH = ("providers", "x", "key")
    SOURCE = parse("[providers.x]\nkey = 'k'", "t.toml").source

    def test_literal_from_the_environment_or_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("sk-file\n")
        for written, read in (
            ("sk-1", "sk-1"),
            ("a:b", "a:b"),
            ("env:K", "sk-env"),
            (f"file:{tmp_path}/key", "sk-file"),
        ):
            assert secret(written, {"K": "sk-env"}, None, self.PATH) == read

    @pytest.mark.parametrize("written", ["env:NOPE", "env:EMPTY", "env:", "file:/nowhere/key", "file:.", "file:"])
    def test_one_that_is_missing_names_the_place_of_the_setting(self, written: str) -> None:
        with pytest.raises(ConfigError) as raised:
            secret(written, {"EMPTY": ""}, self.SOURCE, self.PATH)
        assert raised.value.message.startswith("t.toml:2: providers.x.key: ")
        assert written.partition(":")[2] in raised.value.message

    @pytest.mark.parametrize("written", ["file:~nobody-here/key", "file:\0"])
    def test_a_path_that_cannot_be_one_is_a_config_error(self, written: str) -> None:
        with pytest.raises(ConfigError):
            secret(written, {}, self.SOURCE, self.PATH)

    def test_an_empty_file_is_no_secret(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("\n")
        with pytest.raises(ConfigError, match="empty"):
            secret(f"file:{tmp_path}/key", {}, self.SOURCE, self.PATH)


class TestDatabase:
    def test_without_an_address_the_store_is_a_file(self) -> None:
        assert database_url(parse("[storage]"), {}) is None

    @pytest.mark.parametrize("url", ["postgresql://me:pw@db/money", "postgres://db/money"])
    def test_its_address_is_a_secret(self, url: str) -> None:
        assert database_url(parse(f'[storage]\nurl = "{url}"'), {}) == url
        assert database_url(parse('[storage]\nurl = "env:DATABASE"'), {"DATABASE": url}) == url

    @pytest.mark.parametrize("url", ["mysql://me:pw@db/money", "/var/lib/secret.db", "host=db password=pw"])
    def test_what_is_none_is_named_by_its_place_and_not_quoted(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"t\.toml:2: storage\.url: expected postgresql://") as raised:
            database_url(parse(f'[storage]\nurl = "{url}"', "t.toml"), {})
        assert url not in raised.value.message


class TestSecretKeys:
    """`[secrets] keys`: under what upstream keys of users and organizations are kept."""

    def test_they_come_from_the_environment_and_files_the_current_one_first(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_text("of-the-file\n")
        settings = parse(f'[secrets]\nkeys = ["v2=env:KEK", "v1=file:{tmp_path}/old"]')
        assert secret_keys(settings, {"KEK": "of-the-environment"}) == [
            ("v2", "of-the-environment"),
            ("v1", "of-the-file"),
        ]
        assert secret_keys(Settings(), {}) == []

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ('["v1=env:MISSING"]', "the environment variable MISSING is not set"),
            ('["v1=file:/nowhere"]', "cannot read the file /nowhere"),
            ('["v1=literal-key"]', "expected VERSION=env:NAME or VERSION=file:PATH"),
            ('["env:KEK"]', "expected VERSION=env:NAME"),
            ('["v1=env:KEK", "v1=env:KEK"]', "each version once"),
        ],
    )
    def test_a_wrong_one_is_named_without_its_text(self, keys: str, said: str) -> None:
        with pytest.raises(ConfigError) as told:
            secret_keys(parse(f"[secrets]\nkeys = {keys}", "t.toml"), {"KEK": "secret-text"})
        assert told.value.message.startswith("t.toml:2: secrets.keys: ")
        assert said in told.value.message
        assert "literal-key" not in told.value.message


@pytest.mark.parametrize(
    ("text", "send", "salt"),
    [
        ("", False, "ours"),
        ("[billing]\nmode = 'credits'", True, "ours"),
        ("[billing]\nmode = 'credits'\n[identity]\nsend = false", False, "ours"),
        ("[identity]\nsend = true\nsalt = 'env:SALT'", True, "theirs"),
    ],
)
def test_who_calls_is_told_with_credits_and_hashed_with_a_salt_of_ones_own(text: str, send: bool, salt: str) -> None:
    found = identity(parse(text, "t.toml"), {"SALT": "theirs"}, "ours")
    assert (found.send, found.salt) == (send, salt)


def test_the_address_of_redis_is_a_secret_that_may_lie_elsewhere() -> None:
    assert redis_url(Settings(), {}) is None
    settings = parse('[limits]\nredis_url = "env:REDIS"', "t.toml")
    for url in ("redis://:password@h:6379/1", "rediss://h", "unix:///run/redis.sock"):
        assert redis_url(settings, {"REDIS": url}) == url
    with pytest.raises(ConfigError, match=r"t\.toml:2: limits\.redis_url: the environment variable REDIS is not set"):
        redis_url(settings, {})
    with pytest.raises(ConfigError, match="expected redis://USER:PASSWORD@HOST:PORT/NUMBER") as refused:
        redis_url(settings, {"REDIS": "http://:canary@h"})
    assert "canary" not in refused.value.message


def test_the_pages_name_every_setting_beside_its_section() -> None:
    root = Path(__file__).parents[1]
    pages = [page.read_text(encoding="utf-8") for page in (root / "README.md", *sorted((root / "docs").glob("*.md")))]
    unsaid = []
    for section in msgspec.structs.fields(Settings):
        beside = "\n".join(page for page in pages if re.search(rf"\[{section.name}[].]", page))
        names = [] if section.name == "source" else [section.name, *_names(section.type)]
        unsaid += [f"{section.name}.{name}" for name in names if not re.search(rf"\b{name}\b", beside)]
    assert unsaid == []


def _names(kind: object) -> list[str]:
    """Of a section's settings, those of its tables too."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [name for field in msgspec.structs.fields(kind) for name in (field.name, *_names(field.type))]
    return [name for part in typing.get_args(kind) for name in _names(part)]
