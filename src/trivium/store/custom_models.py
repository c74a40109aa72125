"""Custom models of organizations: who sees which is in memory, so that a call of everybody else costs a look into a
dict.

A model's key is a row of `secrets` with the model's own id, sealed as every other secret and rotated with them; it is
opened for a single call. Where several processes share the database, a counter tells within a second that something has
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trivium import ids
from trivium.clock import Clock
from trivium.errors import Conflict, NotFound, OperationError
from trivium.providers.custom import CustomModel, CustomSettings, hint_of
from trivium.store.changes import Followed, text
from trivium.store.envelopes import Envelope, Keyring, envelope_of
from trivium.store.key_names import MARK, keep, sealed
from trivium.store.secrets import GIVEN_FOR_ANOTHER
from trivium.store.sql import Database, Row, Writing
from trivium.store.writer import Writer

_MOST = 200
"""Models of one organization."""
_VENDOR = "custom"
_READ = """
    SELECT m.id, m.organization_id, m.name, m.content, m.shown_to, m.created_ms,
        s.hint, s.key_version, s.wrapped_key, s.sealed
    FROM custom_models m LEFT JOIN secrets s ON s.id = m.id
"""
_ORDER = "ORDER BY m.created_ms, m.id"
_NOTHING: Mapping[str, CustomModel] = {}


class CustomModels(Followed):
    """As `Followed` has it. `of` and `key` are for the event loop."""

    marks = ("custom_models", MARK)

    def __init__(self, database: Database, writer: Writer, clock: Clock, ring: Callable[[], Keyring]) -> None:
        """`ring` is asked each time: it is replaced where a new key is made."""
        super().__init__(database, writer, clock, lambda: None)
        self._ring = ring
        self._seen: dict[str, Mapping[str, CustomModel]] = {}
        self._envelopes: dict[str, Envelope] = {}

    def of(self, organization_id: str) -> Mapping[str, CustomModel]:
        """The models that an organization's callers see, by name: its own, then those that others show it."""
        return self._seen.get(organization_id, _NOTHING)

    def key(self, model: CustomModel) -> str | None:
        """The model's key, if it has one. Raises SecretUnreadable."""
        envelope = self._envelopes.get(model.id)
        if envelope is None:
            return None
        return self._ring().open(_owner(model.organization_id), model.id, envelope).decode()

    async def _read_all(self) -> None:
        rows = await self.database.ask(f"{_READ} {_ORDER}")
        models = [_model(row) for row in rows]
        seen: dict[str, dict[str, CustomModel]] = {}
        for model in models:
            seen.setdefault(model.organization_id, {})[model.name] = model
        for model in models:
            for organization_id in model.shown_to:
                seen.setdefault(organization_id, {}).setdefault(model.name, model)
        self._seen = dict(seen)
        self._envelopes = {row[0]: envelope_of(row[7:]) for row in rows if row[7] is not None}

    async def listed(self, organization_id: str) -> list[CustomModel]:
        """An organization's own."""
        rows = await self.database.ask(f"{_READ} WHERE m.organization_id = ? {_ORDER}", (organization_id,))
        return [_model(row) for row in rows]

    async def add(
        self, organization_id: str, name: str, settings: CustomSettings, key: str | None, actor: str
    ) -> CustomModel:
        """Raises NotFound for an organization that is not there, Conflict for a name that it has given already."""
        model = CustomModel(
            id=ids.custom_model_id(),
            organization_id=organization_id,
            name=name,
            settings=settings,
            created_ms=self.clock.now_ms(),
            hint=hint_of(key),
        )

        def act(tx: Writing) -> CustomModel:
            _check_organizations(tx, (organization_id,))
            rows = tx.execute("SELECT name FROM custom_models WHERE organization_id = ?", (organization_id,))
            if (name,) in rows:
                raise Conflict(f"{organization_id!r} has a model {name!r}.")
            if len(rows) >= _MOST:
                raise OperationError(f"{organization_id!r} has {_MOST} models, which is as many as there may be.")
            envelope = self._sealed(tx, model, key)
            tx.execute(
                "INSERT INTO custom_models (id, organization_id, name, content, created_ms) VALUES (?, ?, ?, ?, ?)",
                (model.id, organization_id, name, text(settings), model.created_ms),
            )
            _keep_key(tx, model, envelope)
            self._noted(tx, actor, "models.add", model, after=model)
            return model

        return await self.change(act)

    async def set(
        self,
        organization_id: str,
        name: str,
        actor: str,
        change: Callable[[CustomSettings], CustomSettings],
        key: str | msgspec.UnsetType | None,
    ) -> CustomModel:
        """`change` makes the new settings of the old ones. `key`: None takes it away; with another base URL it must be
        given again, or taken away. Raises NotFound, OperationError."""

        def act(tx: Writing) -> CustomModel:
            before = _found(tx, organization_id, name)
            after = msgspec.structs.replace(before, settings=change(before.settings))
            if key is msgspec.UNSET and before.hint is not None and _moves(before, after):
                raise OperationError(GIVEN_FOR_ANOTHER)
            if key is not msgspec.UNSET:
                after = msgspec.structs.replace(after, hint=hint_of(key))
                _keep_key(tx, after, self._sealed(tx, after, key))
            tx.execute("UPDATE custom_models SET content = ? WHERE id = ?", (text(after.settings), before.id))
            self._noted(tx, actor, "models.set", after, before=before, after=after)
            return after

        return await self.change(act)

    async def show(self, organization_id: str, name: str, shown_to: tuple[str, ...], actor: str) -> CustomModel:
        """To other organizations' callers, these alone. Raises NotFound."""

        def act(tx: Writing) -> CustomModel:
            before = _found(tx, organization_id, name)
            _check_organizations(tx, shown_to)
            after = msgspec.structs.replace(before, shown_to=shown_to)
            tx.execute("UPDATE custom_models SET shown_to = ? WHERE id = ?", (text(shown_to), before.id))
            self._noted(tx, actor, "models.share", after, before=before, after=after)
            return after

        return await self.change(act)

    async def remove(self, organization_id: str, name: str, actor: str) -> CustomModel:
        """With its key. Raises NotFound."""

        def act(tx: Writing) -> CustomModel:
            before = _found(tx, organization_id, name)
            tx.execute("DELETE FROM custom_models WHERE id = ?", (before.id,))
            _keep_key(tx, before, None)
            self._noted(tx, actor, "models.remove", before, before=before)
            return before

        return await self.change(act)

    def _sealed(self, tx: Writing, model: CustomModel, key: str | None) -> Envelope | None:
        """Comes before anything is written, as it may be refused."""
        if key is None:
            return None
        return sealed(tx, self._ring(), _owner(model.organization_id), model.id, key.encode())

    def _noted(self, tx: Writing, actor: str, action: str, model: CustomModel, **told: Any) -> None:
        self.note(tx, actor, action, model.name, organization_id=model.organization_id, **told)


