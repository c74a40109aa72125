"""Failures through the official SDKs: the right exception class, readable words, one record; and clients that leave.

What the SDKs raise follows from status and body (`_make_status_error` in both): a wrong shape shows as a wrong class.
"""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from gateway import ALL_APIS, running
from support_sdks import CHAT, MESSAGES, RESPONSES, WAYS, Clients, clients
from trivium.mock import Error, Reply, Rule, Usage

SINGLE = ["chat", "responses", "messages", "chat-helper", "responses-helper", "messages-helper", "messages-sync"]
STREAMS = [way for way in WAYS if way.endswith(("stream", "helper")) and "sync" not in way]
QUICK = f"{ALL_APIS}\ntimeouts = {{ first_byte = 0.3, idle = 0.3 }}"

# Reply, options of the gateway, model, status, OpenAI's class, Anthropic's class, words of the message.
FAILURES: dict[str, tuple[Reply, dict[str, Any], str, int, type[Exception], type[Exception], str]] = {
    "bad-request": (
        Reply(status=400, error=Error(message="temperature: too hot")),
        *({}, "m", 400, openai.BadRequestError, anthropic.BadRequestError, "too hot"),
    ),
    "unknown-model": (
        Reply(),
        *({"provider": f'{ALL_APIS}\nmodels = ["m"]'}, "nobody/m", 404),
        *(openai.NotFoundError, anthropic.NotFoundError, "`nobody/m` does not exist"),
    ),
    "too-large": (
        Reply(),
        *({"settings": "[server]\nmax_body_bytes = 1024"}, "m" * 1024, 413),
        *(openai.APIStatusError, anthropic.ContentTooLargeError, "larger than 1024 bytes"),
    ),
    "rate-limit": (
        Reply(status=429, error=Error(message="Slow down.")),
        *({}, "m", 429, openai.RateLimitError, anthropic.RateLimitError, "Slow down."),
    ),
    "house-key-refused": (
        Reply(status=401, error=Error(message="Your key sk-123 is wrong.")),
        *({}, "m", 503, openai.InternalServerError, anthropic.ServiceUnavailableError, "operator has to look"),
    ),
    "garbage": (
        Reply(body="<html>", content_type="text/html"),
        *({}, "m", 502, openai.InternalServerError, anthropic.InternalServerError, "not JSON"),
    ),
    "disconnected": (
        Reply(abort="close"),
        *({}, "m", 502, openai.InternalServerError, anthropic.InternalServerError, "upstream"),
    ),
    "silent": (
        Reply(abort="stall"),
        *({"provider": QUICK}, "m", 504, openai.InternalServerError, anthropic.GatewayTimeoutError, "upstream"),
    ),
}

MESSAGES_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_is_raised_as_the_class_that_callers_catch(failure: str) -> None:
    reply, options, model, status, of_openai, of_anthropic, words = FAILURES[failure]
    async with running(reply, **options) as house, clients(house.url, house.key) as on:
        for way in SINGLE:
            expected = of_anthropic if way.startswith("messages") else of_openai
            with pytest.raises(expected) as caught:
                await WAYS[way](on, model)
            raised: Any = caught.value
            record = (await house.records())[0]
            assert (way, record["status"], record["id"]) == (
                way,
                status,
                raised.response.headers["x-trivium-request-id"],
            )
            assert words in (raised.api_message if way.startswith("messages") else raised.body["message"])
            assert raised.type == (MESSAGES_TYPES[status] if way.startswith("messages") else raised.body["type"])
            assert "sk-123" not in str(raised)


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with running() as house, clients(house.url, "tv-wrong") as on:
        for way in SINGLE:
            with pytest.raises((openai.AuthenticationError, anthropic.AuthenticationError), match="not valid"):
                await WAYS[way](on, "m")
        assert house.upstream.requests == []


async def test_retries_of_the_clients_heal_what_passes() -> None:
    soon = {"retry-after-ms": "10"}
    rules = [Rule(Reply(status=status, headers=soon), times=1) for status in (429, 503, 529)]
    async with running(*rules, Reply(text="at last")) as house, clients(house.url, house.key) as on:
        message = await on.anthropic.with_options(max_retries=3).messages.create(model="m", **MESSAGES)
        outcomes = [(record["status"], record["outcome"]) for record in await house.records()]
    assert message.content[0].type == "text"
    assert message.content[0].text == "at last"
    assert outcomes == [(200, "success"), (529, "failed"), (503, "failed"), (429, "failed")]


