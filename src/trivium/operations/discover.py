"""Which models a provider serves and what it says of them, asked of itself (`GET /models`)."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import datetime
from typing import Any

import msgspec

from trivium.clock import LAST_MS
from trivium.metering.listing import listed_limits, listed_price
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry
from trivium.upstream.body import whole
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest, UpstreamResponse
from trivium.wire import lenient

_LOG = logging.getLogger("trivium.lists")
_LONGEST = 8 * 1024 * 1024
"""Bytes of a list; OpenRouter's, of 400 models, has 1 MB."""
MOST = 20_000
_LONGEST_OF_USERS = 1024 * 1024
_MOST_OF_USERS = 1_000
"""Of what a server says that a user named."""
_LONGEST_ENTRY = 64 * 1024
_LONGEST_NAME = 256
_MOST_WORDS = 100
_TIMEOUTS = Timeouts(connect=10, first_byte=30, idle=30)
_PATIENCE = 60
"""Seconds for a list in all."""
_ETAG = re.compile(rb'(W/)?"[!#-~]{0,200}"')
_TAGS = {"vision": "image", "file-input": "file"}
"""Vercel's words for what a model reads."""
_TAGGED = {"tool-use": "tools", "reasoning": "reasoning"}
"""Its words for what a model can, and the parameters that mean it at OpenRouter."""
_INPUTS = {"image_input": "image", "pdf_input": "file"}
"""Anthropic's words for what a model reads."""


class Told(msgspec.Struct, frozen=True):
    """What a provider says."""

    models: tuple[ModelEntry, ...]
    etag: str | None = None
    """By which it knows this state of its list."""


async def ask(client: UpstreamClient, provider: Provider, etag: str | None = None) -> Told | None:
    """The provider's list; None: it is still the one that has this `etag`. Raises TriviumError, ValueError,
    RecursionError for whatever is no list."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _answer(client, provider, etag)
    except TimeoutError:
        raise ValueError(f"its list takes longer than {_PATIENCE} seconds") from None


async def _answer(client: UpstreamClient, provider: Provider, etag: str | None) -> Told | None:
    headers = [(b"accept", b"application/json"), *provider.headers]
    if any(name == b"x-api-key" for name, _ in provider.headers):
        # Others may take this for a wish to have the list in Anthropic's shape, which tells no prices.
        headers.append((b"anthropic-version", b"2023-06-01"))
    request = UpstreamRequest(
        method="GET",
        url=_url(provider),
        headers=[*headers, (b"if-none-match", etag.encode())] if etag else headers,
        timeouts=_TIMEOUTS,
        guarded=provider.guarded,
        network=provider.network,
    )
    response = await client.send(request)
    try:
        if response.status == 304 and etag:
            return None
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        longest = _LONGEST_OF_USERS if provider.guarded else _LONGEST
        body = await whole(response, longest, f"its list is longer than {longest:,} bytes")
    finally:
        response.close()
    try:
        return Told(await asyncio.to_thread(_models, body, provider), _etag(response))
    except RecursionError:
        raise ValueError("its list is nested too deeply") from None


def _etag(response: UpstreamResponse) -> str | None:
    found = next((value for name, value in response.headers if name.lower() == b"etag"), b"")
    return found.decode() if _ETAG.fullmatch(found) else None


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    """Each is read by itself: the whole at once would keep all threads waiting."""


_list = msgspec.json.Decoder(_List)
_bare_list = msgspec.json.Decoder(list[msgspec.Raw])
"""Together's (docs.together.ai/reference/models)."""


