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
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse

_LOG = logging.getLogger("trivium.discover")
_LONGEST = 8 * 1024 * 1024
"""Bytes of a list; OpenRouter's, of 400 models, has 1 MB."""
_MOST = 20_000
_LONGEST_OF_USERS = 1024 * 1024
_MOST_OF_USERS = 1_000
"""Of what a server says that a user named."""
_LONGEST_ENTRY = 64 * 1024
_LONGEST_NAME = 256
_LAST_SECOND = 253_402_300_799
"""Of the year 9999, beyond which no date can be written."""
_MOST_WORDS = 100
_TIMEOUTS = Timeouts(connect=10, first_byte=30, idle=30)


async def discover(client: UpstreamClient, providers: Iterable[Provider]) -> dict[str, tuple[ModelEntry, ...]]:
    """Models by provider name; a provider that does not answer is left out, so that its last list stays."""
    asked = [provider for provider in providers if _may_be_asked(provider)]
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
        url=_url(provider),
        headers=[(b"accept", b"application/json"), (b"anthropic-version", b"2023-06-01"), *provider.headers],
        timeouts=_TIMEOUTS,
        guarded=provider.guarded,
        network=provider.network,
    )
    response = await client.send(request)
    try:
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        body = await _read(response, _LONGEST_OF_USERS if provider.guarded else _LONGEST)
    finally:
        response.close()
    return await asyncio.to_thread(_entries, body, provider)


async def _read(response: UpstreamResponse, longest: int) -> bytearray:
    body = bytearray()
    while chunk := await response.read():
        body += chunk
        if len(body) > longest:
            raise ValueError(f"its list is longer than {longest:,} bytes")
    return body


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    """Each is read by itself: the whole at once would keep all threads waiting."""


_list = msgspec.json.Decoder(_List)
_bare_list = msgspec.json.Decoder(list[msgspec.Raw])
"""Together's (docs.together.ai/reference/models)."""


def _entries(body: bytearray, provider: Provider) -> tuple[ModelEntry, ...]:
    """The list's first models, as many as are kept."""
    found: list[ModelEntry] = []
    for raw in _listed(body):
        if memoryview(raw).nbytes > _LONGEST_ENTRY:
            continue
        entry = msgspec.json.decode(raw)
        if isinstance(entry, dict) and _is_name(entry.get("id")):
            found.append(_entry(entry, provider))
            if len(found) >= (_MOST_OF_USERS if provider.guarded else _MOST):
                break
    return tuple(found)


def _listed(body: bytearray) -> list[msgspec.Raw]:
    if not body.lstrip().startswith(b"["):
        return _list.decode(body).data
    found = _bare_list.decode(body)
    if not found:
        raise ValueError("an array of nothing")
    return found


def _may_be_asked(provider: Provider) -> bool:
    return provider.models is None and not provider.embedded and provider.list_path is not None


def _url(provider: Provider) -> str:
    path = provider.list_path or ""
    query = f"{'&' if '?' in path else '?'}{provider.query}" if provider.query else ""
    return f"{provider.base_url}{path}{query}"


def _is_name(said: object) -> bool:
    return isinstance(said, str) and 0 < len(said) <= _LONGEST_NAME and said.isprintable() and said == said.strip()


def _entry(entry: dict[str, Any], provider: Provider) -> ModelEntry:
    created, name = entry.get("created"), entry.get("display_name") or entry.get("name")
    limits, architecture = listed_limits(entry), entry.get("architecture")
    architecture = architecture if isinstance(architecture, dict) else {}
    return ModelEntry(
        id=entry["id"].removeprefix(provider.list_prefix) or entry["id"],
        owned_by=provider.name,
        created=created if type(created) is int and 0 <= created <= _LAST_SECOND else 0,
        display_name=name if isinstance(name, str) and len(name) <= _LONGEST_NAME else None,
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
