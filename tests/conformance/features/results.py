"""Conversations with calls and results that clients send: whole ones, and what is left of cut ones."""

from __future__ import annotations

from typing import Any

from conformance.feature import APIS, C, Feature, Like, M, R, Some
from conformance.features.words import HI, MORE, Call, Json, Three, tool, tools, turns
from trivium.canon.api import Api

_DATA = "iVBORw0KGgo="
_URI = f"data:image/png;base64,{_DATA}"
_ONE, _TWO = Call(), Call("call_2")
_BROKEN = Call(arguments='{"city": "Kö')
_FOREIGN = Call("functions.look:0")
_FITTING = Call(Like("^[0-9a-f]{64}$"))

Result = tuple[Json, Json, Json]


def _conversation(calls: list[Call], results: list[Result], *apis: Api) -> Three:
    """A question, calls, their results; in these APIs, or in all."""
    called: Three = {
        C: [{"role": "assistant", "content": None, "tool_calls": [call.chat for call in calls]}] if calls else [],
        R: [call.item for call in calls],
        M: [{"role": "assistant", "content": [call.block for call in calls]}] if calls else [],
    }
    answered: Three = {
        C: [chat for chat, _, _ in results] or [MORE],
        R: [item for _, item, _ in results] or [MORE],
        M: [{"role": "user", "content": [block for _, _, block in results]}] if results else [MORE],
    }
    said = turns(*([HI, *called[api], *answered[api]] for api in APIS))
    return {api: {**tools(tool())[api], **said[api]} for api in apis or APIS}


def _received(call: Call, *chat: Any, items: list[Any], blocks: list[Any], **block: Any) -> Three:
    """Behind the question an upstream receives the call, and then this; `block` is laid over the call's block."""
    return turns(
        [..., {"role": "assistant", "tool_calls": [call.chat]}, *chat],
        [..., call.item, *items],
        [..., {"role": "assistant", "content": [{**call.block, **block}]}, {"role": "user", "content": blocks}],
    )


def _result(call: Call, said: Any, **block: Any) -> Three:
    """The call and its result, as an upstream receives them."""
    chat, item, used = call.result(said)
    return _received(call, chat, items=[item], blocks=[{**used, **block}])


_ITEM_PARTS = [{"type": "input_text", "text": "A map."}, {"type": "input_image", "image_url": _URI}]
_BLOCKS = [
    {"type": "text", "text": "A map."},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _DATA}},
]
_MAP: Result = ({}, _ONE.result(_ITEM_PARTS)[1], _ONE.result(_BLOCKS)[2])
_INTERRUPTED = _ONE.result(Like("interrupted"))
_LATE = Call("call_9").result("late")
_ORPHAN = "Result of the tool call call_9"

RESULTS = [
    Feature(
        name="results with images",
        asks=_conversation([_ONE], [_MAP], R, M),
        told=_received(
            _ONE,
            _ONE.result("A map.")[0],
            {"role": "user", "content": Some({"type": "image_url", "image_url": {"url": _URI}})},
            items=[_MAP[1]],
            blocks=[_MAP[2]],
        ),
    ),
    Feature(
        name="results that are errors (`is_error`), in words where there is no other word",
        asks=_conversation([_ONE], [_ONE.result("no such city", is_error=True)], M),
        told={api: _result(_ONE, "The tool failed: no such city")[api] for api in (C, R)},
    ),
    Feature(
        name="results in another order than the calls",
        asks=_conversation([_ONE, _TWO], [_TWO.result("two"), _ONE.result("one")]),
        told=turns(
            [..., ..., _ONE.result("one")[0], _TWO.result("two")[0]],
            [..., _ONE.item, _TWO.item, _ONE.result("one")[1], _TWO.result("two")[1]],
            [..., ..., {"content": [_ONE.result("one")[2], _TWO.result("two")[2]]}],
        ),
    ),
    Feature(
        name="ids of calls that the upstream would not take (`functions.look:0`)",
        asks=_conversation([_FOREIGN], [_FOREIGN.result("sunny")]),
        told=_result(_FOREIGN, "sunny") | {M: _result(_FITTING, "sunny")[M]},
    ),
    Feature(
        name="missing results",
        asks=_conversation([_ONE], []),
        told=_received(
            _ONE,
            _INTERRUPTED[0],
            MORE,
            items=[_INTERRUPTED[1], {"role": "user"}],
            blocks=[{**_INTERRUPTED[2], "is_error": True}, {"text": "Go on."}],
        ),
    ),
    Feature(
        name="results of calls that are not there",
        asks=_conversation([], [_LATE]),
        told=turns(
            Some({"role": "user", "content": Like(f"{_ORPHAN}.*late")}),
            Some({"role": "user", "content": [{"text": Like(_ORPHAN)}, {"text": "late"}]}),
            [{"role": "user", "content": [{"text": "hi"}, {"text": Like(_ORPHAN)}, {"text": "late"}]}],
        ),
    ),
    Feature(
        name="arguments that are no JSON",
        asks=_conversation([_BROKEN], [_BROKEN.result("what?")], C, R),
        told=_received(
            _BROKEN,
            _BROKEN.result("what?")[0],
            items=[_BROKEN.result("what?")[1]],
            blocks=[_BROKEN.result("what?")[2]],
            input={"unreadable_arguments": '{"city": "Kö'},
        ),
    ),
]
