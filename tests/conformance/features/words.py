"""What features are made of, in the words of the three APIs."""

from __future__ import annotations

import json
from typing import Any

from conformance.feature import APIS, C, Feature, M, Pattern, R
from trivium.canon.api import Api

Json = dict[str, Any]
Three = dict[Api, Any]


def asks(chat: Any = None, responses: Any = None, messages: Any = None) -> Three:
    """What each API says; None: it has no words for it."""
    return {api: said for api, said in ((C, chat), (R, responses), (M, messages)) if said is not None}


def alike(*apis: Api, **members: Any) -> Three:
    """These APIs say it alike; all of them, if none is named."""
    return dict.fromkeys(apis or APIS, members)


def turns(chat: Any = None, responses: Any = None, messages: Any = None) -> Three:
    """Conversations, or patterns of them."""
    wrapped = ((C, "messages", chat), (R, "input", responses), (M, "messages", messages))
    return {api: {name: said} for api, name, said in wrapped if said is not None}


def same_turns(*said: Json) -> Three:
    """A conversation that all APIs put the same way."""
    return turns([*said], [*said], [*said])


def parts(chat: Json | None = None, responses: Json | None = None, messages: Json | None = None) -> Three:
    """One part, or pattern of a part, behind a text of the user's."""
    said = ((C, "messages", "text", chat), (R, "input", "input_text", responses), (M, "messages", "text", messages))
    return {
        api: {name: [{"role": "user", "content": [{"type": kind, "text": "Look:"}, part]}]}
        for api, name, kind, part in said
        if part is not None
    }


def heard(chat: Pattern, responses: Pattern, messages: Pattern) -> Three:
    """Patterns of the message of a Chat answer, the output of a response, the content of a message."""
    return {C: {"choices": [{"message": chat}]}, R: {"output": responses}, M: {"content": messages}}


def spoken(text: str) -> Three:
    return heard(
        {"content": text},
        [{"type": "message", "content": [{"type": "output_text", "text": text}]}],
        [{"type": "text", "text": text}],
    )


def ended(chat: str, responses: str, messages: str) -> Three:
    """Patterns of how an answer ended; of Responses `completed`, or the reason for which it is incomplete."""
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": responses}}
    return {
        C: {"choices": [{"finish_reason": chat}]},
        R: {"status": responses} if responses == "completed" else incomplete,
        M: {"stop_reason": messages},
    }


def both(one: Three, other: Three) -> Three:
    """Two patterns of different members at once."""
    return {api: _laid_over(one[api], other[api]) for api in one}


def _laid_over(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {name: _laid_over(one[name], said) if name in one else said for name, said in other.items()}
    if isinstance(one, list) and isinstance(other, list):
        return [_laid_over(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    return other


def setting(name: str, said: Three, **more: Any) -> Feature:
    """What an upstream is told in the words in which its own clients ask for it, and lost where it has none."""
    return Feature(name=name, asks=said, **more)


def sse(*events: Json) -> str:
    """A stream, with the names of its events where they have a type."""
    lines = [
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ]
    return "".join(lines)


HI: Json = {"role": "user", "content": "hi"}
HELLO: Json = {"role": "assistant", "content": "Hello."}
MORE: Json = {"role": "user", "content": "Go on."}

# Tools.

SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str = "look", **members: Any) -> Three:
    """A function, as an element of `tools`."""
    about = {"name": name, "description": "The weather."}
    return {
        C: {"type": "function", "function": {**about, "parameters": SCHEMA, **members}},
        R: {"type": "function", **about, "parameters": SCHEMA, "strict": False, **members},
        M: {**about, "input_schema": SCHEMA, **members},
    }


def tools(*given: Three, **members: Three) -> Three:
    """Requests with these tools, of the APIs that know them all."""
    return {
        api: {
            "tools": [one[api] for one in given],
            **{name: said[api] for name, said in members.items() if api in said},
        }
        for api in APIS
        if all(api in one for one in given)
    }


class Call:
    """A call in the three APIs' words, as answers tell it and requests repeat it. Any value may be a pattern."""

    def __init__(self, id: Any = "call_1", name: Any = "look", arguments: Any = '{"city":"Köln"}') -> None:
        self.id = id
        input: Any = ... if not isinstance(arguments, str) else _parsed(arguments)
        self.chat = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self.item = {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
        self.block = {"type": "tool_use", "id": id, "name": name, "input": input}

    def result(self, content: Any, **members: Any) -> tuple[Json, Json, Json]:
        """A Chat message, an item, a block."""
        return (
            {"role": "tool", "tool_call_id": self.id, "content": content},
            {"type": "function_call_output", "call_id": self.id, "output": content},
            {"type": "tool_result", "tool_use_id": self.id, "content": content, **members},
        )


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return ...
