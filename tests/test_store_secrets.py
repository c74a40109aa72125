"""Upstream keys in the store: who has some, in which order, under which key; rotation while they are in use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from support_store import Home, rows
from trivium.clock import SystemClock
from trivium.errors import Conflict, NotFound, OperationError, SecretUnreadable
from trivium.store import rotation
from trivium.store.envelopes import Keyring
from trivium.store.key_names import bind
from trivium.store.retention import forget_owner
from trivium.store.rotation import rotate, status
from trivium.store.secrets import Secrets, owner_of
from trivium.store.sql import Row, Writing
from trivium.store.store import Store
from trivium.store.users import User

OLD, NEW = ("v1", b"1" * 32), ("v2", b"2" * 32)
ANN = "user:ann"


@pytest.fixture
async def store(store: Store) -> Store:
    await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
    await store.users.add(User(id="bob", name="Bob", created_ms=1), "operator")
    store.secrets.ring = Keyring([OLD])
    await store.secrets.load()
    return store


@pytest.fixture
def secrets(store: Store) -> Secrets:
    return store.secrets


async def add(secrets: Secrets, name: str = "main", vendor: str = "openai", owner: str = ANN, **what: Any) -> str:
    what = {"vendor": vendor, "name": name, "hint": "cdef", **what}
    return (await secrets.add(owner, f"secret {name}".encode(), "operator", **what)).id


async def plain(secrets: Secrets, owner: str = ANN, vendor: str = "openai") -> list[bytes]:
    return [secrets.plain(sealed) for sealed in await secrets.keys(owner, vendor)]


async def test_keys_come_in_the_order_in_which_they_were_added_and_are_their_owners_alone(secrets: Secrets) -> None:
    assert secrets.vendors(ANN) == {}
    for name in ("b", "a"):
        await add(secrets, name)
    await add(secrets, "c", "google", base_url="https://example.org")
    await add(secrets, "bobs", owner="user:bob")
    assert await plain(secrets) == [b"secret b", b"secret a"]
    assert secrets.vendors(ANN) == {"openai": False, "google": True}
    assert secrets.vendors("user:bob") == {"openai": False}
    assert secrets.vendors("organization:ann") == {}


async def test_the_database_holds_neither_secret_nor_data_key(store: Store, secrets: Secrets) -> None:
    await add(secrets)
    assert "secret main" not in str(rows(store.database, "SELECT * FROM secrets"))
    changes = str(rows(store.database, "SELECT * FROM changes"))
    assert "byok.add" in changes
    assert "secret main" not in changes
    ((wrapped, sealed),) = rows(store.database, "SELECT wrapped_key, sealed FROM secrets")
    assert (len(bytes(wrapped)), len(bytes(sealed))) == (12 + 32 + 16, 12 + 11 + 16)


async def test_a_change_is_seen_by_the_next_call(secrets: Secrets) -> None:
    id = await add(secrets)
    await add(secrets, "other")
    assert await plain(secrets) == [b"secret main", b"secret other"]
    await secrets.set(ANN, id, b"another", "operator", name="new", hint="0000")
    assert await plain(secrets) == [b"another", b"secret other"]
    await secrets.order(ANN, "openai", ["other", "new"], "operator")
    assert await plain(secrets) == [b"secret other", b"another"]
    await secrets.set(ANN, "other", None, "operator", enabled=False)
    assert await plain(secrets) == [b"another"]
    await secrets.remove(ANN, "new", "operator")
    assert (await plain(secrets), secrets.vendors(ANN)) == ([], {})
    assert [secret.name for secret in await secrets.listed(ANN)] == ["other"]


async def test_each_change_has_its_line_in_the_log(store: Store, secrets: Secrets) -> None:
    id = await add(secrets)
    await secrets.set(ANN, id, None, "adm_1", name="new")
    await secrets.order(ANN, "openai", ["new"], "adm_1")
    await secrets.remove(ANN, id, "adm_1")
    lines = rows(store.database, "SELECT action, actor, target, before, after FROM changes WHERE action LIKE 'byok%'")
    assert [line[0] for line in lines] == ["byok.add", "byok.set", "byok.order", "byok.remove"]
    _, actor, target, before, after = lines[1]
    assert (actor, target) == ("adm_1", id)
    assert (json.loads(before)["name"], json.loads(after)["name"]) == ("main", "new")


async def test_what_cannot_be_done_leaves_everything_as_it_was(secrets: Secrets) -> None:
    await add(secrets, "a")
    await add(secrets, "a", "google")
    await add(secrets, "b")
    with pytest.raises(NotFound, match="There is no user 'eve'"):
        await add(secrets, owner="user:eve")
    with pytest.raises(NotFound, match="There is no organization 'ann'"):
        await add(secrets, owner="organization:ann")
    with pytest.raises(Conflict, match="There is a key 'a' for openai"):
        await add(secrets, "a")
    with pytest.raises(Conflict, match="another key 'a' for openai"):
        await secrets.set(ANN, "b", None, "operator", name="a")
    with pytest.raises(OperationError, match="2 keys have the id or name 'a'"):
        await secrets.remove(ANN, "a", "operator")
    with pytest.raises(NotFound, match="No key has"):
        await secrets.remove("user:bob", "b", "operator")
    for order in (["a"], ["a", "a"], ["a", "b", "b"]):
        with pytest.raises(OperationError, match="Name each key for openai once: a, b"):
            await secrets.order(ANN, "openai", order, "operator")
    assert [secret.name for secret in await secrets.listed(ANN, "openai")] == ["a", "b"]


def test_a_key_has_one_owner() -> None:
    assert owner_of(organization="a", user=None) == "organization:a"
    assert owner_of(organization=None, user="a") == "user:a"
    for both in ({"organization": "a", "user": "b"}, {"organization": None, "user": None}):
        with pytest.raises(OperationError, match="Name whose key"):
            owner_of(**both)


async def test_another_process_hears_of_a_change_when_it_looks(home: Home, store: Store, secrets: Secrets) -> None:
    other = Secrets(home.open(), store.ledger.writer, SystemClock(), secrets.ring)
    await other.load()
    id = await add(secrets)
    await other.refresh()
    assert await plain(other) == [b"secret main"]
    await secrets.set(ANN, id, b"changed", "operator")
    await other.refresh()
    assert await plain(other) == [b"changed"]
    await secrets.remove(ANN, id, "operator")
    await other.refresh()
    assert other.vendors(ANN) == {}


async def test_another_process_hears_of_it_when_the_user_is_erased(home: Home, store: Store, secrets: Secrets) -> None:
    other = Secrets(home.open(), store.ledger.writer, SystemClock(), secrets.ring)
    await add(secrets)
    await other.load()
    assert await plain(other) == [b"secret main"]
    await store.ledger.writer.run(lambda tx: forget_owner(tx, "ann", 1))
    await other.refresh()
    assert other.vendors(ANN) == {}
    assert await plain(other) == []


async def test_rotation_puts_everything_under_the_current_key(store: Store, secrets: Secrets) -> None:
    names = [f"key {number}" for number in range(7)]
    for name in names:
        await add(secrets, name)
    secrets.ring = Keyring([NEW, OLD])
    assert [(one.version, one.secrets, one.current) for one in await status(secrets)] == [
        ("v2", 0, True),
        ("v1", 7, False),
    ]
    done = await rotate(secrets, "operator")
    assert (done.version, done.rewrapped, done.unreadable) == ("v2", 7, 0)
    secrets.ring = Keyring([NEW])
    assert await plain(secrets) == [f"secret {name}".encode() for name in names]
    assert [(one.version, one.secrets, one.problem) for one in await status(secrets)] == [("v2", 7, None)]
    assert (await rotate(secrets, "operator")).rewrapped == 0
    assert rows(store.database, "SELECT target, after FROM changes WHERE action = 'secrets.rotate'") == [
        ("v2", '{"rewrapped":7}')
    ]


async def test_what_cannot_be_opened_is_left_alone_and_told(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    for number in range(5):
        await add(secrets, f"key {number}")
    secrets.ring = Keyring([NEW])
    await add(secrets, "readable")
    done = await rotate(secrets, "operator")
    assert (done.rewrapped, done.unreadable) == (0, 5)
    (_, lost) = await status(secrets)
    assert (lost.version, lost.secrets, lost.unreadable) == ("v1", 5, 5)
    assert "not at hand" in (lost.problem or "")
    secrets.ring = Keyring([NEW, OLD])
    assert (await rotate(secrets, "operator")).rewrapped == 5


async def test_without_a_key_nothing_is_rotated_or_added(secrets: Secrets) -> None:
    await add(secrets)
    secrets.ring = Keyring((), "because")
    with pytest.raises(SecretUnreadable, match="because"):
        await rotate(secrets, "operator")
    with pytest.raises(SecretUnreadable, match="because"):
        await add(secrets, "another")
    assert [one.problem is None for one in await status(secrets)] == [False]


async def test_every_read_succeeds_while_keys_are_rotated_and_changed(
    home: Home, store: Store, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation begins with any row in any state; a key that is replaced meanwhile stays the new one."""
    monkeypatch.setattr(rotation, "BATCH", 1)
    for number in range(30):
        await add(secrets, f"key {number}")
    secrets.ring = Keyring([NEW, OLD])
    reader = Secrets(home.open(), store.ledger.writer, SystemClock(), secrets.ring)
    await reader.load()  # the first one connects
    reads = 0
    rotating = asyncio.create_task(rotate(secrets, "operator"))
    while not rotating.done():
        await reader.load()
        assert len(await plain(reader)) == 30
        reads += 1
        if reads == 2:
            await secrets.set(ANN, "key 29", b"replaced", "operator")
        await asyncio.sleep(0)
    assert (await rotating).unreadable == 0
    secrets.ring = Keyring([NEW])
    await secrets.load()
    assert reads > 1
    assert (await plain(secrets))[29] == b"replaced"


