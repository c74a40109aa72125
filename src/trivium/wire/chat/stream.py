"""Chat Completions into canonical events: chunks, and whole bodies, whose `message` is read as one large delta.

Rules, each from recorded traffic (wire notes, sections 2, 6, 7):

* Only choice 0 is read; a choice without an index is choice 0. Usage is read wherever it lies (chunk, `x_groq`, choice)
  and whenever it comes, also after the finish.
* `content` is a string or a list of parts, among them Mistral's thinking. Reasoning comes as `reasoning`,
  `reasoning_content` or `reasoning_details`; they repeat each other, so of one delta the details count if they have
  text, for each has its own signature. It seals the reasoning before it; encrypted details are reasoning of their own.
  Google's seal of a call is reasoning without a text before the call.
* A fragment of a tool call belongs to the call of its index; without one to the call of its id, and without either to
  the last call, unless it has a name of its own. An index under which another id turns up begins a new call, as does,
  without ids, another name, or the same one with arguments where those of the last call were whole (Google's endpoint
  numbers all calls 0, and has left out their ids). A call is told when its name is known and either its id or its first
  arguments are.
* The finish word counts, an unknown one means stop, or tool_calls if a call was told. "error", alone or behind a benign
  word in `native_finish_reason` (OpenRouter), is an error. An empty word (Snowflake) and a missing one are an end only
  at `[DONE]`; an empty word in a chunk that says nothing else is one also where the stream ends without `[DONE]`.
* Refusals are text apart; the finish word beside a refusal stays what it is.
"""

from __future__ import annotations

from typing import Any

from trivium.canon import conventions as named
from trivium.canon.events import (
    Cited,
    Fault,
    FinishReason,
    Foreign,
    ReasoningDelta,
    ReasoningSeal,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    UsageReport,
)
from trivium.canon.parts import Citation, Seal, ToolKind
from trivium.canon.usage import Conventions
from trivium.wire.chat.details import is_sealed, seal, text_of
from trivium.wire.chat.usage import ChatUsage
from trivium.wire.decoder import PART, Decoder
from trivium.wire.envelope import GOOGLE
from trivium.wire.fault import fault_in, fault_of
from trivium.wire.lenient import dump, index, is_json, is_shallow, mapping, sequence, text

_FINISH = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "blocklist": FinishReason.CONTENT_FILTER,
    "spii": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
    "error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
    "network_error": FinishReason.ERROR,
    "abort": FinishReason.ERROR,
    "function_call_filter": FinishReason.ERROR,
    "malformed_function_call": FinishReason.ERROR,
    "unexpected_tool_call": FinishReason.ERROR,
}
"""In lower case, up to a colon: Google says `function_call_filter: MALFORMED_FUNCTION_CALL` where it has thrown away
what the model called. Beside OpenAI's: Together's, Mistral's, DeepSeek's, Z.ai's (docs.z.ai: sensitive, network_error,
model_context_window_exceeded), Bedrock's (guardrail_intervened), vLLM's (abort: the server gave up, vllm-project/
vllm#57082), and Gemini's, which some pass on (ai.google.dev/api/generate-content#FinishReason)."""
_NATIVE_ERRORS = ("error", "network_error")
_FAMILIAR = frozenset(
    {
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "service_tier",
        "error",
        "obfuscation",
        "x_groq",
        "system_fingerprint",
    }
)
"""Members of a chunk that are said elsewhere, or that say nothing of the answer."""
_WORDS = frozenset(
    {
        "annotations", "content", "function_call", "provider_metadata", "reasoning", "reasoning_content",
        "reasoning_details", "refusal", "role", "tool_calls",
    }
)  # fmt: skip
"""Members of a message that are read."""
_CHOICE = frozenset(
    {"index", "delta", "message", "finish_reason", "logprobs", "native_finish_reason", "error", "usage"}
)
_CALL = frozenset({"index", "id", "type", "function", "custom", "extra_content"})
_FUNCTION = frozenset({"name", "arguments", "input"})
_LEGACY = -1
"""The index of the one call that the old `function_call` field makes."""


class _Call:
    """A tool call that is being told in fragments."""

    def __init__(self, id: str, name: str, kind: ToolKind, seal: str) -> None:
        self.id = id
        self.name = name
        self.kind = kind
        self.seal = seal
        """Google's."""
        self.part: int | None = None
        """Its index once it has been told."""
        self.whole = False
        """It came without an id, and all its arguments with it."""
        self.held: list[str] = []


