"""Responses into canonical events: streams, and whole bodies, which are read as the terminal event of a silent stream.

Rules (wire notes, sections 3, 6, 7):

* Text is that of all `output_text` parts of all messages, reasoning that of the reasoning items' summaries and
  contents, sealed by the `encrypted_content` of the finished item. Function and custom tool calls are the client's to
  carry out; hosted tools run upstream and are foreign.
* Texts of different messages are apart; those of one are pieces of one text.
* An item is known by its `output_index`: item ids change within a stream (GitHub Copilot). It is known by its id where
  there is no index (llama.cpp) or one that nothing has had yet: vLLM gives the end of an item the next one's. What is
  added where an item has been added before is another one: servers give several one index (decolua/9router#2611).
* Deltas are told as they come. `.done` events, `output_item.done` and the terminal event's `output` say everything
  again; of that only what goes beyond the deltas is told, so that an upstream that sends no deltas (LM Studio) loses
  nothing. There the n-th item of a type, and in it the n-th part of a type, is the n-th of that type seen: positions
  in these lists and the indices of the deltas differ in the wild (Bedrock). Of a reasoning item that spoke in one
  form, summary or content, the other form is a repetition; of one that comes whole the content counts.
* There is no finish reason. Completed means tool_calls if a call was made, else refusal if a part refused, else stop;
  incomplete means length, or content_filter by its reason; failed and cancelled are errors.
* An error is flat or nested; `response.failed` after an `error` event repeats it.
* A second `response.created` with another id begins the answer anew.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from trivium.canon import conventions as named
from trivium.canon.events import (
    Apart,
    Cited,
    Event,
    Fault,
    FinishReason,
    Foreign,
    ReasoningDelta,
    ReasoningSeal,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    ToolCallEnd,
    UsageReport,
)
from trivium.canon.parts import Citation, Seal, ToolKind
from trivium.canon.usage import Conventions
from trivium.wire.decoder import Decoder
from trivium.wire.envelope import ENCRYPTED
from trivium.wire.fault import fault_in, fault_of
from trivium.wire.lenient import dump, index, is_shallow, mapping, sequence, text
from trivium.wire.responses.usage import ResponsesUsage, tool_called

_SAY: dict[str, tuple[Callable[[str, int], Event], str]] = {
    "text": (TextDelta, "message"),
    "refusal": (RefusalDelta, "message"),
    "summary": (ReasoningDelta, "reasoning"),
    "content": (ReasoningDelta, "reasoning"),
    "arguments": (lambda said, part: ToolCallDelta(part, said), "function_call"),
}
"""What can be said: the event that tells it, and the type of an item that says it unannounced."""
_OTHER_FORM = {"summary": "content", "content": "summary"}
_DELTAS = {
    "response.output_text.delta": ("text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("content", "content_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.custom_tool_call_input.delta": ("arguments", ""),
}
_WHOLES = {
    "response.output_text.done": ("text", "content_index", "text"),
    "response.refusal.done": ("refusal", "content_index", "refusal"),
    "response.reasoning_summary_text.done": ("summary", "summary_index", "text"),
    "response.reasoning_text.done": ("content", "content_index", "text"),
    "response.function_call_arguments.done": ("arguments", "", "arguments"),
    "response.custom_tool_call_input.done": ("arguments", "", "input"),
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Items that are the client's to carry out, and where their arguments lie."""
_PARTS = {
    # Where parts lie in an item and their type: what they say, and under which key.
    ("content", "output_text"): ("text", "text"),
    ("content", "refusal"): ("refusal", "refusal"),
    ("summary", "summary_text"): ("summary", "text"),
    ("content", "reasoning_text"): ("content", "text"),
}
_ITEM = 500
"""Bytes of what is known of an item beside its parts, or of an id."""
_FINISHED = ("completed", "incomplete", "failed", "cancelled")
_UNFINISHED = ("queued", "in_progress")
_INCOMPLETE = {"content_filter": FinishReason.CONTENT_FILTER, "pause_turn": FinishReason.PAUSE}
_CALLED = frozenset({"type", "id", "status", "call_id", "name", "namespace", "arguments", "input"})
_OWN = {
    "message": frozenset({"type", "id", "status", "role", "content"}),
    "reasoning": frozenset({"type", "id", "status", "summary", "content", "encrypted_content", "format"}),
    **dict.fromkeys(_CALLS, _CALLED),
}
"""Items that other APIs can say as well, and their members that are said elsewhere or say nothing of the answer."""
_SAYS_NOTHING: tuple[Any, ...] = (None, False, "", [], {}, {"type": "direct"})
"""The last is the `caller` of a call that the model made itself."""
_FAMILIAR = frozenset(
    {
        "access_programs", "background", "billing", "completed_at", "conversation", "created_at", "error",
        "frequency_penalty", "id", "image", "incomplete_details", "input_transformations", "instructions",
        "max_output_tokens", "max_tool_calls", "metadata", "model", "object", "output", "output_text",
        "parallel_tool_calls", "presence_penalty", "previous_response_id", "prompt", "prompt_cache_diagnostics",
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "provider_metadata", "reasoning",
        "safety_identifier", "service_tier", "status", "store", "temperature", "text", "tool_choice",
        "tool_usage", "tools", "top_logprobs", "top_p", "truncation", "usage", "user",
    }
)  # fmt: skip
"""Members of a response that are said elsewhere, repeat the request, or say nothing of the answer."""
_BORDERS = frozenset(
    f"response.{part}.{border}"
    for part in ("content_part", "reasoning_part", "reasoning_summary_part")
    for border in ("added", "done")
)
"""Events that say nothing beside the others."""


