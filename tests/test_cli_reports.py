"""`trivium usage` and `trivium requests`."""

from __future__ import annotations

import asyncio
import time

import pytest

from support_cli import CommandLine, beside_a_gateway
from support_records import MIDNIGHT, record
from test_store_captures import bodies
from trivium.metering.record import COLUMNS

DAY = 86_400_000


@pytest.fixture
def filled(trivium: CommandLine) -> CommandLine:
    told = {"key_id": "key_1", "provider": "up", "upstream_model": "m", "upstream_status": 200, "usage_known": True}
    paid = {**told, "cost_nano": 2_500, "cost_source": "computed"}
    trivium.keep(
        record("r1", time_ms=MIDNIGHT, input_uncached_tokens=7, cache_read_tokens=3, output_tokens=5, **paid),
        record("r2", time_ms=MIDNIGHT + 1, input_uncached_tokens=1, cache_write_5m_tokens=2, output_tokens=1, **told),
        record("r3", time_ms=MIDNIGHT + DAY, outcome="failed", status=502, error_code="upstream_timeout", **told),
        record("r4", time_ms=MIDNIGHT + 2 * DAY, outcome="refused", status=401, requested_model="x", total_us=4_999),
        record("r5", time_ms=MIDNIGHT + 2 * DAY, operation="count_tokens", **told),
    )
    return trivium


@pytest.mark.parametrize("as_json", [False, True])
def test_bodies_are_told_of_one_request_where_that_is_asked(trivium: CommandLine, as_json: bool) -> None:
    trivium.keep(record("r1", time_ms=MIDNIGHT, rules="identity"))
    store = trivium.store()
    store.captures.put([bodies("r1", MIDNIGHT, text='{"said": "\x1b[2J"}')], 10**9)
    store.database.close()
    shown = trivium("requests", "--id", "r1").stdout
    assert "said" not in shown
    assert "body (--bodies)" in shown
    assert "identity  `safety_identifier` and `user` are our hash" in shown
    if as_json:
        told = trivium.json("requests", "--id", "r1", "--bodies")
        assert [one["part"] for one in told["bodies"]["parts"]] == ["request", "answer"]
        assert told["story"]["rules"][0]["name"] == told["rules"] == "identity"
    else:
        said = trivium("requests", "--id", "r1", "--bodies").stdout
        assert '--- request: 2 bytes\n\n{"said": "\\x1b[2J"}\n' in said
        assert "--- sent: as it came" in said
    assert trivium("requests", "--bodies").exit_code == 2


class TestUsage:
    def test_a_table_by_day_model_and_key(self, filled: CommandLine) -> None:
        heads, *rows = filled.table("usage")
        assert heads == [
            "day", "model", "key", "requests", "failed", "refused", "aborted", "input", "cache read", "cache write",
            "output", "reasoning", "cost USD",
        ]  # fmt: skip
        assert rows == [
            ["2026-01-01", "up/m", "key_1", "2", "0", "0", "0", "13", "3", "2", "6", "0", "0.0000025"],
            ["2026-01-02", "up/m", "key_1", "1", "1", "0", "0", "0", "0", "0", "0", "0", "0"],
            ["2026-01-03", "-", "-", "1", "0", "1", "0", "0", "0", "0", "0", "0", "0"],
        ]

    def test_as_json_with_other_groups(self, filled: CommandLine) -> None:
        rows = filled.json("usage", "--by", "api, outcome")
        assert [(row["api"], row["outcome"], row["requests"]) for row in rows] == [
            ("messages", "failed", 1), ("messages", "refused", 1), ("messages", "success", 2),
        ]  # fmt: skip
        assert {type(value) for name, value in rows[2].items() if name not in ("api", "outcome")} == {int}

    def test_all_in_one_row(self, filled: CommandLine) -> None:
        (row,) = filled.json("usage", "--by", "")
        assert (row["requests"], row["input_tokens"], row["output_tokens"]) == (4, 13, 6)
        assert len(filled.table("usage", "--by", "")) == 2

    @pytest.mark.parametrize(
        ("span", "requests"),
        [
            (["--since", "2026-01-02"], 2),
            (["--until", "2026-01-02"], 2),
            (["--since", "2026-01-02", "--until", "2026-01-03"], 1),
            (["--since", "2026-01-01T00:00:00.001"], 3),
            (["--since", "2026-01-02T01:00+01:00"], 2),
            (["--until", "2026-01-02T01:00+01:00"], 2),
        ],
    )
    def test_in_a_span_of_time(self, filled: CommandLine, span: list[str], requests: int) -> None:
        assert sum(row["requests"] for row in filled.json("usage", *span)) == requests

    def test_in_the_last_hours(self, trivium: CommandLine) -> None:
        now = time.time_ns() // 1_000_000
        trivium.keep(record("old", time_ms=now - 3 * DAY), record("new", time_ms=now - 60_000))
        for age, requests in (("5m", 1), ("24h", 1), ("2d", 1), ("7d", 2), ("999999d", 2)):
            assert sum(row["requests"] for row in trivium.json("usage", "--since", age)) == requests

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--since", "yesterday"], "'yesterday' is no time; expected 2026-01-31, 2026-01-31T12:00 or an age"),
            (["--until", "24"], "'24' is no time"),
            (["--since", "1w"], "'1w' is no time"),
            (["--since", "2026-01-02", "--until", "2026-01-01"], "The period ends before it begins."),
            (["--since", "2026-01-02", "--until", "2026-01-02"], "The period ends before it begins."),
            (["--by", "week"], "Usage cannot be grouped by 'week'; expected one of day, hour, model"),
        ],
    )
    def test_what_cannot_be_asked_is_one_line(self, trivium: CommandLine, words: list[str], said: str) -> None:
        assert said in trivium.refusal("usage", *words)

    def test_nothing_is_a_table_of_heads_and_an_empty_list(self, trivium: CommandLine) -> None:
        assert len(trivium.table("usage")) == 1
        assert trivium.json("usage") == []

    def test_with_filters(self, filled: CommandLine) -> None:
        assert [row["requests"] for row in filled.json("usage", "--by", "api", "--only", "outcome:success")] == [2]
        assert [row["requests"] for row in filled.json("usage", "--by", "api", "--without", "key:key_1")] == [1]
        for words in (["usage"], ["usage", "report"]):
            assert "'colour'" in filled.refusal(*words, "--only", "colour:red")


