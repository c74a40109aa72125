"""Turns as every API takes them: each call answered once, right behind its turn, each result belonging to a call.

Clients cut conversations, retry, and compact; APIs answer what is left over with an error (wire notes, section 10).
Behind a turn with calls stand their results, in the order of the calls and before anything else the user says. A
result that is missing is made up as an error, of several the last counts, one without a call is told as text. Of two
calls with one id in a turn the first counts; where an id comes again in a later turn, that turn's call gets another
(Messages wants each once). What a speaker can say in no other API, such as a picture in instructions, is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from trivium.canon.parts import Audio, Document, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from trivium.canon.request import Request, Role, Tool, ToolChoice, Turn, apart
from trivium.wire.losses import Losses

_NOT_THERE = "the tool that is asked for is not there"
REPEATED = "a second call with the same id"
MISSING = "the call had no result; one was made up that says so"
INTERRUPTED = "Tool execution was interrupted before completion."
_SAYS: dict[Role, tuple[type[Part], ...]] = {
    Role.SYSTEM: (Text,),
    Role.DEVELOPER: (Text,),
    Role.USER: (Text, Image, Document, Audio, ToolResult),
    Role.ASSISTANT: (Text, Refusal, Reasoning, ToolCall),
}


_TOOLED = (ToolCall, ToolResult)


def repaired(turns: Sequence[Turn], losses: Losses) -> tuple[Turn, ...]:
    """The turns with calls and results in order; what had to be made up or put aside is a loss."""
    turns = [told for turn in turns if (told := _sayable(turn, losses)).parts]
    if not any(isinstance(part, _TOOLED) for turn in turns for part in turn.parts):
        return tuple(told for turn in turns if (told := followed(turn, losses)).parts)
    out: list[Turn] = []
    used: set[str] = set()
    for number, (answer, behind) in enumerate(_segments(turns)):
        if answer is None:
            out += _answered([], behind, losses)
            continue
        told = followed(_without_repeats(answer, number, losses), losses)
        calls = [part for part in told.parts if isinstance(part, ToolCall)]
        answered = _answered(calls, behind, losses)
        again = _other_ids(calls, number, used)
        out += [_renamed(turn, again) for turn in (told, *answered)] if again else [told, *answered]
    return tuple(turn for turn in out if turn.parts)


def _sayable(turn: Turn, losses: Losses) -> Turn:
    says = _SAYS[turn.role]
    if all(isinstance(part, says) for part in turn.parts):
        return turn
    for part in turn.parts:
        if not isinstance(part, says):
            losses.add(part.at, f"not something that the {turn.role} can say elsewhere")
    return Turn(turn.role, tuple(part for part in turn.parts if isinstance(part, says)))


def followed(turn: Turn, losses: Losses) -> Turn:
    """Without reasoning at the end of the turn: an answer that was cut off, and vendors refuse what it led to."""
    count = len(turn.parts)
    while count and isinstance(turn.parts[count - 1], Reasoning):
        count -= 1
        losses.add(turn.parts[count].at, "reasoning that led to nothing")
    return turn if count == len(turn.parts) else Turn(turn.role, turn.parts[:count])


def _renamed(turn: Turn, ids: dict[str, str]) -> Turn:
    return Turn(
        turn.role,
        tuple(
            msgspec.structs.replace(part, id=ids.get(part.id, part.id)) if isinstance(part, _TOOLED) else part
            for part in turn.parts
        ),
    )


def choosable(request: Request, losses: Losses) -> Request:
    """Without a choice that no tool fits: those of providers are lost. Of tools that may not be chosen the model is not
    told, which says the same to every API; where none is left that may be, it calls none. Of several with one name it
    is told the first."""
    request = _with_names_once(request, losses)
    choice = request.tool_choice
    if choice is not None and choice.among is not None:
        among = {*choice.among}
        tools = tuple(tool for tool in request.tools if tool.name in among)
        if {tool.name for tool in tools} < among or (choice.mode == "required" and not tools):
            losses.add("tool_choice", _NOT_THERE)
        if not tools:
            return msgspec.structs.replace(request, tool_choice=ToolChoice("none"))
        request = msgspec.structs.replace(request, tools=tools)
    if choice is None or choice.mode in ("auto", "none"):
        return request
    if request.tools and (choice.mode == "required" or any(tool.name == choice.name for tool in request.tools)):
        return request
    losses.add("tool_choice", _NOT_THERE)
    return msgspec.structs.replace(request, tool_choice=None)


def _with_names_once(request: Request, losses: Losses) -> Request:
    named: dict[tuple[str, str | None], Tool] = {}
    for tool in request.tools:
        if named.setdefault((tool.name, tool.namespace), tool) is not tool:
            losses.add(tool.at, "a second tool with the same name")
    if len(named) == len(request.tools):
        return request
    return msgspec.structs.replace(request, tools=tuple(named.values()))


def _segments(turns: Sequence[Turn]) -> Iterator[tuple[Turn | None, list[Turn]]]:
    """Each turn of the assistant with all that follows it up to the next; first what comes before any."""
    said: list[Part] = []
    behind: list[Turn] = []
    for turn in turns:
        if turn.role is not Role.ASSISTANT:
            behind.append(turn)
        elif said and not behind:
            said += apart(turn.parts)
        else:
            yield _answer(said), behind
            said, behind = [*turn.parts], []
    yield _answer(said), behind


def _answer(said: list[Part]) -> Turn | None:
    return Turn(Role.ASSISTANT, tuple(said)) if said else None


def _without_repeats(answer: Turn, number: int, losses: Losses) -> Turn:
    """With an id for each call, and none twice."""
    ids = [part.id for part in answer.parts if isinstance(part, ToolCall)]
    taken = set(ids)
    if len(taken) == len(ids) and "" not in taken:
        return answer
    seen: set[str] = set()
    parts: list[Part] = []
    for part in answer.parts:
        if not isinstance(part, ToolCall):
            parts.append(part)
        elif part.id in seen:
            losses.add(part.at, REPEATED)
        else:
            id = part.id or _fresh(f"call_{number}_{len(seen)}", taken)
            seen.add(id)
            parts.append(msgspec.structs.replace(part, id=id))
    return Turn(Role.ASSISTANT, tuple(parts))


def _other_ids(calls: list[ToolCall], number: int, used: set[str]) -> dict[str, str]:
    """For the calls whose id an earlier turn used; all are used now."""
    repeated = [call.id for call in calls if call.id in used]
    used |= {call.id for call in calls}
    return {id: _fresh(f"{id}_{number}", used) for id in repeated}


def _fresh(id: str, taken: set[str]) -> str:
    """The id, or if it is taken the next like it that is not; it is taken now."""
    while id in taken:
        id += "_"
    taken.add(id)
    return id


def _answered(calls: list[ToolCall], behind: list[Turn], losses: Losses) -> list[Turn]:
    """What follows a turn with these calls."""
    results: dict[str, ToolResult] = {}
    known = {call.id for call in calls}
    unanswered = (call.id for call in calls if call.id not in results)
    rest: list[Turn] = []
    for turn in behind:
        kept: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                kept.append(part)
                continue
            id = part.id or next(unanswered, "")
            if id not in known:
                kept += _as_text(part, losses)
                continue
            if id in results:
                losses.add(results[id].at, "a later result of the same call took its place")
            results[id] = part if part.id else msgspec.structs.replace(part, id=id)
        if kept:
            rest.append(Turn(turn.role, tuple(kept)))
    if not calls:
        return rest
    for call in calls:
        if call.id not in results:
            losses.add(call.at, MISSING)
            results[call.id] = ToolResult(call.id, (Text(INTERRUPTED),), is_error=True)
    return [Turn(Role.USER, tuple(results[call.id] for call in calls)), *rest]


def _as_text(result: ToolResult, losses: Losses) -> tuple[Part, ...]:
    losses.add(result.at, "the result of a call that is not there; given as text")
    return (Text(f"Result of the tool call {result.id}:", result.at), *result.content)
