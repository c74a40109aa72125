"""The auditor believes a story that agrees with itself, and names what does not."""

from __future__ import annotations

import sqlite3

import pytest

from support_audit import (
    CONTENT,
    DAY,
    HOUR,
    USD,
    Story,
    a_story,
    audited,
    findings,
    postgres_database,
    version,
)
from support_store import PostgresServer
from trivium.store.audit import CHECKS

NAMES = [check.name for check in CHECKS]


def unchecked(told: Story) -> list[str]:
    return [what for check in audited(told).checks for what in check.unchecked]


class TestWhatAgrees:
    def test_a_story_of_everything(self) -> None:
        report = audited(a_story())
        assert (report.findings, report.entries, report.records) == (0, 15, 9)
        assert [check.check for check in report.checks if not check.counted] == []

    def test_nothing_at_all(self) -> None:
        assert audited(Story()).findings == 0

    def test_records_that_were_erased(self) -> None:
        story = a_story()
        story.erase(story.now - HOUR)
        assert findings(story) == []
        assert unchecked(story) == [
            "what 2 periods spent on calls whose records are erased",
            "5 rows of hours whose records are erased",
            "1 corrections whose records are erased, or whose markup nobody kept",
        ]

    def test_records_of_before_there_were_starts(self) -> None:
        story = Story()
        story.end(story.start(None, 0), (5, 5), payer=None, cost_nano=0, cost_source=None, market_cost_nano=None)
        del story.rows["starts"][:]
        assert findings(story) == []

    def test_a_call_that_was_given_up_before_it_heard_of_its_hold(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, USD)
        story.end(story.start(ann, USD), outcome="aborted", hold_nano=0, upstream_status=None)
        assert findings(story) == []

    def test_a_charge_behind_the_moment_before_which_calls_were_erased(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, USD)
        long = story.start(ann, USD)
        story.now += 2 * HOUR
        story.end(long, (1, 1))
        story.erase(story.now - HOUR)
        assert not story.rows["records"]
        assert findings(story) == []

    def test_a_price_that_is_written_a_moment_after_a_hold(self) -> None:
        story = Story()
        story.start(None, 0, price_version="pr_new")
        assert findings(story) == []

    def test_a_budget_whose_calls_cost_nothing_may_have_no_row(self) -> None:
        story = Story()
        story.call(None, (5, 5), hold=0, budgets=(story.budget("bgt"),), payer="byok")
        del story.rows["spends"][:]
        assert findings(story) == []

    def test_a_new_price_where_nobody_has_a_balance(self) -> None:
        story = Story()
        story.rerate(story.call(None, (1_000, 0), hold=0, budgets=(story.budget("bgt"),)))
        assert story.rows["spends"][0]["spent_nano"] == 4_000_000
        assert findings(story) == []

    def test_a_refund_of_what_a_new_price_took(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, 5 * USD)
        dearer = story.call(ann, (100_000, 0))
        story.rerate(dearer)
        story.refund(dearer, 400_000_000)
        assert findings(story) == []

    def test_debts_that_an_overrun_left(self) -> None:
        """Two calls share a balance: one takes more than it held, which the other, within its own hold, shows."""
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, 10 * USD)
        one, other = story.start(ann, 5 * USD), story.start(ann, 5 * USD)
        story.end(one, (0, 500_000))
        story.end(other, (0, 300_000))
        assert story.free(ann) == -2 * USD
        assert findings(story) == []

    def test_a_grant_first_covers_debts(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, USD)
        story.call(ann, (0, 200_000))
        story.grant(ann, 5 * USD, lasts=DAY)
        (lot,) = story.rows["lots"]
        assert lot["remaining_nano"] == 3 * USD
        assert findings(story) == []


