"""The vendors for which callers may keep keys of their own: which models are theirs, and how they are called.

A row is data. Base URLs, APIs and ways to authenticate are the vendors' documented ones as of November 2026; each row
names its source. A vendor has a door for each family of APIs; the one that speaks the client's API is taken, else the
first. Where a door has several base URLs they are tried in turn, as keys are.

OpenRouter cannot be told a key with a call: keys are registered with an account there beforehand
(openrouter.ai/docs/api/api-reference/byok). Vercel can (`vercel`, its name there; vendors page, "Routing").
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from trivium.canon.api import Api
from trivium.canon.conventions import DEFAULT, UNKNOWN, conventions_for
from trivium.providers.credential import Credential
from trivium.providers.provider import COUNT_PATHS, Provider

_CHAT, _RESPONSES, _MESSAGES = Api.CHAT, Api.RESPONSES, Api.MESSAGES
_CLAUDE_ID = ((r"(?<=\d)\.(?=\d)", "-"),)
"""Gateways write `claude-sonnet-4.5`, Anthropic `claude-sonnet-4-5`."""
_CLAUDE_SPELT = ((r"(?<=\d)-(?=\d)", "."),)


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where a vendor serves a family of APIs. `{region}` in a base URL is the key's."""

    apis: tuple[Api, ...]
    base_urls: tuple[str, ...] = ()
    """Tried in turn; the last is where the vendor's keys are good in any case. None: each key comes with its own."""
    kind: str = "openai-compatible"
    """The row of traits that its server has."""
    auth: str = "bearer"
    counts: bool = False
    """It counts tokens, as far as its APIs have a path for that."""
    models: str = ""
    """A pattern of the vendor's ids that it alone serves; empty: all others."""


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    title: str
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
    doors: tuple[Door, ...]
    vercel: str | None = None
    """Its name at Vercel, which takes its keys with a call."""
    collects_data: bool = True
    reports_cost: bool = False
    tells_byok: bool = False
    region: str | None = None
    """By default; None: it has no regions."""
    bad_key: bytes = b""
    """A pattern of what it says, with status 400, of a key that is none; empty: it says 401."""


def _openai_like(url: str, *apis: Api) -> Door:
    return Door(apis=apis or (_CHAT,), base_urls=(url,))


def _anthropic_like(url: str, auth: str = "bearer") -> Door:
    return Door(apis=(_MESSAGES,), base_urls=(url,), kind="anthropic-compatible", auth=auth)


