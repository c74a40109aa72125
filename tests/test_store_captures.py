"""Bodies of calls in the store: apart from records, within a total, and never of whom they are forbidden."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.policy.caller import OrganizationSettings, Policy
from trivium.store import captures as module
from trivium.store.captures import (
    Bodies,
    BodyAbout,
    CaptureAbout,
    CaptureStore,
    erase_forbidden,
    erase_of,
    erase_older,
    packed,
)
from trivium.store.sql import Database, Writing

MUCH = 10**9
BODY = BodyAbout(bytes=2, kept=2, cut=False)


def bodies(id: str, time_ms: int = 1, *, text: str = "{}", **who: Any) -> Bodies:
    about = CaptureAbout(
        status=200, content_type="x", ended=True, request=BODY, sent=None, sent_as_it_came=True, answer=BODY
    )
    known = {"key_id": "key_1", "user_id": None, "organization_id": None} | who
    return Bodies(
        id=id, time_ms=time_ms, about=about, request=packed(text), sent=None, answer=packed("hi \0 \U0001f600"), **known
    )


@pytest.fixture
def captures(database: Database) -> CaptureStore:
    return CaptureStore(database, SystemClock())


def organize(database: Database, **organizations: OrganizationSettings) -> None:
    for id, settings in organizations.items():
        with database.transaction() as tx:
            values = (id, id, msgspec.json.encode(settings).decode())
            tx.execute("INSERT INTO organizations (id, name, settings, created_ms) VALUES (?, ?, ?, 1)", values)


def ids(database: Database) -> list[str]:
    return [id for (id,) in rows(database, "SELECT id FROM captures ORDER BY id")]


def test_what_is_put_is_found_and_a_second_time_changes_nothing(captures: CaptureStore) -> None:
    one = bodies("r1", user_id="jo", organization_id="acme")
    captures.put([one], MUCH)
    captures.put([bodies("r1", text="another")], MUCH)
    found = captures.find("r1")
    assert found == one
    assert (found.text("request"), found.text("sent"), found.text("answer")) == ("{}", None, "hi \0 \U0001f600")
    assert captures.about("r1") == one.about
    assert (captures.find("r2"), captures.about("r2")) == (None, None)


def test_beyond_the_total_the_oldest_go(captures: CaptureStore, database: Database) -> None:
    size = bodies("x").size
    for number in range(40):
        captures.put([bodies(f"r{number:02}", number)], 25 * size)
    left = ids(database)
    assert left[-1] == "r39"
    assert 15 <= len(left) <= 25
    assert left == [f"r{number:02}" for number in range(40 - len(left), 40)]


def test_a_bound_that_was_lowered_holds_nobody_up(
    captures: CaptureStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much goes a few at a time: a hold that comes meanwhile waits for one of these transactions. Where one
    is undone, as much is known to be there as is."""
    size, writing = bodies("x").size, database.transaction
    captures.put([bodies(f"r{number:02}", number) for number in range(60)], MUCH)
    left = [60]

    @contextlib.contextmanager
    def counted() -> Iterator[Writing]:
        with writing() as tx:
            yield tx
            if len(left) == 3:
                left.append(0)
                raise StoreUnavailable("The connection is lost.")
        left.append(len(ids(database)))

    monkeypatch.setattr(database, "transaction", counted)
    with pytest.raises(StoreUnavailable):
        captures.put([bodies("r60", 60)], 15 * size)
    captures.put([bodies("r61", 61)], 15 * size)
    assert left == [60, 50, 40, 0, 30, 20, 10, 11]


def test_none_is_written_of_an_organization_that_has_forbidden_it_meanwhile(
    captures: CaptureStore, database: Database
) -> None:
    zdr = OrganizationSettings(policy=Policy(zdr=True))
    organize(database, open=OrganizationSettings(), shut=OrganizationSettings(forbid_capture=True), zdr=zdr)
    told = [bodies(f"r-{id}", organization_id=id) for id in ("open", "shut", "zdr")] + [bodies("r")]
    assert captures.put(told, MUCH) == 2
    assert ids(database) == ["r", "r-open"]


def test_what_was_left_of_an_organization_that_forbids_it_goes(captures: CaptureStore, database: Database) -> None:
    captures.put([bodies(f"r-{id}", organization_id=id) for id in ("open", "shut", "gone")] + [bodies("r")], MUCH)
    organize(database, open=OrganizationSettings(), shut=OrganizationSettings(forbid_capture=True))
    with database.transaction() as tx:
        assert [erase_forbidden(tx, database.dialect) for _ in range(2)] == [1, 0]
    assert ids(database) == ["r", "r-gone", "r-open"]


def test_an_organization_whose_word_comes_while_bodies_are_written_is_heard(
    captures: CaptureStore, home: Home, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another gateway changes its settings, and then erases: what is written here is there by then, or never."""
    organize(database, acme=OrganizationSettings())
    forbid = msgspec.json.encode(OrganizationSettings(forbid_capture=True)).decode()
    left: list[int] = []

    def elsewhere() -> None:
        with contextlib.closing(home.open()) as other:
            with other.transaction() as tx:
                tx.execute("UPDATE organizations SET settings = ?", (forbid,))
            with other.transaction() as tx:
                left.append(erase_of(tx, "organization", "acme"))

    thread = threading.Thread(target=elsewhere)

    forbidding = module._forbidding

    def meanwhile(*asked: Any) -> set[str]:
        found = forbidding(*asked)
        thread.start()
        thread.join(0.3)
        return found

    monkeypatch.setattr(module, "_forbidding", meanwhile)
    captures.put([bodies("r1", organization_id="acme")], MUCH)
    thread.join(10)
    assert (left, ids(database)) == ([1], [])


def test_they_go_by_age_and_by_whose_they_are(captures: CaptureStore, database: Database) -> None:
    captures.put([bodies(f"r{n}", n, key_id=f"k{n}", user_id=f"u{n}", organization_id=f"o{n}") for n in range(5)], MUCH)
    assert (captures.older(2), captures.how_many("user", "u3"), captures.how_many("key", "none")) == (2, 1, 0)
    with database.transaction() as tx:
        assert erase_older(tx, 2) == 2
        assert [erase_of(tx, *of) for of in (("key", "k2"), ("user", "u3"), ("organization", "o9"))] == [1, 1, 0]
    assert ids(database) == ["r4"]


class TestDisk:
    @pytest.fixture
    def dialect(self) -> str:
        return "sqlite"

    def test_what_little_room_the_disk_has_is_the_ledgers(
        self, captures: CaptureStore, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=module.SPARE - 1))
        with pytest.raises(StoreUnavailable):
            captures.put([bodies("r1")], MUCH)
        assert ids(database) == []
