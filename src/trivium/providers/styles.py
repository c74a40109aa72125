"""Requests whose API is a known one, and whose place and frame are the provider's own: a function by name.

Bedrock and Vertex AI serve Claude by its own Messages API, but with the model and whether to stream in the URL, and the
API's version, on Bedrock also the betas, in the body (platform.claude.com/docs/en/build-with-claude: claude-on-amazon-
bedrock, claude-on-vertex-ai; anthropic-sdk-python, `lib/bedrock` and `lib/vertex`). Azure's older API has a path for
each deployment (openai-python, `lib/azure.py`). Pure: bytes in, bytes out.

Bedrock counts the tokens of what InvokeModel would be sent (docs.aws.amazon.com/bedrock, API_runtime_CountTokens). It
knows models by their own ids there, not by those of the inference profiles that lead to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import quote

import msgspec

from trivium.errors import ModelNotFound

Headers = list[tuple[bytes, bytes]]
_BETA, _VERSION = b"anthropic-beta", b"anthropic-version"
_LONGEST = 2048
"""Characters of a model's id: Bedrock's longest (docs.aws.amazon.com/bedrock, API_runtime_InvokeModel)."""
_DOTS = {".": "%2E", "..": "%2E%2E"}
"""A model called so would change the path."""
_PROFILE = re.compile(r"^(arn:.*:inference-profile/)?[a-z-]+\.(?=anthropic\.)")
"""What an inference profile's id has before the model's: an address, a group of regions."""


class _Thinking(msgspec.Struct):
    budget_tokens: int = 0


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_thinking = msgspec.json.Decoder(_Thinking)
_encode = msgspec.json.encode


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request as its API has it, or as the provider wants it."""

    path: str
    """Under the provider's base URL, without a query."""
    body: bytes
    headers: Headers
    """Names in small letters."""
    model: str
    counts: bool = False
    """It asks how many tokens there are."""


def _bedrock(sent: Sent) -> Sent:
    members = _members.decode(sent.body)
    streams = bytes(members.pop("stream", b"")) == b"true"
    members.pop("model", None)
    told = [value.decode("latin-1") for name, value in sent.headers if name == _BETA]
    betas = [beta.strip() for value in told for beta in value.split(",") if beta.strip()]
    if betas and "anthropic_beta" not in members:
        members["anthropic_beta"] = msgspec.Raw(_encode(betas))
    members.setdefault("anthropic_version", msgspec.Raw(b'"bedrock-2023-05-31"'))
    if sent.counts:
        return _bedrock_count(sent, members)
    verb = "invoke-with-response-stream" if streams else "invoke"
    return msgspec.structs.replace(
        sent,
        path=f"/model/{_segment(sent.model)}/{verb}",
        body=_encode(members),
        headers=_without(sent.headers, _BETA, _VERSION),
    )


def _bedrock_count(sent: Sent, members: dict[str, msgspec.Raw]) -> Sent:
    """What InvokeModel takes has a `max_tokens`, above what thinking may use; questions for a count have none."""
    if "max_tokens" not in members:
        members["max_tokens"] = msgspec.Raw(_encode(_budget(members) + 1))
    body = {"input": {"invokeModel": {"body": _encode(members)}}}  # bytes, which JSON has as base64
    model = _PROFILE.sub("", sent.model)
    return msgspec.structs.replace(
        sent,
        path=f"/model/{_segment(model)}/count-tokens",
        body=_encode(body),
        headers=_without(sent.headers, _BETA, _VERSION),
    )


def _budget(members: dict[str, msgspec.Raw]) -> int:
    with suppress(msgspec.MsgspecError, KeyError):
        return _thinking.decode(members["thinking"]).budget_tokens
    return 0


def _vertex(sent: Sent) -> Sent:
    members = _members.decode(sent.body)
    members.setdefault("anthropic_version", msgspec.Raw(b'"vertex-2023-10-16"'))
    if sent.counts:
        path = "/count-tokens:rawPredict"
    else:
        members.pop("model", None)
        streams = bytes(members.get("stream", b"")) == b"true"
        path = f"/{_segment(sent.model, '@')}:{'streamRawPredict' if streams else 'rawPredict'}"
    return msgspec.structs.replace(sent, path=path, body=_encode(members), headers=_without(sent.headers, _VERSION))


def _azure(sent: Sent) -> Sent:
    """Only Chat Completions has a path for each deployment; Responses names it in the body."""
    if not sent.path.startswith("/chat/"):
        return sent
    return msgspec.structs.replace(sent, path=f"/deployments/{_segment(sent.model)}{sent.path}")


def _segment(model: str, safe: str = "") -> str:
    """Raises ModelNotFound for what is too long for a URL."""
    if len(model) > _LONGEST:
        raise ModelNotFound("The name of the model is too long for any.", param="model")
    return _DOTS.get(model) or quote(model, safe=safe)


def _without(headers: Headers, *names: bytes) -> Headers:
    return [header for header in headers if header[0] not in names]


COUNT_THEIR_WAY = frozenset({"bedrock"})
"""Whose answer to a question for a count has words of its own; some models, and some who may call them, are refused
one."""
STYLES: Mapping[str, Callable[[Sent], Sent]] = {"azure": _azure, "bedrock": _bedrock, "vertex": _vertex}
