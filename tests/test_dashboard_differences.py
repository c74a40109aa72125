"""How what is differs from what was."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.dashboard.differences import MOST, differences


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"name": "a", "kept": 1}, {"name": "b", "kept": 1}, [("name", "a", "b")]),
        (None, {"expires_ms": 5, "none": None}, [("expires", None, 5)]),
        ({"a": {"b_ms": 1}}, {"a": {}}, [("a b", 1, None)]),
        ({"list": ["a", "b"]}, {"list": ["b", "c"]}, [("list", ["a"], ["c"])]),
        ({"list": ["a", "b"]}, {"list": ["b", "a"]}, [("list", ["a", "b"], ["b", "a"])]),
        ({"list": []}, {"list": None}, []),
        ({"x": 0}, {"x": None}, [("x", 0, None)]),
    ],
)
def test_what_differs_is_told(before: Any, after: Any, told: list[Any]) -> None:
    found, more = differences(before, after)
    assert [(one.label, one.before, one.after) for one in found] == told
    assert more == 0


def test_much_is_told_in_part() -> None:
    found, more = differences(None, {f"m{n}": n for n in range(MOST + 3)})
    assert (len(found), more) == (MOST, 3)
    ((one,), _) = differences({"list": []}, {"list": list(range(100))})
    assert one.after == [0, 1, 2, 3, "and 96 more"]
