"""What providers say they serve: asked of those whose models are not configured, kept, and asked again.

* After `[catalog] refresh` seconds, a little more or less, so that several gateways do not ask together; after a
  failure sooner, and later with each that follows. Each by itself: none waits for another one's answer.
* With the ETag of the list that is known: a provider that knows it too has nothing to send.
* A list that is empty all at once, or has less than half of the models or prices that it had, is more often a fault
  than news. The one before stays, the log and `trivium models sources` say so, and an operator may have it taken.
* The last good list is kept on disk, with its prices: it is what there is until the provider answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from trivium.clock import Clock
from trivium.errors import NotFound, TriviumError
from trivium.operations.discover import Told, ask, may_be_asked
from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry
from trivium.store.lists import VERSION, KeptList, ListFiles, Mark, kept_models
from trivium.store.unbroken import unbroken
from trivium.upstream.client import UpstreamClient

_LOG = logging.getLogger("trivium.lists")
_FIRST_RETRY = 15.0
"""Seconds after a failure; twice as long after each that follows, up to `[catalog] refresh`."""
_MOST_DOUBLINGS = 16
_JITTER = 0.1
"""Of a time that is waited, more or less."""
_FOLLOWED = 1.0
"""Seconds between two looks at the copies."""
_FEW = 10
"""A list of fewer models may shrink as it likes, unless it is empty: these are servers whose models come and go."""
_LONGEST_PROBLEM = 300

Models = tuple[ModelEntry, ...]
Lists = Mapping[str, Models]
"""Models by their provider's name."""


class ListSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the models of a provider are known from."""

    provider: str
    url: str
    origin: str
    """`configuration`, `provider`, `disk` (a copy of an earlier day), `inside`, or `nothing` so far."""
    models: int
    learned_ms: int | None = None
    """When the list that holds was told."""
    confirmed_ms: int | None = None
    """When the provider last said that it holds."""
    failed_ms: int | None = None
    failures: int = 0
    """In a row."""
    problem: str | None = None
    """Why the last try brought nothing."""
    withheld: int | None = None
    """Models of a list that was told and not taken, having far fewer models or prices than the one before."""
    next_s: int | None = None
    """Seconds until it is asked again."""


class _List:
    """What is known of one provider's list."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.models: Models | None = None
        self.etag: str | None = None
        self.origin = "nothing"
        self.learned_ms: int | None = None
        self.confirmed_ms: int | None = None
        self.failed_ms: int | None = None
        self.failures = 0
        self.problem: str | None = None
        self.withheld: int | None = None
        self.due = 0.0
        self.mark: Mark | None = None
        """Of the copy that was read."""
        self.is_kept = False
        """The copy on disk is this list, as far as we know."""
        self.asking = asyncio.Lock()

    def suspicion(self, told: Models) -> str | None:
        """What it suddenly has too few of."""
        before = self.models or ()
        if _is_far_shorter(len(told), len(before)):
            return f"its list has {len(told)} models all at once, after {len(before)}"
        priced, had = _priced(told), _priced(before)
        if self.provider.lists_prices and _is_far_shorter(priced, had):
            return f"its list has {priced} prices all at once, after {had}"
        return None

    def follow(self, provider: Provider) -> None:
        """The same provider, maybe under another configuration: whoever holds another key may see other models."""
        if provider != self.provider:
            self.etag, self.due = None, 0.0
        self.provider = provider


def _is_far_shorter(told: int, before: int) -> bool:
    return told == 0 < before or (before >= _FEW and told * 2 < before)


def _priced(models: Models) -> int:
    return sum(model.price is not None for model in models)


class Plan(msgspec.Struct, frozen=True):
    """Providers, and what is known of those that are asked."""

    providers: tuple[Provider, ...]
    lists: dict[str, _List]

    @property
    def known(self) -> Lists:
        return _known(self.lists)


def _known(lists: Mapping[str, _List]) -> Lists:
    return {name: one.models for name, one in lists.items() if one.models is not None}


