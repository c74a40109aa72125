"""The ledger of one process: who may start a call, what each call came to, and the entries of accounts.

Where this process is the only owner of the database it decides by what it has in memory, at once; where others write
too, a conditional statement decides inside the transaction that makes the hold durable. Either way nothing is admitted
that the balance and the budgets do not hold, and what a call ends frees is free for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from trivium import ids
from trivium.clock import Believed, Clock
from trivium.errors import StoreUnavailable
from trivium.metering.prices import Quote
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.policy.spending import Account, Budget, Refusal, Window, lacking, take, window_start
from trivium.store import owners, posting, prices
from trivium.store.calls import SPENT, EndOp, NewPrices, OpenCall, StartOp, hold
from trivium.store.ops import Act, Op
from trivium.store.posting import Entry
from trivium.store.recent import Recent
from trivium.store.sql import Database, Row, Writing
from trivium.store.unbroken import shielded
from trivium.store.writer import Writer

_BUDGETS = "SELECT id, scope, period, limit_nano, created_ms, ended_ms FROM budgets WHERE ended_ms IS NULL"
_BELIEVED = 1.0
"""Seconds for which budgets are taken as read where other processes may change them."""
_REMEMBERED = 50_000
"""Accounts, and periods of budgets, that stay in memory though nobody needs them."""
_PATIENCE_MS = 1_000
"""Until credits are looked at again that could not expire because holds needed them."""


class Ledger:
    """Starts and ends of calls, and entries. `load` before the first use. All methods are for the event loop."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        owner: str,
        *,
        window: float = 0.0055,
        also: posting.Counts | None = None,
    ) -> None:
        """`owner` names this run of the gateway; `window` is the shortest time between two commits, in seconds; `also`
        are further sums of records."""
        self._also = also
        self._database, self._shared = database, database.shared
        self._clock = clock
        self.owner = owner
        self.writer = Writer(database, self._apply, window=window)
        self.recent = Recent(owner)
        self._accounts: dict[str, Account] = {}
        self._windows: dict[tuple[str, int], Window] = {}
        self._open: dict[str, OpenCall] = {}
        self._changes = self._forgotten = 0
        """How often purses were changed; how often some were let go of."""
        self._mark = owners.Mark(owner)
        self._doubtful: set[str] = set()
        """Starts of which nobody knows whether they were made."""
        self._prices = NewPrices()
        self.beside = asyncio.Lock()
        """Held while an account changes beside the calls: who read it then would count the change twice."""
        self._expiring: dict[str, asyncio.Task[None]] = {}
        self._budgets: dict[str, list[Budget]] = {}
        self._budgets_until = 0.0
        self.believed = Believed(clock)
        """By which credits expire."""

    def accepts(self) -> bool:
        """False while so much waits for the disk that no more may be taken."""
        return self.writer.accepts()

    @property
    def open_calls(self) -> int:
        """Calls that were started and have not ended."""
        return len(self._open)

    def open_starts(self) -> list[Start]:
        """Of the calls that were started and have not ended."""
        return [opened.start for opened in self._open.values()]

    async def counts(self, scopes: Iterable[str]) -> bool:
        """Whether a budget counts calls of these scopes. Raises StoreUnavailable."""
        if self._shared and asyncio.get_running_loop().time() > self._budgets_until:
            await self.load()
        return not self._budgets.keys().isdisjoint(scopes)

    async def load(self) -> None:
        """Reads the budgets. Raises StoreUnavailable."""
        budgets: dict[str, list[Budget]] = {}
        for row in await self._database.ask(_BUDGETS):
            budget = Budget(
                id=row[0], scope=row[1], period=row[2], limit_nano=row[3], created_ms=row[4], ended_ms=row[5]
            )
            budgets.setdefault(budget.scope, []).append(budget)
        self._budgets = budgets
        self._budgets_until = asyncio.get_running_loop().time() + _BELIEVED

    async def free_nano(self, account_id: str) -> tuple[int, int]:
        """What of a balance no call has a hold on, and what is held; none of an account that is not there. Raises
        StoreUnavailable."""
        account = None if self._shared else self._accounts.get(account_id)
        if account is None:
            rows = await self._database.ask("SELECT balance_nano, held_nano FROM accounts WHERE id = ?", (account_id,))
            balance, held = rows[0] if rows else (0, 0)
            return balance - held, held
        return account.free, account.held

    async def lacks(self, amount: int, account_id: str | None, scopes: Sequence[str], time_ms: int) -> Refusal | None:
        """Why a call would not be started that holds so much; nothing is held. Raises StoreUnavailable."""
        account = None
        if account_id is not None:
            free, held = await self.free_nano(account_id)
            account = Account(account_id, free + held, held)
        windows = await self._windows_of(scopes, time_ms)
        for window in windows if self._shared else ():  # of which memory has no figures
            rows = await self._database.ask(SPENT, (window.budget.id, window.start_ms))
            window.spent, window.held = rows[0] if rows else (0, 0)
        return lacking(amount, account, windows)

    async def start(self, start: Start) -> Refusal | None:
        """Begins a call: its hold is durable when this returns None; a refusal began nothing. A call without a hold is
        not waited for. Raises StoreUnavailable, which began nothing that its record will not end."""
        account, forgotten = None, -1
        while forgotten != self._forgotten:  # while the database was asked for one, another may have been let go of
            forgotten = self._forgotten
            if not self._shared and start.account_id:
                account = self._accounts.get(start.account_id)
                if account is None or account.next_expiry_ms is not None:
                    account = await self._account(start.account_id)
            windows = await self._windows_of(start.scopes, start.time_ms) if start.scopes else ()
        opened = OpenCall(start, account, windows)
        if not self._shared and (refusal := take(start.hold_nano, account, windows)):
            return refusal
        self._open[start.id] = opened
        op = StartOp(opened, self._prices, self.owner)
        self.writer.add(op)
        if op.result is None:
            return None
        refusal = None
        try:
            refusal = await op.result
        except StoreUnavailable:
            self._forget(start.id)
            self._doubtful.add(start.id)
            raise
        if refusal is not None:
            self._forget(start.id)
        return refusal

    def has_begun(self, id: str) -> bool:
        """Whether a call was started, or may have been, and has not ended."""
        return id in self._open or id in self._doubtful

    def end(self, record: Record) -> None:
        """The outcome of a call, and its end if it was started: from here on its hold is free. What can fail comes
        first, and can be tried again: nothing is changed by then."""
        opened = self._open.get(record.id)
        op = EndOp(record, self._prices, opened, started=opened is not None or record.id in self._doubtful)
        self.writer.add(op)
        self._doubtful.discard(record.id)
        if opened is not None:
            del self._open[record.id]
            opened.settle(record.cost_nano)
            opened.unwritten(op.freed)
            self._changed(*opened.purses)
            if opened.account is not None and opened.start.time_ms <= (opened.account.needed_ms or -1):
                opened.account.next_expiry_ms = 0
        self.recent.add(record)

    def priced(self, quote: Quote) -> None:
        """Keeps a price that calls are charged with: its row is written with the first that names it."""
        self._prices.add(quote)

    def seen(self, id: str, upstream_id: str) -> None:
        """Keeps the id by which the provider knows a call, so that it can be asked if nobody sees the call's end."""
        statement = "UPDATE starts SET upstream_id = ? WHERE id = ?"
        if id in self._open:
            self.writer.add(Act(lambda tx: tx.execute(statement, (upstream_id, id)), urgent=False))

    def moved(  # noqa: PLR0917
        self, id: str, provider: str, model: str, price_version: str | None, payer: str | None, public_model: str | None
    ) -> None:
        """A call that was started goes elsewhere than its start says."""
        statement = (
            "UPDATE starts SET provider = ?, upstream_model = ?, price_version = ?, payer = ?, public_model = ?,"
            " upstream_id = NULL WHERE id = ?"
        )
        values = (provider, model, price_version, payer, public_model, id)
        quote, now = self._prices.get(price_version), self._clock.now_ms()

        def write(tx: Writing) -> None:
            if quote is not None:
                prices.keep(tx, (quote,), now)
            tx.execute(statement, values)

        if id in self._open:
            self.writer.add(Act(write, urgent=False))

    async def is_here(self) -> None:
        """Says that this owner lives, and from where on its starts may be open. Raises StoreUnavailable."""
        now = self._clock.now_ms()
        await self.writer.run(self._mark.up_to(min(self._open, default=ids.least_request_id(now)), now))

    async def adopt(self, start: Start, windows: posting.Windows) -> None:
        """Takes over an open start of a process that is no more, so that `end` frees what it holds; also one whose
        account is not here, as another database's log may have left it."""
        by_id = {budget.id: budget for budgets in self._budgets.values() for budget in budgets}
        counted = [await self._window(by_id[id], start_ms) for id, start_ms in windows if id in by_id]
        async with self.beside:
            account = await self._find_account(start.account_id) if start.account_id else None
        self._open[start.id] = OpenCall(start, account, counted)

    def credited(self, entry: Entry) -> None:
        """An entry that was made beside the calls, `beside` held, is durable: what memory holds has to follow."""
        account = self._accounts.get(entry.account_id)
        if account is None:
            return
        account.balance += entry.amount_nano
        self._changed(account)
        if entry.expires_ms is not None:
            account.next_expiry_ms = min(account.next_expiry_ms or entry.expires_ms, entry.expires_ms)

    @contextlib.asynccontextmanager
    async def withheld(
        self, amounts: Sequence[tuple[str | None, int]], *, beyond: bool
    ) -> AsyncIterator[list[int | None]]:
        """Takes amounts off accounts in memory while the entries that do are written, `beside` held, so that no call is
        admitted on them; `beyond` what is free too. Tells what was free before each; None where the database has to
        say. Raises StoreUnavailable."""
        taken: list[tuple[Account, int]] = []
        free: list[int | None] = []
        try:
            for id, amount in amounts:
                account = None
                if amount > 0 and id is not None and not self._shared:
                    account = self._accounts.get(id) or await self._find_account(id)
                free.append(account.free if account is not None else None)
                if account is not None and (beyond or amount <= account.free):
                    account.balance -= amount
                    taken.append((account, amount))
            yield free
        finally:
            for account, amount in taken:
                account.balance += amount

    async def forget_idle(self) -> None:
        """Lets go of accounts and periods that nobody has needed lately, where there are many: the database knows them.
        Only what is written by then, and of which no call goes on, may go. Raises StoreUnavailable."""
        before = self._changes
        await self.writer.flush()
        if max(len(self._accounts), len(self._windows)) <= _REMEMBERED:
            return
        needed = {purse for opened in self._open.values() for purse in opened.purses}
        self._accounts = {id: one for id, one in self._accounts.items() if one in needed or one.changes > before}
        self._windows = {key: one for key, one in self._windows.items() if one in needed or one.changes > before}
        self._forgotten += 1

    def _changed(self, *those: Account | Window) -> None:
        self._changes += 1
        for one in those:
            one.changes = self._changes

    def spent(self, windows: posting.Windows, amount: int) -> None:
        """The same of the budgets that count a call whose charge was changed."""
        for key in windows:
            if window := self._windows.get(key):
                window.spent += amount
                self._changed(window)

    async def expire(self, account_id: str) -> None:
        """Ends credits whose time is over. Calls of the account wait for it, so that none is admitted on them."""
        task = self._expiring.get(account_id)
        if task is None:
            task = self._expiring[account_id] = asyncio.get_running_loop().create_task(self._expire(account_id))
            task.add_done_callback(lambda _: self._expiring.pop(account_id))
        await shielded(task)

    async def _expire(self, account_id: str) -> None:
        now = self.believed.now_ms()
        async with self.beside:
            gone = await self.writer.run(lambda tx: posting.expire(tx, account_id, now))
            rows = await self._database.ask(posting.NEXT_EXPIRY, (account_id,))
            if account := self._accounts.get(account_id):
                account.balance -= gone
                expiry = rows[0][0]
                # What calls still need that had begun by then goes later, when they have ended.
                is_needed = expiry is not None and expiry <= now
                account.next_expiry_ms = now + _PATIENCE_MS if is_needed else expiry
                account.needed_ms = (account.needed_ms or now) if is_needed else None

    def _forget(self, id: str) -> None:
        """A start that was not made."""
        if (opened := self._open.pop(id, None)) is not None:
            opened.settle(0)

    async def _account(self, id: str) -> Account:
        """Raises StoreUnavailable for an account that is not there."""
        while True:
            account = self._accounts.get(id)
            if account is None:
                async with self.beside:
                    account = self._accounts.get(id) or await self._find_account(id)
            if account is None:
                raise StoreUnavailable("The account of this key is not there.", detail=f"no account {id!r}")
            if account.next_expiry_ms is None or account.next_expiry_ms > self.believed.now_ms():
                return account
            await self.expire(id)

    async def _find_account(self, id: str) -> Account | None:
        rows = await self._database.ask("SELECT balance_nano, held_nano FROM accounts WHERE id = ?", (id,))
        if not rows:
            return None
        ((balance, held),) = rows
        ((expiry,),) = await self._database.ask(posting.NEXT_EXPIRY, (id,))
        return self._accounts.setdefault(id, Account(id, balance, held, expiry))

    async def _windows_of(self, scopes: Sequence[str], time_ms: int) -> Sequence[Window]:
        if not await self.counts(scopes):
            return ()
        found = [budget for scope in scopes for budget in self._budgets.get(scope, ())]
        return [await self._window(budget, window_start(budget.period, time_ms)) for budget in found]

    async def _window(self, budget: Budget, start_ms: int) -> Window:
        if self._shared:
            return Window(budget, start_ms)
        window = self._windows.get((budget.id, start_ms))
        if window is None:
            async with self.beside:
                rows = await self._database.ask(SPENT, (budget.id, start_ms))
                read = Window(budget, start_ms, *(rows[0] if rows else (0, 0)))
                window = self._windows.setdefault((budget.id, start_ms), read)
        window.budget = budget  # its limit may have been changed
        return window

    def _apply(self, ops: Sequence[Op], tx: Writing, again: bool) -> None:
        """In the writer's thread. An end comes behind its start, and before the starts that need what it frees."""
        kinds: defaultdict[type, list[Any]] = defaultdict(list)
        for op in ops:
            kinds[type(op)].append(op)
        starts: list[StartOp] = kinds[StartOp]
        ends = {op.record.id: op for op in reversed(kinds[EndOp])}
        held = {op.opened.start.id: op for op in starts if op.urgent}
        if quotes := {op.quote.version: op.quote for op in (*starts, *ends.values()) if op.quote}:
            prices.keep(tx, quotes.values(), self._clock.now_ms())
        if again:
            self._mark.doubt()
        if self._shared:
            posting.claim(tx, self._purses(held.values(), ends.values()))
        if starts:
            self._mark.cover(tx, (op.opened.start.id for op in starts), self._clock.now_ms())
        # What is over already is written once. Of what is written again nobody knows whether it was.
        brief = {op.opened.start.id: op for op in starts if op.opened.start.id in ends} if not again else {}
        if self._shared:
            brief = {id: op for id, op in brief.items() if id not in held}
        held = {id: op for id, op in held.items() if id not in brief}
        others = [op for op in starts if not op.urgent and op.opened.start.id not in brief]
        posting.write_starts(tx, [op.starts for op in others])
        posting.write_starts(tx, [op.starts for op in brief.values()], ended=True)
        opened = {id: posting.Brief(op.opened.start, op.opened.keys) for id, op in brief.items()}
        ended = self._write_ends(tx, [op for id, op in ends.items() if id not in held], again, opened)
        self._write_held(tx, list(held.values()), again)
        ended |= self._write_ends(tx, [op for id, op in ends.items() if id in held], again, {})
        self._write_records(tx, ends.values(), ended)
        for act in sorted(kinds[Act], key=attrgetter("rank", "urgent")):
            act.perform(tx)

    @staticmethod
    def _purses(held: Iterable[StartOp], ends: Iterable[EndOp]) -> Iterator[tuple[str | None, posting.Windows]]:
        """All that something will be held on, freed or charged. Of an end whose start nobody knows to be written, only
        the database knows which budgets count it."""
        for start in held:
            yield start.opened.start.account_id, start.opened.keys
        for end in ends:
            if end.started and (end.freed or end.record.cost_nano):
                yield end.record.account_id, end.opened.keys if end.opened else ()

    def _write_ends(self, tx: Writing, ends: Sequence[EndOp], again: bool, brief: posting.Briefs) -> set[str]:
        return posting.write_ends(tx, [op.record for op in ends if op.started or again], brief) if ends else set()

    def _write_records(self, tx: Writing, ends: Collection[EndOp], ended: set[str]) -> None:
        for bare, also in ((False, self._also), (True, None)):
            if records := [op.record for op in ends if op.bare is bare]:
                posting.write_records(tx, records, ended, self._clock.now_ms(), also)

    def _write_held(self, tx: Writing, ops: Sequence[StartOp], again: bool) -> None:
        if not self._shared:
            rows: Sequence[Row] = [op.starts for op in ops]
            posting.hold_starts(tx, posting.missing_starts(tx, rows) if again else rows)
            return
        posting.expire_due(tx, (op.opened.start.account_id or "" for op in ops), self.believed.now_ms())
        for op in ops:
            op.refusal = hold(tx, op.opened)
        posting.write_starts(tx, [op.starts for op in ops if op.refusal is None])
