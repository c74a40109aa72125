"""Upstreams that fail, seen by clients of another API: the exception class that callers catch, with status, type, code
and hints; streams that end as the client's API ends a failed one; and what of the usage was known by then."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from support_sdks import WAYS, Clients
from support_translated import APIS, OTHERS, PATHS, TALKS, before, by_model
from trivium.mock import Error, Reply, Usage

HINTS = {"retry-after": "7", "retry-after-ms": "7000", "x-should-retry": "true"}


class Failure(NamedTuple):
    reply: Reply
    status: int
    openai: tuple[type[Exception], str]
    """OpenAI's class and its error's type."""
    anthropic: tuple[type[Exception], str]
    code: str | None = None
    """What the caller may rely on; None: the upstream's own word."""
    words: str = "Scripted error."


def _hidden(status: int) -> Failure:
    """The operator's own key or account: nothing of it is the caller's business."""
    return Failure(
        Reply(status=status, error=Error(message="Your key sk-123 is out of credit.")),
        503,
        (openai.InternalServerError, "server_error"),
        (anthropic.ServiceUnavailableError, "overloaded_error"),
        "upstream_unavailable",
        "operator has to look",
    )


def _broken(reply: Reply, code: str | None = None, words: str = "Scripted error.", *, status: int = 502) -> Failure:
    """The upstream's own failure."""
    return Failure(
        reply,
        status,
        (openai.InternalServerError, "server_error"),
        (anthropic.InternalServerError, "api_error"),
        code,
        words,
    )


HTML = Reply(status=502, body="<html>Bad gateway</html>", content_type="text/html")
LONG = Error(message="The prompt is too long.", code="context_length_exceeded")
FAILURES = {
    "bad-request": Failure(
        Reply(status=400, error=LONG),
        400,
        (openai.BadRequestError, "invalid_request_error"),
        (anthropic.BadRequestError, "invalid_request_error"),
        words="too long",
    ),
    "key": _hidden(401),
    "credit": _hidden(402),
    "permission": _hidden(403),
    "unknown-model": Failure(
        Reply(status=404),
        404,
        (openai.NotFoundError, "invalid_request_error"),
        (anthropic.NotFoundError, "not_found_error"),
    ),
    "rate-limit": Failure(
        Reply(status=429, headers=HINTS),
        429,
        (openai.RateLimitError, "rate_limit_exceeded"),
        (anthropic.RateLimitError, "rate_limit_error"),
    ),
    "broken": _broken(Reply(status=500, headers=HINTS), status=500),
    "overloaded": Failure(
        Reply(status=529, headers=HINTS),
        529,
        (openai.InternalServerError, "server_error"),
        (anthropic.OverloadedError, "overloaded_error"),
    ),
    "html": _broken(HTML, "upstream_error", "Bad gateway"),
    "garbage": _broken(
        Reply(body="<html>", content_type="text/html"), "upstream_invalid_response", "not what its API promises"
    ),
    "no-answer": _broken(Reply(body={"pong": True}), "upstream_invalid_response", "not what its API promises"),
    "disconnected": _broken(Reply(abort="close"), "upstream_unreachable", "upstream"),
}


@pytest.mark.parametrize("upstream", APIS)
async def test_a_failure_is_raised_as_the_class_that_callers_catch(upstream: str) -> None:
    rules = by_model({name: failure.reply for name, failure in FAILURES.items()})
    async with before(upstream, *rules, judged=False) as (house, on):
        for name, expected in FAILURES.items():
            for client in OTHERS[upstream]:
                kind, type_ = expected.anthropic if client == "messages" else expected.openai
                for way in (client, f"{client}-helper"):
                    case, raised = (name, way), await _raised(way, on, name)
                    record = (await house.records())[0]
                    error = raised.body["error"] if client == "messages" else raised.body
                    assert (case, type(raised)) == (case, kind)
                    assert (case, raised.status_code, error["type"]) == (case, expected.status, type_)
                    assert (case, record["status"], record["outcome"]) == (case, expected.status, "failed")
                    assert expected.words in error["message"]
                    assert (case, error["code"]) == (case, expected.code or error["code"])
                    assert "sk-123" not in str(raised.body)
                    if expected.reply.headers:
                        assert {hint: raised.response.headers.get(hint) for hint in HINTS} == HINTS


async def _raised(way: str, on: Clients, model: str = "m") -> Any:
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        await WAYS[way](on, model)
    return caught.value


