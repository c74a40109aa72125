"""Canonical events as a Responses answer, with every event that the SDKs' accumulators need, in the vendor's order.

Texts and refusals that follow each other are parts of one message, paragraphs of reasoning parts of one summary. The
seal of reasoning is the `encrypted_content` of its finished item. Where an answer is cut short, the message at its end
and calls whose arguments lack their end are `incomplete`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trivium.canon import events as ev
from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import AnswerPart, Citation, Reasoning, Refusal, Seal, Text, ToolCall, ToolKind
from trivium.wire.asked import Asked
from trivium.wire.encoder import PARAGRAPH, Encoder, json
from trivium.wire.envelope import PLAIN
from trivium.wire.errors import ErrorValue, render_in_stream
from trivium.wire.figures import openai_tier
from trivium.wire.losses import Losses
from trivium.wire.openpart import Part, annotation
from trivium.wire.responses.usage import told

_ECHO: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
"""Members of the request that a response repeats, where the client said nothing."""
ECHOED = frozenset(_ECHO) - {"store"}
"""Those of which the client's word is repeated: nothing is ever stored."""
_INCOMPLETE = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "pause_turn",
}
_NO_ARGUMENTS = "{}"
"""Clients parse them."""
_CALL = {ToolKind.FUNCTION: ("fc", "function_call", "arguments"), ToolKind.CUSTOM: ("ctc", "custom_tool_call", "input")}
"""Of a call's item: what its id begins with, its type, and the member that holds what is said."""
_DELTAS = {
    Text: "response.output_text.delta",
    Refusal: "response.refusal.delta",
    Reasoning: "response.reasoning_summary_text.delta",
}


