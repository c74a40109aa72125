"""`trivium reconcile`, beside a gateway that owns the records and a provider that has its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from support_records import MIDNIGHT, kept, record
from trivium.canon.api import Api
from trivium.cli.reconcile import reconcile
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.mock import Generation, Script, ScriptedUpstream
from trivium.operations.reconcile import ReconcileOperations
from trivium.operations.table import OPERATOR
from trivium.providers.provider import Provider
from trivium.server import control

DAY = 86_400_000
UP = {"provider": "up", "upstream_model": "vendor/m", "payer": "house"}
SINCE = ("--provider", "up", "--since", "2026-01-01")
GOOD = record("req_1", **UP, upstream_id="g1", cost_nano=1_500_000)
BAD = record("req_2", **UP, upstream_id="g2", cost_nano=7, time_ms=MIDNIGHT + DAY, usage_known=True, output_tokens=3)
GONE = record("req_3", **UP, upstream_id="g3", time_ms=MIDNIGHT + 1)
THEIRS = [
    Generation(id="g1", record={"total_cost": 0.0015}),
    Generation(id="g2", record={"total_cost": 0.0001, "native_tokens_prompt": 0, "native_tokens_completion": 4}),
]


@contextlib.asynccontextmanager
async def owned(folder: Path, *records: Record) -> AsyncIterator[None]:
    """A gateway's door, as far as this command needs it."""
    database = kept(folder, *records)
    async with ScriptedUpstream(Script(generations=THEIRS)) as upstream:
        up = Provider(name="up", base_url=upstream.url, apis=frozenset(Api), generations="/generation?id={id}")
        table = ReconcileOperations(database, lambda: {"up": up}, SystemClock()).table

        async def perform(name: str, arguments: dict[str, Any]) -> Any:
            op = table[name]
            return await op.act(msgspec.convert(arguments, op.arguments), OPERATOR)

        door = await control.serve(folder, perform)
        try:
            yield
        finally:
            door.close()
            database.close()


async def called(folder: Path, *words: str) -> Result:
    env = {"TRIVIUM_CONFIG": None, "TRIVIUM_DATA": str(folder)}
    result = await asyncio.to_thread(CliRunner().invoke, reconcile, words, env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def test_records_that_agree_are_status_0(tmp_path: Path) -> None:
    async with owned(tmp_path, GOOD):
        result = await called(tmp_path, *SINCE)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "day         model     requests  found  ours USD  theirs USD  difference  cost differs  tokens differ",
        "2026-01-01  vendor/m         1      1  0.0015    0.0015      0                      0              0",
        "",
        "1 of 1 records were found at up",
    ]
    assert result.stderr == "1 records compared\n"


async def test_records_that_differ_are_listed_with_status_1_and_those_that_are_missing_are_counted(
    tmp_path: Path,
) -> None:
    async with owned(tmp_path, GOOD, BAD, GONE):
        result = await called(tmp_path, *SINCE)
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()[1:3]] == [
        ["2026-01-01", "vendor/m", "2", "1", "0.0015", "0.0015", "0", "0", "0"],
        ["2026-01-02", "vendor/m", "1", "1", "0.000000007", "0.0001", "-0.000099993", "1", "1"],
    ]
    assert [line.split() for line in result.stdout.splitlines()[4:7:2]] == [
        ["largest", "differences"],
        [
            "req_2", "2026-01-02", "00:00:00", "vendor/m", "success", "0.000000007", "0.0001", "-0.000099993",
            "output", "3/4",
        ],
    ]  # fmt: skip
    assert result.stdout.splitlines()[-1] == "2 of 3 records were found at up; 1 were not: 1 status 404"


async def test_where_no_record_at_all_was_found_nothing_was_shown(tmp_path: Path) -> None:
    async with owned(tmp_path, GONE):
        assert (await called(tmp_path, *SINCE)).exit_code == 1


async def test_as_json(tmp_path: Path) -> None:
    async with owned(tmp_path, GOOD, BAD, GONE):
        result = await called(tmp_path, *SINCE, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (said["provider"], said["requests"], said["found"], said["not_found"]) == ("up", 3, 2, {"status 404": 1})
    assert [(row["day"], row["difference_nano"]) for row in said["rows"]] == [
        ("2026-01-01", 0),
        ("2026-01-02", -99_993),
    ]
    assert [(one["id"], one["tokens"]) for one in said["largest"]] == [("req_2", {"output": [3, 4]})]
    assert said["more"] is False


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (("--since", "2026-01-02"), 1),
        (("--since", "2026-01-01", "--until", "2026-01-02"), 2),
        (("--since", "2026-01-03"), 0),
        ((), 0),
    ],
)
async def test_in_a_span_of_time_by_default_the_last_week(
    tmp_path: Path, words: tuple[str, ...], requests: int
) -> None:
    async with owned(tmp_path, GOOD, BAD, GONE):
        result = await called(tmp_path, "--provider", "up", *words, "--json")
    assert json.loads(result.stdout)["requests"] == requests


async def test_of_many_the_newest_are_compared_page_by_page_and_that_there_are_more_is_said(tmp_path: Path) -> None:
    many = [record(f"r{n:03}", **UP, upstream_id="g1", cost_nano=1_500_000, time_ms=MIDNIGHT + n) for n in range(250)]
    async with owned(tmp_path, *many):
        whole = await called(tmp_path, *SINCE)
        cut = await called(tmp_path, *SINCE, "--limit", "201")
    assert whole.stderr.splitlines() == ["200 records compared", "250 records compared"]
    assert whole.stdout.splitlines()[-1] == "250 of 250 records were found at up"
    assert cut.stderr.splitlines() == ["200 records compared", "201 records compared"]
    assert cut.stdout.splitlines()[-1].endswith("; there are more than the newest 201: see --limit")


async def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    async with owned(tmp_path):
        with pytest.raises(OperationError, match="'openai' is no provider that keeps records of generations"):
            await called(tmp_path, "--provider", "openai")
        with pytest.raises(OperationError, match="'yesterday' is no time"):
            await called(tmp_path, "--provider", "up", "--since", "yesterday")
        assert (await called(tmp_path)).exit_code == 2
