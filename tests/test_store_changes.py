"""The log of who changed what."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support_store import rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, OperationError, StoreUnavailable
from trivium.store.changes import Change, Changing, changes, note
from trivium.store.ledger import Ledger
from trivium.store.sql import Database, Writing


class Things(Changing):
    """What is changed here is the log itself."""


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
async def things(database: Database, heard: list[str]) -> AsyncIterator[Things]:
    ledger = Ledger(database, SystemClock(), "run_1")
    yield Things(database, ledger.writer, SystemClock(), lambda: heard.append("changed"))
    await ledger.writer.close()


def line(seq: int, organization: str | None = None) -> Change:
    return Change(time_ms=seq, actor="op", action="a.b", target=str(seq), organization_id=organization, after={"n": 1})


async def test_the_newest_come_first_and_an_organization_sees_its_own(database: Database) -> None:
    with database.transaction() as tx:
        for seq, organization in enumerate(("acme", "blue", None, "acme"), 1):
            note(tx, line(seq, organization))
    everything = await changes(database, None, 2**62, 10)
    assert [told["target"] for told in everything] == ["4", "3", "2", "1"]
    assert [told["target"] for told in await changes(database, "acme", 2**62, 10)] == ["4", "1"]
    assert [told["target"] for told in await changes(database, "acme", everything[0]["seq"], 10)] == ["1"]
    assert [told["target"] for told in await changes(database, None, 2**62, 1)] == ["4"]
    assert (everything[0]["before"], everything[0]["after"]) == (None, {"n": 1})


async def test_a_refusal_writes_nothing_and_memory_is_let_go_all_the_same(things: Things, heard: list[str]) -> None:
    def refuse(_: Writing) -> None:
        raise OperationError("no")

    with pytest.raises(OperationError, match="no"):
        await things.change(refuse)
    assert heard == ["changed"]
    assert rows(things.database, "SELECT 1 FROM changes") == []


async def test_a_change_and_its_line_are_one(things: Things, heard: list[str]) -> None:
    def act(tx: Writing) -> str:
        things.open_account(tx, "acme", "organization", "Acme")
        things.note(tx, "adm", "orgs.create", "acme", organization_id="acme", after={"name": "Acme"})
        return "done"

    assert await things.change(act) == "done"
    assert heard == ["changed"]
    (told,) = await changes(things.database, "acme", 2**62, 1)
    assert (told["actor"], told["action"], told["after"]) == ("adm", "orgs.create", {"name": "Acme"})
    assert rows(things.database, "SELECT kind FROM accounts") == [("organization",)]

    def half(tx: Writing) -> None:
        things.note(tx, "adm", "x", "y")
        tx.execute("INSERT INTO blocked_domains (domain, created_ms) VALUES (NULL, NULL)")

    with pytest.raises(Conflict):
        await things.change(half)
    assert len(rows(things.database, "SELECT 1 FROM changes")) == 1


async def test_a_store_that_fails_is_said_to(things: Things) -> None:
    with things.database.transaction() as tx:
        tx.execute("ALTER TABLE changes RENAME TO gone")
    with pytest.raises(StoreUnavailable):
        await changes(things.database, None, 2**62, 1)
