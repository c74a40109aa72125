"""Callers with limits, for tests through a whole gateway."""

from __future__ import annotations

import json
from typing import Any

from gateway import Running
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Limits

CHAT = "/v1/chat/completions"


def key(gateway: Running, **limits: int) -> str:
    """A key with limits of its own."""
    return gateway.gateway.store.keys.create("limited", limits=Limits(**limits))[1]


def rule(gateway: Running, **settings: Any) -> None:
    """What the house says of limits."""
    gateway.gateway.deps.house = HouseSettings(**settings)


def message(body: Any) -> str:
    told: str = (body if isinstance(body, dict) else json.loads(body))["error"]["message"]
    return told
