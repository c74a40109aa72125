"""A long stream need not keep its question in memory: what is still of use of it is read before."""

from __future__ import annotations

import asyncio

from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.pipeline.words import Words
from trivium.wire.request import Request, without_body


def forget_body(request: Request, run: Run, deps: Deps) -> Request:
    """The request of a call that is on its way, for whatever comes after. Prompts are read when there is time."""
    if deps.keeps_prompts:
        run.words = run.words or Words(request)
        asyncio.get_running_loop().call_soon(run.read_prompts)
    run.request = without_body(request)
    return run.request
