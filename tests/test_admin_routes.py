"""Routes by path."""

from __future__ import annotations

import msgspec
import pytest

from support_admin import administered
from support_stripe import SETTINGS as PAYMENTS
from trivium.admin.arguments import is_many
from trivium.admin.routes import Routes
from trivium.admin.row import PREFIX, Route
from trivium.admin.table import ROWS
from trivium.errors import FieldInvalid

SETTINGS = PAYMENTS.replace("{stripe}", "http://127.0.0.1:9")
HTTP_HAS_NOT = {"backup", "retention", "retention.erase", "ledger.verify", "prices.rerate", "reconcile"} | {
    *("sessions.link", "sessions.open_by_link", "sessions.open_by_password", "sessions.open_by_identity"),
    *("sessions.list", "sessions.end", "sessions.leave", "sessions.person", "sessions.renew", "passwords.set"),
    *("dashboard.settings", "operations.describe"),
}

ONLY_ASKS = {"explain", "catalog.refresh", "config.reload", "alerts.test", "alerts.channels.test"}
"""Though it is posted: a question as long as a request, or something that is read again or tried. The store is not
changed."""


LISTS = ("by", "only", "without")


def lists_of(route: Route) -> list[str]:
    """What a query of the route may have more than once, by what its JSON Schema says."""
    found = []
    for name, field in route.in_query.items():
        schema = msgspec.json.schema(field.type)
        if "array" in [one.get("type") for one in (schema, *schema.get("anyOf", ()))]:
            assert is_many(field.type), (route.row.path, name)
            found.append(name)
    return found


async def test_every_operation_has_a_route_or_a_reason_to_have_none() -> None:
    async with administered(SETTINGS) as house:
        operations = house.house.gateway.operations.table
        routes = Routes(operations)
        assert set(operations) - {row.operation for row in ROWS} == HTTP_HAS_NOT
        assert len(routes.all) == len(ROWS)
        for route in routes.all:
            named = set(route.in_path)
            assert named <= set(route.op.arguments.__struct_fields__), route.row
            asks = route.row.method == "GET" or route.row.operation in ONLY_ASKS
            assert route.op.changes != asks, route.row
        assert len({(row.method, row.path) for row in ROWS}) == len(ROWS)

        lists = {(route.row.operation, name) for route in routes.all for name in lists_of(route)}
        assert lists == {(name, list) for name in ("usage.report", "usage.csv", "usage") for list in LISTS}

        there, values = routes.at(f"{PREFIX}/organizations/a%20b/members/%C3%A9")
        assert (sorted(there), values) == (["DELETE", "PUT"], ("a b", "\u00e9"))
        there, values = routes.at(f"{PREFIX}/prices/history")
        assert (list(there), values) == (["GET"], ())
        for path in ("", "/", "/users/", "/users//keys", "/nowhere", "/users/a/b/c/d"):
            assert routes.at(PREFIX + path) == ({}, ())
        assert routes.at("/admin/v2/users") == ({}, ())
        for path in ("/users/%ff", "/users/%00"):
            with pytest.raises(FieldInvalid):
                routes.at(PREFIX + path)
