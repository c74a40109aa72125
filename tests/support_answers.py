"""Answers by the thousand: what a model may say, and the facts of an answer that every API has words for.

`an_answer` draws one in the words that one API has; `support_voices` writes it as that API's upstream would. The source
of chance is a `Random`, which hypothesis can hold the strings of.
"""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import groupby
from random import Random
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.parts import AnswerPart, Citation, Reasoning, Refusal, Seal, Text, ToolCall, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.envelope import DETAIL, ENCRYPTED, GOOGLE, REDACTED, SIGNATURE, open_
from trivium.wire.schemas import FREE_TEXT
from trivium.wire.toolnames import inward_id

WORDS = (
    '"usage":{"x":1}', "[DONE]", '"error"', "data: [DONE]\n\n", "event: error\r\n\r\n", "\\", '"', "\u2028", "\u0085",
    "é", "😀", "word ", "\n\n", "\r", "\0", "x" * 90, "</think>", "{", "}", "]", "中文", " ",
)  # fmt: skip
IDS = ("call_1", "toolu_01A", "functions.add:0", "x" * 70, "tvid_x", "chatcmpl-tool-9", "é")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that an upstream of an API gives."""

    api: Api
    id: str
    model: str
    parts: tuple[AnswerPart, ...]
    finish: FinishReason
    native: str
    stop_sequence: str | None = None
    usage: Usage | None = None
    error: str | None = None
    """The message of the error with which it breaks off."""


def words(rnd: Random, most: int = 4) -> str:
    return "".join(rnd.choice(WORDS) for _ in range(rnd.randint(1, most)))


def cut(rnd: Random, said: str) -> list[str]:
    """The text in pieces, none of them empty."""
    pieces = []
    while said:
        size = rnd.choice((1, 2, 3, 7, 50, 10**6))
        pieces.append(said[:size])
        said = said[size:]
    return pieces


def arguments(rnd: Random) -> str:
    """A call's, as models write them."""
    value: dict[str, Any] = {"q": words(rnd), "n": rnd.choice((0, -1.5, 10**20, None, True, [], {"a": [{"b": "}"}]}))}
    plain = json.dumps(value, ensure_ascii=rnd.random() < 0.5, indent=rnd.choice((None, 2)))
    return rnd.choice(("{}", "{ }", plain, plain))


def an_answer(api: Api, rnd: Random, *, in_order: bool = False, fails: bool = False) -> Said:
    """`in_order`: so that a body of Chat can say it as well."""
    parts = _in_order(api, _parts(api, rnd)) if in_order else _parts(api, rnd)
    finish, native = _finish(api, rnd, parts)
    stopped = api is Api.MESSAGES and native == "stop_sequence"
    return Said(
        api=api,
        id=rnd.choice(("id_1", "msg-2", "é", "resp_0")),
        model=rnd.choice(("m", "vendor/model:free", "模型")),
        parts=parts,
        finish=finish,
        native=native,
        stop_sequence=words(rnd, 1) if stopped else None,
        usage=None if rnd.random() < 0.1 and api is not Api.MESSAGES else _usage(api, rnd),
        error=words(rnd) if fails else None,
    )


def _parts(api: Api, rnd: Random) -> tuple[AnswerPart, ...]:
    parts: list[AnswerPart] = []
    most = rnd.randint(0, 8)
    while len(parts) < most:
        parts += _ANY[rnd.randrange(len(_ANY))](api, rnd)
    return _tidy(api, parts)


def _text(api: Api, rnd: Random) -> list[AnswerPart]:
    """With pages that it relies on, in the two APIs whose citations are alike."""
    said = words(rnd)
    pages = () if api is Api.MESSAGES else (Citation("http://a", words(rnd, 1), 0, rnd.randint(0, len(said))),)
    return [Text(said, citations=pages * rnd.choice((0, 0, 1, 2)))]