class StreamDecoder(Decoder):
    """Decodes one answer of the Chat Completions API."""

    def __init__(self, conventions: Conventions = named.DEFAULT) -> None:
        super().__init__()
        self._usage = ChatUsage(conventions)
        self._calls: dict[int | str, _Call] = {}
        """By index, and by id."""
        self._last_call: _Call | None = None
        self._new_calls: list[_Call] = []
        self._answered = False
        self._blank_end = False
        self._keys: tuple[str, ...] = ()
        """Members of the last chunk: those of the next are the same as a rule."""
        self._logprobs: list[Any] | None = None
        """Of the chunk's text, until it is told."""
        self._text_part: int | None = None
        self._text_start = self._text_end = 0
        """Where in all of the content the last part of text begins, and ends so far."""
        self._unsealed: int | None = None
        """The part of reasoning that a signature would seal."""

    def _take(self, said: dict[str, Any], _name: str) -> None:
        self._take_chunk(said, whole=False)

    def _take_body(self, said: dict[str, Any]) -> bool:
        self._take_chunk(said, whole=True)
        self._take_done()
        return self._answered or any(isinstance(event, UsageReport) for event in self._out)

    def _take_done(self) -> None:
        self._tell_all()
        if self._answered:
            self._stop()

    def _take_end(self) -> None:
        self._tell_all()
        if self._finish or (self._blank_end and not self._faulted):
            self._stop()

    def _take_chunk(self, said: dict[str, Any], *, whole: bool) -> None:
        begun, tier = self._begun, text(said.get("service_tier"))
        known = begun.id and begun.model and (begun.served_by or "provider" not in said)
        if not known or (tier and not begun.service_tier):
            self._begin(text(said.get("id")), text(said.get("model")), text(said.get("provider")), tier)
            self._usage.tier(tier)
        choice = _first_choice(said.get("choices"))
        words = choice.get("delta")
        if type(words) is not dict:
            words = mapping(choice.get("message"))
        before = len(self._out)
        weights = choice.get("logprobs")
        self._logprobs = None
        if weights and is_shallow(weights):
            self._logprobs = sequence(mapping(weights).get("content")) or None
        if words:
            self._take_words(words, whole=whole)
        silent = before == len(self._out)
        self._take_usage(said, choice, words)
        if "error" in said or not choice:
            self._fail(fault_in(said))
        if choice:
            self._answered = True
            self._take_finish(choice)
            self._blank_end = silent and choice.get("finish_reason") == ""
            if self._logprobs:
                # of a chunk without text, such as a refusal's
                self._out.append(Foreign("choices[0].logprobs"))
        if (keys := tuple(said)) != self._keys:
            self._keys = keys
            self._out += [Foreign(name) for name in said if name not in _FAMILIAR and said[name] is not None]
        if (silent or whole) and not choice.keys() <= _CHOICE:
            more = (name for name in choice if name not in _CHOICE and choice[name] is not None)
            self._out += [Foreign(f"choices[0].{name}") for name in more]

    def _take_words(self, words: dict[str, Any], *, whole: bool) -> None:
        content = words.get("content")
        self._take_reasoning(words)
        if content:
            self._take_content(content)
        if text(words.get("refusal")):
            self._out.append(RefusalDelta(words["refusal"], self._part("refusal")))
        for position, call in enumerate(sequence(words.get("tool_calls"))):
            self._take_call(mapping(call), position if whole else None)
        if type(words.get("function_call")) is dict:
            self._take_fragment(_LEGACY, "", words["function_call"])
        for annotation in sequence(words.get("annotations")):
            self._cite(mapping(annotation))
        if not words.keys() <= _WORDS:
            self._out += [Foreign(f"choices[0].message.{name}") for name in words if words[name] and name not in _WORDS]

    def _take_content(self, content: Any) -> None:
        if type(content) is str:
            self._text(content)
            return
        for part in sequence(content):
            said = mapping(part)
            if said.get("type") in ("thinking", "reasoning"):
                self._reason(_thoughts(said.get("thinking") or said.get("summary")))
            elif text(said.get("refusal")):
                self._out.append(RefusalDelta(said["refusal"], self._part("refusal")))
            elif text(said.get("text")):
                self._text(said["text"])
            elif (kind := text(said.get("type"))) not in ("text", "refusal"):
                self._out.append(Foreign(f"choices[0].message.content ({kind[:60]})"))

    def _text(self, said: str) -> None:
        if self._kind != "text":
            self._text_start = self._text_end
        self._text_part = self._part("text")
        self._text_end += len(said)
        self._out.append(TextDelta(said, self._text_part, self._logprobs))
        self._logprobs = None

    def more(self, letters: int) -> None:
        self._blank_end = False
        if self._kind == "text":
            self._text_end += letters

    def _cite(self, annotation: dict[str, Any]) -> None:
        """A page, with its place in all of the content."""
        said = mapping(annotation.get("url_citation"))
        if annotation.get("type") != "url_citation" or not text(said.get("url")):
            self._out.append(Foreign("choices[0].message.annotations"))
            return
        if self._text_part is None:
            self._text_part = self._part("text")
        places = (index(said.get("start_index")), index(said.get("end_index")))
        start, end = (None if place is None else max(0, place - self._text_start) for place in places)
        self._out.append(Cited(self._text_part, Citation(said["url"], text(said.get("title")) or None, start, end)))

    def _take_reasoning(self, words: dict[str, Any]) -> None:
        told = text(words.get("reasoning")) or text(words.get("reasoning_content"))
        details = [mapping(detail) for detail in sequence(words.get("reasoning_details"))]
        if not any(map(text_of, details)):
            self._reason(told)
        for detail in details:
            self._reason(text_of(detail))
            if is_sealed(detail):
                self._take_seal(detail)

    def _reason(self, told: str) -> None:
        if told:
            self._unsealed = self._part("reasoning")
            self._out.append(ReasoningDelta(told, self._unsealed))

    def _take_seal(self, detail: dict[str, Any]) -> None:
        part = self._unsealed if "data" not in detail else None
        if part is None:
            part = self._new_part()
        else:
            self._unsealed = None
            self._kind = None if self._kind == "reasoning" else self._kind
        self._out.append(ReasoningSeal(part, seal(detail)))

    def _take_call(self, call: dict[str, Any], position: int | None) -> None:
        """One entry of `tool_calls`; its position counts for its index in a whole body, where every entry is a call."""
        what = mapping(call.get("function"))
        if not (call.keys() <= _CALL and what.keys() <= _FUNCTION):
            more = [name for name in call if name not in _CALL and call[name] is not None]
            more += [f"function.{name}" for name in what if name not in _FUNCTION and what[name] is not None]
            self._out += [Foreign(f"choices[0].message.tool_calls.{name}") for name in more]
        kind = ToolKind.FUNCTION if what or "custom" not in call else ToolKind.CUSTOM
        at = index(call.get("index")) if position is None else position
        sealed = text(mapping(mapping(call.get("extra_content")).get("google")).get("thought_signature"))
        self._take_fragment(at, text(call.get("id")), what or mapping(call.get("custom")), kind, sealed)

    def _take_fragment(
        self, at: int | None, id: str, what: dict[str, Any], kind: ToolKind = ToolKind.FUNCTION, seal: str = ""
    ) -> None:
        name, said = text(what.get("name")), what.get("arguments", what.get("input"))
        arguments = dump(said) if type(said) is dict else text(said)
        if not (id or name or arguments):
            return
        call = self._call_of(at, id, name, arguments)
        if call is None:
            call = _Call(id, name, kind, seal)
            call.whole = not id and arguments.startswith("{") and is_json(arguments)
            self._new_calls.append(call)
            self.kept += PART
        self._last_call = call
        for key in (at, id):
            if key or key == 0:
                self._calls[key] = call
        call.id, call.name = call.id or id, call.name or name
        if arguments:
            call.held.append(arguments)
        if call.name and (call.id or call.held):
            self._tell(call)

    def _call_of(self, at: int | None, id: str, name: str, arguments: str) -> _Call | None:
        """The call that goes on; None for one that begins."""
        if at is None:
            return self._calls.get(id) if id else None if name else self._last_call
        call = self._calls.get(at)
        if call and call.name and name:
            if id and call.id:
                return call if id == call.id else None
            if not id and (name != call.name or (call.whole and arguments)):
                return None
        return call

    def _tell(self, call: _Call) -> None:
        if call.part is None:
            if call.seal:
                self._out.append(ReasoningSeal(self._new_part(), Seal(GOOGLE, call.seal)))
            call.part = self._new_part()
            self._called = True
            self._out.append(ToolCallBegin(call.part, call.id, call.name, call.kind))
        for arguments in call.held:
            self._out.append(ToolCallDelta(call.part, arguments))
        call.held.clear()

    def _tell_all(self) -> None:
        """Calls whose name or id never came are told without."""
        for call in self._new_calls:
            self._tell(call)
        self._new_calls.clear()

    def _take_usage(self, said: dict[str, Any], choice: dict[str, Any], words: dict[str, Any]) -> None:
        usage = said.get("usage")
        if type(usage) is not dict:
            usage = choice.get("usage") or mapping(said.get("x_groq")).get("usage")
        metadata = words.get("provider_metadata") or said.get("provider_metadata")
        if metadata:
            self._take_routing(words if words.get("provider_metadata") else said)
        if usage or metadata:
            report = self._usage.read(usage, metadata, said.get("service_tier"))
            if report:
                self._out.append(UsageReport(report))

    def _take_finish(self, choice: dict[str, Any]) -> None:
        error, native = mapping(choice.get("error")), text(choice.get("native_finish_reason"))
        if error:
            self._fail(fault_of(error))
        word = text(choice.get("finish_reason"))
        if word:
            self._tell_all()
            reason = FinishReason.ERROR if native in _NATIVE_ERRORS else _FINISH.get(word.lower().partition(":")[0])
            if reason is FinishReason.ERROR:
                self._fail(Fault(native or word, "The provider gave up: " + (native or word)))
            self._end(reason, native or word)


def _first_choice(choices: Any) -> dict[str, Any]:
    for choice in sequence(choices):
        if type(choice) is dict and not choice.get("index"):
            return choice
    return {}


def _thoughts(thinking: Any) -> str:
    """Mistral's thinking, Databricks' summary: a list of text parts, or a string."""
    return text(thinking) or "".join(text(mapping(part).get("text")) for part in sequence(thinking))
