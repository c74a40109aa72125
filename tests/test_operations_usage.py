"""Usage reports: periods, groups, what they are called, shares, and tables for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from support_clock import Standing
from support_desk import Desk, member
from support_store import keep
from trivium.clock import LAST_MS
from trivium.errors import OperationError
from trivium.metering.record import Record
from trivium.operations import usage as usage_operations
from trivium.operations.usage import UsageRow, harmless
from trivium.policy.caller import Role
from trivium.store.usage import GROUPS

NOW = 1_767_960_000_000 + 754_321  # Friday 2026-01-09, 12:12 UTC
HOUR, DAY = 3_600_000, 86_400_000
TODAY = NOW - NOW % DAY


@pytest.fixture
def clock() -> Standing:
    return Standing(NOW)


def call(id: str, time_ms: int = NOW, **more: Any) -> Record:
    told = {"api": "chat_completions", "operation": "generate", "outcome": "success", "status": 200}
    told |= {"provider": "up", "upstream_model": "m", "upstream_status": 200, "usage_known": True}
    return Record(id=id, time_ms=time_ms, **told | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("period", "since", "requests"),
    [("day", TODAY, 2), ("week", TODAY - 4 * DAY, 3), ("month", TODAY - 8 * DAY, 4)],
)
async def test_a_period_has_come_as_far_as_now(desk: Desk, period: str, since: int, requests: int) -> None:
    times = (NOW, TODAY, TODAY - 4 * DAY, TODAY - 8 * DAY, TODAY - 9 * DAY)
    keep(desk.store.database, [call(str(n), time_ms) for n, time_ms in enumerate(times)])
    told = await desk("usage.report", period=period, by=[])
    assert (told["since_ms"], told["until_ms"]) == (since, NOW - NOW % HOUR + HOUR)
    assert told["total"]["requests"] == requests
    assert not told["rows"]


async def test_a_period_of_ones_own_is_of_whole_hours(desk: Desk) -> None:
    keep(desk.store.database, [call("0", NOW - 3 * HOUR - NOW % HOUR), call("1", NOW - 2 * HOUR)])
    told = await desk("usage.report", period="custom", since_ms=NOW - 3 * HOUR, until_ms=NOW - 2 * HOUR, by=["hour"])
    assert [(list(row["keys"]), row["figures"]["requests"]) for row in told["rows"]] == [
        (["2026-01-09T09:00Z"], 1),
        (["2026-01-09T10:00Z"], 1),
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"period": "custom"}, "since_ms"),
        ({"period": "custom", "since_ms": NOW + HOUR}, "ends before it begins"),
        ({"period": "day", "since_ms": 1}, "`custom`"),
        ({"by": ["model", "model"]}, "twice"),
        ({"by": ["hour"], "period": "custom", "since_ms": NOW - 40 * DAY}, "group by day"),
        ({"only": ["colour:red"]}, "'colour'"),
        ({"by": ["model", "key", "api"]}, "length <= 2"),
        ({"by": ["week"]}, "'week'"),
        ({"period": "custom", "since_ms": LAST_MS}, "since_ms"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(desk: Desk, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(OperationError) as raised:
        await desk("usage.report", **asked)
    assert said in raised.value.message


async def test_figures_can_be_read_as_they_stand(desk: Desk) -> None:
    good = [
        call(f"g{n}", input_uncached_tokens=30, cache_read_tokens=60, cache_write_5m_tokens=10, output_tokens=5,
             ttfb_us=400_000, total_us=3_000_000, cost_nano=7)
        for n in range(3)
    ]  # fmt: skip
    bad = [call("f", outcome="failed", status=502), call("r", outcome="refused", status=429, upstream_status=None)]
    keep(desk.store.database, [*good, *bad])
    total = (await desk("usage.report", by=[]))["total"]
    assert (total["requests"], total["succeeded"], total["failed"], total["refused"]) == (5, 3, 1, 1)
    assert (total["input_tokens"], total["cache_share"], total["error_rate"]) == (300, 0.6, 0.25)
    assert (total["cost_nano"], total["ttfb_mean_ms"], total["total_mean_ms"]) == (21, 400.0, 3000.0)
    assert 262 < total["ttfb_p50_ms"] < total["ttfb_p95_ms"] < 525
    assert 2097 < total["total_p50_ms"] < total["total_p95_ms"] < 4195


async def test_of_nothing_there_are_no_shares(desk: Desk) -> None:
    total = (await desk("usage.report", by=[]))["total"]
    assert {name for name, value in total.items() if value is None} == {
        "cache_share", "error_rate", "ttfb_mean_ms", "ttfb_p50_ms", "ttfb_p95_ms",
        "total_mean_ms", "total_p50_ms", "total_p95_ms",
    }  # fmt: skip


async def test_groups_have_names_and_what_costs_most_comes_first(desk: Desk) -> None:
    await desk.organization("acme")
    key = await desk("keys.create", name="laptop", organization="acme", user="acme-member")
    told = {"key_id": key["id"], "organization_id": "acme", "client_app": "claude-cli/2"}
    keep(desk.store.database, [call("a", cost_nano=1, **told), call("b", cost_nano=5), call("c", cost_nano=3, **told)])
    rows = (await desk("usage.report", by=["user", "app"]))["rows"]
    assert [(list(row["keys"]), list(row["names"]), row["figures"]["cost_nano"]) for row in rows] == [
        ([None, None], [None, None], 5),
        (["acme-member", "claude-cli"], ["member", None], 4),
    ]
    (row,) = (await desk("usage.report", by=["key"], only=["key:" + key["id"]]))["rows"]
    assert (list(row["names"]), row["figures"]["requests"]) == (["laptop"], 2)
    (row,) = (await desk("usage.report", by=["organization"], without=["user:"]))["rows"]
    assert list(row["names"]) == ["acme"]


async def test_beyond_the_top_there_is_the_rest_in_each_day(desk: Desk) -> None:
    records = [
        call(f"{day}{model}", TODAY - day * DAY, upstream_model=model, cost_nano=cost)
        for day in (0, 1)
        for model, cost in (("dear", 9), ("b", 2), ("c", 1))
    ]
    keep(desk.store.database, records)
    asked: dict[str, Any] = {"period": "custom", "since_ms": TODAY - 3 * DAY, "by": ["day", "model"], "top": 1}
    rows = (await desk("usage.report", **asked))["rows"]
    assert [(list(row["keys"]), row["other"], row["figures"]["cost_nano"]) for row in rows] == [
        (["2026-01-08", "up/dear"], False, 9),
        (["2026-01-08", None], True, 3),
        (["2026-01-09", "up/dear"], False, 9),
        (["2026-01-09", None], True, 3),
    ]


async def test_a_report_tells_the_sums_that_plain_usage_tells(desk: Desk) -> None:
    told: dict[str, Any] = {"client_app": "curl/8", "cost_nano": 3, "input_uncached_tokens": 5, "ttfb_us": 9}
    keep(desk.store.database, [call("a", **told), call("b", upstream_model="n", outcome="failed", **told)])
    for name in GROUPS:
        reported = (await desk("usage.report", by=[name]))["rows"]
        rows = await desk("usage", by=[name], since_ms=TODAY)
        assert [row[name] for row in rows] == [row["keys"][0] for row in reported]
        assert all({**row["figures"], **sums} == {**row["figures"], name: sums[name]}
                   for row, sums in zip(reported, rows, strict=True))  # fmt: skip
        assert all(set(row) <= set(UsageRow.__struct_fields__) for row in rows)


async def test_a_member_sees_own_figures_and_stealth_models_by_public_names(desk: Desk) -> None:
    await desk.organization("acme")
    keys = {
        user: (await desk("keys.create", name="k", organization="acme", user=user))["id"]
        for user in ("acme-member", "acme-admin")
    }
    made: dict[str, Any] = {"organization_id": "acme", "cost_nano": 2, "market_cost_nano": 9}
    keep(
        desk.store.database,
        [call(user, key_id=key, public_model="house/x", **made) for user, key in keys.items()],
    )
    roles = {"acme": Role.MEMBER}
    own = {"organization": "acme", "user": "acme-member"}
    told = await desk("usage.report", member("acme-member", roles), by=["model", "provider"], **own)
    assert [list(row["keys"]) for row in told["rows"]] == [["house/x", None]]
    assert (told["total"]["requests"], told["total"]["market_cost_nano"]) == (1, 0)
    assert await desk.refusal("usage.report", member("acme-member", roles), organization="acme") == "role_missing"
    told = await desk("usage.report", member("acme-admin", {"acme": Role.ADMIN}), organization="acme")
    assert told["total"]["requests"] == 2
    hidden = await desk(
        "usage.report", member("acme-admin", {"acme": Role.ADMIN}), organization="acme", only=["model:up/m"]
    )
    assert hidden["total"]["requests"] == 0


async def test_what_is_asked_for_has_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(desk.store.database, [call(f"r{n}", upstream_model=f"m{n}") for n in range(3)])
    monkeypatch.setattr(usage_operations, "_MOST_ROWS", 2)
    with pytest.raises(OperationError, match="more than 2 groups"):
        await desk("usage.report", by=["model"])
    assert len((await desk("usage.report", by=["model"], top=1))["rows"]) == 2  # the others are one
    monkeypatch.setattr(usage_operations, "MOST_GROUPS", 2)
    top: dict[str, Any] = {"top": 1}
    for name, asked in (("usage.report", top), ("usage.csv", top), ("usage", {})):
        with pytest.raises(OperationError, match="more than 2 groups"):
            await desk(name, by=["model"], **asked)
        await desk(name, by=["model"], **asked, only=["model:up/m1", "model:up/m2"])


class TestCsv:
    async def test_the_last_hour_that_has_a_date_is_the_last(self, desk: Desk) -> None:
        last = LAST_MS - LAST_MS % HOUR
        told = await desk("usage.csv", period="custom", since_ms=last - HOUR, until_ms=last)
        assert told["name"] == "usage-9999-12-31.csv"
        with pytest.raises(OperationError):
            await desk("usage.csv", period="custom", since_ms=last - HOUR, until_ms=last + HOUR)

    async def test_a_line_for_each_group_and_one_for_all(self, desk: Desk) -> None:
        keep(desk.store.database, [call("a", cost_nano=1_500_000_000, output_tokens=3), call("b", upstream_model="n")])
        told = await desk("usage.csv", by=["model"])
        assert told["name"] == "usage-2026-01-09.csv"
        assert told["text"].count("\r\n") == 4
        rows = list(csv.DictReader(io.StringIO(told["text"], newline="")))
        assert [(row["model"], row["requests"], row["cost_usd"], row["ttfb_p50_ms"]) for row in rows] == [
            ("up/m", "1", "1.5", ""),
            ("up/n", "1", "0", ""),
            ("(total)", "2", "1.5", ""),
        ]

    async def test_a_name_is_one_cell_for_programs_with_semicolons_too(self, desk: Desk) -> None:
        keep(desk.store.database, [call("r1", provider="a;=HYPERLINK(1)")])
        text = (await desk("usage.csv", by=["provider"]))["text"]
        cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") for cell in row]
        assert not any(cell.startswith("=") for cell in cells)

    async def test_no_cell_is_a_formula(self, desk: Desk) -> None:
        names = ("=1+1", "@x", "+x", "-x", 'a","b', "\tx")
        keep(desk.store.database, [call(str(n), provider=name) for n, name in enumerate(names)])
        text = (await desk("usage.csv", by=["provider"]))["text"]
        cells = {row[0] for row in csv.reader(io.StringIO(text, newline=""))}
        assert cells == {"provider", "(total)", "'=1+1", "'@x", "'+x", "'-x", 'a","b', "'\tx"}

    @pytest.mark.parametrize(("cell", "shown"), [(None, ""), ("", ""), ("\rx", "'\rx"), ("a=b", "a=b")])
    def test_others_stay_as_they_are(self, cell: str | None, shown: str) -> None:
        assert harmless(cell) == shown
