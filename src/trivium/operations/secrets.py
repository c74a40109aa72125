"""The keys under which secrets are kept: which are in use, and putting everything under the current one. `table` is for
`Operations`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trivium.errors import OperationError
from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.store.envelopes import FILE, Keyring, read_keys, with_new_key, write_keys
from trivium.store.rotation import Rotated, Status, rotate, status
from trivium.store.secrets import Secrets
from trivium.store.sql import Writing


class Rotate(Arguments, frozen=True, kw_only=True):
    new: bool = False
    """Under a new key, which is made in the data folder's file; without it under the first that is configured."""


class SecretOperations:
    """Must run where the store is owned."""

    def __init__(self, secrets: Secrets, folder: Path, *, configured: bool) -> None:
        """`configured`: keys come from the configuration, and the file is only for what is older."""
        self._secrets = secrets
        self._file = folder / FILE
        self._configured = configured
        self._rotating = asyncio.Lock()
        self.table: Table = {
            "secrets.rotate": Op(arguments=Rotate, result=Rotated, act=self.rotate, changes=True),
            "secrets.status": Op(arguments=Arguments, result=list[Status], act=self.status),
        }

    async def rotate(self, query: Rotate, actor: Actor) -> Rotated:
        """Goes on with one that was cut off. Raises OperationError, SecretUnreadable, StoreUnavailable."""
        async with self._rotating:
            if query.new:
                await asyncio.to_thread(self._make_key)
                await self._secrets.change(lambda tx: self._note_key(tx, actor))
            return await rotate(self._secrets, actor.id)

    async def status(self, _: Arguments, __: Actor) -> list[Status]:
        return await status(self._secrets)

    def _note_key(self, tx: Writing, actor: Actor) -> None:
        """Also where no secret is there yet that could be put under it."""
        self._secrets.note(tx, actor.id, "secrets.rotate", self._secrets.ring.current, after={"new_key": True})

    def _make_key(self) -> None:
        """The old ones stay in the file: whatever is not yet under the new one needs them, and so do backups."""
        if self._configured:
            raise OperationError(
                "The keys are configured: put a new one first in `[secrets] keys`, start again, and rotate then."
            )
        if self._secrets.database.shared:
            raise OperationError(
                "Other gateways of this database would not have the new key: configure `[secrets] keys` on all of them."
            )
        keys = with_new_key(read_keys(self._file))
        write_keys(self._file, keys)
        self._secrets.ring = Keyring(keys)
