"""Forgetting, as an operator asks for it and as the gateway does it by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from support_clock import Standing
from support_store import revoke, rows
from support_wait import until
from trivium.clock import HOUR_MS
from trivium.errors import StoreUnavailable
from trivium.metering.record import Record
from trivium.operations import retention as module
from trivium.operations.operations import Operations
from trivium.operations.retention import keep_erasing
from trivium.store import retention
from trivium.store.envelopes import Keyring
from trivium.store.search import Search
from trivium.store.store import Store

DAY = 24 * HOUR_MS
NOW = 100 * DAY


@pytest.fixture
def clock() -> Standing:
    return Standing(NOW)


@pytest.fixture
def operations(store: Store) -> Operations:
    return Operations(store)


def record(id: str, days_ago: int, **fields: Any) -> Record:
    plain = Record(
        id=id, time_ms=NOW - days_ago * DAY - 1, api="chat", operation="generate", outcome="success", status=200
    )
    return msgspec.structs.replace(plain, **fields)


def ids(store: Store) -> set[str]:
    return {row["id"] for row in store.search(Search(limit=1000)).rows}


class TestKeep:
    async def test_without_apply_it_is_only_said(self, operations: Operations, store: Store) -> None:
        store.ledger.end(record("old", 90, requests=7))
        store.ledger.end(record("new", 89))
        said = await operations.perform("retention", {"keep_ms": 90 * DAY})
        assert said == {
            "before_ms": NOW - 90 * DAY,
            "records": 1,
            "requests": 7,
            "starts": 0,
            "captures": 0,
            "applied": False,
        }
        assert ids(store) == {"old", "new"}

    async def test_applied_it_goes_however_much_there_is(
        self, operations: Operations, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "SLICE", 3)
        for n in range(10):
            store.ledger.end(record(f"old {n}", 90 + n, requests=2))
        store.ledger.end(record("new", 1))
        said = await operations.perform("retention", {"keep_ms": 90 * DAY, "apply": True})
        assert said == {
            "before_ms": NOW - 90 * DAY,
            "records": 10,
            "requests": 20,
            "starts": 0,
            "captures": 0,
            "applied": True,
        }
        assert ids(store) == {"new"}
        assert rows(store.database, "SELECT records, requests FROM erasures") == [(10, 20)]
        again = await operations.perform("retention", {"keep_ms": 90 * DAY, "apply": True})
        assert (again["records"], again["requests"]) == (0, 0)

    async def test_records_that_come_meanwhile_are_kept(
        self, operations: Operations, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "SLICE", 1)
        for n in range(5):
            store.ledger.end(record(f"old {n}", 90))
        erasing = asyncio.create_task(operations.perform("retention", {"keep_ms": DAY, "apply": True}))
        for n in range(20):
            store.ledger.end(record(f"new {n}", 0))
            await asyncio.sleep(0.002)
        assert (await erasing)["records"] == 5
        await store.ledger.writer.flush()
        assert ids(store) == {f"new {n}" for n in range(20)}


class TestErase:
    async def test_a_keys_records_name_nobody(self, operations: Operations, store: Store) -> None:
        store.ledger.end(record("a", 1, key_id="key_1", client_ip="192.0.2.1", cost_nano=5))
        store.ledger.end(record("b", 1, key_id="key_2", client_ip="192.0.2.1"))
        asked = {"key": "key_1"}
        assert await operations.perform("retention.erase", asked) == {
            "records": 1,
            "captures": 0,
            "live_keys": 0,
            "applied": False,
        }
        done = await operations.perform("retention.erase", asked | {"apply": True})
        assert done == {"records": 1, "captures": 0, "live_keys": 0, "applied": True}
        kept = {row["id"]: (row["client_ip"], row["cost_nano"]) for row in store.search(Search()).rows}
        assert kept == {"a": (None, 5), "b": ("192.0.2.1", 0)}

    async def test_a_user_is_forgotten_and_the_keys_that_still_live_are_counted(
        self, operations: Operations, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "SLICE", 2)
        gone, _ = store.keys.create("annas laptop", user_id="anna")
        store.keys.create("annas phone", user_id="anna")
        revoke(store.keys, gone.id)
        for n in range(5):
            store.ledger.end(record(str(n), 1, user_id="anna", error_message="no"))
        done = await operations.perform("retention.erase", {"user": "anna", "apply": True})
        assert done == {"records": 5, "captures": 0, "live_keys": 1, "applied": True}
        assert {(row["user_id"], row["error_message"]) for row in store.search(Search()).rows} == {(None, None)}
        assert {(key.name, key.user_id) for key in store.keys.list()} == {("erased", None), ("annas phone", "anna")}

    async def test_of_a_user_nothing_is_left_that_names_or_can_act(self, operations: Operations, store: Store) -> None:
        perform, store.secrets.ring = operations.perform, Keyring([("v1", b"k" * 32)])
        await perform("users.create", {"id": "u1", "name": "Anna", "email": "anna@example.org"})
        await perform("users.create", {"id": "u11", "name": "Bert"})
        credential = (await perform("admins.create", {"name": "Annas laptop", "user": "u1"}))["credential"]
        for user in ("u1", "u11"):
            for name in ("Annas first", "Annas second"):
                told = {"name": name, "base_url": None, "region": None, "enabled": True, "hint": "6789"}
                await store.secrets.add(f"user:{user}", b"sk-123456789", "operator", vendor="anthropic", **told)
        await store.secrets.remove("user:u1", "Annas first", "operator")
        await perform("credits.grant", {"account": "u1", "usd": "1", "note": "for Annas birthday"})
        assert await store.admins.find(credential) is not None
        assert store.secrets.vendors("user:u1")
        await perform("retention.erase", {"user": "u1", "apply": True})
        assert await store.admins.find(credential) is None
        assert not store.secrets.vendors("user:u1")
        assert len(await store.secrets.listed("user:u11")) == 2
        left = [
            (table, row)
            for table in ("users", "accounts", "admins", "secrets", "entries")
            for row in store.database.query(f"SELECT * FROM {table}")[1]
            if "anna" in str(row).lower() and "u11" not in row and "user:u11" not in row
        ]
        left += [
            ("changes", row)
            for row in store.database.query("SELECT target, before, after FROM changes")[1]
            if "anna" in str(row).lower() and "user:u11" not in str(row)
        ]
        assert left == []


class TestByItself:
    async def test_the_first_look_is_at_once_and_others_follow(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_DAILY", 0.01)
        store.ledger.end(record("old", 90))
        store.ledger.end(record("new", 1))
        await store.ledger.writer.flush()
        erasing = asyncio.create_task(keep_erasing(store, 30 * DAY))
        await until(lambda: ids(store) == {"new"})
        store.ledger.end(record("late", 31))
        await store.ledger.writer.flush()
        await until(lambda: ids(store) == {"new"})
        erasing.cancel()

    @pytest.mark.parametrize("is_right", [False, True])
    async def test_a_clock_far_ahead_of_all_records_is_asked_again_first(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, is_right: bool
    ) -> None:
        asked: list[int] = []

        def now_ms() -> int:
            asked.append(0)
            return NOW + 400 * DAY if is_right or len(asked) == 1 else NOW

        monkeypatch.setattr(module, "_AGAIN", 0.01)
        store.ledger.end(record("new", 1))
        store.ledger.end(record("old", 90))
        await store.ledger.writer.flush()
        monkeypatch.setattr(store.clock, "now_ms", now_ms)
        erasing = asyncio.create_task(keep_erasing(store, 30 * DAY))
        await until(lambda: "old" not in ids(store))
        await until(lambda: len(asked) > 2)
        assert ids(store) == (set() if is_right else {"new"})
        erasing.cancel()

    async def test_a_store_that_fails_is_tried_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "_AGAIN", 0.01)
        erase, failures = retention.erase, iter(range(2))

        def fail_first(*arguments: Any) -> Any:
            if next(failures, None) is not None:
                raise StoreUnavailable("no", detail="disk full")
            return erase(*arguments)

        monkeypatch.setattr(retention, "erase", fail_first)
        store.ledger.end(record("old", 90))
        await store.ledger.writer.flush()
        erasing = asyncio.create_task(keep_erasing(store, 30 * DAY))
        await until(lambda: ids(store) == set())
        assert "old records cannot be erased: disk full" in caplog.text
        erasing.cancel()
