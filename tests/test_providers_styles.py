"""Requests in the frames that single providers have for a known API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from trivium.errors import ModelNotFound
from trivium.providers.rows import ROWS
from trivium.providers.styles import STYLES, Headers, Sent

VERSION = (b"anthropic-version", b"2023-06-01")


def styled(
    style: str, body: dict[str, Any], *headers: tuple[bytes, bytes], path: str = "/messages", **more: Any
) -> Sent:
    given: Headers = [VERSION, *headers]
    sent = Sent(path=path, body=json.dumps(body).encode(), headers=given, model=body.get("model", "m"), **more)
    return STYLES[style](sent)


@pytest.mark.parametrize(
    ("stream", "verb"), [(None, "invoke"), (False, "invoke"), (True, "invoke-with-response-stream")]
)
def test_bedrock_has_model_and_stream_in_the_url_and_the_version_in_the_body(stream: bool | None, verb: str) -> None:
    body = {"model": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "max_tokens": 5, "messages": []}
    sent = styled("bedrock", body if stream is None else {**body, "stream": stream})
    assert sent.path == f"/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/{verb}"
    assert json.loads(sent.body) == {"max_tokens": 5, "messages": [], "anthropic_version": "bedrock-2023-05-31"}
    assert sent.headers == []


def test_bedrock_reads_betas_in_the_body() -> None:
    betas = (b"anthropic-beta", b"a-2025-01-01, b-2025-01-01")
    sent = styled("bedrock", {"model": "m"}, betas, (b"accept", b"*/*"))
    assert json.loads(sent.body)["anthropic_beta"] == ["a-2025-01-01", "b-2025-01-01"]
    assert sent.headers == [(b"accept", b"*/*")]
    for said, kept in ((b"a,,b, ", ["a", "b"]), (b" ,", None)):
        sent = styled("bedrock", {"model": "m"}, (b"anthropic-beta", said))
        assert json.loads(sent.body).get("anthropic_beta") == kept
    own = styled("bedrock", {"model": "m", "anthropic_beta": ["mine"]}, betas)
    assert json.loads(own.body)["anthropic_beta"] == ["mine"]


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:eu-west-1:123:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    ],
)
def test_bedrock_counts_what_invoke_model_would_be_sent_for_the_model_itself(model: str) -> None:
    body = {"model": model, "messages": [], "stream": True}
    sent = styled("bedrock", body, (b"anthropic-beta", b"a"), counts=True)
    assert sent.path == "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens"
    assert sent.headers == []
    told = json.loads(base64.b64decode(json.loads(sent.body)["input"]["invokeModel"]["body"]))
    version = {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a"]}
    assert told == {"messages": [], "max_tokens": 1, **version}


@pytest.mark.parametrize(
    ("thinking", "most"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, 2049),
        ({"type": "adaptive"}, 1),
        (7, 1),
        ({"budget_tokens": "x"}, 1),
    ],
)
def test_bedrock_has_to_leave_room_for_thinking_when_it_counts(thinking: Any, most: int) -> None:
    sent = styled("bedrock", {"model": "m", "messages": [], "thinking": thinking}, counts=True)
    told = json.loads(base64.b64decode(json.loads(sent.body)["input"]["invokeModel"]["body"]))
    assert (told["max_tokens"], told["thinking"]) == (most, thinking)


def test_what_is_not_about_the_frame_stays_byte_for_byte() -> None:
    said = b'{"model":"m","messages":[{"role":"user","content":"\\u00fc  1.50"}],"stream":true}'
    sent = STYLES["bedrock"](Sent(path="/messages", body=said, headers=[], model="m"))
    assert b'"messages":[{"role":"user","content":"\\u00fc  1.50"}]' in sent.body


@pytest.mark.parametrize(("stream", "verb"), [(False, "rawPredict"), (True, "streamRawPredict")])
def test_vertex_has_the_model_in_the_url_and_keeps_betas_in_the_header(stream: bool, verb: str) -> None:
    body = {"model": "claude-haiku-4-5@20251001", "stream": stream}
    sent = styled("vertex", body, (b"anthropic-beta", b"a"))
    assert sent.path == f"/claude-haiku-4-5@20251001:{verb}"
    assert json.loads(sent.body) == {"stream": stream, "anthropic_version": "vertex-2023-10-16"}
    assert sent.headers == [(b"anthropic-beta", b"a")]


def test_vertex_counts_tokens_at_a_model_of_that_name() -> None:
    sent = styled("vertex", {"model": "claude-x", "messages": []}, counts=True)
    assert sent.path == "/count-tokens:rawPredict"
    assert json.loads(sent.body)["model"] == "claude-x"


def test_azures_older_api_has_a_path_for_each_deployment_of_chat_alone() -> None:
    assert (
        styled("azure", {"model": "my gpt"}, path="/chat/completions").path == "/deployments/my%20gpt/chat/completions"
    )
    assert styled("azure", {"model": "m"}, path="/responses").path == "/responses"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("model", ["..", ".", "a/../b", "a?b", "a#b", "é"])
def test_a_models_name_leads_to_no_other_path(style: str, model: str) -> None:
    path = styled(style, {"model": model}, path="/chat/completions").path
    assert path.isascii()
    assert not {".", ".."} & set(path.split("/"))
    assert "?" not in path
    assert "#" not in path
    assert model not in path


@pytest.mark.parametrize("style", STYLES)
def test_a_name_that_no_url_holds_is_no_models(style: str) -> None:
    with pytest.raises(ModelNotFound):
        styled(style, {"model": "x" * 3000}, path="/chat/completions")


def test_every_style_of_the_table_is_known() -> None:
    assert {door.style for row in ROWS.values() for door in row.doors} == {*STYLES, ""}
