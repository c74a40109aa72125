"""Errors as upstreams write them, in a body or inside a stream, read into one `Fault`.

OpenAI       {error: {message, type, param, code}}
Anthropic    {type: "error", error: {type, message}, request_id}
OpenRouter   {error: {code: <int>, message, metadata: {error_type, raw, ...}}, user_id}
Azure        {error: {code: "RateLimitReached", message, ...}}
Gemini       {error: {code: <int>, status, message, details}}, sometimes in a list
xAI          {code, error: "..."}
Mistral      {detail: "..."} or {object: "error", message, type, code}
Responses    {type: "error", code, message, param}
Bedrock      {message: "..."}, and the header `x-amzn-errortype: ThrottlingException:http://...`
MiniMax      {choices: null, base_resp: {status_code: <int>, status_msg}}, under status 200
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from trivium.canon.events import Fault
from trivium.canon.fold import Answer
from trivium.wire.lenient import dump, index, mapping, parse, text

GARBAGE = "upstream_invalid_response"
BROKEN_OFF = "upstream_disconnected"
ABOUT_KEY = frozenset((401, 402, 403))
"""Statuses by which a vendor refuses whose key calls, rather than the request."""
_EXCERPT = 500
_LONGEST_RAW = 10_000

_UNKNOWN = "api_error"
_TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = frozenset(map(str, _TYPE_BY_STATUS))
_TYPE_BY_NUMBER = {
    1001: "timeout_error",
    1002: "rate_limit_error",
    1004: "authentication_error",
    2013: "invalid_request_error",
    2049: "authentication_error",
}
"""MiniMax's own (platform.minimax.io/docs/api-reference/errorcode)."""


def fault_in(said: Any) -> Fault | None:
    """The error that a parsed body or event says, in any of the dialects; None if it says none."""
    body = mapping(said[0] if type(said) is list and said else said)
    error = body.get("error")
    if type(error) is dict and error:
        return fault_of(error)
    if text(error):
        return Fault(_type(body), text(error))
    if body.get("detail"):
        detail = body["detail"]
        return Fault(_type(body), text(detail) or dump(detail)[:_EXCERPT])
    if body.get("type") == "error" or body.get("object") == "error":
        return fault_of(body)
    if number := index(mapping(body.get("base_resp")).get("status_code")):
        return Fault(_TYPE_BY_NUMBER.get(number, _UNKNOWN), f"{text(body['base_resp'].get('status_msg'))} ({number})")
    return None


def fault_of(error: dict[str, Any]) -> Fault:
    """The error object itself: what lies under `error`, or a flat one."""
    metadata = mapping(error.get("metadata"))
    message = text(error.get("message")) or text(error.get("Message")) or text(metadata.get("raw"))
    raw = text(metadata.get("raw"))
    if raw and message and raw != message:
        message = f"{message}: {_within(raw)}"
    kind, code = _type(error), text(error.get("code"))
    narrower = code if code not in ("", kind) and not code.isdigit() else None
    return Fault(kind, message or dump(error)[:_EXCERPT], narrower, _pause_s(error.get("details")))


_DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


def _pause_s(details: Any) -> int | None:
    """Google's `google.rpc.RetryInfo`, in whole seconds: its OpenAI-compatible endpoint sends no `retry-after`."""
    delays = (mapping(one).get("retryDelay") for one in details) if type(details) is list else ()
    found = next(filter(None, (_DELAY.fullmatch(text(delay)) for delay in delays)), None)
    return math.ceil(float(found[1])) if found else None


def _within(raw: str) -> str:
    """What the provider behind a gateway said, which the gateway passes on in a text."""
    try:
        inner = fault_in(parse(raw.encode())) if len(raw) < _LONGEST_RAW and raw.lstrip().startswith("{") else None
    except ValueError:
        inner = None
    return (inner.message if inner is not None else raw)[:_EXCERPT]


def fault_of_body(said: Any) -> Fault:
    """A body that holds no answer: its error, Bedrock's bare message, or the remark that it is neither."""
    body = mapping(said)
    fault = fault_in(said)
    if fault is None and (text(body.get("message")) or text(body.get("Message"))):
        fault = fault_of(body)
    return fault or Fault(GARBAGE, "The body is neither an answer nor an error: " + dump(said)[:_EXCERPT])


_KIND = re.compile(rb"(?:[^:]*#)?([A-Za-z]\w{0,99})(?::.*)?")


def with_kind(said: Answer, header: bytes) -> Answer:
    """An error with the word that `x-amzn-errortype` has for it, where its body has none (as AWS's SDKs read it)."""
    fault, found = said.error, _KIND.fullmatch(header)
    if fault is None or fault.type != _UNKNOWN or fault.code is not None or found is None:
        return said
    return msgspec.structs.replace(said, error=msgspec.structs.replace(fault, type=found[1].decode()))