class Meddling:
    """A transaction beside which another gateway's has replaced a key between the look and the write."""

    def __init__(self, tx: Writing, meddle: Callable[[Writing], object]) -> None:
        self._tx = tx
        self._meddle = meddle

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        found = self._tx.execute(statement, values)
        if statement.startswith("SELECT"):
            self._meddle(self._tx)
        return found

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        return self._tx.executemany(statement, rows)

    def take_turn(self) -> None:
        self._tx.take_turn()


async def test_a_key_that_another_gateway_replaces_at_that_moment_stays_replaced(
    store: Store, secrets: Secrets
) -> None:
    id = await add(secrets)
    fresh = Keyring([OLD]).seal(ANN, id, b"replaced")
    secrets.ring = Keyring([NEW, OLD])

    def replace(tx: Writing) -> None:
        tx.execute("UPDATE secrets SET wrapped_key = ?, sealed = ?", (fresh.wrapped_key, fresh.sealed))

    with store.database.transaction() as tx:
        rotation.rewrap_some(Meddling(tx, replace), secrets, secrets.ring, "", "operator")
    await secrets.load()
    assert await plain(secrets) == [b"replaced"]


WRONG = ("v2", b"x" * 32)


async def test_nothing_is_put_under_another_key_of_a_name_in_use(store: Store, secrets: Secrets) -> None:
    """What would be, the right one could not open."""
    secrets.ring = Keyring([NEW])
    await add(secrets, "new")
    secrets.ring = Keyring([OLD, NEW])
    await add(secrets, "old")
    before = rows(store.database, "SELECT * FROM secrets ORDER BY id")
    secrets.ring = Keyring([WRONG, OLD])
    for act in (
        rotate(secrets, "operator"),
        add(secrets, "another"),
        secrets.set(ANN, "old", b"replaced", "operator", hint="0000"),
    ):
        with pytest.raises(SecretUnreadable, match="No secret can be kept: The key that is called 'v2' here is not"):
            await act
    found = [(one.version, one.secrets, one.unreadable, one.problem is None) for one in await status(secrets)]
    assert found == [("v2", 1, 1, False), ("v1", 1, 0, True)]
    assert rows(store.database, "SELECT * FROM secrets ORDER BY id") == before
    secrets.ring = Keyring([NEW, OLD])
    assert (await rotate(secrets, "operator")).rewrapped == 1
    await secrets.load()
    assert await plain(secrets) == [b"secret new", b"secret old"]


