"""What newer versions of the APIs may bring: unknown fields, parts, items, tools and roles, anywhere in a request.

Between equals they pass. Across, each is a loss that names its place, and none is an error.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support_requests import render
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.errors import RequestError

GOLDENS = Path(__file__).parent / "goldens" / "requests"
BODIES: dict[Api, Body] = {api: json.loads((GOLDENS / f"{api.short}.json").read_bytes()) for api in Api}
LEFT_ALONE = {"parameters", "input_schema", "schema", "grammar", "metadata", "summary", "reasoning_details"}
"""Objects whose fields are the client's own, and what only its origin may read."""
PLACE = re.compile(r"\[\d+\]")
KINDS: dict[str, Body] = {
    "messages": {"role": "critic", "content": "hi"},
    "input": {"type": "a_future_item", "id": "x"},
    "content": {"type": "a_future_part"},
    "output": {"type": "a_future_part"},
    "tools": {"type": "a_future_tool", "name": "n"},
    "tool_calls": {"id": "x", "type": "a_future_call", "call": {}},
    "system": {"type": "a_future_block"},
}
"""By the name of a list: what may be in it that nobody knows."""


def objects(said: Any, path: str = "") -> Iterator[tuple[str, Body]]:
    """Every object in which a field may stand, and its place."""
    if isinstance(said, dict):
        yield path, said
        for name, inner in said.items():
            if name not in LEFT_ALONE and not (name == "input" and isinstance(inner, dict)):
                yield from objects(inner, f"{path}.{name}" if path else name)
    elif isinstance(said, list):
        for place, inner in enumerate(said):
            yield from objects(inner, f"{path}[{place}]")


def lists(body: Body) -> Iterator[tuple[str, list[Any], str]]:
    """Every list in which something unknown may stand, its place and its name."""
    for path, said in objects(body):
        for name, inner in said.items():
            if name in KINDS and isinstance(inner, list):
                yield (f"{path}.{name}" if path else name), inner, name


def covered(path: str, losses: dict[str, str]) -> bool:
    """Whether it, or something around it, is told as lost; of those that are alike one is."""
    plain = PLACE.sub("[]", path)
    around = {plain[: cut.start()] for cut in re.finditer(r"[.\[]", plain)} | {plain}
    marks = {f"{one}.cache_control" for one in around} if "cache_control" in plain else set()
    return any(PLACE.sub("[]", field) in around | marks for field in losses)


WAYS = [(source, to) for source in Api for to in Api if source is not to]
JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


each = pytest.mark.parametrize(("source", "to"), WAYS, ids=lambda api: api.short)


@each
def test_an_unknown_field_is_a_loss_wherever_it_stands(source: Api, to: Api) -> None:
    for number, (path, _) in enumerate(objects(BODIES[source])):
        body = copy.deepcopy(BODIES[source])
        _, said = list(objects(body))[number]
        said["unknown"] = 1
        losses = render(source, to, body).losses
        assert covered(f"{path}.unknown" if path else "unknown", losses), (path, losses)


@each
def test_an_unknown_thing_is_a_loss_wherever_it_stands(source: Api, to: Api) -> None:
    for number, (path, _, name) in enumerate(lists(BODIES[source])):
        body = copy.deepcopy(BODIES[source])
        _, said, _ = list(lists(body))[number]
        said.append(KINDS[name])
        losses = render(source, to, body).losses
        assert covered(f"{path}[{len(said) - 1}]", losses), (path, losses)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WAYS), st.data())
def test_several_unknown_fields_are_a_loss_each(way: tuple[Api, Api], draw: st.DataObject) -> None:
    source, to = way
    body = copy.deepcopy(BODIES[source])
    places = list(objects(body))
    chosen = draw.draw(st.lists(st.sampled_from(range(len(places))), min_size=2, max_size=6, unique=True))
    for number in chosen:
        places[number][1][f"unknown_{number}"] = draw.draw(JSON)
    losses = render(source, to, body).losses
    for number in chosen:
        path, _ = places[number]
        assert covered(f"{path}.unknown_{number}" if path else f"unknown_{number}", losses), (path, losses)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WAYS), st.data())
def test_an_unknown_thing_anywhere_in_a_list_is_a_loss(way: tuple[Api, Api], draw: st.DataObject) -> None:
    source, to = way
    body = copy.deepcopy(BODIES[source])
    path, said, name = draw.draw(st.sampled_from(list(lists(body))))
    at = draw.draw(st.integers(0, len(said)))
    said.insert(at, KINDS[name] | draw.draw(st.dictionaries(st.sampled_from(["x", "y"]), JSON, max_size=2)))
    losses = render(source, to, body).losses
    assert covered(f"{path}[{at}]", losses), (path, losses)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WAYS), st.data())
def test_whatever_stands_somewhere_is_said_lost_or_refused_by_name(way: tuple[Api, Api], draw: st.DataObject) -> None:
    """Values of other types than any version of the API has."""
    source, to = way
    body = copy.deepcopy(BODIES[source])
    places = [(said, name) for _, said in objects(body) for name in said]
    for said, name in draw.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        said[name] = draw.draw(JSON | st.none() | st.floats(allow_nan=False, allow_infinity=False))
    try:
        render(source, to, body)
    except RequestError as error:
        assert error.param
