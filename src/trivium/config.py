"""Every setting, once: frozen values from one TOML file and a few environment variables.

An unknown or wrong setting stops the start with file, line, key and what was expected. Secrets may be written
literally, as `env:NAME` or as `file:PATH`. The environment chooses where things are (`TRIVIUM_CONFIG`, `TRIVIUM_DATA`,
`TRIVIUM_HOST`, `TRIVIUM_PORT`) and wins over the file there; everything else is the file's.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from trivium.errors import ConfigError

MIB = 1024 * 1024

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
ProviderName = re.compile(r"[a-z0-9][a-z0-9._-]*")


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: the listening socket and what keeps one client from harming the others."""

    host: str = "127.0.0.1"
    port: Port = 4000
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 32 * MIB
    max_anonymous_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1 * MIB
    max_header_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    header_timeout: Seconds = 10
    """From the first byte of a request (or the connection) to the end of its headers."""
    body_timeout: Seconds = 30
    """Longest silence while a request body is being sent."""
    keep_alive: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 75
    """Seconds that a client connection may rest between two requests."""
    stream_keep_alive: Seconds = 10
    """Silence of an upstream after which a translated stream says that it is still there."""
    max_in_flight_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 512 * MIB
    """Request and answer bytes held in memory by all calls together; beyond it calls get 503."""
    max_calls: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Calls in progress at once; beyond it calls get 503."""
    shutdown_grace: Seconds = 30
    """How long running streams may go on after SIGTERM."""
    trusted_proxies: list[str] = []
    """Addresses and networks (CIDR) whose `X-Forwarded-For` is believed."""


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[storage]`."""

    data: str | None = None
    """Folder of the database, the bootstrap key and the model cache. Default: `$XDG_DATA_HOME/trivium`."""
    url: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    """`postgresql://...`, a secret: the database of one or several gateways, instead of a file in the folder."""
    retention: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,4}[hd]$")] | None = None
    """Age up to which records are kept, as `90d` or `36h`. Default: for ever."""


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstream]`: the HTTP client that calls providers."""

    client: Literal["http1", "aiohttp"] = "http1"
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Per provider origin."""


class LocalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[local]`: the embedded model."""

    enabled: bool = True
    """False leaves the provider `local` out even where its packages are installed."""
    start: Literal["up", "first-use"] = "up"


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class TimeoutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[providers.NAME.timeouts]`, in seconds."""

    connect: Seconds = 10
    first_byte: Seconds = 300
    idle: Seconds = 120


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[providers.NAME]`: an upstream. What is left out comes from the row of its `type`."""

    type: str | None = None
    """A row of the provider table; by default the row with the provider's own name, if there is one."""
    base_url: str | None = None
    key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    apis: Annotated[list[Literal["chat", "responses", "messages"]], msgspec.Meta(min_length=1)] | None = None
    models: list[str] | None = None
    """Model ids it serves, `*` and `?` as wildcards; by default asked of the provider itself."""
    headers: dict[str, str] = {}
    timeouts: TimeoutSettings = TimeoutSettings()
    on_abort: Literal["cancel", "drain"] = "cancel"
    """What becomes of a call whose client left: it is cut, or read to its end for the figures there."""
    drain_limit: Seconds = 60
    """The longest that it is read on."""
    byok: bool = False
    """The caller's side pays this provider itself: calls are charged nothing."""
    collects_data: bool | None = None
    """It may keep prompts for more than abuse checks, or learn from them. True by default, save of OpenAI and Anthropic."""
    retains_data: bool | None = None
    """It may keep anything of a call for a while. By default true of all but the embedded model."""
    reports_cost: bool | None = None
    """What it says in its answers that a call cost is charged. By default of OpenRouter, Vercel and xAI alone."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."PROVIDER/MODEL"]`, `*` and `?` as wildcards: what is known better here than anywhere else."""

    price: dict[str, Any] | None = None
    """USD per million tokens; `metering/sheet.py` says what may stand in it."""
    free: bool = False
    context: Annotated[int, msgspec.Meta(ge=1, le=10**9)] | None = None
    """Tokens."""
    output_limit: Annotated[int, msgspec.Meta(ge=1, le=10**9)] | None = None
    """The most tokens of an answer."""


class PromotionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[billing.promotions]]`: calls that cost their callers nothing for a while."""

    model: Annotated[str, msgspec.Meta(pattern="/")]
    """`PROVIDER/MODEL`, `*` and `?` as wildcards."""
    until: date
    """The last day, UTC."""
    account: str | None = None
    """Only of this account, by its id."""
    key: str | None = None
    """Only with this key, by its id."""


class BillingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[billing]`."""

    mode: Literal["meter", "credits"] = "meter"
    """Whether what calls cost is only measured, or taken from balances."""
    cost_header: bool = False
    """Answers tell their charge: whole ones in the header `x-trivium-cost-usd`, streams in a last comment."""
    buy_credits_url: str | None = None
    """Where callers without credits are sent."""
    promotions: list[PromotionSettings] = []


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    local: LocalSettings = LocalSettings()
    log: LogSettings = LogSettings()
    billing: BillingSettings = BillingSettings()
    models: dict[str, ModelSettings] = {}
    providers: dict[str, ProviderSettings] = {}
    aliases: dict[str, str] = {}
    source: Source | None = None
    """Where the values came from, to say so in an error found later."""


class Source(msgspec.Struct, frozen=True):
    """A configuration file's name and text."""

    name: str
    text: str

    def error(self, path: tuple[str, ...], expected: str) -> ConfigError:
        """An error that names file, line and key."""
        line = _line_of(self.text, path)
        place = f"{self.name}:{line}" if line else self.name
        return ConfigError(f"{place}: {'.'.join(path)}: {expected}")


_SECTIONS: dict[str, Any] = {
    "server": ServerSettings,
    "storage": StorageSettings,
    "upstream": UpstreamSettings,
    "local": LocalSettings,
    "log": LogSettings,
    "billing": BillingSettings,
    "aliases": dict[str, str],
}
_T = TypeVar("_T")


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """Reads the file, if one is given, and lays the environment over it. Raises ConfigError."""
    settings = parse(_read(path), str(path)) if path else Settings()
    server = settings.server
    if host := env.get("TRIVIUM_HOST"):
        server = msgspec.structs.replace(server, host=host)
    if port := env.get("TRIVIUM_PORT"):
        if not port.isdecimal() or int(port) > 65_535:
            raise ConfigError(f"TRIVIUM_PORT: expected a port number from 0 to 65535, got {port!r}")
        server = msgspec.structs.replace(server, port=int(port))
    storage = settings.storage
    if data := env.get("TRIVIUM_DATA"):
        storage = msgspec.structs.replace(storage, data=data)
    return msgspec.structs.replace(settings, server=server, storage=storage)


def find_file(explicit: str | None, env: Mapping[str, str]) -> Path | None:
    """The configuration file: the one named, else `TRIVIUM_CONFIG`, else `trivium.toml` here or in the data folder."""
    if named := explicit or env.get("TRIVIUM_CONFIG"):
        return Path(named)
    folder = data_folder(Settings(storage=StorageSettings(data=env.get("TRIVIUM_DATA"))), env)
    return next((path for path in (Path("trivium.toml"), folder / "trivium.toml") if path.is_file()), None)


def data_folder(settings: Settings, env: Mapping[str, str]) -> Path:
    """Where everything that lasts is kept."""
    if settings.storage.data:
        try:
            return Path(settings.storage.data).expanduser()
        except RuntimeError as error:
            raise _error(settings.source, ("storage", "data"), str(error)) from None
    base = env.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "trivium"


def database_url(settings: Settings, env: Mapping[str, str]) -> str | None:
    """The address of the PostgreSQL database; None where the store is a file. Raises ConfigError."""
    if settings.storage.url is None:
        return None
    path = ("storage", "url")
    url = secret(settings.storage.url, env, settings.source, path)
    if not url.startswith(("postgresql://", "postgres://")):
        raise _error(settings.source, path, "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def parse(text: str, name: str = "trivium.toml") -> Settings:
    """Settings from TOML text. Raises ConfigError."""
    source = Source(name, text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name}: not TOML: nested too deeply") from None
    values: dict[str, Any] = {"source": source}
    for section, content in document.items():
        if section in _NAMED:
            values[section] = _NAMED[section](content, source)
        elif section in _SECTIONS:
            _check_strings(content if section == "aliases" else None, (section,), source)
            values[section] = _convert(content, _SECTIONS[section], (section,), source)
            if section == "server":
                _check_networks(values[section].trusted_proxies, (section, "trusted_proxies"), source)
        else:
            known = ", ".join(sorted([*_SECTIONS, *_NAMED]))
            raise source.error((section,), f"unknown section; expected one of {known}")
    return Settings(**values)


def secret(value: str, env: Mapping[str, str], source: Source | None, path: tuple[str, ...]) -> str:
    """A secret's text: `env:NAME` and `file:PATH` are looked up, anything else is the secret. Raises ConfigError."""
    kind, _, rest = value.partition(":")
    if kind == "env":
        if not env.get(rest):
            raise _error(source, path, f"the environment variable {rest} is not set")
        return env[rest]
    if kind == "file":
        try:
            content = Path(rest).expanduser().read_text().strip()
        except (OSError, ValueError, RuntimeError) as error:
            raise _error(source, path, f"cannot read the file {rest}: {error}") from None
        if not content:
            raise _error(source, path, f"the file {rest} is empty")
        return content
    return value


def _providers(content: object, source: Source) -> dict[str, ProviderSettings]:
    if not isinstance(content, dict):
        raise source.error(("providers",), "expected tables [providers.NAME]")
    for name in content:
        if not ProviderName.fullmatch(name):
            raise source.error(("providers", name), "expected a name of a-z, 0-9, '.', '_' and '-'")
        if isinstance(content[name], dict):
            _check_strings(content[name].get("headers"), ("providers", name, "headers"), source)
    return {
        name: _convert(provider, ProviderSettings, ("providers", name), source) for name, provider in content.items()
    }


def _models(content: object, source: Source) -> dict[str, ModelSettings]:
    if not isinstance(content, dict):
        raise source.error(("models",), 'expected tables [models."PROVIDER/MODEL"]')
    models: dict[str, ModelSettings] = {}
    for name, said in content.items():
        if "/" not in name:
            raise source.error(("models", name), "expected PROVIDER/MODEL, in quotes")
        models[name] = _convert(said, ModelSettings, ("models", name), source)
        if models[name].free and models[name].price is not None:
            raise source.error(("models", name, "free"), "a model with a price is not free; leave one of them out")
    return models


_NAMED: dict[str, Callable[[object, Source], dict[str, Any]]] = {"providers": _providers, "models": _models}
"""Sections whose keys are names that the operator chose."""


def _check_strings(table: object, path: tuple[str, ...], source: Source) -> None:
    """msgspec does not say which key of a free table is wrong."""
    for name, value in table.items() if isinstance(table, dict) else ():
        if not isinstance(value, str):
            raise source.error((*path, name), f"Expected str, got {type(value).__name__}")


def _check_networks(texts: list[str], path: tuple[str, ...], source: Source) -> None:
    for text in texts:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise source.error(path, f"expected addresses or networks as 10.0.0.0/8, got {text!r}") from None


def _convert(content: object, kind: type[_T], path: tuple[str, ...], source: Source) -> _T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        steps, what = _explain(str(error), kind)
        raise source.error((*path, *steps), what) from None


def _explain(message: str, kind: Any) -> tuple[list[str], str]:
    """msgspec says "Expected `int`, got `str` - at `$.port`": the steps to the key, and what was expected there."""
    what, _, where = message.partition(" - at `$")
    steps = re.findall(r"\.([A-Za-z0-9_-]+)", where)
    for step in steps:
        kind = next((field.type for field in _fields(kind) if field.name == step), None)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        known = ", ".join(field.name for field in _fields(kind))
        return [*steps, unknown[1]], f"unknown setting; expected one of {known}"
    if what.startswith("Invalid enum value"):
        return steps, f"{what}; expected one of {', '.join(_choices(kind))}"
    return steps, what.replace("`", "")


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()


def _choices(kind: Any) -> list[str]:
    """The words of a Literal, however deep in lists and unions it lies."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for part in get_args(kind) for choice in _choices(part)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _error(source: Source | None, path: tuple[str, ...], expected: str) -> ConfigError:
    return source.error(path, expected) if source else ConfigError(f"{'.'.join(path)}: {expected}")


def _line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line on which a key's value ends: the shortest prefix of the file that is TOML and has the key."""
    lines = text.replace("\r\n", "\n").split("\n")
    for count in range(1, len(lines) + 1):
        try:
            document: Any = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(document, path):
            return count
    return None


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(document, dict) or step not in document:
            return False
        document = document[step]
    return True