class TestReport:
    SPAN = ("--since", "2026-01-01", "--until", "2026-01-04")

    def test_a_table_of_what_cost_most_with_a_total(self, filled: CommandLine) -> None:
        heads, *rows = filled.table("usage", "report", *self.SPAN, "--by", "day,model")
        assert heads[:6] == ["day", "model", "requests", "cost USD", "input", "cached"]
        assert [row[:4] for row in rows[:3]] == [
            ["2026-01-01", "up/m", "2", "0.0000025"],
            ["2026-01-02", "up/m", "1", "0"],
            ["2026-01-03", "-", "1", "0"],
        ]
        assert rows[3][:3] == ["total", "4", "0.0000025"]

    def test_by_three_is_more_than_it_takes(self, filled: CommandLine) -> None:
        result = filled("usage", "report", "--by", "day,model,key")
        assert (result.exit_code, "--by takes one or two" in result.stderr) == (2, True)

    def test_as_csv_and_json(self, filled: CommandLine) -> None:
        text = filled("usage", "report", *self.SPAN, "--csv").stdout
        assert text.splitlines()[0].startswith('"model","model_name","requests",')
        assert text.splitlines()[-1].startswith('"(total)","","4",')
        assert filled.json("usage", "report", *self.SPAN, "--by", "")["total"]["requests"] == 4

    def test_a_period_as_far_as_it_has_come(self, trivium: CommandLine) -> None:
        trivium.keep(record("new", time_ms=time.time_ns() // 1_000_000))
        for period in ("day", "week", "month"):
            assert trivium.json("usage", "report", "--period", period)["total"]["requests"] == 1

    def test_a_period_and_a_span_are_not_both(self, trivium: CommandLine) -> None:
        result = trivium("usage", "report", "--period", "day", "--since", "7d")
        assert (result.exit_code, "Either" in result.stderr) == (2, True)
        result = trivium("usage", "report", "--until", "7d")
        assert (result.exit_code, "--until needs --since." in result.stderr) == (2, True)


class TestRequests:
    def test_a_table_with_the_newest_first(self, filled: CommandLine) -> None:
        heads, *rows = filled.table("requests")
        assert heads == [
            "id", "time (UTC)", "api", "model", "status", "outcome", "input", "output", "cost USD", "ms", "error",
        ]  # fmt: skip
        assert [row[0] for row in rows][2:] == ["r3", "r2", "r1"]
        assert rows[-1] == [
            "r1",
            "2026-01-01 00:00:00",
            "messages",
            "-",
            "200",
            "success",
            "10",
            "5",
            "0.0000025",
            "0",
            "-",
        ]
        (refused,) = [row for row in rows if row[0] == "r4"]
        assert refused == ["r4", "2026-01-03 00:00:00", "messages", "x", "401", "refused", "-", "-", "-", "4", "-"]

    def test_those_that_looked_like_abuse(self, trivium: CommandLine) -> None:
        verdicts = ("allow", "soft_block", "challenge", "hard_block")
        trivium.keep(*(record(verdict, abuse_verdict=verdict) for verdict in verdicts), record("unseen"))
        found = {row["id"] for row in trivium.json("requests", "--verdict", "suspect")}
        assert found == {"soft_block", "challenge", "hard_block"}
        for verdict in verdicts:
            assert [row["id"] for row in trivium.json("requests", "--verdict", verdict)] == [verdict]

    def test_those_with_a_flag_or_from_an_address_as_free_use_names_it(self, trivium: CommandLine) -> None:
        now_ms = time.time_ns() // 1_000_000
        free = {"payer": "free", "flags": "estimated large_input", "client_ip": "203.0.113.7", "time_ms": now_ms}
        trivium.keep(record("one", **free), record("other", client_ip="203.0.113.8", time_ms=now_ms))
        (address,) = trivium.json("free")["addresses"]
        for words in (("--address", address["id"]), ("--flag", "large_input"), ("--flag", "estimated")):
            assert [row["id"] for row in trivium.json("requests", *words)] == ["one"]
        assert trivium.json("requests", "--flag", "large") == []
        assert "16 hexadecimal digits" in trivium("requests", "--address", "203.0.113.7").stderr

    def test_as_json_every_field_is_there(self, filled: CommandLine) -> None:
        rows = filled.json("requests", "--limit", "2", "--outcome", "success")
        assert len(rows) == 2
        assert all(tuple(row) == COLUMNS for row in rows)

    def test_one_in_full(self, filled: CommandLine) -> None:
        row = filled.json("requests", "--id", "r3")
        assert (row["id"], row["error_code"], row["status"]) == ("r3", "upstream_timeout", 502)
        shown = dict(line[:2] for line in filled.table("requests", "--id", "r3") if len(line) > 1)
        assert (shown["field"], shown["time"], shown["error_code"]) == (
            "value", "2026-01-02 00:00:00 UTC", "upstream_timeout",
        )  # fmt: skip
        assert "losses" not in shown

    @pytest.mark.parametrize("flags", [[], ["--json"]])
    def test_one_that_there_is_not_is_one_line(self, filled: CommandLine, flags: list[str]) -> None:
        assert filled.refusal("requests", "--id", "r'9", *flags) == 'trivium: There is no request "r\'9".'

    def test_a_limit_must_be_one(self, trivium: CommandLine) -> None:
        for limit in ("0", "-1", "x", "10001"):
            assert trivium("requests", "--limit", limit).exit_code == 2

    def test_what_an_upstream_says_cannot_steer_the_terminal(self, trivium: CommandLine) -> None:
        trivium.keep(
            record(
                "r",
                requested_model="\x1b[2J\x07m\x9b\u202e",
                provider="up",
                upstream_model="\x1b[2J\x07m\x9b\u202e",
                upstream_status=200,
                error_code="a\nb",
                error_message="\r\x1b]0;x",
            )
        )
        for words in (["requests"], ["requests", "--id", "r"], ["usage"]):
            out = trivium(*words).stdout
            assert all(letter.isprintable() or letter == "\n" for letter in out)
            assert "?[2J?m??" in out

    def test_filters_and_the_story_of_one(self, filled: CommandLine) -> None:
        def ids(*words: str) -> list[str]:
            return [row["id"] for row in filled.json("requests", *words)]

        assert ids("--status", "502") == ["r3"]
        assert ids("--model", "up/m", "--outcome", "success", "--until", "2026-01-02") == ["r2", "r1"]
        assert ids("--min-cost", "0.000001") == ["r1"]
        assert ids("--text", "r4", "--requested", "x") == ["r4"]
        assert "no amount" in filled.refusal("requests", "--min-cost", "much")
        told = filled.json("requests", "--id", "r3")
        assert [one["what"] for one in told["story"]["timeline"]] == ["received", "ended"]
        assert told["story"]["error"] == {"code": "upstream_timeout", "message": None, "in_band": False}

    def test_which_routes_rested_is_in_its_story(self, trivium: CommandLine) -> None:
        trivium.keep(
            record("r1", routing='{"why":"the first route that does not rest","rested":[["a/one","it rests"]]}')
        )
        lines = trivium("requests", "--id", "r1").stdout.splitlines()
        behind = next(number for number, line in enumerate(lines) if line.startswith("behind"))
        assert lines[behind + 1].split(maxsplit=1) == ["a/one", "it rests"]


async def test_a_running_gateway_answers_with_what_it_has_not_stored_yet(trivium: CommandLine) -> None:
    async with beside_a_gateway(trivium.data) as gateway:
        gateway.store.ledger.end(record("r1", output_tokens=4))
        (row,) = await asyncio.to_thread(trivium.json, "usage")
        assert row["output_tokens"] == 4
        assert (await asyncio.to_thread(trivium.json, "requests"))[0]["id"] == "r1"
        assert "no request 'r2'" in await asyncio.to_thread(trivium.refusal, "requests", "--id", "r2")
