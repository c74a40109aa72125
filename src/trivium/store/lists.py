"""Providers' lists of models as they were last told: a file for each in the data folder, so that a gateway which starts
while a provider is away has its models and prices. They are copies and no more: what cannot be read or written is said
in the log, and the gateway goes on without.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trivium.metering.prices import Price
from trivium.routing.catalog import ModelEntry
from trivium.store import durable

_LOG = logging.getLogger("trivium.lists")
VERSION = 2
"""Of the files, and of how lists are read (`metering/listing.py`): one of another version is passed over, for its ETag
stands for what was sent, and would keep what was made of that."""
_LONGEST = 32 * 1024 * 1024
"""Bytes; the longest list that a provider may tell becomes shorter than that."""

Mark = tuple[int, int]


class KeptModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a provider tells of a model: those fields of `ModelEntry`."""

    id: str
    created: int = 0
    display_name: str | None = None
    price: Price | None = None
    context: int | None = None
    output_limit: int | None = None
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    parameters: tuple[str, ...] | None = None


_FIELDS = KeptModel.__struct_fields__


class KeptList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: int
    provider: str
    base_url: str
    """Who was asked: another address is another list."""
    learned_ms: int
    etag: str | None = None
    models: tuple[KeptModel, ...]

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        return tuple(
            ModelEntry(owned_by=self.provider, **{name: getattr(model, name) for name in _FIELDS})
            for model in self.models
        )


def kept_models(entries: Iterable[ModelEntry]) -> tuple[KeptModel, ...]:
    """What is kept of a provider's models."""
    return tuple(KeptModel(**{name: getattr(entry, name) for name in _FIELDS}) for entry in entries)


class _Head(msgspec.Struct):
    version: int


class ListFiles:
    """Blocks while it reads and writes: for threads. A provider's name is one of a configuration, which is a file's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, provider: str, base_url: str) -> KeptList | None:
        """None where there is none of this provider at this address that can be used."""
        file = self._file(provider)
        try:
            with file.open("rb") as stream:
                content = stream.read(_LONGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOG.warning("%s cannot be read, and is passed over: %s", file, error)
            return None
        try:
            return _kept(content, provider, base_url)
        except (ValueError, RecursionError) as error:
            _LOG.warning("%s is damaged, and is passed over: %s", file, error)
            return None

    def mark(self, provider: str) -> Mark | None:
        """Another one, where the file is another one; None where there is none."""
        try:
            found = self._file(provider).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def write(self, kept: KeptList) -> bool:
        """Whole or not at all, whatever dies meanwhile: which of them."""
        file, content = self._file(kept.provider), msgspec.json.encode(kept)
        if len(content) > _LONGEST:
            _LOG.warning("The list of %s is too long to be kept: %s bytes", kept.provider, f"{len(content):,}")
            return False
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            durable.write(file, content)
        except OSError as error:
            _LOG.warning("The list of %s is not kept: %s", kept.provider, error)
            return False
        return True

    def _file(self, provider: str) -> Path:
        return self._folder / f"{provider}.json"


def _kept(content: bytes, provider: str, base_url: str) -> KeptList | None:
    """Raises ValueError, RecursionError."""
    if len(content) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST:,} bytes")
    if msgspec.json.decode(content, type=_Head).version != VERSION:
        return None
    kept = msgspec.json.decode(content, type=KeptList)
    return kept if (kept.provider, kept.base_url) == (provider, base_url) else None