def _models(body: bytearray, provider: Provider) -> tuple[ModelEntry, ...]:
    """The list's first models, as many as are kept. What cannot be read costs its own model alone, and the list only
    where there is nothing else in it."""
    found: list[ModelEntry] = []
    odd: list[str] = []
    for number, raw in enumerate(_listed(body), 1):
        if memoryview(raw).nbytes > _LONGEST_ENTRY:
            continue
        try:
            entry = msgspec.json.decode(raw)
        except ValueError as error:  # a number beyond all measure
            odd.append(f"number {number}: {error}")
            continue
        if isinstance(entry, dict) and _is_name(entry.get("id")):
            found.append(_entry(entry, provider))
            if len(found) >= (_MOST_OF_USERS if provider.guarded else MOST):
                break
    if odd:
        told = f"{len(odd)} models of its list cannot be read, the first is {odd[0]}"
        if not found:
            raise ValueError(told)
        _LOG.warning("%s: %s", provider.name, told)
    return tuple(found)


def _listed(body: bytearray) -> list[msgspec.Raw]:
    try:
        return _apart(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # half a character in a description, maybe
        return _apart(bytearray(lenient.dump(lenient.parse(bytes(body))), "utf-8"))


def _apart(body: bytearray) -> list[msgspec.Raw]:
    if not body.lstrip().startswith(b"["):
        return _list.decode(body).data
    found = _bare_list.decode(body)
    if not found:
        raise ValueError("an array of nothing")
    return found


def may_be_asked(provider: Provider) -> bool:
    """Whether it has a list, and nobody has said better what it serves."""
    return provider.models is None and not provider.embedded and provider.list_path is not None


def _url(provider: Provider) -> str:
    path = provider.list_path or ""
    query = f"{'&' if '?' in path else '?'}{provider.query}" if provider.query else ""
    return f"{provider.base_url}{path}{query}"


def _is_name(said: object) -> bool:
    return isinstance(said, str) and 0 < len(said) <= _LONGEST_NAME and said.isprintable() and said == said.strip()


def _entry(entry: dict[str, Any], provider: Provider) -> ModelEntry:
    name, limits = entry.get("display_name") or entry.get("name"), listed_limits(entry)
    architecture, modalities = _table(entry.get("architecture")), _table(entry.get("modalities"))
    return ModelEntry(
        id=entry["id"].removeprefix(provider.list_prefix) or entry["id"],
        owned_by=provider.name,
        created=_created(entry),
        display_name=name if isinstance(name, str) and len(name) <= _LONGEST_NAME else None,
        price=listed_price(entry.get("pricing")),
        context=limits.context,
        output_limit=limits.output,
        takes=_words(architecture.get("input_modalities")) or _words(modalities.get("input")) or _takes(entry),
        gives=_words(architecture.get("output_modalities")) or _words(modalities.get("output")) or (),
        parameters=_parameters(entry),
    )


def _created(entry: dict[str, Any]) -> int:
    """Seconds since the epoch, which Anthropic writes as a date; 0 where there is none that can be written."""
    said, date = entry.get("created"), entry.get("created_at")
    if isinstance(date, str) and len(date) < 50:
        try:
            moment = datetime.fromisoformat(date)
            said = int(moment.timestamp()) if moment.tzinfo is not None else None
        except (ValueError, OverflowError):
            said = None
    return said if type(said) is int and 0 <= said <= LAST_MS // 1000 else 0


def _takes(entry: dict[str, Any]) -> tuple[str, ...]:
    """What a model reads, by Vercel's tags or Anthropic's capabilities; nothing where neither tells."""
    tags, can = _words(entry.get("tags")), _table(entry.get("capabilities"))
    if tags and entry.get("type") == "language":
        return ("text", *(takes for tag, takes in _TAGS.items() if tag in tags))
    if not can:
        return ()
    return ("text", *(takes for name, takes in _INPUTS.items() if _table(can.get(name)).get("supported") is True))


def _parameters(entry: dict[str, Any]) -> tuple[str, ...] | None:
    if (said := _words(entry.get("supported_parameters"))) is not None:
        return said
    if tags := _words(entry.get("tags")):
        return tuple(means for tag, means in _TAGGED.items() if tag in tags) or None
    return None


def _table(said: object) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _words(said: object) -> tuple[str, ...] | None:
    """A list of short words; None where it is none."""
    if not isinstance(said, list) or len(said) > _MOST_WORDS:
        return None
    return tuple(word for word in said if isinstance(word, str) and _is_name(word))
