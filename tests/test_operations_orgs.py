"""What is done about organizations, members and projects; who may is in `test_operations_people.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support_desk import Desk
from trivium.clock import SystemClock
from trivium.errors import OperationError
from trivium.operations.table import Actor
from trivium.policy.caller import Role
from trivium.store.store import Store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(tmp_path, SystemClock())
    yield Desk(store)
    await store.close()


async def test_an_organization_from_its_beginning(desk: Desk) -> None:
    await desk("users.create", name="Ann", id="ann")
    made = await desk("orgs.create", name=" Acme ", owner="ann", settings={"policy": {"zdr": True}})
    id = made["id"]
    assert id.startswith("org_")
    assert (made["name"], made["version"], made["settings"]["policy"]["zdr"]) == ("Acme", 1, True)
    assert await desk("orgs.show", organization=id) == made
    assert (await desk("orgs.rename", organization=id, name="Acme Ltd"))["name"] == "Acme Ltd"
    assert [row["id"] for row in await desk.items("orgs.list")] == [id]
    assert [row["role"] for row in await desk.items("members.list", organization=id)] == ["owner"]
    project = await desk("projects.create", organization=id, name="P")
    assert await desk.items("projects.list", organization=id) == [project]
    assert await desk("projects.remove", organization=id, project=project["id"]) == {"id": project["id"]}
    assert await desk.refusal("members.remove", organization=id, user="ann") == "conflict"
    assert [action for _, action, _ in await desk.log()] == [
        *("users.create", "orgs.create", "orgs.rename", "projects.create", "projects.remove")
    ]


async def test_settings_are_replaced_whole_by_their_version(desk: Desk) -> None:
    await desk("orgs.create", name="Acme", id="acme")
    before = await desk("orgs.settings.show", organization="acme")
    denied = {"policy": {"models_deny": ["m"]}}
    changed = await desk("orgs.settings.set", organization="acme", settings=denied, version=1)
    assert (before["version"], changed["version"]) == (1, 2)
    assert changed["settings"]["policy"]["models_deny"] == ("m",)
    assert await desk.refusal("orgs.settings.set", organization="acme", settings={}, version=1) == "changed_meanwhile"
    assert (await desk("orgs.settings.set", organization="acme", settings={}))["settings"] == before["settings"]


async def test_whichever_version_there_is_means_so_while_others_change_them(desk: Desk) -> None:
    await desk("orgs.create", name="Acme", id="acme", settings={"limits": {"requests_per_minute": 5}})
    owner = Actor(id="adm_1", user_id="ann", roles={"acme": Role.OWNER})
    lists = [{"policy": {"models_deny": [f"m{n}"]}, "limits": {"requests_per_minute": 5}} for n in range(8)]
    done = await asyncio.gather(*(desk("orgs.settings.set", owner, organization="acme", settings=one) for one in lists))
    assert sorted(told["version"] for told in done) == list(range(2, 10))
    raised = {"limits": {"requests_per_minute": 6}}
    assert await desk.refusal("orgs.settings.set", owner, organization="acme", settings=raised) == "operation_failed"


async def test_a_projects_budgets_end_with_it_and_meet_no_later_one(desk: Desk) -> None:
    await desk("orgs.create", name="Acme", id="acme")
    for period in ("day", "total"):
        await desk("projects.create", organization="acme", name="Web", id="web")
        budget = await desk("budgets.set", scope="project:acme/web", period=period, usd="1")
        await desk("projects.remove", organization="acme", project="web")
        assert await desk.items("budgets.list") == []
        assert ("operator", "budgets.remove", budget["id"]) in await desk.log()


async def test_a_project_with_a_budget_of_the_house_is_the_houses_to_remove(desk: Desk) -> None:
    acme = await desk.organization("acme")
    of_acme: dict[str, Any] = {"organization": "acme"}
    web: dict[str, Any] = {**of_acme, "project": "web"}
    await desk("projects.create", acme["owner"], **of_acme, name="Web", id="web")
    await desk("keys.create", acme["owner"], **web, name="k")
    budget: dict[str, Any] = {"scope": "project:acme/web", "period": "day"}
    made = await desk("budgets.set", **budget, usd="1")
    await desk("budgets.set", acme["owner"], **of_acme, **budget, usd="0.5")  # lower, and still the house's
    for role in ("owner", "admin"):
        assert await desk.refusal("projects.remove", acme[role], **web) == "conflict"
    assert [row["scope"] for row in await desk.items("budgets.list")] == ["project:acme/web"]
    assert [key["project_id"] for key in await desk.items("keys.list")] == ["web"]
    await desk("budgets.remove", budget=made["id"])
    await desk("budgets.set", acme["owner"], **of_acme, **budget, usd="0.5")
    assert await desk("projects.remove", acme["admin"], **web) == {"id": "web"}
    await desk("projects.create", acme["owner"], **of_acme, name="Web", id="web")
    await desk("budgets.set", **budget, usd="1")
    assert await desk("projects.remove", **web) == {"id": "web"}


@pytest.mark.parametrize("operation", ["users.create", "orgs.create"])
async def test_nobody_is_made_whose_account_is_there_already(desk: Desk, operation: str) -> None:
    await desk("accounts.create", name="x", id="default")
    assert await desk.refusal(operation, name="Mine", id="default") == "conflict"
    assert [row["name"] for row in await desk.items("accounts.list")] == ["x"]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("orgs.create", {"name": ""}),
        ("orgs.create", {"name": "x", "id": "a/b"}),
        ("orgs.create", {"name": "x", "owner": "nobody"}),
        ("orgs.create", {"name": "x", "settings": {"policy": {"data_collection": "maybe"}}}),
        ("orgs.settings.set", {"organization": "acme", "settings": {"policy": {"models_allow": [""]}}}),
        ("orgs.settings.set", {"organization": "acme", "settings": {"budget": 1}}),
        ("orgs.show", {"organization": "blue"}),
        ("members.set", {"organization": "acme", "user": "nobody", "role": "member"}),
        ("members.set", {"organization": "acme", "user": "ann", "role": "god"}),
        ("projects.create", {"organization": "blue", "name": "x"}),
        ("projects.remove", {"organization": "acme", "project": "x"}),
    ],
)
async def test_what_is_none_is_refused(desk: Desk, operation: str, arguments: dict[str, Any]) -> None:
    await desk("orgs.create", name="Acme", id="acme")
    await desk("users.create", name="ann", id="ann")
    with pytest.raises(OperationError):
        await desk(operation, **arguments)
