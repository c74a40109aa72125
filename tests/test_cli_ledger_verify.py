"""`trivium ledger verify`: a line for each check, and what was found below it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support_audit import HOUR, Story, a_story
from trivium.cli.ledger_verify import verify_command
from trivium.errors import StoreUnavailable
from trivium.operations.audit import AuditOperations
from trivium.operations.table import OPERATOR
from trivium.server import control
from trivium.store.audit import CHECKS
from trivium.store.snapshot import sqlite_snapshot


def verify(*words: str, data: Path | None = None) -> Result:
    env = {"TRIVIUM_CONFIG": None, "TRIVIUM_DATA": str(data) if data else None}
    result = CliRunner().invoke(verify_command, words, env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "backup.db"


def keep(path: Path, story: Story | None = None, damage: str | None = None) -> str:
    """Stores a story; its path as a word of the command line."""
    connection = (story or a_story()).stored(path)
    if damage:
        connection.execute(damage)
    connection.close()
    return str(path)


def test_of_a_backup_each_check_and_what_it_counted(backup: Path) -> None:
    result = verify("--database", keep(backup))
    *checks, last = result.stdout.splitlines()
    told = [line.split() for line in checks if not line.startswith(" ")]
    assert [(line[0], line[-1]) for line in told] == [(check.name, "ok") for check in CHECKS]
    assert told[2] == ["balances", "2", "accounts", "ok"]
    assert last == f"verify: {len(CHECKS)} checks, 15 entries, 9 records, 0 findings"
    assert result.exit_code == 0


def test_it_leaves_the_backup_as_it_is(backup: Path) -> None:
    keep(backup)
    before = backup.read_bytes()
    backup.chmod(0o400)
    assert verify("--database", str(backup)).exit_code == 0
    assert backup.read_bytes() == before
    assert list(backup.parent.iterdir()) == [backup]


def test_what_is_found_stands_below_its_check_and_the_exit_status_is_1(backup: Path) -> None:
    result = verify("--database", keep(backup, damage="UPDATE accounts SET balance_nano = 7 WHERE id = 'acct_bob'"))
    lines = result.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.endswith("findings") and line.startswith("balances")]
    assert lines[at].split() == ["balances", "2", "accounts", "1", "findings"]
    assert lines[at + 1] == (
        "    accounts acct_bob the balance is not the sum of the entries: expected 1000000000, found 7"
    )
    assert lines[-1].endswith("15 entries, 9 records, 1 findings")
    assert result.exit_code == 1


def test_what_is_not_there_is_nothing(backup: Path) -> None:
    told = verify("--database", keep(backup, damage="DELETE FROM records WHERE id = 'req_7'")).stdout
    assert "    starts req_7 ended without a record: expected a record, found nothing\n" in told


def test_many_findings_are_counted(backup: Path) -> None:
    story = Story()
    for _ in range(1_234):
        story.refuse()
    told = verify("--database", keep(backup, story, "UPDATE records SET payer = 'eve'")).stdout
    assert "1,234 records      1,234 findings\n" in told
    assert "\n    and 1,134 more\n" in told
    assert told.endswith("0 entries, 1,234 records, 1,234 findings\n")


def test_what_could_not_be_checked_is_said(backup: Path) -> None:
    story = a_story()
    story.erase(story.now - HOUR)
    result = verify("--database", keep(backup, story))
    assert "    not checked: 5 rows of hours whose records are erased\n" in result.stdout
    assert result.exit_code == 0


def test_what_damage_wrote_cannot_steer_the_terminal(backup: Path) -> None:
    told = verify("--database", keep(backup, damage="UPDATE records SET payer = char(27) || '[2J' || char(10)")).stdout
    assert "found ?[2J?\n" in told
    assert all(letter.isprintable() or letter == "\n" for letter in told)


@pytest.mark.parametrize(
    ("damage", "status"), [(None, 0), ("UPDATE spends SET held_nano = held_nano + 1 WHERE held_nano > 0", 1)]
)
def test_as_json(backup: Path, damage: str | None, status: int) -> None:
    result = verify("--database", keep(backup, damage=damage), "--json")
    report = json.loads(result.stdout)
    assert (report["entries"], report["records"], report["findings"]) == (15, 9, status)
    assert [check["check"] for check in report["checks"]] == [check.name for check in CHECKS]
    (budgets,) = [check for check in report["checks"] if check["check"] == "budgets"]
    assert [one["expected"] for one in budgets["findings"]] == [2_000_000_000] * status
    assert result.exit_code == status


def test_what_is_no_database_is_unavailable(backup: Path) -> None:
    backup.write_text("no database at all")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        verify("--database", str(backup))
    assert verify("--database", "nowhere.db").exit_code == 2


async def test_without_a_file_the_gateway_that_owns_the_data_folder_is_asked(backup: Path, tmp_path: Path) -> None:
    keep(backup, damage="UPDATE accounts SET held_nano = 0")

    async def flush() -> None: ...

    operations = AuditOperations(lambda: sqlite_snapshot(backup), flush)

    async def perform(name: str, _: dict[str, Any]) -> Any:
        op = operations.table[name]
        return await op.act(op.arguments(), OPERATOR)

    data = tmp_path / "data"
    data.mkdir()
    door = await control.serve(data, perform)
    result = await asyncio.to_thread(verify, data=data)
    door.close()
    assert "    accounts acct_ann what is held is not the sum of the holds of calls in flight" in result.stdout
    assert result.exit_code == 1
