"""Whether the bodies of a call may be kept. Pure.

Whoever forbids it wins: the organization for which a call is made, its policy on data, or the call itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from trivium.policy.caller import Caller, OrganizationSettings

NO_END = 2**62
"""Of a key that is captured until it is switched off."""


def may_capture(caller: Caller, headers: Mapping[bytes, bytes], wishes: Mapping[str, object], now_ms: int) -> bool:
    """`wishes` are the call's preferences among providers, its member `provider`."""
    if caller.captured_until_ms <= now_ms:
        return False
    if b"no-store" in headers.get(b"cache-control", b"").lower():
        return False
    if wishes.get("data_collection") == "deny" or wishes.get("zdr") is True:
        return False
    return caller.organization is None or not forbids(caller.organization.settings)


def forbids(settings: OrganizationSettings) -> bool:
    """Whether an organization lets nobody keep bodies of its calls."""
    return settings.forbid_capture or settings.policy.zdr or settings.policy.data_collection == "deny"
