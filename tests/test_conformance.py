"""The conformance page says what is so; and the judge who fills it can find fault."""

from __future__ import annotations

import asyncio
import difflib
from typing import Any

import pytest

from conformance import PAGE
from conformance.feature import ABSENT, DONE, AnyOf, C, Feature, Like, M, R, Some, misses
from conformance.features import ALL, TABLE
from conformance.features.words import alike, heard, parts, spoken
from conformance.judge import Outcome
from conformance.page import Outcomes, outcomes, page, title, wrong
from conformance.run import DIRECTIONS, play
from trivium.mock import Reply


def found_out(*features: Feature) -> Outcomes:
    return outcomes([*features], asyncio.run(play([*features])))


@pytest.fixture(scope="module")
def found() -> Outcomes:
    return found_out(*ALL)


def test_nothing_is_lost_in_silence(found: Outcomes) -> None:
    assert wrong(found) == []


def test_the_page_says_what_is_seen(found: Outcomes) -> None:
    lines = (PAGE.read_text(encoding="utf-8").splitlines(), page(TABLE, found).splitlines())
    changed = difflib.unified_diff(*lines, "docs/conformance.md", "what is seen", n=0, lineterm="")
    assert "\n".join(changed) == "", "`make conformance` writes it anew"


def test_no_row_stands_for_two_features() -> None:
    assert len({title(feature) for feature in ALL}) == len(ALL)


# The judge.

WARM = alike(temperature=0.5)
FAULTY = {
    "something else arrives": Feature(name="", asks=WARM, told={M: {"temperature": 0.7}}),
    "what should be lost arrives": Feature(name="", asks=WARM, told={M: None}),
    "what should be lost is heard": Feature(name="", reply=Reply(text="Hello."), heard=spoken("Hello.") | {C: None}),
    "something else is heard": Feature(name="", reply=Reply(text="Hello."), heard=spoken("Goodbye.")),
    "the call fails": Feature(name="", reply=Reply(status=500)),
    "the conversation takes another turn": Feature(name="", returned={M: {"messages": [..., ...]}}),
}


@pytest.mark.parametrize("feature", FAULTY.values(), ids=FAULTY)
def test_the_judge_finds_what_is_wrong(feature: Feature) -> None:
    assert "wrong" in {said.verdict for said in found_out(feature).values()}


def test_between_equals_only_bytes_count() -> None:
    found = found_out(Feature(name="", asks=WARM, told=dict.fromkeys((C, R, M))))
    assert {found["", (api, api)].verdict for api in (C, R, M)} == {"bytes"}


def test_what_is_lost_or_refused_is_told_in_the_words_of_the_record_and_of_the_error() -> None:
    audio = parts({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})
    seed, spoken_to = (found_out(Feature(name="", asks=asked))["", (C, M)] for asked in (alike(C, seed=7), audio))
    assert seed == Outcome("lossy", ("`seed`: only Chat Completions can say it",))
    assert spoken_to.verdict == "impossible"
    assert spoken_to.notes[0].startswith("`messages[0].content[1]`: audio cannot be said to this model")


def test_an_api_without_words_is_not_asked() -> None:
    found = found_out(Feature(name="", asks=alike(C, seed=7), reply={M: Reply(text=DONE)}))
    verdicts = [found["", direction].verdict for direction in DIRECTIONS]
    assert verdicts == ["impossible", "impossible", "lossy", *["impossible"] * 6]


FITTING: list[tuple[Any, Any]] = [
    ({"a": 1}, {"a": 1, "b": 2}),
    ([1, ...], [1, {"x": 2}]),
    (Some(1, 3), [0, 1, 2, 3]),
    (Like("^a.*c$"), "a\nc"),
    ({"a": ABSENT}, {"b": 1}),
    (AnyOf(1, [2]), [2]),
    (heard({"content": "x"}, ..., ...)[C], {"choices": [{"message": {"content": "x", "refusal": None}}]}),
]
NOT_FITTING: list[tuple[Any, Any]] = [
    ({"a": 1}, {"b": 1}),
    ([1], [1, 2]),
    (Some(3, 1), [1, 3]),
    (Some(1), None),
    (Like("b"), "a"),
    (Like("b"), 1),
    ({"a": ABSENT}, {"a": 0}),
    (AnyOf(1, [2]), [3]),
    (True, 1),
    ({"a": 1}, [1]),
]


@pytest.mark.parametrize(("pattern", "found"), FITTING)
def test_a_pattern_fits(pattern: Any, found: Any) -> None:
    assert list(misses(pattern, found)) == []


@pytest.mark.parametrize(("pattern", "found"), NOT_FITTING)
def test_a_pattern_does_not_fit(pattern: Any, found: Any) -> None:
    assert list(misses(pattern, found)) != []
