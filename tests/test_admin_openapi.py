"""The description of the admin API: complete, and true of what is answered.

schemathesis makes requests of it, good and bad ones, and holds each answer against what is described.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_admin import Operator, administered
from support_admin_world import World
from trivium.admin.openapi import ERRORS
from trivium.admin.row import PREFIX
from trivium.errors import OperationError, RequestError, TriviumError
from trivium.store.store import Store

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method"),
    *("allow_header_conformance", "ignored_auth", "use_after_free"),
)
"""Not among them is that whatever fits the types is accepted: that there is no such user is no matter of types."""


async def described(house: Operator) -> dict[str, Any]:
    told = await house.as_(None)("GET", "/openapi.json")
    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    document: dict[str, Any] = told.body
    return document


async def test_anybody_may_read_it_and_every_route_is_there() -> None:
    async with administered() as house:
        document = await described(house)
        face = house.house.gateway.admin
        assert face is not None
        described_routes = {
            (method.upper(), path) for path, methods in document["paths"].items() for method in methods
        } - {("GET", f"{PREFIX}/openapi.json")}
        assert described_routes == {(route.row.method, PREFIX + route.row.path) for route in face.routes.all}
        head = await house.as_(None)("HEAD", "/openapi.json")
        assert (head.status, head.raw) == (200, b"")
        assert (await house("POST", "/openapi.json", {})).status == 405
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_reference_leads_somewhere() -> None:
    async with administered() as house:
        document = await described(house)
    references = set(re.findall(rb'"\$ref":"#/([^"]+)"', msgspec.json.encode(document)))
    assert len(references) > 50
    for reference in references:
        found: Any = document
        for step in reference.decode().split("/"):
            found = found[step]


async def test_readers_that_want_a_schema_for_items_find_no_false_one() -> None:
    async with administered() as house:
        content = msgspec.json.encode(await described(house))
    assert b'"prefixItems"' in content
    assert b'"items":false' not in content


def test_whatever_error_an_operation_can_end_with_is_described() -> None:
    def statuses(kind: type[TriviumError]) -> set[int]:
        return {kind.status}.union(*map(statuses, kind.__subclasses__()))

    # Of requests to models alone: 402, 426; 405 is an answer to what is not described.
    assert (statuses(OperationError) | statuses(RequestError)) - {402, 405, 426} <= set(ERRORS)


LEFT_OUT = ("/openapi.json", "/alerts/test", "/alerts/channels/{channel}/test")
"""No message goes to servers that chance has named."""


@pytest.mark.parametrize(("who", "phases", "examples"), [("house", "coverage,fuzzing", 4), ("owner", "fuzzing", 3)])
async def test_answers_are_as_described(who: str, phases: str, examples: int, tmp_path: Path) -> None:
    async with administered() as house:
        world = World(house)
        await world.build()
        before = await changes(world.store)
        (tmp_path / "schemathesis.toml").write_text(
            f"""
            base-url = "{house.house.url}"
            headers = {{ Authorization = "Bearer {world.callers[who].credential}" }}
            [parameters]
            "path.organization" = "acme"
            "path.account" = "acme"
            [checks.missing_required_header]
            expected-statuses = [428]
            """
        )
        told = await run(
            tmp_path,
            *("run", f"{house.house.url}{PREFIX}/openapi.json", "--checks", ",".join(CHECKS), "--seed", "1"),
            *("--phases", phases, "--max-examples", str(examples)),
            *(word for path in LEFT_OUT for word in ("--exclude-path", PREFIX + path)),
            *("--no-color", "--continue-on-failure", "--warnings", "off"),
        )
        made = await changes(world.store) - before
    assert "No issues found" in told, told[-8_000:]
    assert int(re.findall(r"(\d+) generated", told)[-1]) > 60 * examples
    assert made >= 5


async def changes(store: Store) -> int:
    """How many have been made."""
    ((count,),) = await store.database.ask("SELECT count(*) FROM changes")
    return int(count)


async def run(folder: Path, *words: str) -> str:
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        program, *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        return (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