@pytest.mark.parametrize("way", STREAMS)
async def test_an_error_inside_a_stream_is_raised_with_its_words(way: str) -> None:
    reply = Reply(
        text="one two three", error=Error(message="Overloaded.", type="overloaded_error"), error_after_events=5
    )
    async with running(reply) as house, clients(house.url, house.key) as on:
        with pytest.raises((openai.APIError, anthropic.APIStatusError), match="Overloaded"):
            await WAYS[way](on, "m")
        record = await house.record()
    assert (record["outcome"], record["status"], record["error_code"]) == ("failed", 200, "overloaded_error")


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize("abort", ["reset", "end", "stall"])
async def test_a_stream_that_breaks_off_raises_and_never_looks_complete(api: str, abort: Any) -> None:
    reply = Reply(text="one two three four", abort=abort, abort_after_events=4)
    async with running(reply, provider=QUICK) as house, clients(house.url, house.key) as on:
        for way in (f"{api}-stream", f"{api}-helper"):
            with pytest.raises((openai.APIError, anthropic.APIStatusError), match="upstream"):
                await WAYS[way](on, "m")
            record = (await house.records())[0]
            assert (record["outcome"], record["status"]) == ("failed", 200)


async def _begin(api: str, on: Clients) -> Any:
    """An open stream of which the first event has been read."""
    if api == "chat":
        stream: Any = await on.openai.chat.completions.create(model="m", stream=True, **CHAT)
    elif api == "responses":
        stream = await on.openai.responses.create(model="m", stream=True, **RESPONSES)
    else:
        stream = await on.anthropic.messages.create(model="m", stream=True, **MESSAGES)
    await anext(aiter(stream))
    return stream


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_a_client_that_closes_a_stream_early_ends_the_upstreams_answer(api: str) -> None:
    endless = Reply(text="one two three", abort="stall", abort_after_events=5)
    async with running(endless) as house, clients(house.url, house.key) as on:
        await (await _begin(api, on)).close()
        (ended,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert ended.ending == "client_closed"
    assert (record["outcome"], record["status"], record["error_code"]) == ("aborted", 200, None)


# All events of an answer of one word, the last of them included; how many they are follows from the API.
WHOLE = {"chat": 5, "responses": 9, "messages": 7}
LAST = ("response.completed", "message_stop")


@pytest.mark.parametrize("api", WHOLE)
async def test_a_client_that_leaves_with_the_last_event_had_the_whole_answer(api: str) -> None:
    """OpenAI's SDKs close at `[DONE]`, Codex at `response.completed`, without waiting for the end of the body."""
    lingering = Reply(text="hi", abort="stall", abort_after_events=WHOLE[api], usage=Usage(input=3, output=1))
    async with running(lingering) as house, clients(house.url, house.key) as on:
        stream = await _begin(api, on)
        async for event in stream:
            if getattr(event, "type", None) in LAST:
                break
        await stream.close()
        await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert (record["outcome"], record["finish_reason"], record["output_tokens"]) == ("success", "stop", 1)


@pytest.mark.parametrize("api", WHOLE)
@pytest.mark.parametrize("abort", ["reset", "stall"])
async def test_an_upstream_that_fails_after_the_last_event_has_given_the_whole_answer(api: str, abort: Any) -> None:
    late = Reply(text="hi", abort=abort, abort_after_events=WHOLE[api], usage=Usage(input=3, output=1))
    async with running(late, provider=QUICK) as house, clients(house.url, house.key) as on:
        assert (await WAYS[f"{api}-stream"](on, "m")).text == "hi"
        record = await house.record()
    assert record["outcome"] == "success"


async def test_a_client_that_runs_out_of_patience_is_recorded_as_gone() -> None:
    async with running(Reply(abort="stall")) as house, clients(house.url, house.key) as on:
        with pytest.raises(openai.APITimeoutError):
            await on.openai.with_options(timeout=1).chat.completions.create(model="m", **CHAT)
        (ended,) = await house.upstream.wait_for_endings(1)
        record = await house.record()
    assert ended.ending == "client_closed"
    assert (record["outcome"], record["status"]) == ("aborted", 499)
