"""An organization's server as the pipeline calls it."""

from __future__ import annotations

from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.providers.custom import CustomModel, CustomSettings, hint_of, provider_of
from trivium.providers.provider import Provider


def provider(key: str | None = "a-key-of-16-char", **settings: Any) -> Provider:
    said = CustomSettings(**{"base_url": "https://llm.example.com/v1"} | settings)
    return provider_of(CustomModel(id="cm_1", organization_id="acme", name="m", settings=said, created_ms=0), key)


def test_its_owner_pays_it_and_its_address_is_a_user_s() -> None:
    made = provider()
    assert (made.name, made.byok, made.guarded, made.reports_cost) == ("custom@acme", True, True, False)
    assert made.collects_data and made.retains_data
    assert not provider(collects_data=False).collects_data


@pytest.mark.parametrize(
    ("apis", "auth", "header"),
    [
        (("chat",), None, (b"authorization", b"Bearer a-key-of-16-char")),
        (("messages", "chat"), None, (b"authorization", b"Bearer a-key-of-16-char")),
        (("messages",), None, (b"x-api-key", b"a-key-of-16-char")),
        (("messages",), "bearer", (b"authorization", b"Bearer a-key-of-16-char")),
        (("chat",), "x-api-key", (b"x-api-key", b"a-key-of-16-char")),
    ],
)
def test_the_key_goes_where_the_api_has_it(
    apis: tuple[str, ...], auth: str | None, header: tuple[bytes, bytes]
) -> None:
    made = provider(apis=apis, auth=auth)
    assert made.headers == (header,)
    assert made.apis == {Api.parse(api) for api in apis}
    assert provider(None, apis=apis).headers == ()


@pytest.mark.parametrize(
    ("url", "apis", "called"),
    [
        ("https://h", ("chat",), "https://h/v1"),
        ("https://h/api", ("chat",), "https://h/api"),
        ("https://h/anthropic", ("messages",), "https://h/anthropic/v1"),
        ("https://h/v1", ("messages",), "https://h/v1"),
        ("https://h/api", ("chat", "messages"), "https://h/api"),
    ],
)
def test_a_version_that_is_commonly_left_out_is_added(url: str, apis: tuple[str, ...], called: str) -> None:
    assert provider(base_url=url, apis=apis).base_url == called


def test_a_key_is_known_by_its_end() -> None:
    assert (hint_of("a-key-of-16-char"), hint_of("short-key"), hint_of(None)) == ("char", "", None)
