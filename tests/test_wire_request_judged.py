"""What the judge of one API takes, the judges of the two others take translated: for unknown upstreams, and for models
of the vendors. Conversations are made up at random, out of sound pieces in any order. And what one of them answered to
a client of Messages, Claude takes in a conversation of its own."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from support_answers import an_answer
from support_requests import (
    LOOSE,
    ORIGIN,
    PDF,
    PNG,
    SCHEMA,
    C,
    M,
    R,
    assistant,
    call,
    data,
    flat,
    function,
    gave,
    item,
    mark,
    result,
    said,
    text,
    tool,
    use,
    user,
    without,
)
from support_vendors import faults
from support_vendors_values import Body
from support_voices import body as spoken
from trivium.canon.api import Api
from trivium.canon.parts import Seal
from trivium.errors import FieldInvalid, Untranslatable
from trivium.providers.traits import traits_of
from trivium.wire.body import members
from trivium.wire.destination import Destination
from trivium.wire.envelope import close
from trivium.wire.request import parse, render
from trivium.wire.translate import Translation

UPSTREAMS = {
    C: [("openai-compatible", "m"), ("openai", "gpt-5.1"), ("openai", "gpt-4o"), ("openrouter", "anthropic/claude-x")],
    R: [("openai-compatible", "m"), ("openai", "gpt-5.1"), ("openrouter", "openai/gpt-5")],
    M: [
        ("openai-compatible", "m"),
        ("anthropic", "claude-3-5-haiku-latest"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-7"),
        ("anthropic", "claude-fable-5"),
        ("anthropic", "claude-opus-5-5"),
    ],
}
BEYOND = ("top_k", "reasoning", "reasoning_content", "reasoning_details", "cache_control", "extra_content")
"""What some Chat upstreams take beyond the API."""
WORDS = st.sampled_from(["hi", "So?", " ", "As JSON.", "é\U0001f600"])
IDS = st.sampled_from(["a", "b", "call_1", "toolu_2", "tvid_ZnVuY3Rpb25zLmFkZDow", "x" * 64])
NAMES = st.sampled_from(["f", "g", "look_up", "n" * 64])
ARGUMENTS = st.sampled_from(["{}", '{"q": 1.50}', '{"q": "x"}'])
MAP = {"type": "object", "properties": {"q": {"type": "object", "additionalProperties": {"type": "string"}}}}
TREE = SCHEMA | {"properties": {"q": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
EITHER = SCHEMA | {"properties": {"q": {"type": ["string", "null"]}}}
SCHEMAS = st.sampled_from([SCHEMA, LOOSE, MAP, {"type": "object", "properties": {}}])
SEALS = st.sampled_from([Seal("signature", "c2ln"), Seal("encrypted", "gAAA"), Seal("detail", "{}")])
EFFORTS = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"])


def some(**choices: Any) -> st.SearchStrategy[Body]:
    """Any of the members."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in choices.items()})


def sealed() -> st.SearchStrategy[str]:
    origins = st.sampled_from([ORIGIN, "another"])
    return st.builds(lambda seal, origin: close(seal, origin, "Hm."), SEALS, origins) | st.just("c2lnbmVk")


# Chat.

SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
CHAT_PARTS = st.lists(st.builds(text, WORDS) | st.sampled_from([SHOWN, FILE]), min_size=1, max_size=3)


@st.composite
def chat_step(draw: st.DrawFn) -> list[Body]:
    kind = draw(st.sampled_from(["user", "system", "assistant", "calls"]))
    if kind == "user":
        return [{"role": "user", "content": draw(WORDS | CHAT_PARTS)}]
    if kind == "system":
        return [{"role": draw(st.sampled_from(["system", "developer"])), "content": draw(WORDS)}]
    if kind == "assistant":
        return [assistant(draw(WORDS))]
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    calls = [call(one, draw(NAMES), draw(ARGUMENTS)) for one in ids]
    thought = {"type": "reasoning.text", "text": "Hm.", "signature": draw(sealed()), "index": 0}
    more: Body = draw(st.sampled_from([{}, {"reasoning_details": [thought]}, {"reasoning_content": "Hm."}]))
    asked = assistant(draw(st.none() | WORDS), *calls, **more)
    return [asked, *(gave(one, draw(WORDS)) for one in draw(st.permutations(ids)))]


