"""The page `docs/conformance.md`, from outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conformance.feature import APIS, BOTH, Feature
from conformance.judge import IMPOSSIBLE, LOSSY, NO_WORDS_ANSWERING, NO_WORDS_ASKING, WRONG, Outcome, outcome
from conformance.run import DIRECTIONS, UPSTREAMS, Cell, Direction, Seen

_INTRO = """\
# Conformance

What of each API reaches each other one. `chat>messages` is a client of Chat Completions whose model's upstream speaks
Messages. Each cell was found out by asking, for a whole answer and for a stream unless the row says which: the
client's request went through the gateway, and what the upstream received and what the client heard were looked at.
`make conformance` writes this page anew; a test fails where it is not what is seen.

* **bytes**: both APIs are the same, and what was sent is what arrived, byte for byte (but for the model's name).
  Where a rule changed something beside ([adaptations.md](adaptations.md)), it is *yes*, or *lossy*.
* **yes**: it arrived, in the other API's words, and nothing of it was lost.
* **lossy**: some of it did not arrive. The footnote says what, in the words of the record; what a request lost is
  also in the header `x-trivium-loss`, and with `x-trivium-strict: 1` such a request is refused instead. Losses that
  are alike but for their places in lists are named once, by the first, and counted: in the header each of them, in
  the record as "and 2 more like it".
* **impossible**: the client's API [c] or the upstream's [u] has no words for it, or without it the question would be
  another: the call is refused with 400 and the footnote's message.

{upstreams}
"""
_UPSTREAMS = "What an upstream takes depends on who it is: a model of a provider of some `type`.\n"
_STANDARD = {NO_WORDS_ASKING: "c", NO_WORDS_ANSWERING: "u"}
_WHO = {
    "owners": "rows that say nothing else",
    "thinkers": "reasoning models",
    "older": "older Claude",
    "openrouter": "OpenRouter",
    "strangers": "unknown servers",
}


Table = Mapping[str, list[Feature]]
Outcomes = dict[tuple[str, Direction], Outcome]
"""By the title of the feature."""


def outcomes(features: list[Feature], seen: Mapping[Cell, list[Seen]]) -> Outcomes:
    return {
        (title(feature), direction): outcome(feature, place, direction, seen)
        for place, feature in enumerate(features)
        for direction in DIRECTIONS
    }


def wrong(found: Outcomes) -> list[str]:
    """The cells in which something neither arrived nor was told to be lost."""
    return [
        f"{row}, {_column(direction)}: {note}"
        for (row, direction), said in found.items()
        if said.verdict == WRONG
        for note in said.notes
    ]


def page(table: Table, found: Outcomes) -> str:
    sections = [_INTRO.format(upstreams=_upstreams())]
    sections += ["\n".join(_section(group, features, found)) + "\n" for group, features in table.items()]
    return "\n".join(sections)


def _upstreams() -> str:
    rows = [
        f"| {who} | " + " | ".join(f"`{model}` of `{kind}`" for kind, model in UPSTREAMS[row].values()) + " |"
        for row, who in _WHO.items()
    ]
    head = f"| | {' | '.join(f'upstream of {api.short}' for api in APIS)} |"
    return "\n".join([_UPSTREAMS, head, "|---|---|---|---|", *rows])


def _section(group: str, features: list[Feature], found: Outcomes) -> Iterator[str]:
    notes: dict[str, int] = {}
    yield f"## {group}\n"
    yield f"| | {' | '.join(map(_column, DIRECTIONS))} |"
    yield f"|---|{'---|' * len(DIRECTIONS)}"
    for feature in features:
        cells = [_cell(found[title(feature), direction], notes) for direction in DIRECTIONS]
        yield f"| {title(feature)} | {' | '.join(cells)} |"
    if notes:
        yield ""
    for note, number in notes.items():
        yield f"* [{number}] {note}"


def title(feature: Feature) -> str:
    """Of its row."""
    ways = "" if feature.ways == BOTH else f" ({' '.join(feature.ways)})"
    return feature.name + ways + ("" if feature.upstreams == "owners" else f" *({_WHO[feature.upstreams]})*")


def _cell(said: Outcome, notes: dict[str, int]) -> str:
    if said.verdict not in (LOSSY, IMPOSSIBLE, WRONG):
        return said.verdict
    marks = [_STANDARD.get(note) or str(notes.setdefault(note, len(notes) + 1)) for note in said.notes]
    return f"{said.verdict} [{', '.join(marks)}]"


def _column(direction: Direction) -> str:
    client, upstream = direction
    return f"{client.short}>{upstream.short}"
