"""`trivium accounts`, `credits`, `budgets`, `ledger entries`, and what `keys` and `requests` say of money."""

from __future__ import annotations

import asyncio
import re

import pytest

from support_cli import CommandLine, beside_a_gateway
from support_prices import price, quote
from support_records import MIDNIGHT, record
from trivium.metering.record import Record


@pytest.fixture
def acme(trivium: CommandLine) -> CommandLine:
    assert trivium("accounts", "create", "--name", "Acme Ltd.", "--id", "acme").stdout == "acme\n"
    return trivium


class TestAccounts:
    def test_one_is_made_and_listed_with_its_balance(self, acme: CommandLine) -> None:
        made = acme.json("accounts", "create", "--name", "Jo", "--kind", "user")
        assert (made["kind"], made["balance_usd"], made["id"][:5]) == ("user", "0", "acct_")
        acme("credits", "top-up", "--account", "acme", "--usd", "12.50")
        heads, *rows = acme.table("accounts", "list")
        assert heads == ["id", "kind", "name", "balance", "held", "free"]
        assert ["acme", "organization", "Acme Ltd.", "12.5", "0", "12.5"] in rows
        assert acme.table("accounts", "list", "--account", made["id"])[1:] == [
            [made["id"], "user", "Jo", "0", "0", "0"]
        ]

    def test_an_id_that_is_none_is_one_line(self, trivium: CommandLine) -> None:
        assert "letters, digits" in trivium.refusal("accounts", "create", "--name", "x", "--id", "a/b")


class TestCredits:
    def test_what_each_command_says(self, acme: CommandLine) -> None:
        to = ("--account", "acme")
        assert acme("credits", "grant", *to, "--usd", "1", "--expires", "2099-12-31").stdout == "acme has 1 USD.\n"
        assert acme("credits", "top-up", *to, "--usd", "5", "--idempotency-key", "i7").stdout == "acme has 6 USD.\n"
        again = acme("credits", "top-up", *to, "--usd", "5", "--idempotency-key", "i7").stdout
        assert again == "was made before under this key; acme has 6 USD.\n"
        assert acme("credits", "adjust", *to, "--usd=-0.5", "--note", "wrong").stdout == "acme has 5.5 USD.\n"

    def test_a_key_that_was_used_for_something_else_is_one_line(self, acme: CommandLine) -> None:
        words = ["credits", "top-up", "--account", "acme", "--idempotency-key", "i7", "--usd"]
        acme(*words, "5")
        assert acme.refusal(*words, "6") == (
            "trivium: This idempotency key was used for another entry. Use a new one for each new entry."
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["top-up", "--account", "acme", "--usd", "NaN"], "'NaN' is no amount in USD"),
            (["top-up", "--account", "acme", "--usd=-5"], "must be more than 0 USD"),
            (["top-up", "--account", "nobody", "--usd", "5"], "There is no account 'nobody'; `trivium accounts list`"),
            (["grant", "--account", "acme", "--usd", "5", "--expires", "soon"], "'soon' is no date"),
            (["top-up", "--account", "acme", "--usd", "5", "--idempotency-key", ""], "1 to 400 characters"),
            (["refund", "--request", "req_9"], "There is no request 'req_9'."),
        ],
    )
    def test_what_cannot_be_done_is_one_line_and_changes_nothing(
        self, acme: CommandLine, words: list[str], said: str
    ) -> None:
        assert said in acme.refusal("credits", *words)
        assert acme.json("ledger", "entries") == []

    def test_a_note_that_is_no_text_is_one_line(self, acme: CommandLine) -> None:
        acme.refusal("credits", "top-up", "--account", "acme", "--usd", "5", "--note", "\udcff")
        assert acme.json("ledger", "entries") == []

    @pytest.mark.parametrize("words", [["top-up", "--usd", "1"], ["grant", "--account", "acme"], ["refund"]])
    def test_what_is_missing_is_said_with_the_usage(self, acme: CommandLine, words: list[str]) -> None:
        result = acme("credits", *words)
        assert (result.exit_code, "Usage: " in result.stderr) == (2, True)


