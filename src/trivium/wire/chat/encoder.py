"""Canonical events as a Chat Completions answer.

Reasoning is told twice, as the clients of this API read it in two dialects: `reasoning_content` (DeepSeek, vLLM,
llama.cpp) and `reasoning_details` (OpenRouter), in which the seal comes last in a fragment of its own. Of models of the
house the first is called `reasoning`, as OpenRouter has it. There is one place for text: those that were apart in the
upstream's API have a blank line between them, as have the parts of reasoning in the first dialect.
"""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.canon import events as ev
from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import Citation, Reasoning, Refusal, Seal, Text, ToolCall, ToolKind
from trivium.wire.chat.usage import told
from trivium.wire.encoder import PARAGRAPH, Encoder, json
from trivium.wire.envelope import DETAIL, GOOGLE, PLAIN
from trivium.wire.errors import ErrorValue, render_in_stream
from trivium.wire.figures import openai_tier
from trivium.wire.openpart import Part, annotation

_WORDS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.ERROR: "error",
}
_FORMAT = "unknown"
"""OpenRouter's word for a seal that is not one of its vendors'."""
_END = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class ChatEncoder(Encoder):
    """Encodes one answer for a client of Chat Completions."""

    _said = 0
    """Letters of the texts that have ended."""
    _cited = 0
    _thought = False
    """Reasoning has been told and is over."""
    _gap = ""
    """What stands before the next piece of reasoning, in the dialect that has no parts."""

    def _start(self) -> None:
        head = json(self._head("chat.completion.chunk"))
        self._prefix = b'data: %b,"choices":[{"index":0,"delta":{' % head[:-1]
        self._reasoned = 0
        self._google: str | None = None
        self._delta(b'"role":"assistant","content":""')

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._answer_id("chatcmpl-"),
            "object": kind,
            "created": self._asked.created,
            "model": self._model,
        }

    def _delta(self, members: bytes) -> None:
        self._out.append(self._prefix + members + _END)

    def _begin(self, part: Part) -> None:
        if part.kind is Reasoning and self._thought:
            self._gap = PARAGRAPH
        if part.call is None:
            if part.index in self._apart and self._said:
                self._said += len(PARAGRAPH)
                self._delta(b'"content":' + json(PARAGRAPH))
            return
        part.number = self._called - 1
        if self._asked.legacy:
            if self._is_told(part.number):
                self._delta(b'"function_call":%b' % json({"name": part.call.name, "arguments": ""}))
            return
        call = {"index": part.number, **self._call(part.call, part.number, "")}
        self._delta(b'"tool_calls":[%b]' % json(call))

    def _is_told(self, number: int) -> bool:
        """Of a call, to a client that knows one at a time."""
        if number > 0:
            self._losses.add("tool_calls", "a further call; `function_call` is one")
        return number == 0

    def _call(self, call: ev.ToolCallBegin | ToolCall, number: int, said: str) -> dict[str, Any]:
        custom = call.kind is ToolKind.CUSTOM
        what = {"name": call.name, "input" if custom else "arguments": said}
        told: dict[str, Any] = {"id": self._call_id(call, number), "type": call.kind.value, call.kind.value: what}
        seal, self._google = self._google, None
        return {**told, "extra_content": {"google": {"thought_signature": seal}}} if seal else told

    def _say(self, part: Part, said: str) -> None:
        if part.kind is Text:
            self._text(json(said))
        elif part.kind is Reasoning:
            self._delta(self._reasoning(said))
        elif part.kind is Refusal:
            self._delta(b'"refusal":' + json(said))
        elif self._asked.legacy:
            if part.number == 0:
                self._delta(b'"function_call":{"arguments":%b}' % json(said))
        elif part.call is not None:
            kind, name = ("custom", "input") if part.call.kind is ToolKind.CUSTOM else ("function", "arguments")
            pieces = (part.number, kind.encode(), name.encode(), json(said))
            self._delta(b'"tool_calls":[{"index":%d,"%b":{"%b":%b}}]' % pieces)

    def _reasoning(self, said: str) -> bytes:
        text = plain = json(said)
        if self._gap:
            plain, self._gap = json(self._gap + said), ""
        pieces = (self._asked.reasoning, plain, text, self._reasoned)
        form = b'"%b":%b,"reasoning_details":[{"type":"reasoning.text","text":%b,"index":%d}]'
        return form % pieces

    def _end(self, part: Part, sealed: str | None) -> None:
        if part.kind is Text:
            if part.citations:
                # OpenAI's SDK adds lists of several deltas up by an index.
                said = [
                    {"index": index, **self._annotation(citation, part.length)}
                    for index, citation in enumerate(part.citations, self._cited)
                ]
                self._cited += len(said)
                self._delta(b'"annotations":' + json(said))
            self._said += part.length
        if part.kind is not Reasoning:
            return
        self._thought |= any(part.pieces)
        if sealed:
            member = "data" if self._asked.unread else "signature"
            self._delta(b'"reasoning_details":[%b]' % json(self._seal(sealed, member)))
        self._reasoned += 1

    def _text(self, said: bytes) -> None:
        if not self._logprobs:
            self._out.append(self._prefix + b'"content":' + said + _END)
            return
        pieces = (self._prefix, said, json(_logprobs(self._logprobs)))
        self._logprobs = None
        self._out.append(b'%b"content":%b},"logprobs":%b,"finish_reason":null}]}\n\n' % pieces)

    def _annotation(self, citation: Citation, length: int) -> dict[str, Any]:
        return {"type": "url_citation", "url_citation": annotation(citation, self._said, length)}

    def _seal(self, sealed: str, member: str) -> dict[str, Any]:
        if self._asked.native:
            return {**msgspec.json.decode(sealed), "index": self._reasoned}
        kind = "reasoning.text" if member == "signature" else "reasoning.encrypted"
        return {"type": kind, member: sealed, "format": _FORMAT, "index": self._reasoned}

    def _sealed_only(self, _index: int, seal: Seal) -> None:
        if self._asked.native and seal.form == GOOGLE:
            self._google = seal.data
            return
        self._delta(b'"reasoning_details":[%b]' % json(self._seal(self._sealed(seal, ""), "data")))
        self._reasoned += 1

    def _finished(self, finish: ev.Finish) -> None:
        tier = (
            {"service_tier": said} if (said := openai_tier(self._usage, native=self._asked.native)) is not None else {}
        )
        pieces = (json(self._word(finish)), b"," + json(tier)[1:] if tier else b"}")
        self._out.append(self._prefix + b'},"logprobs":null,"finish_reason":%b}]%b\n\n' % pieces)
        if self._asked.wants_usage and self._usage is not None:
            last = {**self._head("chat.completion.chunk"), "choices": [], "usage": told(self._usage), **tier}
            self._out.append(b"data: %b\n\n" % json(last))
        self._out.append(b"data: [DONE]\n\n")

    def _word(self, finish: ev.Finish) -> str | None:
        reason = finish.reason
        if self._asked.legacy and reason is FinishReason.TOOL_CALLS:
            return "function_call"
        if self._asked.native and finish.native:
            return finish.native
        if reason is FinishReason.PAUSE:
            self._losses.add(
                "stop_reason", "a pause that the client should resume; Chat Completions has no word for it"
            )
        if finish.stop_sequence is not None:
            self._losses.add("stop_sequence", "Chat Completions does not tell which one ended the answer")
        if reason is FinishReason.REFUSAL and self._refused:
            return "stop"  # as OpenAI has it: the refusal tells itself
        return _WORDS.get(reason)

    def fail(self, error: ErrorValue) -> bytes:
        return render_in_stream(Api.CHAT, error, 0, None)

    def whole(self, answer: Answer) -> bytes:
        finish = self._take_whole(answer)
        choice = {
            "index": 0,
            "message": self._message(answer),
            "logprobs": _logprobs([one for part in answer.parts if isinstance(part, Text) for one in part.logprobs]),
            "finish_reason": self._word(finish),
        }
        body = {**self._head("chat.completion"), "choices": [choice]}
        if answer.usage is not None:
            body["usage"] = told(answer.usage)
        if (tier := openai_tier(self._usage, native=self._asked.native)) is not None:
            body["service_tier"] = tier
        return json(body)

    def _message(self, answer: Answer) -> dict[str, Any]:
        text, annotations = self._content(answer)
        refusal = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
        self._reasoned, self._google = 0, None
        calls: list[dict[str, Any]] = []
        details: list[dict[str, Any]] = []
        for part in self._joined(answer.parts):
            if isinstance(part, Reasoning):
                details += self._detail(part)
            elif isinstance(part, ToolCall) and self._asked.legacy:
                if self._is_told(len(calls)):
                    calls.append({"name": part.name, "arguments": part.arguments})
            elif isinstance(part, ToolCall):
                calls.append(self._call(part, len(calls), part.arguments))
        if annotations:
            message["annotations"] = annotations
        said = PARAGRAPH.join(part.text for part in answer.parts if isinstance(part, Reasoning) and part.text)
        if said and not self._asked.unread:
            message[self._asked.reasoning.decode()] = said
        if details:
            message["reasoning_details"] = details
        if calls and self._asked.legacy:
            return {**message, "function_call": calls[0]}
        return {**message, "tool_calls": calls} if calls else message

    def _content(self, answer: Answer) -> tuple[str, list[dict[str, Any]]]:
        """All texts in one, and their sources with their places in it."""
        said: list[str] = []
        found: list[dict[str, Any]] = []
        for part in answer.parts:
            if not isinstance(part, Text):
                continue
            if part.apart and self._said:
                said.append(PARAGRAPH)
                self._said += len(PARAGRAPH)
            found += [self._annotation(citation, len(part.text)) for citation in part.citations]
            said.append(part.text)
            self._said += len(part.text)
        return "".join(said), found

    def _detail(self, part: Reasoning) -> list[dict[str, Any]]:
        seal = part.seal
        if self._asked.native and seal is not None and seal.form == GOOGLE:
            self._google = seal.data
            return []
        if self._asked.native and (seal is None or seal.form != DETAIL):
            return []
        sealed = self._sealed(seal or Seal(PLAIN), part.text)
        told = "" if self._asked.unread else part.text
        detail = self._seal(sealed, "signature" if told else "data")
        self._reasoned += 1
        return [{**detail, "text": told} if told else detail]


def _logprobs(said: list[Any]) -> dict[str, Any] | None:
    return {"content": said, "refusal": None} if said else None
