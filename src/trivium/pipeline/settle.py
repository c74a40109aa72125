"""The scope of a call: whatever happens inside, one record comes out of it.

`Run` is the one mutable value of a call. The steps note on it what they learn; leaving the scope turns it into a
`Record`, without an await in between, so that neither a cancellation nor a second failure can lose it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import msgspec

from trivium.canon.api import Api
from trivium.canon.fold import Answer
from trivium.canon.usage import Usage
from trivium.errors import TriviumError, UpstreamError
from trivium.metering.record import Outcome, Record
from trivium.money import usd_text
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.routing.catalog import Target
from trivium.wire.losses import Loss
from trivium.wire.request import Request

CLIENT_CLOSED = 499
"""The status of a call whose client left before it had one (nginx's word for it)."""


class Run:
    """What is known of a call so far. Use as a context manager around the whole call."""

    def __init__(self, call: Call, deps: Deps) -> None:
        self.call = call
        self._deps = deps
        self.key_id: str | None = None
        self.request: Request | None = None
        self.target: Target | None = None
        self.upstream_api: Api | None = None
        self.strict = False
        """The caller would rather have an error than a request that loses something."""
        self.losses: tuple[Loss, ...] = ()
        """Of the request."""
        self.answer_losses: tuple[Loss, ...] = ()
        self.status = CLIENT_CLOSED
        self.upstream_status: int | None = None
        self.answer: Answer | None = None
        self.error: TriviumError | None = None
        self.left = False
        """The client went away, or we cut the call because the gateway stops."""
        self.flags: list[str] = []
        self.queue_us: int | None = None
        self.ttfb_us: int | None = None
        self.first_token_us: int | None = None
        self.request_bytes = 0
        self.response_bytes = 0
        self._held = 0

    def elapsed_us(self) -> int:
        return (self._deps.clock.monotonic_ns() - self.call.started_ns) // 1000

    def hold(self, size: int) -> None:
        """Sets how many bytes this call keeps in memory. Raises Overloaded beyond the gateway's budget."""
        self._deps.in_flight.take(size - self._held)
        self._held = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.hold(0)
        self._deps.keep(self._record())

    def _outcome(self) -> Outcome:
        if self.left and not (self.answer and self.answer.ended):
            # Clients close at the last event, without waiting for the end of the body.
            return Outcome.ABORTED
        told = self.answer.error if self.answer else None
        if self.error is None and told is None:
            return Outcome.SUCCESS if self.status < 400 else Outcome.FAILED
        reached_upstream = self.upstream_status is not None or isinstance(self.error, UpstreamError)
        return Outcome.FAILED if reached_upstream or self.status == 500 else Outcome.REFUSED

    def _record(self) -> Record:
        call, request, target = self.call, self.request, self.target
        answer = self.answer or _NOTHING
        code, message = self._error()
        usage = answer.usage or _NO_USAGE
        return Record(
            id=call.id,
            time_ms=call.time_ms,
            api=call.api,
            operation=call.operation,
            outcome=self._outcome(),
            status=self.status,
            key_id=self.key_id,
            requested_model=_short(request.model) if request else None,
            provider=target.provider.name if target else None,
            upstream_api=self.upstream_api,
            upstream_model=_short(target.model) if target else None,
            answer_model=_short(answer.model),
            upstream_status=self.upstream_status,
            upstream_id=_short(answer.id),
            stream=request.stream if request else False,
            error_code=code,
            error_message=message,
            in_band_error=answer.error is not None and self.upstream_status == 200,
            finish_reason=answer.finish if answer.finish != "unknown" else None,
            native_finish_reason=_short(answer.native_finish),
            usage_known=answer.usage is not None,
            input_uncached_tokens=usage.input_uncached,
            cache_read_tokens=usage.cache_read,
            cache_write_5m_tokens=usage.cache_write_5m,
            cache_write_1h_tokens=usage.cache_write_1h,
            cache_write_other_tokens=usage.cache_write_other,
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning,
            audio_input_tokens=usage.audio_input,
            audio_output_tokens=usage.audio_output,
            image_input_tokens=usage.image_input,
            server_tools=_json({_short(name): usage.server_tools[name] for name in [*usage.server_tools][:20]}),
            service_tier=_short(usage.service_tier),
            reported_cost_usd=usd_text(usage.reported_cost) if usage.reported_cost is not None else None,
            market_cost_usd=usd_text(usage.market_cost) if usage.market_cost is not None else None,
            is_byok=usage.is_byok,
            flags=" ".join([*self.flags, "clamped_usage"] if usage.clamped else self.flags),
            losses=_json(self._losses()),
            max_tokens=request.max_tokens if request else None,
            queue_us=self.queue_us,
            ttfb_us=self.ttfb_us,
            first_token_us=self.first_token_us,
            total_us=self.elapsed_us(),
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            client_app=_client_app(call.headers.get(b"user-agent")),
            client_ip=call.client_ip,
        )

    def _losses(self) -> list[tuple[str, str]]:
        """All losses; those of the answer are named after it."""
        asked = [(loss.field, loss.why) for loss in self.losses]
        return asked + [(f"answer.{loss.field}", loss.why) for loss in self.answer_losses]

    def _error(self) -> tuple[str | None, str | None]:
        """The upstream's own error wins over ours: ours says only that there was one."""
        if self.answer is not None and self.answer.error is not None:
            return _short(self.answer.error.type), self.answer.error.message[:2000]
        if self.error is not None:
            return self.error.code, (self.error.detail or self.error.message)[:2000]
        return None, None


_NOTHING = Answer()
_NO_USAGE = Usage()


def _short(text: str | None) -> str | None:
    """Names come from strangers; none of them may fill the disk."""
    return text[:256] if text else text


def _json(value: object) -> str | None:
    return msgspec.json.encode(value).decode() if value else None


def _client_app(user_agent: bytes | None) -> str | None:
    return user_agent.split(b" ", 1)[0][:100].decode("latin-1") if user_agent else None
