"""A request for a Messages upstream.

Only members that every server of the API knows are written: "Extra inputs are not permitted" is what strict ones answer
to all others. Turns of one role are one message, results of tools first in it. Instructions in the middle of a
conversation become marked text of the user's turn, save for models that take them where they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.parts import Data, Document, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolKind, ToolResult
from trivium.canon.request import INSTRUCTING, Request, Role, Tool, Turn
from trivium.wire.cachemarks import marked
from trivium.wire.destination import Wanted, leading, no_words, nothing_said, plain_text, texts, user_hash
from trivium.wire.envelope import REDACTED
from trivium.wire.messages.grammar import Grammar
from trivium.wire.messages.settings import Settings, is_forced, settings
from trivium.wire.repair import followed
from trivium.wire.schemas import (
    CONSTRAINTS,
    FREE_TEXT,
    closed,
    enforceable,
    free_text_schema,
    parameters,
    parsed,
    shaped,
)
from trivium.wire.systemturns import FORM, MOVED

_MOST_MARKS = 4
_PDF = "application/pdf"
_OPENING = "(The conversation begins with the assistant.)"
_CONTINUE = "Continue."
UNREADABLE = "unreadable_arguments"
"""The key under which arguments that are no JSON object are kept."""


def render(request: Request, wanted: Wanted) -> dict[str, Any]:
    """Raises FieldInvalid, Untranslatable."""
    system, turns = leading(_with_words(request.turns, wanted))
    grammar = Grammar()
    chosen = settings(request, turns, wanted, grammar)
    blocks = _Blocks(wanted, grammar)
    tools = [blocks.tool(tool) for tool in request.tools] + ([chosen.answer_tool] if chosen.answer_tool else [])
    instructions = [blocks.text(text) for text in [*system, *(Text(words) for words in chosen.instructions)]]
    messages = _messages(turns, blocks, wanted)
    if not messages:
        if not system:
            raise nothing_said(request)
        wanted.losses.add(system[0].at, "Messages wants a user's turn; the instructions are given as one")
        messages, instructions = [{"role": "user", "content": instructions}], []
    blocks.settle_marks()
    body: dict[str, Any] = {"model": wanted.to.model, **chosen.members}
    if instructions:
        body["system"] = instructions
    body["messages"] = messages
    if tools:
        body |= {"tools": tools, **_tool_choice(request, chosen, wanted)}
    elif called := _called(messages):
        body |= {"tools": called, "tool_choice": {"type": "none"}}
    if request.user:
        body["metadata"] = {"user_id": user_hash(request.user)}
    if request.stream:
        body["stream"] = True
    return body


def _with_words(turns: tuple[Turn, ...], wanted: Wanted) -> tuple[Turn, ...]:
    """Without texts of nothing but blanks, which are refused: Kimi says such beside calls."""

    def worded(turn: Turn) -> Turn:
        if not any(map(_is_blank, turn.parts)):
            return turn
        return followed(Turn(turn.role, tuple(part for part in turn.parts if not _is_blank(part))), wanted.losses)

    return tuple(told for turn in turns if (told := worded(turn)).parts)


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text | Refusal) and not part.text.strip()


def _messages(turns: tuple[Turn, ...], blocks: _Blocks, wanted: Wanted) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn, may_stand in zip(turns, _may_stand(turns), strict=True):
        role = "assistant" if turn.role is Role.ASSISTANT else "user"
        if may_stand and wanted.to.traits.system_turns and messages and messages[-1]["role"] != "assistant":
            role = "system"
        said = blocks.turn(turn, marked_text=turn.role in INSTRUCTING and role == "user")
        if not said:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += said
        else:
            messages.append({"role": role, "content": said})
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
    if messages and messages[-1]["role"] == "assistant":
        _end_with_assistant(messages, turns[-1], wanted)
    return messages


def _may_stand(turns: tuple[Turn, ...]) -> list[bool]:
    """Of each turn whether it is instructions with nothing of the user's behind them: `system` must follow the user and
    "precede an 'assistant' message or end the array" (Anthropic's page on mid-conversation system messages)."""
    found: list[bool] = []
    behind = Role.ASSISTANT
    for turn in reversed(turns):
        if turn.role in INSTRUCTING:
            found.append(behind is Role.ASSISTANT)
        else:
            found.append(False)
            behind = turn.role
    return found[::-1]


def _end_with_assistant(messages: list[dict[str, Any]], last: Turn, wanted: Wanted) -> None:
    """The answer goes on with the last text, which must not end in blanks; newer models refuse to do so."""
    if not wanted.to.traits.prefill:
        at = last.parts[-1].at if last.parts else ""
        wanted.losses.add(at, "this model does not go on with a turn of its own; it is asked to continue")
        messages.append({"role": "user", "content": [{"type": "text", "text": _CONTINUE}]})
        return
    content = messages[-1]["content"]
    if content[-1]["type"] == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()
        if not content[-1]["text"]:
            content.pop()
        if not content:
            messages.pop()


def _called(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools of earlier calls: Messages refuses those where no tools are offered, as by agents that sum up."""
    blocks = [block for message in messages for block in message["content"]]
    names = dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use")
    return [{"name": name, "input_schema": {"type": "object"}} for name in names]


def _tool_choice(request: Request, chosen: Settings, wanted: Wanted) -> dict[str, Any]:
    choice = request.tool_choice
    said: dict[str, Any] | None = None
    if chosen.answer_tool:  # the answer is one
        said = {"type": "tool", "name": chosen.answer_tool["name"], "disable_parallel_tool_use": True}
    elif is_forced(request) and not wanted.to.traits.forced_calls:
        said = {"type": "auto"}
    elif choice and choice.mode == "tool":
        said = {"type": "tool", "name": wanted.names.upstream(choice.name or "", choice.namespace)}
    elif choice:
        said = {"type": "any" if choice.mode == "required" else choice.mode}
    if request.parallel_tool_calls is False and (said is None or said["type"] != "none"):
        said = {**(said or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tool_choice": said} if said else {}


class _Blocks:
    """Parts as blocks; remembers which have cache marks, for there may be only so many."""

    def __init__(self, wanted: Wanted, grammar: Grammar) -> None:
        self._wanted = wanted
        self._grammar = grammar
        self._marks: list[tuple[dict[str, Any], str]] = []

    def settle_marks(self) -> None:
        """The first of too many marks go: each later one covers what an earlier one covers. None lives longer than one
        before it."""
        lifetime: dict[str, Any] = {}
        for place, (block, at) in enumerate(self._marks):
            if place < len(self._marks) - _MOST_MARKS:
                del block["cache_control"]
                self._wanted.losses.add(f"{at}.cache_control", f"Messages takes {_MOST_MARKS} cache marks")
            elif lifetime and "ttl" not in lifetime and "ttl" in block["cache_control"]:
                block["cache_control"] = lifetime
                self._wanted.losses.add(f"{at}.cache_control.ttl", "no mark may live longer than one before it")
            else:
                lifetime = block["cache_control"]

    def tool(self, tool: Tool) -> dict[str, Any]:
        wanted, custom = self._wanted, tool.kind is ToolKind.CUSTOM
        said: dict[str, Any] = {"name": wanted.names.upstream(tool.name, tool.namespace, tool.kind, wrapped=custom)}
        if tool.description:
            said["description"] = tool.description
        said["input_schema"] = (
            free_text_schema(tool.grammar) if custom else parameters(tool, wanted.to.traits, wanted.losses)
        )
        if tool.strict:
            said |= self._strict(tool, said["input_schema"])
        return self._mark(said, tool.cache, tool.at)

    def _strict(self, tool: Tool, given: Any) -> dict[str, Any]:
        """The members of a tool to whose schema the model is held, where it can be."""
        at, losses = f"{tool.at}.strict", self._wanted.losses
        if not self._wanted.to.traits.strict_tools:
            losses.add(at, "this model does not hold itself to schemas of tools")
            return {}
        said = shaped(parsed(bytes(given)) if isinstance(given, msgspec.Raw) else given)
        if why := self._grammar.refuses(said, tool=True):
            losses.add(at, why)
            return {}
        schema = closed(said)
        held = enforceable(schema)
        if held != schema:
            losses.add(at, CONSTRAINTS)
        return {"input_schema": held, "strict": True}

    def turn(self, turn: Turn, *, marked_text: bool) -> list[dict[str, Any]]:
        if marked_text:
            for part in texts(turn.parts):
                self._wanted.losses.add(part.at, MOVED)
            return [self.text(part, FORM) for part in texts(turn.parts)]
        return [block for part in turn.parts if (block := self._block(part)) is not None]

    def text(self, part: Text, form: str = "%s") -> dict[str, Any]:
        return self._mark({"type": "text", "text": form % part.text}, part.cache, part.at)

    def _block(self, part: Part) -> dict[str, Any] | None:
        make = _MAKERS.get(type(part))
        if make is None:
            raise no_words(part.at, "audio", self._wanted.to)
        return make(self, part)

    def _mark(self, block: dict[str, Any], cache: str | None, at: str) -> dict[str, Any]:
        if cache is None:
            return block
        block = marked(block, cache)
        self._marks.append((block, at))
        return block

    def _result(self, part: ToolResult) -> dict[str, Any]:
        said: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._wanted.id(part.id)}
        content = [block for inner in part.content if (block := self._block(inner)) is not None]
        if content:
            alone = len(content) == 1 and content[0].keys() == {"type", "text"}
            said["content"] = content[0]["text"] if alone else content
        if part.is_error:
            said["is_error"] = True
        return self._mark(said, part.cache, part.at)

    def _use(self, part: ToolCall) -> dict[str, Any]:
        name = self._wanted.names.upstream(part.name, part.namespace, part.kind, wrapped=part.kind is ToolKind.CUSTOM)
        id = self._wanted.id(part.id)
        return self._mark({"type": "tool_use", "id": id, "name": name, "input": self._input(part)}, part.cache, part.at)

    def _input(self, part: ToolCall) -> Any:
        if part.kind is ToolKind.CUSTOM:
            return {FREE_TEXT: part.arguments}
        if part.arguments.strip() in ("", "null"):
            return {}
        try:
            data = part.arguments.encode()
            msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            self._wanted.losses.add(part.at, f"arguments that are no JSON object, kept as text under `{UNREADABLE}`")
            return {UNREADABLE: part.arguments}
        return msgspec.Raw(data)

    def _reasoning(self, part: Reasoning) -> dict[str, Any] | None:
        if not self._wanted.takes(part) or part.seal is None:
            return None
        if part.seal.form == REDACTED:
            return {"type": "redacted_thinking", "data": part.seal.data}
        return {"type": "thinking", "thinking": part.text, "signature": part.seal.data}

    def _image(self, part: Image) -> dict[str, Any]:
        if part.detail not in (None, "auto"):
            self._wanted.losses.add(f"{part.at}.detail", "Messages has no such setting")
        return self._mark({"type": "image", "source": _source(part)}, part.cache, part.at)

    def _document(self, part: Document) -> dict[str, Any]:
        if (said := plain_text(part)) is not None:
            return self.text(Text(said, part.at, part.cache))
        if isinstance(part.source, Data) and part.source.media_type != _PDF:
            raise no_words(part.at, f"a file of type {part.source.media_type[:60]}", self._wanted.to)
        title = {"title": part.title} if part.title else {}
        return self._mark({"type": "document", "source": _source(part), **title}, part.cache, part.at)


_MAKERS: dict[type[Part], Callable[[_Blocks, Any], dict[str, Any] | None]] = {
    Text: lambda blocks, part: None if _is_blank(part) else blocks.text(part),
    Refusal: lambda _, part: {"type": "text", "text": part.text},
    Reasoning: _Blocks._reasoning,
    ToolCall: _Blocks._use,
    ToolResult: _Blocks._result,
    Image: _Blocks._image,
    Document: _Blocks._document,
}


def _source(part: Image | Document) -> dict[str, Any]:
    if isinstance(part.source, Data):
        return {"type": "base64", "media_type": part.source.media_type, "data": part.source.base64}
    return {"type": "url", "url": part.source.url}
