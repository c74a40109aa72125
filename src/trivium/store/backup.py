"""A copy of the whole store in one file, made while it is in use, and a look at such a copy.

The copy is the database as it stood at one moment, without the bodies of calls (`captures.py`): these are for some days
alone, and a copy is kept for as long as somebody likes. It holds neither the pepper nor any key's text: `pepper` in the
data folder has to be kept beside it, or the keys in it open nothing.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivium.errors import OperationError, StoreUnavailable
from trivium.store import durable, schema
from trivium.store.sql import Database


def back_up(database: Database, file: Path) -> int:
    """Writes the copy, readable by nobody else, under its name only when it is whole and on the disk. Returns its size
    in bytes. Blocks. Raises OperationError where the file is there already, cannot be written, or PostgreSQL keeps the
    store; StoreUnavailable where the store cannot be read."""
    if database.dialect != "sqlite":
        to = f"--file={shlex.quote(str(file))} --dbname={shlex.quote(database.place)}"
        command = f"pg_dump --format=custom --exclude-table-data=captures {to}"
        raise OperationError(f"The store is a PostgreSQL database, which has its own tool: {command}")
    partial = file.with_name(f"{file.name}.partial")
    try:
        _refuse_to_overwrite(file)
        with _claimed(partial):
            _copy(database.place, partial)
            size = partial.stat().st_size
            _refuse_to_overwrite(file)
            partial.rename(file)
            durable.flush(file.parent)
    except OSError as error:
        raise OperationError(f"{error.filename or file} cannot be written: {error.strerror}.") from error
    return size


def check(file: Path) -> dict[str, Any]:
    """Schema version and rows of each table of a copy that is sound. Raises OperationError for any other file."""
    if not file.is_file():
        raise OperationError(f"There is no file {file}.")
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            return _looked_at(copy, file)
    except sqlite3.Error as error:
        raise OperationError(f"{file} is no sound copy of a store: {error}.") from error


def _looked_at(copy: sqlite3.Connection, file: Path) -> dict[str, Any]:
    problems = [row[0] for row in copy.execute("PRAGMA integrity_check(10)")]
    if problems != ["ok"]:
        raise OperationError(f"{file} is damaged: {'; '.join(problems)}.")
    ((version,),) = copy.execute("PRAGMA user_version")
    if not 0 < version <= len(schema.MIGRATIONS):
        raise OperationError(f"{file} has schema {version}; this program knows 1 to {len(schema.MIGRATIONS)}.")
    tables = [row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    counts = {name: copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
    return {"schema": version, "rows": {name: counts[name] for name in tables if not name.startswith("sqlite_")}}


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise OperationError(f"{file} is there already; a backup overwrites nothing.")


@contextlib.contextmanager
def _claimed(partial: Path) -> Iterator[None]:
    """An empty file for nobody else, gone afterwards if it still has this name."""
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise OperationError(
            f"{partial} is there: another backup writes it, or one was interrupted; then remove it."
        ) from None
    try:
        yield
    finally:
        partial.unlink(missing_ok=True)


def _copy(place: str, partial: Path) -> None:
    """On a connection of its own, so that nobody waits for it. The copy is synced by us: SQLite need not do it."""
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(place).absolute().as_uri()}?mode=ro", uri=True)) as source:
            source.execute("VACUUM INTO ?", (str(partial),))
        _without_bodies(partial)
    except sqlite3.Error as error:
        raise StoreUnavailable("The backup cannot be made.", detail=str(error)) from error
    durable.flush(partial)


def _without_bodies(partial: Path) -> None:
    """The copy is not given up half-made, so that it needs no journal."""
    with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        copy.execute("PRAGMA secure_delete = ON")
        if copy.execute("DELETE FROM captures").rowcount:
            copy.execute("VACUUM")