class TestBudgets:
    def test_one_is_set_listed_and_removed(self, trivium: CommandLine) -> None:
        trivium("accounts", "create", "--name", "Acme", "--id", "acme")
        words = ["budgets", "set", "--scope", "member:acme/jo", "--period", "month", "--usd", "20"]
        id = trivium(*words).stdout.strip()
        assert re.fullmatch(r"bud_\w{16}", id)
        assert trivium.table("budgets", "list") == [
            ["id", "scope", "period", "limit", "spent", "held"],
            [id, "member:acme/jo", "month", "20", "0", "0"],
        ]
        assert trivium("budgets", "remove", id).stdout == f"{id} has ended.\n"
        assert trivium.json("budgets", "list") == []
        assert "There is no budget" in trivium.refusal("budgets", "remove", id)

    @pytest.mark.parametrize(
        ("scope", "usd", "said"),
        [
            ("team:x", "1", "'team:x' is no scope: expected key:ID"),
            ("user:u", "-1", "A budget is not negative"),
            ("user:u", "999999999999", "at most 100000000 USD"),
        ],
    )
    def test_what_cannot_be_one_is_one_line(self, trivium: CommandLine, scope: str, usd: str, said: str) -> None:
        assert said in trivium.refusal("budgets", "set", "--scope", scope, "--period", "day", f"--usd={usd}")

    def test_a_period_is_one_of_four(self, trivium: CommandLine) -> None:
        result = trivium("budgets", "set", "--scope", "user:u", "--period", "year", "--usd", "1")
        assert (result.exit_code, "'day', 'week', 'month', 'total'" in result.stderr) == (2, True)


class TestKeys:
    def test_a_key_belongs_to_an_account_a_user_and_a_project(self, acme: CommandLine) -> None:
        owned = ("--account", "acme", "--user", "jo", "--project", "web")
        assert "`trivium users create --name ... --id jo`" in acme.refusal("keys", "create", "--name", "k", *owned)
        acme("users", "create", "--name", "Jo", "--id", "jo")
        made = acme.json("keys", "create", "--name", "laptop", *owned)
        assert (made["account_id"], made["user_id"], made["project_id"]) == ("acme", "jo", "web")
        heads, row = acme.table("keys", "list")
        assert heads[-3:] == ["account", "user", "project"]
        assert row[-3:] == ["acme", "jo", "web"]

    @pytest.mark.parametrize(
        ("owner", "said"),
        [
            (["--account", "nobody"], "There is no account 'nobody'; `trivium accounts create` makes one."),
            (["--user", "a b"], "An id has 1 to 100 letters, digits and ._@-"),
            (["--project", "a/b"], "An id has 1 to 100 letters, digits and ._@-"),
        ],
    )
    def test_of_owners_that_can_be(self, acme: CommandLine, owner: list[str], said: str) -> None:
        assert said in acme.refusal("keys", "create", "--name", "x", *owner)
        assert acme.json("keys", "list") == []


class TestEntries:
    def test_the_newest_first_with_what_they_are_for(self, acme: CommandLine) -> None:
        acme("credits", "grant", "--account", "acme", "--usd", "1", "--expires", "2099-12-31", "--note", "welcome")
        acme("credits", "top-up", "--account", "acme", "--usd", "5", "--idempotency-key", "invoice 7")
        heads, top_up, grant = acme.table("ledger", "entries")
        assert heads == ["seq", "time (UTC)", "account", "kind", "USD", "for", "expires (UTC)", "flags", "note"]
        assert (top_up[0], *top_up[2:]) == ("2", "acme", "top_up", "5", "invoice 7", "-", "-", "-")
        assert grant[2:5] + grant[6:] == ["acme", "grant", "1", "2099-12-31 23:59:59", "-", "welcome"]
        assert [entry["seq"] for entry in acme.json("ledger", "entries", "--limit", "1")] == [2]
        assert acme.json("ledger", "entries", "--account", "other") == []

    def test_a_terminal_is_not_steered_by_a_note(self, acme: CommandLine) -> None:
        acme("credits", "top-up", "--account", "acme", "--usd", "5", "--note", "a\x1b[2Jb")
        assert "a?[2Jb" in acme("ledger", "entries").stdout


