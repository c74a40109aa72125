"""What keys, users, projects and organizations are called, for reports that know them by their ids."""

from __future__ import annotations

from collections.abc import Collection

from trivium.store.sql import Database, marks

_MOST = 500
_TABLES = {name: f"{name}s" for name in ("key", "user", "organization", "account", "project")}


def names_of(database: Database, what: str, ids: Collection[str | None], organization: str | None) -> dict[str, str]:
    """Names by ids, of those that have one; projects only of an organization, as others have some of the same id.
    Blocks; raises StoreUnavailable."""
    table = _TABLES.get(what)
    if table is None or not ids or (what == "project" and organization is None):
        return {}
    found: dict[str, str] = {}
    wanted = sorted(id for id in ids if id)
    within, values = (" AND organization_id = ?", [organization]) if what == "project" else ("", [])
    for at in range(0, len(wanted), _MOST):
        some = wanted[at : at + _MOST]
        statement = f"SELECT id, name FROM {table} WHERE id IN ({marks(some)}){within}"
        found.update(database.query(statement, [*some, *values])[1])
    return found
