"""1,000 calls at once against one dollar: never more than it is held and spent, and nobody is refused what is there.

    .venv/bin/python bench/trust/races.py [--scale F] [--seed S]

Each round has a dollar of its own, as a balance or as a key's budget, in an SQLite file, in PostgreSQL, and in one
PostgreSQL database under two gateways. First come as many calls as fit in to the last hold: all must be served. Then
1,000 at once, of forty kinds with holds of various sizes. Somebody looks at the database all the while: what is held
and what is posted together must never be above the dollar. A refusal must name its hold and less that is free; and
where the dollar had room for it beside all the holds that can have been open in that moment, it was false.
"""
# ruff: noqa: S311, S608 # chance is not a secret, and the values in statements are ids of the gateway's own

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import stage
from leaver import Got, call, raise_limits
from stage import Ask, Figures, Rows

from trivium.mock import Match, Reply, Rule, Script, ScriptedUpstream, Usage

ROUNDS = 20
CALLS = 1_000
DOLLAR = 10**9
SLACK = 0.25
"""Seconds in which the hold of a call that was answered may still be open: ends are written every 0.1 s."""
BELIEVED = 1.1
"""Seconds after which all gateways know of a new budget."""
KINDS = 40
FITTING = "fitting"
SETTINGS = (
    ("balance", False, 1),
    ("budget", True, 1),
    ("balance, two gateways", False, 2),
    ("budget, two gateways", True, 2),
)
"""On PostgreSQL: what the dollar is, whether it is a budget, and how many gateways spend it."""
_LOOK = 0.002
_CONFIG = """
[local]
enabled = false
[billing]
mode = "credits"
[models."*/*"]
price = { input = "3.1", output = "15.7" }
"""


class Kind(NamedTuple):
    """A model whose calls have one hold and one charge."""

    name: str
    max_tokens: int
    output: int
    delay_ms: int


class Answered(NamedTuple):
    kind: str
    sent: float
    done: float
    status: int
    error: dict[str, Any]


class Setting(NamedTuple):
    """Where the dollar lies, and who spends it."""

    name: str
    gateways: list[stage.Gateway]
    ask: Ask
    budget: bool


class Watch:
    """Looks at a dollar all the while, in a thread of its own."""

    def __init__(self, look: Callable[[], tuple[int, int]]) -> None:
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.most = self.looks = self.above = 0
        self.failure: Exception | None = None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.failure is not None:
            raise stage.TrustError(f"the watch failed: {self.failure!r}")

    def _watch(self) -> None:
        try:
            while not self._over.wait(_LOOK):
                held, posted = self._look()
                self.looks += 1
                self.most = max(self.most, held + posted)
                self.above += held + posted > DOLLAR
        except Exception as error:
            self.failure = error


