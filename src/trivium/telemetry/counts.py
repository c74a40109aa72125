"""Counters and histograms of the records that have ended, in plain lists: two or three microseconds a record.

Records come in batches, after their answers. The series that a kind of record counts in are looked up together, once.
Only names of the catalogue become labels, so that no caller can make series without end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
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
_WITHOUT_CLASS = frozenset({"content_flagged", "input_too_long", "max_tokens_out_of_range"})
"""Codes of ours that no class of error has: that of another is told under them."""
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
        *("queue", "requests", "usage"),
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
        if record.payer is not None:
            self.cost = series.at(COST, *place, record.payer)
            self.market_cost = series.at(MARKET_COST, *place, record.payer)


_Key = tuple[str, str, str | None, str | None, str, str | None]


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
        for record, _ in batch:
            self._count(record)

    def families(self) -> list[Family]:
        return self.series.families()

    def _count(self, record: Record) -> None:
        key = (record.api, record.operation, record.provider, record.upstream_model, record.outcome, record.payer)
        cell = self._cells.get(key) or self._cell(record)
        cell.requests[0] += record.requests
        if record.error_code is not None:
            self.series.at(ERRORS, record.api, cell.labels[0], _code(record.error_code))[0] += record.requests
        if record.requests > 1:
            return  # counted together: there is no one time
        _observe(cell.duration, _DURATION, record.total_us)
        if record.queue_us is not None:
            _observe(cell.queue, _QUEUE, record.queue_us)
            self._count_upstream(cell, record, record.queue_us)
        if record.routing is not None:
            self._count_attempts(record.routing)

    def _count_upstream(self, cell: _Cell, record: Record, queue_us: int) -> None:
        if record.ttfb_us is not None:
            _observe(cell.first_byte, _FIRST_BYTE, record.ttfb_us - queue_us)
        first = record.first_token_us
        if first is not None and record.outcome == Outcome.SUCCESS:
            _observe(cell.first_token, _FIRST_TOKEN, first)
            if record.output_tokens > 1:
                _observe(cell.each, _PER_TOKEN, (record.total_us - first) // (record.output_tokens - 1))
        if record.payer is not None:
            cell.cost[0] += record.cost_nano
            cell.market_cost[0] += record.market_cost_nano or 0
        counts = _tokens(record)
        if record.usage_known or any(counts):  # estimates are charged, too
            self._count_tokens(cell, record, counts)

    def _count_tokens(self, cell: _Cell, record: Record, counts: tuple[int, ...]) -> None:
        at, place = self.series.at, cell.labels
        for number, count in enumerate(counts):
            if count:
                bucket = cell.buckets[number]
                if bucket is None:
                    bucket = cell.buckets[number] = at(TOKENS, *place, _BUCKETS[number])
                bucket[0] += count
        if record.reasoning_tokens:
            at(REASONING, *place)[0] += record.reasoning_tokens
        if cell.usage is None:
            cell.usage = at(TOKEN_USAGE, *place, "input"), at(TOKEN_USAGE, *place, "output")
        _observe(cell.usage[0], TOKEN_USAGE.bounds, sum(counts) - record.output_tokens)
        _observe(cell.usage[1], TOKEN_USAGE.bounds, record.output_tokens)

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


def _observe(values: list[int], bounds: Sequence[float], value: int) -> None:
    values[bisect_left(bounds, value)] += 1
    values[-1] += value


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


_CODES = _UPSTREAMS_OWN | _WITHOUT_CLASS | _codes(errors.TriviumError)
