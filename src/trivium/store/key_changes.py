"""What is changed about API keys: made, set, given a new text, revoked; each with its line in the log.

A key of an organization belongs to it, or to one of its members; a key of a user's own is paid from the user's account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import Conflict, NotFound, OperationError
from trivium.policy.caller import Role
from trivium.policy.ceiling import FIELDS, within_ceiling
from trivium.policy.spending import Budget
from trivium.store.budgets import put_budget
from trivium.store.changes import Changing, Page
from trivium.store.keys import COLUMNS, ApiKey, KeyStore, kept, key_of
from trivium.store.sql import Database, Row, Writing
from trivium.store.whose import Whose, keys
from trivium.store.writer import Writer

_SET = (
    *("name", "strict", "project_id", "expires_ms", "scopes", "limits", "ceiling"),
    *("capture", "capture_until_ms"),
)


class KeyChanges(Changing):
    """As `Changing` has it. `whose` says among which keys is looked."""

    def __init__(
        self, database: Database, writer: Writer, clock: Clock, on_change: Callable[[], None], keys: KeyStore
    ) -> None:
        super().__init__(database, writer, clock, on_change)
        self._keys = keys

    async def create(self, text: str, budget: Budget | None, actor: str, *, house: bool = True, **what: Any) -> ApiKey:
        """A new key with this text; `what` are fields of `ApiKey`. The scope of a budget for it is filled in here. What
        the house says of limits and scopes others can lower."""
        key = ApiKey(id=ids.key_id(), hint=text[-4:], created_ms=self.clock.now_ms(), **what)
        if house:
            key = _with_ceiling(key, what)

        def act(tx: Writing) -> ApiKey:
            placed = _placed(tx, key)
            self._keys.insert(tx, text, placed)
            self.note(tx, actor, "keys.create", key.id, organization_id=placed.account_id, after=placed)
            _put(tx, placed, budget, actor, house=house)
            return placed

        return await self.change(act)

    async def page(self, page: Page, whose: Whose) -> list[ApiKey]:
        """Keys, revoked ones too, behind an id."""
        where, values = keys(whose)
        rows = await self.database.ask(
            f"SELECT {COLUMNS} FROM keys WHERE id > ? AND {where} ORDER BY id LIMIT ?",
            [page.after, *values, page.limit],
        )
        return [key_of(row) for row in rows]

    async def get(self, wanted: str, whose: Whose) -> ApiKey:
        """By its id, revoked or not, or by a name that only one live key has. Raises NotFound, Conflict."""
        where, values = keys(whose)
        rows = await self.database.ask(
            f"SELECT {COLUMNS} FROM keys WHERE (id = ? OR (name = ? AND revoked_ms IS NULL)) AND {where}",
            [wanted, wanted, *values],
        )
        return _meant(rows, wanted)

    async def set(
        self, wanted: str, whose: Whose, budget: Budget | None, actor: str, *, house: bool = True, **fields: Any
    ) -> ApiKey:
        """Sets fields of a live key."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> ApiKey:
            before = _live(tx, wanted, whose)
            after = _captured(msgspec.structs.replace(before, **fields), before, fields, now)
            _check_project(tx, after)
            if house:
                after = _with_ceiling(after, fields)
            elif not FIELDS.isdisjoint(fields):
                within_ceiling(after, before.ceiling)
            _put(tx, after, budget, actor, house=house)  # which may refuse, and must before anything is written
            sets = ", ".join(f"{name} = ?" for name in _SET)
            values = [kept(getattr(after, name)) for name in _SET]
            tx.execute(f"UPDATE keys SET {sets} WHERE id = ?", [*values, after.id])
            if after != before:
                owner = after.account_id
                self.note(tx, actor, "keys.set", after.id, organization_id=owner, before=before, after=after)
            return after

        return await self.change(act)

    async def rotate(self, wanted: str, whose: Whose, text: str, overlap_ms: int, actor: str) -> ApiKey:
        """Gives a live key a new text; the one that it had is good for a while yet, those before no more."""
        now = self.clock.now_ms()

        def act(tx: Writing) -> ApiKey:
            before = _live(tx, wanted, whose)
            after = msgspec.structs.replace(before, hint=text[-4:])
            self._keys.retire(tx, before.id, now + overlap_ms, now)
            self._keys.give(tx, before.id, text)
            told = {"before": {"hint": before.hint}, "after": {"hint": after.hint, "old_until_ms": now + overlap_ms}}
            self.note(tx, actor, "keys.rotate", after.id, organization_id=after.account_id, **told)
            return after

        return await self.change(act)

    async def revoke(self, wanted: str, whose: Whose, actor: str) -> ApiKey:
        now = self.clock.now_ms()

        def act(tx: Writing) -> ApiKey:
            before = _live(tx, wanted, whose)
            after = msgspec.structs.replace(before, revoked_ms=now)
            tx.execute("UPDATE keys SET revoked_ms = ? WHERE id = ?", (now, after.id))
            told = {"before": {"revoked_ms": None}, "after": {"revoked_ms": now}}
            self.note(tx, actor, "keys.revoke", after.id, organization_id=after.account_id, **told)
            return after

        return await self.change(act)


