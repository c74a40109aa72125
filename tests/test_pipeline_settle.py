"""How a call is settled that broke off, or that nobody waited for: told as callers and upstreams see it."""

from __future__ import annotations

import asyncio
import gc
import pkgutil
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway import ALL_APIS, CHAT, Running
from support_money import (
    APIS,
    BODIES,
    CREDITS,
    INPUT,
    METER,
    OPENROUTER,
    OUTPUT,
    PATHS,
    customer,
    leave,
    settled,
    settled_one,
    shop,
    stalling,
    streamed,
    usage,
    whole,
)
from support_people import People
from trivium.canon.fold import Answer
from trivium.clock import SystemClock
from trivium.mock import Generation, Reply, Rule, Script, Usage
from trivium.money import NANO, nano_text
from trivium.pipeline import settle
from trivium.pipeline.settle import Run

DRAIN = f'{ALL_APIS}\non_abort = "drain"'
HOUR_US = 3_600_000_000
JAPANESE = "船は夜明けに港を出た。" * 4
"""132 bytes, by which one would guess 37 tokens."""


@pytest.mark.parametrize(("api", "stream"), [*((api, False) for api in APIS), ("chat", True), ("responses", True)])
async def test_an_answer_that_is_read_on_for_nobody_and_tells_no_usage_costs_nothing(api: str, stream: bool) -> None:
    said = streamed(api, "It is sunny.", None) if stream else ""
    body = None if stream else whole(api, "It is sunny.", None)
    late = Reply(sse=said or None, body=body, first_event_delay_ms=200)
    async with shop(late, settings=CREDITS, provider=DRAIN) as house:
        payer = await customer(house)
        asking = asyncio.create_task(house.post(PATHS[api], {**BODIES[api], "stream": stream}))
        await house.upstream.wait_for_requests(1)
        asking.cancel()
        record = await settled_one(house)
        (ended,) = await house.upstream.wait_for_endings(1)
        entries = await payer.entries()
    assert ended.ending == "completed"
    assert (record["outcome"], record["content_bytes"], record["cost_nano"]) == ("aborted", 0, 0)
    assert record["flags"] == ""
    assert entries == [("top_up", "1")]


async def test_and_costs_what_its_usage_says_where_it_tells_one() -> None:
    late = Reply(text="It is sunny.", usage=Usage(input=25, output=20), first_event_delay_ms=200)
    async with shop(late, settings=CREDITS, provider=DRAIN) as house:
        await customer(house)
        asking = asyncio.create_task(house.post(PATHS["chat"], CHAT))
        await house.upstream.wait_for_requests(1)
        asking.cancel()
        record = await settled_one(house)
    assert (record["content_bytes"], record["cost_source"]) == (0, "computed")
    assert record["cost_nano"] == 25 * INPUT + 20 * OUTPUT