CHAT_TOOLS = st.one_of(
    st.lists(st.builds(function, NAMES, SCHEMAS), max_size=3, unique_by=lambda one: one["function"]["name"]),
    st.builds(
        lambda many, schema: [function(f"f{number}", schema, strict=True) for number in range(many)],
        st.sampled_from([1, 17, 21]),
        st.sampled_from([SCHEMA, TREE, EITHER]),
    ),
)
CHAT_SETTINGS = some(
    max_completion_tokens=[1, 1024, 3000],
    temperature=[0, 1, 1.5],
    top_p=[0.5, 1],
    stop=["END", ["a", "\n"]],
    reasoning_effort=["none", "low", "high"],
    reasoning=[{"enabled": True}],
    service_tier=["auto", "flex"],
    user=["anna"],
    response_format=[
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": LOOSE}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": MAP}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": TREE, "strict": True}},
    ],
)


@st.composite
def chat_body(draw: st.DrawFn) -> Body:
    steps = draw(st.lists(chat_step(), min_size=1, max_size=5))
    tools = draw(CHAT_TOOLS)
    choice = draw(some(tool_choice=["auto", "required", "none"], parallel_tool_calls=[True, False]))
    return {
        "messages": [message for step in steps for message in step],
        **draw(CHAT_SETTINGS),
        **({"tools": tools, **choice} if tools else {}),
    }


# Responses.

SEEN = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
READ = {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}
INPUTS = st.builds(lambda said: {"type": "input_text", "text": said}, WORDS) | st.sampled_from([SEEN, READ])


@st.composite
def responses_step(draw: st.DrawFn) -> list[Body]:
    kind = draw(st.sampled_from(["user", "developer", "assistant", "calls"]))
    if kind == "user":
        return [{"role": "user", "content": draw(st.lists(INPUTS, min_size=1, max_size=3))}]
    if kind == "developer":
        return [{"role": "developer", "content": draw(WORDS)}]
    answer = {"role": "assistant", "content": [{"type": "output_text", "text": draw(WORDS), "annotations": []}]}
    if kind == "assistant":
        return [answer]
    summary = [{"type": "summary_text", "text": "Hm."}]
    thought = item("reasoning", summary=summary, encrypted_content=draw(sealed()))
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    calls, outputs = [], []
    for one in ids:
        custom, output = draw(st.booleans()), draw(WORDS | st.lists(INPUTS, min_size=1, max_size=2))
        made = {"input": "x"} if custom else {"arguments": draw(ARGUMENTS)}
        kind = "custom_tool_call" if custom else "function_call"
        calls.append(item(kind, call_id=one, name=draw(NAMES), **made))
        outputs.append(item(f"{kind}_output", call_id=one, output=output))
    before = draw(st.sampled_from([[], [answer], [thought], [thought, answer]]))
    return [*before, *calls, *draw(st.permutations(outputs))]


