"""What Kilo's clients send and ask, in tests."""

from __future__ import annotations

from typing import Any

import aiohttp

from gateway import Running
from trivium.policy.caller import OrganizationSettings, Policy, Role
from trivium.store.keys import ApiKey
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User

KILO_HEADERS = {
    "User-Agent": "Kilo-Code/7.7.7 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14",
    "X-KILOCODE-EDITORNAME": "Kilo CLI 7.7.7",
    "X-KILOCODE-FEATURE": "cli",
    "x-kilocode-machineid": "d3101ccd-21b7-4f67-86ad-174d04630c99",
    "x-kilocode-mode": "code",
    "x-kilocode-taskid": "ses_deb67530affefZnv729sVif1LG",
    "x-session-id": "ses_deb67530affefZnv729sVif1LG",
}
"""As Kilo Code CLI 7.7.7 sends them with a turn."""


async def get(house: Running, path: str, key: str | None = "", **headers: str) -> tuple[int, Any]:
    """`key=None` sends none. In the names of headers `_` stands for `-`."""
    key = house.key if key == "" else key
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    async with aiohttp.ClientSession() as session, session.get(house.url + path, headers=sent) as response:
        return response.status, await response.json()


async def person(house: Running, id: str = "alice") -> str:
    """The key of a new user."""
    store = house.gateway.store
    email = f"{id}@example.com"
    await store.users.add(User(id=id, name=id.title(), email=email, created_ms=1), "operator")
    return key_of(house, user_id=id, account_id=id)


async def organization(house: Running, id: str = "acme", members: dict[str, Role] | None = None, **policy: Any) -> None:
    settings = OrganizationSettings(policy=Policy(**policy))
    row = OrganizationRow(id=id, name=id.title(), created_ms=1, settings=settings)
    store = house.gateway.store
    await store.organizations.add(row, None, "operator")
    for user_id, role in (members or {}).items():
        await store.organizations.set_member(id, user_id, role, "operator")


def key_of(house: Running, **owner: Any) -> str:
    made: tuple[ApiKey, str] = house.gateway.store.keys.create("k", **owner)
    return made[1]
