"""Accounts, credits and budgets as an operator handles them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_clock import Standing
from support_store import DIALECTS, Home
from trivium.clock import DAY_MS
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.metering.start import Start
from trivium.money import nano_text
from trivium.operations.money import MoneyOperations, nano
from trivium.operations.table import OPERATOR
from trivium.policy.spending import Refusal
from trivium.store.accounts import Accounts
from trivium.store.ledger import Ledger

NOW = 1_795_600_000_000  # 2026-11-25T09:46:40Z
NO_AMOUNTS = (
    *("NaN", "Infinity", "1e3", "1,5", "0x1", "1.0000000001", "--1", "$1"),
    *("", " 1", "1 ", "1\n", "\u0661", "1" * 13),
)
BOTH = pytest.mark.parametrize("dialect", DIALECTS)
"""Where it matters which database it is."""


class Desk:
    """An operator's desk."""

    def __init__(self, home: Home) -> None:
        self.clock = Standing(NOW)
        database = home.open()
        self.ledger = Ledger(database, self.clock, "run_1")
        with database.transaction() as tx:
            tx.execute("INSERT INTO keys (id, hash, name, hint, created_ms) VALUES ('key_1', ?, 'k', '', 1)", (b"h",))
        self._table = MoneyOperations(Accounts(database, self.ledger, self.clock), self.clock).table
        self._calls = 0

    async def __call__(self, operation: str, **arguments: Any) -> Any:
        op = self._table[operation]
        told = msgspec.to_builtins(await op.act(msgspec.convert(arguments, op.arguments), OPERATOR))
        return told.get("items", told)

    async def refusal(self, operation: str, **arguments: Any) -> str:
        with pytest.raises(OperationError) as refused:
            await self(operation, **arguments)
        return refused.value.message

    async def balance(self, account: str = "acme") -> str:
        (found,) = await self("accounts.list", account=account)
        balance: str = found["balance_usd"]
        return balance

    async def entries(self) -> list[tuple[str, str]]:
        return [(entry["kind"], entry["usd"]) for entry in reversed(await self("credits.entries", account="acme"))]

    async def begun(self, hold: int) -> str:
        """A call of the account in progress."""
        id = await self.start(hold)
        assert isinstance(id, str)
        return id

    async def start(self, hold: int) -> str | Refusal:
        self._calls += 1
        start = Start(
            payer="house",
            id=f"req_{self._calls}",
            time_ms=self.clock.ms,
            api="chat",
            key_id="key_1",
            account_id="acme",
            scopes=("key:key_1",),
            hold_nano=hold,
            requested_model="m",
            provider="up",
            upstream_model="m",
            price_version=None,
        )
        return await self.ledger.start(start) or start.id

    async def charged(self, amount: int) -> str:
        """A call that has ended."""
        id = await self.begun(amount)
        self.end(id, amount)
        await self.ledger.writer.flush()
        return id

    def end(self, id: str, amount: int) -> None:
        self.ledger.end(
            Record(
                id=id,
                time_ms=self.clock.ms,
                api="chat",
                operation="generate",
                outcome="success",
                status=200,
                account_id="acme",
                payer="house",
                cost_nano=amount,
                cost_source="computed",
                hold_nano=amount,
            )
        )


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
async def desk(home: Home) -> AsyncIterator[Desk]:
    made = Desk(home)
    await made("accounts.create", name="Acme Ltd.", id="acme")
    yield made
    await made.ledger.writer.close()


