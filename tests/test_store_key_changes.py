"""Keys that are made, set, rotated and revoked, and what callers with them find; with their lines in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_clock import Standing
from support_store import Home, rows
from trivium import ids
from trivium.errors import Conflict, NotFound, OperationError
from trivium.operations.bootstrap import bootstrap_key
from trivium.policy.caller import Caller, Limits, Role, Scopes
from trivium.policy.spending import Budget
from trivium.store.changes import Page
from trivium.store.keys import ApiKey
from trivium.store.organizations import OrganizationRow, Project
from trivium.store.store import Store
from trivium.store.users import User
from trivium.store.whose import EVERYBODY, Whose

OVERLAP = 1_000


@pytest.fixture
def clock() -> Standing:
    return Standing(1_000_000)


@pytest.fixture
async def store(store: Store) -> Store:
    """`ann` owns `acme`, and `bob` sees its bills; `blue` has nobody."""
    for id in ("ann", "bob"):
        await store.users.add(User(id=id, name=id, created_ms=1), "op")
    for id, owner in (("acme", "ann"), ("blue", None)):
        await store.organizations.add(OrganizationRow(id=id, name=id, created_ms=1), owner, "op")
        await store.organizations.add_project(Project(id=f"{id}-p", organization_id=id, name="p", created_ms=1), "op")
    await store.organizations.set_member("acme", "bob", Role.BILLING, "op")
    return store


async def made(store: Store, budget: Budget | None = None, **what: Any) -> tuple[ApiKey, str]:
    text = ids.new_api_key()
    return await store.key_changes.create(text, budget, "op", **{"name": "k"} | what), text


def log(store: Store, id: str) -> list[tuple[str, str | None]]:
    statement = "SELECT action, organization_id FROM changes WHERE target = ? ORDER BY seq"
    return [(row[0], row[1]) for row in rows(store.database, statement, id)]


class TestCreate:
    async def test_a_users_own_is_paid_from_the_users_account(self, store: Store) -> None:
        key, text = await made(store, user_id="ann")
        assert key.account_id == "ann"
        caller = await store.keys.find(text)
        assert caller
        assert (caller.account_id, caller.organization, caller.role) == ("ann", None, None)

    async def test_an_organizations_belongs_to_it_or_to_a_member(self, store: Store) -> None:
        for user in ("ann", None):
            key, text = await made(store, account_id="acme", user_id=user)
            caller = await store.keys.find(text)
            assert caller
            assert caller.organization
            assert (caller.organization.id, caller.user_id) == ("acme", user)
            assert log(store, key.id) == [("keys.create", "acme")]

    @pytest.mark.parametrize(
        ("what", "words"),
        [
            ({"account_id": "blue", "user_id": "ann"}, "'ann' is no member of 'blue'"),
            ({"account_id": "acme", "user_id": "nobody"}, "no user 'nobody'; `trivium users create"),
            ({"user_id": "nobody"}, "no user 'nobody'; `trivium users create"),
            ({"account_id": "acme", "user_id": "bob"}, "for billing, who may spend nothing"),
            ({"account_id": "nowhere"}, "no account 'nowhere'"),
            ({"account_id": "acme", "project_id": "blue-p"}, "'acme' has no project 'blue-p'"),
            ({"account_id": "acme", "project_id": "word"}, "'acme' has no project 'word'"),
        ],
    )
    async def test_what_does_not_belong_together_is_refused(
        self, store: Store, what: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(OperationError, match=words):
            await made(store, **what)
        assert rows(store.database, "SELECT 1 FROM keys") == []

    async def test_its_budget_is_set_with_it(self, store: Store) -> None:
        budget = Budget(id="bud_1", scope="", period="day", limit_nano=5, created_ms=1)
        key, _ = await made(store, budget, account_id="acme")
        assert rows(store.database, "SELECT scope, limit_nano FROM budgets") == [(f"key:{key.id}", 5)]
        assert log(store, "bud_1") == [("budgets.set", "acme")]

    async def test_no_text_of_a_key_is_in_the_log(self, store: Store) -> None:
        _, text = await made(store, account_id="acme")
        assert text not in repr(rows(store.database, "SELECT * FROM changes"))


class TestSet:
    async def test_what_is_said_changes_and_callers_hear_of_it_at_once(self, store: Store) -> None:
        key, text = await made(store, account_id="acme", user_id="ann", name="laptop")
        assert await store.keys.find(text)
        said: dict[str, Any] = {
            "limits": Limits(requests_per_minute=3),
            "scopes": Scopes(models=("m",)),
            "project_id": "acme-p",
        }
        changed = await store.key_changes.set("laptop", EVERYBODY, None, "op", **said)
        assert await store.key_changes.get(key.id, EVERYBODY) == changed
        caller = await store.keys.find(text)
        assert caller
        assert (caller.limits, caller.scopes, caller.project_id) == (said["limits"], said["scopes"], "acme-p")
        assert await store.key_changes.set(key.id, EVERYBODY, None, "op", **said) == changed
        assert log(store, key.id) == [("keys.create", "acme"), ("keys.set", "acme")]
        with pytest.raises(NotFound, match="no project"):
            await store.key_changes.set(key.id, EVERYBODY, None, "op", project_id="blue-p")

    async def test_what_is_refused_in_part_is_not_done_in_part(self, store: Store) -> None:
        budget = Budget(id="bud_1", scope="", period="day", limit_nano=5, created_ms=1)
        key, _ = await made(store, budget, account_id="acme", name="before")
        more = msgspec.structs.replace(budget, id="bud_2", limit_nano=6)
        with pytest.raises(OperationError, match="it can be lowered"):
            await store.key_changes.set(key.id, EVERYBODY, more, "ann", house=False, name="after")
        assert (await store.key_changes.get(key.id, EVERYBODY)).name == "before"
        assert log(store, key.id) == [("keys.create", "acme")]


class TestWhose:
    async def test_nobody_gets_at_the_keys_of_others(self, store: Store) -> None:
        key, text = await made(store, account_id="acme", user_id="ann", name="laptop")
        for whose in (Whose(organization="blue"), Whose(user="bob"), Whose(organization="acme", user="bob")):
            for wanted in (key.id, "laptop"):
                for act in (
                    store.key_changes.get(wanted, whose),
                    store.key_changes.set(wanted, whose, None, "op", name="x"),
                    store.key_changes.rotate(wanted, whose, ids.new_api_key(), 0, "op"),
                    store.key_changes.revoke(wanted, whose, "op"),
                ):
                    with pytest.raises(NotFound, match="No live key has"):
                        await act
            assert await store.key_changes.page(Page(), whose) == []
        for whose in (EVERYBODY, Whose(organization="acme"), Whose(user="ann"), Whose(organization="acme", user="ann")):
            assert await store.key_changes.page(Page(), whose) == [key]
        assert await store.keys.find(text)


class TestRevoke:
    async def test_a_name_will_do_where_one_live_key_has_it(self, store: Store) -> None:
        (first, _), (second, text) = await made(store, name="laptop"), await made(store, name="laptop")
        with pytest.raises(Conflict, match="2 live keys have the id or name 'laptop'"):
            await store.key_changes.revoke("laptop", EVERYBODY, "op")
        await store.key_changes.revoke(first.id, EVERYBODY, "op")
        assert (await store.key_changes.revoke("laptop", EVERYBODY, "op")).id == second.id
        assert await store.keys.find(text) is None
        for gone in ("laptop", first.id, "nobody", ""):
            with pytest.raises(NotFound, match="No live key has"):
                await store.key_changes.revoke(gone, EVERYBODY, "op")
        assert log(store, first.id) == [("keys.create", None), ("keys.revoke", None)]

    async def test_an_id_means_its_key_even_where_another_is_named_so(self, store: Store) -> None:
        key, _ = await made(store, name="laptop")
        await made(store, name=key.id)
        assert (await store.key_changes.get(key.id, EVERYBODY)).name == "laptop"
        assert (await store.key_changes.revoke(key.id, EVERYBODY, "op")).name == "laptop"

    async def test_another_gateway_hears_of_it_within_a_second(
        self, home: Home, store: Store, tmp_path: Path, clock: Standing
    ) -> None:
        if home.dialect == "sqlite":
            pytest.skip("one process owns the file")
        other = Store(tmp_path, clock, home.url)
        _, text = await made(store, name="laptop")
        assert await other.keys.find(text)
        await store.key_changes.revoke("laptop", EVERYBODY, "op")
        assert await store.keys.find(text) is None
        assert await other.keys.find(text)
        clock.ms += 1_001
        assert await other.keys.find(text) is None
        await other.close()


class TestRotate:
    async def test_the_old_text_stays_good_for_a_while_and_both_are_one_key(
        self, store: Store, clock: Standing
    ) -> None:
        key, old = await made(store, account_id="acme", limits=Limits(requests_per_minute=3))
        new = ids.new_api_key()
        rotated = await store.key_changes.rotate(key.id, EVERYBODY, new, OVERLAP, "op")
        assert (rotated.id, rotated.hint) == (key.id, new[-4:])
        found = [await store.keys.find(text) for text in (old, new)]
        assert [(one.id, one.limits) for one in found if one] == [(key.id, key.limits)] * 2
        clock.ms += OVERLAP
        assert [await store.keys.find(text) is None for text in (old, new)] == [True, False]
        store.keys.forget()
        assert [await store.keys.find(text) is None for text in (old, new)] == [True, False]
        assert log(store, key.id) == [("keys.create", "acme"), ("keys.rotate", "acme")]

    async def test_of_many_texts_the_last_two_are_good(self, store: Store) -> None:
        key, first = await made(store)
        texts = [first]
        for _ in range(3):
            texts.append(ids.new_api_key())
            await store.key_changes.rotate(key.id, EVERYBODY, texts[-1], OVERLAP, "op")
        assert [await store.keys.find(text) is not None for text in texts] == [False, False, True, True]
        assert all(store.keys.is_known(text) for text in texts)

    async def test_without_an_overlap_the_old_text_ends_at_once(self, store: Store) -> None:
        key, old = await made(store)
        assert await store.keys.find(old)
        await store.key_changes.rotate(key.id, EVERYBODY, ids.new_api_key(), 0, "op")
        assert await store.keys.find(old) is None

    async def test_a_revoked_key_has_no_good_text(self, store: Store) -> None:
        key, old = await made(store)
        new = ids.new_api_key()
        await store.key_changes.rotate(key.id, EVERYBODY, new, OVERLAP, "op")
        await store.key_changes.revoke(key.id, EVERYBODY, "op")
        assert [await store.keys.find(text) for text in (old, new)] == [None, None]

    async def test_a_start_does_not_revive_a_key_file_whose_text_was_replaced(
        self, store: Store, tmp_path: Path
    ) -> None:
        text = await bootstrap_key(tmp_path, store.keys)
        assert text
        for _ in range(2):
            await store.key_changes.rotate("bootstrap", EVERYBODY, ids.new_api_key(), 0, "op")
        assert await bootstrap_key(tmp_path, store.keys) is None
        assert await store.keys.find(text) is None

    async def test_an_expiry_holds_for_both_texts(self, store: Store, clock: Standing) -> None:
        key, old = await made(store, expires_ms=clock.ms + 10)
        new = ids.new_api_key()
        await store.key_changes.rotate(key.id, EVERYBODY, new, OVERLAP, "op")
        clock.ms += 10
        assert [await store.keys.find(text) for text in (old, new)] == [None, None]


async def test_when_a_key_was_last_used_is_written_in_batches(store: Store, clock: Standing) -> None:
    (used, text), (unused, _) = await made(store), await made(store)
    for _ in range(3):
        clock.ms += 1
        await store.keys.find(text)
    assert (await store.key_changes.get(used.id, EVERYBODY)).last_used_ms is None
    await store.note_uses()
    assert (await store.key_changes.get(used.id, EVERYBODY)).last_used_ms == clock.ms
    assert (await store.key_changes.get(unused.id, EVERYBODY)).last_used_ms is None
    # What an older process knows does not set it back.
    with store.database.transaction() as tx:
        tx.execute("UPDATE keys SET last_used_ms = ? WHERE id = ?", (clock.ms + 9, used.id))
    await store.keys.find(text)
    await store.note_uses()
    assert (await store.key_changes.get(used.id, EVERYBODY)).last_used_ms == clock.ms + 9


class TestActingFor:
    async def test_a_user_acts_for_organizations_by_the_role_there(self, store: Store) -> None:
        caller = await store.keys.find((await made(store, user_id="ann", project_id="word"))[1])
        assert caller
        acting = await store.keys.acting_for(caller, "acme")
        assert acting
        assert acting.organization
        assert (acting.organization.id, acting.account_id, acting.role) == ("acme", "acme", Role.OWNER)
        assert acting.project_id is None
        for other in ("blue", "nowhere", "", "\0"):
            assert await store.keys.acting_for(caller, other) is None

    async def test_names_that_are_none_take_no_memory(self, store: Store) -> None:
        caller = await store.keys.find((await made(store, user_id="ann"))[1])
        assert caller
        before = len(store.keys._cache)
        for n in range(50):
            assert await store.keys.acting_for(caller, f"made-up-{n}") is None
        assert len(store.keys._cache) == before

    async def test_what_another_gateway_changes_counts_by_the_look_up_of_the_key(
        self, store: Store, home: Home, tmp_path: Path, clock: Standing
    ) -> None:
        """Not by the later one of the organization."""
        if home.url is None:
            return  # a file has one owner
        key, text = await made(store, user_id="ann")
        other = Store(tmp_path, clock, home.url)

        async def acting() -> Caller:
            caller = await other.keys.find(text)
            assert caller
            found = await other.keys.acting_for(caller, "acme")
            assert found
            return found

        caller = await other.keys.find(text)
        assert caller
        clock.ms += 400
        assert not (await acting()).blocked
        await store.users.block(["ann"], "spam", "op")
        await store.key_changes.set(key.id, EVERYBODY, None, "op", scopes=Scopes(models=("m",)))
        clock.ms += 101
        now = await acting()
        assert (now.blocked, now.scopes.models) == (True, ("m",))
        await other.close()

    async def test_a_member_in_use_costs_no_look_up(self, store: Store) -> None:
        caller = await store.keys.find((await made(store, user_id="ann"))[1])
        assert caller
        found = await store.keys.acting_for(caller, "acme")
        with pytest.raises(StopIteration) as ended:
            store.keys.acting_for(caller, "acme").send(None)
        assert ended.value.value is found