@pytest.mark.parametrize("upstream", ["chat", "responses"])
async def test_a_code_of_openai_is_told_to_clients_of_both_vendors(upstream: str) -> None:
    """Codex makes its conversation shorter when it reads `context_length_exceeded`."""
    async with before(upstream, Reply(status=400, error=LONG), judged=False) as (_, on):
        client = "responses" if upstream == "chat" else "chat"
        raised = await _raised(client, on)
        assert raised.code == LONG.code
        assert (await _raised("messages", on)).body["error"]["code"] == LONG.code


# Errors inside a 200.

IN_BAND = {
    "overloaded": (Error(message="Overloaded.", type="overloaded_error"), 529),
    "rate": (Error(message="Slow down.", type="rate_limit_error", code="rate_limit_exceeded"), 429),
    "filter": (Error(message="No such thing.", type="invalid_request_error", code="content_filter"), 400),
    "unheard-of": (Error(message="Hm.", type="strange_error", code="strange"), 502),
    "key": (Error(message="Key sk-123.", type="authentication_error", code="invalid_api_key"), 503),
}


@pytest.mark.parametrize("upstream", APIS)
async def test_an_error_inside_a_200_that_comes_before_anything_was_said_has_its_status(upstream: str) -> None:
    rules = by_model({name: Reply(text="never said", error=error) for name, (error, _) in IN_BAND.items()})
    async with before(upstream, *rules, judged=False) as (house, on):
        for name, (error, status) in IN_BAND.items():
            for client in OTHERS[upstream]:
                for way in (client, f"{client}-stream"):
                    case, raised = (name, way), await _raised(way, on, name)
                    record = (await house.records())[0]
                    assert (case, raised.status_code) == (case, status)
                    assert ("sk-123" in str(raised), error.message in str(raised)) == (False, name != "key")
                    assert (record["outcome"], record["status"], record["upstream_status"]) == ("failed", status, 200)
                    assert record["in_band_error"]


USAGE = Usage(input=20, cache_read=30, output=9)
SPOKEN = {"chat": 3, "responses": 6, "messages": 5}
"""Events after which some of the text has been said."""


@pytest.mark.parametrize("upstream", APIS)
async def test_an_error_in_the_middle_ends_the_stream_as_the_clients_api_ends_a_failed_one(upstream: str) -> None:
    error = Error(message="Overloaded.", type="overloaded_error")
    reply = Reply(text="one two three", error=error, error_after_events=SPOKEN[upstream], usage=USAGE)
    async with before(upstream, reply, judged=False) as (house, on):
        for client in OTHERS[upstream]:
            for way in (f"{client}-stream", f"{client}-helper"):
                assert "Overloaded." in str(await _raised(way, on))
            _is_failed(client, await _stream(client, house), "Overloaded.")
        records = await house.records()
    told = {(record["outcome"], record["status"], record["error_code"]) for record in records}
    assert told == {("failed", 200, "overloaded_error")}
    # Anthropic tells the input's tokens at once; the others tell nothing before the end.
    known = {record["usage_known"] for record in records}
    assert known == {upstream == "messages"}
    if upstream == "messages":
        assert {(record["input_uncached_tokens"], record["cache_read_tokens"]) for record in records} == {(20, 30)}
    else:
        assert all("estimated" in record["flags"] for record in records)


async def _stream(client: str, house: Any, model: str = "m") -> str:
    extra = {"stream_options": {"include_usage": True}} if client == "chat" else {}
    body = {**_question(client), "model": model, "stream": True, **extra}
    status, text, _ = await house.post(PATHS[client], body)
    assert status == 200
    return str(text)


def _is_failed(client: str, text: str, words: str) -> None:
    """Some text, then an error as the last word, and nothing that looks like an end in good order."""
    blocks = [block for block in text.split("\n\n") if block]
    last = json.loads(blocks[-1].rpartition("data: ")[2])
    assert "one" in text
    if client == "chat":
        assert words in last["error"]["message"]
        assert "[DONE]" not in text
        assert '"finish_reason":"' not in text
    elif client == "responses":
        error = json.loads(blocks[-2].rpartition("data: ")[2])
        numbers = [json.loads(block.rpartition("data: ")[2])["sequence_number"] for block in blocks]
        assert (error["type"], last["type"]) == ("error", "response.failed")
        assert words in error["error"]["message"]
        assert words in last["response"]["error"]["message"]
        assert last["response"]["id"] == json.loads(blocks[0].rpartition("data: ")[2])["response"]["id"]
        assert numbers == list(range(len(blocks)))
        assert "response.completed" not in text
    else:
        assert blocks[-1].startswith("event: error\n")
        assert (last["type"], words in last["error"]["message"]) == ("error", True)
        assert "message_stop" not in text


