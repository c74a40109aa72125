"""Reads the settings from one TOML file and a few environment variables.

An unknown or wrong setting stops the start with file, line, key and what was expected. Secrets may be written
literally, as `env:NAME` or as `file:PATH`. The environment chooses where things are (`TRIVIUM_CONFIG`, `TRIVIUM_DATA`,
`TRIVIUM_HOST`, `TRIVIUM_PORT`, `TRIVIUM_WORKERS`) and wins over the file there; everything else is the file's.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec

from trivium.converted import converted
from trivium.errors import ConfigError
from trivium.settings import (
    MOST_WORKERS,
    FreeModelSettings,
    FreeSettings,
    ModelSettings,
    Settings,
    Source,
    StorageSettings,
    wrong_setting,
)
from trivium.settings_auto import AUTO_MODELS, AutoSettings, AutoTable
from trivium.settings_dashboard import DashboardSettings
from trivium.settings_providers import ProviderSettings
from trivium.settings_requests import IdentitySettings

ProviderName = re.compile(r"[a-z0-9][a-z0-9._-]*")
_AS_ELSEWHERE = re.compile(r"(?:\$|\$\{|os\.environ/|ENV:)([A-Z_][A-Z0-9_]{2,})\}?")
"""How shells and other gateways name a variable, which would be taken for the secret itself."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
"""Of a key-encryption key."""


_NETWORKS = (
    ("server", "trusted_proxies"),
    ("security", "allow_networks"),
    ("security", "deny_networks"),
    ("abuse", "rules", "datacentres"),
    ("abuse", "rules", "bad_addresses"),
)
"""Settings that are lists of addresses and networks."""


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """Reads the file, if one is given, and lays the environment over it. Raises ConfigError."""
    return _laid_over(parse(_read(path), str(path), path) if path else Settings(), env)


def taken_before(text: str, first: Settings, env: Mapping[str, str]) -> Settings:
    """The same of a text that another process has read from the file of the `first` settings. Raises ConfigError."""
    assert first.source is not None
    return _laid_over(parse(text, first.source.name, first.source.file), env)


def _laid_over(settings: Settings, env: Mapping[str, str]) -> Settings:
    server = settings.server
    if host := env.get("TRIVIUM_HOST"):
        server = msgspec.structs.replace(server, host=host)
    if port := env.get("TRIVIUM_PORT"):
        if not port.isdecimal() or int(port) > 65_535:
            raise ConfigError(f"TRIVIUM_PORT: expected a port number from 0 to 65535, got {port!r}")
        server = msgspec.structs.replace(server, port=int(port))
    if workers := env.get("TRIVIUM_WORKERS"):
        if not workers.isdecimal() or not 1 <= int(workers) <= MOST_WORKERS:
            raise ConfigError(f"TRIVIUM_WORKERS: expected a number from 1 to {MOST_WORKERS}, got {workers!r}")
        server = msgspec.structs.replace(server, workers=int(workers))
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
            raise wrong_setting(settings.source, ("storage", "data"), str(error)) from None
    base = env.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "trivium"


def folder_despite(path: Path | None, env: Mapping[str, str]) -> Path | None:
    """The data folder of whoever runs with a file that is wrong by now: as the environment says, else the file, what is
    wrong elsewhere in it aside; None where it cannot be told. Raises ConfigError."""
    data = env.get("TRIVIUM_DATA")
    if data is None and path is not None:
        try:
            storage = tomllib.loads(_read(path)).get("storage", {})
            data = storage.get("data")
        except (ConfigError, tomllib.TOMLDecodeError, TypeError, AttributeError):
            return None
        if not isinstance(data, str | None):
            return None
    return data_folder(Settings(storage=StorageSettings(data=data)), env)


