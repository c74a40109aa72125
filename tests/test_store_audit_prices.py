"""The auditor works out costs by itself."""

from __future__ import annotations

import pytest

from support_audit import Row, Story, findings

RATES = '{"input":1000000,"output":7000000,"cache_read":100001,"cache_write_5m":1250000,"request":3000000'
FULL = (
    '{"long_context":[{"over":1000,"rates":{"input":2000000}},{"over":2000,"rates":{"input":4000000}}],"rates":'
    f'{RATES},"reasoning":9000000,"audio_input":5000000,"image_input":2000000,"tools":{{"web_search":10000000000}}}},'
    '"tiers":{"batch":{"rates":{"input":500000}},'
    '"flex":{"rates":{"output":7000000,"image_output":8000000,"request":3000000}}}}'
)


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        pytest.param(13, {"input_uncached_tokens": 10}, id="input, and 3 for the request"),
        pytest.param(1003, {"input_uncached_tokens": 1000}, id="not long yet"),
        pytest.param(2002, {"input_uncached_tokens": 1001}, id="long"),
        pytest.param(4000, {"input_uncached_tokens": 1000, "cache_read_tokens": 1000}, id="long by what is cached"),
        pytest.param(8004, {"input_uncached_tokens": 2001}, id="longer"),
        pytest.param(
            1000 + 2002 + 14,
            {
                "input_uncached_tokens": 2001,
                "output_tokens": 2,
                "runs": '[{"input_uncached":1000,"output":2},{"input_uncached":1001}]',
            },
            id="one of two runs is long",
        ),
        pytest.param(3 + 70, {"output_tokens": 10}, id="output"),
        pytest.param(3 + 72, {"output_tokens": 10, "reasoning_tokens": 1}, id="reasoning apart"),
        pytest.param(3 + 18, {"output_tokens": 2, "reasoning_tokens": 5}, id="no more reasoning than output"),
        pytest.param(3 + 1, {"cache_read_tokens": 10}, id="cache read, 1.00001 rounded"),
        pytest.param(3 + 10, {"cache_write_5m_tokens": 8}, id="cache write"),
        pytest.param(3 + 10, {"cache_write_other_tokens": 8}, id="cache write for nobody knows how long"),
        pytest.param(3 + 10, {"cache_write_1h_tokens": 8}, id="for an hour, without a rate of its own"),
        pytest.param(
            3 + 4 + 15,
            {"input_uncached_tokens": 5, "audio_input_tokens": 9, "image_input_tokens": 2},
            id="images first, then audio",
        ),
        pytest.param(
            3 + 2 * 8 + 3 * 7, {"output_tokens": 5, "image_output_tokens": 2, "service_tier": "flex"}, id="images"
        ),
        pytest.param(
            3 + 4 * 8 + 7, {"output_tokens": 5, "reasoning_tokens": 1, "service_tier": "flex"}, id="images untold"
        ),
        pytest.param(3 + 20_000, {"server_tools": '{"web_search":2,"other":1}'}, id="tools"),
        pytest.param(50, {"input_uncached_tokens": 100, "service_tier": "batch"}, id="tier"),
        pytest.param(103, {"input_uncached_tokens": 100, "service_tier": "default"}, id="no such tier"),
        pytest.param(0, {"input_uncached_tokens": 1, "service_tier": "batch"}, id="0.5 is even at 0"),
        pytest.param(2, {"input_uncached_tokens": 3, "service_tier": "batch"}, id="1.5 is even at 2"),
        pytest.param(2, {"input_uncached_tokens": 5, "service_tier": "batch"}, id="2.5 is even at 2"),
        pytest.param(10, {"input_uncached_tokens": 7, "markup_ppm": -50_000}, id="discount, 9.5"),
        pytest.param(
            3,
            {"input_uncached_tokens": 5, "service_tier": "batch", "markup_ppm": 200_000},
            id="one rounding, with markup",
        ),
    ],
)
def test_costs_are_worked_out_from_price_and_tokens(cost: int, said: Row) -> None:
    story = Story()
    said = {"price_version": story.price(FULL), **said}
    for charged in (cost, cost + 1):
        story.end(story.start(None, 0, price_version=said["price_version"]), cost_nano=charged, **said)
    assert [(one.check, one.where, one.expected, one.found) for one in findings(story)] == [
        ("costs", "records req_2", cost, cost + 1)
    ]
