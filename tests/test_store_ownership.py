"""A data folder has one owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trivium.errors import OperationError
from trivium.store.ownership import ownership

HOLD = """
import sys, pathlib
from trivium.store.ownership import ownership
with ownership(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with ownership(tmp_path):
        with pytest.raises(OperationError) as raised, ownership(tmp_path):
            pass
        assert raised.value.message == f"The data folder {tmp_path} is in use by process {os.getpid()}."
    with ownership(tmp_path):
        pass


def test_the_folder_is_made_for_nobody_else(tmp_path: Path) -> None:
    with ownership(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "a" / "b" / "owner.lock").stat().st_mode & 0o777 == 0o600


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(OperationError, match=f"in use by process {other.pid}"), ownership(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    with ownership(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for impossible in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OperationError, match="file"), ownership(impossible):
            pass
