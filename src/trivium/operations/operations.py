"""The operator's operations by name, with typed arguments and plain results, so that any face can carry them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from trivium.errors import OperationError
from trivium.operations.audit import AuditOperations
from trivium.operations.money import ID, MoneyOperations
from trivium.operations.receipts import corrected, receipt_of
from trivium.operations.retention import RetentionOperations
from trivium.operations.tokens import TokenOperations
from trivium.store.backup import back_up
from trivium.store.keys import ApiKey
from trivium.store.reports import GROUPS, RequestQuery, UsageQuery
from trivium.store.store import Store

Table = dict[str, tuple[type[msgspec.Struct], Callable[[Any], Awaitable[Any]]]]
"""Operations by name: the type of their arguments, and what carries them out."""


class CreateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    strict: bool = False
    """Calls with it are refused rather than sent on with a loss."""
    account: str | None = None
    """Whose balance pays for its calls in credits mode."""
    user: str | None = None
    project: str | None = None


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: str
    """Its id."""


class RevokeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    """Its id, or a name that only one live key has."""


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file: str
    """An absolute path, which the owner of the store can write."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Operations:
    """`perform` is the one way in. Must run where the store is owned."""

    def __init__(
        self, store: Store, more: Iterable[Table] = (), before_reading: Callable[[], None] = lambda: None
    ) -> None:
        """`more` are the operations of parts that a store alone does not have; `before_reading` hands over what is not
        with the store yet."""
        self._store = store
        self._before_reading = before_reading
        self._table: Table = {
            "keys.create": (CreateKey, self._create_key),
            "keys.list": (Nothing, self._list_keys),
            "keys.revoke": (RevokeKey, self._revoke_key),
            "usage": (UsageQuery, self._usage),
            "requests": (RequestQuery, self._requests),
            "backup": (Backup, self._backup),
            "receipt": (Receipt, self._receipt),
            **RetentionOperations(store).table,
            **MoneyOperations(store.accounts, store.clock).table,
            **TokenOperations(store.peppers).table,
            **AuditOperations(store.snapshot, self._flush).table,
        }
        for table in more:
            self._table.update(table)

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
        if query.account is not None and not await self._store.accounts.accounts(query.account):
            raise OperationError(f"There is no account {query.account!r}; `trivium accounts create` makes one.")
        for id in (query.user, query.project):
            if id is not None and not ID.fullmatch(id):
                raise OperationError("An id has 1 to 100 letters, digits and ._@- and begins with one of the first.")
        owner = {"account_id": query.account, "user_id": query.user, "project_id": query.project}
        key, text = await asyncio.to_thread(self._store.keys.create, name, strict=query.strict, **owner)
        return {**_shown(key), "key": text}

    async def _list_keys(self, _: Nothing) -> list[dict[str, Any]]:
        return [_shown(key) for key in await asyncio.to_thread(self._store.keys.list)]

    async def _revoke_key(self, query: RevokeKey) -> dict[str, Any]:
        return _shown(await asyncio.to_thread(self._store.keys.revoke, query.key))

    async def _usage(self, query: UsageQuery) -> list[dict[str, Any]]:
        for name in query.by:
            if name not in GROUPS:
                raise OperationError(f"Usage cannot be grouped by {name!r}; expected one of {', '.join(GROUPS)}.")
        await self._flush()
        return await asyncio.to_thread(self._store.usage, query)

    async def _requests(self, query: RequestQuery) -> list[dict[str, Any]]:
        await self._flush()
        return await asyncio.to_thread(self._store.requests, query)

    async def _receipt(self, query: Receipt) -> list[dict[str, Any]]:
        found = await self._requests(RequestQuery(id=query.request))
        if not found:
            raise OperationError(f"There is no request {query.request!r}.")
        version = found[0]["price_version"]
        stored = await asyncio.to_thread(self._store.prices.find, version) if version else None
        corrections = await asyncio.to_thread(self._store.prices.corrections, query.request)
        rows = corrected(receipt_of(found[0], stored.price if stored else None), corrections)
        return [msgspec.to_builtins(row) for row in rows]

    async def _backup(self, query: Backup) -> dict[str, Any]:
        file = Path(query.file)
        if not file.is_absolute():
            raise OperationError("The owner of the store works elsewhere: name the file by an absolute path.")
        await self._flush()
        return {"file": str(file), "bytes": await asyncio.to_thread(back_up, self._store.database, file)}

    async def _flush(self) -> None:
        self._before_reading()
        await self._store.ledger.writer.flush()


def _shown(key: ApiKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return shown
