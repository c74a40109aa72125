"""A request for a model that its client did not have in mind when it said how long the answer may be: a fallback, which
may take less than the model that was asked for. Between equals and before a translation alike."""

from __future__ import annotations

import msgspec

from trivium.canon.api import Api
from trivium.wire import body as json_body
from trivium.wire.effort import SMALLEST_BUDGET
from trivium.wire.losses import Losses
from trivium.wire.request import MAX_TOKENS, Request
from trivium.wire.unthinking import without_thinking

_THINKING, _BUDGET = "thinking", "budget_tokens"


def within(request: Request, most: int, model: str, losses: Losses) -> Request:
    """The request with a limit of at most so many tokens; what thinking may take of it in Messages stays below, as that
    API demands. `model`: by the name that the client may hear."""
    members = request.members
    over = [name for name in MAX_TOKENS[request.api] if (json_body.count(members, name) or 0) > most]
    if not over:
        return request
    changes = dict.fromkeys(over, b"%d" % most)
    for name in over:
        losses.add(name, f"`{model}` answers with {most} tokens at the most")
    if request.api is Api.MESSAGES:
        changes |= _thinking(members, most, losses)
    body = json_body.patch(request.body, members, changes, changes)
    said = {name: msgspec.Raw(value) for name, value in changes.items()}
    return msgspec.structs.replace(request, body=body, members={**members, **said})


def _thinking(members: json_body.Members, most: int, losses: Losses) -> dict[str, bytes]:
    said = json_body.inner(members, _THINKING)
    if said is None or (json_body.count(said, _BUDGET) or 0) < most:
        return {}  # what is no object is the upstream's to refuse
    if most <= SMALLEST_BUDGET:
        return without_thinking(members, "there is no room for it in so short an answer", losses)
    losses.add(f"{_THINKING}.{_BUDGET}", "it must be less than the limit of the whole answer")
    return {_THINKING: json_body.patch(bytes(members[_THINKING]), said, {_BUDGET: b"%d" % (most - 1)}, (_BUDGET,))}
