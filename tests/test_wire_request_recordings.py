"""Recorded requests of many clients, where they lie beside the project: each goes to the two other APIs, for unknown
upstreams and for the vendors' own models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support_requests import C, M, R, without
from support_vendors import faults
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.errors import FieldInvalid, InvalidJson, Untranslatable
from trivium.operations.translate import translate_request
from trivium.wire.request import Rendered

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
REQUESTS = sorted(path for api in Api for path in (RECORDINGS / api.short).glob("*/*/request.json"))
OWNERS = {(C, "openai"), (R, "openai"), (M, "anthropic")}
UPSTREAMS = {
    C: (("openai-compatible", "some-model"), ("openai", "gpt-5.1"), ("openai", "gpt-4o")),
    R: (("openai-compatible", "some-model"), ("openai", "gpt-5.1"), ("openai", "gpt-4o")),
    M: (
        ("openai-compatible", "some-model"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-7"),
        ("anthropic", "claude-3-5-haiku-latest"),
    ),
}
BEYOND = ("top_k",)
"""What unknown Chat upstreams are sent beyond the API."""
CANNOT_BE_SAID = (
    "gives one answer at a time",
    "names a file that lies with another provider",
    "a file by its URL",
    "a file of type",
    "audio",
)
"""Why a recorded request does not cross: several answers, files that only their provider has, and sound."""

pytestmark = pytest.mark.skipif(not REQUESTS, reason="no recordings at ../shared/wire")
each = pytest.mark.parametrize("path", REQUESTS, ids=lambda path: "/".join(path.parts[-4:-1]))


def api_of(path: Path) -> Api:
    return Api.parse(path.parts[-4])


def ways(path: Path) -> list[tuple[Api, str, str]]:
    return [(to, provider, model) for to in Api if to is not api_of(path) for provider, model in UPSTREAMS[to]]


def sent(path: Path, to: Api, provider: str, model: str) -> Rendered | None:
    """None where it cannot be said, for one of the known reasons."""
    try:
        return translate_request(path.read_bytes(), api_of(path), to, model=model, provider=provider)
    except (FieldInvalid, InvalidJson, Untranslatable) as error:
        assert error.param
        assert any(why in error.message for why in CANNOT_BE_SAID), error.message
        return None


@each
def test_a_recorded_request_crosses(path: Path) -> None:
    for to, provider, model in ways(path):
        rendered = sent(path, to, provider, model)
        if rendered is None:
            continue
        body = json.loads(rendered.body)
        assert body["model"] == model
        assert all(loss.field and loss.why for loss in rendered.losses)
        if was_taken(path):
            assert faults(to, without(body, BEYOND)) == [], (to, provider, model)


@each
def test_what_is_said_in_it_arrives(path: Path) -> None:
    asked = json.loads(path.read_bytes())
    for to, provider, model in ways(path):
        rendered = sent(path, to, provider, model)
        if rendered is not None and was_taken(path):
            told = rendered.body.decode()
            assert [said for said in spoken(asked) if json.dumps(said, ensure_ascii=False)[1:-1] not in told] == []


def was_taken(path: Path) -> bool:
    """By the owner of the API, who judged it."""
    status = json.loads((path.parent / "meta.json").read_bytes())["status"]
    return status == 200 and (api_of(path), path.parts[-3]) in OWNERS


def spoken(said: Any) -> list[str]:
    """The texts in a conversation, in any API's words; not those of reasoning, which goes home to its origin alone."""
    if isinstance(said, list):
        return [text for one in said for text in spoken(one)]
    if not isinstance(said, dict) or said.get("type") == "reasoning":
        return []
    own = [said["text"]] if isinstance(said.get("text"), str) and said["text"].strip() else []
    inside: Body = {key: said[key] for key in ("messages", "input", "content", "system") if key in said}
    return own + [text for one in inside.values() for text in spoken(one)]