def fault_of_text(body: bytes) -> Fault:
    """A body or event that is not JSON: its text is all there is to say."""
    words = body[: 4 * _EXCERPT].decode("utf-8", "replace").strip()
    return Fault(GARBAGE, words[:_EXCERPT] or "The body is empty")


_REFUSED = (
    *("bio_policy", "misalignment_policy_violation", "image_content_policy_violation"),
    *("empty_image_file", "failed_to_download_image", "image_file_not_found", "image_file_too_large"),
    *("image_parse_error", "image_too_large", "image_too_small", "invalid_base64_image", "invalid_image"),
    *("invalid_image_format", "invalid_image_mode", "invalid_image_url", "unsupported_image_media_type"),
)
"""Of OpenAI's codes for a response that failed (openai-python 3.57.0, `types/responses/response_error.py`) those about
what the request says or shows, which would come again."""
_STATUS_BY_WORD = {
    **dict.fromkeys(_REFUSED, 400),
    "authentication_error": 401,
    "billing_error": 402,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "timeout_error": 504,
    "vector_store_timeout": 504,
}


def status_of(fault: Fault) -> int:
    """The HTTP status that an error inside a 200 answer would have had; 502 for one that nobody knows."""
    return next((_STATUS_BY_WORD[word] for word in (fault.code, fault.type) if word in _STATUS_BY_WORD), 502)


_UNPAID = frozenset(
    {
        *("insufficient_quota", "billing_not_active", "billing_hard_limit_reached"),  # OpenAI
        "exceeded_current_quota_error",  # Moonshot
        "Arrearage",  # Alibaba
    }
)
_UNPAID_WORDS = re.compile(
    r"(?:provider returned error: )?"  # OpenRouter, before the words of whose account it calls with
    r"(?:your credit balance is too low|you have reached your specified api usage limits"  # Anthropic
    r"|your team \S{1,100} has either used all available credits or reached its monthly spending limit"  # xAI
    r"|(?:you have )?insufficient (?:balance|credits)\b)"  # DeepSeek, Z.ai, MiniMax; Command Code
)


_ALIBABAS = frozenset(("qwen", "alibaba-coding"))


def is_unpaid(fault: Fault, provider: str) -> bool:
    """Whether an error says that the account has no credit, or is at its limit, where its status does not: OpenAI and
    xAI say it with a 429, Anthropic and Alibaba with a 400 (their pages on errors). Words count only where the message
    begins with them: behind others they may be the client's own, repeated. From Alibaba OpenAI's code, with OpenAI's
    words, is for too many tokens a minute (help.aliyun.com/en/model-studio: rate-limit, error-code-start). `provider`
    is the provider's row."""
    if provider in _ALIBABAS and "insufficient_quota" in (fault.code, fault.type):
        return False
    said = _UNPAID_WORDS.match(fault.message[:_EXCERPT].lower())
    return fault.code in _UNPAID or fault.type in _UNPAID or said is not None


_FLAGGED = ("flagged", "usage guidelines", "content_policy", "content policy", "safety_check")


def is_flagged(fault: Fault) -> bool:
    """Whether a 403 is about what the request says, and not about who sends it (OpenRouter's page on errors; xAI's
    `Content violates usage guidelines. ... Failed check: SAFETY_CHECK_TYPE_BIO`)."""
    words = f"{fault.code} {fault.type}".lower()
    said = f"{words} {fault.message[:_EXCERPT]}".lower()
    return "moderation" in words or any(word in said for word in _FLAGGED)  # models are called `moderation`, too


_FOREIGN_SEAL = re.compile(
    r"(?is)invalid_encrypted_content|encrypted content .*could not be (verified|decrypted)"
    r"|could not (decrypt the provided encrypted_content|decode the compaction blob)"
    r"|invalid [`']?(signature|data)[`']? in [`']?(redacted_)?thinking[`']? block|thinking\.signature: field required"
)
"""Of OpenAI and Azure (openai/codex#8145, #8100), xAI (NousResearch/hermes-agent#32617, chenyme/grok2api#688),
Anthropic and Vertex (lbjlaq/Antigravity-Manager#498), and Bedrock (linanwx/nagobot#21, can1357/oh-my-pi#10486)."""


def is_about_seals(fault: Fault) -> bool:
    """Whether an error says that reasoning in the request was sealed by somebody else, or by nobody."""
    return _FOREIGN_SEAL.search(f"{fault.code} {fault.message[:_EXCERPT]}") is not None


def _type(error: dict[str, Any]) -> str:
    """The provider's own word for the kind of error, else the name of its HTTP status (wire notes, section 7)."""
    code, metadata = error.get("code"), mapping(error.get("metadata"))
    words = map(text, (error.get("type"), code, error.get("status"), metadata.get("error_type")))
    own = next((word for word in words if word and word != "error" and not word.isdigit()), None)
    status = int(text(code)) if text(code) in _STATUSES else code
    return own or _TYPE_BY_STATUS.get(status if type(status) is int else 500, _UNKNOWN)
