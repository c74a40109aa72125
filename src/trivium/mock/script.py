"""The script: what the upstream double is to say, as frozen values; a TOML or JSON file has the same structure.

A script is an ordered list of rules. The first rule that matches and is not used up answers; when none does, the
default answers, which unless the script says otherwise repeats the last user text. Everything left unsaid is what a
well-behaved vendor would do, so that a test names only the misbehaviour it is about.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Api = Literal["chat", "responses", "messages"]
Abort = Literal["close", "reset", "stall", "end"]
CallKind = Literal["function", "custom"]
FinishWord = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause"]

Count = Annotated[int, msgspec.Meta(ge=0)]
Ordinal = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Raises ValueError for a custom call whose arguments are not text."""

    name: str
    arguments: dict[str, Any] | str = {}
    """A table is sent as its JSON; a string goes out verbatim, be it JSON or not."""
    id: str | None = None
    kind: CallKind = "function"
    """The arguments of a custom call are its `input`. Messages knows none: a `tool_use` with `{"input": ...}`."""
    namespace: str | None = None
    """A field of its own in Responses; the others say both names as one, as `asked.flat_name` joins them."""
    thought_signature: str | None = None
    """As Google's Chat dialect hangs it on a call; the other dialects do not say it."""

    def __post_init__(self) -> None:
        if self.kind == "custom" and not isinstance(self.arguments, str):
            raise ValueError("expected a string as the `arguments` of a custom call")


class Citation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the web that the text rests on."""

    url: str
    title: str


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens, each counted once; a dialect's own way of adding them up is applied when they are rendered."""

    input: Count = 0
    """Neither read from nor written to a cache."""
    cache_read: Count = 0
    cache_write_5m: Count = 0
    cache_write_1h: Count = 0
    output: Count = 0
    """With the reasoning in it, as all three vendors count."""
    reasoning: Count = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def whole_input(self) -> int:
        return self.input + self.cache_read + self.cache_write


