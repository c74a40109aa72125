"""Whose fault a failure is, and what client apps are called."""

from __future__ import annotations

import pytest

from support_records import record
from trivium.policy.blame import Apps, Call, bad, of_row


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"outcome": "success", "upstream_status": 200}, False),
        ({"outcome": "failed", "upstream_status": 500, "status": 500}, True),
        ({"outcome": "failed", "upstream_status": None, "status": 502}, True),  # nobody there
        ({"outcome": "failed", "upstream_status": 429, "status": 429}, True),
        ({"outcome": "failed", "upstream_status": 402, "status": 503}, True),
        ({"outcome": "failed", "upstream_status": 400, "status": 400}, False),
        ({"outcome": "failed", "upstream_status": 422, "status": 422}, False),
        ({"outcome": "failed", "upstream_status": 200, "in_band_error": True, "error_code": "overloaded_error"}, True),
        (
            {"outcome": "failed", "upstream_status": 200, "in_band_error": True, "error_code": "invalid_request_error"},
            False,
        ),
        ({"outcome": "failed", "upstream_status": 200, "error_code": "upstream_disconnected"}, True),  # cut
        ({"outcome": "aborted", "status": 499}, None),
        ({"outcome": "refused", "status": 402}, None),
        ({"outcome": "refused", "status": 503}, True),
    ],
)
def test_whose_fault_it_is(fields: dict[str, object], answer: bool | None) -> None:
    assert bad(record("r", **fields)) is answer


def test_a_row_of_the_database_is_the_same() -> None:
    assert of_row(("failed", 200, 200, "overloaded_error", 1)) == Call("failed", 200, 200, "overloaded_error", True)
    assert bad(of_row(("failed", 400, 400, None, 0))) is False


def test_apps_are_those_that_are_known() -> None:
    apps = Apps(["Our-Tool"])
    agents = ["claude-cli/2.0.1", "opencode/1", "OpenAI/Python", "our-tool/7", "OUR-TOOL", "x" * 50, "", None]
    assert [apps(agent) for agent in agents] == [
        *("claude-code", "opencode", "openai-sdk", "our-tool", "our-tool", "other", "other", "none"),
    ]
