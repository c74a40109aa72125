"""What a scripted upstream says, byte for byte, and what each beginning of it tells: content, usage, an end.

The reading is our own and as plain as can be, a JSON object at a time, so that it cannot share a mistake with the
decoders that it judges. An upstream is seen up to some event; `Story.after[n]` is what the first n events say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import aiohttp

from trivium.mock import Reply, Rule, Script, ScriptedUpstream, ToolCall
from trivium.mock import Usage as Scripted
from trivium.mock.script import Error

APIS = ("chat", "responses", "messages")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
Event = dict[str, Any]

GENERATION_COST = Fraction("0.00123456789")
RECORD = {
    "total_cost": float(GENERATION_COST),
    "is_byok": False,
    "native_tokens_prompt": 170,
    "native_tokens_completion": 50,
}
REPORTED = 0.000987654321
QUESTION = "How was the sea?"
EARLY_OUTPUT = 7
CUT = 16
"""Bytes of the pieces in which a padded answer comes."""
PADDING = b"\n" + b" " * (CUT - 1)
_PIECES = [
    "The sea ",
    'was "calm"',
    "\n",
    "and löw — ",
    "日本語 ",
    "\\path ",
    "🙂🙂 ",
    "again, ",
    "and the boat ",
    "came home.",
]
_THOUGHTS = ["Let me ", "think ", "about the sea."]
_USAGE = Scripted(input=100, cache_read=40, cache_write_5m=20, cache_write_1h=10, output=50, reasoning=8)


class Usage(NamedTuple):
    """Tokens in buckets that a price knows."""

    uncached: int = 0
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0


class Told(NamedTuple):
    """What an answer has said so far."""

    usage: Usage | None = None
    cost: Fraction | None = None
    finished: bool = False
    """Why it ended, or its terminal event."""
    ended: bool = False
    """Its terminal event."""
    failed: bool = False
    content: int = 0
    """Bytes in UTF-8."""

    @property
    def complete(self) -> bool:
        return (self.ended and self.usage is not None) if self.failed else self.finished


class Plot(NamedTuple):
    """A kind of answer. `early`: usage comes before the end as well."""

    name: str
    reply: Callable[[], Reply]
    early: bool = False
    keeps_records: bool = False
    """The upstream names the answer's generation."""
    recorded: bool = True
    """... and has a record of it."""
    padded: bool = False
    """Blanks come before a whole answer while the model thinks (OpenRouter), so that it goes on while it comes."""
    streamed: bool = True
    whole: bool = True


class Story(NamedTuple):
    api: str
    stream: bool
    plot: Plot
    events: list[bytes]
    after: list[Told]

    @property
    def body(self) -> bytes:
        return b"".join(self.events)

    @property
    def ends(self) -> list[int]:
        """Where each event ends, from 0."""
        ends = [0]
        for event in self.events:
            ends.append(ends[-1] + len(event))
        return ends

    def events_in(self, size: int) -> int:
        """How many events lie whole in so many bytes."""
        return sum(end <= size for end in self.ends) - 1

    def told_in(self, size: int) -> int:
        """The same where the body ended in good order: its last line counts without a blank line behind it."""
        n = self.events_in(size)
        if self.stream and n < len(self.events):
            _, _, data = self.events[n][: size - self.ends[n]].partition(b"data: ")
            return n + (data.strip() == b"[DONE]" or _parsed(data) is not None)
        return n


def _reply(**more: Any) -> Callable[[], Reply]:
    def make() -> Reply:
        said: dict[str, Any] = {"text": _PIECES, "reasoning": _THOUGHTS, "usage": _USAGE, "model": "m", "id": "gen-x"}
        return Reply(**said | {"tool_calls": [ToolCall("weather", {"city": "Köln"}, id="call_1")]} | more)

    return make


