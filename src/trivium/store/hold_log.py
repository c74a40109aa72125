"""Holds on their way into the database: a file beside it that is written in one place over and over.

A hold is durable once its row lies here, for less than a commit of SQLite costs. The next transaction takes it into the
database with everything else, most often together with the end of its call, and the log begins anew.

A frame is what was held together: the log's epoch, which is random, the frame's number in it, the length and the CRC of
the rows, and the rows as JSON. The frames of an epoch lie behind each other from the beginning of the file; what lies
behind the last one is older. The file never grows, so that a full disk does not matter and only data has to be flushed.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from trivium.errors import StoreUnavailable
from trivium.store import durable
from trivium.store.sql import Row

_SIZE = 1 << 20
"""Bytes: a tenth of a second at 30,000 holds a second."""
_HEAD = struct.Struct("<8sIII")
_NOTHING = bytes(_HEAD.size)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Row]).decode
_flush = getattr(os, "fdatasync", os.fsync)  # macOS has but the one


Place = tuple[int, int]


def place_of(path: Path) -> Place | None:
    """Which file is at a path, whatever its name; None: none that can be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class HoldLog:
    """For one thread at a time. The file is made when the first hold comes."""

    def __init__(self, path: Path, is_beside: Callable[[], bool]) -> None:
        """`is_beside`: whether the database is still there that is to take in what is kept."""
        self._path = path
        self._is_beside = is_beside
        self._file: int | None = None
        self._place: Place | None = None
        """Of the file that is open, or that an earlier run has left empty."""
        self._epoch = b""
        self._frames = self._end = 0

    def keep(self, rows: Sequence[Row]) -> bool:
        try:
            said = _encode(rows)
            if self._end + _HEAD.size + len(said) > _SIZE or not self._is_beside() or not self._is_ours():
                return False
            if self._file is None:
                self._file = _made(self._path)
                self._place = place_of(self._path)
            if not self._end:
                self._epoch = os.urandom(8)
            head = (self._epoch, self._frames, len(said))
            frame = _HEAD.pack(*head, _sum(*head, said)) + said
            if os.pwrite(self._file, frame, self._end) < len(frame):
                raise OSError  # a file system that copies what is written over has no room left
            _flush(self._file)
        except (OSError, ValueError, OverflowError, MemoryError):
            self._end = _SIZE  # nobody knows what lies there: nothing is added until the database has it all
            return False
        self._frames += 1
        self._end += _HEAD.size + len(said)
        return True

    def _is_ours(self) -> bool:
        """Whether what is added can be found at the next start. If the file was taken away, what it had has to be in
        the database before there is another one."""
        if self._file is None or place_of(self._path) == self._place:
            return True
        os.close(self._file)
        self._file = self._place = None
        if self._end:
            self._end = _SIZE
        return not self._end

    def clear(self) -> None:
        if not self._end:
            return
        with contextlib.suppress(OSError):  # rows that the database has it does not take again
            if self._file is not None:
                os.pwrite(self._file, _NOTHING, 0)
            elif self._is_beside():
                self._path.unlink(missing_ok=True)
        self._frames = self._end = 0

    def read(self) -> list[Row]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable("The log of holds cannot be read.", detail=f"{self._path}: {error}") from error
        kept = [row for rows in _frames(data) for row in rows]
        if kept:
            self._end = _SIZE
        else:
            self._place = place_of(self._path)
        return kept

    def close(self) -> None:
        """Leaves no file where nothing is kept, be it an earlier run's."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._place is not None and not self._end and place_of(self._path) == self._place:
            self._path.unlink(missing_ok=True)


def _frames(data: bytes) -> Iterator[list[Row]]:
    at, number, first = 0, 0, data[:8]
    while at + _HEAD.size <= len(data):
        epoch, frame, length, sum = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        said = data[at : at + length]
        if (epoch, frame) != (first, number) or not length or sum != _sum(epoch, frame, length, said):
            return
        yield _decode(said)
        at, number = at + length, number + 1


def _sum(epoch: bytes, frame: int, length: int, said: bytes) -> int:
    return zlib.crc32(said, zlib.crc32(struct.pack("<8sII", epoch, frame, length)))


def _made(path: Path) -> int:
    """The file, with all its bytes in place: writing over them changes nothing that the file system has to keep."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_size != _SIZE:
            os.ftruncate(file, os.pwrite(file, bytes(_SIZE), 0))
            os.fsync(file)
            durable.flush(path.parent)
    except BaseException:
        os.close(file)
        raise
    return file
