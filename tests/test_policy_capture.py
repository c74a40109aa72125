"""Whoever forbids that bodies are kept wins."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.policy.caller import Caller, Organization, OrganizationSettings, Policy
from trivium.policy.capture import NO_END, may_capture

NOW = 1_000


def caller(until_ms: int = NO_END, **settings: Any) -> Caller:
    organization = Organization(id="acme", name="", settings=OrganizationSettings(**settings)) if settings else None
    return Caller(id="key_1", captured_until_ms=until_ms, organization=organization)


def test_a_key_that_is_switched_on_is_captured_until_its_end() -> None:
    assert may_capture(caller(), {}, {}, NOW)
    assert may_capture(caller(NOW + 1), {}, {}, NOW)
    assert not may_capture(caller(NOW), {}, {}, NOW)
    assert not may_capture(caller(0), {}, {}, NOW)


@pytest.mark.parametrize(
    "settings", [{"forbid_capture": True}, {"policy": Policy(zdr=True)}, {"policy": Policy(data_collection="deny")}]
)
def test_an_organization_forbids_it(settings: dict[str, Any]) -> None:
    assert not may_capture(caller(**settings), {}, {}, NOW)
    assert may_capture(caller(forbid_capture=False), {}, {}, NOW)


def test_the_call_itself_forbids_it() -> None:
    assert not may_capture(caller(), {b"cache-control": b"max-age=0, No-Store"}, {}, NOW)
    assert not may_capture(caller(), {}, {"data_collection": "deny"}, NOW)
    assert not may_capture(caller(), {}, {"zdr": True}, NOW)
    assert may_capture(caller(), {b"cache-control": b"no-cache"}, {"data_collection": "allow", "zdr": False}, NOW)