class TestAccounts:
    async def test_an_account_begins_with_nothing(self, desk: Desk) -> None:
        made = await desk("accounts.create", name=" Jo ", kind="user")
        assert made["id"].startswith("acct_")
        assert {**made, "id": ""} == {
            "id": "", "kind": "user", "name": "Jo", "created_ms": NOW,
            "balance_usd": "0", "held_usd": "0", "free_usd": "0",
        }  # fmt: skip
        assert {account["id"] for account in await desk("accounts.list")} == {"acme", made["id"]}

    async def test_an_id_is_of_one_account(self, desk: Desk) -> None:
        assert await desk.refusal("accounts.create", name="Another", id="acme") == "There is an account 'acme'."
        assert [account["name"] for account in await desk("accounts.list")] == ["Acme Ltd."]

    async def test_a_name_must_be_one(self, desk: Desk) -> None:
        for name in ("", "  ", "x" * 101, "a\nb"):
            assert "1 to 100 printable" in await desk.refusal("accounts.create", name=name)

    async def test_and_an_id_too_which_has_to_fit_into_the_scope_of_a_budget(self, desk: Desk) -> None:
        for id in ("", "a/b", "key:1", "ä", "x" * 101, "-x", "a b"):
            assert "letters, digits" in await desk.refusal("accounts.create", name="x", id=id)

    async def test_what_calls_hold_is_there_and_not_free(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="1")
        await desk.begun(250_000_000)
        (found,) = await desk("accounts.list", account="acme")
        assert (found["balance_usd"], found["held_usd"], found["free_usd"]) == ("1", "0.25", "0.75")