# Streams that break off.

ABORTS: tuple[Any, ...] = ("close", "reset", "end", "stall")


def _quick(upstream: str) -> dict[str, str]:
    return {"provider": f'apis = ["{upstream}"]\ntimeouts = {{ first_byte = 0.3, idle = 0.3 }}'}


@pytest.mark.parametrize("upstream", APIS)
async def test_a_stream_that_breaks_off_in_the_middle_never_looks_complete(upstream: str) -> None:
    replies = {
        abort: Reply(text="one two three four", abort=abort, abort_after_events=SPOKEN[upstream], usage=USAGE)
        for abort in ABORTS
    }
    async with before(upstream, *by_model(replies), judged=False, **_quick(upstream)) as (house, on):
        for abort in ABORTS:
            for client in OTHERS[upstream]:
                assert "upstream" in str(await _raised(f"{client}-helper", on, abort))
                _is_failed(client, await _stream(client, house, abort), "upstream")
        records = await house.records()
    assert {(record["outcome"], record["status"]) for record in records} == {("failed", 200)}
    known = {record["input_uncached_tokens"] for record in records if record["usage_known"]}
    assert known == ({20} if upstream == "messages" else set())


@pytest.mark.parametrize("upstream", APIS)
async def test_a_stream_that_breaks_off_before_anything_was_said_is_an_http_error(upstream: str) -> None:
    replies = {
        abort: Reply(text="never", abort=abort, abort_after_events=0 if abort != "end" else 1) for abort in ABORTS
    }
    async with before(upstream, *by_model(replies), judged=False, **_quick(upstream)) as (house, on):
        for abort in ABORTS:
            for client in OTHERS[upstream]:
                case, raised = (abort, client), await _raised(f"{client}-stream", on, abort)
                record = (await house.records())[0]
                assert (case, raised.status_code) == (case, 504 if abort == "stall" else 502)
                assert (record["outcome"], record["status"]) == ("failed", raised.status_code)


@pytest.mark.parametrize("upstream", APIS)
async def test_garbage_in_a_stream_is_passed_over_and_flagged(upstream: str) -> None:
    async with before(upstream, Reply(text="Hi."), judged=False) as (house, _):
        said = await _stream(upstream, house)
    spoiled = said.replace("\n\n", "\n\ndata: {not json\n\ndata: [1,2]\n\n: hm\n\n", 1)
    async with before(upstream, Reply(sse=spoiled), judged=False) as (house, on):
        for client in OTHERS[upstream]:
            assert (await TALKS[client](on).ask()).text == "Hi."
            assert "malformed_events" in (await house.records())[0]["flags"].split()


# An upstream that answers in the other way than it was asked.


@pytest.mark.parametrize("upstream", APIS)
async def test_a_client_gets_a_stream_or_a_body_as_it_asked_whichever_the_upstream_sent(upstream: str) -> None:
    async with before(upstream, Reply(text="one two", usage=USAGE), judged=False) as (house, _):
        _, body, _ = await house.post(PATHS[upstream], _question(upstream))
        stream = await _stream(upstream, house)
    rules = by_model({"whole": Reply(body=body), "streamed": Reply(sse=stream)})
    async with before(upstream, *rules, judged=False) as (house, on):
        for model in ("whole", "streamed"):
            for client in OTHERS[upstream]:
                for way in (client, f"{client}-stream", f"{client}-helper"):
                    assert (model, way, *await WAYS[way](on, model)) == (model, way, "one two", 50, 30, 9)
                    assert (await house.records())[0]["outcome"] == "success"


def _question(client: str) -> dict[str, Any]:
    key = "input" if client == "responses" else "messages"
    limit = {"max_tokens": 50} if client == "messages" else {}
    return {"model": "m", key: [{"role": "user", "content": "Hi"}], **limit}


@pytest.mark.parametrize("upstream", APIS)
async def test_an_answer_without_usage_is_unknown_and_that_is_a_loss(upstream: str) -> None:
    async with before(upstream, Reply(text="Hi.", no_usage=True), judged=False) as (house, on):
        for client in OTHERS[upstream]:
            assert (await TALKS[client](on).ask()).text == "Hi."
            record = (await house.records())[0]
            assert (record["outcome"], record["usage_known"]) == ("success", 0)
            assert ["answer.usage", "the upstream told none"] in json.loads(record["losses"])