class _Item:
    """An output item: its parts by what they say and their position, each with its index and length so far."""

    def __init__(self, type: str, at: int, id: str) -> None:
        self.type = type
        self.at = at
        self.id = id
        self.added = self.done = False
        self.parts: dict[str, dict[int, list[int]]] = {}
        self.sealed = False
        self.tool: str | None = None
        """Of the provider's, that it is a call of."""
        self.is_over = False
        """Its input is, and that was told."""
        self.cited: dict[int, int] = {}
        """How many citations of the text at a position have been told."""


class StreamDecoder(Decoder):
    """Decodes one answer of the Responses API."""

    def __init__(self, conventions: Conventions = named.DEFAULT) -> None:
        super().__init__()
        self._usage = ResponsesUsage(conventions)
        self._items: list[_Item] = []
        self._by_index: dict[int, _Item] = {}
        self._by_id: dict[str, _Item] = {}
        self._tools = Counter[str]()
        """Calls of the provider's that the items show."""
        self._refused = False
        self._text_in: _Item | None = None
        """The item of the last part of text."""

    def place(self) -> None:
        """What was said of a text is taken off what its end repeats."""

    def _take(self, said: dict[str, Any], name: str) -> None:
        kind = text(said.get("type")) or name
        if kind in _DELTAS:
            self._take_delta(kind, said)
        elif kind in _WHOLES:
            self._take_whole(kind, said)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            done = kind.endswith("done")
            self._take_item(self._item_of(said, done=done), mapping(said.get("item")), done=done)
        elif type(said.get("response")) is dict:
            self._take_response_event(kind.removeprefix("response."), said["response"])
        elif said.get("object") == "response":
            self._take_body(said)
        elif kind == "response.output_text.annotation.added":
            self._cite(self._item(said, "message"), _position(said, "content_index"), mapping(said.get("annotation")))
        elif kind == "response.content_part.done":
            self._cite_rest(self._item(said, "message"), _position(said, "content_index"), mapping(said.get("part")))
        elif kind == "error" or "type" not in said:
            self._fail(fault_in(said if kind != "error" else {**said, "type": "error"}))
        elif kind not in _BORDERS and kind not in ("keepalive", "ping") and not self._is_of_foreign_item(said):
            self._out.append(Foreign(kind[:60]))

    def _is_of_foreign_item(self, said: dict[str, Any]) -> bool:
        item = self._known(said)
        return item is not None and item.type not in _OWN

    def _take_body(self, said: dict[str, Any]) -> bool:
        if said.get("object") == "response" or type(said.get("output")) is list:
            self._begin(text(said.get("id")), text(said.get("model")), text(said.get("provider")))
            self._take_routing(said)
            self._report(said)
            if said.get("status") not in _UNFINISHED:
                self._take_final(text(said.get("status")), said)
            return True
        self._report(said)
        return bool(self._out)

    def _take_response_event(self, kind: str, response: dict[str, Any]) -> None:
        id, model = text(response.get("id")), text(response.get("model"))
        if kind == "created" and self._starts_anew(id, model):
            self._items.clear()
            self._by_index.clear()
            self._by_id.clear()
            self._tools.clear()
            self._usage.anew()
            self._refused, self._text_in = False, None
        self._begin(id, model, text(response.get("provider")), text(response.get("service_tier")))
        self._take_routing(response)
        self._report(response)
        if kind in _FINISHED:
            status = response.get("status")
            self._take_final(status if status in _FINISHED else kind, response)

    def _report(self, response: dict[str, Any]) -> None:
        report = self._usage.read(response, self._called_tools(response)) if response.get("usage") else None
        if report:
            self._out.append(UsageReport(report))

    def _called_tools(self, response: dict[str, Any]) -> Counter[str]:
        """How often, as the final output shows, which says all items again; else as these did."""
        final = Counter(filter(None, map(tool_called, map(mapping, sequence(response.get("output"))))))
        return final or +self._tools

    def _take_final(self, status: str, response: dict[str, Any]) -> None:
        if self._ended:
            return
        self._settle(sequence(response.get("output")))
        self._out += [Foreign(name) for name in response if name not in _FAMILIAR and response[name] is not None]
        error = mapping(response.get("error"))
        if error or status in ("failed", "cancelled"):
            fault = fault_of(error) if error else Fault("response_" + status, f"The response was {status}")
            self._fail(fault)
            self._end(FinishReason.ERROR, status or None)
        elif status == "incomplete":
            reason = text(mapping(response.get("incomplete_details")).get("reason"))
            self._end(_INCOMPLETE.get(reason, FinishReason.LENGTH), reason or status)
        else:
            refused = self._refused and not self._called
            self._end(FinishReason.REFUSAL if refused else None, status or None)
        self._stop()

    def _known(self, said: dict[str, Any]) -> _Item | None:
        """The item that an event is about."""
        at, id = _place(said)
        here = None if at is None else self._by_index.get(at)
        return here or self._by_id.get(id)

    def _item(self, said: dict[str, Any], type: str) -> _Item:
        return self._known(said) or self._new_item(said, type)

    def _new_item(self, said: dict[str, Any], type: str) -> _Item:
        at, id = _place(said)
        item = _Item(type, len(self._items) if at is None else at, id)
        self._items.append(item)
        if at is not None:
            self._by_index[at] = item
        if id:
            self._by_id[id] = item
        self.kept += _ITEM + len(id)
        return item

    def _item_of(self, said: dict[str, Any], *, done: bool) -> _Item:
        """The item that is added or done; another one where the one that has its place was already."""
        item, id = self._known(said), _place(said)[1]
        if item is not None:
            is_other = bool(id and item.id and id != item.id)
            before = item.done and is_other if done else item.added and (item.done or is_other)
            item = None if before else item
        item = item or self._new_item(said, "")
        item.added, item.done = True, item.done or done
        return item

    def _settle(self, output: list[Any]) -> None:
        """Tell of the final output what the stream has not told."""
        seen: dict[str, deque[_Item]] = {}
        for item in sorted(self._items, key=lambda item: item.at):
            seen.setdefault(item.type, deque()).append(item)
        fresh = max((item.at for item in self._items), default=-1)
        for said in map(mapping, output):
            known = seen.get(text(said.get("type")))
            fresh += not known
            item = known.popleft() if known else self._new_item({"output_index": fresh}, "")
            self._take_item(item, said, done=True)

    def _take_item(self, item: _Item, said: dict[str, Any], *, done: bool) -> None:
        kind = text(said.get("type"))
        item.type = kind or item.type
        if kind in _CALLS and (done or said.get("name")):
            self._take_call(item, said)
        if not done:
            return
        if kind not in _OWN:
            tool = tool_called(said)
            self._count(item, tool)
            self._out.append(Foreign(f"output[{item.at}] ({kind[:60]})", tool))
        elif not said.keys() <= _OWN[kind]:
            more = (name for name in said if name not in _OWN[kind] and said[name] not in _SAYS_NOTHING)
            self._out += [Foreign(f"output[{item.at}].{name}") for name in more]
        if kind in _CALLS:
            arguments = said.get(_CALLS[kind])
            self._say(item, "arguments", 0, text(arguments) or (dump(arguments) if arguments else ""), whole=True)
            self._end_call(item)
        self._take_parts(item, said)
        if kind == "reasoning":
            self._seal(item, text(said.get("encrypted_content")))

    def _count(self, item: _Item, tool: str | None) -> None:
        """Items come again, and the last time counts."""
        if item.tool:
            self._tools[item.tool] -= 1
        if tool:
            self._tools[tool] += 1
        item.tool = tool

    def _take_delta(self, kind: str, said: dict[str, Any]) -> None:
        (what, place), delta = _DELTAS[kind], text(said.get("delta"))
        self._say(self._item(said, _SAY[what][1]), what, _position(said, place), delta, whole=False)
        if said.get("logprobs"):
            self._weigh(delta, said["logprobs"])

    def _take_whole(self, kind: str, said: dict[str, Any]) -> None:
        what, place, key = _WHOLES[kind]
        item = self._item(said, _SAY[what][1])
        self._say(item, what, _position(said, place), text(said.get(key)), whole=True)
        if what == "arguments":
            self._end_call(item)

    def _weigh(self, said: str, logprobs: Any) -> None:
        """The probabilities of a text, if it has just been told in one piece."""
        last = self._out[-1] if self._out else None
        if isinstance(last, TextDelta) and last.text == said and is_shallow(logprobs):
            self._out[-1] = TextDelta(said, last.index, sequence(logprobs))

    def _cite(self, item: _Item, position: int, said: dict[str, Any]) -> None:
        item.cited[position] = item.cited.get(position, 0) + 1
        part = item.parts.get("text", {}).get(position)
        if said.get("type") != "url_citation" or not text(said.get("url")) or part is None:
            self._out.append(Foreign(f"output[{item.at}].content.annotations"))
            return
        places = index(said.get("start_index")), index(said.get("end_index"))
        self._out.append(Cited(part[0], Citation(said["url"], text(said.get("title")) or None, *places)))

    def _cite_rest(self, item: _Item, position: int, part: dict[str, Any]) -> None:
        """Those of a text's citations that had no event of their own."""
        for annotation in sequence(part.get("annotations"))[item.cited.get(position, 0) :]:
            self._cite(item, position, mapping(annotation))

    def _take_parts(self, item: _Item, said: dict[str, Any]) -> None:
        """Each in its order; of each kind the n-th is the n-th that was seen."""
        told = [(place, mapping(part)) for place in ("content", "summary") for part in sequence(said.get(place))]
        seen = {
            what: itertools.chain([*itertools.islice(item.parts.get(what, ()), len(told))], itertools.count(-1, -1))
            for what, _ in _PARTS.values()
        }
        for place, part in told:
            kind = text(part.get("type"))
            if item.type == "reasoning" and kind == "output_text":  # as LocalAI has it
                kind = "reasoning_text"
            if (known := _PARTS.get((place, kind))) is None:
                if item.type in _OWN:
                    self._out.append(Foreign(f"output[{item.at}].{place} ({kind[:60]})"))
                continue
            what, key = known
            position = next(seen[what])
            self._say(item, what, position, text(part.get(key)), whole=True)
            if part.get("logprobs"):
                self._weigh(text(part.get(key)), part["logprobs"])
            self._cite_rest(item, position, part)

    def _seal(self, item: _Item, sealed: str) -> None:
        """A seal ends the item's last part; an item without any is nothing but its seal."""
        if not sealed or item.sealed:
            return
        item.sealed = True
        told = [part[0] for parts in item.parts.values() for part in parts.values()]
        self._out.append(ReasoningSeal(max(told) if told else self._new_part(), Seal(ENCRYPTED, sealed)))

    def _take_call(self, item: _Item, said: dict[str, Any]) -> None:
        id, name = text(said.get("call_id")) or text(said.get("id")), text(said.get("name"))
        if not item.parts.get("arguments"):
            part = self._new_part()
            item.parts["arguments"] = {0: [part, 0]}
            self._called = True
            kind = ToolKind.CUSTOM if said.get("type") == "custom_tool_call" else ToolKind.FUNCTION
            self._out.append(ToolCallBegin(part, id, name, kind, text(said.get("namespace")) or None))

    def _end_call(self, item: _Item) -> None:
        part = item.parts.get("arguments", {}).get(0)
        if part is not None and item.type == "custom_tool_call" and not item.is_over:
            item.is_over = True
            self._out.append(ToolCallEnd(part[0]))

    def _say(self, item: _Item, what: str, position: int, said: str, *, whole: bool) -> None:
        """Tell a delta, or of a whole what its deltas lacked. Arguments of a call not yet begun wait for its item."""
        parts = item.parts.setdefault(what, {})
        part = parts.get(position)
        if not said or (part is None and what == "arguments") or item.parts.get(_OTHER_FORM.get(what, "")):
            return
        if part is None:
            part = parts[position] = [self._new_part(), 0]
            self._refused |= what == "refusal"
            if what == "text":
                if self._text_in not in (None, item):
                    self._out.append(Apart(part[0]))
                self._text_in = item
        if whole:
            said = said[part[1] :]
        if said:
            part[1] += len(said)
            self._out.append(_SAY[what][0](said, part[0]))


def _place(said: dict[str, Any]) -> tuple[int | None, str]:
    """The index and the id of the item that an event is about; those without either are about one and the same."""
    at, id = index(said.get("output_index")), text(said.get("item_id")) or text(mapping(said.get("item")).get("id"))
    return (-1 if at is None and not id else at), id


def _position(said: dict[str, Any], name: str) -> int:
    return index(said.get(name)) or 0
