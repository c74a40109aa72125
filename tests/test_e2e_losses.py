"""Nothing is lost in silence: what another API cannot say is counted and named in a header, told in full by the record
and on the command line, and refused to whoever wants nothing lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from gateway import CALLS, Running, running
from support_cli import CommandLine
from support_sdks import CHAT, clients
from support_translated import APIS, PATHS, before
from trivium.mock import Reply, ToolCall
from trivium.server import control

BASH: Any = {"type": "bash_20250124", "name": "bash"}
LOSSY: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "chat": (
        "messages",
        {"seed": 7, "logit_bias": {"50256": -100}, "temperature": 1.5, "metadata": {"a": "b"}, "verbosity": "low"},
        ["seed", "logit_bias", "temperature", "verbosity", "metadata"],
    ),
    "responses": (
        "chat",
        {"truncation": "auto", "max_tool_calls": 3, "tools": [{"type": "web_search"}], "metadata": {"a": "b"}},
        ["tools[0]", "truncation", "max_tool_calls", "metadata"],
    ),
    "messages": (
        "responses",
        {"top_k": 4, "stop_sequences": ["END"], "container": "c", "inference_geo": "eu", "tools": [BASH]},
        ["tools[0]", "container", "inference_geo", "stop_sequences", "top_k"],
    ),
}
"""By the client's API: an upstream, members that it has no words for, and what a header then names."""
BODIES = dict(zip(APIS, (body for _, body in CALLS), strict=True))


def asked(client: str, **extra: Any) -> tuple[str, dict[str, Any]]:
    return PATHS[client], {**BODIES[client], **extra}


def named(headers: dict[str, str]) -> list[str]:
    """The fields of the header, whose count has to be theirs."""
    count, _, names = headers["x-trivium-loss"].partition("; ")
    fields = names.split(", ")
    assert int(count) == len(fields)
    return fields


@pytest.mark.parametrize("client", APIS)
async def test_a_header_counts_and_names_what_the_request_lost(client: str) -> None:
    upstream, extra, fields = LOSSY[client]
    async with before(upstream, Reply(text="Hi.")) as (house, _):
        for stream in (False, True):
            status, _, headers = await house.post(*asked(client, stream=stream, **extra))
            lost = [field for field, _ in json.loads((await house.records())[0]["losses"])]
            assert (status, named(headers)) == (200, fields)
            assert [field for field in lost if not field.startswith("answer.")] == fields
        sent = house.upstream.requests[0].json
        # Of a call that loses nothing nothing is named.
        assert "x-trivium-loss" not in (await house.post(*asked(client)))[2]
    assert not {"seed", "logit_bias", "truncation", "max_tool_calls", "container", "tools"} & sent.keys()


async def test_sdks_show_the_header_beside_the_answer() -> None:
    async with before("messages", Reply(text="Hi.")) as (_, on):
        raw = await on.openai.chat.completions.with_raw_response.create(model="m", seed=7, **CHAT)
    assert raw.headers["x-trivium-loss"] == "1; seed"
    assert raw.parse().choices[0].message.content == "Hi."


async def test_fields_alike_are_one_loss_with_their_number() -> None:
    marked = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    async with before("responses", Reply(text="Hi.")) as (house, _):
        _, _, headers = await house.post(*asked("messages", messages=[{"role": "user", "content": [marked] * 3}]))
        (loss,) = json.loads((await house.record())["losses"])
    assert headers["x-trivium-loss"] == "3; messages[0].content[0].cache_control"
    assert loss[0] == "messages[0].content[0].cache_control"
    assert loss[1].endswith("(and 2 more like it)")


