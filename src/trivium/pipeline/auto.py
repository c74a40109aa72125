"""A call for an auto model: where it goes, and the list's entries of such models (behaviour page, section 5).

The model is chosen before anything else is checked, among those that the caller may use, unless a gate or a list of
what is denied means the auto model itself; from there on the call is handled as if it had named that one.
`wire/dress.py` asks for what the choice says beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import msgspec

from trivium.errors import ModelAmbiguous, ModelEnded, ModelNotAllowed, ModelNotFound, RequestError
from trivium.pipeline.authorize import check_any
from trivium.pipeline.bill import account_of, is_unsold
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.free import find, is_free
from trivium.pipeline.settle import Run
from trivium.policy.access import check_auto
from trivium.policy.caller import Caller
from trivium.policy.context import context_of
from trivium.policy.free import ANONYMOUS, key_needed
from trivium.routing.auto import Asked, AutoModel, Judge, Passed, Resolution, resolve
from trivium.routing.catalog import ModelEntry, Target
from trivium.wire.request import Request
from trivium.wire.size import measure

_NAMED = 5
"""Candidates that a refusal names."""
_ABSENT = (ModelNotFound, ModelAmbiguous, ModelEnded)


async def lead(auto: AutoModel, call: Call, request: Request, run: Run, deps: Deps) -> Target | RequestError:
    """Where the call goes, or what its caller hears after the checks that come before. Raises StoreUnavailable."""
    if (refusal := _closed(auto, request.model, run.key, deps)) is not None:
        return refusal
    run.auto = found = chosen(auto, await _asked(call, request, run, deps), run.key, call.time_ms, deps)
    if found.model is None:
        return _refusal(found)
    target = find(run.key, found.model, deps, run)
    return msgspec.structs.replace(target, led=True) if isinstance(target, Target) else target


async def stand_in(name: str, call: Call, request: Request, run: Run, deps: Deps) -> Resolution | None:
    """What an auto model leads to; None for other names. Raises ModelNotAllowed, ModelNotFound, CredentialMissing,
    StoreUnavailable."""
    auto = deps.autos.get(name)
    if auto is None:
        return None
    if (refusal := _closed(auto, name, run.key, deps)) is not None:
        raise refusal if run.key is not None else key_needed(name, deps.free)
    found = chosen(auto, await _asked(call, request, run, deps), run.key, call.time_ms, deps)
    if found.model is None:
        raise _refusal(found)
    return found


def _closed(auto: AutoModel, name: str, caller: Caller | None, deps: Deps) -> ModelNotAllowed | None:
    """Why a caller may not ask for an auto model, whatever it would lead to."""
    try:
        check_auto(caller or ANONYMOUS, auto.known_as, name, deps.house)
    except ModelNotAllowed as error:
        return error
    return None


async def _asked(call: Call, request: Request, run: Run, deps: Deps) -> Asked:
    mode, image = context_of(call.headers).mode, measure(request).images > 0
    return Asked(mode=mode, image=image, balance=await _has_balance(run.key, deps), headers=call.headers)


def chosen(auto: AutoModel, asked: Asked, caller: Caller | None, time_ms: int, deps: Deps) -> Resolution:
    """What this caller would get at this moment, and why not the others."""
    return resolve(auto, asked, deps.catalog, deps.autos, _judge(caller, time_ms, deps))


def _judge(caller: Caller | None, time_ms: int, deps: Deps) -> Judge:
    """Who says of models whether this caller may have them; of each once, however many auto models ask."""

    @cache
    def judge(name: str, price: Literal["free", "paid"] | None) -> Passed | None:
        return _passed(name, price, caller, time_ms, deps)

    return judge


def auto_entries(caller: Caller | None, headers: Mapping[bytes, bytes], time_ms: int, deps: Deps) -> list[ModelEntry]:
    """The auto models that a caller may ask for and that lead anywhere, in whatever mode."""
    entries, judge = [], _judge(caller, time_ms, deps)
    for name, auto in deps.autos.names.items():
        if name != auto.id or _closed(auto, name, caller, deps) is not None:
            continue
        modes = dict.fromkeys((auto.said.default_mode, *(mode for one in auto.said.choices for mode in one.modes)))
        ways = (
            resolve(auto, Asked(mode=mode, balance=balance, headers=headers), deps.catalog, deps.autos, judge).model
            for mode in modes
            for balance in ((True, False) if caller is not None else (False,))
        )
        found = (find(caller, way, deps) for way in dict.fromkeys(ways) if way is not None)
        leads_to = tuple(target for target in found if isinstance(target, Target))
        if leads_to:
            entries.append(_entry(auto, leads_to))
    return entries


def _entry(auto: AutoModel, leads_to: tuple[Target, ...]) -> ModelEntry:
    said = auto.said
    return ModelEntry(
        auto.id,
        "trivium",
        display_name=said.name,
        context=said.context,
        output_limit=said.output_limit,
        leads_to=leads_to,
    )


async def _has_balance(caller: Caller | None, deps: Deps) -> bool:
    """Raises StoreUnavailable."""
    if caller is None:
        return False
    account_id = account_of(caller, deps)
    return account_id is None or (await deps.ledger.free_nano(account_id))[0] > 0


def _passed(
    name: str, price: Literal["free", "paid"] | None, caller: Caller | None, time_ms: int, deps: Deps
) -> Passed | None:
    target = find(caller, name, deps)
    if isinstance(target, RequestError):
        return _error_of(name, target)
    free = is_free(target, time_ms, deps)
    if price is not None and free is not (price == "free"):
        return Passed(name, "It is free." if free else "It is not free.", told=False)
    if caller is None and not free:
        return Passed(name, "It needs an API key.", told=False)
    if not free and is_unsold(caller, target, time_ms, deps):
        return Passed(name, "Nobody knows what it costs.")
    try:
        check_any(caller, msgspec.structs.replace(target, led=True), deps)
    except RequestError as error:
        return _error_of(name, error, hidden=deps.catalog.is_hidden(target))
    return None


def _error_of(name: str, error: RequestError, *, hidden: bool = False) -> Passed:
    """What is hidden is not there for anybody to hear of."""
    absent = isinstance(error, _ABSENT)
    return Passed(name, error.message, told=not (absent or hidden), forbidden=not absent)


def _refusal(found: Resolution) -> RequestError:
    told = [f"`{one.name[:100]}`: {one.why}" for one in found.passed if one.told]
    more = f" And {len(told) - _NAMED} more." if len(told) > _NAMED else ""
    message = f"`{found.id}` leads to no model that can be had here in the mode `{found.mode[:100]}`."
    if told:
        message += f" {' '.join(told[:_NAMED])}{more}"
    kind = ModelNotAllowed if any(one.forbidden for one in found.passed) else ModelNotFound
    return kind(f"{message} GET /v1/models lists the models that can.", param="model")
