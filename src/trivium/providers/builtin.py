"""How configuration and environment become providers, by the rows of the table.

A key in the environment makes its row a provider without any configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from trivium.canon.api import Api, Kind, Solo, kind_of
from trivium.canon.conventions import XAI, conventions_for
from trivium.patterns import twice
from trivium.providers.access import Access, access
from trivium.providers.account import ServiceAccount
from trivium.providers.credential import sent_as
from trivium.providers.preferences import COLLECTION, HONOURS, ZDR
from trivium.providers.provider import COUNT_PATHS, PATHS, STRICT, Headers, Network, Provider
from trivium.providers.rows import ROWS, Door, Row
from trivium.providers.said import Said
from trivium.settings import Settings, wrong_setting
from trivium.settings_providers import ProviderSettings

EMBEDDED = "local"
"""The name of the provider that runs inside: llama.cpp with the weights we ship."""

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = {"connection", "content-length", "host", "transfer-encoding"}
_EXAMPLE = "http://127.0.0.1:8080/v1"
_PROXY = "http://proxy.example:3128"
_UNNAMED = ("openai-compatible", "anthropic-compatible")
"""Rows of servers nobody knows; how one counts is known by the provider's own name, if at all."""


def build(settings: Settings, env: Mapping[str, str]) -> dict[str, Provider]:
    """All providers but the embedded one, by name. Raises ConfigError."""
    named = dict(settings.providers)
    for name, row in ROWS.items():
        needed = (row.key_env, *row.env) if row.key_env and row.env is not None else ()
        if needed and name not in named and all(env.get(one) for one in needed):
            named[name] = ProviderSettings()
    return {name: _provider(_said(name, given, settings, env)) for name, given in named.items()}


def embedded(model: str) -> Provider:
    """The embedded provider; its address is known once its process runs."""
    return Provider(
        name=EMBEDDED,
        kind=EMBEDDED,
        base_url="",
        apis=frozenset((*Api, Solo.EMBEDDINGS)),
        counts=frozenset(COUNT_PATHS),
        models=(model,),
        collects_data=False,
        retains_data=False,
        embedded=True,
        quirks=frozenset({"responses-numbering", "embedded-stops"}),
        mistold=_mistold(ROWS["llama.cpp"]),
    )


def _said(name: str, given: ProviderSettings, settings: Settings, env: Mapping[str, str]) -> Said:
    kind = given.type or (name if name in ROWS else "openai-compatible")
    if kind not in ROWS:
        problem = f"unknown type {kind!r}; expected one of {', '.join(ROWS)}"
        raise wrong_setting(settings.source, ("providers", name, "type"), problem)
    said = Said(name=name, kind=kind, row=ROWS[kind], given=given, source=settings.source, env=env)
    if name == EMBEDDED:
        raise said.wrong("the name of the embedded model; choose another")
    return said


def _mistold(row: Row) -> tuple[tuple[int, bytes, int], ...]:
    return tuple(one for one in ((400, row.bad_key, 401), (500, row.bad_request, 400)) if one[1])


def _provider(said: Said) -> Provider:
    row, given = said.row, said.given
    by = access(said)
    conventions = conventions_for(said.name if said.kind in _UNNAMED else said.kind, row.counting)
    reports_cost = row.reports_cost or conventions is XAI
    elsewhere = _is_elsewhere(said, by)
    common = {
        "name": said.name,
        "kind": said.kind,
        "generations": row.generations,
        "tells_byok": row.tells_byok,
        "signing": by.signing,
        "account": by.account,
        "query": _query(said),
        "network": _network(said),
        "list_path": row.list_path if by.signing is None and by.account is None else None,
        "list_prefix": row.list_prefix,
        "models": tuple(given.models) if given.models is not None else None,
        "conventions": conventions,
        "reports_cost": reports_cost if given.reports_cost is None else given.reports_cost,
        "lists_prices": row.lists_prices if given.lists_prices is None else given.lists_prices,
        "collects_data": row.collects_data or elsewhere if given.collects_data is None else given.collects_data,
        "retains_data": row.retains_data or elsewhere if given.retains_data is None else given.retains_data,
        "honours": _honours(said, elsewhere=elsewhere),
        "told_who": given.told_who,
        "stream_usage": given.stream_usage,
        "strict": said.kind in STRICT if given.strict is None else given.strict,
        "timeouts": given.timeouts,
        "on_abort": given.on_abort,
        "drain_limit": given.drain_limit,
        "byok": given.byok,
        "mistold": _mistold(row),
        "quirks": row.quirks,
    }
    first, *others = (_at(said, door, apis, by, common) for door, apis in _doors(said))
    every = (first, *others)
    return msgspec.structs.replace(
        first,
        elsewhere=tuple(others),
        apis=frozenset().union(*(one.apis for one in every)),
        counts=frozenset().union(*(one.counts for one in every)),
    )


def _honours(said: Said, *, elsewhere: bool) -> frozenset[str]:
    """What it keeps to when a request asks for it: as its operator says, else as the gateway promises at its own
    address; not where the operator says that it collects or retains in any case."""
    given = said.given
    denied = {COLLECTION: given.collects_data, ZDR: given.retains_data}
    promised = frozenset() if elsewhere else HONOURS.get(said.kind, frozenset())
    told = promised if given.honours is None else frozenset(given.honours)
    return told - {name for name, keeps in denied.items() if keeps}


