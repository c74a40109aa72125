"""Counters and histograms of the records that have ended, in plain lists: one or two microseconds a record.

Records come in batches, after their answers. The series that a kind of record counts in are looked up together, once.
Only names of the catalogue become labels, so that no caller can make series without end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter

from trivium import errors
from trivium.metering.record import Outcome, Record
from trivium.telemetry.hub import Ended
from trivium.telemetry.instruments import (
    COST,
    DURATION,
    ERRORS,
    FAILED_ATTEMPTS,
    FIRST_TOKEN,
    MARKET_COST,
    NONE,
    OTHER,
    PER_TOKEN,
    QUEUE,
    REASONING,
    REQUESTS,
    TOKEN_USAGE,
    TOKENS,
    UPSTREAM_FIRST_BYTE,
    Family,
    Histogram,
    Instrument,
    Kind,
    Point,
)
from trivium.telemetry.tried import tried_of

_UPSTREAMS_OWN = frozenset(
    {
        *("api_error", "authentication_error", "billing_error", "invalid_request_error", "not_found_error"),
        *("overloaded_error", "permission_error", "rate_limit_error", "request_too_large", "timeout_error"),
        *("context_length_exceeded", "content_filter", "insufficient_quota", "rate_limit_exceeded", "server_error"),
    }
)
"""Types of errors that the APIs' own documentation knows."""
_BUCKETS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "output")
"""Disjoint ones: their sum is all tokens."""
_tokens = attrgetter(*(f"{bucket}_tokens" for bucket in _BUCKETS))

Known = Callable[[str | None, str | None], tuple[str, str]]
"""How labels call a provider and one of its models: `other` where the catalogue does not have them."""


class Series:
    """What is measured, by instrument and values of its labels. A counter is a list of one number, a histogram of its
    buckets' counts and its sum."""

    def __init__(self) -> None:
        self._all: dict[Instrument, dict[tuple[str, ...], list[int]]] = {}

    def at(self, instrument: Instrument, *labels: str) -> list[int]:
        of_one = self._all.setdefault(instrument, {})
        found = of_one.get(labels)
        if found is None:
            size = len(instrument.bounds) + 2 if instrument.kind is Kind.HISTOGRAM else 1
            found = of_one[labels] = [0] * size
        return found

    def families(self) -> list[Family]:
        """As they stand now. They are copied here and put into units by whoever reads them, which may be a thread."""
        return [Family(instrument, _points(instrument, of_one)) for instrument, of_one in self._all.items()]


class _Cell:
    """The series of all records that are of one kind."""

    __slots__ = (
        *("buckets", "cost", "duration", "each", "first_byte", "first_token", "labels", "market_cost"),
        *("queue", "requests", "succeeds", "usage"),
    )

    def __init__(self, record: Record, provider: str, model: str, series: Series) -> None:
        self.labels = place = (provider, model)
        self.requests = series.at(REQUESTS, record.api, record.operation, provider, model, record.outcome)
        self.duration = series.at(DURATION, record.api, provider, model, record.outcome)
        self.queue = series.at(QUEUE, record.api)
        if provider != NONE:
            self.first_byte = series.at(UPSTREAM_FIRST_BYTE, *place)
            self.first_token = series.at(FIRST_TOKEN, *place)
            self.each = series.at(PER_TOKEN, *place)
        self.buckets: list[list[int] | None] = [None] * len(_BUCKETS)
        """Made where there are such tokens."""
        self.usage: tuple[list[int], list[int]] | None = None
        """Of input and output."""
        self.succeeds = record.outcome == Outcome.SUCCESS
        self.cost: list[int] | None = None
        """None where nobody pays."""
        if record.payer is not None:
            self.cost = series.at(COST, *place, record.payer)
            self.market_cost = series.at(MARKET_COST, *place, record.payer)


_Key = tuple[str, str, str | None, str | None, str, str | None]
_kind: Callable[[Record], _Key] = attrgetter("api", "operation", "provider", "upstream_model", "outcome", "payer")