def _refusal(api: Api, rnd: Random) -> list[AnswerPart]:
    return [Text(words(rnd))] if api is Api.MESSAGES or rnd.random() < 0.5 else [Refusal(words(rnd))]


def _reasoning(api: Api, rnd: Random) -> list[AnswerPart]:
    """With a seal, without one, and nothing but a seal."""
    said, kind = words(rnd) if rnd.random() < 0.8 else "", words(rnd, 2)
    if said and rnd.random() < 0.4:
        return [Reasoning(said)]
    if api is Api.MESSAGES:
        return [Reasoning(said, seal=Seal(SIGNATURE if said or rnd.random() < 0.5 else REDACTED, kind))]
    if api is Api.RESPONSES:
        return [Reasoning(said, seal=Seal(ENCRYPTED, kind))]
    detail = {"type": "reasoning.text", "signature": kind} if said else {"type": "reasoning.encrypted", "data": kind}
    sealed = msgspec.json.encode({**detail, "format": "anthropic-claude-v1"}, order="sorted").decode()
    return [Reasoning(said, seal=Seal(DETAIL, sealed))]


def _call(api: Api, rnd: Random) -> list[AnswerPart]:
    id, name = rnd.choice(IDS) + str(rnd.randrange(10**6)), rnd.choice(("f", "get_weather", "a-b", "x" * 64))
    if api is not Api.MESSAGES and rnd.random() < 0.2:
        namespace = "ns" if api is Api.RESPONSES and rnd.random() < 0.5 else None
        return [ToolCall(id, name, words(rnd), ToolKind.CUSTOM, namespace)]
    call = ToolCall(id, name, arguments(rnd))
    if api is Api.CHAT and rnd.random() < 0.2:
        return [Reasoning("", seal=Seal(GOOGLE, "c2VhbA==")), call]
    return [call]


_ANY = (_text, _text, _refusal, _reasoning, _reasoning, _call, _call)


def _tidy(api: Api, parts: list[AnswerPart]) -> tuple[AnswerPart, ...]:
    """As the API can say it: in Chat, text that nothing else interrupts is one part, and so is reasoning."""
    if api is not Api.CHAT:
        return tuple(parts)
    told: list[AnswerPart] = []
    for part in parts:
        last = told[-1] if told else None
        if type(last) is type(part) and not isinstance(part, ToolCall) and not (isinstance(last, Reasoning)):
            continue
        if isinstance(last, Reasoning) and last.seal is None and isinstance(part, Reasoning) and part.text:
            continue
        if isinstance(last, Reasoning) and last.seal is None and isinstance(part, Reasoning) and _is_signature(part):
            continue
        told.append(part)
    return tuple(told)


def _is_signature(part: Reasoning) -> bool:
    return part.seal is not None and part.seal.form == DETAIL and "signature" in part.seal.data


def _in_order(api: Api, parts: tuple[AnswerPart, ...]) -> tuple[AnswerPart, ...]:
    """One message: reasoning, text, refusal, calls; in Chat one of each."""
    kept: list[AnswerPart] = []
    for kind in (Reasoning, Text, Refusal):
        kept += [part for part in parts if isinstance(part, kind) and not _leads(part)][
            : 1 if api is Api.CHAT else None
        ]
    return (*kept, *(part for part in parts if isinstance(part, ToolCall) or _leads(part)))


def _leads(part: AnswerPart) -> bool:
    """Google's seal of the call that follows."""
    return isinstance(part, Reasoning) and part.seal is not None and part.seal.form == GOOGLE


_WORDS: dict[Api, dict[FinishReason, tuple[str, ...]]] = {
    Api.CHAT: {
        FinishReason.STOP: ("stop", "eos"),
        FinishReason.LENGTH: ("length", "model_length"),
        FinishReason.TOOL_CALLS: ("tool_calls",),
        FinishReason.CONTENT_FILTER: ("content_filter",),
    },
    Api.MESSAGES: {
        FinishReason.STOP: ("end_turn", "stop_sequence"),
        FinishReason.LENGTH: ("max_tokens", "model_context_window_exceeded"),
        FinishReason.TOOL_CALLS: ("tool_use",),
        FinishReason.REFUSAL: ("refusal",),
        FinishReason.PAUSE: ("pause_turn",),
    },
    Api.RESPONSES: {
        FinishReason.LENGTH: ("max_output_tokens",),
        FinishReason.CONTENT_FILTER: ("content_filter",),
    },
}


