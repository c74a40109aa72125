"""A configuration that changes while the gateway runs: what holds at once, what does not, and what nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CHAT, Running, running
from support_kilo import get, person
from support_tokens import KEY, token
from support_wait import until
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.mock import Match, Model, Reply, Rule, Script, ScriptedUpstream
from trivium.server.reload import Reloading

ONE = 'models = ["m", "n"]\n' + ALL_APIS
LONG = Reply(text=["w "] * 20, event_delay_ms=25)


class House:
    """A running gateway and its file."""

    def __init__(self, on: Running) -> None:
        self.on = on
        self.gateway = on.gateway
        source = on.gateway.settings.source
        assert source is not None
        assert source.file is not None
        self.file: Path = source.file
        self.text = source.text

    def write(self, more: str = "", *, without: str = "") -> None:
        """The file as it was at first, with more at its beginning."""
        assert without in self.text
        beside = self.file.with_suffix(".new")
        beside.write_text(more + "\n" + self.text.replace(without, ""))
        beside.replace(self.file)

    async def reload(self, more: str = "", *, without: str = "") -> dict[str, Any]:
        self.write(more, without=without)
        told: dict[str, Any] = await self.gateway.operations.perform("config.reload", {})
        return told

    async def says(self, model: str, path: str = "/v1/chat/completions") -> int:
        status, _, _ = await self.on.post(path, {**CHAT, "model": model})
        return status

    async def shown(self) -> dict[str, Any]:
        told: dict[str, Any] = await self.gateway.operations.perform("config.show", {})
        return told

    @contextlib.asynccontextmanager
    async def stream(self, model: str = "m") -> AsyncIterator[aiohttp.ClientResponse]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.on.url}/v1/chat/completions",
                headers={"authorization": f"Bearer {self.on.key}"},
                json={**CHAT, "model": model, "stream": True},
            ) as response,
        ):
            await response.content.readany()
            yield response


@contextlib.asynccontextmanager
async def house(*rules: Rule | Reply, **options: Any) -> AsyncIterator[House]:
    async with running(*(rules or (Reply(text="hi"),)), **{"provider": ONE, **options}) as on:
        yield House(on)


@contextlib.asynccontextmanager
async def watched(on: House) -> AsyncIterator[None]:
    watching = asyncio.create_task(on.gateway.reloading.watch())
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        assert not watching.done()
        watching.cancel()


async def eventually(on: House, status: int, model: str) -> None:
    async def holds() -> bool:
        return await on.says(model) == status

    await until(holds)


async def refused(on: House) -> str:
    """Why the file was not taken, once it was not."""

    async def holds() -> bool:
        return not (await on.shown())["last"]["applied"]

    await until(holds)
    problem: str = (await on.shown())["last"]["problem"]
    return problem


async def test_a_changed_file_holds_within_two_seconds() -> None:
    async with house() as on, watched(on):
        assert await on.says("quick") == 404
        on.write('[aliases]\nquick = "m"')
        await eventually(on, 200, "quick")
        last = (await on.shown())["last"]
        assert (last["trigger"], last["applied"], last["changed"]) == ("file", True, ("aliases",))
        with on.file.open("a") as file:  # in place, too
            file.write('[free]\nhidden = ["m"]\n')
        await eventually(on, 404, "m")


async def test_a_broken_file_changes_nothing_and_says_why_until_it_is_right(caplog: pytest.LogCaptureFixture) -> None:
    async with house() as on, watched(on):
        for broken in ("[aliases", '[aliases]\nquick = "nowhere/at-all"\n[aliases2]', "[server]\nport = 'many'"):
            on.write(broken)
            assert str(on.file) in await refused(on)
            assert (await on.says("m"), await on.says("quick")) == (200, 404)
            assert (await on.shown())["loaded"]["applied"]
            on.write('[aliases]\nquick = "m"')
            await eventually(on, 200, "quick")
            on.write()
            await eventually(on, 404, "quick")
        assert "The configuration is as before, for the file cannot be taken (file): " in caplog.text
        assert f"{on.file}:2: server.port: Expected int" in caplog.text


async def test_a_file_that_goes_away_changes_nothing() -> None:
    async with house() as on, watched(on):
        on.file.unlink()
        assert "cannot be read" in await refused(on)
        assert await on.says("m") == 200
        on.write('[aliases]\nquick = "m"')
        await eventually(on, 200, "quick")


async def test_what_was_changed_while_the_gateway_started_is_not_missed() -> None:
    async with house() as on:
        on.write('[aliases]\nquick = "m"')
        async with watched(on):
            await eventually(on, 200, "quick")


async def test_nothing_is_read_again_while_nothing_changes() -> None:
    async with house() as on, watched(on):
        await asyncio.sleep(1.3)
        assert (await on.shown())["last"]["trigger"] == "start"


async def test_a_signal_has_the_file_read() -> None:
    async with house() as on, watched(on):
        on.gateway.reloading.soon("SIGHUP")

        async def holds() -> bool:
            return bool((await on.shown())["last"]["trigger"] == "SIGHUP")

        await until(holds)


@pytest.mark.parametrize(
    "wrong",
    [
        '[providers.two]\ntype = "openai"',
        '[providers.two]\nbase_url = "http://h"\nkey = "file:/nowhere"',
        '[free.models."x"]\nroute = "nobody/m"',
        '[catalog.models."x"]\nroutes = [{ to = "nobody/m" }]',
        '[aliases]\nquick = "nothing"',
        '[byok.via]\nopenai = "vercel"',
        '[models."up/*"]\nprice = { input = "many" }',
        '[abuse.rules]\nlists = "/nowhere"',
        '[tokens]\nkey = "short"',
        '[routing]\nemergency_provider = "nobody"',
    ],
)
async def test_what_does_not_fit_together_is_found_before_anything_changes(wrong: str) -> None:
    async with house() as on:
        before = on.gateway.deps
        wrong = wrong.replace('[models."up/*"]\n', '[models."up/n"]\n')
        with pytest.raises(OperationError, match="The configuration is as before: "):
            await on.reload(f'{wrong}\n[catalog]\npreferred = ["m"]' if "catalog" not in wrong else wrong)
        assert on.gateway.deps is before
        assert await on.says("m") == 200


async def test_a_provider_that_is_removed_ends_its_calls_well_and_gets_no_more() -> None:
    async with house(LONG, provider=ONE, name="going") as on, on.stream() as response:
        with_another = '[providers.other]\nbase_url = "http://127.0.0.1:9"\nmodels = ["o"]\n'
        table = on.text[on.text.index("[providers.going]") :]
        told = await on.reload(with_another, without=table)
        assert told["changed"] == ("providers",)
        assert await on.says("m") == 404
        got = await response.content.read()
        assert got.endswith(b"data: [DONE]\n\n")
        records = {record["outcome"]: record for record in await on.on.records()}
        assert (records["success"]["provider"], records["success"]["finish_reason"]) == ("going", "stop")
        _, listed = await get(on.on, "/v1/models", on.on.key)
        assert [model["id"] for model in listed["data"]] == ["o"]


async def test_a_call_in_progress_keeps_the_prices_that_it_began_with() -> None:
    price = '[models."up/m"]\nprice = {{ input = "{0}", output = "{0}" }}\n'
    async with house(LONG, settings=price.format(1)) as on:
        async with on.stream() as response:
            await on.reload(price.format(1000), without=price.format(1))
            await response.content.read()
        assert await on.says("m") == 200
        later, first = await on.on.records()
    assert later["market_cost_nano"] == 1000 * first["market_cost_nano"] > 0


async def test_what_needs_a_restart_is_named_and_the_rest_holds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with house(settings="[server]\nmax_body_bytes = 100000\n") as on:
        told = await on.reload(
            '[aliases]\nquick = "m"\n[server]\nport = 4444\nmax_body_bytes = 2000\n[storage]\nretention = "9d"',
            without="[server]\nmax_body_bytes = 100000\n",
        )
        assert told["needs_restart"] == ("server.port", "storage.retention")
        assert told["changed"] == ("aliases", "server")
        assert "needs a restart: server.port, storage.retention" in caplog.text
        assert await on.says("quick") == 200
        status, _, _ = await on.on.post("/v1/chat/completions", {**CHAT, "x": "x" * 3000})
        assert status == 413
        again: dict[str, Any] = await on.gateway.operations.perform("config.reload", {})
        assert (again["changed"], again["needs_restart"]) == ((), ("server.port", "storage.retention"))


async def test_a_secret_in_a_file_is_read_again() -> None:
    async with house() as on:
        secret = on.file.with_name("key")
        secret.write_text("sk-old")
        here = f'[providers.keyed]\nbase_url = "{on.on.upstream.url}/v1"\nmodels = ["k"]\nkey = "file:{secret}"'
        await on.reload(here)
        await on.says("k")
        secret.write_text("sk-new")
        told: dict[str, Any] = await on.gateway.operations.perform("config.reload", {})
        assert told["changed"] == ("providers",)
        await on.says("k")
        keys = [dict(seen.headers)["authorization"] for seen in on.on.upstream.requests]
    assert keys == ["Bearer sk-old", "Bearer sk-new"]


async def test_a_new_provider_is_asked_for_its_models_and_a_removed_one_leaves_the_list() -> None:
    async with house() as on, ScriptedUpstream(Script(models=[Model("theirs")])) as other:
        asking = asyncio.create_task(on.gateway.lists.run(asyncio.Event()))
        await on.reload(f'[providers.new]\nbase_url = "{other.url}/v1"')

        async def holds() -> bool:
            return "theirs" in on.gateway.deps.catalog.serving

        await until(holds)
        _, listed = await get(on.on, "/v1/models", on.on.key)
        assert [model["id"] for model in listed["data"]] == ["m", "n", "theirs"]
        await on.reload()
        _, listed = await get(on.on, "/v1/models", on.on.key)
        assert [model["id"] for model in listed["data"]] == ["m", "n"]
        await on.reload(f'[providers.new]\nbase_url = "{other.url}/v1"')  # known from its copy, whoever answers now
        assert "theirs" in on.gateway.deps.catalog.serving
        asking.cancel()


async def test_who_refused_us_is_no_concern_any_more_where_it_is_removed() -> None:
    async with house() as on, ScriptedUpstream(Script(rules=[Rule(Reply(status=401))])) as other:
        await on.reload(f'[providers.poor]\nbase_url = "{other.url}/v1"\nmodels = ["p"]\n')
        await on.says("p")
        assert [one["provider"] for one in await on.gateway.operations.perform("alerts.show", {})] == ["poor"]
        await on.reload()
        assert await on.gateway.operations.perform("alerts.show", {}) == []


async def test_a_key_that_takes_the_place_of_one_that_rests_does_not_rest() -> None:
    """Of several keys each rests for itself, by its number; one that is taken out changes whose number that is."""
    out = Rule(Reply(status=429, headers={"retry-after": "3000"}), Match(headers={"authorization": "Bearer a"}))
    async with house() as on, ScriptedUpstream(Script(rules=[out, Rule(Reply(text="Hi"))])) as other:

        async def with_keys(keys: str) -> set[str]:
            """Which of them are asked."""
            await on.reload(f'[providers.keyed]\nbase_url = "{other.url}/v1"\nmodels = ["k"]\nkeys = {keys}\n')
            before = len(other.requests)
            for number in range(12):
                said = {"x-trivium-session": f"session {number}"}
                assert (await on.on.post("/v1/chat/completions", {**CHAT, "model": "k"}, headers=said))[0] == 200
            return {dict(seen.headers)["authorization"].removeprefix("Bearer ") for seen in other.requests[before:]}

        assert await with_keys('["a", "b", "c"]') == {"a", "b", "c"}
        assert await with_keys('["a", "b", "c"]') == {"b", "c"}, "nothing has changed"
        assert await with_keys('["b", "c"]') == {"b", "c"}
        assert on.gateway.deps.health.is_well


async def test_settings_of_every_kind_hold_at_once() -> None:
    async with house() as on:
        assert (await get(on.on, "/v1/models", None))[0] == 401
        told = await on.reload(
            '[free]\nanonymous = true\n[catalog]\npreferred = ["n"]\n[billing]\ncost_header = true\n'
            '[records]\nprompts = true\n[abuse]\nmode = "log"\n[routing]\nfailures = 7\n[log]\nlevel = "warning"\n'
            "[server]\nmax_calls = 1\ntrusted_proxies = ['127.0.0.1']\n"
        )
        assert told["changed"] == ("abuse", "billing", "catalog", "free", "log", "records", "routing", "server")
        assert (await get(on.on, "/v1/models", None))[0] == 200
        _, listed = await get(on.on, "/v1/models", on.on.key)
        assert [model["id"] for model in listed["data"]] == ["n", "m"]
        _, _, headers = await on.on.post("/v1/chat/completions", CHAT, headers={"x-forwarded-for": "203.0.113.9"})
        assert "x-trivium-cost-usd" in headers
        record, *_ = await on.on.records()
        assert (record["client_ip"], record["abuse_verdict"]) == ("203.0.113.9", "allow")
        deps = on.gateway.deps
        assert (deps.health._failures, deps.in_flight._max_calls) == (7, 1)
        logging.getLogger().setLevel("INFO")


async def test_what_is_remembered_of_callers_outlives_a_reload() -> None:
    rules = '[abuse]\nmode = "enforce"\n[abuse.rules]\nrequests_per_minute = 2\n'
    async with house(settings=rules) as on:
        assert [await on.says("m") for _ in range(2)] == [200, 200]
        await on.reload('[aliases]\nquick = "m"')
        assert await on.says("quick") == 403
        told = await on.gateway.operations.perform("abuse.status", {})
        assert (told["allow"], told["challenge"]) == (2, 1)


async def test_counters_and_calls_under_way_are_the_same_after_a_reload() -> None:
    async with house(Reply(text="w ", abort="stall", abort_after_events=2)) as on:
        before = on.gateway.deps
        async with on.stream():
            await on.reload('[aliases]\nquick = "m"')
            assert on.gateway.deps.in_flight is before.in_flight
            assert on.gateway.deps.in_flight.calls == 1
        await on.on.records()
        assert on.gateway.deps.in_flight.calls == 0
        for shared in ("counters", "flood", "guesses", "lookups", "client", "health", "sessions"):
            assert getattr(on.gateway.deps, shared) is getattr(before, shared)


async def test_tokens_of_an_issuer_that_is_not_trusted_any_more_are_none() -> None:
    trust = f'[tokens]\nkey = "{KEY}"\n'
    async with house(settings=trust) as on:
        await person(on.on, "alice")
        text = token(on.gateway.deps.clock.now_ms(), kiloUserId="alice")
        assert (await on.on.post("/v1/chat/completions", CHAT, key=text))[0] == 200
        await on.reload(trust + '[aliases]\nquick = "m"\n', without=trust)
        assert (await on.on.post("/v1/chat/completions", CHAT, key=text))[0] == 200
        await on.reload(f'[tokens]\nkey = "{KEY[::-1]}"\n', without=trust)
        assert (await on.on.post("/v1/chat/completions", CHAT, key=text))[0] == 401


async def test_credits_can_be_switched_on() -> None:
    async with house() as on:
        await on.reload('[billing]\nmode = "credits"', without='[models."up/*"]\nfree = true\n')
        await on.reload('[billing]\nmode = "credits"\n[models."up/n"]\nprice = { input = "1", output = "1" }')
        assert await on.says("n") == 402


@contextlib.contextmanager
def locked_store(on: House) -> Iterator[None]:
    """Another program keeps the store for itself."""
    with contextlib.closing(sqlite3.connect(on.gateway.folder / "trivium.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


PRICED = '[billing]\nmode = "credits"\n[models."up/n"]\nprice = { input = "1", output = "1" }'


async def test_a_change_that_needs_the_store_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    async with house() as on, watched(on):
        with locked_store(on):
            on.write(PRICED)
            assert "The store cannot be written." in await refused(on)
            assert await on.says("n") == 200
        await eventually(on, 402, "n")
        last = (await on.shown())["last"]
        assert (last["trigger"], last["applied"]) == ("file", True)
    assert caplog.text.count("for the file cannot be taken (file): The store cannot be written.") == 1


async def test_a_change_that_does_not_need_the_store_does_not_wait_for_it() -> None:
    async with house() as on:
        await on.reload(PRICED)
        with locked_store(on):
            assert (await on.reload(PRICED + '\n[aliases]\nquick = "m"'))["changed"] == ("aliases",)


async def test_many_reloads_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # what pytest keeps of the log would be a leak
    async with house() as on:
        for n in range(40):
            await on.reload(f'[aliases]\nquick{n % 10} = "m"')
        gc.collect()
        before = len(gc.get_objects())
        for n in range(200):
            await on.reload(f'[aliases]\nquick{n % 10} = "m"')
        gc.collect()
        assert len(gc.get_objects()) - before < 100  # less than one for each


async def test_who_asks_at_the_same_time_as_a_list_arrives_loses_nothing() -> None:
    """Each builds on what the other has left."""
    async with running(script=Script(models=[Model("theirs")]), provider=ALL_APIS) as on:
        mine = House(on)
        await asyncio.gather(
            on.gateway.operations.perform("catalog.refresh", {}),
            mine.reload('[aliases]\nquick = "theirs"'),
            on.gateway.operations.perform("prices.set", {"pattern": "up/theirs", "markup_ppm": 100_000}),
        )
        catalog = on.gateway.deps.catalog
        assert catalog.resolve("quick").model == "theirs"
        assert catalog.serving == {"theirs": ("up",)}
        quote = on.gateway.deps.prices.quote(on.gateway.providers["up"], "theirs", None, 10**13)
        assert quote is None or quote.markup_ppm == 100_000


@pytest.mark.parametrize(
    "wrong", ["[server]\nworkers = 4", "[storage]\nurl = 'env:NOT_SET'", "[telemetry.events]\nurl = 'nowhere'"]
)
async def test_what_the_next_start_would_refuse_is_not_taken(wrong: str) -> None:
    async with house() as on:
        with pytest.raises(OperationError, match="as before"):
            await on.reload(f"[aliases]\nquick = 'up/m'\n{wrong}\n")
        assert await on.says("quick") == 404


async def test_what_was_taken_over_has_a_line_in_the_log_of_changes() -> None:
    """Its sections, never what stands in them."""

    async def lines() -> list[tuple[str, str, Any]]:
        told = await on.gateway.operations.perform("changes.list", {})
        return [
            (row["actor"], row["target"], row["after"]) for row in told["items"] if row["action"] == "config.reload"
        ]

    async with house() as on:
        await on.reload("[server]\nport = 5\n[aliases]\nquick = 'up/m'")
        with pytest.raises(OperationError):
            await on.reload("[")
        on.write()
        await on.gateway.reloading.reload("SIGHUP")
        file = str(on.file)
        assert await lines() == [
            ("operator", file, {"trigger": "SIGHUP", "changed": ["aliases"], "needs_restart": []}),
            ("operator", file, {"trigger": "operator", "changed": ["aliases"], "needs_restart": ["server.port"]}),
        ]


async def test_a_change_that_an_operator_has_had_read_is_not_read_again() -> None:
    async with house() as on, watched(on):
        await asyncio.sleep(0.6)
        await on.reload('[aliases]\nquick = "m"')
        await asyncio.sleep(1.3)
        assert (await on.shown())["last"]["trigger"] == "operator"
        on.write()
        await eventually(on, 404, "quick")
        assert (await on.shown())["last"]["trigger"] == "file"


async def test_nor_is_one_that_is_had_read_while_the_file_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as on, watched(on):
        reloading = on.gateway.reloading
        looked, judging, again, look = asyncio.Event(), asyncio.Event(), asyncio.Event(), reloading._look

        async def slowly() -> Any:
            state = await look()
            looked.set()
            await judging.wait()
            return state

        async def once_more() -> Any:
            if judging.is_set():
                again.set()
            return await look()

        monkeypatch.setattr(reloading, "_look", slowly)
        await looked.wait()
        monkeypatch.setattr(reloading, "_look", once_more)
        reading = asyncio.create_task(on.reload('[aliases]\nquick = "m"'))
        while not (reading.done() or reloading._one_at_a_time._waiters):  # noqa: ASYNC110 # a lock's own list
            await asyncio.sleep(0.01)
        judging.set()
        await reading
        for _ in range(2):  # where it is read again the first look is that reading's
            again.clear()
            await again.wait()
        assert (await on.shown())["last"]["trigger"] == "operator"


async def test_a_pipe_is_read_once() -> None:
    """`trivium up --config <(...)`: what was in it is not there any more."""
    async with house() as on:
        on.file.unlink()
        os.mkfifo(on.file)
        gateway = on.gateway
        reloading = Reloading(gateway.settings, {}, gateway.apply, SystemClock(), gateway.store.ledger.writer)
        watching = asyncio.create_task(reloading.watch())
        await asyncio.sleep(1.2)
        told = await asyncio.wait_for(reloading.reload("somebody"), 5)
        assert (told.changed, await on.says("m")) == ((), 200)
        watching.cancel()


async def test_a_file_that_has_become_a_pipe_is_not_waited_for() -> None:
    async with house() as on:
        on.file.unlink()
        os.mkfifo(on.file)
        with pytest.raises(OperationError, match="no file any more"):
            await asyncio.wait_for(on.gateway.operations.perform("config.reload", {}), 5)
        assert await on.says("m") == 200
