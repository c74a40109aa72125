"""The operation that ends a user's tokens, and its command."""

from __future__ import annotations

import pytest

from support_store import rows
from trivium.errors import NotFound
from trivium.operations.operations import Operations
from trivium.store.store import Store
from trivium.store.users import User


async def test_a_reset_tells_the_new_pepper_once_and_the_log_does_not(store: Store) -> None:
    await store.users.add(User(id="alice", name="Alice", created_ms=1), "operator")
    operations = Operations(store)
    first = await operations.perform("tokens.reset", {"user": "alice"})
    second = await operations.perform("tokens.reset", {"user": "alice"})
    assert first["user"] == "alice"
    assert len({first["pepper"], second["pepper"]}) == 2
    assert min(len(first["pepper"]), len(second["pepper"])) >= 32
    lines = rows(store.database, "SELECT * FROM changes WHERE action = 'tokens.reset'")
    assert len(lines) == 2
    assert first["pepper"] not in repr(lines)
    assert second["pepper"] not in repr(lines)


async def test_a_user_who_is_not_there_is_said(store: Store) -> None:
    with pytest.raises(NotFound, match="There is no user 'nobody'"):
        await Operations(store).perform("tokens.reset", {"user": "nobody"})
