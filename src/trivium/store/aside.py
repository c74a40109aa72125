"""Reading that may take a while, in threads of its own.

Those of the event loop sign calls and read long vectors: no call waits until somebody's report is done, however many
are asked for at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_THREADS = ThreadPoolExecutor(2, "trivium-reads")


async def aside(read: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """As `asyncio.to_thread`."""
    act = partial(copy_context().run, read, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, act)