class Error(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out follows from the status, in the words of the dialect."""

    message: str = "Scripted error."
    type: str | None = None
    code: str | None = None
    """Only the OpenAI dialects can say it."""


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions that must all hold; one left out always holds."""

    api: Api | None = None
    path: str | None = None
    """A shell-style pattern over the whole path. A rule without it answers only requests for an answer of a model; a
    rule with it can answer anything: token counts, model lists, a lookup that the double does not know."""
    model: str | None = None
    """A shell-style pattern."""
    stream: bool | None = None
    contains: str | None = None
    """Text that occurs in the body as it was sent."""
    tool: str | None = None
    """The name of a tool that the request offers."""
    has_tool_result: bool | None = None
    """Whether a tool's result came after the model's last turn."""
    turn: Ordinal | None = None
    """1 before the model has said anything, 2 after its first turn, and so on."""
    query: dict[str, str] | None = None
    """Each must be in the query string and equal."""
    headers: dict[str, str] | None = None
    """Each must be there and equal; names in any case."""
    nth: Ordinal | None = None
    """The n-th of the requests that fulfil all other conditions, whichever rule answered them."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer. Raises ValueError for fields that contradict each other."""

    # What the model says.
    text: str | list[str] = ""
    """A string is streamed word by word, a list exactly piece by piece."""
    reasoning: str | list[str] | None = None
    signature: str | None = None
    """The signature of a Messages thinking block, the `encrypted_content` of a Responses reasoning item. In Chat it
    turns `reasoning_content` into OpenRouter's `reasoning` and `reasoning_details`."""
    redacted: str | None = None
    """Reasoning of which only this opaque text is shown; it follows `reasoning`, if there is any."""
    citations: list[Citation] = []
    """Of the whole text."""
    tool_calls: list[ToolCall] = []
    calls_interleaved: bool = False
    """Fragments of parallel calls take turns in a stream; not in Messages, whose blocks never overlap."""
    finish: FinishWord | None = None
    """Left out: `tool_calls` if there are any, else `stop`. `refusal` turns the text into the refusal."""
    stop_sequence: str | None = None
    """The stop string that ended the text; only Messages can say it, the others just stop."""
    usage: Usage | None = None
    """Left out: estimated from the lengths of what was sent and said, the same for the same texts."""
    vectors: list[list[float]] | None = None
    """Of embeddings. Left out: one for each input, made of its text, of as many numbers as were asked for or else of
    three."""
    encoding: Literal["float", "base64"] | None = None
    """How vectors are written. Left out: as was asked for."""
    no_usage: bool = False
    cost: float | None = None
    """USD, as OpenRouter reports it inside the usage."""
    model: str | None = None
    """Left out: the model that was asked for."""
    id: str | None = None
    generation: str | None = None
    """The id of its generation record, in the header `x-generation-id`, as OpenRouter names it."""

    # What comes instead.
    status: Status = 200
    error: Error | None = None
    """With a status of 400 or more the answer. With 200 an error inside the answer: as the whole body, or in a stream
    after `error_after_events`."""
    error_after_events: Count = 0
    body: str | dict[str, Any] | None = None
    sse: str | None = None
    """A stream, verbatim."""
    file: str | None = None
    """Bytes from a file, verbatim; a stream if the name ends in `.sse`. A script file names it relative to itself."""
    raw: str | None = None
    """Written to the socket in place of the whole HTTP response."""

    # How HTTP carries it.
    headers: dict[str, str] = {}
    """Added, or put in place of the usual ones; an empty value leaves a usual one out. Who sets `content-length` or
    `transfer-encoding` is believed: the body follows unframed and the connection is closed."""
    content_type: str | None = None
    gzip: bool = False

    # At which pace.
    delay_ms: Milliseconds = 0
    """Before the status line."""
    first_event_delay_ms: Milliseconds = 0
    """Between the headers and the body."""
    event_delay_ms: Milliseconds = 0
    ping_every_ms: Milliseconds = 0
    """Keep-alives of the dialect while a stream rests before an event; 0: none."""
    chunk_bytes: Ordinal | None = None
    """Cut the body anew into pieces of this size, whatever the borders of its events; the delays lie between them."""

    # How it breaks.
    omit_terminal: bool = False
    """Leave out the last event: `[DONE]`, `response.completed`, `message_stop`."""
    abort: Abort | None = None
    """`close` ends the connection, `reset` with a TCP reset, `stall` falls silent, `end` ends the body in good order.
    Alone it comes in place of an answer. Left out beside one of the two below: `close`."""
    abort_after_events: Count | None = None
    abort_after_bytes: Count | None = None
    """Bytes of the body as they go out, compressed if the reply is."""

    def __post_init__(self) -> None:
        verbatim = [name for name in ("body", "sse", "file", "raw") if getattr(self, name) is not None]
        if len(verbatim) > 1:
            raise ValueError(f"expected one of `{'`, `'.join(verbatim)}`")
        if self.abort_after_events is not None and self.abort_after_bytes is not None:
            raise ValueError("expected one of `abort_after_events`, `abort_after_bytes`")
        if self.abort == "end" and self.abort_after_events is None and self.abort_after_bytes is None:
            raise ValueError("expected `abort_after_events` or `abort_after_bytes` with `abort = 'end'`")
        if self.ping_every_ms and (self.chunk_bytes or self.gzip):
            raise ValueError("expected no `chunk_bytes` and no `gzip` with `ping_every_ms`: a ping lies between events")
        if self.stop_sequence is not None and self.finish not in (None, "stop"):
            raise ValueError("expected no `finish` but 'stop' with `stop_sequence`")
        if self.citations and (not self.text or self.finish == "refusal"):
            raise ValueError("expected a `text` that is no refusal with `citations`")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reply: Reply
    match: Match = Match()
    times: Ordinal | None = None
    """How many requests it answers before it is used up; left out: any number."""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the model list."""

    id: str
    name: str | None = None
    extra: dict[str, Any] = {}
    """Further fields of the entry in the OpenAI shape, such as OpenRouter's `pricing`."""


class Generation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered of one answer, whether the double gave it or not."""

    id: str
    record: dict[str, Any] = {}
    """The content of `data`, beside the id: `total_cost`, `native_tokens_prompt`, ..."""
    after_ms: Milliseconds = 0
    """It appears so long after it was first asked for; before, and without it, the answer is 404."""
    after_asks: Count = 0
    """It appears to the question after so many in vain."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: list[Rule] = []
    default: Reply | None = None
    """The answer when no rule matches a request for an answer of a model; left out: the last user text, repeated."""
    models: list[Model] = msgspec.field(default_factory=lambda: [Model("mock-model")])
    generations: list[Generation] = []
    keep: Ordinal = 10_000
    """How many requests are remembered before the oldest is forgotten."""
