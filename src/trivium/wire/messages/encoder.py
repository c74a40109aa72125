"""Canonical events as a Messages answer.

`message_start` has zeros where the upstream tells usage last; `message_delta` has the truth. Who asked for thinking and
gets calls without any gets an empty thought before them, in our envelope: where the conversation goes on with Claude,
it tells that this turn was not thought (`wire/unsealed`), which Claude would refuse. So it would a block of nothing but
blanks ("text content blocks must contain non-whitespace text"), as Kimi says beside calls: a text's block begins with
its first word, behind the blanks before it.
"""

from __future__ import annotations

from typing import Any

from trivium.canon import events as ev
from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import AnswerPart, Reasoning, Refusal, Seal, Text, ToolCall, ToolKind
from trivium.wire.encoder import Encoder, json
from trivium.wire.envelope import PLAIN, REDACTED
from trivium.wire.errors import ErrorValue, render_in_stream
from trivium.wire.lenient import mapping, parse
from trivium.wire.messages.render import UNREADABLE
from trivium.wire.messages.usage import told
from trivium.wire.openpart import Part
from trivium.wire.schemas import FREE_TEXT

_WORDS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.PAUSE: "pause_turn",
}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTAS = {Text: ("text_delta", "text"), Refusal: ("text_delta", "text"), Reasoning: ("thinking_delta", "thinking")}
_ARGUMENTS = ("input_json_delta", "partial_json")
_BLANKS = " \t\r\n"
_NULL = "null"
"""What some models write for no arguments."""


class MessagesEncoder(Encoder):
    """Encodes one answer for a client of Messages."""

    _block = -1
    _prefix = b""
    _thought = False
    _blanks: list[str] | None = None
    """All that the open text has said, where that has no word yet."""

    def ping(self) -> bytes:
        return _PING

    def _event(self, kind: str, **members: Any) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), json({"type": kind, **members})))

    def _start(self) -> None:
        blank: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
        self._event("message_start", message={**self._head(), **blank, "usage": told(self._usage)})

    def _head(self) -> dict[str, Any]:
        return {"id": self._answer_id("msg_"), "type": "message", "role": "assistant", "model": self._model}

    def _begin(self, part: Part) -> None:
        if part.call is not None and self._lacks_thought:
            self._sealed_only(part.index, Seal(PLAIN))
        self._thought |= part.kind is Reasoning
        if part.call is not None:
            self._begin_block(part, self._use(part.call, self._called - 1, {}))
            self._input = _Input(part.call.kind)
            self._put_delta(self._input.begin())
        elif part.kind is Reasoning:
            self._begin_block(part, {"type": "thinking", "thinking": "", "signature": ""})
        else:
            self._blanks = []

    def _begin_block(self, part: Part, block: dict[str, Any]) -> None:
        self._block += 1
        kind, member = _DELTAS.get(part.kind, _ARGUMENTS)
        form = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
        self._prefix = form % (self._block, kind.encode(), member.encode())
        self._event("content_block_start", index=self._block, content_block=block)

    def _say(self, part: Part, said: str) -> None:
        if self._logprobs:
            self._lose_logprobs()
        if part.call is not None:
            said = self._input.say(said)
        elif self._blanks is not None:
            said = self._say_first(part, self._blanks, said)
        self._put_delta(said)

    def _say_first(self, part: Part, blanks: list[str], said: str) -> str:
        """What is due of a text that had no word yet: all of it with the first, which begins its block."""
        blanks.append(said)
        self.kept += len(said)
        if not said.strip():
            return ""
        self._forget_blanks(blanks)
        self._begin_block(part, {"type": "text", "text": ""})
        return "".join(blanks)

    def _forget_blanks(self, blanks: list[str]) -> None:
        self._blanks = None
        self.kept -= sum(map(len, blanks))

    def _put_delta(self, said: str) -> None:
        if said:
            self._out.append(self._prefix + json(said) + b"}}\n\n")

    def _end(self, part: Part, sealed: str | None) -> None:
        if part.citations:
            self._lose_citations()
        if self._blanks is not None:
            self._forget_blanks(self._blanks)
            return
        if part.call is not None:
            self._put_delta(self._input.end())
        if sealed:
            delta = {"type": "signature_delta", "signature": sealed}
            self._event("content_block_delta", index=self._block, delta=delta)
        self._event("content_block_stop", index=self._block)

    def _lose_logprobs(self) -> None:
        self._logprobs = None
        if "logprobs" not in self._foreign:
            self._foreign.add("logprobs")
            self._losses.add("logprobs", "Messages has no such thing")

    def _lose_citations(self) -> None:
        self._losses.add("annotations", "Messages cites results of Anthropic's own search, with an index of its own")

    @property
    def _lacks_thought(self) -> bool:
        return self._asked.thoughtful and not self._asked.native and not self._thought

    def _sealed_only(self, _index: int, seal: Seal) -> None:
        self._thought = True
        self._block += 1
        self._event("content_block_start", index=self._block, content_block=self._sealed_block(seal))
        self._event("content_block_stop", index=self._block)

    def _sealed_block(self, seal: Seal) -> dict[str, Any]:
        """A block that is nothing but a seal."""
        sealed = self._sealed(seal, "")
        if self._asked.native and seal.form != REDACTED:
            return {"type": "thinking", "thinking": "", "signature": sealed}
        return {"type": "redacted_thinking", "data": sealed}

    def _use(self, call: ev.ToolCallBegin | ToolCall, number: int, input: Any) -> dict[str, Any]:
        return {"type": "tool_use", "id": self._call_id(call, number), "name": call.name, "input": input}

    def _finished(self, finish: ev.Finish) -> None:
        self._event("message_delta", delta=self._stop(finish), usage=told(self._usage))
        self._event("message_stop")

    def _stop(self, finish: ev.Finish) -> dict[str, Any]:
        word = finish.native if self._asked.native and finish.native else _WORDS.get(finish.reason)
        return {"stop_reason": word, "stop_sequence": finish.stop_sequence}

    def fail(self, error: ErrorValue) -> bytes:
        return render_in_stream(Api.MESSAGES, error, 0, None)

    def whole(self, answer: Answer) -> bytes:
        stop = self._stop(self._take_whole(answer))
        content = [block for part in self._joined(answer.parts) for block in self._whole_blocks(part)]
        return json({**self._head(), "content": content, **stop, "usage": told(answer.usage)})

    def _whole_blocks(self, part: AnswerPart) -> list[dict[str, Any]]:
        before = [self._sealed_block(Seal(PLAIN))] if isinstance(part, ToolCall) and self._lacks_thought else []
        self._thought |= isinstance(part, Reasoning | ToolCall)
        block = self._whole_block(part)
        return before if block is None else [*before, block]

    def _whole_block(self, part: AnswerPart) -> dict[str, Any] | None:
        match part:
            case ToolCall():
                self._called += 1
                return self._use(part, self._called - 1, _whole_input(part))
            case Reasoning(text, _, seal) if text:
                sealed = "" if seal is None and self._asked.native else self._sealed(seal or Seal(PLAIN), text)
                return {"type": "thinking", "thinking": "" if self._asked.unread else text, "signature": sealed}
            case Reasoning(_, _, seal):
                return self._sealed_block(seal) if seal else None
            case _:
                if isinstance(part, Text) and part.citations:
                    self._lose_citations()
                if isinstance(part, Text) and part.logprobs:
                    self._lose_logprobs()
                return {"type": "text", "text": part.text} if part.text.strip() else None


