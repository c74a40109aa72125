"""The auditor as an operation: of the database of a gateway, and of a file."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_audit import a_story
from trivium.errors import StoreUnavailable
from trivium.operations.audit import AuditOperations, verify_file
from trivium.operations.table import OPERATOR, Arguments
from trivium.store.audit import CHECKS
from trivium.store.snapshot import sqlite_snapshot


async def verified(operations: AuditOperations, **arguments: Any) -> Any:
    op = operations.table["ledger.verify"]
    return await op.act(msgspec.convert(arguments, op.arguments), OPERATOR)


async def test_what_waits_to_be_written_is_written_before_the_auditor_reads(tmp_path: Path) -> None:
    path = tmp_path / "trivium.db"
    a_story().stored(path).execute("UPDATE accounts SET balance_nano = 7 WHERE id = 'acct_bob'")
    done: list[str] = []

    async def flush() -> None:
        a_story().stored(path.with_name("whole.db")).close()
        done.append("flush")

    def snapshot() -> Any:
        done.append(threading.current_thread().name)
        return sqlite_snapshot(path.with_name("whole.db"))

    assert (await verified(AuditOperations(snapshot, flush)))["findings"] == 0
    assert done[0] == "flush"
    assert done[1] != threading.current_thread().name
    assert verify_file(path)["findings"] == 1


def test_the_report_is_plain_and_says_all_there_is(tmp_path: Path) -> None:
    path = tmp_path / "trivium.db"
    a_story().stored(path).execute("UPDATE accounts SET balance_nano = 7 WHERE id = 'acct_bob'")
    report = verify_file(path)
    assert json.loads(json.dumps(report)) == json.loads(msgspec.json.encode(report))
    assert [check["check"] for check in report["checks"]] == [check.name for check in CHECKS]
    (balances,) = [check for check in report["checks"] if check["found"]]
    assert balances["counted"] == 2
    assert balances["findings"] == (
        {
            "check": "balances",
            "what": "the balance is not the sum of the entries",
            "where": "accounts acct_bob",
            "expected": 1_000_000_000,
            "found": 7,
        },
    )


def test_it_takes_no_arguments() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"deep": True}, Arguments)


async def test_a_database_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    async def flush() -> None: ...

    with pytest.raises(StoreUnavailable):
        await verified(AuditOperations(lambda: sqlite_snapshot(tmp_path / "none.db"), flush))
