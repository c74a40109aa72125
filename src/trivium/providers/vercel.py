"""Vendors' models and keys as Vercel's gateway wants them with a call, and what its errors say of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trivium.providers.credential import Credential
from trivium.providers.vendors import VENDORS, Match, dotted

VERCEL_IDS = {
    "arcee-ai/trinity-large-preview:free": "arcee-ai/trinity-large-preview",
    "google/gemini-3-flash-preview": "google/gemini-3-flash",
    "mistral/codestral-2508": "mistral/codestral",
    "mistral/devstral-2512": "mistral/devstral-2",
}


def vercel_id(match: Match) -> str:
    """A vendor's model in Vercel's words (vendors page, "Routing"), which are in small letters."""
    model = match.model.partition(":")[0].lower()
    if match.vendor != "bedrock":
        model = dotted(model)
    name = f"{VENDORS[match.vendor].vercel}/{model}"
    return VERCEL_IDS.get(name, name)


def vercel_options(vendor: str, keys: list[tuple[Credential, str | None, str | None]]) -> Mapping[str, object]:
    """`providerOptions` with which Vercel uses these keys, each with its base URL and region, and no other vendor."""
    name = VENDORS[vendor].vercel or vendor
    told: list[dict[str, str]] = []
    for credential, base_url, region in keys:
        if credential.access_key_id is not None:
            aws = {"accessKeyId": credential.access_key_id, "secretAccessKey": credential.key}
            token = {"sessionToken": credential.session_token} if credential.session_token else {}
            told.append({**aws, **token, "region": region or VENDORS[vendor].row.region or ""})
        elif base_url is not None:
            told.append({"apiKey": credential.key, "baseURL": base_url})
        else:
            told += [{"apiKey": credential.key, "baseURL": url} for url in VENDORS[vendor].doors[0].base_urls[:-1]]
            told.append({"apiKey": credential.key})
    return {"gateway": {"only": [name], "byok": {name: told}}}


class _Attempt(msgspec.Struct, frozen=True):
    credential: str = msgspec.field(name="credentialType", default="")
    status: int = msgspec.field(name="statusCode", default=0)


class _Routing(msgspec.Struct, frozen=True):
    attempts: tuple[_Attempt, ...] = ()


class _Gateway(msgspec.Struct, frozen=True):
    routing: _Routing = _Routing()


class _Metadata(msgspec.Struct, frozen=True):
    gateway: _Gateway = _Gateway()


class _VercelError(msgspec.Struct, frozen=True):
    camel: _Metadata = msgspec.field(name="providerMetadata", default=_Metadata())
    snake: _Metadata = msgspec.field(name="provider_metadata", default=_Metadata())


def refused_keys(body: bytes) -> list[int]:
    """The statuses with which the keys that came with a call failed, if Vercel's error tells of attempts as its answers
    do (`routing.attempts`, `credentialType`: vercel.com/docs/ai-gateway/authentication-and-byok/byok)."""
    try:
        told = msgspec.json.decode(body, type=_VercelError)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    attempts = told.camel.gateway.routing.attempts or told.snake.gateway.routing.attempts
    return [attempt.status for attempt in attempts if attempt.credential == "byok"]