async def test_a_wrong_key_is_told_where_nothing_is_under_its_name_any_more(secrets: Secrets) -> None:
    await add(secrets)
    secrets.ring = Keyring([NEW, OLD])
    await rotate(secrets, "operator")
    secrets.ring = Keyring([NEW, ("v1", b"x" * 32)])
    assert [(one.version, one.unreadable, one.problem is None) for one in await status(secrets)] == [
        ("v2", 0, True),
        ("v1", 0, False),
    ]
    secrets.ring = Keyring([("v1", b"x" * 32), NEW])
    with pytest.raises(SecretUnreadable, match="give this one a name of its own"):
        await rotate(secrets, "operator")


async def test_a_key_that_nothing_was_put_under_binds_no_name(secrets: Secrets) -> None:
    secrets.ring = Keyring([WRONG])
    assert (await rotate(secrets, "operator")).rewrapped == 0
    with pytest.raises(NotFound):
        await add(secrets, owner="user:eve")
    secrets.ring = Keyring([NEW])
    await add(secrets)
    assert await plain(secrets) == [b"secret main"]


async def test_two_gateways_with_two_keys_of_one_name_find_out(
    home: Home, store: Store, secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    other = Secrets(home.open(), store.ledger.writer, SystemClock(), Keyring([WRONG]))
    await other.load()
    secrets.ring = Keyring([NEW])
    await add(secrets)
    with pytest.raises(SecretUnreadable, match="is called 'v2' here"):
        await add(other, "others")
    looking = Secrets(home.open(), store.ledger.writer, SystemClock(), Keyring([WRONG, OLD]))
    for name in ("a", "b"):
        await looking.refresh()
        await add(secrets, name)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "The key that is called 'v2' here is not the one" in caplog.text


def test_of_two_gateways_that_use_a_name_for_the_first_time_at_once_one_is_refused(store: Store) -> None:
    def be_faster(tx: Writing) -> None:
        ring = Keyring([NEW])
        tx.execute(
            "INSERT INTO secret_keys (version, proof) VALUES (?, ?) ON CONFLICT DO NOTHING", ("v2", ring.proof("v2"))
        )

    with store.database.transaction() as tx, pytest.raises(SecretUnreadable, match="put that one back"):
        bind(Meddling(tx, be_faster), Keyring([WRONG]))


async def test_status_counts_every_secret_that_cannot_be_opened(store: Store, secrets: Secrets) -> None:
    for number in range(5):
        await add(secrets, f"key {number}")
    with store.database.transaction() as tx:
        tx.execute("UPDATE secrets SET position = position + 10, owner = 'user:bob' WHERE position > 3")
    (one,) = await status(secrets)
    assert (one.secrets, one.unreadable) == (5, 2)
    assert "or is damaged" in (one.problem or "")


async def test_a_secret_is_sealed_anew_only_where_nobody_has_changed_it_meanwhile(secrets: Secrets) -> None:
    one, two = await add(secrets), await add(secrets, "second", owner="user:bob")
    await add(secrets, "off", enabled=False)
    await add(secrets, "other", "google")
    first, second = await secrets.every(["openai", "xai"])
    assert [first.shown.id, second.shown.id] == [one, two]
    assert await secrets.reseal(first, b"fresh")
    assert await plain(secrets) == [b"fresh"]
    assert not await secrets.reseal(first, b"stale")  # it is not what it was
    await secrets.set("user:bob", two, None, "operator", enabled=False)
    assert not await secrets.reseal(second, b"late")
    await secrets.remove(ANN, one, "operator")
    assert await secrets.opened("user:bob", two) == b"secret second"
    with pytest.raises(NotFound):
        await secrets.opened(ANN, two)