class Counts:
    """A sink. `families` says what the records came to."""

    def __init__(self, known: Known, *, max_models: int) -> None:
        """Of so many models at the most there are series."""
        self.series = Series()
        self._known = known
        self._most = max_models
        self._models: set[tuple[str, str]] = set()
        self._cells: dict[_Key, _Cell] = {}

    def take(self, batch: Sequence[Ended]) -> None:
        kinds: defaultdict[_Cell, list[Record]] = defaultdict(list)
        for record, _ in batch:
            kinds[self._cells.get(_kind(record)) or self._cell(record)].append(record)
        for cell, records in kinds.items():
            self._count(cell, records)

    def families(self) -> list[Family]:
        return self.series.families()

    def _count(self, cell: _Cell, records: Sequence[Record]) -> None:
        """What one would do for each record is done for a column of them, which takes a third of the time."""
        cell.requests[0] += sum([one.requests for one in records])
        for failed in [one for one in records if one.error_code is not None]:
            code = _code(failed.error_code or "")
            self.series.at(ERRORS, failed.api, cell.labels[0], code)[0] += failed.requests
        timed = [one for one in records if one.requests == 1]  # of those counted together there is no one time
        _observe(cell.duration, _DURATION, [one.total_us for one in timed])
        waited = [one.queue_us for one in timed if one.queue_us is not None]
        if waited:
            _observe(cell.queue, _QUEUE, waited)
            self._count_upstream(cell, [one for one in timed if one.queue_us is not None])
        for tried in [one.routing for one in timed if one.routing is not None]:
            self._count_attempts(tried)

    def _count_upstream(self, cell: _Cell, sent: Sequence[Record]) -> None:
        _observe(
            cell.first_byte, _FIRST_BYTE, [one.ttfb_us - (one.queue_us or 0) for one in sent if one.ttfb_us is not None]
        )
        if cell.succeeds and (begun := [(one, one.first_token_us) for one in sent if one.first_token_us is not None]):
            _observe(cell.first_token, _FIRST_TOKEN, [first for _, first in begun])
            each = [(one.total_us - first, one.output_tokens - 1) for one, first in begun if one.output_tokens > 1]
            _observe(cell.each, _PER_TOKEN, [us // tokens for us, tokens in each])
        if cell.cost is not None:
            cell.cost[0] += sum([one.cost_nano for one in sent])
            cell.market_cost[0] += sum([one.market_cost_nano or 0 for one in sent])
        if counts := [_tokens(one) for one in sent if one.usage_known]:
            self._count_tokens(cell, counts)
            if reasoning := sum([one.reasoning_tokens for one in sent if one.usage_known]):
                self.series.at(REASONING, *cell.labels)[0] += reasoning

    def _count_tokens(self, cell: _Cell, counts: Sequence[tuple[int, ...]]) -> None:
        at, place = self.series.at, cell.labels
        for number, total in enumerate(map(sum, zip(*counts, strict=True))):
            if total:
                bucket = cell.buckets[number]
                if bucket is None:
                    bucket = cell.buckets[number] = at(TOKENS, *place, _BUCKETS[number])
                bucket[0] += total
        if cell.usage is None:
            cell.usage = at(TOKEN_USAGE, *place, "input"), at(TOKEN_USAGE, *place, "output")
        output = [one[-1] for one in counts]
        _observe(cell.usage[0], TOKEN_USAGE.bounds, [sum(one) - told for one, told in zip(counts, output, strict=True)])
        _observe(cell.usage[1], TOKEN_USAGE.bounds, output)

    def _count_attempts(self, routing: str) -> None:
        for tried in tried_of(routing):
            provider, _ = self._named(*tried.place)
            self.series.at(FAILED_ATTEMPTS, provider, _code(tried.code))[0] += 1

    def _cell(self, record: Record) -> _Cell:
        """Kept by the labels, and not by names that a stranger makes up."""
        provider, model = self._named(record.provider, record.upstream_model)
        place = (None, None) if provider == NONE else (provider, model)
        key = (record.api, record.operation, *place, record.outcome, record.payer)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(record, provider, model, self.series)
        return cell

    def _named(self, provider: str | None, model: str | None) -> tuple[str, str]:
        named = self._known(provider, model)
        if named[1] in (OTHER, NONE) or named in self._models:
            return named
        if len(self._models) >= self._most:
            return named[0], OTHER
        self._models.add(named)
        return named


def _observe(values: list[int], bounds: Sequence[float], measured: Sequence[int]) -> None:
    for bucket in map(bisect_left, repeat(bounds), measured):
        values[bucket] += 1
    values[-1] += sum(measured)


def _scaled(instrument: Instrument) -> tuple[int, ...]:
    return tuple(round(bound * instrument.scale) for bound in instrument.bounds)


_DURATION, _QUEUE, _FIRST_BYTE, _FIRST_TOKEN, _PER_TOKEN = map(
    _scaled, (DURATION, QUEUE, UPSTREAM_FIRST_BYTE, FIRST_TOKEN, PER_TOKEN)
)


def _points(instrument: Instrument, series: dict[tuple[str, ...], list[int]]) -> Iterator[Point]:
    copied = [(labels, values.copy()) for labels, values in series.items()]
    return (_point(instrument, labels, values) for labels, values in copied)


def _point(instrument: Instrument, labels: tuple[str, ...], values: Sequence[int]) -> Point:
    if instrument.kind is Kind.HISTOGRAM:
        return labels, Histogram(tuple(values[:-1]), values[-1] / instrument.scale)
    return labels, values[0] / instrument.scale


def _code(code: str) -> str:
    return code if code in _CODES else OTHER


def _codes(error: type[errors.TriviumError]) -> set[str]:
    return {error.code}.union(*map(_codes, error.__subclasses__()))


_CODES = _UPSTREAMS_OWN | _codes(errors.TriviumError)
