"""The log of the embedded model's process: a file that the child appends to and that keeps only its end.

The child cannot grow it beyond `local_child.LOG_LIMIT`; we cut it back long before. Readable by its owner alone, since
a complaint of the model server may quote a request.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TOO_LONG = 1 << 20
KEPT = 64 << 10
LAST_LINES = 10
START = b"=== start ===\n"


class LocalLog:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """For one more life of the child to append to."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.trim()
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(START)
            file.flush()
            yield file

    def trim(self) -> None:
        """Cuts a file of more than TOO_LONG bytes back to its last KEPT."""
        if self.path.exists() and self.path.stat().st_size > TOO_LONG:
            end = self._end()
            os.truncate(self.path, 0)  # in place: the child goes on appending to this very file
            with self.path.open("ab") as file:
                file.write(end)

    def last_words(self) -> str:
        """The last lines since the last start."""
        if not self.path.exists():
            return ""
        words = self._end().rpartition(START)[2].decode("utf-8", "replace")
        return "\n".join(words.splitlines()[-LAST_LINES:])

    def _end(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - KEPT))
            return file.read()
