"""Messages into canonical events: streams, and whole bodies, whose blocks are read as if each came at its start.

Rules (wire notes, sections 4, 6, 7):

* Text is that of text blocks, reasoning that of thinking blocks, its seal their signature; a redacted block is nothing
  but a seal. Of the tools only `tool_use` is the client's to carry out; `server_tool_use`, `mcp_tool_use`, all results,
  compaction blocks and whatever is new are foreign.
* Texts with another block between them are apart; those side by side are pieces of one, which citations split.
* A call's input comes as `input_json_delta`, or whole in the block's start; nothing at all means `{}`.
* Usage is merged field by field; Vercel's costs lie beside it in `provider_metadata`.
* A second `message_start` with the open message's id is an echo and is passed over; one with another id is a gateway
  that retried inside the stream (vercel/ai #18331): the answer begins anew.
* `message_stop` is the end, and so is EOF after a stop reason. An `error` event may come anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivium.canon import conventions as named
from trivium.canon.events import (
    Apart,
    Cited,
    FinishReason,
    Foreign,
    ReasoningDelta,
    ReasoningSeal,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.parts import Citation, Seal
from trivium.canon.usage import Conventions
from trivium.wire.decoder import Decoder
from trivium.wire.envelope import REDACTED, SIGNATURE
from trivium.wire.fault import fault_in
from trivium.wire.lenient import dump, mapping, sequence, text
from trivium.wire.messages.usage import MessagesUsage

_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
    "pause_turn": FinishReason.PAUSE,
}
_FAMILIAR = frozenset(
    {
        "content", "delta", "diagnostics", "id", "model", "provider_metadata", "role", "stop_reason",
        "stop_sequence", "type", "usage",
    }
)  # fmt: skip
"""Members of a message, or of what ends it, that are said elsewhere or say nothing of the answer."""


_BLOCK = frozenset({"type", "text", "citations", "thinking", "signature", "data", "id", "name", "input"})
_SAYS_NOTHING: tuple[Any, ...] = (None, [], {"type": "direct"})
"""The last is the `caller` of a call that the model made itself."""


class _Call:
    """The `tool_use` block that is open."""

    def __init__(self, part: int, input: Any) -> None:
        self.part = part
        self.input = input
        self.said = False


class StreamDecoder(Decoder):
    """Decodes one answer of the Messages API. All providers count alike here: conventions change nothing."""

    goes_on = True  # recorded with Anthropic's tool search: two messages, each with its message_stop

    def __init__(self, _: Conventions = named.DEFAULT) -> None:
        super().__init__()
        self._usage = MessagesUsage()
        self._calls: dict[Any, _Call] = {}
        self._foreign: set[int] = set()
        """Blocks that say nothing here."""
        self._has_text = self._apart = False
        """Text has been said; and something else behind it."""

    def _take(self, said: dict[str, Any], name: str) -> None:
        reader = _READERS.get(text(said.get("type")) or name)
        if reader:
            reader(self, said)
        elif "type" not in said or said["type"] == "error":
            self._fail(fault_in(said))
        elif said["type"] != "ping":
            self._out.append(Foreign(text(said["type"])[:60]))

    def _take_body(self, said: dict[str, Any]) -> bool:
        if said.get("type", "message") != "message":
            return False
        if said.keys().isdisjoint(("type", "content", "stop_reason")):
            self._report(said)
            return bool(self._out)
        self._begin(text(said.get("id")), text(said.get("model")), text(said.get("provider")))
        for position, block in enumerate(sequence(said.get("content"))):
            self._start_block({"index": position, "content_block": block})
        self._take_message_delta({**said, "delta": said})
        self._stop_message(said)
        return True

    def _take_end(self) -> None:
        self._close_calls()

    def _start_message(self, said: dict[str, Any]) -> None:
        message = mapping(said.get("message"))
        id, model = text(message.get("id")), text(message.get("model"))
        if self._starts_anew(id, model):
            self._calls.clear()
            self._foreign.clear()
            self._usage.anew()
        self._begin(id, model, text(message.get("provider")))
        self._report(message)
        self._take_foreign(message)

    def _start_block(self, said: dict[str, Any]) -> None:
        at, block = _index(said), mapping(said.get("content_block"))
        kind = block.get("type")
        if kind != "text":
            self._apart = self._has_text
        if kind == "text":
            self._say(at, "text", block.get("text"))
            for citation in sequence(block.get("citations")):
                self._cite(at, mapping(citation))
        elif kind == "thinking":
            self._say(at, "thinking", block.get("thinking"))
            self._seal(at, block.get("signature"))
        elif kind == "redacted_thinking":
            self._out.append(ReasoningSeal(self._new_part(), Seal(REDACTED, text(block.get("data")))))
        elif kind == "tool_use":
            call = self._calls[at] = _Call(self._new_part(), block.get("input"))
            self._called = True
            self._out.append(ToolCallBegin(call.part, text(block.get("id")), text(block.get("name"))))
        else:
            self._foreign.add(at)
            # An error in place of a search's results is not billed (Anthropic's page on the tool).
            searched = kind == "web_search_tool_result" and type(block.get("content")) is list
            self._out.append(Foreign(f"content[{at}] ({text(kind)[:60]})", "web_search" if searched else None))
            return
        if not block.keys() <= _BLOCK:
            more = (name for name in block if name not in _BLOCK and block[name] not in _SAYS_NOTHING)
            self._out += [Foreign(f"content[{at}].{name}") for name in more]

    def _take_delta(self, said: dict[str, Any]) -> None:
        at, delta = _index(said), mapping(said.get("delta"))
        kind = delta.get("type")
        if kind == "text_delta":
            self._say(at, "text", delta.get("text"))
        elif kind == "thinking_delta":
            self._say(at, "thinking", delta.get("thinking"))
        elif kind == "input_json_delta":
            if at in self._calls:
                self._argue(self._calls[at], text(delta.get("partial_json")))
        elif kind == "signature_delta":
            self._seal(at, delta.get("signature"))
        elif kind == "citations_delta":
            self._cite(at, mapping(delta.get("citation")))
        elif at not in self._foreign:
            self._out.append(Foreign(f"content[{at}] ({text(kind)[:60]})"))

    def _cite(self, at: Any, said: dict[str, Any]) -> None:
        """A page found by a search; places in documents that were sent along are of use to nobody else."""
        if said.get("type") == "web_search_result_location" and text(said.get("url")):
            citation = Citation(said["url"], text(said.get("title")) or None)
            self._out.append(Cited(self._text_part(at), citation))
        else:
            self._out.append(Foreign(f"content[{at}].citations"))

    def _seal(self, at: Any, signature: Any) -> None:
        if text(signature):
            self._out.append(ReasoningSeal(self._part(("thinking", at)), Seal(SIGNATURE, signature)))

    def _say(self, at: Any, kind: str, words: Any) -> None:
        if not text(words):
            return
        if kind == "text":
            self._out.append(TextDelta(words, self._text_part(at)))
        else:
            self._out.append(ReasoningDelta(words, self._part((kind, at))))

    def _text_part(self, at: Any) -> int:
        before, part = self._parts, self._part(("text", at))
        if self._apart and part == before:
            self._out.append(Apart(part))
        self._has_text, self._apart = True, False
        return part

    def _argue(self, call: _Call, arguments: str) -> None:
        if arguments:
            call.said = True
            self._out.append(ToolCallDelta(call.part, arguments))

    def _stop_block(self, said: dict[str, Any]) -> None:
        call = self._calls.pop(_index(said), None)
        if call and not call.said:
            self._argue(call, dump(mapping(call.input)))

    def _close_calls(self) -> None:
        for at in list(self._calls):
            self._stop_block({"index": at})

    def _take_message_delta(self, said: dict[str, Any]) -> None:
        self._close_calls()
        self._take_routing(said)
        self._report(said)
        delta = mapping(said.get("delta"))
        word = text(delta.get("stop_reason"))
        if word:
            self._end(_FINISH.get(word), word, text(delta.get("stop_sequence")) or None)
        self._take_foreign(said)
        self._take_foreign(delta)

    def _take_foreign(self, said: dict[str, Any]) -> None:
        """Members that no other API has."""
        self._out += [Foreign(name) for name in said if name not in _FAMILIAR and said[name] is not None]

    def _stop_message(self, _said: dict[str, Any]) -> None:
        self._close_calls()
        self._stop()

    def _report(self, said: dict[str, Any]) -> None:
        usage, metadata = said.get("usage"), said.get("provider_metadata")
        report = self._usage.read(usage, metadata) if usage or metadata else None
        if report:
            self._out.append(UsageReport(report))


_READERS: dict[str, Callable[[StreamDecoder, dict[str, Any]], object]] = {
    "message_start": StreamDecoder._start_message,
    "content_block_start": StreamDecoder._start_block,
    "content_block_delta": StreamDecoder._take_delta,
    "content_block_stop": StreamDecoder._stop_block,
    "message_delta": StreamDecoder._take_message_delta,
    "message_stop": StreamDecoder._stop_message,
    "message": StreamDecoder._take_body,
}


def _index(said: dict[str, Any]) -> int:
    """The block's number; blocks without one are taken for the same."""
    at = said.get("index")
    return at if type(at) is int else -1
