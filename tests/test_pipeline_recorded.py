"""A call's record: each figure of a usage stands in its own column, as it does where a provider's record is read."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gateway import CHAT, running
from trivium.canon.fold import Answer
from trivium.canon.usage import Usage
from trivium.metering.record import told_by
from trivium.mock import Reply
from trivium.pipeline.call import Call, by_name
from trivium.pipeline.recorded import record_of
from trivium.pipeline.settle import Run

USAGE = Usage(
    input_uncached=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, cache_write_other=5, output=6, reasoning=7,
    audio_input=8, audio_output=9, image_input=10, server_tools={"web_search": 11}, service_tier="flex",
    reported_cost=Decimal("0.12"), market_cost=Decimal("0.13"), is_byok=True,
)  # fmt: skip


async def test_each_figure_has_its_column() -> None:
    async with running() as house:
        deps = house.gateway.now.deps
        headers = by_name([(b"user-agent", b"curl/8.5")])
        call = Call(id="req_1", api="chat_completions", headers=headers, client_ip=None, time_ms=1, started_ns=0)  # type: ignore[arg-type]
        run = Run(call, deps)
        run.answer = Answer(usage=USAGE, ended=True)
        columns = msgspec.structs.asdict(record_of(run))
    assert {name: columns[name] for name in told_by(USAGE)} == told_by(USAGE)
    assert (columns["usage_known"], columns["client_app"]) == (True, "curl/8.5")


async def test_what_a_client_says_of_itself_stands_behind_the_rest() -> None:
    async with running(Reply(text="Hi")) as house:
        assert (await house.post("/v1/chat/completions", CHAT, headers={"x-trivium-task": "t-1"}))[0] == 200
        record = await house.record()
    assert (record["outcome"], record["status"], record["task_id"]) == ("success", 200, "t-1")
