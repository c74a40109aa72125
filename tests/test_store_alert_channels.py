"""Channels of alerts at rest and in memory, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from support_store import Home
from trivium.clock import SystemClock
from trivium.errors import Conflict, NotFound, OperationError, SecretUnreadable
from trivium.policy.alert_channels import Channel, Sealed
from trivium.store.changes import changes
from trivium.store.envelopes import FILE, Keyring, read_keys, with_new_key
from trivium.store.rotation import rotate, status
from trivium.store.store import Store

SECRET = Sealed(url="https://hooks.example.com/canary-abcdef", headers={"authorization": "canary-header"})
SAID = Channel(kind="webhook", where="https://hooks.example.com/...cdef", header_names=("authorization",))


async def opened(folder: Path, home: Home) -> Store:
    store = Store(folder, SystemClock(), home.url)
    await store.ledger.load()
    await store.alert_channels.load()
    return store


@pytest.fixture
async def store(home: Home, tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path, home)
    yield store
    await store.close()


def to(
    said: Channel, secret: Sealed | None = None
) -> Callable[[Channel, Callable[[], Sealed]], tuple[Channel, Sealed | None]]:
    return lambda _, __: (said, secret)


async def test_it_is_added_changed_and_removed(store: Store) -> None:
    kept = store.alert_channels
    loads: list[int] = []
    kept.on_load = lambda: loads.append(len(kept.all))
    added = await kept.add("desk", SAID, SECRET, "ann")
    assert list(kept.all) == [added]
    assert (added.said, kept.unsealed(added.id)) == (SAID, SECRET)
    paused = msgspec.structs.replace(SAID, enabled=False)
    assert (await kept.set("desk", to(paused), "ben")).said == paused
    assert kept.unsealed(added.id) == SECRET
    other = Sealed(url="https://hooks.example.com/canary-other")
    await kept.set("desk", to(SAID, other), "ben")
    assert kept.unsealed(added.id) == other
    await kept.set("desk", lambda _, unseal: (SAID, msgspec.structs.replace(unseal(), headers={})), "ben")
    await kept.remove("desk", "ben")
    assert (list(kept.all), await store.database.ask("SELECT id FROM secrets")) == ([], [])
    assert loads == [1, 1, 1, 1, 0]


async def test_the_log_has_who_did_what_and_no_secret(store: Store) -> None:
    await store.alert_channels.add("desk", SAID, SECRET, "ann")
    await store.alert_channels.set("desk", to(SAID, SECRET), "ben")
    await store.alert_channels.remove("desk", "cid")
    log = await changes(store.database, None, 2**62, 10)
    assert [(one["actor"], one["action"], one["target"]) for one in log] == [
        ("cid", "alerts.channels.remove", "desk"),
        ("ben", "alerts.channels.set", "desk"),
        ("ann", "alerts.channels.add", "desk"),
    ]
    assert (log[1]["before"]["where"], log[1]["after"]["secret"]) == (SAID.where, "changed")
    assert "canary" not in str(log)


async def test_secrets_are_nowhere_in_clear_and_rotated_with_all_others(store: Store, tmp_path: Path) -> None:
    added = await store.alert_channels.add("desk", SAID, SECRET, "ann")
    for table in ("alert_channels", "secrets", "changes", "settings"):
        assert "canary" not in str(await store.database.ask(f"SELECT * FROM {table}"))
    store.secrets.ring = Keyring(with_new_key(read_keys(tmp_path / FILE)))
    assert (await rotate(store.secrets, "op")).rewrapped == 1
    await store.alert_channels.refresh()
    assert store.alert_channels.unsealed(added.id) == SECRET
    assert [one.secrets for one in await status(store.secrets) if one.current] == [1]
    store.secrets.ring = Keyring((), "gone")
    with pytest.raises(SecretUnreadable):
        store.alert_channels.unsealed(added.id)
    with pytest.raises(SecretUnreadable):
        await store.alert_channels.add("other", SAID, SECRET, "ann")
    assert [one.name for one in store.alert_channels.all] == ["desk"]
    paused = msgspec.structs.replace(SAID, enabled=False)
    assert (await store.alert_channels.set("desk", to(paused), "ann")).said == paused


async def test_what_is_refused_changes_nothing(store: Store) -> None:
    kept = store.alert_channels
    await kept.add("desk", SAID, SECRET, "ann")
    with pytest.raises(Conflict, match="There is a channel 'desk'"):
        await kept.add("desk", SAID, SECRET, "ann")
    for missing in (kept.set("nobody", to(SAID), "ann"), kept.remove("nobody", "ann")):
        with pytest.raises(NotFound):
            await missing

    def refused(_: Channel, __: Callable[[], Sealed]) -> tuple[Channel, Sealed | None]:
        raise OperationError("no")

    with pytest.raises(OperationError):
        await kept.set("desk", refused, "ann")
    assert [one.said for one in kept.all] == [SAID]
    assert len(await changes(store.database, None, 2**62, 10)) == 1


async def test_a_new_secret_that_cannot_be_sealed_leaves_the_old_one(store: Store) -> None:
    added = await store.alert_channels.add("desk", SAID, SECRET, "ann")
    ring, store.secrets.ring = store.secrets.ring, Keyring((), "the key is gone")
    with pytest.raises(SecretUnreadable):
        await store.alert_channels.set("desk", to(SAID, Sealed(url="https://hooks.example.com/canary-other")), "ben")
    store.secrets.ring = ring
    await store.alert_channels.load()
    assert store.alert_channels.unsealed(added.id) == SECRET


async def test_another_process_sees_it_at_its_next_look_and_after_a_restart(
    home: Home, store: Store, tmp_path: Path
) -> None:
    if home.dialect == "sqlite":
        await store.alert_channels.add("desk", SAID, SECRET, "ann")
        await store.close()
        other = await opened(tmp_path, home)
    else:
        other = await opened(tmp_path, home)
        await store.alert_channels.add("desk", SAID, SECRET, "ann")
        assert list(other.alert_channels.all) == []
        await other.alert_channels.refresh()
        await store.alert_channels.set("desk", to(msgspec.structs.replace(SAID, timeout=3)), "ann")
        await other.alert_channels.refresh()
        assert [one.said.timeout for one in other.alert_channels.all] == [3]
        await store.alert_channels.set("desk", to(SAID), "ann")
        await other.alert_channels.refresh()
    (found,) = other.alert_channels.all
    assert (found.said, other.alert_channels.unsealed(found.id)) == (SAID, SECRET)
    await other.close()
