"""The vendors for which callers may keep keys of their own: which models are theirs.

How each is called is in its rows (`rows.ROWS`). A vendor has a door for each family of APIs; the one that speaks the
client's API is taken, else the first. Where a door has several base URLs they are tried in turn, as keys are.

Two gateways take them too. Vercel is told a key with a call (`vercel`, its name there; vendors page, "Routing");
OpenRouter has keys registered beforehand (`openrouter`, its slug there; openrouter.ai/docs/api/api-reference/byok).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec

from trivium.canon.api import Kind
from trivium.canon.conventions import conventions_for
from trivium.providers.credential import Credential, sent_as
from trivium.providers.preferences import HONOURS
from trivium.providers.provider import COUNT_PATHS, STRICT, Provider
from trivium.providers.rows import ROWS, Door, Row

_CLAUDE_ID = ((r"(?<=\d)\.(?=\d)", "-"),)
"""Gateways write `claude-sonnet-4.5`, Anthropic `claude-sonnet-4-5`."""
_CLAUDE_SPELT = ((r"(?<=\d)-(?=\d)", "."),)


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    rows: tuple[str, ...]
    """Of the table of providers. What is not about names is as the first has it, `row`."""
    title: str
    doors: tuple[Door, ...]
    names: str
    """A pattern of model names that are the vendor's; its group is the vendor's id of the model."""
    bare: str = ""
    """The same of names without a namespace."""
    namespaces: tuple[str, ...] = ()
    """All in which lists of models may name them; empty: the vendor's name alone."""
    ids: tuple[tuple[str, str], ...] = ()
    """What is written differently in the vendor's ids: patterns and their replacements."""
    spelt: tuple[tuple[str, str], ...] = ()
    """The way back: what may stand otherwise where somebody else writes one of the vendor's ids."""
    vercel: str | None = None
    """Its name at Vercel, which takes its keys with a call."""
    openrouter: str | None = None
    """Its slug at OpenRouter, where its keys can be registered and its models have names that follow from their ids."""

    @property
    def row(self) -> Row:
        return ROWS[self.rows[0]]


def _vendor(*rows: str, **names: Any) -> Vendor:
    doors = tuple(door for name in rows for door in ROWS[name].doors)
    return Vendor(rows=rows, doors=doors, **{"title": ROWS[rows[0]].title, **names})


VENDORS: dict[str, Vendor] = {
    "anthropic": _vendor(
        "anthropic",
        names=r"anthropic/(.+)",
        bare=r"claude-.+",
        ids=_CLAUDE_ID,
        spelt=_CLAUDE_SPELT,
        vercel="anthropic",
        openrouter="anthropic",
    ),
    "openai": _vendor(
        "openai",
        names=r"openai/((?!gpt-oss).+)",
        bare=r"(?!gpt-oss)(gpt-|chatgpt-|o\d|text-embedding-(?:3|ada)-).*",
        vercel="openai",
        openrouter="openai",
    ),
    "google": _vendor(
        "google",
        names=r"google/(.+)",
        bare=r"gemini-.+",
        ids=((r"^(?i:models/)+", ""),),
        spelt=((r"^", "models/"),),
        vercel="google",
        openrouter="google-ai-studio",
    ),
    "mistral": _vendor(
        "mistral",
        names=r"mistral(?:ai)?/((?!codestral).+)",
        namespaces=("mistralai", "mistral"),
        bare=r"(mistral|magistral|devstral|ministral|pixtral|open-mi[sx]tral)-.+",
        vercel="mistral",
        openrouter="mistral",
    ),
    "codestral": _vendor(
        "codestral",
        names=r"(?:mistral(?:ai)?/(?=codestral)|codestral/)(.+)",
        namespaces=("mistralai", "mistral", "codestral"),
        bare=r"codestral-.+",
        vercel="mistral",
    ),
    "inception": _vendor(
        "inception",
        names=r"inception/(.+)",
        bare=r"mercury-.+",
        openrouter="inception",
    ),
    "xai": _vendor(
        "xai",
        names=r"(?:x-ai|xai)/(.+)",
        namespaces=("x-ai", "xai"),
        bare=r"grok-.+",
        vercel="xai",
        openrouter="xai",
    ),
    "zai": _vendor(
        "zai",
        names=r"(?:z-ai|zai)/(.+)",
        namespaces=("z-ai", "zai"),
        bare=r"glm-.+",
        vercel="zai",
        openrouter="z-ai",
    ),
    "minimax": _vendor(
        "minimax",
        names=r"minimax/(.+)",
        bare=r"MiniMax-.+",
        ids=((r"^minimax-m", "MiniMax-M"),),
        vercel="minimax",
        openrouter="minimax",
    ),
    "bedrock": _vendor(
        "bedrock-messages",
        "bedrock-openai",
        names=r"(?:amazon-)?bedrock/(.+)",
        namespaces=("bedrock", "amazon-bedrock"),
        vercel="bedrock",
    ),
    "openrouter": _vendor("openrouter", names=r"openrouter/(.+)"),
    "vercel": _vendor("vercel", names=r"vercel/(.+)"),
    "custom": _vendor("openai-compatible", title="the custom server", names=r"custom/(.+)"),
    "alibaba-coding": _vendor("alibaba-coding", names=r"alibaba-coding/(.+)"),
    "kimi-coding": _vendor("kimi-coding", names=r"kimi-coding/(.+)"),
    "byteplus-coding": _vendor("byteplus-coding", names=r"byteplus-coding/(.+)"),
    "zai-coding": _vendor("zai-coding", names=r"zai-coding/(.+)", namespaces=("zai-coding", "z-ai", "zai")),
}

