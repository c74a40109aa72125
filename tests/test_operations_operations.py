"""The operator's operations, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support_records import record
from support_store import Home
from trivium.errors import OperationError
from trivium.operations.operations import Operations
from trivium.store.backup import check
from trivium.store.store import Store


@pytest.fixture
def operations(store: Store) -> Operations:
    return Operations(store)


class TestKeys:
    async def test_one_is_made_shown_once_listed_and_revoked(self, operations: Operations, store: Store) -> None:
        made = await operations.perform("keys.create", {"name": "  laptop "})
        shown = {"id", "name", "hint", "created_ms", "revoked_ms", "strict", "account_id", "user_id", "project_id"}
        assert set(made) == {
            *shown,
            "expires_ms",
            "scopes",
            "limits",
            "ceiling",
            "last_used_ms",
            "capture",
            "capture_until_ms",
            "key",
        }
        (listed,) = (await operations.perform("keys.list", {}))["items"]
        assert listed == {name: value for name, value in made.items() if name != "key"}
        assert listed["name"] == "laptop"
        assert await store.keys.find(made["key"])
        ended = await operations.perform("keys.revoke", {"key": made["id"]})
        assert ended["revoked_ms"]
        assert await store.keys.find(made["key"]) is None

    async def test_one_is_strict_only_where_it_was_asked_for(self, operations: Operations, store: Store) -> None:
        for asked, strict in (({}, False), ({"strict": False}, False), ({"strict": True}, True)):
            made = await operations.perform("keys.create", {"name": "k", **asked})
            assert made["strict"] is strict
            found = await store.keys.find(made["key"])
            assert found
            assert found.strict is strict

    @pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "x" * 101, "\u202e", "\udcff"])
    async def test_a_name_must_be_one(self, operations: Operations, name: str) -> None:
        with pytest.raises(OperationError, match="1 to 100 printable"):
            await operations.perform("keys.create", {"name": name})
        assert await operations.perform("keys.list", {}) == {"items": [], "next": None}

    async def test_a_name_may_be_in_any_language(self, operations: Operations) -> None:
        assert (await operations.perform("keys.create", {"name": "Füße 足"}))["name"] == "Füße 足"


class TestReports:
    async def test_they_include_what_has_not_reached_the_disk(self, store: Store) -> None:
        operations = Operations(
            store, before_reading=lambda: store.ledger.end(record("counted", outcome="refused", requests=9))
        )
        store.ledger.end(record("a"))
        assert {row["id"] for row in (await operations.perform("requests", {}))["items"]} == {"a", "counted"}
        store.ledger.end(record("b"))
        (row,) = await operations.perform("usage", {"by": ["api"]})
        assert (row["requests"], row["succeeded"], row["refused"]) == (11, 2, 9)

    async def test_usage_is_by_day_model_and_key_unless_told(self, operations: Operations, store: Store) -> None:
        store.ledger.end(record("a", key_id="k", provider="p", upstream_model="m", upstream_status=200))
        (row,) = await operations.perform("usage", {})
        assert (row["day"], row["model"], row["key"]) == ("2026-01-01", "p/m", "k")

    async def test_a_group_that_there_is_not_is_named_with_those_there_are(self, operations: Operations) -> None:
        with pytest.raises(OperationError, match="cannot be grouped by 'week'; expected one of day, hour, model"):
            await operations.perform("usage", {"by": ["day", "week"]})

    async def test_a_limit_that_is_none_does_not_fetch_everything(self, operations: Operations, store: Store) -> None:
        store.ledger.end(record("a"))
        with pytest.raises(OperationError, match="limit"):
            await operations.perform("requests", {"limit": -1})


class TestBackup:
    async def test_a_copy_holds_what_has_not_reached_the_disk(
        self, home: Home, operations: Operations, store: Store, tmp_path: Path
    ) -> None:
        store.ledger.end(record("a"))
        asking = operations.perform("backup", {"file": str(tmp_path / "copy.db")})
        if home.dialect == "postgres":
            with pytest.raises(OperationError, match="pg_dump"):
                await asking
            return
        made = await asking
        assert made["file"] == str(tmp_path / "copy.db")
        assert made["bytes"] > 0
        assert check(tmp_path / "copy.db")["rows"]["records"] == 1

    async def test_where_the_owner_works_is_nobodys_business(self, operations: Operations) -> None:
        with pytest.raises(OperationError, match="absolute path"):
            await operations.perform("backup", {"file": "copy.db"})


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("keys.delete", {}, "Unknown operation 'keys.delete'; there are keys.create, keys.list"),
        ("", {}, "Unknown operation"),
        ("keys.create", {}, "keys.create: Object missing required field `name`"),
        ("keys.create", {"name": 3}, "Expected `str`, got `int`"),
        ("keys.create", {"name": "a", "admin": True}, "unknown field `admin`"),
        ("keys.create", {"name": "a", "strict": "yes"}, "Expected `bool`, got `str`"),
        ("keys.list", {"all": True}, "unknown field `all`"),
        ("usage", {"by": "day"}, "Expected `array`"),
        ("usage", {"since_ms": "yesterday"}, "Expected `int | null`"),
        ("requests", {"limit": "all"}, "Expected `int`"),
        ("retention", {"keep_ms": 3_599_999}, "Expected `int` >= 3600000"),
        ("retention.erase", {}, "Say whose records"),
        ("retention.erase", {"key": "k", "user": "u"}, "Say whose records"),
    ],
)
async def test_what_cannot_be_done_is_said(
    operations: Operations, name: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(OperationError) as raised:
        await operations.perform(name, arguments)
    assert words in raised.value.message


@pytest.mark.parametrize(("name", "arguments"), [("usage", {"since_ms": 2**63}), ("requests", {"limit": 2**63})])
async def test_a_number_beyond_all_measure_is_an_operation_error(
    operations: Operations, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(OperationError):
        await operations.perform(name, arguments)
