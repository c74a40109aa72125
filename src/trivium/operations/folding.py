"""Folds usage into longer spans while the gateway runs (`store/spans.py`), one at a time, so that no request waits
long."""

from __future__ import annotations

import asyncio
import logging

from trivium.errors import StoreUnavailable
from trivium.store import spans
from trivium.store.store import Store

_LOG = logging.getLogger("trivium.usage")
_PAUSE = 60.0
"""Seconds between two looks for hours that are over."""
_REST = 0.05
"""Seconds between two spans, which are the requests'."""


async def keep_folding(store: Store) -> None:
    """Ends by being cancelled."""
    while True:
        try:
            await fold_due(store)
        except StoreUnavailable as error:
            _LOG.warning("folding usage waits for the store: %s", error.detail or error.message)
        except Exception:
            _LOG.exception("folding usage goes on after an error")
        await asyncio.sleep(_PAUSE)


async def fold_due(store: Store, rest: float = _REST) -> None:
    """Folds every hour that is over, and what was folded before into spans of the next length. Raises
    StoreUnavailable."""
    for due in await asyncio.to_thread(spans.due, store.database, store.clock.now_ms()):
        done = False
        while not done:
            done = await store.ledger.writer.run(lambda tx, due=due: spans.fold(tx, due))  # type: ignore[misc]
            await asyncio.sleep(rest)
