"""`trivium prices`, as it is typed and as it answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from support_cli import Spoken, heard
from support_prices import Desk, dataset, price, quote, record
from trivium.cli import prices as module
from trivium.cli.main import Commands
from trivium.metering.overlay import day
from trivium.metering.prices import version_of

NOW = day("2026-11-20")
DAY = 86_400_000


class Terminal(Spoken, Desk):
    def __call__(self, *words: str) -> Result:
        group = Commands("trivium", {"prices": module.prices})
        return heard(CliRunner().invoke(group, ["prices", *words]))

    def refusal(self, *words: str) -> str:
        return super().refusal(*words).removeprefix("trivium: ")


@pytest.fixture
def trivium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal(tmp_path, NOW, known=dataset())

    def ask(_: str | None, operation: str, **arguments: Any) -> Any:
        heard = msgspec.json.decode(msgspec.json.encode(arguments))  # as a gateway that runs hears it
        return asyncio.run(terminal.perform(operation, **heard))

    monkeypatch.setattr(module, "ask", ask)
    return terminal


class TestShow:
    def test_every_model(self, trivium: Terminal) -> None:
        trivium("set", "house/*", "--markup", "5")
        trivium("set", "house/m", "--price", '{ input = "1", output = 2 }')
        heads, *rows = trivium.table("show")
        assert heads == ["model", "version", "input", "output", "cache read", "cache write", "markup", "source"]
        assert rows[0][2:6] == ["4", "20", "0.2", "5"]
        assert rows[1][0] == "house/m"
        assert rows[1][2:] == ["1", "2", "-", "-", "+5 %", "override"]
        assert rows[2] == ["house/n", *["-"] * 7]

    def test_one(self, trivium: Terminal) -> None:
        said = dict(line for line in trivium.table("show", "best") if len(line) == 2)
        assert said["model"] == "anthropic/claude-opus-5-5"
        assert said["version"].startswith("pr_")
        assert (said["input"], said["tiers.batch.cache_write_1h"], said["tools.web_search"]) == ("4", "4", "10")
        assert (said["context"], said["output limit"], said["free"]) == ("1000000", "128000", "no")

    def test_at_another_time(self, trivium: Terminal) -> None:
        before, after = (trivium.json("show", "best", "--at", date)["price"] for date in ("2026-10-13", "2026-10-14"))
        assert before["tiers"]["batch"] == after["tiers"]["batch"]
        assert "is no time" in trivium.refusal("show", "best", "--at", "tomorrow")

    def test_a_version(self, trivium: Terminal) -> None:
        trivium.store.keep([quote(price())], NOW)
        said = dict(line for line in trivium.table("show", "--version", version_of(price())) if len(line) == 2)
        assert (said["source"], said["first ms"], said["output"]) == ("test", "2026-11-20 00:00:00 UTC", "15")
        assert trivium.refusal("show", "--version", "pr_x") == "Nothing was ever charged with a price 'pr_x'."


class TestSet:
    def test_a_price_from_a_file_for_an_account_from_a_day(self, trivium: Terminal, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text('input = 0.3\noutput = "1"\n[tiers.batch]\ninput = "0.15"\n')
        told = trivium(
            "set", "house/m", "--file", str(tmp_path / "p.toml"), "--account", "acme", "--from", "2026-12-01"
        ).stdout
        assert told == (
            "house/m for acme: input 0.3, output 1, tiers.batch.input 0.15, from 2026-12-01 00:00:00 UTC.\n"
        )
        (kept,) = trivium.store.overrides()
        assert (kept.account_id, kept.effective_ms) == ("acme", day("2026-12-01"))
        assert kept.price == price("0.3", 1, tiers={"batch": {"input": "0.15"}})

    def test_an_amount_is_the_digits_that_were_written(self, trivium: Terminal) -> None:
        trivium("set", "house/m", "--price", "{ input = +0.123456789, output = 1_000.5, cache_read = 3e-2 }")
        (kept,) = trivium.store.overrides()
        assert kept.price == price("0.123456789", "1000.5", cache_read="0.03")

    @pytest.mark.parametrize(
        ("percent", "ppm"), [("5", 50_000), ("-12.5", -125_000), ("-100", -1_000_000), ("0.0001 %", 1), ("0", 0)]
    )
    def test_a_markup_in_percent(self, trivium: Terminal, percent: str, ppm: int) -> None:
        assert trivium("set", "*", f"--markup={percent}").exit_code == 0
        assert trivium.store.overrides()[0].markup_ppm == ppm

    def test_a_removal(self, trivium: Terminal) -> None:
        assert "none was set for exactly 'house/m'" in trivium.refusal("set", "house/m", "--remove")
        trivium("set", "house/m", "--markup", "5")
        said = trivium("set", "house/m", "--remove", "--note", "gone").stdout
        assert said == "house/m: nothing set any more, from 2026-11-20 00:00:00 UTC.\n"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "Say a price, a markup or both; or remove them."),
            (["--price", "{ input = -1, output = 1 }"], "This is no price: input: expected an amount in USD"),
            (["--price", "{ input = nan, output = 1 }"], "not negative, such as 0.25, got nan."),
            (["--price", "{ input = 1, output = -inf }"], "not negative, such as 0.25, got -inf."),
            (["--price", "{ input = 1"], "'{ input = 1' is no price; expected one such as { input ="),
            (["--price", "xx"], "'xx' is no price; expected one such as"),
            (["--price", "3"], "'3' is no price; expected one such as"),
            (["--file", "/nonexistent.toml"], "This is no price table"),
            (["--markup", "many"], "'many' is no percentage"),
            (["--markup", "nan"], "'nan' is no percentage"),
            (["--markup", "1e999999"], "'1e999999' is no percentage"),
            (["--markup", "-100.1"], "between -100 % and 10000 %"),
            (["--markup", "0.00001"], "finer than a ten-thousandth of a percent"),
        ],
    )
    def test_what_is_none_is_one_line(self, trivium: Terminal, words: list[str], said: str) -> None:
        assert said in trivium.refusal("set", "house/m", *words)
        assert trivium.store.overrides() == ()


def test_history(trivium: Terminal) -> None:
    trivium.store.keep([quote(price())], NOW)
    trivium.put(record("1", time_ms=NOW, price_version=version_of(price()), cost_nano=1_500_000))
    trivium("set", "house/*", "--markup", "5", "--note", "since we can")
    heads, row, _, second, override = trivium.table("history", "house/m")
    assert heads[0] == "version"
    assert row == [
        version_of(price()), "2026-11-20 00:00:00", "2026-11-20 00:00:00", "1", "0.0015", "3", "15", "test",
    ]  # fmt: skip
    assert second[0] == "set for"
    assert override == [
        "house/*", "all", "2026-11-20 00:00:00", "2026-11-20 00:00:00", "markup +5 %", "since we can",
    ]  # fmt: skip


def test_diff(trivium: Terminal) -> None:
    trivium.store.keep([quote(price()), quote(price(4))], NOW)
    first, second = version_of(price()), version_of(price(4))
    assert trivium.table("diff", first, second)[1:] == [["-", first, second, "input", "3", "4"]]
    trivium.put(record("1", price_version=first))
    trivium("set", "house/m", "--price", "{ input = 4, output = 15 }")
    assert trivium.table("diff")[1:] == [["house/m", first, second, "input", "3", "4"]]
    assert trivium("diff", first).exit_code == 2


def test_rerate(trivium: Terminal) -> None:
    trivium.put(record("a", time_ms=NOW - DAY, cost_nano=3 * 10**9, account_id="acme", input_uncached_tokens=1_000_000))
    trivium("set", "house/m", "--price", "{ input = 2, output = 15 }", "--from", "2026-01-01")
    _, row, last = trivium.table("rerate", "--since", "2026-11-01")
    assert row == ["house/m", "acme", "1", "1", "0", "3", "2", "-1"]
    assert last == ["Nothing is booked; --apply does it."]
    assert trivium.booked == {}
    assert trivium.table("rerate", "--since", "2026-11-01", "--apply")[-1] == ["1 differences are booked."]
    assert [one.after_nano for one in trivium.booked.values()] == [2 * 10**9]
    assert trivium.json("rerate", "--since", "2026-11-01", "--until", "2026-11-02")["groups"] == []
    assert trivium("rerate").exit_code == 2