_PATTERNS = {name: (re.compile(row.names), re.compile(row.bare) if row.bare else None) for name, row in VENDORS.items()}
GATEWAYS = frozenset({"openrouter", "vercel"})
"""Vendors of other vendors' models."""
_CUSTOM = "custom"
"""A server of somebody's own, of which nobody knows what it takes."""
_ORDINARY = 256
"""Characters of a model's name beyond which it is none."""
_DASHED = re.compile(r"^(claude-.*\d)-(\d)(?!\d)")


class Match(msgspec.Struct, frozen=True):
    """A model that is a vendor's."""

    vendor: str
    model: str
    """The vendor's own id."""


def dotted(model: str) -> str:
    """A model's id as gateways write it: `claude-sonnet-4.5` for Anthropic's `claude-sonnet-4-5`."""
    return _DASHED.sub(r"\1.\2", model)


def plain(model: str) -> str:
    """A model's id without what OpenRouter lets callers put around it: `~` before the name of a newest version, a
    preset behind `@`, a variant behind a colon (openrouter.ai/docs: "Presets", "Model Variants")."""
    return model.partition("@")[0].partition(":")[0].strip().removeprefix("~").strip()


def match(name: str, having: Collection[str]) -> Match | None:
    """Whose model a name means, of the vendors in `having`."""
    if len(name) > _ORDINARY:
        return None
    marked, unmarked = name, name.partition("@preset/")[0].removeprefix("~")
    for vendor in having:
        if vendor not in VENDORS:
            continue
        name = marked if vendor in GATEWAYS else unmarked
        names, bare = _PATTERNS[vendor]
        if (found := names.fullmatch(name)) is not None:
            return Match(vendor, _own_id(vendor, found[1]))
        if bare is not None and "/" not in name and bare.fullmatch(name):
            return Match(vendor, _own_id(vendor, name))
    return None


def match_served(kind: str, provider: str, model: str, having: Collection[str]) -> Match | None:
    """Whose model it is that the house has from one of its providers; its own provider's where that is a vendor too."""
    if kind not in GATEWAYS:
        return match(f"{kind}/{model}", having) or match(f"{provider}/{model}", having)
    return match(model, having) or match(f"{kind}/{model}", having)


def _own_id(vendor: str, model: str) -> str:
    """The vendor's id; what gateways put behind a colon is theirs, save where the vendor is one, or has such ids."""
    if vendor in GATEWAYS or vendor in ("bedrock", _CUSTOM):
        return model
    model = model.partition(":")[0]
    for pattern, replacement in VENDORS[vendor].ids:
        model = re.sub(pattern, replacement, model)
    return model


def door_of(vendor: str, model: str, api: Kind, *, own_url: bool) -> Door:
    """The door for a client's API. Behind a base URL of somebody's own there is what stands behind the vendor's
    first."""
    every = VENDORS[vendor].doors
    doors = [door for door in every if door.models and re.fullmatch(door.models, model)]
    doors = doors or [door for door in every if not door.models]
    return doors[0] if own_url else next((door for door in doors if api in door.apis), doors[0])


def provider_of(vendor: str, door: Door, *, own_url: bool = False) -> Provider:
    """The vendor as a provider, without anybody's key. `own_url`: a key has a base URL of its own, and what stands
    there may do anything with what it is sent."""
    rows, row = VENDORS[vendor].rows, VENDORS[vendor].row
    apis = frozenset(door.apis)
    kind = next((name for name in rows if door in ROWS[name].doors), rows[0])
    return Provider(
        name=vendor,
        kind=kind,
        base_url=door.base_urls[-1] if door.base_urls else "",
        apis=apis,
        counts=frozenset(COUNT_PATHS) & apis if door.counts else frozenset(),
        list_path=ROWS[kind].list_path,
        list_prefix=ROWS[kind].list_prefix,
        conventions=conventions_for(vendor, ROWS[kind].counting),
        reports_cost=row.reports_cost,
        lists_prices=ROWS[kind].lists_prices,
        tells_byok=row.tells_byok,
        collects_data=row.collects_data or own_url,
        honours=frozenset() if own_url else HONOURS.get(kind, frozenset()),
        strict=not STRICT.isdisjoint((vendor, kind)),
        byok=True,
        told_who=vendor != _CUSTOM,
    )


def with_key(
    provider: Provider, door: Door, credential: Credential, *, base_url: str | None, region: str | None
) -> list[Provider]:
    """The provider with somebody's key, once for each base URL to be tried."""
    region = region or VENDORS[provider.name].row.region or ""
    signing = credential.signing(region)
    own = (ROWS[provider.kind].rooted(base_url),) if base_url is not None else None
    urls = own or tuple(url.replace("{region}", region) for url in door.base_urls)
    headers = () if signing is not None else (sent_as(door.auth, credential.key.encode()),)
    changes = {"headers": headers, "signing": signing, "guarded": base_url is not None}
    return [msgspec.structs.replace(provider, base_url=url, **changes) for url in urls]
