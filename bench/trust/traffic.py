"""Calls whose fate is known from both ends: clients that note what they got, an upstream that notes what it saw, and
the comparison of both with the database.

Every call asks for a model of its own name, so that its start, its record and the upstream's note of it can be told
apart without the gateway's help. Some calls have no hold (`free`), some are refused for lack of credits (the account
`poor`) or by a budget (the account `capped`), some clients leave in the middle, and some are translated on their way
(provider `far`). An answer costs `CHARGE`, as the upstream's usage and the prices in `config` have it.
"""
# ruff: noqa: S311, S608 # chance is not a secret, and the values in statements are ids of the gateway's own

from __future__ import annotations

import asyncio
import json
import random
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stage import Ask, Figures, Gateway, figures

from trivium.errors import OperationError
from trivium.mock import Match, Reply, Rule, Script, ScriptedUpstream, Usage

CHARGE = 120 * 3_000 + 30 * 15_000
"""Nanodollars of a whole answer: 120 tokens at 3 USD a million, 30 at 15."""
LINGER = 0.1
"""Seconds that a settlement may wait before it is written: what a kill may leave uncharged."""
PATIENCE = 0.5
"""Seconds after which a settlement that is not durable is lost, however busy this machine is."""

_CONFIG = """\
[local]
enabled = false

[billing]
mode = "credits"

[models."*/*"]
price = {{ input = "3", output = "15", cache_read = "0.3{edition:05}" }}
context = 4000
output_limit = 100

[models."*/free-*"]
free = true

[providers.up]
base_url = "{url}/v1"
key = "an upstream's key"
apis = ["chat", "responses", "messages"]
models = ["*"]

[providers.far]
base_url = "{url}/v1"
key = "another key"
apis = ["messages"]
models = ["*"]
"""
_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
_USAGE = Usage(input=120, output=30)
_WORDS = [f"word{number} " for number in range(12)]


def config(upstream: ScriptedUpstream, more: str = "", *, edition: int = 0) -> str:
    """The text of trivium.toml for a gateway before that upstream. Another edition has other prices, for what no call
    here uses: a life with them has prices to write down that the database does not know."""
    return _CONFIG.format(url=upstream.url, edition=edition) + more


def script() -> Script:
    """Answers at once, after a while, or little by little, as the model's name says."""
    paced = Reply(text=_WORDS, usage=_USAGE, event_delay_ms=8)
    late = Reply(text=_WORDS, usage=_USAGE, delay_ms=40)
    rules = [Rule(paced, Match(model="slow-*", stream=True)), Rule(late, Match(model="slow-*"))]
    return Script(rules, default=Reply(text=_WORDS, usage=_USAGE), keep=1_000_000)


@dataclass
class Call:
    """One call as its client knows it. Times are those of the monotonic clock."""

    name: str
    provider: str
    api: str
    stream: bool
    leaves: bool
    account: str
    began: float = 0.0
    status: int | None = None
    request_id: str | None = None
    retry_after: bool = False
    answered: float | None = None
    """When its status was here."""
    completed: float | None = None
    """When the last byte of the answer was here."""

    @property
    def held(self) -> bool:
        return not self.name.startswith("free-")

    def body(self) -> bytes:
        asked: dict[str, Any] = {"model": f"{self.provider}/{self.name}", "stream": self.stream}
        limit = "max_output_tokens" if self.api == "responses" else "max_tokens"
        if self.api == "responses":
            asked["input"] = "Say something."
        else:
            asked["messages"] = [{"role": "user", "content": "Say something."}]
        return json.dumps(asked | {limit: 40}).encode()


