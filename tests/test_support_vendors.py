"""The judge of request bodies, judged: it takes what the vendors took, and each of its rules can fire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support_vendors import RULES, STRICT, faults
from support_vendors_examples import (
    BROKEN,
    CALLED,
    LOOSE,
    MISSHAPEN,
    SCHEMA,
    SOUND,
    Broken,
    assistant,
    chat,
    flat,
    gave,
    messages,
    responses,
    user,
    without,
)
from support_vendors_messages import system_is_apart
from support_vendors_values import Body, Rule, closed
from trivium.canon.api import Api

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
OWNERS = {Api.CHAT: "openai", Api.RESPONSES: "openai", Api.MESSAGES: "anthropic"}
BETA = {
    "anthropic-claude-sonnet-4-5-": "output_format",
    "computer-use-": "tools[0]: nothing of type 'computer_20250124'",
    "test-anthropic-advisor-tool-redacted-": "tools[0]: nothing of type 'advisor_20260301'",
    "test-tool-availability-portability-matrix-r4-t1-tool-addition-": "messages[1].content[0].tool",
}
"""Recordings whose request needs a beta header, and what without it is not permitted."""


def recorded() -> list[Any]:
    folders = [folder for api, owner in OWNERS.items() for folder in (RECORDINGS / api.short / owner).glob("*")]
    taken = [folder for folder in sorted(folders) if (folder / "request.json").exists() and status_of(folder) == 200]
    return [pytest.param(folder, id="/".join(folder.parts[-3:])) for folder in taken]


def status_of(folder: Path) -> int:
    status: int = json.loads((folder / "meta.json").read_text())["status"]
    return status


@pytest.mark.skipif(not RECORDINGS.exists(), reason="no recordings at ../shared/wire")
@pytest.mark.parametrize("folder", recorded())
def test_what_its_vendor_took_is_taken(folder: Path) -> None:
    body = json.loads((folder / "request.json").read_bytes())
    found = faults(Api.parse(folder.parts[-3]), body, strict=False, system_turns=True)
    beta = [part for name, part in BETA.items() if folder.name.startswith(name)]
    assert (found == []) == (beta == []), found
    assert all(any(part in fault for fault in found) for part in beta)


def rules_of(api: Api) -> dict[str, Rule]:
    apart = (system_is_apart,) if api is Api.MESSAGES else ()
    return {rule.__name__: rule for rule in (*RULES[api], *STRICT[api], *apart)}


def each(examples: dict[Api, Broken]) -> list[Any]:
    return [pytest.param(api, *example, id=f"{api.short}-{example[0]}") for api in Api for example in examples[api]]


@pytest.mark.parametrize(("api", "body"), [(api, body) for api in Api for body in SOUND[api]])
def test_a_sound_body_is_taken(api: Api, body: Body) -> None:
    assert faults(api, body) == []


@pytest.mark.parametrize(("api", "rule", "body"), each(BROKEN))
def test_a_body_that_breaks_a_rule_is_refused(api: Api, rule: str, body: Body) -> None:
    broken = list(rules_of(api)[rule](body))
    assert broken
    assert set(broken) <= set(faults(api, body))


@pytest.mark.parametrize(("api", "fault", "body"), each(MISSHAPEN))
def test_a_body_of_the_wrong_shape_is_refused(api: Api, fault: str, body: Body) -> None:
    assert any(found.startswith(fault) for found in faults(api, body)), faults(api, body)


@pytest.mark.parametrize("api", list(Api))
def test_every_rule_has_an_example_that_breaks_it(api: Api) -> None:
    assert set(rules_of(api)) == {name for name, _ in BROKEN[api]}


def test_system_turns_are_for_models_that_take_them() -> None:
    assert faults(Api.MESSAGES, messages(*CALLED, {"role": "system", "content": "b"}), system_turns=True) == []


def test_the_vendor_asks_less_than_we_do() -> None:
    assert faults(Api.MESSAGES, messages(user("a"), user("b")), strict=False) == []
    assert faults(Api.CHAT, chat(user("a"), assistant("")), strict=False) == []
    kept = {"previous_response_id": "resp_1", "tools": [without(flat(), "strict")]}
    assert faults(Api.RESPONSES, without(responses(gave(), **kept), "store"), strict=False) == []


def test_a_schema_is_searched_at_every_depth() -> None:
    deep = SCHEMA | {"properties": {"q": {"anyOf": [{"type": "array", "items": LOOSE}, {"type": ["object", "null"]}]}}}
    found = list(closed(deep | {"$defs": {"d": LOOSE}}, "s", every_property_required=True))
    assert {fault.rpartition(".")[0] for fault in found if "additionalProperties" in fault} == {
        "s.properties.q.anyOf[0].items",
        "s.properties.q.anyOf[1]",
        "s.$defs.d",
    }
    assert "s.$defs.d.required: misses q" in found
