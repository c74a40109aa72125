"""The pepper: made once, kept for oneself, and known again by the database that it belongs to."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support_store import Home, caller
from trivium.clock import SystemClock
from trivium.errors import StoreUnavailable
from trivium.store.pepper import pepper_of, read_pepper
from trivium.store.store import Store


class TestPepper:
    def test_it_is_made_once_for_nobody_else_to_read(self, tmp_path: Path) -> None:
        pepper = read_pepper(tmp_path)
        assert len(pepper) == 32
        assert read_pepper(tmp_path) == pepper
        assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600

    def test_two_installations_have_two(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        assert read_pepper(tmp_path / "a") != read_pepper(tmp_path / "b")

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_a_damaged_one_stops_the_start_rather_than_lock_everyone_out(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "pepper").write_bytes(content)
        with pytest.raises(StoreUnavailable, match="damaged") as raised:
            read_pepper(tmp_path)
        assert str(tmp_path / "pepper") in str(raised.value.detail)
        assert (tmp_path / "pepper").read_bytes() == content


class TestTheDatabase:
    async def test_it_takes_no_other_one(self, home: Home, tmp_path: Path) -> None:
        """As after a copy of a database was restored beside the pepper of another."""
        first = Store(tmp_path, SystemClock(), home.url)
        key, text = first.keys.create("laptop")
        await first.close()
        right = (tmp_path / "pepper").read_bytes()
        (tmp_path / "pepper").write_bytes(b"z" * 32)
        with pytest.raises(StoreUnavailable, match="Copy its file `pepper` here") as raised:
            Store(tmp_path, SystemClock(), home.url)
        assert raised.value.detail == str(tmp_path / "pepper")
        (tmp_path / "pepper").write_bytes(right)
        again = Store(tmp_path, SystemClock(), home.url)
        assert await again.keys.find(text) == caller(key)
        await again.close()

    def test_nor_does_it_start_without_one(self, home: Home, tmp_path: Path) -> None:
        database = home.open()
        pepper_of(tmp_path, database)
        (tmp_path / "pepper").unlink()
        with pytest.raises(StoreUnavailable, match="Copy its file `pepper` here"):
            pepper_of(tmp_path, database)
        assert not (tmp_path / "pepper").exists()

    async def test_where_the_old_one_is_lost_it_takes_a_new_one_as_the_page_says(
        self, home: Home, tmp_path: Path
    ) -> None:
        first = Store(tmp_path, SystemClock(), home.url)
        _, text = first.keys.create("laptop")
        await first.close()
        (tmp_path / "pepper").write_bytes(b"n" * 32)
        page = (Path(__file__).parents[1] / "docs/operations.md").read_text(encoding="utf-8")
        (said,) = re.findall(r"`(DELETE FROM settings .*?)`", page)
        with home.open().transaction() as tx:
            tx.execute(said)
        again = Store(tmp_path, SystemClock(), home.url)
        assert await again.keys.find(text) is None
        _, another = again.keys.create("laptop")
        assert await again.keys.find(another) is not None
        await again.close()

    def test_one_of_before_knows_its_pepper_from_the_next_start_on(self, home: Home, tmp_path: Path) -> None:
        database = home.open()
        with database.transaction() as tx:
            tx.execute("INSERT INTO keys (id, hash, name, hint, created_ms) VALUES ('k', ?, 'n', 'h', 1)", (b"h",))
        with pytest.raises(StoreUnavailable, match="Copy its file `pepper` here"):
            pepper_of(tmp_path, database)
        (tmp_path / "pepper").write_bytes(b"p" * 32)
        assert pepper_of(tmp_path, database) == b"p" * 32
        (tmp_path / "pepper").write_bytes(b"z" * 32)
        with pytest.raises(StoreUnavailable, match="Copy its file `pepper` here"):
            pepper_of(tmp_path, database)

    def test_it_tells_nothing_of_it(self, home: Home, tmp_path: Path) -> None:
        database = home.open()
        pepper = pepper_of(tmp_path, database)
        told = str(database.query("SELECT name, content FROM settings")[1])
        assert pepper.hex() not in told
        assert "pepper" in told


class TestASharedDatabase:
    @pytest.fixture
    def dialect(self) -> str:
        return "postgres"

    def test_of_gateways_that_start_empty_at_the_same_moment_one_decides(self, home: Home, tmp_path: Path) -> None:
        def start(name: str) -> bytes | None:
            (tmp_path / name).mkdir()
            try:
                return pepper_of(tmp_path / name, home.open())
            except StoreUnavailable:
                return None

        with ThreadPoolExecutor(4) as threads:
            started = list(threads.map(start, "abcd"))
        assert len([pepper for pepper in started if pepper is not None]) == 1