def database_url(settings: Settings, env: Mapping[str, str]) -> str | None:
    """The address of the PostgreSQL database; None where the store is a file. Raises ConfigError."""
    if settings.storage.url is None:
        return None
    path = ("storage", "url")
    url = secret(settings.storage.url, env, settings.source, path)
    if not url.startswith(("postgresql://", "postgres://")):
        raise wrong_setting(settings.source, path, "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def token_key(settings: Settings, env: Mapping[str, str]) -> bytes | None:
    """The secret of the issuer whose tokens are credentials; None: there is none. Raises ConfigError."""
    if settings.tokens.key is None:
        return None
    path = ("tokens", "key")
    key = secret(settings.tokens.key, env, settings.source, path).encode()
    if len(key) < 32:
        raise wrong_setting(settings.source, path, f"expected 32 bytes or more, got {len(key)}")
    return key


def management_key(settings: Settings, env: Mapping[str, str]) -> bytes | None:
    """OpenRouter's, with which callers' keys are registered there; None: none are. Raises ConfigError."""
    if settings.byok.openrouter is None:
        return None
    path = ("byok", "openrouter", "management_key")
    key = secret(settings.byok.openrouter.management_key, env, settings.source, path)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise wrong_setting(settings.source, path, "expected printable characters of ASCII without blanks")
    return key.encode()


def dashboard(settings: Settings, env: Mapping[str, str]) -> DashboardSettings:
    """The dashboard's settings, with the client's secret looked up. Raises ConfigError."""
    said = settings.dashboard
    if said.oidc is None or said.oidc.client_secret is None:
        return said
    path = ("dashboard", "oidc", "client_secret")
    oidc = msgspec.structs.replace(said.oidc, client_secret=secret(said.oidc.client_secret, env, settings.source, path))
    return msgspec.structs.replace(said, oidc=oidc)


def redis_url(settings: Settings, env: Mapping[str, str]) -> str | None:
    """The address of the Redis that counts limits; None where this process does. Raises ConfigError."""
    if settings.limits.redis_url is None:
        return None
    path = ("limits", "redis_url")
    url = secret(settings.limits.redis_url, env, settings.source, path)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise wrong_setting(settings.source, path, "expected redis://USER:PASSWORD@HOST:PORT/NUMBER")
    return url


def identity(settings: Settings, env: Mapping[str, str], salt: str) -> IdentitySettings:
    """What providers are told of callers, with what is left out filled in: `salt` by default. Raises ConfigError."""
    said = settings.identity
    if said.salt is not None:
        salt = secret(said.salt, env, settings.source, ("identity", "salt"))
    send = settings.billing.mode == "credits" if said.send is None else said.send
    return msgspec.structs.replace(said, send=send, salt=salt)


def secret_keys(settings: Settings, env: Mapping[str, str]) -> list[tuple[str, str]]:
    """The key-encryption keys as `[secrets] keys` has them: version and text. Raises ConfigError."""
    path = ("secrets", "keys")
    found: dict[str, str] = {}
    for entry in settings.secrets.keys:
        version, _, place = entry.partition("=")
        if not _VERSION.fullmatch(version) or not place.startswith(("env:", "file:")) or version in found:
            raise wrong_setting(
                settings.source, path, "expected VERSION=env:NAME or VERSION=file:PATH, each version once"
            )
        found[version] = secret(place, env, settings.source, path)
    return list(found.items())


def parse(text: str, name: str = "trivium.toml", file: Path | None = None) -> Settings:
    """Settings from TOML text. Raises ConfigError."""
    source = Source(name, text, file)
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # also of numbers longer than Python reads
        raise ConfigError(f"{name}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name}: not TOML: nested too deeply") from None
    values: dict[str, Any] = {"source": source}
    for section, content in document.items():
        if section in _NAMED:
            values[section] = _NAMED[section](content, source)
        elif section in _SECTIONS:
            _check_strings(content if section == "aliases" else None, (section,), source)
            values[section] = converted(content, _SECTIONS[section], (section,), source)
            for path in _NETWORKS:
                if path[0] == section:
                    _check_networks(reduce(getattr, path[1:], values[section]), path, source)
        else:
            known = ", ".join(sorted([*_SECTIONS, *_NAMED]))
            raise source.error((section,), f"unknown section; expected one of {known}")
    settings = Settings(**values)
    _check_ids(settings, source)
    return settings


def secret(value: str, env: Mapping[str, str], source: Source | None, path: tuple[str, ...]) -> str:
    """A secret's text: `env:NAME` and `file:PATH` are looked up, anything else is the secret. Raises ConfigError."""
    if (named := _AS_ELSEWHERE.fullmatch(value)) is not None:
        raise wrong_setting(source, path, f"a variable of the environment is written env:{named[1]}")
    kind, _, rest = value.partition(":")
    if kind == "env":
        if not rest:
            raise wrong_setting(source, path, "expected the name of an environment variable behind env:")
        if not env.get(rest):
            raise wrong_setting(source, path, f"the environment variable {rest} is not set")
        return env[rest]
    if kind == "file":
        try:
            content = Path(rest).expanduser().read_text().strip()
        except (OSError, ValueError, RuntimeError) as error:
            raise wrong_setting(source, path, f"cannot read the file {rest}: {error}") from None
        if not content:
            raise wrong_setting(source, path, f"the file {rest} is empty")
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
        name: converted(provider, ProviderSettings, ("providers", name), source) for name, provider in content.items()
    }


