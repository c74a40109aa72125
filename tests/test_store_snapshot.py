"""A SQLite file as it stood at one moment."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from support_audit import a_story
from trivium.errors import StoreUnavailable
from trivium.store.audit import verify
from trivium.store.snapshot import sqlite_snapshot


def test_who_reads_changes_nothing_and_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "whose name? is odd.db"
    writer = a_story().stored(path)
    writer.execute("PRAGMA journal_mode = WAL")
    with sqlite_snapshot(path) as snapshot:
        writer.execute("UPDATE accounts SET balance_nano = balance_nano + 1")
        assert verify(snapshot).findings == 0
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            list(snapshot.rows("DELETE FROM entries"))
    with sqlite_snapshot(path) as later:
        assert verify(later).findings == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_backup_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    writer = a_story().stored(tmp_path / "backup.db")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.close()
    tmp_path.chmod(0o500)
    with sqlite_snapshot(tmp_path / "backup.db") as snapshot:
        assert verify(snapshot).findings == 0


@pytest.mark.parametrize(
    ("name", "why"), [("empty.db", "no such table"), ("other.db", "not a database"), ("none.db", "unable to open")]
)
def test_what_has_not_our_tables_is_unavailable(tmp_path: Path, name: str, why: str) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "other.db").write_text("no database at all, however long it may be " * 10)
    with pytest.raises(StoreUnavailable) as error, sqlite_snapshot(tmp_path / name) as snapshot:
        verify(snapshot)
    assert why in (error.value.detail or "")
    assert not (tmp_path / "none.db").exists()
