"""bench/trust: a database that has lost something, or charged twice, does not go unnoticed."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trivium.store.migrations import migrate
from trivium.store.sqlite import SqliteDatabase

TRUST = Path(__file__).parent.parent / "bench" / "trust"
HOLD = 1_000_000


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """The programs' modules, as they import each other."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TRUST))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == TRUST:
            del sys.modules[name]


@pytest.fixture
def story(tmp_path: Path, bench: Callable[[str], Any]) -> Iterator["Story"]:
    made = Story(SqliteDatabase(tmp_path / "trivium.db"), bench)
    yield made
    made.database.close()


class Story:
    """One call, as its client, the upstream and the database know it; by default all is well."""

    def __init__(self, database: SqliteDatabase, bench: Callable[[str], Any]) -> None:
        self.database = database
        self.bench = bench
        self.charge = bench("traffic").CHARGE
        migrate(database)
        self.write("INSERT INTO accounts (id, kind, name, created_ms) VALUES ('a', 'user', 'a', 0)")

    def write(self, statement: str, *values: object) -> None:
        with self.database.transaction() as tx:
            tx.execute(statement, values)

    def keep(self, id: str = "req_1", *, name: str = "quick-1", start: bool = True, record: bool = True) -> None:
        if start:
            row = (id, HOLD, f"up/{name}")
            self.write(
                "INSERT INTO starts (id, time_ms, owner, account_id, hold_nano, api, requested_model, ended)"
                " VALUES (?, 0, 'run', 'a', ?, 'messages', ?, 1)",
                *row,
            )
        if record:
            self.write("INSERT INTO records (id, requested_model, flags) VALUES (?, ?, '')", id, f"up/{name}")

    def pay(self, amount: int, *, id: str = "req_1", key: str = "charge:req_1") -> None:
        self.write(
            "INSERT INTO entries (account_id, kind, amount_nano, time_ms, idempotency_key, request_id)"
            " VALUES ('a', 'charge', ?, 0, ?, ?)",
            *(-amount, key, id),
        )
        self.write("UPDATE accounts SET balance_nano = balance_nano - ? WHERE id = 'a'", amount)
        self.write("UPDATE records SET cost_nano = cost_nano + ?, account_id = 'a' WHERE id = ?", amount, id)

    def judged(self, name: str = "quick-1", *, killed: float | None = None, seen: bool = True, **what: Any) -> Any:
        """What the judge says of a call that was answered whole one second after it began."""
        traffic = self.bench("traffic")
        known: dict[str, Any] = {"status": 200, "request_id": "req_1", "began": 100.0, "completed": 101.0} | what
        call = traffic.Call(name, "up", "messages", stream=False, leaves=False, account="a", **known)
        requests = [SimpleNamespace(json={"model": name})] if seen else []
        upstream = SimpleNamespace(requests=requests, forget=lambda: None)
        judge = traffic.Judge(upstream, [] if killed is None else [killed])
        return judge.judge([call], self.ask)

    def books(self) -> Any:
        return self.bench("stage").books(self.ask)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return self.database.query(statement)[1]


def counts(found: Any) -> dict[str, int]:
    return {name: count for name, count in zip(found._fields, found[:5], strict=False) if count}


def test_a_call_that_was_charged_once_is_in_order(story: Story) -> None:
    story.keep()
    story.pay(story.charge)
    assert counts(story.judged()) == {}


def test_a_call_that_the_upstream_saw_without_a_start_is_lost(story: Story) -> None:
    assert counts(story.judged(status=None, request_id=None, completed=None)) == {"lost": 1}
    assert counts(story.judged(status=None, request_id=None, completed=None, seen=False)) == {}
    assert counts(story.judged("free-1", status=None, request_id=None, completed=None)) == {}


def test_an_answer_without_a_record_is_lost_unless_the_kill_came_at_once(story: Story) -> None:
    story.keep(record=False)
    assert counts(story.judged()) == {"lost": 1}
    assert counts(story.judged(killed=101.1)) == {}
    assert counts(story.judged(killed=103.0)) == {"lost": 1}


def test_an_answer_that_was_not_charged_is_a_difference_unless_it_expired_with_a_kill(story: Story) -> None:
    story.keep()
    assert counts(story.judged()) == {"charge_differences": 1}
    assert counts(story.judged(killed=101.1)) == {"charge_differences": 1}
    story.write("UPDATE records SET flags = 'expired_unknown'")
    assert counts(story.judged(killed=101.1)) == {}
    assert counts(story.judged(killed=103.0)) == {"charge_differences": 1}


def test_what_was_sent_before_a_kill_can_be_read_after_it(story: Story) -> None:
    story.keep()
    story.write("UPDATE records SET flags = 'expired_unknown'")
    assert counts(story.judged(killed=100.9)) == {}


def test_another_charge_than_the_price_and_one_beyond_the_hold_are_differences(story: Story) -> None:
    story.keep()
    story.pay(story.charge + 1)
    assert counts(story.judged()) == {"charge_differences": 1}
    story.pay(HOLD, key="charge:again")
    assert counts(story.judged(completed=None)) == {"double": 1, "charge_differences": 1}
    assert counts(story.books()) == {"double": 1, "overspend": 1}


def test_a_refusal_that_reached_the_upstream_and_another_status_are_lost(story: Story) -> None:
    story.keep()
    assert counts(story.judged(status=402)) == {"lost": 1}
    assert counts(story.judged(status=401)) == {"lost": 1}


def test_the_books_tell_what_is_open_lost_overspent_or_does_not_add_up(story: Story) -> None:
    assert counts(story.books()) == {}
    story.keep("req_2", record=False)
    assert counts(story.books()) == {"lost": 1}
    story.write("UPDATE starts SET ended = 0")
    story.write("UPDATE accounts SET held_nano = 1, balance_nano = 5")
    assert counts(story.books()) == {"open": 2, "charge_differences": 1}
    story.write("INSERT INTO budgets (id, scope, period, limit_nano, created_ms) VALUES ('b', 'key:k', 'total', 7, 0)")
    story.write("INSERT INTO spends (budget_id, window_ms, spent_nano) VALUES ('b', 0, 8)")
    assert counts(story.books())["overspend"] == 1
