"""How long calls took, as counts in a few bands, which add up over hours, keys and models as sums do.

A band is twice as long as the one before; the last has no end. The first ends at 131 ms (2^17 microseconds) for the
first byte and at 524 ms (2^19) for the whole answer. A share of calls is read off between the ends of the band where it
falls, on a logarithmic scale: it may be wrong by as much as the band is wide, and by a few per cent where many calls
took different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from trivium.metering.record import Record

_BANDS = 9
_TTFB_SHIFT, _TOTAL_SHIFT = 17, 19
_LAST = _BANDS - 1

TTFB = tuple(f"ttfb_{n}" for n in range(_BANDS))
TOTAL = tuple(f"total_{n}" for n in range(_BANDS))
COLUMNS = TTFB + TOTAL

TIMED = "(ttfb_us IS NOT NULL AND outcome = 'success')"
"""Records whose durations count."""


def _sql(column: str, shift: int) -> list[str]:
    ends = [1 << shift + n for n in range(_LAST)]
    within = [f"{column} < {ends[0]}"]
    within += [f"{column} >= {low} AND {column} < {high}" for low, high in pairwise(ends)]
    within.append(f"{column} >= {ends[-1]}")
    return [f"CASE WHEN {TIMED} AND {words} THEN 1 ELSE 0 END" for words in within]


SQL = dict(zip(COLUMNS, _sql("ttfb_us", _TTFB_SHIFT) + _sql("total_us", _TOTAL_SHIFT), strict=True))
"""What of a record is counted in each column."""


NONE = (0,) * (3 + len(COLUMNS))
"""What `counted` says of no records."""


def counted(records: Sequence[Record]) -> list[int]:
    """Of records whose durations count: how many there are, the sums of both, and a number for each of `COLUMNS`."""
    counts = list(NONE)
    counts[0] = len(records)
    for record in records:
        ttfb_us, total_us = record.ttfb_us or 0, record.total_us
        ttfb, total = (ttfb_us >> _TTFB_SHIFT).bit_length(), (total_us >> _TOTAL_SHIFT).bit_length()
        counts[1] += ttfb_us
        counts[2] += total_us
        counts[3 + ttfb if ttfb < _LAST else 3 + _LAST] += 1
        counts[3 + _BANDS + total if total < _LAST else -1] += 1
    return counts


def ttfb_ms(counts: Sequence[int], share: float) -> float | None:
    """Within how many milliseconds the first byte of that share of calls was there; None where there were none."""
    return _quantile(counts, share, _TTFB_SHIFT)


def total_ms(counts: Sequence[int], share: float) -> float | None:
    """The same of whole answers."""
    return _quantile(counts, share, _TOTAL_SHIFT)


def _quantile(counts: Sequence[int], share: float, shift: int) -> float | None:
    wanted = share * sum(counts)
    if not wanted:
        return None
    seen = 0
    for band, count in enumerate(counts):
        if count and seen + count >= wanted:
            end = float(1 << shift + band)
            begin = end / 2
            return round(begin * 2 ** ((wanted - seen) / count) / 1000, 1)
        seen += count
    return None