def charged(id: str, **fields: object) -> Record:
    """A call that was charged 0.000375 USD."""
    told = {
        "provider": "up",
        "upstream_model": "m",
        "requested_model": "m",
        "usage_known": True,
        "input_uncached_tokens": 25,
        "output_tokens": 20,
        "payer": "house",
        "cost_nano": 375_000,
        "market_cost_nano": 375_000,
        "cost_source": "computed",
        "price_version": quote(price()).version,
    }
    return record(id, time_ms=MIDNIGHT, **{**told, **fields})


class TestReceipts:
    @pytest.fixture
    def kept(self, trivium: CommandLine) -> CommandLine:
        reported = {"cost_source": "reported", "reported_cost_usd": "0.0003", "markup_ppm": 250_000}
        trivium.keep(
            charged("r1"),
            charged("r2", **reported),
            charged("r3", payer="byok", cost_nano=0),
            record("r4", outcome="refused", status=402, error_code="insufficient_credits"),
        )

        async def price_it() -> None:
            store = trivium.store()
            store.prices.keep([quote(price())], MIDNIGHT)
            await store.close()

        asyncio.run(price_it())
        return trivium

    def receipt(self, trivium: CommandLine, id: str) -> list[list[str]]:
        """The rows behind the heads; the receipt is the last table."""
        text = trivium("requests", "--id", id).stdout
        lines = text.rpartition("\n\n")[2].splitlines()
        return [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]

    def test_of_a_computed_charge_its_lines_add_up(self, kept: CommandLine) -> None:
        assert self.receipt(kept, "r1") == [
            ["input", "25", "3", "0.000075"],
            ["output", "20", "15", "0.0003"],
            ["total", "-", "-", "0.000375"],
        ]

    def test_of_a_reported_one_the_figure_and_what_is_on_top(self, kept: CommandLine) -> None:
        assert self.receipt(kept, "r2") == [
            ["reported by the provider", "-", "-", "0.0003"],
            ["markup", "-", "-", "0.000075"],
            ["total", "-", "-", "0.000375"],
        ]

    def test_of_a_call_that_the_caller_paid_who_did(self, kept: CommandLine) -> None:
        assert self.receipt(kept, "r3")[-2:] == [
            ["paid by the caller's own key", "-", "-", "-0.000375"],
            ["total", "-", "-", "0"],
        ]

    def test_a_refusal_has_none(self, kept: CommandLine) -> None:
        assert "receipt" not in kept("requests", "--id", "r4").stdout

    def test_a_request_that_is_not_there_is_one_line(self, kept: CommandLine) -> None:
        assert kept.refusal("requests", "--id", "r9") == "trivium: There is no request 'r9'."

    def test_the_list_tells_each_charge(self, kept: CommandLine) -> None:
        heads, *rows = kept.table("requests")
        at = heads.index("cost USD")
        assert {row[0]: row[at] for row in rows} == {"r1": "0.000375", "r2": "0.000375", "r3": "0", "r4": "-"}


async def test_a_running_gateway_knows_at_once(trivium: CommandLine) -> None:
    async with beside_a_gateway(trivium.data) as gateway:
        await asyncio.to_thread(trivium, "accounts", "create", "--name", "x", "--id", "acme")
        await asyncio.to_thread(trivium, "credits", "top-up", "--account", "acme", "--usd", "5")
        await asyncio.to_thread(trivium, "budgets", "set", "--scope", "user:u", "--period", "day", "--usd", "1")
        assert await gateway.store.ledger.counts(["user:u"])
        (account,) = await asyncio.to_thread(trivium.json, "accounts", "list", "--account", "acme")
        assert account["balance_usd"] == "5"
    assert (await asyncio.to_thread(trivium.json, "ledger", "entries"))[0]["usd"] == "5"