VENDORS: dict[str, Vendor] = {
    "anthropic": Vendor(  # platform.claude.com/docs/en/api/overview
        title="Anthropic",
        names=r"anthropic/(.+)",
        bare=r"claude-.+",
        ids=_CLAUDE_ID,
        spelt=_CLAUDE_SPELT,
        doors=(
            Door(
                apis=(_MESSAGES,),
                base_urls=("https://api.anthropic.com/v1",),
                kind="anthropic",
                auth="x-api-key",
                counts=True,
            ),
        ),
        vercel="anthropic",
        collects_data=False,
    ),
    "openai": Vendor(  # platform.openai.com/docs/api-reference
        title="OpenAI",
        names=r"openai/((?!gpt-oss).+)",
        bare=r"(?!gpt-oss)(gpt-|chatgpt-|o\d).*",
        doors=(Door(apis=(_CHAT, _RESPONSES), base_urls=("https://api.openai.com/v1",), kind="openai", counts=True),),
        vercel="openai",
        collects_data=False,
    ),
    "google": Vendor(  # ai.google.dev/gemini-api/docs/openai
        title="Google",
        names=r"google/(.+)",
        bare=r"gemini-.+",
        ids=((r"^(?i:models/)+", ""),),
        spelt=((r"^", "models/"),),
        doors=(_openai_like("https://generativelanguage.googleapis.com/v1beta/openai"),),
        vercel="google",
        bad_key=rb"API_KEY_INVALID|API key not valid|API key expired|API Key not found",
    ),
    "mistral": Vendor(  # docs.mistral.ai/api
        title="Mistral",
        names=r"mistral(?:ai)?/((?!codestral).+)",
        namespaces=("mistralai", "mistral"),
        bare=r"(mistral|magistral|devstral|ministral|pixtral|open-mi[sx]tral)-.+",
        doors=(_openai_like("https://api.mistral.ai/v1"),),
        vercel="mistral",
    ),
    "codestral": Vendor(  # docs.mistral.ai/capabilities/code_generation: a host and keys of its own
        title="Codestral",
        names=r"(?:mistral(?:ai)?/(?=codestral)|codestral/)(.+)",
        namespaces=("mistralai", "mistral", "codestral"),
        bare=r"codestral-.+",
        doors=(_openai_like("https://codestral.mistral.ai/v1"),),
        vercel="mistral",
    ),
    "xai": Vendor(  # docs.x.ai/developers/rest-api-reference; its Messages API is deprecated there
        title="xAI",
        names=r"(?:x-ai|xai)/(.+)",
        namespaces=("x-ai", "xai"),
        bare=r"grok-.+",
        doors=(_openai_like("https://api.x.ai/v1", _CHAT, _RESPONSES),),
        vercel="xai",
        reports_cost=True,
        bad_key=rb"Incorrect API key",
    ),
    "zai": Vendor(  # docs.z.ai/devpack/tool/others; keys of a coding plan are good there alone
        title="Z.ai",
        names=r"(?:z-ai|zai)/(.+)",
        namespaces=("z-ai", "zai"),
        bare=r"glm-.+",
        doors=(
            Door(apis=(_CHAT,), base_urls=("https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/paas/v4")),
            _anthropic_like("https://api.z.ai/api/anthropic/v1"),
        ),
        vercel="zai",
    ),
    "minimax": Vendor(  # platform.minimax.io/docs/api-reference/text-openai-api and text-anthropic-api
        title="MiniMax",
        names=r"minimax/(.+)",
        bare=r"MiniMax-.+",
        ids=((r"^minimax-m", "MiniMax-M"),),
        doors=(
            _openai_like("https://api.minimax.io/v1", _CHAT, _RESPONSES),
            _anthropic_like("https://api.minimax.io/anthropic/v1"),
        ),
        vercel="minimax",
    ),
    "bedrock": Vendor(  # docs.aws.amazon.com/bedrock/latest/userguide: inference-messages-api, inference-responses-api
        title="Amazon Bedrock",
        names=r"(?:amazon-)?bedrock/(.+)",
        namespaces=("bedrock", "amazon-bedrock"),
        doors=(
            Door(
                apis=(_MESSAGES,),
                base_urls=("https://bedrock-runtime.{region}.amazonaws.com/anthropic/v1",),
                kind="anthropic-compatible",
                models=r"([a-z]+\.)?anthropic\..+",
            ),
            _openai_like("https://bedrock-runtime.{region}.amazonaws.com/openai/v1", _CHAT, _RESPONSES),
        ),
        vercel="bedrock",
        collects_data=False,
        region="us-east-1",
    ),
    "openrouter": Vendor(  # openrouter.ai/docs/api-reference
        title="OpenRouter",
        names=r"openrouter/(.+)",
        doors=(
            Door(
                apis=(_CHAT, _RESPONSES, _MESSAGES),
                base_urls=("https://openrouter.ai/api/v1",),
                kind="openrouter",
            ),
        ),
        reports_cost=True,
        tells_byok=True,
    ),
    "vercel": Vendor(  # vercel.com/docs/ai-gateway/sdks-and-apis
        title="Vercel",
        names=r"vercel/(.+)",
        doors=(
            Door(
                apis=(_CHAT, _RESPONSES, _MESSAGES),
                base_urls=("https://ai-gateway.vercel.sh/v1",),
                kind="vercel",
                counts=True,
            ),
        ),
        reports_cost=True,
    ),
    "custom": Vendor(
        title="the server of its own",
        names=r"custom/(.+)",
        doors=(Door(apis=(_CHAT,)),),
    ),
    # The host: docs.openclaw.ai/providers/modelstudio; the path of Messages as the ordinary host has it
    # (alibabacloud.com/help/en/model-studio/base-url).
    "alibaba-coding": Vendor(
        title="Alibaba's coding plan",
        names=r"alibaba-coding/(.+)",
        doors=(
            _openai_like("https://coding-intl.dashscope.aliyuncs.com/v1"),
            _anthropic_like("https://coding-intl.dashscope.aliyuncs.com/apps/anthropic/v1"),
        ),
    ),
    "kimi-coding": Vendor(  # kimi.com/code/docs, "other-coding-agents": its Messages API wants `x-api-key`
        title="Kimi's coding plan",
        names=r"kimi-coding/(.+)",
        doors=(
            _openai_like("https://api.kimi.com/coding/v1"),
            _anthropic_like("https://api.kimi.com/coding/v1", "x-api-key"),
        ),
    ),
    # Chat: docs.loongclaw.ai/use-loong/provider-guides/byteplus-coding; Messages as the same product has it in China
    # (volcengine.com/article/38136).
    "byteplus-coding": Vendor(
        title="BytePlus's coding plan",
        names=r"byteplus-coding/(.+)",
        doors=(
            _openai_like("https://ark.ap-southeast.bytepluses.com/api/coding/v3"),
            _anthropic_like("https://ark.ap-southeast.bytepluses.com/api/coding/v1"),
        ),
    ),
    "zai-coding": Vendor(  # docs.z.ai/devpack/tool/others
        title="Z.ai's coding plan",
        names=r"zai-coding/(.+)",
        namespaces=("zai-coding", "z-ai", "zai"),
        doors=(
            _openai_like("https://api.z.ai/api/coding/paas/v4"),
            _anthropic_like("https://api.z.ai/api/anthropic/v1"),
        ),
    ),
}