class TestBelowZero:
    """Accounts of somebody whose ledger admits what it should not."""

    def test_more_than_an_overrun_explains(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, USD)
        story.call(ann, (0, 100_000))
        story.call(ann, (0, 60_000))
        story.call(ann, (0, 1))
        found, after = findings(story)
        assert (found.check, found.where, found.expected, found.found) == (
            "replay",
            "entries 3",
            -USD // 2,
            -1_400_000_000,
        )
        assert (after.where, after.expected, after.found) == ("entries 4", -1_400_000_000, -1_400_015_000)

    def test_an_overrun_that_was_paid_back_explains_nothing(self) -> None:
        story = Story()
        ann = story.account("ann")
        story.top_up(ann, USD)
        story.call(ann, (0, 100_000))
        story.top_up(ann, USD)
        story.call(ann, (0, 40_000))
        (found,) = findings(story)
        assert (found.where, found.expected, found.found) == ("entries 4", 0, -100_000_000)


class TestWhatErasuresLeave:
    @pytest.fixture
    def erased(self) -> sqlite3.Connection:
        """The first two hours are gone; of the third and of the day nothing is."""
        story = Story()
        budget = story.budget("bgt")
        for _ in range(3):
            story.call(None, (1_000, 0), hold=0, budgets=(budget,))
            story.now += HOUR
        story.erase(story.now - HOUR)
        assert findings(story) == []
        return story.stored()

    def test_the_hour_that_begins_where_they_end_is_whole(self, erased: sqlite3.Connection) -> None:
        erased.execute(
            "UPDATE usage_hours SET output_tokens = 9 WHERE hour_ms = (SELECT max(hour_ms) FROM usage_hours)"
        )
        (found,) = findings(erased)
        assert (found.check, found.found) == ("hours", 9)

    def test_a_period_has_not_spent_less_than_what_is_left_of_it(self, erased: sqlite3.Connection) -> None:
        erased.execute("UPDATE spends SET spent_nano = 3000000")
        assert findings(erased) == []
        erased.execute("UPDATE spends SET spent_nano = 2999999")
        (found,) = findings(erased)
        assert (found.check, found.expected, found.found) == ("budgets", 3_000_000, 2_999_999)


