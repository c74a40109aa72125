"""A store full of plausible data, to try the dashboard and its speed on: people through the operations that make them,
calls through the statements of the ledger, so that the auditor has nothing to say about it.

The same seed gives the same people and the same calls, but for ids and secrets. Calls lie in the 90 days before now,
more of them on weekdays and in working hours; a few keys make most of them.
"""

from __future__ import annotations

import os
import random
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import msgspec

from trivium.canon.usage import Usage
from trivium.clock import DAY_MS, HOUR_MS
from trivium.errors import OperationError
from trivium.metering.cost import cost
from trivium.metering.prices import Quote, version_of
from trivium.metering.record import Record, told_by
from trivium.metering.sheet import read_price
from trivium.metering.start import Start
from trivium.operations.operations import Operations
from trivium.store import posting, prices, spans
from trivium.store.sql import Writing
from trivium.store.store import Store

DAYS = 90
_BATCH = 5_000
_PATTERNS = 400
"""Different calls of each model, of which all are variations."""
_OWNER = "seed"

_MODELS = (
    # provider, upstream API, model, USD per million tokens in and out, how often
    ("anthropic", "messages", "claude-sonnet-4-5", "3", "15", 30),
    ("anthropic", "messages", "claude-haiku-4-5", "1", "5", 14),
    ("anthropic", "messages", "claude-opus-4-1", "15", "75", 4),
    ("openai", "responses", "gpt-5", "1.25", "10", 18),
    ("openai", "responses", "gpt-5-mini", "0.25", "2", 9),
    ("openai", "chat_completions", "gpt-4.1", "2", "8", 4),
    ("google", "chat_completions", "gemini-2.5-pro", "1.25", "10", 6),
    ("google", "chat_completions", "gemini-2.5-flash", "0.3", "2.5", 5),
    ("mistral", "chat_completions", "mistral-large-latest", "2", "6", 3),
    ("mistral", "chat_completions", "codestral-latest", "0.3", "0.9", 3),
    ("groq", "chat_completions", "llama-3.3-70b-versatile", "0.59", "0.79", 2),
    ("deepseek", "chat_completions", "deepseek-chat", "0.27", "1.1", 2),
)
"""Prices are made up after public ones."""
_APPS = ("claude-cli/2.1.2", "codex_cli_rs/0.38.0", "opencode/1.0.1", "OpenAI/Python", "Kilo-Code/4.90.0", "mine/1.0")
_ORGANIZATIONS = ("Acme", "Blue Sky", "Cobalt", "Dynamo", "Ember", "Fjord", "Granite", "Harbor", "Iris", "Juniper")
_NAMES = ("Ada", "Ben", "Chloe", "Dev", "Elif", "Finn", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Leo", "Mina", "Noor")
_USERS = 20
"""Of each organization; each has two keys."""
_PROJECTS = ("web", "data", "agents")
_GRANT = "500000"
"""USD that every organization has to spend."""
_ERRORS = (
    # outcome, status, upstream's status, error, how often of a thousand
    ("success", 200, 200, None, 940),
    ("failed", 502, 500, "upstream_error", 14),
    ("failed", 429, 429, "rate_limit_error", 12),
    ("failed", 504, None, "upstream_timeout", 6),
    ("aborted", 499, 200, "client_closed", 18),
    ("refused", 402, None, "insufficient_credits", 4),
    ("refused", 429, None, "rate_limited", 6),
)


class _Key(msgspec.Struct, frozen=True):
    id: str
    user: str
    organization: str
    project: str | None


class Past:
    """A clock that stands where the data begins."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ns(self) -> int:
        return time.perf_counter_ns()


async def seed(
    folder: Path,
    url: str | None,
    records: int,
    now_ms: int,
    *,
    force: bool,
    say: Callable[[str], None],
    number: int = 1,
) -> None:
    """Must run where the folder is owned. `number` is where the dice begin. Raises OperationError for a store that has
    records, unless `force`; StoreUnavailable."""
    dice = random.Random(number)  # noqa: S311 # plausible, not secret
    store = Store(folder, Past(now_ms - DAYS * DAY_MS), url)
    try:
        if not force and store.database.query("SELECT 1 FROM records LIMIT 1")[1]:
            raise OperationError("The store has records already; --force adds more to them.")
        await store.ledger.load()
        began = time.perf_counter()
        keys = await _people(store, dice)
        say(f"{len(keys)} keys of {len(_ORGANIZATIONS)} organizations in {time.perf_counter() - began:.1f} s")
        _calls(store, keys, _times(records, now_ms, dice), dice, say)
        began = time.perf_counter()
        _fold(store, now_ms)
        say(f"usage folded in {time.perf_counter() - began:.1f} s")
    finally:
        await store.close()


def _fold(store: Store, now_ms: int) -> None:
    """A span in a transaction: nobody waits for it here."""
    while found := spans.due(store.database, now_ms):
        for due in found:
            with store.database.transaction() as tx:
                while not spans.fold(tx, due):
                    pass


async def _people(store: Store, dice: random.Random) -> list[_Key]:
    operations, found = Operations(store), []
    mark = "" if not store.database.query("SELECT 1 FROM organizations LIMIT 1")[1] else f"-{dice.getrandbits(24):06x}"
    for name in _ORGANIZATIONS:
        organization = f"{name.lower().replace(' ', '-')}{mark}"
        users = [f"{organization}-{n + 1}" for n in range(_USERS)]
        for n, user in enumerate(users):
            await operations.perform("users.create", {"id": user, "name": f"{_NAMES[n % len(_NAMES)]} {n + 1}"})
        await operations.perform("orgs.create", {"id": organization, "name": name, "owner": users[0]})
        for project in _PROJECTS:
            await operations.perform("projects.create", {"organization": organization, "id": project, "name": project})
        await operations.perform(
            "credits.top_up", {"account": organization, "usd": _GRANT, "idempotency_key": f"seed:{organization}"}
        )
        for n, user in enumerate(users):
            if n:
                role = "admin" if n == 1 else "member"
                await operations.perform("members.set", {"organization": organization, "user": user, "role": role})
            for of_project in (None, _PROJECTS[n % len(_PROJECTS)]):
                key = await operations.perform(
                    "keys.create",
                    {
                        "name": f"{user}-{of_project or 'laptop'}",
                        "organization": organization,
                        "user": user,
                        "project": of_project,
                    },
                )
                found.append(_Key(key["id"], user, organization, of_project))
    return found


def _times(count: int, now_ms: int, dice: random.Random) -> Iterator[int]:
    """Moments in their order: busy hours have more of them."""
    first = now_ms - DAYS * DAY_MS
    first -= first % HOUR_MS
    hours = range(first, now_ms, HOUR_MS)
    weights = [_busy(hour) * min(HOUR_MS, now_ms - hour) / HOUR_MS for hour in hours]
    ends = list(accumulate(weights))
    given = 0
    for hour, end in zip(hours, ends, strict=True):
        wanted = round(count * end / ends[-1])
        length = min(HOUR_MS, now_ms - hour)
        yield from sorted(hour + dice.randrange(length) for _ in range(wanted - given))
        given = wanted


def _busy(hour_ms: int) -> float:
    day, hour = hour_ms // DAY_MS, hour_ms % DAY_MS // HOUR_MS
    weekday = (day + 3) % 7
    return (1.0 if weekday < 5 else 0.3) * (0.25 + 0.75 * max(0.0, 1 - abs(hour - 13) / 8))


def _calls(
    store: Store, keys: Sequence[_Key], times: Iterator[int], dice: random.Random, say: Callable[[str], None]
) -> None:
    patterns, quotes = _patterns(dice)
    chances = list(accumulate(model[5] for model in _MODELS))
    written, began, said = 0, time.perf_counter(), time.perf_counter()
    with store.database.transaction() as tx:
        prices.keep(tx, quotes, store.clock.now_ms())
    while batch := list(islice(times, _BATCH)):
        calls = []
        for time_ms in batch:
            key = keys[int(dice.random() ** 3 * len(keys))]
            of_model = patterns[bisect(chances, dice.random() * chances[-1])]
            calls.append(_call(of_model[int(dice.random() * _PATTERNS)], key, time_ms))
        with store.database.transaction() as tx:
            _write(tx, calls, batch[-1], store.free_use.count)
        written += len(calls)
        if time.perf_counter() - said > 10:
            said = time.perf_counter()
            say(f"{written:,} records, {written / (said - began):,.0f} a second")
    say(f"{written:,} records in {time.perf_counter() - began:.1f} s")


def _call(pattern: Record, key: _Key, time_ms: int) -> Record:
    app = _APPS[hash_of(key.id) % len(_APPS)]
    return msgspec.structs.replace(
        pattern,
        id=f"req_{time_ms:012x}{os.urandom(8).hex()}",
        time_ms=time_ms,
        key_id=key.id,
        user_id=key.user,
        organization_id=key.organization,
        project_id=key.project,
        account_id=key.organization if pattern.payer else None,
        client_app=app,
    )


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(map(ord, text))


def _write(tx: Writing, calls: Sequence[Record], now_ms: int, also: posting.Counts) -> None:
    """As the ledger does it: starts with their holds, ends with their charges, records with what they sum up to."""
    held = posting.Sums()
    sent = [call for call in calls if call.provider is not None]
    for call in sent:
        held.account(call.account_id, 0, call.hold_nano)
    held.write(tx)
    posting.write_starts(tx, [posting.start_row(_start(call), _OWNER, ()) for call in sent])
    ended = posting.write_ends(tx, sent)
    posting.write_records(tx, calls, ended, now_ms, also)


def _start(call: Record) -> Start:
    return Start(
        id=call.id,
        time_ms=call.time_ms,
        api=call.api,
        key_id=call.key_id,
        account_id=call.account_id,
        organization_id=call.organization_id,
        scopes=(),
        payer=call.payer,
        hold_nano=call.hold_nano,
        requested_model=call.requested_model or "",
        provider=call.provider or "",
        upstream_model=call.upstream_model or "",
        price_version=call.price_version,
    )


def _patterns(dice: random.Random) -> tuple[list[list[Record]], list[Quote]]:
    """Of each model the calls that all of its calls are like, and its price."""
    found, quotes = [], []
    for provider, api, model, input, output, _ in _MODELS:
        price = read_price({"input": input, "output": output, "cache_read": f"{float(input) / 10:.4f}"})
        quote = Quote(price=price, version=version_of(price), source="seed", provider=provider, model=model)
        quotes.append(quote)
        found.append([_pattern(quote, api, dice) for _ in range(_PATTERNS)])
    return found, quotes


def _pattern(quote: Quote, api: str, dice: random.Random) -> Record:
    outcome, status, upstream, error, _ = dice.choices(_ERRORS, [row[4] for row in _ERRORS])[0]
    told: dict[str, Any] = {"id": "", "time_ms": 0, "operation": "generate"}
    told |= {"outcome": outcome, "status": status, "error_code": error}
    name = f"{quote.provider}/{quote.model}"
    told |= {"api": api, "requested_model": name, "client_ip": f"10.0.{dice.randrange(256)}.{dice.randrange(256)}"}
    told |= {"request_bytes": dice.randrange(2_000, 400_000), "stream": dice.random() < 0.8}
    if outcome == "refused":
        return Record(**told, total_us=dice.randrange(300, 3_000))
    ttfb = int(dice.lognormvariate(13.6, 0.7))
    total = ttfb + int(dice.lognormvariate(15.2, 1.0))
    told |= {
        "provider": quote.provider,
        "upstream_api": api,
        "upstream_model": quote.model,
        "upstream_status": upstream,
    }
    told |= {"payer": "house", "price_version": quote.version, "queue_us": 900, "total_us": total}
    told |= {"hold_nano": 2_000_000_000}
    if outcome != "success":
        return Record(**told, ttfb_us=ttfb if upstream else None)
    usage = _usage(dice)
    charged = cost(usage, quote).nano
    told |= {"cost_nano": charged, "market_cost_nano": charged, "cost_source": "computed", "usage_known": True}
    told |= {"answer_model": quote.model, "finish_reason": "stop", "response_bytes": usage.output * 5}
    return Record(**told, **told_by(usage), ttfb_us=ttfb, first_token_us=ttfb + 20_000)


def _usage(dice: random.Random) -> Usage:
    """Agents send long prompts again and again, most of which lies in caches."""
    input = int(dice.lognormvariate(8.8, 1.3))
    cached = int(input * dice.random()) if dice.random() < 0.7 else 0
    output = int(dice.lognormvariate(5.6, 1.0)) + 1
    thought = int(output * dice.random()) if dice.random() < 0.3 else 0
    return Usage(input_uncached=input - cached, cache_read=cached, output=output, reasoning=thought)
