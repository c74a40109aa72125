"""What alerts look at: calls, errors and slow first tokens by the minute in which they ended, per provider, model and
client app. A sink of the hub, less than a microsecond a record.

Series have labels of the catalogue and of a closed list of apps, and a bounded number. What is counted stays here until
`drain` hands it over, once a minute. Calls with callers' own keys do not count, whoever else took the request in the
end. A route that was tried in vain counts as a call of its provider that failed, whatever became of the request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from trivium.clock import MINUTE_MS
from trivium.metering.charge import OWN_KEY
from trivium.metering.record import Outcome, Record
from trivium.policy.alert_rules import Counted, Series
from trivium.policy.blame import OTHER, Apps, Call, bad
from trivium.telemetry.counts import Known
from trivium.telemetry.hub import Ended
from trivium.telemetry.tried import Tried, tried_of

Row = tuple[int, Series, Counted]
"""A minute since the epoch, whose, and what."""
_MOST_REMEMBERED = 4096
_Key = tuple[str, str | None, str | None]


def _failed(tried: Tried) -> Call:
    return Call(Outcome.FAILED, tried.status, tried.status or None, tried.code, tried.status == 200)


class _Cell:
    """Where all calls of one kind are counted."""

    __slots__ = ("minutes", "series", "slow_us")

    def __init__(self, series: Series, slow_ms: int | None) -> None:
        self.series = series
        self.slow_us = None if slow_ms is None else slow_ms * 1000
        self.minutes: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])


class Minutes:
    def __init__(self, known: Known, apps: Apps, *, most: int = 1000) -> None:
        """`most` series are told apart in one minute; further ones are `other`."""
        self._known, self._apps, self._most = known, apps, most
        self.slow_ms: Callable[[str, str], int | None] = lambda _, __: None
        """From when on a first token of a model is slow; asked once a minute for each."""
        self._cells: dict[Series, _Cell] = {}
        self._by_name: dict[_Key, _Cell] = {}
        """By what the records say: names of strangers too, so that it is emptied each minute and does not grow."""

    def take(self, batch: Sequence[Ended]) -> None:
        for record, _ in batch:
            if record.provider is not None and record.payer is not None:
                self._count(record)

    def drain(self) -> list[Row]:
        """What has been counted since the last time."""
        cells, self._cells = self._cells, {}
        self._by_name.clear()
        return [
            (minute, series, Counted(*counts))
            for series, cell in cells.items()
            for minute, counts in cell.minutes.items()
        ]

    def _count(self, record: Record) -> None:
        minute = (record.time_ms + record.total_us // 1000) // MINUTE_MS
        if record.routing is not None and '"tried"' in record.routing:
            for tried in (one for one in tried_of(record.routing) if not one.own):
                counts = self._cell(*tried.place, record.client_app).minutes[minute]
                counts[0] += 1
                counts[1] += bool(bad(_failed(tried)))
        fault = bad(record)
        if fault is None or record.payer in OWN_KEY:
            return
        assert record.provider is not None
        cell = self._cell(record.provider, record.upstream_model, record.client_app)
        counts = cell.minutes[minute]
        counts[0] += 1
        if fault:
            counts[1] += 1
        elif cell.slow_us is not None and record.first_token_us is not None and record.outcome == Outcome.SUCCESS:
            counts[2] += 1
            if record.first_token_us > cell.slow_us:
                counts[3] += 1

    def _cell(self, provider: str, model: str | None, app: str | None) -> _Cell:
        key = (provider, model, app)
        cell = self._by_name.get(key)
        if cell is None:
            cell = self._named(Series(*self._known(provider, model), self._apps(app)))
            if len(self._by_name) < _MOST_REMEMBERED:
                self._by_name[key] = cell
        return cell

    def _named(self, series: Series) -> _Cell:
        if series not in self._cells and len(self._cells) >= self._most:
            series = Series(OTHER, OTHER, OTHER)
        cell = self._cells.get(series)
        if cell is None:
            cell = self._cells[series] = _Cell(series, self.slow_ms(series.provider, series.model))
        return cell