def _moves(before: CustomModel, after: CustomModel) -> bool:
    return before.settings.base_url != after.settings.base_url


def _owner(organization_id: str) -> str:
    """Whose secret it is; nobody who has keys of their own is called so."""
    return f"custom:{organization_id}"


def _keep_key(tx: Writing, model: CustomModel, envelope: Envelope | None) -> None:
    owner = _owner(model.organization_id)
    keep(tx, envelope, owner, model.id, _VENDOR, model.name, model.hint or "", model.created_ms)


def _check_organizations(tx: Writing, organization_ids: tuple[str, ...]) -> None:
    for id in organization_ids:
        if not tx.execute("SELECT 1 FROM organizations WHERE id = ?", (id,)):
            raise NotFound(f"There is no organization {id!r}.")


def _found(tx: Writing, organization_id: str, name: str) -> CustomModel:
    rows = tx.execute(f"{_READ} WHERE m.organization_id = ? AND m.name = ?", (organization_id, name))
    if not rows:
        raise NotFound(f"{organization_id!r} has no model {name!r}; `trivium models list` shows those that it has.")
    return _model(rows[0])


def _model(row: Row) -> CustomModel:
    id, organization_id, name, content, shown_to, created_ms, hint = row[:7]
    return CustomModel(
        id=id,
        organization_id=organization_id,
        name=name,
        settings=msgspec.json.decode(content, type=CustomSettings),
        shown_to=msgspec.json.decode(shown_to, type=tuple[str, ...]),
        created_ms=created_ms,
        hint=hint,
    )