def _at(said: Said, door: Door, apis: frozenset[Kind], by: Access, common: Mapping[str, object]) -> Provider:
    """The provider behind one door."""
    headers, *spare = _headers(said, door, by)
    return Provider(
        base_url=_base_url(said, door, by),
        apis=apis,
        counts=frozenset(COUNT_PATHS) & apis if door.counts else frozenset(),
        headers=headers,
        spare=tuple(spare),
        style=door.style,
        **common,  # type: ignore[arg-type] # the names are Provider's
    )


def _doors(said: Said) -> list[tuple[Door, frozenset[Kind]]]:
    """Where which APIs are called. Behind a base URL of the operator's own there is what stands behind the row's first
    door, or what the settings say. Raises ConfigError."""
    doors = said.row.doors
    given = frozenset(map(kind_of, said.given.apis or ()))
    wanted = given or frozenset(api for door in doors for api in door.apis)
    if said.given.base_url is not None:
        found = [(doors[0], given or frozenset(doors[0].apis))]
    else:
        others = [(door, wanted.intersection(door.apis)) for door in doors[1:]]
        first = wanted.difference(*(apis for _, apis in others))
        found = [(door, apis) for door, apis in ((doors[0], first), *others) if apis]
    for door, apis in found:
        if door.style and not apis.issubset(door.apis):
            spoken = ", ".join(api.short for api in door.apis)
            raise said.wrong(f"providers of the type `{said.kind}` speak {spoken} alone", "apis")
    return found


def _base_url(said: Said, door: Door, by: Access) -> str:
    own = said.given.base_url or (said.from_env(said.row.url_env) if not door.base_urls else None)
    url = (own or (door.base_urls[-1] if door.base_urls else "")).rstrip("/")
    places = _places(said, by)
    url = _filled(url, places) if own is None else url
    setting = ("base_url",) if said.given.base_url else ()
    if not url:
        other = f", or {said.row.url_env} in the environment" if said.row.url_env else ""
        raise said.wrong(f"needs `base_url`, such as {_EXAMPLE}{other}")
    for beyond in PATHS.values():
        if url.endswith(beyond):
            raise said.wrong(f"expected the address that {beyond} stands behind, without it", *setting)
    said.check_url(url, *setting, example=_EXAMPLE)
    if "{project}" in door.under and not places["project"]:
        raise said.wrong(f"needs `project`, or {said.row.project_env[0]} in the environment")
    return said.row.rooted(url) + _filled(door.under, places)


def _is_elsewhere(said: Said, by: Access) -> bool:
    """Whether a base URL of the operator's leads to another house than the vendor's, who has promised nothing."""
    row, own = said.row, said.given.base_url
    if own is None or row.key_env is None or not row.doors[0].base_urls:
        return False
    told = _filled(row.doors[0].base_urls[-1], _places(said, by))
    ours, theirs = ((urlsplit(url).hostname or "").split(".")[-2:] for url in (own, told))
    return ours != theirs


def _places(said: Said, by: Access) -> dict[str, str]:
    """What stands in addresses in place of which name."""
    row, region = said.row, said.region
    of_account = by.account.project_id if isinstance(by.account, ServiceAccount) else ""
    return {
        "host": row.hosts.get(region, row.hosts.get("", "")),
        "region": region,
        "project": said.given.project or said.from_env(*row.project_env) or of_account,
    }


def _filled(text: str, places: Mapping[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _query(said: Said) -> str:
    if said.row.version is None:
        return ""
    return f"api-version={said.given.api_version or said.from_env('OPENAI_API_VERSION') or said.row.version}"


def _network(said: Said) -> Network | None:
    given = said.given
    proxy = said.secret(given.proxy, "proxy") if given.proxy is not None else None
    if proxy is not None and said.check_url(proxy, "proxy", example=_PROXY, schemes=("http",), user=True) not in "/":
        raise said.wrong("expected a URL without a path", "proxy")
    if proxy is given.ca_file is given.client_cert is None:
        return None
    return Network(proxy=proxy, ca_file=given.ca_file, client_cert=given.client_cert)


def _headers(said: Said, door: Door, by: Access) -> list[Headers]:
    """What is sent with every call, for each key. One of the environment gives way to a configured header of the same
    name. Raises ConfigError where the settings have both."""
    configured = _configured(said)
    sent = [sent_as(door.auth, key) for key in by.keys]
    name = next((header for header in said.given.headers if sent and header.lower().encode() == sent[0][0]), None)
    if name is None:
        return [(key, *configured) for key in sent] or [configured]
    if said.given.key or said.given.keys:
        raise said.wrong("expected either this header or a key, which is sent in it", "headers", name)
    return [configured]


def _configured(said: Said) -> Headers:
    pairs = []
    if name := twice(said.given.headers):
        raise said.wrong("expected each header once, capitals or not", "headers", name)
    for header, text in said.given.headers.items():
        setting = ("headers", header)
        if not HEADER_NAME.fullmatch(header) or header.lower() in _FRAMING:
            raise said.wrong("expected the name of a header other than those that HTTP itself needs", *setting)
        plain = said.secret(text, *setting)
        pairs.append((said.header_text(header.lower(), *setting), said.header_text(plain, *setting)))
    return tuple(pairs)