_FAILS = Error(message="It broke.", type="overloaded_error")
PLOTS = (
    Plot("final", _reply()),
    Plot("early", _reply(), early=True, whole=False),
    Plot("silent", _reply(no_usage=True)),
    Plot("cost", _reply(cost=REPORTED)),
    Plot("record", _reply(no_usage=True, generation="gen-x"), keeps_records=True),
    Plot("counted record", _reply(generation="gen-x"), keeps_records=True),
    Plot("padded", _reply(), padded=True, streamed=False),
    Plot("padded, silent", _reply(no_usage=True), padded=True, streamed=False),
    Plot("fails at once", _reply(error=_FAILS)),
    Plot("fails late", _reply(error=_FAILS, error_after_events=14, no_usage=True), whole=False),
    Plot("fails late, told", _reply(error=_FAILS, error_after_events=14), early=True, whole=False),
)
UNRECORDED = Plot("no record", _reply(no_usage=True, generation="gen-none"), keeps_records=True, recorded=False)


async def stories(plots: Iterable[Plot]) -> dict[tuple[str, bool, str], Story]:
    """By API, stream or not, and name."""
    told = {}
    for plot in plots:
        async with ScriptedUpstream(Script([Rule(plot.reply())])) as upstream, aiohttp.ClientSession() as session:
            for api in APIS:
                for stream in (True, False):
                    if not (plot.streamed if stream else plot.whole):
                        continue
                    asked = {**ASKED[api], "stream": stream, "stream_options": {"include_usage": True}}
                    async with session.post(upstream.url + PATHS[api], json=asked) as answer:
                        told[api, stream, plot.name] = _story(api, stream, plot, await answer.read())
    return told


ASKED: dict[str, Event] = {
    "chat": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 100},
    "responses": {"input": QUESTION, "max_output_tokens": 100},
    "messages": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 100},
}


def _story(api: str, stream: bool, plot: Plot, body: bytes) -> Story:
    events = [piece + b"\n\n" for piece in body.split(b"\n\n") if piece.strip()] if stream else [body]
    if plot.padded:
        events = [PADDING + body]
    if plot.early:
        events = [_EARLY[api](event, n) for n, event in enumerate(events)]
    reader = Reader(api)
    return Story(api, stream, plot, events, [Told(), *(reader.read(event) for event in events)])


# Usage before the end: in every chunk, in the response that is in progress, in the message's start.


def _early_chat(event: bytes, n: int) -> bytes:
    said = _parsed(event.partition(b"data: ")[2])
    if said is None or "error" in said or said.get("usage"):
        return event
    return (
        b"data: "
        + _dumped(said | {"usage": {"prompt_tokens": 170, "completion_tokens": n, "total_tokens": 170 + n}})
        + b"\n\n"
    )


def _early_responses(event: bytes, _n: int) -> bytes:
    head, _, data = event.partition(b"data: ")
    said = _parsed(data) or {}
    if said.get("type") != "response.in_progress":
        return event
    said["response"]["usage"] = {"input_tokens": 170, "output_tokens": EARLY_OUTPUT, "total_tokens": 170 + EARLY_OUTPUT}
    return head + b"data: " + _dumped(said) + b"\n\n"


def _early_messages(event: bytes, _n: int) -> bytes:
    return event.replace(b'"output_tokens":1,', b'"output_tokens":%d,' % (3 * EARLY_OUTPUT))


_EARLY = {"chat": _early_chat, "responses": _early_responses, "messages": _early_messages}


def _dumped(said: Event) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _parsed(data: bytes) -> Event | None:
    try:
        said = json.loads(data)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