_AUTH = {"bearer": (b"authorization", b"Bearer "), "x-api-key": (b"x-api-key", b"")}
_PATTERNS = {name: (re.compile(row.names), re.compile(row.bare) if row.bare else None) for name, row in VENDORS.items()}
GATEWAYS = frozenset({"openrouter", "vercel"})
"""Vendors of other vendors' models."""
_ORDINARY = 256
"""Characters of a model's name beyond which it is none."""


class Match(msgspec.Struct, frozen=True):
    """A model that is a vendor's."""

    vendor: str
    model: str
    """The vendor's own id."""


def match(name: str, having: Collection[str]) -> Match | None:
    """Whose model a name means, of the vendors in `having`. What is free at a gateway nobody need pay for."""
    if len(name) > _ORDINARY:
        return None
    if name.endswith(":free"):
        having = [vendor for vendor in having if vendor in GATEWAYS]
    for vendor in having:
        if vendor not in VENDORS:
            continue
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
    if vendor in GATEWAYS or vendor in ("bedrock", "custom"):
        return model
    model = model.partition(":")[0]
    for pattern, replacement in VENDORS[vendor].ids:
        model = re.sub(pattern, replacement, model)
    return model


def door_of(vendor: str, model: str, api: Api, *, own_url: bool) -> Door:
    """The door for a client's API. Behind a base URL of somebody's own there is what stands behind the vendor's
    first."""
    every = VENDORS[vendor].doors
    doors = [door for door in every if door.models and re.fullmatch(door.models, model)]
    doors = doors or [door for door in every if not door.models]
    return doors[0] if own_url else next((door for door in doors if api in door.apis), doors[0])


def provider_of(vendor: str, door: Door, *, own_url: bool = False) -> Provider:
    """The vendor as a provider, without anybody's key. `own_url`: a key has a base URL of its own, and what stands
    there may do anything with what it is sent."""
    row = VENDORS[vendor]
    apis = frozenset(door.apis)
    return Provider(
        name=vendor,
        kind=door.kind,
        base_url=door.base_urls[-1] if door.base_urls else "",
        apis=apis,
        counts=apis & COUNT_PATHS.keys() if door.counts else frozenset(),
        conventions=conventions_for(vendor, DEFAULT if door.kind in (vendor, "anthropic-compatible") else UNKNOWN),
        reports_cost=row.reports_cost,
        tells_byok=row.tells_byok,
        collects_data=row.collects_data or own_url,
        byok=True,
    )


def with_key(
    provider: Provider, door: Door, credential: Credential, *, base_url: str | None, region: str | None
) -> list[Provider]:
    """The provider with somebody's key, once for each base URL to be tried."""
    region = region or VENDORS[provider.name].region or ""
    signing = credential.signing(region)
    name, prefix = _AUTH[door.auth]
    urls = (base_url,) if base_url is not None else tuple(url.replace("{region}", region) for url in door.base_urls)
    headers = () if signing is not None else ((name, prefix + credential.key.encode()),)
    changes = {"headers": headers, "signing": signing, "guarded": base_url is not None}
    return [msgspec.structs.replace(provider, base_url=url, **changes) for url in urls]