async def test_names_of_fields_are_the_clients_and_cannot_spoil_the_header() -> None:
    evil = {"a\r\nset-cookie: x=1\r\n\r\nboo": 1, "b\0\x7f": 2, "grüße": 3, "x" * 2000: 4}
    async with before("messages", Reply(text="Hi.")) as (house, _):
        status, answer, headers = await house.post(*asked("chat", **evil))
        losses = json.loads((await house.record())["losses"])
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hi.")
    assert "set-cookie" not in headers
    assert headers["x-trivium-loss"].startswith("4; a??set-cookie: x?1????boo, b??, gr??e, xxx")
    assert len(headers["x-trivium-loss"]) < 1100
    assert [field for field, _ in losses][:3] == [*evil][:3]


# The record, and the command line.


async def test_an_operator_reads_all_losses_of_a_request_and_its_answer() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    paused = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [search, {"type": "text", "text": "So far."}],
        "stop_reason": "pause_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    async with before("messages", Reply(body=paused)) as (house, _):
        _, _, headers = await house.post(*asked("chat", seed=7))
        id = headers["x-trivium-request-id"]
        shown, listed = await _on_the_command_line(house, id)
        record = await house.record()
    losses = json.loads(record["losses"])
    assert [field.partition(" ")[0] for field, _ in losses] == ["seed", "answer.content[0]", "answer.stop_reason"]
    assert json.loads(listed["losses"]) == losses
    told = [line.split(None, 1)[1] for line in shown.splitlines() if line.startswith("lost")]
    assert told == [f"{field}: {why}" for field, why in losses]
    assert headers["x-trivium-loss"] == "1; seed"


async def _on_the_command_line(house: Running, id: str) -> tuple[str, dict[str, Any]]:
    """`trivium requests --id`, as text and as JSON, asked of the running gateway."""
    folder = house.gateway.folder
    door = await control.serve(folder, house.gateway.operations.perform)
    cli = CommandLine(folder)
    try:
        shown = (await asyncio.to_thread(cli, "requests", "--id", id)).stdout
        return shown, await asyncio.to_thread(cli.json, "requests", "--id", id)
    finally:
        door.close()


# Strict callers.


@pytest.mark.parametrize("client", APIS)
async def test_a_strict_call_is_refused_before_anything_is_sent(client: str) -> None:
    upstream, extra, fields = LOSSY[client]
    strict = {"x-trivium-strict": "1"}
    async with before(upstream, Reply(text="Hi.")) as (house, _):
        status, body, headers = await house.post(*asked(client, **extra), headers=strict)
        assert house.upstream.requests == []
        record = await house.record()
        # Without a loss a strict call is a call like any other.
        assert (await house.post(*asked(client), headers=strict))[0] == 200
    error = body["error"]
    assert (status, error["code"], headers["x-should-retry"]) == (400, "lossy_request", "false")
    assert error["message"].startswith("`m` cannot be asked without loss")
    assert all(f"`{field}`" in error["message"] for field in fields)
    assert client == "messages" or error["param"] == fields[0]
    assert (record["outcome"], record["status"], record["error_code"]) == ("refused", 400, "lossy_request")
    assert [field for field, _ in json.loads(record["losses"])] == fields


async def test_a_call_is_not_strict_unless_it_says_so() -> None:
    async with before("messages", Reply(text="Hi.")) as (house, _):
        for word, status in {"0": 200, "False": 200, "": 200, "true": 400, "1": 400}.items():
            assert (await house.post(*asked("chat", seed=7), headers={"x-trivium-strict": word}))[0] == status


async def test_a_word_that_could_mean_either_is_refused() -> None:
    async with before("messages", Reply(text="Hi.")) as (house, _):
        status, answer, _ = await house.post(*asked("chat"), headers={"x-trivium-strict": "maybe"})
        assert (status, answer["error"]["param"]) == (400, "x-trivium-strict")
        assert answer["error"]["message"] == "The header `x-trivium-strict` must be 1, 0, true or false."