CUSTOM = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}
RESPONSES_TOOLS = st.lists(
    st.builds(flat, NAMES, SCHEMAS, strict=st.just(False)) | st.just(CUSTOM),
    max_size=3,
    unique_by=lambda one: str(one["name"]),
)
RESPONSES_SETTINGS = some(
    instructions=["Be brief.", " "],
    max_output_tokens=[16, 3000],
    temperature=[0, 1, 1.5],
    top_p=[0.5, 1],
    reasoning=[{"effort": "none"}, {"effort": "xhigh", "summary": "auto"}, {"summary": "auto"}],
    service_tier=["auto", "flex"],
    text=[{"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}, {"verbosity": "low"}],
    store=[False],
)


@st.composite
def responses_body(draw: st.DrawFn) -> Body:
    steps = draw(st.lists(responses_step(), min_size=1, max_size=5))
    tools = draw(RESPONSES_TOOLS)
    choice = draw(some(tool_choice=["auto", "required", "none"], parallel_tool_calls=[True, False]))
    return {
        "input": [one for step in steps for one in step],
        **draw(RESPONSES_SETTINGS),
        **({"tools": tools, **choice} if tools else {}),
    }


# Messages.

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
PAPER = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
MARKS = st.sampled_from([{}, {}, {}, mark(), mark("1h")])
TEXTS = st.builds(lambda one, marked: text(one, **marked), WORDS, MARKS)
BLOCKS = st.lists(TEXTS | st.sampled_from([PICTURE, PAPER]), min_size=1, max_size=3)


@st.composite
def messages_step(draw: st.DrawFn) -> list[Body]:
    kind = draw(st.sampled_from(["talk", "calls", "thought"]))
    asked = user(*draw(BLOCKS))
    if kind == "talk":
        return [asked, said(draw(TEXTS))]
    thought = {"type": "thinking", "thinking": "Hm.", "signature": draw(sealed())}
    if kind == "thought":
        return [asked, said(thought, draw(TEXTS))]
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    before = draw(st.sampled_from([[], [thought], [thought, text("So")]]))
    calls = [use(one, draw(NAMES), draw(st.sampled_from([{}, {"q": 1.5}]))) for one in ids]
    contents: st.SearchStrategy[Any] = WORDS | BLOCKS | st.just([])
    results = [result(one, draw(contents), **draw(some(is_error=[True, False]))) for one in draw(st.permutations(ids))]
    return [asked, said(*before, *calls), user(*results, *draw(st.just([]) | BLOCKS)), said(text("Done"))]


MESSAGES_TOOLS = st.lists(
    st.builds(lambda name, schema, more: tool(name, schema, **more), NAMES, SCHEMAS, some(strict=[True, False])),
    max_size=3,
    unique_by=lambda one: str(one["name"]),
)
MESSAGES_SETTINGS = some(
    system=["Be brief.", [text("Be brief.", **mark("1h"))]],
    temperature=[0, 1],
    top_p=[0.5, 1],
    top_k=[3],
    stop_sequences=[["a"], ["a", "b", "c", "d"]],
    thinking=[{"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}, {"type": "adaptive"}],
    metadata=[{"user_id": "anna"}],
    service_tier=["auto", "standard_only"],
    output_config=[{"effort": "max"}, {"format": {"type": "json_schema", "schema": SCHEMA}}],
)


@st.composite
def messages_body(draw: st.DrawFn) -> Body:
    steps = draw(st.lists(messages_step(), min_size=1, max_size=4))
    turns = [turn for step in steps for turn in step]
    tools = draw(MESSAGES_TOOLS)
    choice = draw(some(tool_choice=[{"type": "auto"}, {"type": "any"}, {"type": "none"}]))
    return {
        "max_tokens": draw(st.sampled_from([1, 2048, 32_000])),
        "messages": turns[: draw(st.sampled_from([len(turns), len(turns) - 1]))],
        **draw(MESSAGES_SETTINGS),
        **({"tools": tools, **choice} if tools else {}),
    }


MADE = {C: chat_body(), R: responses_body(), M: messages_body()}


@pytest.mark.parametrize("source", list(Api), ids=lambda api: api.short)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(draw=st.data())
def test_what_one_judge_takes_the_others_take_translated(source: Api, draw: st.DataObject) -> None:
    body = draw.draw(MADE[source])
    assume(not faults(source, without({"model": "m", **body}, BEYOND), strict=False))
    for to in Api:
        for provider, model in UPSTREAMS[to] if to is not source else ():
            traits = traits_of(provider, to, model)
            where = Destination(api=to, model=model, traits=traits, origin=ORIGIN)
            try:
                sent = Translation(source, where, id="id", created=0).request(members(data(body)))
            except (FieldInvalid, Untranslatable) as error:
                assert error.param
                continue
            told = without(json.loads(sent.body), BEYOND if to is C else ())
            found = faults(to, told, strict=not traits.item_ids, system_turns=traits.system_turns)
            assert found == [], (provider, model)


CLEARING = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}


@pytest.mark.parametrize("source", [C, R], ids=lambda api: api.short)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rnd=st.randoms(use_true_random=False), answers=st.integers(1, 3))
def test_a_loop_that_another_upstream_took_over_goes_home(source: Api, rnd: Random, answers: int) -> None:
    """As by a fallback in a loop of calls, with or without reasoning. Of context management the judge knows nothing:
    Anthropic refuses this edit where the model does not think."""
    turns = [user("hi")]
    thinks = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    for _ in range(answers):
        way = Translation(M, Destination(api=source, model="m", origin="another"), id="id", created=0)
        way.expect(members(data({"messages": turns, **thinks})), wants_usage=True)
        content = json.loads(way.whole(spoken(an_answer(source, rnd, in_order=True)))[0])["content"]
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        turns += [said(*content), user(*[result(one) for one in calls], *([] if calls else [text("And?")]))]
    sent = render(parse(M, data({"messages": turns, **thinks, "context_management": CLEARING})), "claude-sonnet-4-5")
    body = json.loads(sent.body)
    managed = body.pop("context_management")
    assert [fault for fault in faults(M, body) if "thinking" in fault] == []
    assert managed == (CLEARING if body["thinking"]["type"] == "enabled" else None)