class Reader:
    """Reads an answer, event by event or whole, as its API's reference has it."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._figures: Event = {}
        self.told = Told()

    def read(self, event: bytes) -> Told:
        """What is known after one event more, or after a whole body."""
        if event.lstrip().startswith(b"{"):
            self._whole(_parsed(event) or {})
            return self.told
        for line in event.split(b"\n"):
            if line.strip() == b"data: [DONE]":
                self.told = self.told._replace(ended=self.told.finished)
            elif line.startswith(b"data: ") and (said := _parsed(line[6:])) is not None:
                getattr(self, f"_{self._api}")(said)
        return self.told

    def _chat(self, said: Event) -> None:
        if said.get("error"):
            self._fail()
        for choice in said.get("choices") or []:
            self._say(_words(choice["delta"]))
            if choice.get("finish_reason"):
                self.told = self.told._replace(finished=True)
        self._count(said.get("usage"))

    def _responses(self, said: Event) -> None:
        kind = said["type"]
        if kind.endswith(".delta"):
            self._say([said["delta"]])
        if kind in ("error", "response.failed"):
            self._fail()
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.told = self.told._replace(finished=True, ended=True)
        self._count(said.get("response", {}).get("usage"))

    def _messages(self, said: Event) -> None:
        kind = said["type"]
        if kind == "error":
            self._fail()
        if kind == "content_block_delta":
            delta = said["delta"]
            self._say([delta.get(name, "") for name in ("text", "thinking", "partial_json")])
        if kind == "message_stop":
            self.told = self.told._replace(finished=True, ended=True)
        if said.get("delta", {}).get("stop_reason"):
            self.told = self.told._replace(finished=True)
        self._count(said.get("message", said).get("usage"))

    def _whole(self, said: Event) -> None:
        if said.get("error"):
            self._fail()
        else:
            self.told = self.told._replace(finished=True, ended=True)
        self._say(_SAID[self._api](said))
        self._count(said.get("usage"))

    def _fail(self) -> None:
        self.told = self.told._replace(failed=True)

    def _say(self, said: Iterable[str | None]) -> None:
        size = sum(len((piece or "").encode()) for piece in said)
        self.told = self.told._replace(content=self.told.content + size)

    def _count(self, said: Event | None) -> None:
        if not said:
            return
        self._figures |= said
        figures = self._figures
        cost = figures.get("cost")
        usage = _messages_usage(figures) if self._api == "messages" else _openai_usage(figures)
        self.told = self.told._replace(usage=usage, cost=None if cost is None else Fraction(str(cost)))


def _openai_usage(said: Event) -> Usage:
    """Both OpenAI APIs count what caches gave and took among the prompt."""
    prompt = said["prompt_tokens"] if "prompt_tokens" in said else said["input_tokens"]
    details = said.get("prompt_tokens_details") or said.get("input_tokens_details") or {}
    read, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    output = said["completion_tokens"] if "completion_tokens" in said else said["output_tokens"]
    return Usage(prompt - read - written, read, written, 0, output)


def _messages_usage(said: Event) -> Usage:
    written = said.get("cache_creation_input_tokens", 0)
    hour = (said.get("cache_creation") or {}).get("ephemeral_1h_input_tokens", 0)
    read = said.get("cache_read_input_tokens", 0)
    return Usage(said.get("input_tokens", 0), read, written - hour, hour, said.get("output_tokens", 0))


def _words(message: Event) -> Iterator[str | None]:
    yield from (message.get(name) for name in ("content", "reasoning_content", "refusal"))
    if message.get("reasoning_content") is None:
        yield message.get("reasoning")
    for call in message.get("tool_calls") or []:
        yield call["function"].get("arguments")


def _chat_words(said: Event) -> Iterator[str | None]:
    for choice in said.get("choices") or []:
        yield from _words(choice["message"])


def _responses_words(said: Event) -> Iterator[str | None]:
    for item in said.get("output") or []:
        yield item.get("arguments")
        for part in [*(item.get("content") or []), *(item.get("summary") or [])]:
            yield part.get("text")


def _messages_words(said: Event) -> Iterator[str | None]:
    for block in said.get("content") or []:
        yield block.get("text")
        yield block.get("thinking")
        if "input" in block:
            yield _dumped(block["input"]).decode()


_SAID = {"chat": _chat_words, "responses": _responses_words, "messages": _messages_words}
