"""Programs as words of a list; that databases read records alike is tested with `store/rollups`."""

from __future__ import annotations

import pytest

from trivium.metering.apps import APPS, OTHER, app_of


@pytest.mark.parametrize(
    ("client_app", "app"),
    [
        (None, ""),
        ("", ""),
        ("claude-cli/2.1.2", "claude-cli"),
        ("claude-cli", "claude-cli"),
        ("OpenAI/Python", "OpenAI"),
        ("claude-cli-fork/1", OTHER),
        ("CLAUDE-CLI/1", OTHER),
        ("x" * 100, OTHER),
    ],
)
def test_a_program_is_a_word_of_the_list_or_other(client_app: str | None, app: str) -> None:
    assert app_of(client_app) == app


def test_names_can_stand_in_a_statement() -> None:
    assert OTHER not in APPS
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in APPS)
