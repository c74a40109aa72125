"""Most whole answers of Chat Completions say nothing unusual: one choice of text, and figures that agree. Those are
read here by their types, in a tenth of the time that the decoder takes.

`read` answers exactly what `stream.StreamDecoder` would, or None: for a member that is not listed here, a value of
another type, a figure that contradicts another. A total that is the sum of its parts settles for all providers what
lies inside what, so that their conventions do not matter.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import Text
from trivium.canon.usage import Usage
from trivium.wire.figures import MOST_TOKENS

_Tokens = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_Count = _Tokens | None
_Said = Annotated[str, Meta(min_length=1)]
_Nothing = Annotated[list[Any], Meta(max_length=0)] | None
_FINISH = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    """What has a member that its type does not name is not plain."""


class _Input(_Plain):
    cached_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    audio_tokens: _Count = 0
    image_tokens: _Count = 0


class _Output(_Plain):
    reasoning_tokens: _Count = 0
    audio_tokens: _Count = 0
    accepted_prediction_tokens: _Count = 0
    rejected_prediction_tokens: _Count = 0


class _Usage(_Plain):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    total_tokens: _Tokens
    prompt_tokens_details: _Input | None = None
    completion_tokens_details: _Output | None = None


class _Message(_Plain):
    content: _Said
    role: str | None = None
    refusal: None = None
    annotations: _Nothing = None
    tool_calls: _Nothing = None
    function_call: None = None
    reasoning_content: None = None


class _Choice(_Plain):
    message: _Message
    finish_reason: str
    index: Annotated[int, Meta(ge=0, le=0)] = 0
    logprobs: None = None


class _Answer(_Plain):
    id: _Said
    model: _Said
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    usage: _Usage
    object: str | None = None
    created: int | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None


_NO_INPUT = _Input()
_NO_OUTPUT = _Output()
_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Answer | None:
    """What a plain answer says; None where it takes the decoder to tell."""
    try:
        said = _decode(body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as is UnicodeDecodeError
        return None
    choice = said.choices[0]
    finish, usage = _FINISH.get(choice.finish_reason), _usage(said.usage, said.service_tier)
    if finish is None or usage is None:
        return None
    text = choice.message.content
    return Answer(
        id=said.id,
        model=said.model,
        text=text,
        parts=(Text(text),),
        finish=finish,
        native_finish=choice.finish_reason,
        usage=usage,
        ended=True,
    )


def _usage(said: _Usage, service_tier: str | None) -> Usage | None:
    """None where a figure does not fit into another."""
    prompt, completion = said.prompt_tokens, said.completion_tokens
    into, out = said.prompt_tokens_details or _NO_INPUT, said.completion_tokens_details or _NO_OUTPUT
    read, written, reasoning = into.cached_tokens or 0, into.cache_write_tokens or 0, out.reasoning_tokens or 0
    audio = into.audio_tokens or 0
    if said.total_tokens != prompt + completion or reasoning > completion or read + written > prompt or audio > prompt:
        return None
    return Usage(
        input_uncached=prompt - read - written,
        cache_read=read,
        cache_write_other=written,
        output=completion,
        reasoning=reasoning,
        audio_input=audio,
        audio_output=min(out.audio_tokens or 0, completion),
        image_input=min(into.image_tokens or 0, prompt),
        prediction_accepted=out.accepted_prediction_tokens or 0,
        prediction_rejected=out.rejected_prediction_tokens or 0,
        service_tier=service_tier or None,
    )