class ModelLists:
    """For one event loop. `learned` is told each time that `known` has changed."""

    def __init__(
        self,
        client: UpstreamClient,
        files: ListFiles,
        clock: Clock,
        learned: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._files = files
        self._clock = clock
        self._refresh_s = 3600.0
        self._learned = learned
        self._providers: tuple[Provider, ...] = ()
        self._lists: dict[str, _List] = {}
        self._telling = asyncio.Lock()
        self._has_news = False
        self._woken = asyncio.Event()
        self.table: Table = {
            "catalog.sources": Op(arguments=Arguments, result=list[ListSource], act=self._show),
            "catalog.refresh": Op(arguments=Refresh, result=list[ListSource], act=self._refresh),
        }

    @property
    def known(self) -> Lists:
        return _known(self._lists)

    async def plan(self, providers: Iterable[Provider]) -> Plan:
        """What is known of these providers: of new ones, their copies."""
        plan = Plan(tuple(providers), {})
        for provider in plan.providers:
            if not may_be_asked(provider):
                continue
            one = self._lists.get(provider.name)
            if one is None or one.provider.base_url != provider.base_url:
                one = await self._copied(provider)
            plan.lists[provider.name] = one
        return plan

    def commit(self, plan: Plan, refresh_s: float) -> None:
        """Keeps the plan's lists from now on, and forgets all others."""
        self._refresh_s = refresh_s
        self._providers, self._lists = plan.providers, plan.lists
        for provider in plan.providers:
            if (one := self._lists.get(provider.name)) is not None:
                one.follow(provider)
                one.due = min(one.due, self._now() + refresh_s)
        self._woken.set()

    async def run(self, looked: asyncio.Event) -> None:
        """Asks whoever is due, for ever; sets `looked` once nobody is. Ends by being cancelled."""
        asked: set[_List] = set()

        async def ask_it(one: _List) -> None:
            await self._ask(one)
            asked.discard(one)
            self._woken.set()

        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for one in self._lists.values():
                    if one not in asked and one.due <= self._now():
                        asked.add(one)
                        group.create_task(ask_it(one))
                if not asked:
                    looked.set()
                due = min((one.due for one in self._lists.values() if one not in asked), default=math.inf)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), max(min(due - self._now(), self._refresh_s), 0.05))

    async def follow(self, looked: asyncio.Event) -> None:
        """Asks nobody, and takes the copies that another process of this gateway keeps. Ends by being cancelled."""
        looked.set()
        while True:
            await asyncio.sleep(_FOLLOWED)
            changed = [await self._take_copy(one) for one in self._lists.values()]
            if any(changed):
                await self._tell()

    async def _take_copy(self, one: _List) -> bool:
        """Whether its models have changed."""
        async with one.asking:
            mark = await asyncio.to_thread(self._files.mark, one.provider.name)
            if mark == one.mark:
                return False
            fresh = await self._copied(one.provider)
            changed = fresh.models is not None and fresh.models != one.models
            if fresh.models is not None:
                one.models, one.learned_ms, one.origin = fresh.models, fresh.learned_ms, fresh.origin
            one.mark = mark
            return changed

    async def refresh(self, lists: Iterable[_List], *, force: bool = False) -> None:
        """Asks for lists now. `force` takes what is told, however short."""
        await asyncio.gather(*(self._ask(one, force=force) for one in lists))

    async def _ask(self, one: _List, *, force: bool = False) -> None:
        async with one.asking:
            provider, told, problem = one.provider, None, None
            try:
                told = await ask(self._client, provider, None if force else one.etag)
            except (TriviumError, ValueError, RecursionError) as error:
                problem = _words(error)
            if self._lists.get(provider.name) is not one or one.provider != provider:
                return  # of a provider that is gone, or under another key by now, for which it is asked anew
            if problem is not None:
                self._failed(one, problem)
            elif told is not None and not force and (suspicion := one.suspicion(told.models)):
                self._withhold(one, len(told.models), suspicion)
            else:
                await self._confirm(one, told)

    async def _confirm(self, one: _List, told: Told | None) -> None:
        """Takes what was told; None: the list that is known holds."""
        now_ms = self._clock.now_ms()
        one.failures, one.problem, one.withheld, one.confirmed_ms = 0, None, None, now_ms
        self._wait(one, self._refresh_s)
        changed = False
        if told is not None:
            changed = told.models != one.models
            one.models, one.etag, one.origin, one.learned_ms = told.models, told.etag, "provider", now_ms
            one.is_kept = False
        await asyncio.to_thread(self._keep, one)
        if changed or self._has_news:
            await self._tell()

    async def _tell(self) -> None:
        """Lists that come while others are told of are told of together. What could not be told is the next time."""
        self._has_news = True
        async with self._telling:
            if self._has_news:
                self._has_news = False
                try:
                    await self._learned()
                except BaseException:
                    self._has_news = True
                    raise

    def _keep(self, one: _List) -> None:
        """For a thread. Writes the copy, unless it is there."""
        provider = one.provider
        if one.models is None or one.learned_ms is None or (one.is_kept and self._files.mark(provider.name)):
            return
        kept = KeptList(
            version=VERSION,
            provider=provider.name,
            base_url=provider.base_url,
            learned_ms=one.learned_ms,
            etag=one.etag,
            models=kept_models(one.models),
        )
        one.is_kept = self._files.write(kept)

    async def _copied(self, provider: Provider) -> _List:
        one = _List(provider)
        one.mark = await asyncio.to_thread(self._files.mark, provider.name)
        if kept := await asyncio.to_thread(self._files.read, provider.name, provider.base_url):
            one.models, one.etag, one.learned_ms, one.origin = kept.entries, kept.etag, kept.learned_ms, "disk"
            one.is_kept = True
        return one

    def _failed(self, one: _List, problem: str) -> None:
        one.failures += 1
        one.problem, one.failed_ms = problem, self._clock.now_ms()
        self._wait(one, min(self._refresh_s, _FIRST_RETRY * 2 ** min(one.failures - 1, _MOST_DOUBLINGS)))
        _LOG.info("%s does not list its models: %s", one.provider.name, problem)

    def _withhold(self, one: _List, told: int, suspicion: str) -> None:
        name = one.provider.name
        one.withheld, one.problem = told, suspicion
        one.failures, one.failed_ms = 0, self._clock.now_ms()
        self._wait(one, self._refresh_s)
        _LOG.warning(
            "%s: %s; the one before stays. `trivium models refresh %s --force` takes it.", name, one.problem, name
        )

    def _wait(self, one: _List, seconds: float) -> None:
        one.due = self._now() + seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 # no secret

    def _now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._clock.monotonic_ns() / 1e9

    async def _show(self, _: Arguments, __: Actor) -> list[ListSource]:
        return [self._source(provider) for provider in self._providers]

    async def _refresh(self, query: Refresh, _: Actor) -> list[ListSource]:
        """Raises NotFound."""
        asked = [one for name, one in self._lists.items() if query.provider in (None, name)]
        if query.provider is not None and not asked:
            raise NotFound(f"There is no provider {query.provider!r} that is asked for its models.")
        await unbroken(self.refresh(asked, force=query.force))
        return [self._source(one.provider) for one in asked]

    def _source(self, provider: Provider) -> ListSource:
        if (one := self._lists.get(provider.name)) is None:
            origin = "inside" if provider.embedded else "configuration"
            return ListSource(
                provider=provider.name, url=provider.base_url, origin=origin, models=len(provider.models or ())
            )
        return ListSource(
            provider=provider.name,
            url=provider.base_url,
            origin=one.origin,
            models=len(one.models or ()),
            learned_ms=one.learned_ms,
            confirmed_ms=one.confirmed_ms,
            failed_ms=one.failed_ms,
            failures=one.failures,
            problem=one.problem,
            withheld=one.withheld,
            next_s=max(0, round(one.due - self._now())) if one.due else 0,
        )


class Refresh(Arguments, frozen=True, kw_only=True):
    provider: str | None = None
    """By default all that are asked at all."""
    force: bool = False
    """Takes a list however short it is."""


def _words(error: BaseException) -> str:
    """What went wrong, for operators."""
    if isinstance(error, TriviumError) and error.detail:
        return f"{error.message} {error.detail}"[:_LONGEST_PROBLEM]
    return str(error)[:_LONGEST_PROBLEM]
