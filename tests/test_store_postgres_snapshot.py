"""A PostgreSQL database as it stood at one moment."""

from __future__ import annotations

import pytest

from support_audit import postgres_database
from support_store import PostgresServer
from trivium.errors import StoreUnavailable
from trivium.store.audit import verify
from trivium.store.postgres_snapshot import postgres_snapshot


def test_it_is_read_as_it_stood_at_one_moment_and_cannot_be_changed(postgres: PostgresServer) -> None:
    with postgres_database(postgres) as writer, postgres_snapshot(writer.info.dsn) as snapshot:
        assert verify(snapshot).findings == 0
        writer.execute("UPDATE accounts SET balance_nano = balance_nano + 1")
        writer.commit()
        with pytest.raises(StoreUnavailable, match="cannot be read") as error:
            list(snapshot.rows("SELECT nextval('entries_seq_seq')"))
        assert "read-only" in (error.value.detail or "")
        assert verify(snapshot).findings == 0
        with postgres_snapshot(writer.info.dsn) as later:
            assert verify(later).findings == 2


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read"), postgres_snapshot("postgresql:///x?host=/nowhere"):
        pass
