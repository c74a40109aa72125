"""Ids of calls as vendors take them, the same in a call and its result; the rest stays the bytes it is."""

from __future__ import annotations

import hashlib
import re

import pytest

from trivium.canon.api import Api
from trivium.wire import body as json_body
from trivium.wire.draft import CONVERSATION, Draft
from trivium.wire.losses import Losses
from trivium.wire.toolids import fit_ids
from trivium.wire.toolnames import nine_letters, plain_id

ODD = "functions.add:0"
DIGEST = hashlib.sha256(ODD.encode()).hexdigest().encode()
SAID = {
    Api.CHAT: b'[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"ID","n": 1.0}]}'
    b',{"role":"tool","tool_call_id":"ID","content":"r"}]',
    Api.RESPONSES: b'[{"role":"user","content":"q"},{"type":"function_call","call_id":"ID"}'
    b',{"type":"function_call_output","call_id" : "ID"},{"type":"computer_call","call_id":"a.b"}]',
    Api.MESSAGES: b'[{"role":"assistant","content":[{"type":"tool_use","id":"ID","input":{"n": 1.0}}]}'
    b',{"role":"user","content":[{"type":"tool_result","tool_use_id":"ID"},{"type":"text","text":"tool_use_id\\":"}]}]',
}


def fitted(api: Api, id: str) -> tuple[bytes, bytes]:
    """The conversation before and after."""
    before = SAID[api].replace(b"ID", id.encode())
    draft = Draft(api, json_body.members(b'{"%b":%b}' % (CONVERSATION[api].encode(), before)), Losses())
    fit_ids(draft, plain_id)
    assert not draft.losses.told()
    return before, draft.raw(CONVERSATION[api])


@pytest.mark.parametrize("api", list(Api))
def test_an_id_that_does_not_fit_is_another_wherever_it_stands(api: Api) -> None:
    before, after = fitted(api, ODD)
    assert after.count(DIGEST) == 2
    assert ODD.encode() not in after
    assert re.sub(rb"\s", b"", after) == re.sub(rb"\s", b"", before).replace(ODD.encode(), DIGEST).replace(
        b"1.0", b"1.0"
    )


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("id", ["call_1", "toolu_01-A"])
def test_one_that_fits_stays(api: Api, id: str) -> None:
    before, after = fitted(api, id)
    assert after is before or after == before


def test_one_that_is_written_with_escapes_is_read() -> None:
    _, after = fitted(Api.CHAT, "a\\u002eb")
    assert after.count(hashlib.sha256(b"a.b").hexdigest().encode()) == 2


def test_mistral_wants_nine_letters() -> None:
    assert nine_letters("abcDEF123") == "abcDEF123"
    assert nine_letters("call_1234") == hashlib.sha256(b"call_1234").hexdigest()[:9]