def _models(content: object, source: Source) -> dict[str, ModelSettings]:
    if not isinstance(content, dict):
        raise source.error(("models",), 'expected tables [models."PROVIDER/MODEL"]')
    models: dict[str, ModelSettings] = {}
    for name, said in content.items():
        if "/" not in name:
            raise source.error(("models", name), "expected PROVIDER/MODEL, in quotes")
        models[name] = converted(said, ModelSettings, ("models", name), source)
        if models[name].free and models[name].price is not None:
            raise source.error(("models", name, "free"), "a model with a price is not free; leave one of them out")
    return models


def _free(content: object, source: Source) -> FreeSettings:
    rest = {name: said for name, said in content.items() if name != "models"} if isinstance(content, dict) else content
    settings = converted(rest, FreeSettings, ("free",), source)
    models = content.get("models", {}) if isinstance(content, dict) else {}
    if not isinstance(models, dict):
        raise source.error(("free", "models"), 'expected tables [free.models."ID"]')
    for id in models:
        if not id or id != id.strip():
            raise source.error(("free", "models", id), "expected an id without blanks around it")
    found = {id: converted(model, FreeModelSettings, ("free", "models", id), source) for id, model in models.items()}
    return msgspec.structs.replace(settings, models=found)


def _auto(content: object, source: Source) -> AutoTable:
    """A table for one of the house's own ids says what is different of it."""
    if not isinstance(content, dict):
        raise source.error(("auto",), 'expected tables [auto."ID"]')
    enabled = content.get("enabled", True)
    if not isinstance(enabled, bool):
        raise source.error(("auto", "enabled"), f"Expected bool, got {type(enabled).__name__}")
    found = dict(AUTO_MODELS)
    for id, said in content.items():
        if id == "enabled":
            continue
        if not id or id != id.strip():
            raise source.error(("auto", id), "expected an id without blanks around it")
        read = converted(said, AutoSettings, ("auto", id), source)
        if id in AUTO_MODELS:
            read = msgspec.structs.replace(AUTO_MODELS[id], **{name: getattr(read, name) for name in said})
        if not read.choices and (read.enabled or id not in AUTO_MODELS):
            ours = ", ".join(AUTO_MODELS)
            problem = f'expected one or more tables [[auto."ID".choices]]; without any there are only {ours}'
            raise source.error(("auto", id, "choices"), problem)
        found[id] = read
    return AutoTable(enabled, found)


def _check_ids(settings: Settings, source: Source) -> None:
    """A name means one thing."""
    known = dict.fromkeys(settings.aliases, "an alias")
    for id in settings.free.models:
        if id in known:
            raise source.error(("free", "models", id), f"is {known[id]} too; leave one of them out")
        known[id] = "a free model"
    for id, model in settings.catalog.models.items():
        for name in (id, *model.aliases):
            if not name or name != name.strip() or name in known:
                why = f"is {known[name]} too; leave one of them out" if name in known else "has blanks around it"
                raise source.error(("catalog", "models", id), f"{name!r} {why}")
            known[name] = f"the model {id} of the catalogue" if name == id else f"an alias of {id}"


_NAMED: dict[str, Callable[[object, Source], Any]] = {
    "providers": _providers,
    "models": _models,
    "free": _free,
    "auto": _auto,
}
"""Sections whose keys are names that the operator chose."""
_SECTIONS: dict[str, Any] = {
    field.name: field.type for field in msgspec.structs.fields(Settings) if field.name not in (*_NAMED, "source")
}
"""The other sections, each with what it is read as."""


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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
