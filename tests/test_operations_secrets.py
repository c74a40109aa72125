"""The operator's view of the keys that secrets are kept under."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trivium import config
from trivium.clock import SystemClock
from trivium.errors import ConfigError, OperationError, SecretUnreadable
from trivium.operations.operations import Operations
from trivium.operations.secrets import SecretOperations
from trivium.server.deps import Gateway
from trivium.store.envelopes import FILE, read_keys
from trivium.store.store import Store
from trivium.store.users import User

KEKS = [(f"v{number}", f"{number}" * 64) for number in (2, 1)]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path, SystemClock())
    await opened.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
    for number in range(3):
        await opened.secrets.add("user:ann", b"secret", "operator", vendor="openai", name=str(number), hint="")
    yield opened
    await opened.close()


async def perform(store: Store, folder: Path, name: str, *, configured: bool = False, **arguments: Any) -> Any:
    table = SecretOperations(store.secrets, folder, configured=configured).table
    return await Operations(store, [table]).perform(f"secrets.{name}", arguments)


async def test_a_new_key_is_made_and_everything_put_under_it(store: Store, tmp_path: Path) -> None:
    ((old, _),) = read_keys(tmp_path / FILE)
    done = await perform(store, tmp_path, "rotate", new=True)
    (new, _), (kept, _) = read_keys(tmp_path / FILE)
    assert (kept, done) == (old, {"version": new, "rewrapped": 3, "unreadable": 0})
    assert await perform(store, tmp_path, "status") == [
        {"version": new, "secrets": 3, "current": True, "unreadable": 0, "problem": None},
        {"version": old, "secrets": 0, "current": False, "unreadable": 0, "problem": None},
    ]
    assert [store.secrets.plain(one) for one in await store.secrets.keys("user:ann", "openai")] == [b"secret"] * 3


async def test_that_a_key_is_made_is_in_the_log_where_there_is_nothing_to_put_under_it(tmp_path: Path) -> None:
    empty = Store(tmp_path, SystemClock())
    done = await perform(empty, tmp_path, "rotate", new=True)
    (line,) = (await Operations(empty).perform("changes.list", {}))["items"]
    await empty.close()
    assert (line["action"], line["target"], line["after"]) == ("secrets.rotate", done["version"], {"new_key": True})


async def test_after_a_restart_the_file_opens_them_still(store: Store, tmp_path: Path) -> None:
    await perform(store, tmp_path, "rotate", new=True)
    await store.close()
    again = Store(tmp_path, SystemClock())
    assert [again.secrets.plain(one) for one in await again.secrets.keys("user:ann", "openai")] == [b"secret"] * 3
    await again.close()


async def test_from_the_file_to_a_configured_key_and_on_to_the_next(store: Store, tmp_path: Path) -> None:
    await store.close()
    for keys in (KEKS[1:], KEKS):
        moved = Store(tmp_path, SystemClock(), None, keys)
        done = await perform(moved, tmp_path, "rotate", configured=True)
        assert (done["version"], done["rewrapped"]) == (keys[0][0], 3)
        await moved.close()
    (tmp_path / FILE).unlink()
    alone = Store(tmp_path, SystemClock(), None, KEKS[:1])
    assert [alone.secrets.plain(one) for one in await alone.secrets.keys("user:ann", "openai")] == [b"secret"] * 3
    await alone.close()


async def test_where_keys_are_configured_none_is_made(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="The keys are configured"):
        await perform(store, tmp_path, "rotate", new=True, configured=True)


async def test_a_file_that_is_gone_is_told_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    await store.close()
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).unlink()
    without = Store(tmp_path, SystemClock())
    (one,) = await perform(without, tmp_path, "status")
    assert (one["secrets"], one["current"], "not at hand" in one["problem"]) == (3, False, True)
    await without.close()
    (tmp_path / FILE).write_text(text)
    again = Store(tmp_path, SystemClock())
    assert (await perform(again, tmp_path, "status"))[0]["problem"] is None
    await again.close()


def test_a_configured_key_of_the_wrong_length_stops_the_start_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key 'v1' is not 32 bytes in base64 or hexadecimal") as told:
        Store(tmp_path, SystemClock(), None, [("v1", "too-short")])
    assert "too-short" not in str(told.value)


LOCAL = "[local]\nenabled = false\n"


async def test_a_gateway_starts_without_a_key_that_secrets_need_and_says_so(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await store.close()
    (tmp_path / FILE).unlink()
    gateway = Gateway(config.parse(LOCAL), tmp_path, {})
    await gateway.open()
    await gateway.close()
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert re.fullmatch(
        r"The key 'local-\w+' is not at hand: put it back .*\. 3 upstream keys .* cannot be read\.", said
    )


async def test_a_gateway_with_another_key_of_the_name_starts_keeps_nothing_and_says_so(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await store.close()
    right = Store(tmp_path, SystemClock(), None, KEKS)
    await perform(right, tmp_path, "rotate", configured=True)
    await right.close()
    settings = config.parse(LOCAL + '[secrets]\nkeys = ["v2=env:A", "v1=env:B"]\n')
    gateway = Gateway(settings, tmp_path, {"A": "3" * 64, "B": KEKS[1][1]})
    await gateway.open()
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said.startswith("The key that is called 'v2' here is not the one") and said.endswith(
        " 3 upstream keys or other secrets cannot be read."
    )
    for act, arguments in (
        ("secrets.rotate", {}),
        ("byok.add", {"user": "ann", "vendor": "openai", "name": "x", "credential": {"key": "sk-0123456789"}}),
    ):
        with pytest.raises(SecretUnreadable, match=r"'v2' here is not the one .*: put that one back"):
            await gateway.operations.perform(act, arguments)
    await gateway.close()
    again = Store(tmp_path, SystemClock(), None, KEKS)
    assert [again.secrets.plain(one) for one in await again.secrets.keys("user:ann", "openai")] == [b"secret"] * 3
    await again.close()


@pytest.mark.parametrize(
    ("via", "said"),
    [
        ('nobody = "direct"', "no such vendor; expected one of anthropic"),
        ('openrouter = "vercel"', "Vercel takes no keys for this vendor"),
        ('anthropic = "vercel"', "needs a provider of the type `vercel`"),
        ('anthropic = "openrouter"', "needs a provider of the type `openrouter`"),
        ('anthropic = "other"', "expected one of direct, vercel, openrouter"),
    ],
)
def test_a_way_that_there_is_not_stops_the_start(tmp_path: Path, via: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        Gateway(config.parse(f"{LOCAL}[byok.via]\n{via}\n"), tmp_path, {})
