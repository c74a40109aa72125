"""`trivium config`, `trivium reload`, and what `trivium models` says of the catalogue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support_cli import CommandLine
from trivium import config
from trivium.mock import Model, Script, ScriptedUpstream
from trivium.server import control
from trivium.server.deps import Gateway
from trivium.store.ownership import ownership

PLAIN = "[local]\nenabled = false\n[providers.up]\nbase_url = 'http://127.0.0.1:9'\nmodels = ['m']\n"


class House:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "trivium.toml"
        self.file.write_text(PLAIN)
        self.trivium = CommandLine(folder / "data")

    def __call__(self, *words: str) -> str:
        return self.trivium(*words, "--config", str(self.file)).stdout

    def refusal(self, *words: str) -> str:
        return self.trivium.refusal(*words, "--config", str(self.file))

    def beside_a_gateway(self, *steps: tuple[str, ...], change: str = PLAIN) -> list[str]:
        """What commands print while a gateway runs, whose file has changed since its start."""

        async def run() -> list[str]:
            folder = self.trivium.data
            with ownership(folder):
                gateway = Gateway(config.load(self.file, {}), folder, {})
                await gateway.open()
                door = await control.serve(folder, gateway.operations.perform)
                self.file.write_text(change)
                try:
                    results = [
                        await asyncio.to_thread(self.trivium, *step, "--config", str(self.file)) for step in steps
                    ]
                finally:
                    door.close()
                    await gateway.close()
                return [result.stdout + result.stderr for result in results]

        return asyncio.run(run())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_check_says_that_a_file_is_right_and_starts_nothing(house: House) -> None:
    assert house("config", "check") == f"{house.file}: right; providers: up\n"
    assert not (house.trivium.data / "trivium.db").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("default_model = 'nowhere'", "catalog.default_model: leads to 'nowhere': no provider has it"),
        ("preferred = ['m', 'x/m']", "catalog.preferred: leads to 'x/m': there is no provider 'x'; expected one of up"),
        ("default_model = 'm'\npreferred = ['auto/balanced', 'up/m']", None),
    ],
)
def test_check_warns_of_what_is_proposed_and_leads_nowhere(house: House, setting: str, said: str | None) -> None:
    """An organization may have a custom model of that name."""
    house.file.write_text(f"{PLAIN}[catalog]\n{setting}\n")
    told = house.trivium("config", "check", "--config", str(house.file))
    assert told.stdout == f"{house.file}: right; providers: up\n"
    assert told.stderr == (f"warning: {house.file}:7: {said}\n" if said else "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[server]\nport = 'many'", "server.port: Expected int"),
        ("[aliases]\nquick = 'nowhere'", "aliases.quick: leads to 'nowhere': no provider has it"),
        ("[tokens]\nkey = 'short'", "tokens.key: expected 32 bytes or more"),
        ("[limits]\nredis_url = 'http://h'", "limits.redis_url: expected redis://"),
        ("[storage]\nurl = 'mysql://h'", "storage.url: expected postgresql://"),
        (
            "[providers.x]\nbase_url = 'http://h'\nkey = 'env:NOT_SET'",
            "providers.x.key: the environment variable",
        ),
        ("[limits]\nredis_url = 'redis://h:notaport/0'", "limits.redis_url: this is no URL of a Redis server"),
        ("[identity]\nsalt = 'env:NOT_SET'", "identity.salt: the environment variable"),
        ("[dashboard.oidc]\nissuer = 'https://h'\nclient_id = 'c'\nclient_secret = 'env:NOT_SET'", "variable NOT_SET"),
        ("[secrets]\nkeys = ['1=file:/proc/version']", "secrets.keys: the key '1' is not 32 bytes"),
        ("[telemetry.prometheus]\nlisten = '127.0.0.1:99999'", "telemetry.prometheus.listen: no port is above 65535"),
        ("[alerts.slack.ops]\nurl = 'env:NOT_SET'", "alerts.slack.ops.url: the environment variable"),
        ("[alerts.webhooks.'a b']\nurl = 'https://h'", "expected a name of a-z"),
        ("[server]\nhost = ''", "server.host: Expected str"),
        ("[abuse.rules]\nlists = '/nowhere'", ".toml:7: abuse.rules.lists: cannot read /nowhere"),
        ("[models.'up/m']\nprice = { input = 'x' }", "models.up/m.price"),
        ("[models.'up/m']\nprice = { input = 1 }", ".toml:7: models.up/m.price.output: missing"),
        ("[catalog.models.x]\nroutes = [{ to = 'nobody/m' }]", "there is no provider 'nobody'"),
    ],
)
def test_check_says_what_is_wrong_and_where(house: House, wrong: str, said: str) -> None:
    house.file.write_text(f"{PLAIN}{wrong}")
    assert said in house.refusal("config", "check")


def test_reload_says_what_has_changed_and_what_needs_a_restart(house: House) -> None:
    change = f"{PLAIN}[aliases]\nquick = 'm'\n[server]\nport = 5\n"
    reloaded, shown = house.beside_a_gateway(("reload",), ("config", "show"), change=change)
    assert reloaded == "changed: aliases\nneeds a restart: server.port\n"
    first, second, third = shown.splitlines()
    assert first == f"file: {house.file}"
    assert second.startswith("taken: ")
    assert second.endswith(" UTC (operator)")
    assert third == "needs a restart: server.port"


def test_a_file_that_is_not_taken_is_told_of_with_its_fault(house: House) -> None:
    wrong = PLAIN + "[free.models.x]\nroute = 'nobody/m'\n"
    reloaded, shown = house.beside_a_gateway(("reload",), ("config", "show"), change=wrong)
    problem = f"{house.file}:7: free.models.x.route: there is no provider 'nobody'"
    assert reloaded == f"trivium: The configuration is as before: {problem}\n"
    assert shown.splitlines()[-1].startswith("not taken: ")
    assert shown.splitlines()[-1].endswith(f": {problem}")


def test_show_works_where_the_file_is_no_configuration_any_more(house: House) -> None:
    shown, reloaded = house.beside_a_gateway(("config", "show"), ("reload",), change="[")
    assert shown.startswith(f"file: {house.file}\ntaken: ")
    assert reloaded.startswith(f"trivium: The configuration is as before: {house.file}: not TOML")


def test_a_running_gateway_hears_commands_whatever_has_become_of_its_file(house: House) -> None:
    house.trivium.env["TRIVIUM_DATA"] = None
    there = f"[storage]\ndata = '{house.trivium.data}'\n"
    house.file.write_text(PLAIN + there)
    commands = (("keys", "create", "--name", "new"), ("keys", "list"), ("routes",), ("alerts",))
    made, listed, routes, alerts = house.beside_a_gateway(*commands, change=f"{PLAIN}{there}[nonsense]\n")
    assert "tv-" in made
    assert "new" in listed
    assert routes.startswith("No model with several routes")
    assert alerts.startswith("No provider refuses")
    assert "nonsense" in house.refusal("keys", "list")  # nobody runs: the file has to be right


def test_where_a_broken_file_tells_no_folder_nobody_is_asked_by_chance(house: House, tmp_path: Path) -> None:
    """The gateway in the usual folder may be another one."""
    house.trivium.env |= {"TRIVIUM_DATA": None, "XDG_DATA_HOME": str(tmp_path)}
    house.trivium.data = tmp_path / "trivium"
    house.trivium.data.mkdir()
    created, shown = house.beside_a_gateway(("keys", "create", "--name", "x"), ("config", "show"), change="[")
    assert "not TOML" in created
    assert shown.startswith("file: ")


def test_where_no_gateway_runs_there_is_nobody_to_ask(house: House) -> None:
    for words in (("reload",), ("config", "show")):
        assert house.refusal(*words).startswith("trivium: No gateway runs here; ")
    house.file.write_text("[")
    assert "not TOML" in house.refusal("reload")


def test_models_says_where_models_are_known_from_and_where_they_lead(house: House) -> None:
    async def asked() -> list[str]:
        async with ScriptedUpstream(Script(models=[Model("theirs")])) as upstream:
            house.file.write_text(f"{PLAIN}[providers.told]\nbase_url = '{upstream.url}/v1'\n")
            words = (("sources",), ("refresh", "told"), ("sources",), ("catalog",), ("catalog", "--provider", "told"))
            return [await asyncio.to_thread(house, "models", *step) for step in words]

    before, refreshed, after, known, theirs = asyncio.run(asked())
    rows = [line.split() for line in before.splitlines()]
    assert rows[1][:3] == ["up", "configuration", "1"]
    assert rows[2][:3] == ["told", "nothing", "0"]
    assert refreshed.splitlines()[1].split()[:3] == ["told", "provider", "1"]
    assert after.splitlines()[2].split()[:3] == ["told", "disk", "1"]
    assert [line.split() for line in known.splitlines()[1:]] == [["m", "up/m"], ["theirs", "told/theirs"]]
    assert [line.split() for line in theirs.splitlines()[1:]] == [["theirs", "told/theirs"]]