class _Input:
    """The input of a call, an object, in pieces as they come. A text becomes the one member of an object: that of a
    custom tool, and arguments that are no object. SDKs parse the pieces while they come, and end with an error at
    blanks in front, which are dropped as they come, or anything that is no JSON."""

    def __init__(self, kind: ToolKind) -> None:
        self._text: str | None = FREE_TEXT if kind is ToolKind.CUSTOM else None
        self._is_object = False
        self._held = ""
        """What may yet become an object, or nothing; no longer than that, whatever blanks there are."""

    def begin(self) -> str:
        return "" if self._text is None else f'{{"{self._text}":"'

    def say(self, piece: str) -> str:
        if self._is_object:
            return piece
        if self._text is not None:
            return json(piece)[1:-1].decode()
        self._held = (self._held + piece).lstrip(_BLANKS)
        if self._held.startswith("{"):
            self._is_object = True
            return self._held
        if self._held.rstrip(_BLANKS) == _NULL:
            self._held = _NULL
        return "" if _NULL.startswith(self._held) else self._as_text()

    def end(self) -> str:
        if self._text is not None:
            return '"}'
        if self._is_object or self._held in ("", _NULL):
            return ""
        return self._as_text() + '"}'

    def _as_text(self) -> str:
        self._text = UNREADABLE
        return self.begin() + self.say(self._held)


def _whole_input(part: ToolCall) -> dict[str, Any]:
    """Arguments as the object that the API wants; what is none is kept as text."""
    if part.kind is ToolKind.CUSTOM:
        return {FREE_TEXT: part.arguments}
    try:
        said = parse(part.arguments.encode()) if part.arguments.strip(_BLANKS) else None
    except ValueError:
        return {UNREADABLE: part.arguments.lstrip(_BLANKS)}
    return mapping(said) if said is None or type(said) is dict else {UNREADABLE: part.arguments.lstrip(_BLANKS)}
