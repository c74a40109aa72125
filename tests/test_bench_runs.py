"""bench/runs.py: a run fails where keys or types are wrong, or where the store does not say what was answered."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

BENCH = Path(__file__).parent.parent / "bench"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler"
)


class Place(NamedTuple):
    """A gateway in front of an upstream, and what they are measured with."""

    runs: Any
    stage: Any
    bench: Any
    gateway: Any
    store: Path

    def run(self, case: Any, gateway: Any, *options: object) -> Any:
        return self.bench.run(case, gateway, 20, ["-c", 2, "-n", 6, "-r", 100, *options])

    def passing(self, *headers: str) -> Any:
        """A gateway that passes everything on as it is: none."""
        way = self.stage.Way(headers=headers)
        return self.gateway._replace(port=self.bench.upstreams.exact, ways={"small": way}, ask=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, before = tmp_path_factory.mktemp("bench"), set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.syspath_prepend(str(BENCH))
        runs, stage, gateways = (importlib.import_module(name) for name in ("runs", "stage", "gateways"))
        stage.build(folder)
        cpus, kinds = stage.Cpus(), runs.kinds(folder, [runs.SMALL, runs.HELD])
        port = stack.enter_context(stage.upstream(folder, cpus, kinds))
        upstreams = stage.Upstreams(port, port)
        starting = stage.started(gateways.trivium, folder, cpus, upstreams, runs.small_body())
        gateway, _ = stack.enter_context(starting)
        bench = runs.Bench(folder, cpus, upstreams, [gateway])
        yield Place(runs, stage, bench, gateway, folder / "data" / "trivium.db")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == BENCH:
            del sys.modules[name]


class Changed:
    """The store as it would be after a statement."""

    def __init__(self, store: Path, statement: str = "SELECT 1") -> None:
        self._store, self.statement = store, statement

    def __call__(self, question: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            with contextlib.closing(sqlite3.connect(self._store)) as database:
                database.backup(copy)
            copy.execute(self.statement)
            return copy.execute(question).fetchall()


LAST = "(SELECT max(id) FROM records)"


@pytest.mark.parametrize("case", ["SMALL", "HELD"])
def test_a_run_in_which_all_is_right_has_figures(place: Place, case: str) -> None:
    run = place.run(getattr(place.runs, case), place.gateway)
    assert run["requests"] == 6
    assert run["cpu_us_each"] > 0


def test_a_run_fails_where_a_record_is_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["books"], "PATIENCE", 0.5)
    forgetful = place.gateway._replace(ask=Changed(place.store, f"DELETE FROM records WHERE id = {LAST}"))
    with pytest.raises(place.stage.BenchError, match=r"6 good requests, but .*store's records.: '5, not 6'"):
        place.run(place.runs.SMALL, forgetful)


def test_whatever_the_store_says_otherwise_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    books = importlib.import_module("books")
    store = Changed(place.store)
    opened, should = books.Books(store), place.runs.HELD.booked(6)
    place.run(place.runs.HELD, place.gateway)
    monkeypatch.setattr(books, "PATIENCE", 0)
    assert opened.unlike(should) == {}
    for statement, said in {
        "UPDATE records SET outcome = 'failed'": {
            "store's records": "0, not 6",
            "store's tokens": "0, not 3912",
            "store's charged_nano": "0, not 16080000",
        },
        f"UPDATE records SET output_tokens = 139 WHERE id = {LAST}": {"store's tokens": "3911, not 3912"},
        f"UPDATE records SET cost_nano = 1 + cost_nano WHERE id = {LAST}": {
            "store's charged_nano": "16080001, not 16080000"
        },
        f"UPDATE starts SET ended = 0 WHERE id = {LAST}": {"store's settled_holds": "5, not 6"},
        "UPDATE spends SET spent_nano = spent_nano - 1": {"store's spent_nano": "16079999, not 16080000"},
        "UPDATE spends SET held_nano = 7": {"store's held_nano": "7, not 0"},
    }.items():
        store.statement = statement
        assert opened.unlike(should) == said


@pytest.mark.parametrize("headers", [[], ["Authorization: Bearer sk-bench"]])
def test_a_run_fails_where_another_key_reaches_the_upstream(place: Place, headers: list[str]) -> None:
    with pytest.raises(
        place.stage.BenchError, match=r"upstream's wrong_key.: 6.*\s.*not with the upstream's key alone"
    ):
        place.run(place.runs.SMALL, place.passing(*headers))


def test_a_run_fails_where_an_answer_is_of_another_type(place: Place) -> None:
    passing = place.passing(*place.stage.DIRECT.headers)
    assert place.run(place.runs.SMALL, passing)["requests"] == 6
    with pytest.raises(place.stage.BenchError, match="'wrong_type': 6"):
        place.run(place.runs.SMALL, passing, "-e", 1)
