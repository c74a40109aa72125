"""The configuration file while the gateway runs: read again when it changes, at SIGHUP, or when an operator says so.

A file that is wrong changes nothing: the log says why, and so do `trivium reload` and the admin API. The file is looked
at twice a second, and read once two looks found it the same, for an editor may write it in pieces. One that only the
store stood in the way of is read again until it does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from trivium import config
from trivium.clock import Clock
from trivium.errors import ConfigError, OperationError, StoreUnavailable, TriviumError
from trivium.operations.config import ConfigStatus, Reload, config_table
from trivium.server.parts import check_whole
from trivium.settings import Settings
from trivium.store.changes import OPERATOR, Change, keep_note
from trivium.store.writer import Writer

_LOG = logging.getLogger("trivium.config")
_LOOK = 0.5
"""Seconds between two looks at the file."""
_BY_ITSELF = ("file", "SIGHUP")
"""Triggers that name nobody: whoever may write the file, or signal the process, is the operator."""

Apply = Callable[[Settings], Awaitable[tuple[tuple[str, ...], tuple[str, ...]]]]
"""Takes settings over; returns the sections that changed, and what needs a restart. Raises TriviumError, in which case
all is as before."""
_State = tuple[int, int, int] | None


class Reloading:
    """`soon` and `reload`; `watch` is what acts on the file and on `soon`."""

    def __init__(self, first: Settings, env: Mapping[str, str], apply: Apply, clock: Clock, writer: Writer) -> None:
        """`first` is what the gateway began with."""
        self._first = first
        file = first.source.file if first.source else None
        self._file = file if file is not None and file.is_file() else None
        """Null for a pipe, too: what has been read from one is not there any more."""
        self._env = env
        self._apply = apply
        self._clock = clock
        self._writer = writer
        self._loaded = self._last = Reload(at_ms=clock.now_ms(), trigger="start", applied=True)
        self._read: _State = None
        """The file as it was when it was read last."""
        self._again: str | None = None
        """What the store stood in the way of: why the file is to be read again."""
        self._one_at_a_time = asyncio.Lock()
        self._called = asyncio.Event()
        self._trigger = ""
        self.taken: Callable[[Settings], None] = lambda _: None
        """Hears of what was taken over."""
        self.notes = True
        """What was taken over has a line in the log of changes; of several workers one writes it."""
        self.table = config_table(self.reload, self._status)

    def soon(self, trigger: str) -> None:
        """Has the file read by `watch`. For signal handlers."""
        self._trigger = trigger
        self._called.set()

    async def reload(self, trigger: str) -> Reload:
        """Reads the file and takes it over; where there is none, only what the settings name is read again. Raises
        OperationError, or StoreUnavailable for what passes by itself, with all as before."""
        async with self._one_at_a_time:
            before, self._read, self._again = self._read, await self._look(), None
            try:
                read = await asyncio.to_thread(self._load)
                changed, waits = await self._apply(read)
            except TriviumError as error:
                told = f"{error.message} ({error.detail})" if error.detail else error.message
                passes = isinstance(error, StoreUnavailable)
                if not passes or told != self._last.problem:
                    _LOG.error("The configuration is as before, for the file cannot be taken (%s): %s", trigger, told)
                self._last = Reload(at_ms=self._clock.now_ms(), trigger=trigger, applied=False, problem=told)
                if passes and trigger in _BY_ITSELF:
                    self._again = trigger
                elif passes:  # whoever asked has been told
                    self._read = before
                refusal = StoreUnavailable if passes else OperationError
                raise refusal(f"The configuration is as before: {told}") from error
            self._loaded = self._last = Reload(
                at_ms=self._clock.now_ms(), trigger=trigger, applied=True, changed=changed, needs_restart=waits
            )
        self.taken(read)
        _LOG.info("The configuration was read (%s); changed: %s", trigger, ", ".join(changed) or "nothing")
        if waits:
            _LOG.warning("needs a restart: %s", ", ".join(waits))
        if self.notes:
            await self._note(self._loaded)
        return self._last

    async def _note(self, loaded: Reload) -> None:
        """Which sections, not what stands in them: that may be secret."""
        await keep_note(
            self._writer,
            Change(
                time_ms=loaded.at_ms,
                actor=OPERATOR if loaded.trigger in _BY_ITSELF else loaded.trigger,
                action="config.reload",
                target=str(self._file or "settings"),
                after={"trigger": loaded.trigger, "changed": loaded.changed, "needs_restart": loaded.needs_restart},
            ),
        )

    async def watch(self) -> None:
        """Ends by being cancelled."""
        self._read = before = await self._first_look()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), _LOOK)
            async with self._one_at_a_time:  # what is being read just now is no news afterwards
                state = await self._look()
            settled, before = state == before, state
            trigger = ("file" if state != self._read else self._again) if settled else None
            if self._called.is_set():
                trigger = self._trigger
                self._called.clear()
            if trigger is None:
                continue
            try:
                await self.reload(trigger)
            except (OperationError, StoreUnavailable):
                pass  # it has been said, and the file may be mended
            except Exception:
                _LOG.exception("the configuration could not be read again")

    async def _first_look(self) -> _State:
        """The file as it was when the gateway began; it may have changed since."""
        state, source = await self._look(), self._first.source
        if self._file is None or source is None:
            return None
        with suppress(OSError, UnicodeDecodeError):
            if await asyncio.to_thread(self._file.read_text, encoding="utf-8-sig") == source.text:
                return state
        return None

    async def _look(self) -> _State:
        if self._file is None:
            return None
        try:
            found = await asyncio.to_thread(self._file.stat)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _load(self) -> Settings:
        """Raises ConfigError."""
        if self._file is None:
            return self._first
        if self._file.exists() and not self._file.is_file():
            raise ConfigError(f"{self._file} is no file any more that can be read again")
        settings = config.load(self._file, self._env)
        # What waits for the next start, too: it would be refused then, when nobody thinks of it any more.
        check_whole(settings, config.data_folder(settings, self._env), self._env)
        return settings

    def _status(self) -> ConfigStatus:
        return ConfigStatus(file=None if self._file is None else str(self._file), loaded=self._loaded, last=self._last)
