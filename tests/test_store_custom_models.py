"""Custom models at rest and in memory, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from support_store import Home
from trivium.clock import SystemClock
from trivium.errors import Conflict, NotFound, OperationError, SecretUnreadable
from trivium.providers.custom import CustomSettings
from trivium.store.changes import changes
from trivium.store.envelopes import FILE, Keyring, read_keys, with_new_key
from trivium.store.organizations import OrganizationRow
from trivium.store.rotation import rotate
from trivium.store.store import Store

KEY = "server-key-canary-0123"
SETTINGS = CustomSettings(base_url="https://llm.example.com/v1", extra_body={"seed": 1})


async def opened(folder: Path, home: Home) -> Store:
    store = Store(folder, SystemClock(), home.url)
    await store.ledger.load()
    await store.custom_models.load()
    return store


@pytest.fixture
async def store(home: Home, tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path, home)
    for id in ("acme", "blue"):
        row = OrganizationRow(id=id, name=id, created_ms=1)
        await store.organizations.add(row, None, "operator")
    yield store
    await store.close()


async def test_a_model_is_seen_from_the_moment_it_is_there(store: Store) -> None:
    models = store.custom_models
    assert dict(models.of("acme")) == {}
    added = await models.add("acme", "llama", SETTINGS, KEY, "operator")
    assert (added.settings, added.hint, models.key(added)) == (SETTINGS, "0123", KEY)
    assert dict(models.of("acme")) == {"llama": added}
    assert await models.listed("acme") == [added]
    assert dict(models.of("blue")) == {} and await models.listed("blue") == []


async def test_it_is_changed_shown_and_removed(store: Store) -> None:
    models = store.custom_models
    await models.add("acme", "llama", SETTINGS, KEY, "operator")
    moved = await models.set(
        "acme", "llama", "operator", lambda old: msgspec.structs.replace(old, context=5), msgspec.UNSET
    )
    assert (moved.settings.context, moved.settings.base_url, models.key(moved)) == (5, SETTINGS.base_url, KEY)
    changed = await models.set("acme", "llama", "operator", lambda old: old, "another-key-4567")
    assert (changed.hint, models.key(changed)) == ("4567", "another-key-4567")
    await models.show("acme", "llama", ("blue",), "operator")
    assert models.of("blue")["llama"].organization_id == "acme"
    assert await models.listed("blue") == []
    await models.remove("acme", "llama", "operator")
    assert dict(models.of("acme")) == dict(models.of("blue")) == {}
    assert not await store.database.ask("SELECT id FROM secrets")


async def test_a_key_is_sent_to_no_other_server_than_it_was_given_for(store: Store) -> None:
    models = store.custom_models
    await models.add("acme", "llama", SETTINGS, KEY, "operator")

    def away(old: CustomSettings) -> CustomSettings:
        return msgspec.structs.replace(old, base_url="https://another.example.com/v1")

    with pytest.raises(OperationError, match="give it again with the new URL"):
        await models.set("acme", "llama", "ben", away, msgspec.UNSET)
    assert models.of("acme")["llama"].settings == SETTINGS
    for key in ("another-key-4567", None):
        moved = await models.set("acme", "llama", "ben", away, key)
        assert (moved.settings.base_url, models.key(moved)) == ("https://another.example.com/v1", key)
    back = await models.set("acme", "llama", "ben", lambda _: SETTINGS, msgspec.UNSET)
    assert back.settings == SETTINGS, "without a key there is nothing to keep"


async def test_what_is_not_there_is_said(store: Store) -> None:
    models = store.custom_models
    await models.add("acme", "llama", SETTINGS, None, "operator")
    with pytest.raises(Conflict):
        await models.add("acme", "llama", SETTINGS, None, "operator")
    with pytest.raises(NotFound):
        await models.add("nobody", "llama", SETTINGS, None, "operator")
    with pytest.raises(NotFound):
        await models.show("acme", "llama", ("blue", "nobody"), "operator")
    for name in ("other", "LLAMA"):
        with pytest.raises(NotFound):
            await models.set("acme", name, "operator", lambda old: old, None)
        with pytest.raises(NotFound):
            await models.remove("acme", name, "operator")
    with pytest.raises(NotFound):
        await models.remove("blue", "llama", "operator")
    assert list(models.of("acme")) == ["llama"]


async def test_every_change_is_in_the_log_without_the_key(store: Store) -> None:
    models = store.custom_models
    await models.add("acme", "llama", SETTINGS, KEY, "ann")
    await models.set("acme", "llama", "ben", lambda old: old, "another-key-4567")
    await models.show("acme", "llama", ("blue",), "cid")
    await models.remove("acme", "llama", "dan")
    log = await changes(store.database, "acme", 2**53, 4)
    assert [(line["action"], line["actor"], line["target"]) for line in reversed(log)] == [
        ("models.add", "ann", "llama"),
        ("models.set", "ben", "llama"),
        ("models.share", "cid", "llama"),
        ("models.remove", "dan", "llama"),
    ]
    assert KEY not in str(log) and "another-key" not in str(log)


async def test_keys_are_rotated_with_all_other_secrets(store: Store, tmp_path: Path) -> None:
    models = store.custom_models
    added = await models.add("acme", "llama", SETTINGS, KEY, "operator")
    keys = with_new_key(read_keys(tmp_path / FILE))
    store.secrets.ring = Keyring(keys)
    assert (await rotate(store.secrets, "operator")).rewrapped == 1
    assert models.key(added) == KEY  # as memory has it, under the old one
    await models.load()
    store.secrets.ring = Keyring(keys[:1])
    assert models.key(added) == KEY


async def test_nothing_is_sealed_under_another_key_of_the_name(store: Store) -> None:
    models = store.custom_models
    store.secrets.ring = Keyring([("v1", b"1" * 32)])
    added = await models.add("acme", "llama", SETTINGS, KEY, "operator")
    store.secrets.ring = Keyring([("v1", b"x" * 32)])
    with pytest.raises(SecretUnreadable, match="put that one back"):
        await models.add("acme", "other", SETTINGS, KEY, "operator")
    with pytest.raises(SecretUnreadable, match="put that one back"):
        await models.set("acme", "llama", "operator", lambda old: msgspec.structs.replace(old, context=5), "another")
    store.secrets.ring = Keyring([("v1", b"1" * 32)])
    assert await models.listed("acme") == [added]
    assert models.key(added) == KEY


async def test_a_key_opens_for_its_own_model_alone(store: Store) -> None:
    models = store.custom_models
    one = await models.add("acme", "one", SETTINGS, KEY, "operator")
    two = await models.add("acme", "two", SETTINGS, "another-key-4567", "operator")
    models._envelopes[one.id] = models._envelopes[two.id]
    with pytest.raises(SecretUnreadable):
        models.key(one)


async def test_others_of_the_same_database_hear_of_it(store: Store, home: Home, tmp_path: Path) -> None:
    if home.url is None:
        return  # a file has one owner
    other = await opened(tmp_path, home)
    added = await store.custom_models.add("acme", "llama", SETTINGS, KEY, "operator")
    assert dict(other.custom_models.of("acme")) == {}
    await other.custom_models.refresh()
    assert dict(other.custom_models.of("acme")) == {"llama": added}
    assert other.custom_models.key(added) == KEY
    await store.custom_models.remove("acme", "llama", "operator")
    await other.custom_models.refresh()
    assert dict(other.custom_models.of("acme")) == {}
    await other.close()
