"""The operator's operations by name, with typed arguments and plain results, so that any face can carry them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trivium.errors import OperationError
from trivium.store.keys import ApiKey
from trivium.store.reports import GROUPS, RequestQuery, UsageQuery
from trivium.store.store import Store


class CreateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    strict: bool = False
    """Calls with it are refused rather than sent on with a loss."""


class RevokeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    """Its id, or a name that only one live key has."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Operations:
    """`perform` is the one way in. Must run where the store is owned."""

    def __init__(self, store: Store, before_reading: Callable[[], None] = lambda: None) -> None:
        """`before_reading` hands over what is not with the store yet."""
        self._store = store
        self._before_reading = before_reading
        self._table: dict[str, tuple[type[msgspec.Struct], Callable[[Any], Awaitable[Any]]]] = {
            "keys.create": (CreateKey, self._create_key),
            "keys.list": (Nothing, self._list_keys),
            "keys.revoke": (RevokeKey, self._revoke_key),
            "usage": (UsageQuery, self._usage),
            "requests": (RequestQuery, self._requests),
        }

    async def perform(self, name: str, arguments: dict[str, Any]) -> Any:
        """Raises OperationError for an unknown name or arguments that do not fit, and what the operation raises."""
        if name not in self._table:
            raise OperationError(f"Unknown operation {name!r}; there are {', '.join(self._table)}.")
        kind, operation = self._table[name]
        try:
            query = msgspec.convert(arguments, kind)
        except msgspec.ValidationError as error:
            raise OperationError(f"{name}: {error}") from None
        return await operation(query)

    async def _create_key(self, query: CreateKey) -> dict[str, Any]:
        name = query.name.strip()
        if not name or len(name) > 100 or not name.isprintable():
            raise OperationError("A key needs a name of 1 to 100 printable characters.")
        key, text = self._store.keys.create(name, strict=query.strict)
        return {**_shown(key), "key": text}

    async def _list_keys(self, _: Nothing) -> list[dict[str, Any]]:
        return [_shown(key) for key in self._store.keys.list()]

    async def _revoke_key(self, query: RevokeKey) -> dict[str, Any]:
        return _shown(self._store.keys.revoke(query.key))

    async def _usage(self, query: UsageQuery) -> list[dict[str, Any]]:
        for name in query.by:
            if name not in GROUPS:
                raise OperationError(f"Usage cannot be grouped by {name!r}; expected one of {', '.join(GROUPS)}.")
        await self._flush()
        return self._store.usage(query)

    async def _requests(self, query: RequestQuery) -> list[dict[str, Any]]:
        await self._flush()
        return self._store.requests(query)

    async def _flush(self) -> None:
        self._before_reading()
        await self._store.records.flush()


def _shown(key: ApiKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return shown