@pytest.mark.parametrize("on_abort", ["cancel", "drain"])
async def test_an_answer_that_is_there_and_has_not_begun_to_go_out_when_its_client_leaves_costs_nothing_either(
    on_abort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two it may be the turn of other calls."""
    there, told_whole = asyncio.Event(), Run.told_whole

    class Turn:
        def __init__(self, run: Run) -> None:
            self.run = run

        def __await__(self) -> Generator[None, None, None]:
            while not self.run.left:
                yield

    def read(run: Run, answer: Answer) -> None:
        told_whole(run, answer)
        monkeypatch.setattr(run.deps, "turn", Turn(run))
        there.set()

    monkeypatch.setattr(Run, "told_whole", read)
    provider = f'{ALL_APIS}\non_abort = "{on_abort}"'
    async with shop(Reply(body=whole("chat", "It is sunny.", None)), settings=CREDITS, provider=provider) as house:
        payer = await customer(house)
        asking = asyncio.create_task(house.post(PATHS["chat"], CHAT))
        await there.wait()
        asking.cancel()
        record = await settled_one(house)
        assert await payer.entries() == [("top_up", "1")]
    assert (record["outcome"], record["content_bytes"], record["cost_nano"]) == ("aborted", 0, 0)


@pytest.mark.parametrize("model", ["far/x", "two"])
async def test_while_nobody_has_had_the_request_yet_it_is_given_up(model: str) -> None:
    """The provider takes connections, and says nothing of TLS. The one that was asked before it failed."""
    connected, cut = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()
        cut.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        far = f'[providers.far]\nbase_url = "{url}"\n{DRAIN}\ntimeouts = {{ connect = 600 }}\n'
        two = '[catalog.models.two]\nroutes = [{ to = "up/x" }, { to = "far/x" }]\n'
        free = '[models."*/*"]\nfree = true\n'
        async with shop(Reply(status=500), settings=far + two + free, provider=DRAIN) as house:
            asking = asyncio.create_task(house.post(PATHS["chat"], {**CHAT, "model": model}))
            await connected.wait()
            asking.cancel()
            record = await settled_one(house)
            await cut.wait()
    assert (record["outcome"], record["status"], record["upstream_status"]) == ("aborted", 499, None)


@pytest.mark.parametrize("api", APIS)
async def test_who_leaves_behind_the_last_event_has_had_the_whole_answer(api: str) -> None:
    """Clients do not wait for the end of the body, which may be long in coming."""
    last = {"chat": b"[DONE]", "responses": b"response.completed", "messages": b"message_stop"}[api]
    async with shop(stalling(streamed(api, "It is sunny.", usage(api, 25, 20))), settings=CREDITS) as house:
        await customer(house)
        await leave(house, PATHS[api], BODIES[api], last)
        record = await settled_one(house)
    assert (record["outcome"], record["cost_nano"]) == ("success", 25 * INPUT + 20 * OUTPUT)


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_connection_that_breaks_behind_the_usage_changes_nothing(api: str) -> None:
    """Relayed and translated. By the bytes of its letters the answer would be longer than the provider says it is."""
    sse = streamed("chat", JAPANESE, usage("chat", 25, 20))
    broken = Reply(sse=sse, abort="close", abort_after_bytes=sse.encode().index(b"data: [DONE]"))
    async with shop(broken, settings=CREDITS, provider='apis = ["chat"]') as house:
        await customer(house)
        await house.post(PATHS[api], {**BODIES[api], "stream": True})
        record = await settled_one(house)
    assert record["content_bytes"] == len(JAPANESE.encode())
    assert (record["cost_nano"], record["flags"]) == (25 * INPUT + 20 * OUTPUT, "")


async def test_where_nothing_was_held_the_question_of_a_stream_that_tells_no_usage_is_estimated_as_well() -> None:
    """It is let go of as soon as it has been sent."""
    asked = {**CHAT, "messages": [{"role": "user", "content": "x" * 3_600}], "stream": True}
    async with shop(Reply(sse=streamed("chat", "It is sunny.", None)), settings=METER) as house:
        await house.post(PATHS["chat"], asked)
        record = await settled_one(house)
    assert (record["hold_nano"], record["flags"]) == (0, "estimated")
    assert 1_000 < record["input_uncached_tokens"] < 1_100


async def test_half_an_event_that_nobody_was_sent_is_no_content() -> None:
    sse = streamed("chat", "x" * 36, usage("chat", 25, 20))
    cut = sse.encode().index(b"x" * 36) + 40
    async with shop(Reply(sse=sse, abort="end", abort_after_bytes=cut), settings=CREDITS) as house:
        await customer(house)
        _, told, _ = await house.post(PATHS["chat"], {**CHAT, "stream": True})
        record = await settled_one(house)
    assert "xxx" not in told
    assert (record["content_bytes"], record["cost_nano"]) == (0, 0)


async def test_of_a_whole_answer_that_breaks_off_on_its_way_its_length_is_charged() -> None:
    """One that begins with blanks goes on while it comes, as its client would give up otherwise."""
    body = b"\n" * 16 + b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "It is sun'
    broken = Reply(
        body=body.decode() + "ny.", chunk_bytes=16, event_delay_ms=5, abort="close", abort_after_bytes=len(body)
    )
    async with shop(broken, settings=CREDITS) as house:
        await customer(house)
        with pytest.raises(aiohttp.ClientPayloadError):
            await house.post(PATHS["chat"], CHAT)
        record = await settled_one(house)
    passed = len(body) - 16
    assert record["content_bytes"] == passed
    assert (record["output_tokens"], record["flags"]) == (-(-passed * 10 // 36), "estimated")


async def test_blanks_alone_are_nothing() -> None:
    broken = Reply(body="\n" * 64 + "{}", chunk_bytes=16, event_delay_ms=5, abort="close", abort_after_bytes=64)
    async with shop(broken, settings=CREDITS) as house:
        await customer(house)
        with pytest.raises(aiohttp.ClientPayloadError):
            await house.post(PATHS["chat"], CHAT)
        record = await settled_one(house)
    assert (record["outcome"], record["content_bytes"], record["cost_nano"]) == ("failed", 0, 0)


async def test_so_is_a_long_one_but_never_more_than_the_model_can_say() -> None:
    body = whole("chat", "x" * 1_400_000, usage("chat", 25, 900))
    broken = Reply(body=body, abort="close", abort_after_bytes=1_300_000)
    async with shop(broken, settings=CREDITS) as house:
        await customer(house)
        with pytest.raises(aiohttp.ClientPayloadError):
            await house.post(PATHS["chat"], CHAT)
        record = await settled_one(house)
    assert record["content_bytes"] == 1_300_000
    assert (record["output_tokens"], record["flags"]) == (1000, "estimated")


async def test_who_remembers_no_calls_is_asked_for_no_figures_however_it_calls_them() -> None:
    said = whole("chat", "It is sunny.", usage("chat", 25, 20), {"generationId": "gen-1"})
    async with shop(Reply(body=said), settings=CREDITS) as house:
        await customer(house)
        assert (await house.post(PATHS["chat"], CHAT))[0] == 200
        record = await settled_one(house)
    assert (record["upstream_id"], record["cost_source"], record["flags"]) == ("c1", "computed", "")


@asynccontextmanager
async def looked_for() -> AsyncIterator[Running]:
    """A call has its answer, and a figure of it is looked for that does not come."""
    body = {**whole("chat", "It is sunny.", None), "id": "gen-1"}
    script = Script([Rule(Reply(body=body))], generations=[Generation(id="gen-1", after_asks=1_000)])
    async with shop(script=script, settings=CREDITS, provider=OPENROUTER) as house:
        await customer(house)
        assert (await house.post(PATHS["chat"], CHAT))[0] == 200
        yield house


async def test_while_a_figure_is_looked_up_no_question_is_kept_that_counts_in_no_limit() -> None:
    async with looked_for() as house:
        assert house.gateway.deps.in_flight.bytes == 0
        (waiting,) = [one for one in gc.get_objects() if isinstance(one, Run) and one.request is not None]
        assert waiting.request
        assert (waiting.request.body, waiting.request.members) == (b"", {})
        await house.gateway.deps.lookups.close(0.01)
        record = await settled_one(house)
    assert (record["cost_source"], record["input_uncached_tokens"] > 0) == ("estimated", True)


async def test_a_call_took_until_its_answer_was_there_however_long_a_figure_is_looked_for() -> None:
    class AnHourLater(SystemClock):
        @staticmethod
        def monotonic_ns() -> int:
            return SystemClock.monotonic_ns() + HOUR_US * 1_000

    async with looked_for() as house:
        assert house.gateway.deps.in_flight.calls == 0
        house.gateway.deps.clock = AnHourLater()
        await house.gateway.deps.lookups.close(0.01)
        record = await settled_one(house)
    assert record["total_us"] < HOUR_US


async def test_a_call_whose_client_leaves_while_it_is_told_an_error_took_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telling = asyncio.Event()

    async def tell_slowly(*_: object) -> None:
        telling.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("trivium.pipeline.handle.fail", tell_slowly)
    async with shop(Reply(abort="reset"), settings=CREDITS) as house:
        await customer(house)
        asking = asyncio.create_task(house.post(PATHS["chat"], CHAT))
        await telling.wait()
        asking.cancel()
        record = await settled_one(house)
    assert 0 < record["queue_us"] < record["total_us"]


@pytest.mark.parametrize("broken", ["_charged", "_is_complete", "_wants_lookup"])
async def test_a_call_whose_record_cannot_be_made_ends_all_the_same(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs nothing, holds nothing any longer, and its client has had its answer and may ask again."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError(broken)

    reply = Reply(text="It is sunny.", usage=Usage(input=25, output=20))
    async with shop(reply, settings=CREDITS) as house:
        payer = await customer(house)
        with monkeypatch.context() as patched:
            patched.setattr(Run, broken, fail)
            status, told, _ = await house.post(PATHS["chat"], CHAT)
            bare = await settled_one(house)
        assert (status, told["choices"][0]["message"]["content"]) == (200, "It is sunny.")
        assert await payer.balance() == ("1", "0")
        assert (bare["outcome"], bare["status"], bare["error_code"]) == ("failed", 200, "internal_error")
        assert (bare["error_message"], bare["flags"]) == (f"MemoryError('{broken}')", "unsettled")
        assert (bare["account_id"], bare["key_id"], bare["cost_nano"]) == ("acme", payer.key_id, 0)
        assert bare["hold_nano"] > 0
        (logged,) = [one for one in caplog.records if one.name == "trivium.pipeline"]
        assert (logged.getMessage(), logged.exc_info is None) == (
            f"request {bare['id']}: its record cannot be made",
            False,
        )
        await house.post(PATHS["chat"], CHAT)
        assert (await settled(house))[0]["cost_nano"] == 25 * INPUT + 20 * OUTPUT


async def test_its_tokens_count_in_limits_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = Reply(text="It is sunny.", usage=Usage(input=25, output=20))
    async with shop(reply, settings=CREDITS) as house:
        await customer(house)
        await People(house).settings(limits_by_model={"up/*": {"output_tokens_per_minute": 20}})
        with monkeypatch.context() as patched:
            patched.delattr(Run, "_charged")
            assert (await house.post(PATHS["chat"], CHAT))[0] == 200
            assert (await settled_one(house))["flags"] == "unsettled"
        assert (await house.post(PATHS["chat"], CHAT))[0] == 429


async def test_so_does_one_whose_figures_were_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {**whole("chat", "It is sunny.", None), "id": "gen-1"}
    script = Script([Rule(Reply(body=body))], generations=[Generation(id="gen-1", after_asks=1_000)])
    async with shop(script=script, settings=CREDITS, provider=OPENROUTER) as house:
        payer = await customer(house)
        assert (await house.post(PATHS["chat"], CHAT))[0] == 200
        monkeypatch.delattr(Run, "_charged")
        await house.gateway.deps.lookups.close(0.01)
        record = await settled_one(house)
        assert await payer.balance() == ("1", "0")
    assert (record["cost_nano"], record["flags"]) == (0, "unsettled")


@pytest.mark.parametrize(
    "lacking",
    [
        ("trivium.pipeline.deps.Deps.keep",),
        ("trivium.store.calls.EndOp.__init__",),
        ("trivium.pipeline.settle.record_of", "trivium.pipeline.settle.bare_record_of"),
    ],
)
async def test_a_call_ends_with_its_charge_though_there_was_no_memory_for_that_at_first(
    lacking: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_once(name: str) -> None:
        work, failures = pkgutil.resolve_name(name), [MemoryError(name)]

        def tried(*args: object, **named: object) -> object:
            if failures:
                raise failures.pop()
            return work(*args, **named)

        monkeypatch.setattr(name, tried)

    monkeypatch.setattr(settle, "_AGAIN", 0)
    async with shop(Reply(text="It is sunny.", usage=Usage(input=25, output=20)), settings=CREDITS) as house:
        payer = await customer(house)
        for name in lacking:
            fail_once(name)
        assert (await house.post(PATHS["chat"], CHAT))[0] == 200
        async with asyncio.timeout(30):
            while not (found := await settled(house)):
                pass
        cost = 25 * INPUT + 20 * OUTPUT
        assert [(record["cost_nano"], record["flags"]) for record in found] == [(cost, "")]
        assert await payer.balance() == (nano_text(NANO - cost), "0")
        assert house.gateway.store.ledger.open_calls == 0
        assert [one.getMessage() for one in caplog.records if one.name == "trivium.pipeline"] == [
            f"request {found[0]['id']}: there is no memory to end it"
        ]
