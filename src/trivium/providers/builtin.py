"""The provider table, and how configuration and environment become providers.

A row's base URL and APIs are the vendors' documented ones (openai.com, anthropic.com, openrouter.ai and vercel.com API
references). A key in the environment makes its row a provider without any configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from trivium.canon.api import Api
from trivium.canon.conventions import DEFAULT, UNKNOWN, XAI, conventions_for
from trivium.canon.usage import Conventions
from trivium.config import secret
from trivium.providers.provider import COUNT_PATHS, Headers, Provider
from trivium.settings import ProviderSettings, Settings, Source, wrong_setting

EMBEDDED = "local"
"""The name of the provider that runs inside: llama.cpp with the weights we ship."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str | None = None
    apis: tuple[Api, ...]
    auth: str = "bearer"
    key_env: str | None = None
    counts: bool = True
    """It counts tokens, as far as its APIs have a path for that. Where it does not after all, its 404 says so."""
    generations: str | None = None
    """As in `Provider`; a configured base URL is asked at its own host."""
    tells_byok: bool = False
    reports_cost: bool = False
    collects_data: bool = True
    version_in_path: bool = False
    """Base URLs are commonly written without `/v1` (Anthropic's SDKs append it): add it where it is missing."""


ROWS: dict[str, Row] = {
    "openai": Row(
        base_url="https://api.openai.com/v1",
        apis=(Api.CHAT, Api.RESPONSES),
        key_env="OPENAI_API_KEY",
        collects_data=False,
    ),
    "anthropic": Row(
        base_url="https://api.anthropic.com/v1",
        apis=(Api.MESSAGES,),
        auth="x-api-key",
        key_env="ANTHROPIC_API_KEY",
        collects_data=False,
        version_in_path=True,
    ),
    "openrouter": Row(
        base_url="https://openrouter.ai/api/v1",
        apis=(Api.CHAT, Api.RESPONSES, Api.MESSAGES),
        key_env="OPENROUTER_API_KEY",
        counts=False,
        tells_byok=True,
        generations="/generation?id={id}",
        reports_cost=True,
    ),
    "vercel": Row(
        base_url="https://ai-gateway.vercel.sh/v1",
        apis=(Api.CHAT, Api.RESPONSES, Api.MESSAGES),
        key_env="AI_GATEWAY_API_KEY",
        generations="/generation?id={id}",
        reports_cost=True,
    ),
    "openai-compatible": Row(apis=(Api.CHAT,)),
    "anthropic-compatible": Row(apis=(Api.MESSAGES,), auth="x-api-key", version_in_path=True),
}

_VISIBLE = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = {"connection", "content-length", "host", "transfer-encoding"}

_AUTH: dict[str, Callable[[bytes], tuple[bytes, bytes]]] = {
    "bearer": lambda key: (b"authorization", b"Bearer " + key),
    "x-api-key": lambda key: (b"x-api-key", key),
}


def build(settings: Settings, env: Mapping[str, str]) -> dict[str, Provider]:
    """All providers but the embedded one, by name. Raises ConfigError."""
    named = dict(settings.providers)
    for name, row in ROWS.items():
        if row.key_env and env.get(row.key_env) and name not in named:
            named[name] = ProviderSettings()
    return {name: _provider(name, row, settings.source, env) for name, row in named.items()}


def embedded(model: str) -> Provider:
    """The embedded provider; its address is known once its process runs."""
    return Provider(
        name=EMBEDDED,
        kind=EMBEDDED,
        base_url="",
        apis=frozenset(Api),
        counts=frozenset(COUNT_PATHS),
        models=(model,),
        collects_data=False,
        retains_data=False,
        embedded=True,
        quirks=frozenset({"responses-numbering"}),
    )


def _provider(name: str, given: ProviderSettings, source: Source | None, env: Mapping[str, str]) -> Provider:
    row = _row(name, given, source)
    if name == EMBEDDED:
        raise wrong_setting(source, ("providers", name), "the name of the embedded model; choose another")
    apis = frozenset(Api.parse(api) for api in given.apis) if given.apis else frozenset(row.apis)
    conventions = conventions_for(given.type if given.type and row.key_env else name, _otherwise(row))
    reports_cost = row.reports_cost or conventions is XAI
    return Provider(
        name=name,
        kind=_kind(name, given),
        base_url=_base_url(name, row, given, source),
        apis=apis,
        counts=apis & COUNT_PATHS.keys() if row.counts else frozenset(),
        generations=row.generations,
        tells_byok=row.tells_byok,
        headers=_headers(name, row, given, source, env),
        models=tuple(given.models) if given.models is not None else None,
        conventions=conventions,
        reports_cost=reports_cost if given.reports_cost is None else given.reports_cost,
        collects_data=row.collects_data if given.collects_data is None else given.collects_data,
        retains_data=given.retains_data is not False,
        timeouts=given.timeouts,
        on_abort=given.on_abort,
        drain_limit=given.drain_limit,
        byok=given.byok,
    )


def _otherwise(row: Row) -> Conventions:
    """How a provider counts that is not known by name: as the API's owner where it is one, else nobody knows."""
    return DEFAULT if row.key_env else UNKNOWN


def _row(name: str, given: ProviderSettings, source: Source | None) -> Row:
    kind = _kind(name, given)
    if kind not in ROWS:
        raise wrong_setting(
            source, ("providers", name, "type"), f"unknown type {kind!r}; expected one of {', '.join(ROWS)}"
        )
    return ROWS[kind]


def _kind(name: str, given: ProviderSettings) -> str:
    return given.type or (name if name in ROWS else "openai-compatible")


def _base_url(name: str, row: Row, given: ProviderSettings, source: Source | None) -> str:
    path = ("providers", name, "base_url") if given.base_url else ("providers", name)
    url = (given.base_url or row.base_url or "").rstrip("/")
    try:
        parts = urlsplit(url)
        callable_ = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and _VISIBLE.fullmatch(url)
    except ValueError:
        callable_ = False
    if not callable_:
        raise wrong_setting(
            source, path, "base_url: expected an absolute http or https URL, such as http://127.0.0.1:8080/v1"
        )
    if parts.query or parts.fragment or parts.username is not None:
        raise wrong_setting(source, path, "base_url: expected a URL without query, fragment, user and password")
    lacks_version = not parts.path or (row.version_in_path and not parts.path.endswith("/v1"))
    return url + "/v1" if lacks_version else url


def _headers(name: str, row: Row, given: ProviderSettings, source: Source | None, env: Mapping[str, str]) -> Headers:
    key = given.key or (env.get(row.key_env) if row.key_env else None)
    if given.key:
        key = secret(given.key, env, source, ("providers", name, "key"))
    if key is None and row.key_env:
        raise wrong_setting(source, ("providers", name), f"needs a key: set `key`, or {row.key_env} in the environment")
    pairs = [_AUTH[row.auth](_latin(key, source, ("providers", name, "key")))] if key else []
    for header, text in given.headers.items():
        path = ("providers", name, "headers", header)
        if not _TOKEN.fullmatch(header) or header.lower() in _FRAMING:
            raise wrong_setting(source, path, "expected the name of a header other than those that HTTP itself needs")
        plain = secret(text, env, source, path)
        pairs.append((_latin(header.lower(), source, path), _latin(plain, source, path)))
    return tuple(pairs)


def _latin(text: str, source: Source | None, path: tuple[str, ...]) -> bytes:
    if not text.isprintable() or not text.isascii():
        raise wrong_setting(source, path, "expected printable ASCII characters, as HTTP headers allow")
    return text.encode()
