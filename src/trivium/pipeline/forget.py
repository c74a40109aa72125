"""What of a call need not stay in memory: the question of a long stream, of which what is still of use is read before,
and the frames that an error came through."""

from __future__ import annotations

import asyncio

from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.pipeline.words import Words
from trivium.wire.request import Request, without_body


def forget_body(request: Request, run: Run, deps: Deps) -> Request:
    """The request of a call that is on its way, for whatever comes after. What the record keeps of its words is read
    when there is time."""
    if deps.records.prompts or deps.records.tools:
        run.words = run.words or Words(request, tools=deps.records.tools)
        asyncio.get_running_loop().call_soon(run.read_words)
    run.request = without_body(request)
    return run.request


def forget_frames(error: BaseException) -> None:
    """Lets go of the way an error came, with the errors behind it, when it is dealt with: the frames hold the request
    and the answer, and an error that one of them names would keep all of it until Python looks for cycles."""
    errors: list[BaseException | None] = [error]
    while errors:
        if (one := errors.pop()) is not None:
            errors += (one.__cause__, one.__context__)
            one.__traceback__ = one.__cause__ = one.__context__ = None
