"""What is known of a call at its end, as the columns of its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trivium.canon.fold import Answer
from trivium.canon.usage import Usage
from trivium.errors import TriviumError
from trivium.metering.charge import Charge
from trivium.metering.record import Outcome, Record, json_of, runs_of, short, usd_of
from trivium.pipeline.call import client_app
from trivium.pipeline.journey import STRAIGHT
from trivium.pipeline.screening import UNCHECKED
from trivium.policy.caller import Caller, organization_of
from trivium.policy.context import NOTHING, Context, context_of
from trivium.policy.edge import UNTOLD
from trivium.wire.overlong import CODE, overlong

if TYPE_CHECKING:
    from trivium.pipeline.settle import Run

_LONGEST_MESSAGE = 2000
_NOTHING = Answer()
_NO_USAGE = Usage()


def record_of(run: Run) -> Record:
    """The record. Its columns are given by their places: by 60 names Python calls with a dictionary, which takes ten
    times as long. Those that few calls have come behind."""
    call, request, target, key, quote = run.call, run.request, run.target, run.key, run.quote
    answer = run.answer or _NOTHING
    code, message = _error(run)
    charged = run.charge()
    usage = charged.usage or answer.usage or _NO_USAGE
    record = Record(*(
        # id, time_ms, api, operation, outcome, status, key_id
        call.id, call.time_ms, call.api, call.operation, run.outcome(), run.status, key.id if key else None,
        # requested_model, provider, upstream_api
        short(request.model) if request else None, target.provider.name if target else None, run.upstream_api,
        # upstream_model, answer_model, upstream_status
        short(target.model) if target else None, short(answer.model), run.upstream_status,
        # upstream_id, stream
        short(run.generation_id() or answer.id), request.stream if request else False,
        # error_code, error_message, in_band_error
        code, message, answer.error is not None and run.upstream_status == 200,
        # finish_reason, native_finish_reason, usage_known
        answer.finish if answer.finish != "unknown" else None, short(answer.native_finish), answer.usage is not None,
        # input_uncached_tokens, cache_read_tokens
        usage.input_uncached, usage.cache_read,
        # cache_write_5m_tokens, cache_write_1h_tokens, cache_write_other_tokens
        usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_other,
        # output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens
        usage.output, usage.reasoning, usage.audio_input, usage.audio_output, usage.image_input,
        # server_tools, service_tier, reported_cost_usd, market_cost_usd, is_byok
        json_of({short(name): calls for name, calls in usage.server_tools.items()}) if usage.server_tools else None,
        short(usage.service_tier), usd_of(usage.reported_cost), usd_of(usage.market_cost), usage.is_byok,
        # flags, losses
        " ".join(_flags(run, charged, usage)),
        json_of(_losses(run)) if run.losses or run.answer_losses else None,
        # max_tokens, queue_us, ttfb_us, first_token_us, total_us
        request.max_tokens if request else None, run.queue_us, run.ttfb_us, run.first_token_us, run.total_us or 0,
        # request_bytes, response_bytes, client_app, client_ip, requests
        run.request_bytes, run.response_bytes, client_app(call.headers), call.client_ip, 1,
        # account_id, user_id, project_id
        run.account_id if run.payer is not None else None,
        key.user_id if key else None, key.project_id if key else None,
        # payer, cost_nano, market_cost_nano, cost_source
        run.payer, charged.nano, charged.market_nano, charged.source,
        # price_version, markup_ppm, hold_nano, exposure_nano
        quote.version if quote else None, quote.markup_ppm if quote else 0, run.hold_nano, 0,
        # content_bytes, rules, organization_id
        run.content_bytes, " ".join(run.rules) or None, organization_of(key),
    ))  # fmt: skip
    further = _further(run)
    if usage.runs:
        further["runs"] = runs_of(usage)
    if usage.image_output is not None:
        further["image_output_tokens"] = usage.image_output
    return msgspec.structs.replace(record, **further) if further else record


def bare_record_of(run: Run, failure: Exception) -> Record:
    """The record where making that one failed: who called, who would have paid, what the client got and what went
    wrong, none of which is computed."""
    call, key = run.call, run.key
    return Record(
        id=call.id,
        time_ms=call.time_ms,
        api=call.api,
        operation=call.operation,
        outcome=Outcome.FAILED,
        status=run.status,
        key_id=key.id if key else None,
        upstream_status=run.upstream_status,
        error_code=TriviumError.code,
        error_message=repr(failure)[:_LONGEST_MESSAGE],
        flags="unsettled",
        total_us=run.total_us or 0,
        client_ip=call.client_ip,
        account_id=run.account_id if run.payer is not None else None,
        user_id=key.user_id if key else None,
        project_id=key.project_id if key else None,
        payer=run.payer,
        hold_nano=run.hold_nano,
        organization_id=organization_of(key),
    )


def _further(run: Run) -> dict[str, Any]:
    """The columns of what few calls have: what is known of the client, what was found when abuse was looked for, what
    the caller sees in its place, who answered behind the provider, the way there, and what chose for it."""
    columns = _of_client(run)
    if run.screened is not None and (judged := run.screened.judgement) is not None:
        columns |= {"abuse_verdict": judged.verdict, "abuse_reason": short(judged.reason) or None}
    if run.target is not None and (public := run.target.covered_for(organization_of(run.key))) is not None:
        columns["public_model"] = public
    if run.target is not None and run.target.listed and (run.upstream_status or 400) >= 400:
        columns["model_listed"] = 1
    if run.answer is not None and run.answer.served_by:
        columns["inference_provider"] = short(run.answer.served_by)
    if run.journey is not STRAIGHT:
        columns["routing"] = json_of(run.journey)
    if run.auto is not None:
        columns |= run.auto.columns()
    if run.told is not None:
        code, message = run.told
        columns |= {"told_code": short(code), "told_message": message[:_LONGEST_MESSAGE]}
    return columns


def _of_client(run: Run) -> dict[str, Any]:
    """What it says in its request, what a proxy says of it, and what it says of itself."""
    columns = dict(run.read_words())
    if (edge := run.call.edge) is not UNTOLD:
        columns |= {"client_country": edge.country, "tls_fingerprint": edge.fingerprint}
    if (context := context_of(run.call.headers)) is not NOTHING:
        columns |= _told_of_itself(context, run.key)
    return columns


def _told_of_itself(context: Context, key: Caller | None) -> dict[str, Any]:
    """The project only where the key has none."""
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