class TestCredits:
    @BOTH
    async def test_they_add_up_and_every_change_is_an_entry(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="0.5", note="welcome")
        await desk("credits.top_up", account="acme", usd="12.50")
        made = await desk("credits.adjust", account="acme", usd="-3.2")
        assert (made["made"], made["account"]["balance_usd"]) == (True, "9.8")
        assert await desk.entries() == [("grant", "0.5"), ("top_up", "12.5"), ("adjustment", "-3.2")]

    @BOTH
    async def test_no_more_is_taken_than_is_free_unless_that_is_meant(self, desk: Desk) -> None:
        await desk("credits.top_up", account="acme", usd="1")
        await desk.begun(250_000_000)
        said = await desk.refusal("credits.adjust", account="acme", usd="-0.8")
        assert "acme has 0.75 USD free" in said
        assert await desk.balance() == "1"
        await desk("credits.adjust", account="acme", usd="-0.7", idempotency_key="a")
        await desk("credits.adjust", account="acme", usd="-0.7", idempotency_key="a")
        await desk("credits.adjust", account="acme", usd="-0.8", overdraw=True)
        assert await desk.balance() == "-0.5"
        flags = [entry["flags"] for entry in await desk("credits.entries", account="acme")]
        assert flags == ["overrun", "", ""]

    @BOTH
    async def test_calls_and_an_adjustment_at_the_same_moment_never_take_the_same_credits(self, desk: Desk) -> None:
        await desk("credits.top_up", account="acme", usd="1")
        taking = asyncio.create_task(desk("credits.adjust", account="acme", usd="-0.5"))
        while not taking.done():
            held = await desk.start(100_000_000)
            if isinstance(held, Refusal):
                break
        results = await asyncio.gather(taking, return_exceptions=True)
        (found,) = await desk("accounts.list", account="acme")
        assert not found["free_usd"].startswith("-"), results

    async def test_what_is_refused_takes_nothing_from_calls_meanwhile(self, desk: Desk) -> None:
        await desk("credits.top_up", account="acme", usd="1")
        cases: list[tuple[str, dict[str, str]]] = [("-50", {}), ("-0.5", {"idempotency_key": "again"})]
        for usd, more in cases:
            if more:
                await desk("credits.adjust", account="acme", usd=usd, **more)
            taking = asyncio.create_task(desk("credits.adjust", account="acme", usd=usd, **more))
            while not taking.done():
                desk.end(await desk.begun(300_000_000), 0)
            await asyncio.gather(taking, return_exceptions=True)

    async def test_credits_that_have_expired_are_not_there_to_be_taken(self, desk: Desk) -> None:
        await desk("credits.top_up", account="acme", usd="1")
        await desk("credits.grant", account="acme", usd="5", expires="2026-12-31")
        desk.clock.ms = 1_798_761_600_000  # 2027-01-01
        (told,) = await desk("accounts.list", account="acme")
        assert (told["balance_usd"], told["free_usd"]) == ("6", "1")  # without a gateway nobody ends them
        assert "acme has 1 USD free" in await desk.refusal("credits.adjust", account="acme", usd="-5.5")

    async def test_the_same_under_the_same_key_is_made_once(self, desk: Desk) -> None:
        first = await desk("credits.top_up", account="acme", usd="5", idempotency_key="invoice 7")
        again = await desk("credits.top_up", account="acme", usd="5.00", idempotency_key="invoice 7")
        assert (first["made"], again["made"], again["account"]["balance_usd"]) == (True, False, "5")

    @pytest.mark.parametrize("key", ["charge:req_1", "expiry:k:5", "refund:req_1:1", "rerate:req_1:1"])
    async def test_the_ledgers_own_keys_are_not_to_be_had(self, desk: Desk, key: str) -> None:
        with pytest.raises(OperationError, match="own"):
            await desk("credits.grant", account="acme", usd="5", idempotency_key=key)

    @BOTH
    async def test_twice_at_the_same_moment_too(self, desk: Desk) -> None:
        once = {"account": "acme", "usd": "5", "idempotency_key": "k"}
        made = await asyncio.gather(*(desk("credits.top_up", **once) for _ in range(8)))
        assert sorted(answer["made"] for answer in made) == [False] * 7 + [True]
        assert await desk.balance() == "5"

    @pytest.mark.parametrize("other", [{"usd": "6"}, {"account": "other"}])
    async def test_something_else_under_the_same_key_is_refused(self, desk: Desk, other: dict[str, str]) -> None:
        await desk("accounts.create", name="x", id="other")
        first = {"account": "acme", "usd": "5", "idempotency_key": "k"}
        await desk("credits.top_up", **first)
        assert "was used for another entry" in await desk.refusal("credits.top_up", **{**first, **other})
        assert "was used for another entry" in await desk.refusal("credits.grant", **first)
        assert (await desk.balance(), await desk.balance("other")) == ("5", "0")

    async def test_without_a_key_one_is_made_up(self, desk: Desk) -> None:
        keys = {(await desk("credits.top_up", account="acme", usd="1"))["idempotency_key"] for _ in range(3)}
        assert (len(keys), await desk.balance()) == (3, "3")

    async def test_what_is_no_amount_is_refused(self, desk: Desk) -> None:
        for usd in NO_AMOUNTS:
            for operation in ("credits.top_up", "credits.adjust", "credits.grant"):
                assert "is no amount in USD" in await desk.refusal(operation, account="acme", usd=usd)
            assert "is no amount in USD" in await desk.refusal("budgets.set", scope="user:u", period="day", usd=usd)
            assert await desk.entries() == []

    async def test_only_an_adjustment_takes_away(self, desk: Desk) -> None:
        for usd in ("0", "-1", "-0.000000001", "-0"):
            for operation in ("credits.top_up", "credits.grant"):
                assert "more than 0 USD" in await desk.refusal(operation, account="acme", usd=usd)

    async def test_an_amount_beyond_all_reason_or_of_nothing_is_refused(self, desk: Desk) -> None:
        for usd in ("100000000.000000001", "-999999999999", "0"):
            assert "between 0.000000001 and 100000000 USD" in await desk.refusal(
                "credits.adjust", account="acme", usd=usd
            )

    async def test_an_account_that_is_not_there_gets_none(self, desk: Desk) -> None:
        assert "There is no account 'nobody'" in await desk.refusal("credits.top_up", account="nobody", usd="1")

    async def test_a_key_has_a_length_and_an_empty_one_is_not_taken_for_none(self, desk: Desk) -> None:
        for key in ("", "x" * 401):
            told = {"account": "acme", "usd": "1", "idempotency_key": key}
            assert "1 to 400 characters" in await desk.refusal("credits.top_up", **told)


