"""What operations there are, for faces in other processes: their arguments as JSON Schema, and who may perform them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from trivium.operations.table import Actor, Arguments, Needs, Op, Table


class Described(msgspec.Struct, frozen=True, kw_only=True):
    needs: Needs
    changes: bool
    arguments: dict[str, Any]
    """JSON Schema, with definitions under `$defs`."""


def describing(table: Mapping[str, Op]) -> Table:
    """The operation that describes those of a table."""

    async def describe(_: Arguments, __: Actor) -> dict[str, Described]:
        told = {}
        for name, op in table.items():
            told[name] = _described(op)
            await asyncio.sleep(0)  # a tenth of a second in all, in which calls go on
        return told

    result, needs = dict[str, Described], Needs(everybody=True)
    return {"operations.describe": Op(arguments=Arguments, result=result, act=describe, needs=needs)}


def _described(op: Op) -> Described:
    return Described(needs=op.needs, changes=op.changes, arguments=msgspec.json.schema(op.arguments))