class Race:
    """The rounds of one setting."""

    def __init__(self, setting: Setting, kinds: dict[str, Kind]) -> None:
        self._setting = setting
        self._kinds = kinds
        self._holds: dict[str, int] = {}
        self._costs: dict[str, int] = {}
        self.served = self.refused = self.false = self.overruns = self.unfitting = self.looks = self.above = 0
        self.most = 0
        self.problems: list[str] = []

    async def measure(self) -> None:
        """What each kind holds and costs, from one call of it where there is enough for all."""
        key, _ = self._purse("rich", "1000")
        await asyncio.gather(*(self._call(kind, key, 0) for kind in self._kinds.values()))
        rows = await self._settled("SELECT upstream_model, hold_nano, cost_nano FROM records")
        self._holds = {model: hold for model, hold, _ in rows}
        self._costs = {model: cost for model, _, cost in rows}

    async def round(self, number: int) -> None:
        key, where = self._purse(f"round{number}", "1000" if self._setting.budget else "1")
        if self._setting.budget and len(self._setting.gateways) > 1:
            await asyncio.sleep(BELIEVED)
        with Watch(lambda: _pair(self._setting.ask(where))) as watch:
            fitting = self._kinds[FITTING]
            fit = [self._call(fitting, key, n) for n in range(DOLLAR // self._holds[FITTING])]
            told = await asyncio.gather(*fit)
            self.unfitting += sum(one.status != 200 for one in told)
            self._refuse_more_than_told(told)
            await self._settled(where)
            kinds = random.choices([kind for kind in self._kinds.values() if kind.name != FITTING], k=CALLS)
            told += await asyncio.gather(*(self._call(kind, key, n) for n, kind in enumerate(kinds)))
            left = _pair(await self._settled(where))
        self.looks += watch.looks
        self.above += watch.above
        self.most = max(self.most, watch.most)
        self._judge(told)
        due = sum(self._costs[one.kind] for one in told if one.status == 200)
        if left != (0, due):
            self.problems.append(f"afterwards {left[0]} are held and {left[1]} are posted of the {due} that calls cost")

    def _purse(self, name: str, usd: str) -> tuple[str, str]:
        """A key that pays with so much, and the statement that tells what is held and posted of the dollar."""
        first = self._setting.gateways[0]
        account = first.ask("accounts.create", name=name)["id"]
        first.ask("credits.grant", account=account, usd=usd)
        made = first.ask("keys.create", name=name, account=account)
        if self._setting.budget and name != "rich":
            first.ask("budgets.set", scope=f"key:{made['id']}", period="total", usd="1")
            spent = "SELECT held_nano, spent_nano FROM spends JOIN budgets ON budgets.id = spends.budget_id"
            return made["key"], f"{spent} WHERE budgets.scope = 'key:{made['id']}'"
        posted = (
            f"SELECT coalesce(-sum(amount_nano), 0) FROM entries WHERE kind = 'charge' AND account_id = '{account}'"
        )
        return made["key"], f"SELECT held_nano, ({posted}) FROM accounts WHERE id = '{account}'"

    async def _call(self, kind: Kind, key: str, number: int) -> Answered:
        gateways = self._setting.gateways
        port = gateways[number % len(gateways)].port
        said = [{"role": "user", "content": "What is left of a dollar?"}]
        asked = {"model": f"up/{kind.name}", "messages": said, "max_tokens": kind.max_tokens}
        sent = time.monotonic()
        got: Got = await call(port, key, "/v1/chat/completions", asked)
        error = json.loads(got.body)["error"] if got.status != 200 else {}
        return Answered(kind.name, sent, time.monotonic(), got.status, error)

    async def _settled(self, statement: str) -> Rows:
        """The answer to a statement, once no call is open."""
        deadline = time.monotonic() + 30
        while self._setting.ask("SELECT count(*) FROM starts WHERE ended = 0")[0][0]:
            if time.monotonic() > deadline:
                raise stage.TrustError("a call does not end")
            await asyncio.sleep(0.02)
        return self._setting.ask(statement)

    def _judge(self, told: list[Answered]) -> None:
        served = [one for one in told if one.status == 200]
        refused = [one for one in told if one.status == 402]
        self.served += len(served)
        self.refused += len(refused)
        if odd := [one for one in told if one.status not in (200, 402)]:
            self.problems.append(f"{len(odd)} answers that are neither: {odd[0]}")
        self._refuse_more_than_told(refused)
        self.false += sum(self._might_have_fitted(one, served) for one in refused)
        self.overruns = self._setting.ask("SELECT count(*) FROM entries WHERE flags LIKE '%overrun%'")[0][0]

    def _refuse_more_than_told(self, told: list[Answered]) -> None:
        """A refusal tells what was needed, which is the hold, and what was free, which is less."""
        for one in told:
            if one.status == 402:
                needed, free = (_nano(one.error[name]) for name in ("needed_usd", "balance_usd"))
                if needed != self._holds[one.kind] or needed <= free:
                    self.false += 1
                    self.problems.append(f"refused although {needed} of {free}: {one}")

    def _might_have_fitted(self, refused: Answered, served: list[Answered]) -> bool:
        """Even with all holds that can have been open then, the dollar held enough."""
        free = DOLLAR
        for one in served:
            if one.done + SLACK < refused.sent:
                free -= self._costs[one.kind]
            elif one.sent <= refused.done:
                free -= max(self._holds[one.kind], self._costs[one.kind])
        return self._holds[refused.kind] <= free

    def figures(self) -> Figures:
        line = (
            f"{self._setting.name}: {self.served} served, {self.refused} refused, {self.false} of them falsely, "
            f"{self.unfitting} that fitted and were not served; at most {self.most / DOLLAR:.9f} USD held and posted "
            f"in {self.looks} looks, {self.above} times above 1; {self.overruns} overruns"
        )
        wrong = self.false + self.unfitting + self.overruns + len(self.problems)
        found = Figures(overspend=self.above, charge_differences=wrong, lines=(line, *self.problems[:10]))
        return stage.added([found, stage.books(self._setting.ask)])


def kinds() -> dict[str, Kind]:
    """Forty kinds with holds from half a cent to a quarter of a dollar, and one of which many fit in."""
    found = [Kind(FITTING, 1_100, 1, 400)]
    for number in range(KINDS):
        max_tokens = round(10 ** random.uniform(2.4, 4.2))
        output = max(1, round(max_tokens * random.random() ** 4))
        found.append(Kind(f"kind{number}", max_tokens, output, random.choice((0, 0, 20, 100, 300))))
    return {kind.name: kind for kind in found}


def script(found: dict[str, Kind]) -> Script:
    rules = [
        Rule(
            Reply(text="Nothing.", usage=Usage(input=20, output=kind.output), delay_ms=kind.delay_ms),
            Match(model=kind.name),
        )
        for kind in found.values()
    ]
    return Script(rules, keep=1)


async def play(setting: Setting, rounds: int, found: dict[str, Kind]) -> Figures:
    race = Race(setting, found)
    await race.measure()
    for number in range(rounds):
        await race.round(number)
    return race.figures()


async def perform(scale: float, folder: Path) -> Figures:
    found, rounds = kinds(), max(1, round(ROUNDS * scale))
    figures = []
    async with ScriptedUpstream(script(found)) as upstream:
        config = f'{_CONFIG}[providers.up]\nbase_url = "{upstream.url}/v1"\nmodels = ["*"]\n'
        for budget in (False, True):
            gateway = stage.Gateway(folder / f"sqlite{budget}", config)
            with stage.running(gateway), reading(gateway.data / "trivium.db") as ask:
                name = f"SQLite, {'budget' if budget else 'balance'}"
                figures.append(await play(Setting(name, [gateway], ask, budget), rounds, found))
        figures += [one async for one in _on_postgres(folder, config, rounds, found)]
    return stage.added(figures)


async def _on_postgres(folder: Path, config: str, rounds: int, found: dict[str, Kind]) -> Any:
    sys.path.append(str(Path(__file__).parents[2] / "tests"))
    try:
        import psycopg  # noqa: PLC0415 # only with the extra `postgres`

        from support_store import postgres_programs, serving  # noqa: PLC0415
    except ImportError as error:
        yield Figures(lines=(f"PostgreSQL: not played: {error}",))
        return
    programs = postgres_programs()
    if programs is None:
        yield Figures(lines=("PostgreSQL: not played: it is not installed",))
        return
    with serving(programs) as server:
        for name, budget, count in SETTINGS:
            url = server.url(server.create("template0"))
            storage = f'[storage]\nurl = "{url}"\n'
            gateways = [stage.Gateway(folder / f"{name} {number}", config + storage) for number in range(count)]
            with contextlib.ExitStack() as stack:
                for gateway in gateways:
                    _share_pepper(gateways[0], gateway)
                    stack.enter_context(stage.running(gateway))
                connection = stack.enter_context(psycopg.connect(url, autocommit=True))
                lock = threading.Lock()

                def ask(statement: str, to: Any = connection, lock: threading.Lock = lock) -> Rows:
                    with lock:
                        return list(to.execute(statement.replace("%", "%%")).fetchall())

                yield await play(Setting(f"PostgreSQL, {name}", gateways, ask, budget), rounds, found)


def _share_pepper(first: stage.Gateway, other: stage.Gateway) -> None:
    """Keys that one has made open the other."""
    if other is not first:
        other.data.mkdir(parents=True)
        (other.data / "pepper").write_bytes((first.data / "pepper").read_bytes())


@contextlib.contextmanager
def reading(file: Path) -> Iterator[Ask]:
    """Statements on one connection to an SQLite file, from any thread."""
    lock = threading.Lock()
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)) as database:

        def ask(statement: str) -> Rows:
            with lock:
                return database.execute(statement).fetchall()

        yield ask


def _pair(rows: Rows) -> tuple[int, int]:
    """Held and posted; nothing of either before the first call."""
    return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)


def _nano(usd: str) -> int:
    return int(Decimal(usd) * DOLLAR)


def run(scale: float, folder: Path) -> Figures:
    raise_limits()
    return asyncio.run(perform(scale, folder))


if __name__ == "__main__":
    sys.exit(stage.main("races", run))