class Clients:
    """A number of clients that call one after the other until they are told to pause."""

    def __init__(self, gateway: Gateway, count: int, *, accounts: Sequence[str] = ()) -> None:
        """`accounts` are those whose keys are used; `open_accounts` must have been called."""
        self.gateway = gateway
        self.calls: list[Call] = []
        self.keys: dict[str, str] = {}
        self._accounts = accounts or ("default", "default", "default", "poor", "capped")
        self._count = count
        self._serial = 0
        self._tasks: list[asyncio.Task[None]] = []

    def open_accounts(self) -> None:
        """Accounts, keys and a budget; once, at a gateway that is ready."""
        ask = self.gateway.ask
        self.keys["default"] = self.gateway.key
        ask("credits.grant", account="default", usd="100000", idempotency_key="first:default")
        for account in ("poor", "capped"):
            ask("accounts.create", name=account, id=account)
            ask("credits.grant", account=account, usd="0.01", idempotency_key=f"first:{account}")
            self.keys[account] = ask("keys.create", name=account, account=account)["key"]
        self.refill("capped", 1)

    def refill(self, account: str, number: int) -> None:
        """A little more for those who have little; the same refill twice is one."""
        ask = self.gateway.ask
        if account == "capped":
            ask("credits.grant", account="capped", usd="1", idempotency_key=f"refill:capped:{number}")
            ask("budgets.set", scope="account:capped", period="total", usd="0.02")
        else:
            ask("credits.grant", account=account, usd="0.005", idempotency_key=f"refill:{account}:{number}")

    def go(self) -> None:
        self._tasks = [asyncio.create_task(self._keep_calling()) for _ in range(self._count)]

    async def pause(self) -> None:
        """Waits for the answers under way."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    async def _keep_calling(self) -> None:
        mine = asyncio.current_task()
        while mine in self._tasks:
            call = self.next_call()
            await make(call, self.gateway.port, self.keys[call.account])
            if call.status is None:
                await asyncio.sleep(0.02)

    def next_call(self) -> Call:
        self._serial += 1
        word, provider = random.choice(("quick", "slow", "slow", "free")), random.choice(("up", "up", "far"))
        stream, leaves = random.random() < 0.5, random.random() < 0.2
        account = random.choice(self._accounts)
        name, api = f"{word}-{self._serial:07}", random.choice(tuple(_PATHS))
        call = Call(name, provider, api, stream=stream, leaves=leaves, account=account)
        self.calls.append(call)
        return call


async def make(call: Call, port: int, key: str) -> None:
    """Makes a call and notes on it what came of it; a connection that is refused, cut or reset is no error."""
    call.began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    try:
        body = call.body()
        head = (
            f"POST {_PATHS[call.api]} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
        )
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        if call.leaves and not call.stream:
            await asyncio.sleep(random.uniform(0, 0.04))
            return
        await _read(call, reader)
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.transport.abort()


async def _read(call: Call, reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    call.status, call.request_id = int(status.split()[1]), headers.get("x-trivium-request-id")
    call.answered, call.retry_after = time.monotonic(), "retry-after" in headers
    if call.leaves and call.status == 200:
        await reader.read(200)
        await asyncio.sleep(random.uniform(0, 0.04))
        return
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
        call.completed = time.monotonic()
    elif (await reader.read(-1)).endswith(b"0\r\n\r\n"):
        call.completed = time.monotonic()


class Judge:
    """Compares what clients and upstream know with what the database says, once nothing is in progress."""

    def __init__(self, upstream: ScriptedUpstream, kills: Sequence[float] = ()) -> None:
        """`kills` are the moments at which the gateway was killed, in order; it may grow."""
        self._upstream = upstream
        self._kills = kills
        self._last_id, self._last_seq = "", 0
        self.statuses: Counter[int | None] = Counter()
        self.seen = 0
        """Calls that the upstream saw."""
        self.answered = 0
        """Answers that cost something and that their client had whole."""
        self.unsettled: list[float] = []
        """Seconds between such an answer and the kill that came before its settlement was durable."""
        self.unheld = 0
        """Calls without a hold of which a kill left no start."""

    def judge(self, calls: Iterable[Call], ask: Ask, allowed: Sequence[int] = (200, 402)) -> Figures:
        """What is wrong with these calls; they are all that were made since it was last asked."""
        seen = Counter(str(request.json["model"]) for request in self._upstream.requests if request.json)
        self._upstream.forget()
        self.seen += len(seen)
        books = self._read(ask)
        problems: list[tuple[str, str]] = []
        for call in calls:
            self.statuses[call.status] += 1
            if call.status is not None and call.status not in allowed:
                problems.append(("lost", f"{call.name}: status {call.status}"))
            problems += [(kind, f"{call.name}: {what}") for kind, what in self._judged(call, call.name in seen, books)]
        counted = Counter(kind for kind, _ in problems)
        return figures(counted, [f"{kind}: {what}" for kind, what in problems[:20]])

    def _read(self, ask: Ask) -> _Books:
        books = _Books()
        for id, name, hold in ask(f"SELECT id, requested_model, hold_nano FROM starts WHERE id > '{self._last_id}'"):
            books.starts[_bare(name)] = (id, hold)
        statement = f"SELECT id, requested_model, flags FROM records WHERE id > '{self._last_id}' ORDER BY id"
        for id, name, flags in ask(statement):
            books.records[id], books.names[_bare(name)] = flags or "", id
            self._last_id = id
        statement = f"SELECT seq, request_id, amount_nano FROM entries WHERE kind = 'charge' AND seq > {self._last_seq}"
        for seq, id, amount in ask(statement):
            books.charges[id].append(-amount)
            self._last_seq = max(self._last_seq, seq)
        return books

    def _judged(self, call: Call, seen: bool, books: _Books) -> list[tuple[str, str]]:
        start_id, hold = books.starts.get(call.name, (None, 0))
        id = call.request_id or start_id or books.names.get(call.name)
        charges = books.charges[id] if id else []
        found = []
        if seen and start_id is None:
            if call.held:
                found.append(("lost", "the upstream saw it, and there is no start"))
            else:
                self.unheld += 1
        if seen and call.status == 402:
            found.append(("lost", "it was refused, and the upstream saw it"))
        if len(charges) > 1:
            found.append(("double", f"charges {charges}"))
        if sum(charges) > hold:
            found.append(("charge_differences", f"charged {sum(charges)}, held {hold}"))
        if call.completed is not None and call.status in (200, 402):
            found += self._completed(call, call.completed, books.records.get(id or ""), charges)
        return found

    def _completed(self, call: Call, at: float, flags: str | None, charges: list[int]) -> list[tuple[str, str]]:
        age = self._until_killed(call.began, at)
        excused = age is not None and age < PATIENCE
        if flags is None:
            return [] if excused else [("lost", f"answered {call.status}, and there is no record")]
        if call.status != 200 or not call.held:
            return []
        self.answered += 1
        if not charges and excused and "expired_unknown" in flags:
            self.unsettled.append(age or 0.0)
            return []
        if sum(charges) != CHARGE:
            return [("charge_differences", f"cost {CHARGE}, charged {charges} ({flags}), killed after {age}")]
        return []

    def _until_killed(self, began: float, completed: float) -> float | None:
        """None where the gateway that took the call lived on. What it had sent can be read after its death."""
        after = bisect_left(self._kills, began)
        return max(0.0, self._kills[after] - completed) if after < len(self._kills) else None


class _Books:
    def __init__(self) -> None:
        self.starts: dict[str, tuple[str, int]] = {}
        self.names: dict[str, str] = {}
        self.records: dict[str, str] = {}
        """Flags."""
        self.charges: defaultdict[str, list[int]] = defaultdict(list)


def _bare(name: str | None) -> str:
    """A model's name without its provider."""
    return (name or "").rpartition("/")[2]


async def asked(gateway: Gateway, operation: str, **arguments: Any) -> bool:
    """An operation beside the traffic; False where the gateway was not there, or went away."""
    try:
        await asyncio.to_thread(lambda: gateway.ask(operation, **arguments))
    except (OSError, OperationError):
        return False
    return True