async def test_a_strict_key_refuses_for_its_owner_in_the_words_of_each_sdk() -> None:
    async with before("messages", Reply(text="Hi.")) as (house, _):
        key = house.gateway.store.keys.create("careful", strict=True)[1]
        async with clients(house.url, key) as on:
            with pytest.raises(openai.BadRequestError, match="`seed`") as caught:
                await on.openai.chat.completions.create(model="m", seed=7, **CHAT)
            assert (caught.value.code, caught.value.param) == ("lossy_request", "seed")
            assert house.upstream.requests == []
            assert (await on.openai.chat.completions.create(model="m", **CHAT)).choices[0].message.content == "Hi."
    async with before("chat", Reply(text="Hi.")) as (house, _):
        key = house.gateway.store.keys.create("careful", strict=True)[1]
        async with clients(house.url, key) as on:
            with pytest.raises(anthropic.BadRequestError, match=r"`tools\[0\]`"):
                await on.anthropic.messages.create(
                    model="m", max_tokens=9, tools=[BASH], messages=[{"role": "user", "content": "Hi"}]
                )
            assert house.upstream.requests == []


# Passthrough.


async def test_bytes_that_pass_lose_only_what_a_named_rule_takes() -> None:
    path, body = asked("responses", store=True, unheard_of={"a": 1})
    async with running(Reply(text="Hi.")) as house:
        _, _, headers = await house.post(path, body)
        sent = house.upstream.requests[0].json
        (loss,) = json.loads((await house.record())["losses"])
        status, refused, _ = await house.post(path, body, headers={"x-trivium-strict": "1"})
        assert len(house.upstream.requests) == 1
    assert headers["x-trivium-loss"] == "1; store"
    assert (sent["store"], sent["unheard_of"]) == (False, {"a": 1})
    assert loss[0] == "store"
    assert (status, refused["error"]["code"], refused["error"]["param"]) == (400, "lossy_request", "store")


async def test_envelopes_of_another_upstream_are_taken_out_of_what_passes() -> None:
    """A conversation begun with a Chat upstream goes on with one that speaks the client's own API."""
    turns: list[Any] = [{"role": "user", "content": "Hi"}]
    async with before("chat", Reply(reasoning="Hm.", text="Hi.")) as (house, _):
        _, answer, _ = await house.post(*asked("messages", messages=turns))
    turns += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "And?"}]
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    async with before("messages", Reply(text="So.")) as (house, _):
        status, _, headers = await house.post(*asked("messages", messages=turns))
        sent = house.upstream.requests[0].json["messages"]
    assert (status, headers["x-trivium-loss"]) == (200, "1; messages[1].content[0]")
    assert [block["type"] for block in sent[1]["content"]] == ["text"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_loop_that_another_upstream_took_over_without_a_thought_goes_home(stream: bool) -> None:
    """Claude would refuse to think on in a turn that it did not begin with a thought."""
    turns: list[Any] = [{"role": "user", "content": "Hi"}]
    thinks: Any = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    async with before("chat", Reply(text="So.", tool_calls=[ToolCall("look", {})])) as (house, _):
        async with (
            clients(house.url, house.key) as on,
            on.anthropic.messages.stream(model="m", messages=turns, **thinks) as told,
        ):
            streamed = (await told.get_final_message()).to_dict()
        _, whole, _ = await house.post("/v1/messages", {"model": "m", "messages": turns, **thinks})
    answer: Any = streamed if stream else whole
    assert [block["type"] for block in answer["content"]] == ["text", "redacted_thinking", "tool_use"]
    given = {"type": "tool_result", "tool_use_id": answer["content"][-1]["id"], "content": "r"}
    turns += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [given]}]
    async with before("chat", Reply(text="Done.")) as (house, _):
        _, _, headers = await house.post(*asked("messages", messages=turns, **thinks))
        assert "x-trivium-loss" not in headers
    async with before("messages", Reply(text="Done.")) as (house, _):
        status, _, headers = await house.post(*asked("messages", messages=turns, **thinks))
        sent = house.upstream.requests[0].json
    assert (status, headers["x-trivium-loss"]) == (200, "2; messages[1].content[1], thinking")
    assert sent["thinking"] == {"type": "disabled"}
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["text", "tool_use"]
