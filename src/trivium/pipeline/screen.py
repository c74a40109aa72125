"""A call is looked at for abuse, after it is known to be allowed and before anything is put aside for it (behaviour
page, section 10).

The rules judge at once. A classifier is asked without waiting in mode `log`, when the call is on its way; in mode
`enforce` the call waits for it as long as its timeout says, and goes on without. Only `enforce` acts on a verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trivium.errors import CallBlocked, CallChallenged, RequestError
from trivium.metering.charge import GIVEN_AWAY, OWN_KEY, Payer
from trivium.pipeline.authorize import passes
from trivium.pipeline.bill import bill_of
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.free import find
from trivium.pipeline.legs import serves
from trivium.pipeline.screening import Screened, Screening
from trivium.pipeline.settle import Run
from trivium.pipeline.words import Words
from trivium.policy.abuse import Judgement, Seen, Verdict
from trivium.policy.addresses import subscriber
from trivium.policy.caller import organization_of
from trivium.routing.catalog import Target
from trivium.settings import ClassifierSettings
from trivium.upstream.classifier import Question
from trivium.wire.prompts import offered_tools
from trivium.wire.request import Request

SOFT_BLOCKED = "soft_block"
"""The flag of a record whose call was answered by another model than the one that it asked for."""
UNREAD = "prompts_unread"
"""The flag of a record in whose call nobody could look for bad prompts."""
_LONGEST_AGENT = 500
_LONGEST_MODEL = 256
_ADVICE = (
    "This call was not answered, since it looks like abuse. Send fewer requests and try again in a few minutes; if it "
    "goes on, ask the operator of this gateway and name the request's id."
)
_BLOCKED = "This call is blocked. The operator of this gateway can tell why; name the request's id."


async def screen(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> Target:
    """The target that the call goes to. Raises CallChallenged, CallBlocked."""
    screening = deps.screening
    if screening is None:
        return target
    payer = bill_of(call, target, run, deps).payer
    words = Words(request, tools=deps.records.prompts and deps.records.tools)
    if deps.records.prompts:
        run.words = words
    seen = _seen(call, payer, run, deps.clock.now_ms())
    run.screened = screened = Screened(call.id, seen.identity, screening.rules.judge(seen, lambda: _texts(words, run)))
    if (asks := screening.asks) is not None:

        def question() -> Question:
            return _question(call, request, target, payer, words, run, screened, asks, screening.settings.mode)

        if not screening.enforces:
            asyncio.get_running_loop().call_soon(_ask_later, screening, screened, question)
        elif screened.judgement.verdict is not Verdict.HARD_BLOCK:
            await screening.ask(screened, question())
    if not screening.enforces:
        return target
    return _enforced(screened.judgement, target, run, screening, deps)


def _ask_later(screening: Screening, screened: Screened, question: Callable[[], Question]) -> None:
    """Runs when the call waits for something, its upstream as a rule: until then nothing was read for this."""
    if not screened.written:
        screening.ask_later(screened, question())


def _enforced(judgement: Judgement, target: Target, run: Run, screening: Screening, deps: Deps) -> Target:
    if judgement.verdict is Verdict.ALLOW:
        return target
    if judgement.verdict is Verdict.HARD_BLOCK:
        raise CallBlocked(judgement.advice or _BLOCKED, detail=judgement.reason)
    cheaper = _cheaper(run, screening, deps) if judgement.verdict is Verdict.SOFT_BLOCK else None
    if cheaper is None:
        raise CallChallenged(judgement.advice or screening.settings.challenge or _ADVICE, detail=judgement.reason)
    run.flags.append(SOFT_BLOCKED)
    return cheaper


def _cheaper(run: Run, screening: Screening, deps: Deps) -> Target | None:
    """The model of soft blocks, if the caller may use it. Whoever has no key may not."""
    if screening.settings.soft_block_model is None or run.key is None:
        return None
    target = find(run.key, screening.settings.soft_block_model, deps, run)
    if isinstance(target, RequestError):
        return None
    routes = deps.catalog.routes(target)
    return target if any(serves(run.call.api, one) and passes(run.key, one, deps) for one in routes) else None


def _seen(call: Call, payer: Payer, run: Run, now_ms: int) -> Seen:
    key = run.key
    if key is None:
        identity = f"address:{subscriber(call.client_ip)}"
    else:
        identity = f"user:{key.user_id}" if key.user_id else f"key:{key.id}"
    return Seen(
        identity=identity,
        client_ip=call.client_ip,
        agent=_agent(call),
        born_ms=key.born_ms if key else None,
        free=payer in GIVEN_AWAY,
        time_ms=now_ms,
    )


def _agent(call: Call) -> str:
    return call.headers.get(b"user-agent", b"")[:_LONGEST_AGENT].decode("latin-1")


def _texts(words: Words, run: Run) -> tuple[str, ...] | None:
    told = words.read()
    if not told.read:
        _note_unread(run)
        return None
    return tuple(text for text in (told.user, told.system) if text is not None)


def _note_unread(run: Run) -> None:
    if UNREAD not in run.flags:
        run.flags.append(UNREAD)


def _question(  # noqa: PLR0917
    call: Call,
    request: Request,
    target: Target,
    payer: Payer,
    words: Words,
    run: Run,
    screened: Screened,
    asks: ClassifierSettings,
    mode: str,
) -> Question:
    key = run.key
    prompts, system, user = _prompts(words, run, asks)
    return Question(
        id=call.id,
        time_ms=call.time_ms,
        mode=mode,
        api=call.api,
        stream=request.stream,
        identity=screened.identity,
        born_ms=key.born_ms if key else None,
        user_id=key.user_id if key else None,
        key_id=run.key_id,
        organization_id=organization_of(key),
        project_id=key.project_id if key else None,
        ip=call.client_ip,
        country=call.edge.country,
        tls_fingerprint=call.edge.fingerprint,
        agent=_agent(call),
        requested_model=request.model[:_LONGEST_MODEL],
        provider=target.provider.name,
        model=target.model[:_LONGEST_MODEL],
        max_tokens=request.max_tokens,
        tools=offered_tools(request),
        byok=payer in OWN_KEY,
        free=payer in GIVEN_AWAY,
        prompts=prompts,
        system_prompt=system,
        user_text=user,
        rules_verdict=screened.judgement.verdict,
        rules_reason=screened.judgement.reason,
    )


def _prompts(words: Words, run: Run, asks: ClassifierSettings) -> tuple[str, str | None, str | None]:
    """How much of the prompts goes out, the system's and the user's last."""
    if run.key is not None and run.key.organization is not None and not asks.organization_prompts:
        return "withheld", None, None
    told = words.read()
    if not told.read:
        _note_unread(run)
        return "unread", None, None
    longest = max(len(told.system or ""), len(told.user or ""))
    if longest <= asks.max_prompt:
        return "whole", told.system, told.user
    system, user = (text and text[: asks.max_prompt] for text in (told.system, told.user))
    return "cut", system, user
