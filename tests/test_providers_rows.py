"""The table of providers: that its rows are sound, and that the page for users says what they say.

`python tests/test_providers_rows.py` prints the table for `docs/providers.md`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from trivium.providers.credential import AUTH
from trivium.providers.rows import ROWS, Row
from trivium.providers.vendors import VENDORS
from trivium.wire.chat.usage import ChatUsage

PAGE = Path(__file__).parents[1] / "docs" / "providers.md"
HEAD = "| type | base URL | APIs | key variable | may learn / may keep | notes |\n|---|---|---|---|---|---|\n"


def table() -> str:
    return HEAD + "".join(_line(name, row) for name, row in ROWS.items())


def _line(name: str, row: Row) -> str:
    urls = " ".join(dict.fromkeys(f"`{door.base_urls[-1]}`" for door in row.doors if door.base_urls)) or "yours"
    apis = ", ".join(dict.fromkeys(api.short for door in row.doors for api in door.apis))
    key = "-" if row.key_env is None else f"`{row.key_env}`{' *' if row.env is None else ''}" if row.key_env else "*"
    data = f"{'yes' if row.collects_data else 'no'} / {'yes' if row.retains_data else 'no'}"
    return f"| `{name}` | {urls} | {apis} | {key} | {data} | {row.note} |\n"


def test_the_page_has_the_table_as_it_is() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_sound(name: str) -> None:
    row = ROWS[name]
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)
    assert row.doors
    served = [api for door in row.doors for api in door.apis]
    assert len(served) == len(set(served)), "an API stands behind two doors"
    for door in row.doors:
        assert door.auth in AUTH
        for url in door.base_urls:
            assert re.fullmatch(r"https?://[^/]+(/[a-z0-9./-]+)?", url)
            assert url.startswith("https://") or "127.0.0.1" in url
            assert set(re.findall(r"{(\w+)}", url)) <= {"host", "region", "project"}
    if "{region}" in "".join(url for door in row.doors for url in door.base_urls):
        assert row.region
    re.compile(row.bad_key)
    re.compile(row.bad_request)
    assert row.retains_data or not row.collects_data, "what learns of prompts keeps them"


def test_vendors_say_nothing_of_their_own_about_how_they_are_called() -> None:
    for vendor in VENDORS.values():
        doors = [door for name in vendor.rows for door in ROWS[name].doors]
        assert list(vendor.doors) == doors
        assert vendor.row is ROWS[vendor.rows[0]]


@pytest.mark.parametrize("name", ["azure", "azure-deployments"])
def test_grok_at_azure_thinks_beside_its_output_and_openais_models_within(name: str) -> None:
    """The first as in BerriAI/litellm#39426: 12 in, 98 out."""
    grok = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 110}
    openais = {"prompt_tokens": 500, "completion_tokens": 500, "total_tokens": 1000}
    for told, reasoning, output in ((grok, 97, 98), (openais, 200, 500)):
        usage = ChatUsage(ROWS[name].counting).read(
            {**told, "completion_tokens_details": {"reasoning_tokens": reasoning}}
        )
        assert usage is not None
        assert (usage.output, usage.reasoning, usage.clamped) == (output, reasoning, False)


if __name__ == "__main__":
    sys.stdout.write(table())
