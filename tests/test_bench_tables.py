"""bench/: tables, goals, pictures and the generated parts of docs/performance.md."""

import cProfile
import importlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"
Modules = Callable[[str], Any]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    """The programs' modules, as they import each other."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == BENCH:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00606, "0.00606"),
        (0.45, "0.450"),
        (6.2, "6.20"),
        (45.25, "45.2"),
        (180, "180"),
        (26900.4, "26,900"),
    ],
)
def test_figures_have_three_digits(bench: Modules, value: float, text: str) -> None:
    assert bench("tables").shown(value) == text


def test_a_spread_is_its_middle_and_its_ends(bench: Modules) -> None:
    tables = bench("tables")
    assert str(tables.spread([210, 190, 200])) == "200 (190-210)"
    assert str(tables.spread([6.5])) == "6.50"


def test_a_table_is_padded_markdown(bench: Modules) -> None:
    assert bench("tables").table(("", "CPU us"), [("nginx", "15.0"), ("a", "-")]) == (
        "|       | CPU us |\n|-------|--------|\n| nginx | 15.0   |\n| a     | -      |\n"
    )


def test_a_generated_part_replaces_itself_alone(bench: Modules) -> None:
    tables = bench("tables")
    page = f"before\n{tables.begin('x')}\nold\n{tables.end('x')}\nafter {tables.begin('y')}\n"
    once = tables.put_between(page, "x", "new\n")
    assert once == page.replace("\nold\n", "\n\nnew\n\n")
    assert tables.put_between(once, "x", "new") == once


@pytest.mark.parametrize("page", ["", "{begin}", "{end}{begin}", "{begin}{begin}{end}"])
def test_a_page_without_its_marks_is_not_touched(bench: Modules, page: str) -> None:
    tables = bench("tables")
    with pytest.raises(ValueError, match="marks of x"):
        tables.put_between(page.format(begin=tables.begin("x"), end=tables.end("x")), "x", "new")


def test_the_page_on_performance_has_the_marks(bench: Modules) -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for name in ("gateways", "growth", "pages", "dashboard"):
        bench("tables").put_between(page, name, "new")


def test_the_readme_has_the_figures_of_the_run_that_it_leads_to() -> None:
    said = (ROOT / "README.md").read_text().partition("**It adds microseconds.**")[2].partition("\n* ")[0]
    run = (ROOT / "docs" / "performance.md").read_text().partition("gateways: end")[0]
    figures = re.findall(r"(?<!\w)[0-9][0-9,.]*[0-9](?! KB)", said)
    assert len(figures) == 15
    assert [figure for figure in figures if f"| {figure} (" not in run] == []


def test_goals_are_judged_by_number_and_by_ratio(bench: Modules) -> None:
    figures = {
        "nginx": {"small": 20.0},
        "tensorzero": {"small": 200.0},
        "trivium": {"small": 175.0, "cold": 1.2},
    }
    assert [verdict.cells for verdict in bench("goals").verdicts(figures)] == [
        ("small request, everything on", "180 us", "175 us", "met"),
        ("", "10 x nginx", "8.75 x", "met"),
        ("", "0.85 x tensorzero", "0.875 x", "**missed**"),
        ("cold start to first answer", "1 s", "1.20 s", "**missed**"),
    ]


def test_bars_are_longer_for_more_and_missing_ones_are_said_so(bench: Modules) -> None:
    svg = bench("plot").bars({"small": {"a <b>": 10.0, "ours": 100.0}, "event": {"ours": 5.0}}, "ours")
    tree = ElementTree.fromstring(svg)
    bars = [element.attrib for element in tree.iter() if element.tag.endswith("rect")][1:]
    assert float(bars[0]["width"]) < float(bars[1]["width"])
    texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert texts == ["a <b>", "ours", "small", "10.0", "100", "event", "-", "5.00"]


def test_curves_begin_at_zero_and_have_a_place_for_nothing(bench: Modules) -> None:
    plot = bench("plot")
    points = [(0, 200.0), (100_000, 200.0), (10_000_000, 100.0)]
    tree = ElementTree.fromstring(plot.curves([plot.Chart("Rows", [plot.Curve("small", points)], "us")]))
    line = next(element.attrib["points"] for element in tree.iter() if element.tag.endswith("polyline"))
    places = [tuple(map(float, point.split(","))) for point in line.split()]
    assert places[0][0] < places[1][0] < places[2][0]
    floor = max(float(element.attrib["y1"]) for element in tree.iter() if element.tag.endswith("}line"))
    assert floor - places[0][1] == pytest.approx(2 * (floor - places[2][1]), abs=0.3)


def test_every_peer_is_locked_with_hashes_and_without_a_registry(bench: Modules) -> None:
    for peer in bench("peers").PEERS:
        assert peer.version[0].isdigit()
        for path in peer.pins:
            text = path.read_text()
            assert "resolved" not in text
            assert "index-url" not in text
            assert path.name == "package.json" or "sha512-" in text or "--hash=sha256:" in text


def profile(places: list[tuple[str, str]], into: Path) -> Path:
    """Of a program that called these functions."""
    code = "def work(n):\n    for _ in range(n):\n        sum(range(1000))\n"
    recorded = cProfile.Profile()
    for file, function in places:
        names: dict[str, Any] = {}
        exec(compile(code.replace("work", function), f"/x/{file}", "exec"), names)
        recorded.runcall(names[function], 200)
    recorded.dump_stats(into)
    return into


def test_a_step_that_no_longer_is_one_is_said(bench: Modules, tmp_path: Path) -> None:
    steps = bench("steps")
    inner = [place for step in steps.STEPS for place in step.functions if place[1] != "prepare"]
    with pytest.raises(bench("stage").BenchError, match="no prepare in it"):
        steps.shares(profile([steps._ONCE, ("server/protocol.py", "_answer"), *inner], tmp_path / "profile"))


def test_a_profile_becomes_the_steps_of_a_request(bench: Modules, tmp_path: Path) -> None:
    steps = bench("steps")
    inner = [place for step in steps.STEPS for place in step.functions]
    shares = steps.shares(profile([steps._ONCE, ("server/protocol.py", "_answer"), *inner], tmp_path / "profile"))
    assert list(shares) == [step.said for step in steps.STEPS]
    assert all(share > 0 for share in shares.values())
    rows = steps.rows(steps.Measured(request_us=100, beside_us=20), dict.fromkeys(shares, 0.05))
    assert (rows[0][1], rows[-2][1], rows[-1]) == ("4", "20", ["a small request", "100"])
    assert rows[-3][1] == f"{80 - 4 * len(shares):.0f}"


def test_a_line_for_pages_tells_the_slowest_and_the_heaviest_of_them(bench: Modules) -> None:
    made = bench("page_times")
    found = {
        made.Fetch("house", "/keys", "/dashboard/house/keys"): made.Measured(20, 90, 31.4),
        made.Fetch("house", "/keys", "/dashboard/o/acme/keys"): made.Measured(30, 40, 12),
        made.Fetch("owner", "/keys", "/dashboard/o/acme/keys"): made.Measured(8, 9, 12),
    }
    lines = made.report(found).splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["/keys", "30.0 (90.0)", "8.00 (9.00)", "-", "31"]
    assert lines[-1] == "None takes longer than 200 ms or has more than 300 KB."
    slow = made.Fetch("member", "/usage", "/dashboard/me/usage")
    assert made.report({**found, slow: made.Measured(201, 300, 9)}).endswith(
        "* member: /dashboard/me/usage: 201 ms, 9 KB"
    )
    assert made.report({**found, slow: made.Measured(1, 300, 301)}).endswith(
        "* member: /dashboard/me/usage: 1 ms, 301 KB"
    )


def test_what_a_visitor_costs_is_told_by_pairs_of_turns(bench: Modules) -> None:
    made = bench("dashboard")
    kinds = (made.NOBODY, *made.PAUSES)
    turns = [
        made.Turn(who, us, 5, 9, pages)
        for figures in ((100, 101, 110), (200, 200, 200), (100, 99, 102))
        for who, us, pages in zip(kinds, figures, (0, 10, 54), strict=True)
    ]
    table = made.report(turns, type("Cpus", (), {"note": ""}))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows[0] == ["gateway's CPU us per request", "100 (100-200)", "101 (99.0-200)", "110 (102-200)"]
    assert rows[3] == ["pages a second", "0", "10.0", "54.0"]
    assert rows[4][2:] == ["+0.0 % (-1.0 to +1.0)", "+2.0 % (+0.0 to +10.0)"]
