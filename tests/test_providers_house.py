"""Models of the house as they are configured."""

from __future__ import annotations

import pytest

from trivium.config import parse
from trivium.errors import ConfigError
from trivium.providers.house import check_routes, house_models

TEXT = """
[free.models."house/quick"]
route = "acme/vendor/quick-1"
context = 1000
stealth = true

[free.models.plain]
route = "acme/p"
"""


def test_a_route_is_a_provider_and_its_own_id_of_the_model() -> None:
    found = house_models(parse(TEXT).free)
    quick, plain = found["house/quick"], found["plain"]
    assert (quick.id, quick.provider, quick.model) == ("house/quick", "acme", "vendor/quick-1")
    assert (quick.stealth, quick.said.context) == (True, 1000)
    assert (plain.provider, plain.model, plain.stealth) == ("acme", "p", False)


@pytest.mark.parametrize("provider_collects", [True, False])
def test_whether_data_is_collected_is_the_models_word_then_the_providers(provider_collects: bool) -> None:
    for stealth in ("true", "false"):
        for word in ("true", "false"):
            text = f'[free.models.m]\nroute = "a/b"\nstealth = {stealth}\nrequires_data_collection = {word}'
            model = house_models(parse(text).free)["m"]
            assert model.collects(provider_collects=provider_collects) is (word == "true")
    plain = house_models(parse('[free.models.m]\nroute = "a/b"').free)["m"]
    assert plain.collects(provider_collects=provider_collects) is provider_collects
    hidden = house_models(parse('[free.models.m]\nroute = "a/b"\nstealth = true').free)["m"]
    assert hidden.collects(provider_collects=provider_collects)


def test_a_route_to_nobody_stops_the_start() -> None:
    settings = parse(TEXT, "t.toml")
    check_routes(settings, ["acme"])
    with pytest.raises(ConfigError) as raised:
        check_routes(settings, ["other"])
    assert raised.value.message == "t.toml:3: free.models.house/quick.route: there is no provider 'acme'"
