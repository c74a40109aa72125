"""Single requests, as they are read."""

from __future__ import annotations

import msgspec

from support_records import record
from support_store import keep
from trivium.metering.record import COLUMNS
from trivium.store.reports import request
from trivium.store.sql import Database
from trivium.store.whose import EVERYBODY, Whose


def test_a_row_has_every_field_of_the_record(database: Database) -> None:
    keep(database, [record("r1", cost_nano=3), record("r2")])
    row = request(database, "r1", EVERYBODY)
    assert row is not None
    assert tuple(row) == COLUMNS
    assert tuple(row.values()) == msgspec.structs.astuple(record("r1", cost_nano=3))


def test_whose_it_is_not_is_not_told_that_it_is_there(database: Database) -> None:
    keep(database, [record("r1", organization_id="acme", key_id="token of jo")])
    for whose in (EVERYBODY, Whose(organization="acme"), Whose(user="jo"), Whose(organization="acme", user="jo")):
        assert request(database, "r1", whose, "token of jo") is not None
    for whose in (Whose(organization="blue"), Whose(organization="blue", user="jo")):
        assert request(database, "r1", whose, "token of jo") is None
    assert request(database, "r1", Whose(user="ann"), "token of ann") is None
    assert request(database, "r2", EVERYBODY) is None


def test_questions_are_bound_and_never_spliced_into_the_statement(database: Database) -> None:
    keep(database, [record("a")])
    assert request(database, "' OR 1=1 --", EVERYBODY) is None
    assert request(database, "a", Whose(organization="' OR 1=1 --")) is None