def _live(tx: Writing, wanted: str, whose: Whose) -> ApiKey:
    """By its id, or by a name that only one live key has. Raises NotFound, Conflict."""
    where, values = keys(whose)
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM keys WHERE revoked_ms IS NULL AND (id = ? OR name = ?) AND {where} ORDER BY id",
        [wanted, wanted, *values],
    )
    return _meant(rows, wanted)


def _meant(rows: list[Row], wanted: str) -> ApiKey:
    """A key with this id before those that are named so."""
    live = [key_of(row) for row in rows]
    found = [key for key in live if key.id == wanted] or live
    if not found:
        raise NotFound(f"No live key has the id or name {wanted!r}; `trivium keys list` shows them.")
    if len(found) > 1:
        raise Conflict(f"{len(found)} live keys have the id or name {wanted!r}; `trivium keys list` shows them.")
    return found[0]


def _placed(tx: Writing, key: ApiKey) -> ApiKey:
    """With its account, which is there. Raises OperationError."""
    account_id, user_id = key.account_id, key.user_id
    if user_id is not None and not tx.execute("SELECT 1 FROM users WHERE id = ?", (user_id,)):
        raise NotFound(f"There is no user {user_id!r}; `trivium users create --name ... --id {user_id}` makes one.")
    if account_id is None and user_id is not None:
        key = msgspec.structs.replace(key, account_id=user_id)
    elif account_id is not None and tx.execute("SELECT 1 FROM organizations WHERE id = ?", (account_id,)):
        _check_member(tx, account_id, user_id)
    elif account_id is not None and not tx.execute("SELECT 1 FROM accounts WHERE id = ?", (account_id,)):
        raise NotFound(f"There is no account {account_id!r}; `trivium accounts create` makes one.")
    _check_project(tx, key)
    return key


def _check_member(tx: Writing, organization_id: str, user_id: str | None) -> None:
    if user_id is None:
        return
    rows = tx.execute(
        "SELECT role, accepted_ms FROM memberships WHERE organization_id = ? AND user_id = ?",
        (organization_id, user_id),
    )
    if not rows:
        raise OperationError(f"{user_id!r} is no member of {organization_id!r}.")
    if rows[0][1] is None:
        raise OperationError(f"{user_id!r} is invited to {organization_id!r}, and no member before that is accepted.")
    if Role(rows[0][0]) is Role.BILLING:
        raise OperationError(f"{user_id!r} is a member of {organization_id!r} for billing, who may spend nothing.")


def _check_project(tx: Writing, key: ApiKey) -> None:
    """An organization's key is for a project of its own. What other keys are for is a word of the house's, which says
    nothing of any organization's project."""
    if key.project_id is None or not tx.execute("SELECT 1 FROM organizations WHERE id = ?", (key.account_id or "",)):
        return
    if not tx.execute("SELECT 1 FROM projects WHERE organization_id = ? AND id = ?", (key.account_id, key.project_id)):
        raise NotFound(f"{key.account_id!r} has no project {key.project_id!r}.")


def _captured(key: ApiKey, before: ApiKey, said: dict[str, Any], now_ms: int) -> ApiKey:
    """With an end of the capture that goes with it: an end of before holds no more where it is switched off, or on
    again when that end is past. Raises OperationError."""
    if said.get("capture_until_ms") is not None and not key.capture:
        raise OperationError("There is no capture that could end: switch it on.")
    past = before.capture_until_ms is not None and before.capture_until_ms <= now_ms
    if not key.capture or (said.get("capture") and past and "capture_until_ms" not in said):
        return msgspec.structs.replace(key, capture_until_ms=None)
    return key


def _with_ceiling(key: ApiKey, said: dict[str, Any]) -> ApiKey:
    """After the house has said something of it."""
    ceiling = msgspec.structs.replace(key.ceiling, **{name: said[name] for name in FIELDS & said.keys()})
    return msgspec.structs.replace(key, ceiling=ceiling)


def _put(tx: Writing, key: ApiKey, budget: Budget | None, actor: str, *, house: bool) -> None:
    if budget is not None:
        put_budget(tx, msgspec.structs.replace(budget, scope=f"key:{key.id}"), actor, house=house)
