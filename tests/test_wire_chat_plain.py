"""Plain answers: read by their types, and never otherwise than the decoder reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon import conventions
from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import fold
from trivium.wire.chat.plain import read
from trivium.wire.codec import decode_answer

PLAIN: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_764_000_000,
    "model": "gpt-5-2025-08-07",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi \U0001f600", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "total_tokens": 70,
        "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0, "accepted_prediction_tokens": 1},
    },
    "service_tier": "default",
    "system_fingerprint": None,
}
MANY = [getattr(conventions, name) for name in ("DEFAULT", "UNKNOWN", "XAI", "GOOGLE_COMPAT", "MISTRAL", "VERCEL")]


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The plain answer with one value replaced, or added."""
    whole: Any = json.loads(json.dumps(PLAIN))
    at = whole
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    changed: dict[str, Any] = whole
    return changed


def test_a_plain_answer_is_read() -> None:
    answer = read(json.dumps(PLAIN).encode())
    assert answer is not None
    assert (answer.id, answer.model, answer.text) == ("chatcmpl-1", "gpt-5-2025-08-07", "Hi \U0001f600")
    assert (answer.finish, answer.native_finish, answer.ended) == (FinishReason.STOP, "stop", True)
    assert answer.usage is not None
    assert (answer.usage.input_uncached, answer.usage.cache_read, answer.usage.output) == (40, 10, 20)
    assert (answer.usage.reasoning, answer.usage.service_tier) == (5, "default")


@pytest.mark.parametrize(
    "body",
    [
        changed("usage", "cost", to=0.1),
        changed("usage", "total_tokens", to=75),
        changed("usage", "prompt_tokens", to=-1),
        changed("usage", "prompt_tokens", to=50.0),
        changed("usage", "prompt_tokens_details", "cached_tokens", to=51),
        changed("usage", "completion_tokens_details", "reasoning_tokens", to=21),
        changed("usage", "completion_tokens", to=10**9),
        changed("choices", 0, "message", "tool_calls", to=[{"id": "a"}]),
        changed("choices", 0, "message", "content", to=None),
        changed("choices", 0, "message", "reasoning", to="hm"),
        changed("choices", 0, "finish_reason", to="error"),
        changed("choices", 0, "index", to=1),
        changed("choices", to=[*PLAIN["choices"], *PLAIN["choices"]]),
        changed("error", to={"message": "overloaded"}),
        changed("provider", to="OpenAI"),
        changed("usage", to=None),
        [PLAIN],
    ],
    ids=str,
)
def test_what_is_unusual_is_left_to_the_decoder(body: Any) -> None:
    assert read(json.dumps(body).encode()) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b"[" * 100_000, b'{"id": "\\ud800"}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert read(body) is None


COUNTS = st.one_of(st.integers(-2, 60), st.none(), st.sampled_from([10**8, 10**8 + 1, 2.5, "3", True]))
WORDS = ["stop", "length", "content_filter", "tool_calls", "error", ""]
TEXTS = st.one_of(st.text(), st.none(), st.sampled_from(WORDS))


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Plain answers of which a few values are others, or gone."""
    whole: dict[str, Any] = json.loads(json.dumps(PLAIN))
    choice, usage = whole["choices"][0], whole["usage"]
    objects = (
        whole, choice, choice["message"], usage, usage["prompt_tokens_details"], usage["completion_tokens_details"],
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 4))):
        one = draw(st.sampled_from(objects))
        name = draw(st.sampled_from(sorted(one)))
        if name not in ("choices", "message", "usage"):
            one[name] = draw(st.one_of(COUNTS, TEXTS))
    parts = [usage["prompt_tokens"], usage["completion_tokens"]]
    if draw(st.booleans()) and all(type(part) is int for part in parts):
        usage["total_tokens"] = sum(parts)
    return whole


@given(answers(), st.sampled_from(MANY))
def test_whatever_is_read_is_what_the_decoder_reads(whole: dict[str, Any], counted: Any) -> None:
    body = json.dumps(whole).encode()
    answer = read(body)
    assert answer is None or answer == fold(decode_answer(Api.CHAT, body, counted))
