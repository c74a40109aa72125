"""Requests that are too long for the model: unchanged where the upstream speaks the client's API, else in numbers; the
record has one code for all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import ALL_APIS, running
from support_money import BODIES, PATHS
from support_translated import OTHERS
from trivium.mock import Error, Reply

ANTHROPIC = Error(message="prompt is too long: 213462 tokens > 200000 maximum", type="invalid_request_error")
BEDROCK = Error(message="Input is too long for requested model.", type="ValidationException")
CODE = "context_length_exceeded"
LIMITED = '[models."up/*"]\nfree = true\ncontext = 200000\n'
APIS = list(PATHS)


def error_of(api: str, body: Any) -> dict[str, Any]:
    """The error of a whole answer, or the last of a stream."""
    if isinstance(body, str):
        lines = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
        body = next(line for line in reversed(lines) if "error" in line)
    found: dict[str, Any] = body["error"]
    return found


@pytest.mark.parametrize("api", APIS)
async def test_between_equals_it_passes_unchanged_and_is_recorded_by_one_code(api: str) -> None:
    async with running(Reply(status=400, error=ANTHROPIC), settings=LIMITED, provider=ALL_APIS) as house:
        status, said, _ = await house.post(PATHS[api], {**BODIES[api], "model": "m"})
        record = await house.record()
    assert (status, error_of(api, said)["message"]) == (400, ANTHROPIC.message)
    assert "code" not in said["error"] or said["error"]["code"] != CODE
    assert (record["error_code"], record["told_code"], record["error_message"]) == (CODE, CODE, ANTHROPIC.message)
    assert (record["outcome"], record["status"]) == ("failed", 400)


@pytest.mark.parametrize("upstream", APIS)
async def test_to_clients_of_another_api_it_is_said_in_numbers(upstream: str) -> None:
    for reply in (Reply(status=400, error=ANTHROPIC), Reply(error=ANTHROPIC)):  # with its status, and inside a 200
        async with running(reply, settings=LIMITED, provider=f'apis = ["{upstream}"]') as house:
            for api in OTHERS[upstream]:
                for stream in (False, True):
                    body = {**BODIES[api], "model": "m", "stream": stream}
                    status, said, headers = await house.post(PATHS[api], body)
                    error = error_of(api, said)
                    assert (status, error["code"], error["type"]) == (400, CODE, "invalid_request_error")
                    assert "This request has 213,462 tokens; `m` takes 200,000." in error["message"]
                    assert "retry-after" not in headers
                    if api == "messages":
                        assert error["message"].startswith("prompt is too long: 213462 tokens > 200000 maximum.")
            for record in await house.records():
                assert (record["error_code"], record["told_code"]) == (CODE, CODE)
                assert record["error_message"] == ANTHROPIC.message  # the operator sees the vendor's own words


async def test_without_numbers_the_catalogue_and_an_estimate_stand_in() -> None:
    long = [{"role": "user", "content": "word " * 4000}]
    settings = '[models."up/*"]\nfree = true\ncontext = 4000\n'
    async with running(Reply(status=400, error=BEDROCK), settings=settings, provider='apis = ["chat"]') as house:
        for stream in (False, True):
            body = {**BODIES["messages"], "model": "m", "messages": long, "stream": stream}
            _, said, _ = await house.post(PATHS["messages"], body)
            message = error_of("messages", said)["message"]
            assert message.startswith("prompt is too long: 5")
            assert "tokens > 4000 maximum. This request has about 5," in message
            assert "; `m` takes 4,000." in message


async def test_a_page_that_is_no_json_is_read_as_well() -> None:
    page = Reply(status=400, body="<p>Input is too long for requested model</p>", content_type="text/html")
    async with running(page, settings=LIMITED, provider=ALL_APIS) as house:
        status, said, _ = await house.post(PATHS["chat"], {**BODIES["chat"], "model": "m"})
    assert (status, said["error"]["code"]) == (400, CODE)
    assert "`m` takes 200,000 tokens, and this request has more." in said["error"]["message"]


async def test_a_limit_of_tokens_a_minute_stays_what_it_is() -> None:
    busy = Error(message="Request too large (TPM). Please reduce the length of the messages.", type="tokens")
    async with running(Reply(status=429, error=busy), settings=LIMITED, provider='apis = ["chat"]') as house:
        status, said, _ = await house.post(PATHS["messages"], {**BODIES["messages"], "model": "m"})
        record = await house.record()
    assert (status, said["error"]["type"]) == (429, "rate_limit_error")
    assert record["error_code"] == "tokens"


async def test_of_a_stealth_model_the_upstreams_own_figures_are_not_told() -> None:
    settings = f'{LIMITED}[free.models."house/x"]\nroute = "up/m"\nstealth = true\ncontext = 1000\n'
    async with running(Reply(status=400, error=ANTHROPIC), settings=settings, provider=ALL_APIS) as house:
        status, said, _ = await house.post(PATHS["messages"], {**BODIES["messages"], "model": "house/x"})
    assert (status, said["error"]["code"]) == (400, CODE)
    assert said["error"]["message"].startswith("prompt is too long. `house/x` takes 1,000 tokens")
    assert "213" not in said["error"]["message"]