def _finish(api: Api, rnd: Random, parts: tuple[AnswerPart, ...]) -> tuple[FinishReason, str]:
    called = any(isinstance(part, ToolCall) for part in parts)
    choices = [(reason, word) for reason, said in _WORDS[api].items() for word in said]
    if api is Api.RESPONSES:
        refused = any(isinstance(part, Refusal) for part in parts)
        usual = FinishReason.TOOL_CALLS if called else FinishReason.REFUSAL if refused else FinishReason.STOP
        choices += [(usual, "completed")] * 4
    elif called:
        choices += [(FinishReason.TOOL_CALLS, _WORDS[api][FinishReason.TOOL_CALLS][0])] * 4
    return rnd.choice([choice for choice in choices if called or choice[0] is not FinishReason.TOOL_CALLS])


def _usage(api: Api, rnd: Random) -> Usage:
    fresh, read, five, hour, output, reasoning = (rnd.choice((0, 0, 7, 10**6)) for _ in range(6))
    split = api is Api.MESSAGES
    cost = rnd.choice((None, None, Decimal("0.00012"), Decimal(3)))
    return Usage(
        input_uncached=fresh,
        cache_read=read,
        cache_write_5m=five if split else 0,
        cache_write_1h=hour if split else 0,
        cache_write_other=0 if split else five,
        output=output + reasoning,
        reasoning=reasoning,
        server_tools=rnd.choice(({}, {"web_search": 2})),
        service_tier=rnd.choice((None, "priority", "standard" if split else "default")),
        reported_cost=cost,
        market_cost=None if cost is None else rnd.choice((None, Decimal("0.5"))),
        is_byok=None if cost is None else rnd.choice((None, False, True)),
    )


# What every API has words for.


def spoken(answer: Answer, *, client: Api | None = None) -> str:
    """Texts and refusals: Messages does not tell them apart. For clients of Chat texts that are apart have a blank line
    between them, and Messages has none of nothing but blanks."""
    told = ""
    for part in answer.parts:
        if client is Api.MESSAGES and _is_blank(part):
            continue
        if isinstance(part, Text) and part.apart and client is Api.CHAT and told:
            told += "\n\n"
        told += part.text if isinstance(part, Text | Refusal) else ""
    return told


def thought(answer: Answer) -> str:
    """All reasoning. How it falls into paragraphs differs."""
    return "".join("".join(part.text for part in answer.parts if isinstance(part, Reasoning)).split("\n\n"))


def parsed(call: ToolCall) -> Any:
    """The arguments as values; a free text as the one argument that stands for it."""
    if call.kind is ToolKind.CUSTOM:
        return {FREE_TEXT: call.arguments}
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except (ValueError, RecursionError):
        return call.arguments


def cited(answer: Answer) -> list[tuple[Any, ...]]:
    """Pages, with their places in all of the text; one without a place counts for all of its part."""
    found: list[tuple[Any, ...]] = []
    start = 0
    for part in answer.parts:
        if isinstance(part, Text):
            for page in part.citations:
                end = len(part.text) if page.end is None else page.end
                found.append((page.url, page.title or page.url, start + (page.start or 0), start + end))
            start += len(part.text)
    return found


def called(answer: Answer) -> list[tuple[str, Any]]:
    return [(call.name, parsed(call)) for call in answer.tool_calls]


def call_ids(answer: Answer) -> list[str]:
    """Those that a client has, as its upstream knows them."""
    return [inward_id(call.id) for call in answer.tool_calls]


