"""The last requests that ended here, for whoever watches: in memory, in the order in which they ended.

Records have the order of their arrival in the database, where a long call comes to stand among those that are long
seen. What other processes of the same database did is not among these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from trivium.metering.record import Record

KEPT = 1_000
"""Records; a thousand take about 2 MB."""
SEVERAL = "."
"""Between the parts of a cursor that is for several processes, each of which knows its own."""
_NAME = 8
"""Letters of a run in a cursor."""


class Recent:
    """`add` each record once."""

    def __init__(self, run: str) -> None:
        """`run` names this process's life."""
        self._run = run[-_NAME:]
        self._records: deque[Record] = deque(maxlen=KEPT)
        self._count = 0

    def add(self, record: Record) -> None:
        self._records.append(record)
        self._count += 1

    def after(self, cursor: str, limit: int, wanted: Callable[[Record], bool]) -> tuple[list[Record], str, bool]:
        """(the first wanted ones that ended behind a cursor, the next cursor, whether some were lost in between);
        without a cursor the last ones. What a cursor says of other lives is passed over: all that is remembered here
        came after it."""
        oldest = self._count - len(self._records)
        place = self._place(cursor)
        begin = max(place or 0, oldest)
        found: list[Record] = []
        at = begin
        for record in list(self._records)[begin - oldest :]:
            if cursor and len(found) == limit:
                break
            at += 1
            if wanted(record):
                found.append(record)
        return found[-limit:], f"{self._run}:{at}", place is not None and place < oldest

    def _place(self, cursor: str) -> int | None:
        """How many records had ended; None where the cursor does not say."""
        for part in cursor.split(SEVERAL):
            run, _, number = part.rpartition(":")
            if run == self._run and number.isdecimal() and len(number) < 16:
                return min(int(number), self._count)
        return None