ANN, GIFT = "acct_ann", "grant:0"
PAYMENT = f"pay_{0:024}"
PAID = f"payment:{PAYMENT}"
DAMAGE = [
    # amounts
    ("amounts", "UPDATE entries SET amount_nano = 'much' WHERE seq = 3", "entries 3 amount_nano", None, "much"),
    ("amounts", f"UPDATE accounts SET balance_nano = {10**18}", "accounts acct_ann balance_nano", None, 10**18),
    ("amounts", "UPDATE starts SET hold_nano = 0.5 WHERE id = 'req_3'", "starts req_3 hold_nano", None, "0.5"),
    ("amounts", "UPDATE records SET output_tokens = -1 WHERE id = 'req_3'", "records req_3 output_tokens", None, -1),
    ("amounts", "UPDATE records SET requests = NULL WHERE id = 'req_3'", "records req_3 requests", None, None),
    ("amounts", "UPDATE lots SET remaining_nano = -1 WHERE id = 'grant:0'", "lots grant:0 remaining_nano", None, -1),
    ("amounts", "UPDATE budgets SET limit_nano = -1", "budgets bgt_day limit_nano", None, -1),
    ("amounts", "UPDATE spends SET spent_nano = -1", "spends bgt_day 1767225600000 spent_nano", None, -1),
    ("amounts", "UPDATE rerates SET after_nano = -1", "rerates req_4 1 after_nano", None, -1),
    ("amounts", "UPDATE usage_hours SET usage_unknown = -1", "usage_hours 1767229200000 usage_unknown", None, -1),
    ("amounts", "INSERT INTO erasures VALUES (1, 1, 0, -1, 0, 0)", "erasures 1 requests", None, -1),
    # entries
    ("entries", "UPDATE entries SET kind = 'gift' WHERE seq = 3", "entries 3", None, "gift"),
    ("entries", "UPDATE entries SET amount_nano = -amount_nano WHERE seq = 4", "entries 4", "grant", -USD),
    ("entries", "UPDATE entries SET amount_nano = 0 WHERE seq = 5", "entries 5", "charge", 0),
    ("entries", "UPDATE entries SET idempotency_key = 'x' WHERE seq = 5", "entries 5", "charge:req_3", "x"),
    ("entries", "UPDATE entries SET lot = 'grant:1' WHERE seq = 5", "entries 5", "charge", "grant:1"),
    ("entries", "UPDATE entries SET lot = NULL WHERE seq = 13", "entries 13", "expiry", None),
    ("entries", "UPDATE entries SET expires_ms = 7 WHERE seq = 3", "entries 3", None, 7),
    ("entries", "UPDATE entries SET flags = 'late overrun' WHERE seq = 8", "entries 8", None, "late overrun"),
    ("entries", "UPDATE entries SET flags = '' WHERE flags = 'overrun'", "entries 11", USD, USD * 3 // 2),
    ("entries", "UPDATE entries SET flags = 'overrun' WHERE seq = 5", "entries 5", USD, 600_000_000),
    ("entries", "UPDATE entries SET account_id = 'eve' WHERE seq = 8", "entries 8", "eve", None),
    # balances and holds
    ("balances", "UPDATE accounts SET balance_nano = 5 WHERE id = 'acct_bob'", "accounts acct_bob", USD, 5),
    ("balances", "DELETE FROM entries WHERE seq = 8", f"accounts {ANN}", 12 * USD, 13 * USD),
    ("balances", "DELETE FROM accounts WHERE id = 'acct_bob'", "accounts acct_bob", USD, 0),
    ("holds", f"UPDATE accounts SET held_nano = 0 WHERE id = '{ANN}'", f"accounts {ANN}", 2 * USD, 0),
    ("holds", "UPDATE starts SET ended = 1 WHERE id = 'req_10'", f"accounts {ANN}", 0, 2 * USD),
    ("holds", "UPDATE starts SET account_id = 'eve' WHERE id = 'req_3'", "starts req_3", "eve", None),
    # payments
    ("payments", "UPDATE payments SET credited_nano = 5, paid_cents = 1", f"payments {PAYMENT}", 5, 0),
    ("payments", "UPDATE payments SET taken_nano = 7", f"payments {PAYMENT}", 7, 0),
    ("payments", f"UPDATE entries SET idempotency_key = '{PAID}' WHERE seq = 4", f"payments {PAYMENT}", 0, USD),
    ("payments", "UPDATE entries SET idempotency_key = 'payment:x' WHERE seq = 4", "entries 4", "payment:x", None),
    # replay and lots
    ("replay", f"UPDATE lots SET remaining_nano = 1 WHERE id = '{GIFT}'", f"lots {GIFT}", 0, 1),
    ("replay", f"DELETE FROM lots WHERE id = '{GIFT}'", f"lots {GIFT}", 0, None),
    ("replay", f"UPDATE lots SET expires_ms = 1 WHERE id = '{GIFT}'", f"lots {GIFT}", None, 1),
    ("replay", f"UPDATE lots SET seq = 9 WHERE id = '{GIFT}'", f"lots {GIFT}", 1, 9),
    ("replay", f"UPDATE lots SET account_id = 'acct_bob' WHERE id = '{GIFT}'", f"lots {GIFT}", ANN, "acct_bob"),
    ("replay", "UPDATE entries SET lot = 'grant:1' WHERE seq = 13", "entries 13", 0, 897_000_000),
    ("replay", "UPDATE entries SET lot = 'grant:3' WHERE seq = 13", "entries 13", None, "grant:3"),
    ("replay", "UPDATE entries SET time_ms = 1 WHERE seq = 14", "entries 14", None, 1),
    ("replay", "UPDATE entries SET amount_nano = -1000000009 WHERE seq = 14", "entries 14", USD, USD + 9),
    ("replay", "UPDATE entries SET flags = '' WHERE flags = 'overrun'", "entries 11", 0, -USD // 2),
    ("lots", f"UPDATE entries SET kind = 'top_up' WHERE idempotency_key = '{GIFT}'", f"lots {GIFT}", None, "top_up"),
    ("lots", f"UPDATE lots SET id = 'x' WHERE id = '{GIFT}'", "lots x", "a grant", None),
    ("lots", f"UPDATE lots SET account_id = 'eve' WHERE id = '{GIFT}'", f"lots {GIFT}", "eve", None),
    # charges, refunds, rerates
    ("charges", "UPDATE entries SET request_id = 'req_3' WHERE seq = 7", "request req_3", 1, 2),
    ("charges", "DELETE FROM entries WHERE seq = 5", "records req_3", -600_000_000, None),
    ("charges", "UPDATE records SET cost_nano = 1 WHERE id = 'req_3'", "records req_3", -1, -600_000_000),
    ("charges", "UPDATE records SET account_id = 'acct_bob' WHERE id = 'req_3'", "records req_3", "acct_bob", ANN),
    ("charges", "UPDATE records SET cost_nano = 0 WHERE id = 'req_3'", "records req_3", 0, -600_000_000),
    ("charges", "UPDATE records SET account_id = NULL WHERE id = 'req_3'", "records req_3", 0, -600_000_000),
    ("charges", "DELETE FROM records WHERE id = 'req_3'", "entries 5", "req_3", None),
    ("starts", "DELETE FROM owners", "starts req_", None, "own_1"),
    ("starts", "UPDATE owners SET since = 'req_z'", "starts req_", "req_z", "own_1"),
    ("refunds", "UPDATE entries SET amount_nano = 9000000000 WHERE seq = 8", "request req_4", None, 11 * USD),
    ("refunds", "UPDATE entries SET request_id = 'req_3' WHERE seq = 9", "request req_3", 600_000_000, 2 * USD),
    ("refunds", "UPDATE entries SET account_id = 'acct_bob' WHERE seq = 9", "request req_4", 0, 2 * USD),
    ("refunds", "UPDATE entries SET request_id = NULL WHERE seq = 9", "entries 9", "a request", None),
    ("rerates", "DELETE FROM rerates", "entries 10", None, "rerate:req_4:1"),
    ("rerates", "DELETE FROM entries WHERE seq = 10", "request req_4", 2_500_000_000, 1_500_000_000),
    ("rerates", "UPDATE rerates SET before_nano = after_nano", "rerates req_4", 4_500_000_000, 5_500_000_000),
    ("rerates", "UPDATE rerates SET before_nano = 5", "rerates req_4 1", 4_500_000_000, 5),
    # starts and payers
    ("starts", "UPDATE starts SET ended = 2 WHERE id = 'req_3'", "starts req_3", "0 or 1", 2),
    ("starts", "DELETE FROM records WHERE id = 'req_3'", "starts req_3", "a record", None),
    ("starts", "UPDATE starts SET ended = 0 WHERE id = 'req_3'", "starts req_3", 1, 0),
    ("starts", "UPDATE starts SET hold_nano = 3 WHERE id = 'req_3'", "starts req_3", USD, 3),
    ("starts", "UPDATE starts SET key_id = NULL WHERE id = 'req_3'", "starts req_3", None, None),
    ("starts", "DELETE FROM starts WHERE id = 'req_7'", "records req_7", "a start", None),
    ("starts", "UPDATE records SET hold_nano = 9 WHERE id = 'req_1'", "records req_1", "a start", None),
    ("payers", "UPDATE records SET payer = 'promotion' WHERE id = 'req_3'", "records req_3", 0, 600_000_000),
    ("payers", "UPDATE records SET payer = 'byok_fee' WHERE id = 'req_3'", "records req_3", 0, 600_000_000),
    ("payers", "UPDATE records SET payer = 'eve' WHERE id = 'req_6'", "records req_6", None, "eve"),
    ("payers", "UPDATE records SET cost_source = NULL WHERE id = 'req_3'", "records req_3", None, None),
    # budgets
    ("budgets", "UPDATE spends SET spent_nano = 5 WHERE spent_nano <> 0", "spends bgt_day", 6_100_000_000, 5),
    ("budgets", "UPDATE spends SET held_nano = 5 WHERE held_nano <> 0", "spends bgt_day", 2 * USD, 5),
    ("budgets", "DELETE FROM spends WHERE held_nano <> 0", "spends bgt_day", None, None),
    ("budgets", "DELETE FROM spends WHERE spent_nano <> 0", "spends bgt_day", None, None),
    ("budgets", "UPDATE starts SET windows = '[[' WHERE id = 'req_3'", "starts req_3", None, "[["),
    ("budgets", "DELETE FROM budgets", "spends", "bgt_day", None),
    (
        "budgets",
        "INSERT INTO budgets (id, scope, period, limit_nano, created_ms) SELECT '2', scope, period, 1, 1 FROM budgets",
        "budgets key:bgt_day day",
        1,
        2,
    ),
    # received and hours
    ("received", "DELETE FROM records WHERE id = 'req_2'", "requests in all", 8, 78),
    ("received", "UPDATE usage_hours SET requests = 70 WHERE requests = 71", "requests in all", 78, 77),
    ("hours", "UPDATE usage_hours SET requests = 70 WHERE requests = 71", "requests", 71, 70),
    ("hours", "UPDATE records SET reasoning_tokens = 9 WHERE id = 'req_3'", "reasoning_tokens", 9, 0),
    ("hours", "UPDATE records SET upstream_model = 'n' WHERE id = 'req_7'", "up/n success requests", 1, 0),
    # prices
    ("prices", "UPDATE prices SET content = '{}'", f"prices {version(CONTENT)}", None, version(CONTENT)),
    ("prices", "UPDATE prices SET content = '{'", f"prices {version(CONTENT)}", None, "{"),
    ("prices", f"DELETE FROM prices WHERE version = '{version(CONTENT)}'", "records req_3", version(CONTENT), None),
    ("prices", "UPDATE starts SET price_version = 'pr_' WHERE id = 'req_3'", "starts req_3", "pr_", None),
    ("prices", "UPDATE rerates SET price_version = 'pr_'", "rerates req_4", "pr_", None),
    ("costs", "UPDATE records SET cost_nano = 1 WHERE id = 'req_3'", "records req_3", 600_000_000, 1),
    ("costs", "UPDATE records SET markup_ppm = 50000 WHERE id = 'req_7'", "records req_7", 132_300, 126_000),
    ("costs", f"DELETE FROM prices WHERE version = '{version(CONTENT)}'", "records req_3", None, version(CONTENT)),
]  # fmt: skip


@pytest.mark.parametrize(("check", "statement", "where", "expected", "found"), DAMAGE)
def test_damage_is_found_by_name(
    check: str, statement: str, where: str, expected: int | str | None, found: int | str | None
) -> None:
    connection = a_story().stored()
    assert connection.execute(statement).rowcount > 0
    told = [one for one in findings(connection) if one.check == check and where in one.where]
    assert any(one.found == found for one in told) or found is None
    assert any(one.expected == expected for one in told) or expected is None
    assert told


ONLY_SQLITE = {"amount_nano = 'much'", "hold_nano = 0.5"}
"""Damage that PostgreSQL's columns do not take."""


def test_postgresql_is_asked_the_same_and_answers_the_same(postgres: PostgresServer) -> None:
    with postgres_database(postgres) as connection:
        assert audited(connection).findings == 0
        for check, statement, *_ in DAMAGE:
            if any(damage in statement for damage in ONLY_SQLITE):
                continue
            with connection.transaction(force_rollback=True):
                connection.execute(statement)
                told = findings(connection)
            sqlite = a_story().stored()
            sqlite.execute(statement)
            assert sorted(map(repr, told)) == sorted(map(repr, findings(sqlite))), (check, statement)


def test_every_check_is_shown_to_fire() -> None:
    assert {check for check, *_ in DAMAGE} == set(NAMES)


class TestHowItSays:
    def test_a_hundred_findings_are_told_and_the_others_counted(self) -> None:
        story = Story()
        for _ in range(150):
            story.end(story.start(None, 0), (1, 1))
        connection = story.stored()
        connection.execute("DELETE FROM starts")
        (starts,) = [check for check in audited(connection).checks if check.check == "starts"]
        assert (starts.found, len(starts.findings)) == (150, 100)
        assert audited(connection).findings == 150

    def test_a_question_that_damage_makes_unanswerable_is_a_finding_and_the_others_are_asked(self) -> None:
        connection = a_story().stored()
        connection.execute(f"UPDATE entries SET amount_nano = {2**63 - 1} WHERE amount_nano > 0")
        told = findings(connection)
        assert ("balances", "the question cannot be answered", "integer overflow") in {
            (one.check, one.what, one.found) for one in told
        }
        assert {"amounts", "replay"} <= {one.check for one in told}
