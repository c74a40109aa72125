"""Rate limits in the vendors' headers."""

from __future__ import annotations

import pytest

from trivium.canon.api import Api
from trivium.wire.ratelimits import Room, headers

NOW = 1_785_692_653_400  # 2026-08-02 17:44:13.4 UTC


def told(api: Api, **rooms: Room) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers(api, rooms, NOW)}  # type: ignore[arg-type]


@pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES])
def test_openais_with_the_token_limit_that_is_nearer(api: Api) -> None:
    assert told(
        api, requests=Room(10, 9, 17_400), input_tokens=Room(5_000, 4_000, 360_000), output_tokens=Room(900, 20, 6)
    ) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "17.4s",
        "x-ratelimit-limit-tokens": "900",
        "x-ratelimit-remaining-tokens": "20",
        "x-ratelimit-reset-tokens": "6ms",
    }


def test_anthropics_with_moments() -> None:
    assert told(
        Api.MESSAGES, requests=Room(10, 9, 600), input_tokens=Room(5_000, 4_000, 60_000), output_tokens=Room(900, 20, 0)
    ) == {
        "anthropic-ratelimit-requests-limit": "10",
        "anthropic-ratelimit-requests-remaining": "9",
        "anthropic-ratelimit-requests-reset": "2026-08-02T17:44:14Z",
        "anthropic-ratelimit-input-tokens-limit": "5000",
        "anthropic-ratelimit-input-tokens-remaining": "4000",
        "anthropic-ratelimit-input-tokens-reset": "2026-08-02T17:45:14Z",
        "anthropic-ratelimit-output-tokens-limit": "900",
        "anthropic-ratelimit-output-tokens-remaining": "20",
        "anthropic-ratelimit-output-tokens-reset": "2026-08-02T17:44:14Z",
    }


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0s"), (1, "1ms"), (999, "999ms"), (1_000, "1s"), (17_301, "17.4s"), (60_000, "1m0s"), (65_010, "1m5.1s")],
)
def test_durations_are_written_as_openai_writes_them(ms: int, text: str) -> None:
    assert told(Api.CHAT, requests=Room(1, 0, ms))["x-ratelimit-reset-requests"] == text


@pytest.mark.parametrize("api", list(Api))
def test_where_there_is_no_limit_nothing_is_said(api: Api) -> None:
    assert told(api, concurrent=Room(1, 0, 0)) == {}