def seals(answer: Answer) -> list[str]:
    """What the upstream would get back of its own: envelopes opened."""
    told = [part.seal for part in answer.parts if isinstance(part, Reasoning) and part.seal]
    opened = [open_(_member(seal), "", seal.form) for seal in told]
    return [seal.data for seal in opened if seal.data]


def _member(seal: Seal) -> str:
    if seal.form != DETAIL:
        return seal.data
    detail = msgspec.json.decode(seal.data)
    sealed: str = detail.get("signature") or detail.get("data")
    return sealed if sealed.startswith("~tv1.") else seal.data


_CLASSES = {FinishReason.REFUSAL: "safety", FinishReason.CONTENT_FILTER: "safety", FinishReason.PAUSE: "stop"}


def finish_class(answer: Answer) -> str:
    """Why it ended, as far as all APIs can tell: a stop behind a call waits for its result, one behind a refusal is
    a refusal, and a pause is a stop."""
    found = _CLASSES.get(answer.finish, answer.finish.value)
    if found == "stop" and answer.tool_calls:
        return "tool_calls"
    return "safety" if found == "stop" and any(isinstance(part, Refusal) for part in answer.parts) else found


def counted(usage: Usage | None) -> tuple[Any, ...]:
    """Usage as far as all APIs can tell it."""
    usage = usage or Usage()
    return (
        usage.input_uncached,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        dict(usage.server_tools),
        usage.reported_cost,
        usage.market_cost,
        usage.is_byok,
    )


def as_read(answer: Answer, to: Api) -> Answer:
    """By a client of the API: Chat has one place for text, with a blank line between what was apart; Messages has no
    text of nothing but blanks, though what ended in such a refusal was refused."""
    if to is Api.MESSAGES:
        told = tuple([part for part in answer.parts if not _is_blank(part)])
        finish = FinishReason.REFUSAL if finish_class(answer) == "safety" else answer.finish
        return msgspec.structs.replace(answer, parts=told, finish=finish)
    if to is not Api.CHAT:
        return answer
    parts: list[AnswerPart] = []
    for part in answer.parts:
        is_apart = isinstance(part, Text) and part.apart and any(isinstance(one, Text) and one.text for one in parts)
        parts.append(_indented(part) if isinstance(part, Text) and is_apart else part)
    return msgspec.structs.replace(answer, parts=tuple(parts))


def _is_blank(part: AnswerPart) -> bool:
    return isinstance(part, Text | Refusal) and not part.text.strip()


def _indented(part: Text) -> Text:
    ends = [len(part.text) if page.end is None else page.end for page in part.citations]
    pages = [
        msgspec.structs.replace(page, start=(page.start or 0) + 2, end=end + 2)
        for page, end in zip(part.citations, ends, strict=True)
    ]
    return msgspec.structs.replace(part, text="\n\n" + part.text, citations=tuple(pages))


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What every API has words for."""

    id: str | None
    model: str | None
    order: list[str]
    """What follows what."""
    spoken: str
    thought: str
    seals: list[str]
    cited: list[tuple[Any, ...]]
    called: list[tuple[str, Any]]
    call_ids: list[str]
    finish: str
    counted: tuple[Any, ...]


def _kind(part: AnswerPart) -> str:
    return "text" if isinstance(part, Refusal) else type(part).__name__.lower()


def facts(answer: Answer, *, upstream: bool = False) -> Facts:
    """Of an answer as its client reads it, or as the upstream gave it."""
    return Facts(
        id=answer.id,
        model=answer.model,
        order=[kind for kind, _ in groupby(answer.parts, _kind)],
        spoken=spoken(answer),
        thought=thought(answer),
        seals=seals(answer),
        cited=cited(answer),
        called=called(answer),
        call_ids=[call.id for call in answer.tool_calls] if upstream else call_ids(answer),
        finish=finish_class(answer),
        counted=counted(answer.usage),
    )
