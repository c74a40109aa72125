"""What is known of a call at its end, as the columns of its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from trivium.canon.fold import Answer
from trivium.canon.usage import Usage
from trivium.metering.charge import Charge
from trivium.metering.record import Record, json_of, short, usd_of
from trivium.pipeline.call import client_app
from trivium.pipeline.journey import STRAIGHT
from trivium.pipeline.screening import UNCHECKED
from trivium.policy.caller import Caller
from trivium.policy.context import NOTHING, context_of
from trivium.wire.overlong import CODE, overlong

if TYPE_CHECKING:
    from trivium.pipeline.settle import Run

_LONGEST_MESSAGE = 2000
_NOTHING = Answer()
_NO_USAGE = Usage()


def record_of(run: Run) -> Record:
    """The record. All columns are named one by one, as that takes half the time of a mapping; those that few calls have
    come behind."""
    call, request, target, key, quote = run.call, run.request, run.target, run.key, run.quote
    answer = run.answer or _NOTHING
    code, message = _error(run)
    charged = run.charge()
    usage = charged.usage or answer.usage or _NO_USAGE
    record = Record(
        id=call.id, time_ms=call.time_ms, api=call.api, operation=call.operation,
        outcome=run.outcome(), status=run.status, key_id=run.key_id,
        requested_model=short(request.model) if request else None,
        provider=target.provider.name if target else None,
        upstream_api=run.upstream_api,
        upstream_model=short(target.model) if target else None,
        answer_model=short(answer.model),
        upstream_status=run.upstream_status,
        upstream_id=short(run.generation_id or answer.id),
        stream=request.stream if request else False,
        error_code=code, error_message=message,
        in_band_error=answer.error is not None and run.upstream_status == 200,
        finish_reason=answer.finish if answer.finish != "unknown" else None,
        native_finish_reason=short(answer.native_finish),
        usage_known=answer.usage is not None,
        input_uncached_tokens=usage.input_uncached, cache_read_tokens=usage.cache_read,
        cache_write_5m_tokens=usage.cache_write_5m, cache_write_1h_tokens=usage.cache_write_1h,
        cache_write_other_tokens=usage.cache_write_other, output_tokens=usage.output, reasoning_tokens=usage.reasoning,
        audio_input_tokens=usage.audio_input, audio_output_tokens=usage.audio_output,
        image_input_tokens=usage.image_input,
        server_tools=json_of({short(name): calls for name, calls in usage.server_tools.items()})
        if usage.server_tools else None,
        service_tier=short(usage.service_tier), is_byok=usage.is_byok,
        reported_cost_usd=usd_of(usage.reported_cost), market_cost_usd=usd_of(usage.market_cost),
        flags=" ".join(_flags(run, charged, usage)),
        losses=json_of(_losses(run)) if run.losses or run.answer_losses else None,
        max_tokens=request.max_tokens if request else None,
        queue_us=run.queue_us, ttfb_us=run.ttfb_us, first_token_us=run.first_token_us,
        total_us=run.elapsed_us() if run.total_us is None else run.total_us,
        request_bytes=run.request_bytes, response_bytes=run.response_bytes,
        client_app=client_app(call.headers), client_ip=call.client_ip,
        account_id=run.account_id if run.payer is not None else None,
        organization_id=key.organization.id if key and key.organization else None,
        user_id=key.user_id if key else None, project_id=key.project_id if key else None,
        payer=run.payer, cost_nano=charged.nano, market_cost_nano=charged.market_nano, cost_source=charged.source,
        price_version=quote.version if quote else None, markup_ppm=quote.markup_ppm if quote else 0,
        hold_nano=run.hold_nano,
        content_bytes=run.content_bytes, rules=" ".join(run.rules) or None,
        routing=None if run.journey is STRAIGHT else json_of(run.journey),
    )  # fmt: skip
    further = {**_judged(run), **_for_callers(run), **run.read_prompts(), **_told_of_itself(call.headers, key)}
    return msgspec.structs.replace(record, **further) if further else record


def _judged(run: Run) -> dict[str, Any]:
    judged = run.screened.judgement if run.screened else None
    return {"abuse_verdict": judged.verdict, "abuse_reason": short(judged.reason) or None} if judged else {}


def _for_callers(run: Run) -> dict[str, Any]:
    """The columns of what the caller's side sees in place of others, and of what chose for it."""
    columns: dict[str, Any] = {}
    if run.target is not None and run.target.stealth:
        columns["public_model"] = run.target.public
    if run.auto is not None:
        columns |= run.auto.columns()
    if run.told is not None:
        code, message = run.told
        columns |= {"told_code": short(code), "told_message": message[:_LONGEST_MESSAGE]}
    return columns


def _told_of_itself(headers: Mapping[bytes, bytes], key: Caller | None) -> dict[str, Any]:
    """The columns of what the client says; the project only where the key has none."""
    if (context := context_of(headers)) is NOTHING:
        return {}
    return {
        "task_id": context.task,
        "parent_task_id": context.parent_task,
        "session_id": context.session,
        "client_project": None if key and key.project_id else context.project,
        "editor": context.editor,
        "machine_id": context.machine,
        "client_version": context.version,
        "feature": context.feature,
        "mode": context.mode,
    }


def _flags(run: Run, charged: Charge, usage: Usage) -> list[str]:
    flags = [*run.flags, *charged.flags, *(["clamped_usage"] if usage.clamped else [])]
    if run.screened is not None and run.screened.asked:
        flags.append(UNCHECKED)
    if run.own is not None and run.own.let_house_pay(usage):
        flags.append("own_key_replaced")
    return flags


def _losses(run: Run) -> list[tuple[str, str]]:
    """All losses; those of the answer are named after it."""
    asked = [(loss.field, loss.why) for loss in run.losses]
    return asked + [(f"answer.{loss.field}", loss.why) for loss in run.answer_losses]


def _error(run: Run) -> tuple[str | None, str | None]:
    """The upstream's own error wins over ours: ours says only that there was one."""
    if run.answer is not None and (fault := run.answer.error) is not None:
        is_long = overlong(fault, run.upstream_status) is not None
        return CODE if is_long else short(fault.type), fault.message[:_LONGEST_MESSAGE]
    if run.error is not None:
        return run.error.code, (run.error.detail or run.error.message)[:_LONGEST_MESSAGE]
    return None, None
