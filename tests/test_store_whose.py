"""Whose rows an answer tells of, by conditions of statements, beside the same said in Python."""

from __future__ import annotations

import pytest

from support_store import rows
from trivium.store.sql import Database
from trivium.store.whose import EVERYBODY, Whose, calls, keys, scopes

KEYS = {
    "k1": ("acme", "ann"),
    "k2": ("acme", None),
    "k3": ("blue", "ann"),
    "k4": ("ann", "ann"),
    "k5": (None, None),
    "k6": ("a_me", "bob"),
}
"""By id: the account that pays, and the user."""
SCOPES = [
    *("account:acme", "account:a_me", "account:ann", "user:ann", "user:bob", "member:acme/ann", "member:acme/bob"),
    *("member:a_me/ann", "member:acme2/ann", "project:acme/p1", "project:a_me/p2", "project:acme2/p1", "project:p1"),
    *(f"key:{key}" for key in KEYS),
]
ASKED = [
    EVERYBODY,
    Whose(organization="acme"),
    Whose(organization="a_me"),
    Whose(user="ann"),
    Whose(organization="acme", user="ann"),
    Whose(organization="blue", user="bob"),
    Whose(organization="' OR 1 = 1 --"),
]


@pytest.fixture
def filled(database: Database) -> Database:
    key = "INSERT INTO keys (id, hash, account_id, user_id, name, hint, created_ms) VALUES (?, ?, ?, ?, '', '', 1)"
    organization = "INSERT INTO organizations (id, name, created_ms) VALUES (?, '', 1)"
    with database.transaction() as tx:
        tx.executemany(key, [(id, id.encode(), *owner) for id, owner in KEYS.items()])
        tx.executemany(organization, [("acme",), ("a_me",), ("blue",)])
    return database


@pytest.mark.parametrize("whose", ASKED)
def test_keys_are_the_organizations_and_the_users(filled: Database, whose: Whose) -> None:
    where, values = keys(whose)
    found = {id for (id,) in rows(filled, f"SELECT id FROM keys WHERE {where}", *values)}
    assert found == {
        id
        for id, (account, user) in KEYS.items()
        if whose.organization in {None, account} and whose.user in {None, user}
    }


@pytest.mark.parametrize("whose", ASKED)
def test_calls_are_those_for_it_else_those_that_it_paid_or_that_its_keys_made(filled: Database, whose: Whose) -> None:
    nobody = ("", None)
    made = [
        (key, paid, by)
        for key in [*KEYS, "tok_ann"]
        for paid in ("acme", "blue", *nobody)
        for by in ("acme", "a_me", *nobody)
    ]
    call = "SELECT CAST(? AS TEXT) AS key_id, CAST(? AS TEXT) AS account_id, CAST(? AS TEXT) AS organization_id"
    table = " UNION ALL ".join(call for _ in made)
    where, values = calls(whose, f"tok_{whose.user}")
    said = [value for call in made for value in call]
    found = rows(
        filled, f"SELECT key_id, account_id, organization_id FROM ({table}) AS c WHERE {where}", *said, *values
    )

    def is_theirs(key: str, account: str | None, organization: str | None) -> bool:
        payer, user = KEYS.get(key, (None, "ann"))
        return whose.organization in {None, organization or account or payer} and whose.user in {None, user}

    assert sorted(map(str, found)) == sorted(str(call) for call in made if is_theirs(*call))


@pytest.mark.parametrize(
    ("whose", "theirs"),
    [
        (EVERYBODY, SCOPES),
        (
            Whose(organization="acme"),
            ["account:acme", "member:acme/ann", "member:acme/bob", "project:acme/p1", "key:k1", "key:k2"],
        ),
        (Whose(organization="a_me"), ["account:a_me", "member:a_me/ann", "project:a_me/p2", "key:k6"]),
        (Whose(user="ann"), ["account:ann", "user:ann", "key:k4"]),
        (Whose(organization="acme", user="ann"), ["member:acme/ann", "key:k1"]),
        (Whose(organization="' OR 1 = 1 --"), []),
    ],
)
def test_budgets_are_by_what_their_scope_is(filled: Database, whose: Whose, theirs: list[str]) -> None:
    table = " UNION ALL ".join("SELECT CAST(? AS TEXT) AS scope" for _ in SCOPES)
    where, values = scopes(whose)
    found = rows(filled, f"SELECT scope FROM ({table}) AS s WHERE {where}", *SCOPES, *values)
    assert sorted(scope for (scope,) in found) == sorted(theirs)


def test_users_and_organizations_have_the_account_of_their_id() -> None:
    assert [whose.account for whose in ASKED[:5]] == [None, "acme", "a_me", "ann", "acme"]
