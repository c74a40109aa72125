"""Stories of accounts, told row by row: a database that agrees with itself, for the auditor to believe or, after some
damage, not. What the ledger should write is worked out here once more, in the plainest way there is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from support_store import PostgresServer
from trivium.store import schema
from trivium.store.audit import Report, verify
from trivium.store.audit_finding import Finding
from trivium.store.postgres_snapshot import PostgresSnapshot
from trivium.store.snapshot import SqliteSnapshot

HOUR = 3_600_000
DAY = 24 * HOUR
MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00:00Z
USD = 10**9
CONTENT = '{"rates":{"input":3000000000,"output":15000000000}}'
DEARER = '{"rates":{"input":4000000000,"output":15000000000}}'
INPUT, OUTPUT = 3_000, 15_000
"""Nanodollars for a token."""
Row = dict[str, Any]


def version(content: str) -> str:
    return "pr_" + hashlib.sha256(content.encode()).hexdigest()[:12]


class Story:
    def __init__(self) -> None:
        self.now = MIDNIGHT
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._hours: dict[tuple[Any, ...], Row] = {}
        self._requests = 0
        self.rows["owners"].append({"id": "own_1", "seen_ms": self.now, "since": ""})
        for content in (CONTENT, DEARER):
            self.price(content)

    def price(self, content: str) -> str:
        row = {"version": version(content), "provider": "up", "model": "m", "source": "config", "content": content}
        self.rows["prices"].append({**row, "first_ms": self.now})
        return version(content)

    def account(self, id: str) -> str:
        self.rows["accounts"].append({"id": id, "kind": "person", "name": id, "created_ms": self.now})
        self._account(id).update(balance_nano=0, held_nano=0)
        return id

    def budget(self, id: str) -> str:
        row = {"id": id, "scope": f"key:{id}", "period": "day", "limit_nano": 100 * USD, "created_ms": self.now}
        self.rows["budgets"].append(row)
        return id

    def grant(self, account: str, amount: int, lasts: int | None = None) -> str:
        """The lot's id; `lasts` is in milliseconds."""
        key = f"grant:{len(self.rows['entries'])}"
        expires = None if lasts is None else self.now + lasts
        debt = max(0, self._left_in_lots(account) - self._account(account)["balance_nano"])
        entry = self._entry(account, "grant", amount, key, expires_ms=expires)
        if expires is not None:
            lot = {"id": key, "account_id": account, "expires_ms": expires, "seq": entry["seq"]}
            self.rows["lots"].append({**lot, "remaining_nano": amount - min(amount, debt)})
        return key

    def top_up(self, account: str, amount: int) -> None:
        self._entry(account, "top_up", amount, f"top_up:{len(self.rows['entries'])}")

    def pay_in_vain(self, account: str) -> None:
        row: Row = {
            "id": f"pay_{0:024}",
            "account_id": account,
            "kind": "checkout",
            "processor": "p",
            "state": "failed",
        }
        row |= {"asked_cents": 1000, "fee_cents": 0, "made_by": account, "created_ms": self.now, "changed_ms": self.now}
        self.rows["payments"].append(row)

    def adjust(self, account: str, amount: int) -> None:
        key = f"adjustment:{len(self.rows['entries'])}"
        self._entry(account, "adjustment", amount, key, flags=self._short(account, amount))

    def _short(self, account: str, amount: int) -> str:
        """The flag of an adjustment that takes more than is free."""
        row = self._account(account)
        return "overrun" if amount < 0 and row["balance_nano"] - row["held_nano"] + amount < 0 else ""

    def start(self, account: str | None, hold: int, budgets: tuple[str, ...] = (), **said: Any) -> str:
        self._requests += 1
        id = f"req_{self._requests}"
        windows: list[tuple[str, int]] = [(budget, self.now - self.now % DAY) for budget in budgets]
        start = {"id": id, "time_ms": self.now, "owner": "own_1", "key_id": "key_1", "account_id": account}
        start |= {"hold_nano": hold, "windows": json.dumps(windows) if windows else None, "api": "messages"}
        start |= {"requested_model": "m", "provider": "up", "upstream_model": "m", "ended": 0}
        start["organization_id"] = account
        self.rows["starts"].append({**start, "price_version": version(CONTENT), "upstream_id": None, **said})
        if account is not None:
            self._account(account)["held_nano"] += hold
        for budget, window in windows:
            self._spend(budget, window)["held_nano"] += hold
        return id

    def end(self, id: str, tokens: tuple[int, int] = (0, 0), **said: Any) -> str:
        """`tokens` are those of input and output."""
        start = self._start(id)
        cost = tokens[0] * INPUT + tokens[1] * OUTPUT if said.get("payer", "house") == "house" else 0
        record = {
            name: start[name]
            for name in ("id", "time_ms", "key_id", "api", "account_id", "organization_id", "hold_nano")
        }
        record |= {name: start[name] for name in ("requested_model", "provider", "upstream_model", "price_version")}
        record |= {"outcome": "success", "status": 200, "upstream_status": 200, "usage_known": 1, "payer": "house"}
        record |= {"input_uncached_tokens": tokens[0], "output_tokens": tokens[1], "cost_nano": cost}
        record |= {"market_cost_nano": cost, "cost_source": "computed"}
        record = self._record({**record, **said})
        cost = record["cost_nano"]
        start["ended"] = 1
        for budget, window in json.loads(start["windows"] or "[]"):
            spend = self._spend(budget, window)
            spend["held_nano"] -= start["hold_nano"]
            spend["spent_nano"] += cost
        if (account := start["account_id"]) is not None:
            self._account(account)["held_nano"] -= start["hold_nano"]
            if cost:
                flags = "overrun" if cost > start["hold_nano"] else ""
                self._entry(account, "charge", -cost, f"charge:{id}", request_id=id, flags=flags)
        return id

    def call(
        self,
        account: str | None,
        tokens: tuple[int, int],
        hold: int = USD,
        budgets: tuple[str, ...] = (),
        **said: Any,
    ) -> str:
        return self.end(self.start(account, hold, budgets), tokens, **said)

    def refuse(self, requests: int = 1) -> None:
        self._requests += 1
        said = {"outcome": "refused", "status": 401, "requests": requests, "requested_model": "m"}
        self._record({"id": f"req_{self._requests}", "time_ms": self.now, "api": "messages", **said})

    def refund(self, id: str, amount: int) -> None:
        key = f"refund:{id}:{len(self.rows['entries'])}"
        self._entry(self._start(id)["account_id"], "refund", amount, key, request_id=id)

    def rerate(self, id: str) -> None:
        """At the dearer price."""
        (record,) = [row for row in self.rows["records"] if row["id"] == id]
        more = record["input_uncached_tokens"] * 1_000
        rerate = {"request_id": id, "number": 1, "price_version": version(DEARER), "time_ms": self.now}
        rerate["markup_ppm"] = record.get("markup_ppm", 0)
        self.rows["rerates"].append(
            {**rerate, "before_nano": record["cost_nano"], "after_nano": record["cost_nano"] + more}
        )
        start = self._start(id)
        for budget, window in json.loads(start["windows"] or "[]"):
            self._spend(budget, window)["spent_nano"] += more
        made = [row for row in self.rows["entries"] if row["request_id"] == id]
        refunded = sum(row["amount_nano"] for row in made if row["kind"] == "refund")
        owed = max(0, record["cost_nano"] + more - refunded) + sum(row["amount_nano"] for row in made)
        if start["account_id"] is not None and owed:
            key = f"rerate:{id}:1"
            flags = self._short(start["account_id"], -owed)
            self._entry(start["account_id"], "adjustment", -owed, key, request_id=id, flags=flags)
        self._hour(record)["cost_nano"] += more

    def expire(self, account: str) -> None:
        """All that is due and that no open call may need."""
        lots = [lot for lot in self._lots(account) if lot["expires_ms"] <= self.now]
        over = max(0, sum(lot["remaining_nano"] for lot in lots) - self._account(account)["held_nano"])
        for lot in sorted(lots, key=lambda lot: (lot["expires_ms"], lot["seq"])):
            amount = min(lot["remaining_nano"], over)
            if amount:
                over -= amount
                key = f"expiry:{lot['id']}:{lot['remaining_nano']}"
                lot["remaining_nano"] -= amount
                self._entry(account, "expiry", -amount, key, lot=lot["id"])

    def erase(self, before: int) -> None:
        """Records and starts of calls that ended, from before a moment."""
        gone = [row for row in self.rows["records"] if row["time_ms"] < before]
        ids = {row["id"] for row in gone}
        starts = [row for row in self.rows["starts"] if row["id"] in ids]
        self.rows["records"] = [row for row in self.rows["records"] if row["id"] not in ids]
        self.rows["starts"] = [row for row in self.rows["starts"] if row["id"] not in ids]
        erasure = {"time_ms": self.now, "before_ms": before, "requests": sum(row["requests"] for row in gone)}
        self.rows["erasures"].append({**erasure, "records": len(gone), "starts": len(starts)})

    def free(self, account: str) -> int:
        row = self._account(account)
        return int(row["balance_nano"] - row["held_nano"])

    def open_calls(self) -> list[str]:
        return [row["id"] for row in self.rows["starts"] if not row["ended"]]

    def inserts(self) -> Iterator[tuple[str, list[Any]]]:
        for table, rows in {**self.rows, "usage_hours": list(self._hours.values())}.items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                yield f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())

    def stored(self, path: Path | str = ":memory:") -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        _empty().backup(connection)
        for statement, values in self.inserts():
            connection.execute(statement, values)
        return connection

    def _record(self, said: Row) -> Row:
        tokens = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "output")
        row: Row = {
            f"{name}_tokens": 0 for name in (*tokens, "reasoning", "audio_input", "audio_output", "image_input")
        }
        number = len(self.rows["records"])
        row |= {"operation": "generate", "requests": 1, "cost_nano": 0, "hold_nano": 0, "project_id": "blog"}
        row |= {"client_app": "curl/8.0", "ttfb_us": 60_000 * number, "total_us": 2_000_000 * number, **said}
        self.rows["records"].append(row)
        hour = self._hour(row)
        unknown = row.get("upstream_status") == 200 and not row.get("usage_known")
        counted: Row = {"requests": row["requests"], "usage_unknown": int(unknown), "cost_nano": row["cost_nano"]}
        counted |= {f"{name}_tokens": row[f"{name}_tokens"] for name in (*tokens, "reasoning")}
        counted["market_cost_nano"] = row.get("market_cost_nano") or 0
        counted |= _durations(row) if row["outcome"] == "success" else dict.fromkeys(_durations(row), 0)
        for name, number in counted.items():
            hour[name] = hour.get(name, 0) + number
        return row

    def _hour(self, row: Row) -> Row:
        """Where a record is counted."""
        reached = row.get("upstream_status") is not None and row["upstream_status"] // 100 != 4
        model = f"{row['provider']}/{row['upstream_model']}" if reached else ""
        names = ("key_id", "account_id", "organization_id", "provider", "public_model")
        key: Row = {"hour_ms": row["time_ms"] // HOUR * HOUR, "operation": row["operation"], "api": row["api"]}
        key |= {name: row.get(name) or "" for name in names} | {"model": model, "outcome": row["outcome"]}
        key |= {"project_id": row["project_id"], "app": "curl"}
        return self._hours.setdefault(tuple(key.values()), key)

    def _entry(self, account: str, kind: str, amount: int, key: str, **said: Any) -> Row:
        entry = {"seq": len(self.rows["entries"]) + 1, "account_id": account, "kind": kind, "amount_nano": amount}
        entry |= {"time_ms": self.now, "idempotency_key": key, "request_id": None, "lot": None, "flags": "", **said}
        self.rows["entries"].append(entry)
        self._account(account)["balance_nano"] += amount
        if amount < 0 and kind != "expiry":
            for lot in sorted(self._lots(account), key=lambda lot: (lot["expires_ms"], lot["seq"])):
                taken = min(lot["remaining_nano"], -amount)
                lot["remaining_nano"] -= taken
                amount += taken
        return entry

    def _account(self, id: str) -> Row:
        return next(row for row in self.rows["accounts"] if row["id"] == id)

    def _start(self, id: str) -> Row:
        return next(row for row in self.rows["starts"] if row["id"] == id)

    def _lots(self, account: str) -> list[Row]:
        return [row for row in self.rows["lots"] if row["account_id"] == account]

    def _left_in_lots(self, account: str) -> int:
        return sum(lot["remaining_nano"] for lot in self._lots(account))

    def _spend(self, budget: str, window: int) -> Row:
        for row in self.rows["spends"]:
            if (row["budget_id"], row["window_ms"]) == (budget, window):
                return row
        fresh = {"budget_id": budget, "window_ms": window, "spent_nano": 0, "held_nano": 0}
        self.rows["spends"].append(fresh)
        return fresh


@cache
def _empty() -> sqlite3.Connection:
    """With the newest schema, to be copied: making it takes as long as a whole test."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.executescript(";".join(schema.MIGRATIONS))
    return connection


def _durations(row: Row) -> Row:
    counted = {"timed": 1, "ttfb_us": row["ttfb_us"], "total_us": row["total_us"]}
    for name, first in (("ttfb", 131_072), ("total", 524_288)):
        band = sum(row[f"{name}_us"] >= first * 2**n for n in range(8))
        counted |= {f"{name}_{n}": int(n == band) for n in range(9)}
    return counted


def a_story() -> Story:
    """Two accounts over four days: credits that expire, an overrun into debt, an abort, refunds, a new price, calls in
    flight, and nobody's requests."""
    story = Story()
    ann, bob = story.account("acct_ann"), story.account("acct_bob")
    day = story.budget("bgt_day")
    gift = story.grant(ann, 5 * USD, lasts=2 * DAY)
    story.grant(ann, 3 * USD, lasts=DAY)
    story.top_up(ann, 10 * USD)
    story.grant(bob, USD)
    story.refuse()
    story.refuse(requests=70)
    story.now += HOUR
    story.call(ann, (100_000, 20_000), budgets=(day,))
    refunded = story.call(ann, (1_000_000, 100_000), hold=5 * USD, budgets=(day,))
    story.call(ann, (1_000, 0), outcome="aborted", status=499, usage_known=0, cost_source="estimated")
    story.call(ann, (5_000, 5_000), payer="byok", market_cost_nano=90_000_000)
    story.call(None, (7, 7), hold=0)
    story.now += HOUR
    story.refund(refunded, USD)
    story.refund(refunded, 2 * USD)
    story.rerate(refunded)
    story.call(bob, (500_000, 0), hold=USD)
    story.grant(bob, 2 * USD, lasts=DAY)
    story.now += 2 * DAY
    held = story.start(ann, USD, budgets=(day,))
    story.expire(ann)
    story.end(held)
    story.expire(ann)
    assert [row["lot"] for row in story.rows["entries"] if row["kind"] == "expiry"] == [gift, gift]
    story.start(ann, 2 * USD, budgets=(day,))
    story.adjust(bob, -USD // 2)
    story.pay_in_vain(bob)
    return story


Told = Story | sqlite3.Connection | psycopg.Connection[Any]


def audited(told: Told) -> Report:
    if isinstance(told, psycopg.Connection):
        return verify(PostgresSnapshot(told))
    return verify(SqliteSnapshot(told.stored() if isinstance(told, Story) else told))


def findings(told: Told) -> list[Finding]:
    return [finding for check in audited(told).checks for finding in check.findings]


@contextlib.contextmanager
def postgres_database(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """With a story of everything."""
    with psycopg.connect(server.url(server.create("newest"))) as connection:
        for statement, values in a_story().inserts():
            connection.execute(statement.replace("?", "%s"), values)
        connection.commit()
        yield connection
