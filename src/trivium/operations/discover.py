"""Which models the providers serve and what they say of them, asked of themselves (`GET /models`), for those whose list
is not configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from trivium.errors import TriviumError
from trivium.metering.listing import listed_limits, listed_price
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest

_LOG = logging.getLogger("trivium.discover")
_LIMIT = 32 * 1024 * 1024
_LAST_SECOND = 253_402_300_799
"""Of the year 9999, beyond which no date can be written."""
_MOST_WORDS = 100
_TIMEOUTS = Timeouts(connect=10, first_byte=30, idle=30)


async def discover(client: UpstreamClient, providers: Iterable[Provider]) -> dict[str, tuple[ModelEntry, ...]]:
    """Models by provider name; a provider that does not answer is left out, so that its last list stays."""
    asked = [provider for provider in providers if provider.models is None and not provider.embedded]
    told = await asyncio.gather(*(_told(client, provider) for provider in asked))
    return {provider.name: entries for provider, entries in zip(asked, told, strict=True) if entries is not None}


async def _told(client: UpstreamClient, provider: Provider) -> tuple[ModelEntry, ...] | None:
    try:
        return await _ask(client, provider)
    except (TriviumError, ValueError, RecursionError) as error:
        _LOG.info("%s does not list its models: %s", provider.name, error)
        return None


async def _ask(client: UpstreamClient, provider: Provider) -> tuple[ModelEntry, ...]:
    request = UpstreamRequest(
        method="GET",
        url=f"{provider.base_url}/models?limit=1000" if _is_paged(provider) else f"{provider.base_url}/models",
        headers=[(b"accept", b"application/json"), (b"anthropic-version", b"2023-06-01"), *provider.headers],
        timeouts=_TIMEOUTS,
        guarded=provider.guarded,
    )
    response = await client.send(request)
    try:
        body = bytearray()
        while len(body) < _LIMIT and (chunk := await response.read()):
            body += chunk
    finally:
        response.close()
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    data: Any = msgspec.json.decode(body)
    entries = data.get("data") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no list under `data`")
    return tuple(_entry(entry, provider) for entry in entries if isinstance(entry, dict) and _is_name(entry.get("id")))


def _is_paged(provider: Provider) -> bool:
    """Anthropic's list comes in pages of 20 unless told otherwise."""
    return any(name == b"x-api-key" for name, _ in provider.headers)


def _is_name(said: object) -> bool:
    return isinstance(said, str) and 0 < len(said) <= 256 and said.isprintable() and said == said.strip()


def _entry(entry: dict[str, Any], provider: Provider) -> ModelEntry:
    created, name = entry.get("created"), entry.get("display_name") or entry.get("name")
    limits, architecture = listed_limits(entry), entry.get("architecture")
    architecture = architecture if isinstance(architecture, dict) else {}
    return ModelEntry(
        id=entry["id"],
        owned_by=provider.name,
        created=created if type(created) is int and 0 <= created <= _LAST_SECOND else 0,
        display_name=name if isinstance(name, str) else None,
        price=listed_price(entry.get("pricing")),
        context=limits.context,
        output_limit=limits.output,
        takes=_words(architecture.get("input_modalities")) or (),
        gives=_words(architecture.get("output_modalities")) or (),
        parameters=_words(entry.get("supported_parameters")),
    )


def _words(said: object) -> tuple[str, ...] | None:
    """A list of short words; None where it is none."""
    if not isinstance(said, list) or len(said) > _MOST_WORDS:
        return None
    return tuple(word for word in said if isinstance(word, str) and _is_name(word))