class TestExpiry:
    @pytest.mark.parametrize(
        ("said", "expires"),
        [
            ("2026-11-26", "2026-11-26T23:59:59"),
            ("2026-11-26T12:00Z", "2026-11-26T12:00:00"),
            ("2026-11-26T12:00+02:00", "2026-11-26T10:00:00"),
            ("2026-11-26T12:00", "2026-11-26T12:00:00"),
        ],
    )
    async def test_a_day_means_its_end_and_a_moment_itself_in_utc(self, desk: Desk, said: str, expires: str) -> None:
        await desk("credits.grant", account="acme", usd="1", expires=said)
        (entry,) = await desk("credits.entries", account="acme")
        assert datetime.fromtimestamp(entry["expires_ms"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") == expires

    async def test_credits_that_are_over_before_they_begin_are_refused(self, desk: Desk) -> None:
        for said in ("2026-11-24", "2026-11-25T09:46:40Z"):
            assert "would have expired" in await desk.refusal("credits.grant", account="acme", usd="1", expires=said)

    async def test_what_is_no_date_is_refused(self, desk: Desk) -> None:
        for said in ("soon", "2026-13-01", "2026-11-26T25:00"):
            assert "is no date" in await desk.refusal("credits.grant", account="acme", usd="1", expires=said)

    async def test_only_what_was_given_expires(self, desk: Desk) -> None:
        for operation in ("credits.top_up", "credits.adjust"):
            said = await desk.refusal(operation, account="acme", usd="1", expires="2027-01-01")
            assert said == "Only granted credits expire."

    @BOTH
    async def test_what_expires_first_is_used_first(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="1", expires="2026-12-31")
        await desk("credits.grant", account="acme", usd="1", expires="2026-11-30")
        await desk("credits.top_up", account="acme", usd="1")
        await desk.charged(1_500_000_000)
        desk.clock.ms += 10 * DAY_MS
        await desk.ledger.expire("acme")
        assert await desk.balance() == "1.5"
        desk.clock.ms += 30 * DAY_MS
        await desk.ledger.expire("acme")
        assert await desk.entries() == [
            ("grant", "1"), ("grant", "1"), ("top_up", "1"), ("charge", "-1.5"), ("expiry", "-0.5"),
        ]  # fmt: skip


class TestRefunds:
    async def test_a_charge_is_given_back_in_parts_and_never_more_than_it_was(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="1")
        id = await desk.charged(400_000_000)
        told = {"made": True, "account": "acme", "usd": "0.1", "request": id}
        assert await desk("credits.refund", request=id, usd="0.1") == told
        assert "between 0 and 0.3 USD" in await desk.refusal("credits.refund", request=id, usd="0.300000001")
        assert (await desk("credits.refund", request=id))["usd"] == "0.3"
        assert "nothing to refund" in await desk.refusal("credits.refund", request=id)
        assert await desk.balance() == "1"
        kinds = [kind for kind, _ in await desk.entries()]
        assert kinds == ["grant", "charge", "refund", "refund"]

    @BOTH
    async def test_many_at_once_give_it_back_once(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="1")
        id = await desk.charged(400_000_000)
        done = await asyncio.gather(*(desk("credits.refund", request=id) for _ in range(6)), return_exceptions=True)
        assert [isinstance(one, OperationError) for one in done].count(False) == 1
        assert await desk.balance() == "1"

    @BOTH
    async def test_the_same_under_the_same_key_is_given_back_once(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="1")
        id, other = await desk.charged(400_000_000), await desk.charged(100_000_000)
        for key in ("1", "2"):  # as the ledger counts those without one
            asked = [desk("credits.refund", request=id, usd="0.1", idempotency_key=key) for _ in range(3)]
            assert [done["made"] for done in await asyncio.gather(*asked)] == [True, False, False]
            refused = await desk.refusal("credits.refund", request=id, usd="0.2", idempotency_key=key)
            assert "was used for another entry" in refused
        await desk("credits.refund", request=id, usd="0.1")
        for made in (True, False):  # whatever is left, which is nothing when it is asked again
            for request, left in ((id, "0.1"), (other, "0.1")):
                told = {"made": made, "account": "acme", "usd": left, "request": request}
                assert await desk("credits.refund", request=request, idempotency_key="all of it" * 44) == told
        assert await desk.balance() == "1"
        for key in ("", "k" * 401):
            assert "1 to 400" in await desk.refusal("credits.refund", request=id, idempotency_key=key)

    async def test_nothing_and_less_cannot_be_given_back(self, desk: Desk) -> None:
        for usd in ("0", "-0.1"):
            await desk("credits.grant", account="acme", usd="1")
            id = await desk.charged(400_000_000)
            assert "can be refunded" in await desk.refusal("credits.refund", request=id, usd=usd)

    async def test_what_was_not_charged_is_not_refunded(self, desk: Desk) -> None:
        assert await desk.refusal("credits.refund", request="req_9") == "There is no request 'req_9'."
        await desk("credits.grant", account="acme", usd="1")
        id = await desk.charged(0)
        assert f"nothing to refund of request {id!r}" in await desk.refusal("credits.refund", request=id)

    async def test_what_is_given_back_can_be_spent_at_once(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="0.4")
        id = await desk.charged(400_000_000)
        await desk("credits.refund", request=id)
        await desk.begun(400_000_000)


class TestEntries:
    @pytest.mark.parametrize("limit", [0, 201])
    async def test_a_list_has_a_length(self, desk: Desk, limit: int) -> None:
        with pytest.raises(msgspec.ValidationError, match="limit"):
            await desk("credits.entries", limit=limit)

    async def test_a_list_comes_in_parts(self, desk: Desk) -> None:
        account = (await desk("accounts.create", name="Ann"))["id"]
        for usd in ("1", "2", "3"):
            await desk("credits.top_up", account=account, usd=usd)
        first = await desk("credits.entries", limit=2)
        assert [entry["usd"] for entry in first] == ["3", "2"]
        (last,) = await desk("credits.entries", limit=2, after=str(first[-1]["seq"]))
        assert last["usd"] == "1"

    async def test_the_newest_come_first_and_of_all_accounts_if_none_is_named(self, desk: Desk) -> None:
        await desk("accounts.create", name="x", id="other")
        for account, usd in (("acme", "1"), ("other", "2"), ("acme", "3")):
            await desk("credits.top_up", account=account, usd=usd)
        assert [entry["usd"] for entry in await desk("credits.entries", limit=2)] == ["3", "2"]
        assert [entry["usd"] for entry in await desk("credits.entries", account="other")] == ["2"]

    @pytest.mark.parametrize("operation", ["accounts.list", "credits.entries"])
    async def test_no_account_is_an_organizations_and_a_users(self, desk: Desk, operation: str) -> None:
        with pytest.raises(OperationError, match="name one of the two"):
            await desk(operation, organization="acme", user="ann")


class TestBudgets:
    async def test_one_is_set_listed_replaced_and_removed(self, desk: Desk) -> None:
        await desk("budgets.set", scope="key:key_1", period="day", usd="1")
        monthly = await desk("budgets.set", scope="key:key_1", period="month", usd="20")
        daily = await desk("budgets.set", scope="key:key_1", period="day", usd="2.5")
        listed = [(row["id"], row["usd"]) for row in await desk("budgets.list")]
        assert listed == sorted([(daily["id"], "2.5"), (monthly["id"], "20")])
        await desk("budgets.remove", budget=daily["id"])
        assert [row["id"] for row in await desk("budgets.list")] == [monthly["id"]]
        assert "There is no budget" in await desk.refusal("budgets.remove", budget=daily["id"])

    async def test_one_of_nobody_is_refused(self, desk: Desk) -> None:
        for scope in ("key:k", "account:acmee", "member:acmee/jo"):
            assert "is nobody's calls" in await desk.refusal("budgets.set", scope=scope, period="day", usd="1")
        for scope in ("account:acme", "account:default", "member:acme/jo", "user:jo", "project:p"):
            await desk("budgets.set", scope=scope, period="day", usd="1")

    async def test_of_an_organization_one_is_for_its_members_invited_ones_too(self, home: Home, desk: Desk) -> None:
        with home.open().transaction() as tx:
            tx.execute("INSERT INTO organizations (id, name, settings, created_ms) VALUES ('acme', 'A', '{}', 1)")
            tx.execute("INSERT INTO memberships VALUES ('acme', 'ann', 'member', 1, NULL)")
        for organization in (None, "acme"):
            asked = {"organization": organization, "period": "day", "usd": "1"}
            await desk("budgets.set", scope="member:acme/ann", **asked)
            assert "is nobody's calls" in await desk.refusal("budgets.set", scope="member:acme/jo", **asked)

    @BOTH
    async def test_one_that_is_raised_or_lowered_goes_on_counting(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="5")
        first = await desk("budgets.set", scope="key:key_1", period="month", usd="1")
        await desk.charged(750_000_000)
        open_call = await desk.begun(250_000_000)
        raised = await desk("budgets.set", scope="key:key_1", period="month", usd="1.5")
        (budget,) = await desk("budgets.list")
        assert (budget["usd"], budget["spent_usd"], budget["held_usd"]) == ("1.5", "0.75", "0.25")
        assert first["id"] == raised["id"] == budget["id"]
        await desk.begun(500_000_000)
        assert isinstance(await desk.start(1), Refusal)
        desk.end(open_call, 100_000_000)
        await desk("budgets.set", scope="key:key_1", period="month", usd="0.5")
        assert isinstance(await desk.start(1), Refusal)
        (budget,) = await desk("budgets.list")
        assert (budget["spent_usd"], budget["held_usd"]) == ("0.85", "0.5")

    @BOTH
    async def test_it_shows_what_the_present_period_has_seen(self, desk: Desk) -> None:
        await desk("credits.grant", account="acme", usd="5")
        await desk("budgets.set", scope="key:key_1", period="day", usd="2")
        await desk.charged(500_000_000)
        await desk.begun(250_000_000)
        (budget,) = await desk("budgets.list")
        assert (budget["spent_usd"], budget["held_usd"]) == ("0.5", "0.25")
        desk.clock.ms += DAY_MS
        (budget,) = await desk("budgets.list")
        assert (budget["spent_usd"], budget["held_usd"]) == ("0", "0")

    async def test_a_scope_that_no_call_has_is_refused(self, desk: Desk) -> None:
        for scope in (
            "",
            "key",
            "key:",
            "team:x",
            "key:a/b",
            "member:acme",
            "member:a/b/c",
            "key:a b",
            " key:a",
            "key:a\n",
        ):
            assert "is no scope" in await desk.refusal("budgets.set", scope=scope, period="day", usd="1")

    async def test_a_budget_of_nothing_is_one_and_a_negative_one_is_not(self, desk: Desk) -> None:
        assert (await desk("budgets.set", scope="user:u", period="total", usd="0"))["usd"] == "0"
        assert "not negative" in await desk.refusal("budgets.set", scope="user:u", period="total", usd="-1")

    async def test_a_budget_beyond_all_reason_is_refused(self, desk: Desk) -> None:
        said = await desk.refusal("budgets.set", scope="user:u", period="total", usd="999999999999")
        assert "at most 100000000 USD" in said
        assert await desk("budgets.list") == []
        await desk("budgets.set", scope="user:u", period="total", usd="100000000")


@given(st.integers(-(10**20), 10**20))
def test_an_amount_that_is_shown_can_be_said_again(amount: int) -> None:
    assert nano(nano_text(amount)) == amount
