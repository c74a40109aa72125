"""What is done about operators' credentials for the admin API. `table` is for `Operations`; all is the house's."""

from __future__ import annotations

from trivium.errors import OperationError
from trivium.operations.table import Actor, Arguments, ListArguments, Listed, Moment, Op, Table, listed, named
from trivium.policy.caller import Id
from trivium.store.admins import Admin, NewAdmin
from trivium.store.store import Store


class CreateAdmin(Arguments, frozen=True, kw_only=True):
    name: str
    """What or whom it is for."""
    user: Id | None = None
    """Whose roles it has; left out: it is the house's, for everything."""
    expires_ms: Moment | None = None


class OneAdmin(Arguments, frozen=True, kw_only=True):
    admin: Id


class AdminOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.table: Table = {
            "admins.create": Op(arguments=CreateAdmin, result=NewAdmin, act=self._create, changes=True),
            "admins.list": Op(arguments=ListArguments, result=Listed[Admin], act=self._list),
            "admins.revoke": Op(arguments=OneAdmin, result=Admin, act=self._revoke, changes=True),
        }

    async def _create(self, query: CreateAdmin, actor: Actor) -> NewAdmin:
        name = named(query.name, "A credential")
        if query.expires_ms is not None and query.expires_ms <= self._store.clock.now_ms():
            raise OperationError("The credential would have expired already.")
        return await self._store.admins.add(name, query.user, query.expires_ms, actor.id)

    async def _list(self, query: ListArguments, _: Actor) -> Listed[Admin]:
        return listed(await self._store.admins.page(query.page()), query, lambda admin: admin.id)

    async def _revoke(self, query: OneAdmin, actor: Actor) -> Admin:
        return await self._store.admins.revoke(query.admin, actor.id)