class ResponsesEncoder(Encoder):
    """Encodes one answer for a client of Responses."""

    _KEEPS_TEXT = True

    _number = 0
    _item: dict[str, Any] | None = None
    """The message or reasoning that is open."""
    _prefix = b""
    _suffix = b""
    _said_before = 0
    """Pieces of the open reasoning that belong to earlier paragraphs."""

    def __init__(self, asked: Asked, losses: Losses) -> None:
        super().__init__(asked, losses)
        self._weights: list[Any] = []
        """Probabilities of the open text's tokens."""

    def _event(self, kind: str, **members: Any) -> None:
        said = json({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), said))

    def _start(self) -> None:
        self._output: list[dict[str, Any]] = []
        response = self._response("in_progress", [])
        self._event("response.created", response=response)
        self._event("response.in_progress", response=response)

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._answer_id("resp_"),
            "object": "response",
            "created_at": self._asked.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": output,
            "usage": None,
            **_ECHO,
            **self._asked.echo,
        }

    # Items.

    def _item_id(self, prefix: str) -> str:
        """Of the item that comes next."""
        return f"{prefix}_{self._asked.id}_{len(self._output) + (self._item is not None)}"

    def _open_item(self, item: dict[str, Any]) -> None:
        self._close_item()
        self._item = item
        self._event("response.output_item.added", output_index=len(self._output), item=item)

    def _close_item(self, **members: Any) -> None:
        item, self._item = self._item, None
        if item is None:
            return
        done = {**item, **({"status": "completed"} if "status" in item else {}), **members}
        self._event("response.output_item.done", output_index=len(self._output), item=done)
        self._output.append(done)

    def _begin(self, part: Part) -> None:
        if part.call is not None:
            self._open_item(self._call(part.call, self._called - 1, "", "in_progress"))
            _, kind, member = _CALL[part.call.kind]
            self._prepare(f"response.{kind}_{member}.delta")
        elif part.kind is Reasoning:
            if not (self._item and self._item["type"] == "reasoning"):
                self._open_item({"id": self._item_id("rs"), "type": "reasoning", "summary": []})
            self._said_before = 0
            if not self._is_unread(part):
                self._begin_summary()
        else:
            if not (self._item and self._item["type"] == "message"):
                self._open_item(self._message([], "in_progress"))
            self._part_event("content_part.added", part=_content_part(part.kind, ""))
            self._prepare(_DELTAS[part.kind], content_index=len(self._here()), extra=part.kind is Text)

    def _prepare(self, kind: str, *, extra: bool = False, **place: int) -> None:
        """The bytes around each of the part's deltas."""
        assert self._item is not None
        head = json({"type": kind, "item_id": self._item["id"], "output_index": len(self._output), **place})
        self._prefix = b'event: %b\ndata: %b,"delta":' % (kind.encode(), head[:-1])
        self._suffix = b',"logprobs":[],"sequence_number":%d}\n\n' if extra else b',"sequence_number":%d}\n\n'
        self._weights = []

    def _say(self, _part: Part, said: str) -> None:
        suffix = self._suffix
        if self._logprobs:
            self._weights += self._logprobs
            suffix = b',"logprobs":%b,"sequence_number":%%d}\n\n' % json(self._logprobs).replace(b"%", b"%%")
            self._logprobs = None
        self._out.append(self._prefix + json(said) + suffix % self._number)
        self._number += 1

    def _here(self) -> list[dict[str, Any]]:
        """The parts of the open item."""
        assert self._item is not None
        parts: list[dict[str, Any]] = self._item["summary" if self._item["type"] == "reasoning" else "content"]
        return parts

    def _part_event(self, kind: str, **members: Any) -> None:
        assert self._item is not None
        place = "summary_index" if self._item["type"] == "reasoning" else "content_index"
        where = {"item_id": self._item["id"], "output_index": len(self._output), place: len(self._here())}
        self._event(f"response.{kind}", **where, **members)

    def _begin_summary(self) -> None:
        self._part_event("reasoning_summary_part.added", part={"type": "summary_text", "text": ""})
        self._prepare(_DELTAS[Reasoning], summary_index=len(self._here()))

    def _end_summary(self, said: str) -> None:
        self._part_event("reasoning_summary_text.done", text=said)
        done = {"type": "summary_text", "text": said}
        self._part_event("reasoning_summary_part.done", part=done)
        self._keep(done)

    def _keep(self, part: dict[str, Any]) -> None:
        """Adds to the open item, which has gone out as bytes."""
        self._here().append(part)

    def _paragraph(self, part: Part) -> None:
        self._end_summary("".join(part.pieces[self._said_before : -1]))
        self._said_before = len(part.pieces)
        self._begin_summary()

    def _end(self, part: Part, sealed: str | None) -> None:
        said = part.said
        if part.call is not None:
            if part.call.kind is ToolKind.FUNCTION and not said.strip():
                self._say(part, _NO_ARGUMENTS)
                said += _NO_ARGUMENTS
            _, kind, member = _CALL[part.call.kind]
            assert self._item is not None
            where = {"item_id": self._item["id"], "output_index": len(self._output)}
            self._event(f"response.{kind}_{member}.done", **where, **{member: said})
            cut = self._finish is not None and self._is_cut(self._finish.reason) and _lacks_its_end(part)
            self._close_item(**{member: said}, **({"status": "incomplete"} if cut else {}))
        elif part.kind is Reasoning:
            if not self._is_unread(part):
                self._end_summary("".join(part.pieces[self._said_before :]))
            if sealed is not None:
                self._close_item(**({"encrypted_content": sealed} if sealed else {}))
        else:
            annotations = _annotations(part.citations, said)
            for place, one in enumerate(annotations):
                self._part_event("output_text.annotation.added", annotation_index=place, annotation=one)
            if part.kind is Text:
                self._part_event("output_text.done", text=said, logprobs=self._weights)
            else:
                self._part_event("refusal.done", refusal=said)
            done = _content_part(part.kind, said, annotations, self._weights)
            self._part_event("content_part.done", part=done)
            self._keep(done)

    def _sealed_only(self, _index: int, seal: Seal) -> None:
        sealed = self._sealed(seal, "")
        self._open_item({"id": self._item_id("rs"), "type": "reasoning", "summary": [], "encrypted_content": sealed})
        self._close_item()

    def _message(self, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
        return {
            "id": self._item_id("msg"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _call(self, call: ev.ToolCallBegin | ToolCall, number: int, said: str, status: str) -> dict[str, Any]:
        prefix, kind, member = _CALL[call.kind]
        return {
            "id": self._item_id(prefix),
            "type": kind,
            "status": status,
            "call_id": self._call_id(call, number),
            "name": call.name,
            member: said,
            **({"namespace": call.namespace} if call.namespace else {}),
        }

    # The end.

    def _is_cut(self, reason: FinishReason) -> bool:
        """Whether the answer is cut short for this reason, in the midst of what was being said."""
        return reason is not FinishReason.PAUSE and self._incomplete(reason) is not None

    def _incomplete(self, reason: FinishReason) -> str | None:
        return None if reason is FinishReason.REFUSAL and self._refused else _INCOMPLETE.get(reason)

    def _finished(self, finish: ev.Finish) -> None:
        is_message = self._item is not None and self._item["type"] == "message"
        self._close_item(**({"status": "incomplete"} if is_message and self._is_cut(finish.reason) else {}))
        response = self._final(finish)
        self._event(f"response.{response['status']}", response=response)

    def _final(self, finish: ev.Finish) -> dict[str, Any]:
        """The whole response."""
        incomplete = self._incomplete(finish.reason)
        if finish.stop_sequence is not None:
            self._losses.add("stop_sequence", "Responses does not tell which one ended the answer")
        status = "incomplete" if incomplete else "completed"
        if finish.reason is FinishReason.UNKNOWN:
            status = "in_progress"
        response = self._response(status, self._output)
        if incomplete:
            response["incomplete_details"] = {"reason": incomplete}
        if self._usage is not None:
            response |= {
                "usage": told(self._usage),
                "service_tier": openai_tier(self._usage, native=self._asked.native),
            }
        return response

    def fail(self, error: ErrorValue) -> bytes:
        said = self._response("failed", self._output) if self.began else None
        return render_in_stream(Api.RESPONSES, error, self._number, None, said)

    def whole(self, answer: Answer) -> bytes:
        finish = self._take_whole(answer)
        self._output = []
        cut = self._is_cut(finish.reason)
        for part in answer.parts:
            self._add_whole(part, cut=cut)
        self._end_reasoning(None)
        if cut and self._output and self._output[-1]["type"] == "message":
            self._output[-1]["status"] = "incomplete"
        return json(self._final(finish))

    def _add_whole(self, part: AnswerPart, *, cut: bool) -> None:
        if isinstance(part, Reasoning):
            self._add_reasoning(part)
            return
        self._end_reasoning(None)
        last = self._output[-1] if self._output else {}
        if isinstance(part, ToolCall):
            self._called += 1
            said = part.arguments
            if part.kind is ToolKind.FUNCTION and not said.strip():
                said = _NO_ARGUMENTS
            call = Part(0, ToolCall, ev.ToolCallBegin(0, part.id, part.name, part.kind))
            call.pieces.append(part.arguments)
            status = "incomplete" if cut and _lacks_its_end(call) else "completed"
            self._output.append(self._call(part, self._called - 1, said, status))
        elif last.get("type") == "message":
            last["content"].append(_whole_part(part))
        else:
            self._output.append(self._message([_whole_part(part)], "completed"))

    _goes_on = False
    """The last reasoning item of a whole answer has no seal yet."""

    def _add_reasoning(self, part: Reasoning) -> None:
        if not (self._goes_on and part.text):
            self._end_reasoning(None)
            self._output.append({"id": self._item_id("rs"), "type": "reasoning", "summary": []})
        if part.text:
            self._output[-1]["summary"].append({"type": "summary_text", "text": part.text})
        self._goes_on = True
        if part.seal is not None:
            self._end_reasoning(part.seal)

    def _end_reasoning(self, seal: Seal | None) -> None:
        if self._goes_on and not (seal is None and self._asked.native):
            last = self._output[-1]
            said = PARAGRAPH.join(summary["text"] for summary in last["summary"])
            last["encrypted_content"] = self._sealed(seal or Seal(PLAIN), said)
            if self._asked.unread:
                last["summary"] = []
        self._goes_on = False


def _lacks_its_end(call: Part) -> bool:
    """Of a call behind which an answer was cut; a free text has no end that could be seen."""
    return (call.call is not None and call.call.kind is ToolKind.CUSTOM) or not call.is_complete()


def _whole_part(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return _content_part(Refusal, part.text)
    return _content_part(Text, part.text, _annotations(part.citations, part.text), part.logprobs)


def _content_part(
    kind: type[AnswerPart], said: str, annotations: Sequence[dict[str, Any]] = (), logprobs: Sequence[Any] = ()
) -> dict[str, Any]:
    if kind is Refusal:
        return {"type": "refusal", "refusal": said}
    return {"type": "output_text", "text": said, "annotations": list(annotations), "logprobs": list(logprobs)}


def _annotations(citations: Iterable[Citation], said: str) -> list[dict[str, Any]]:
    return [{"type": "url_citation", **annotation(citation, 0, len(said))} for citation in citations]
