"""Models of the catalogue as the configuration has them."""

from __future__ import annotations

import pytest

from gateway import running
from test_e2e_attempts import TWO
from trivium import config
from trivium.canon.api import Api
from trivium.errors import ConfigError
from trivium.routing.routes import check_routing, routed_models

ONE = '[catalog.models.m]\nroutes = [{ to = "a/x/y", weight = 2, apis = ["chat"], needs = ["data_collection"] }]\n'


def test_a_route_is_a_provider_and_the_rest_is_its_id() -> None:
    model = routed_models(config.parse(ONE + 'aliases = ["M2"]\n').catalog.models)["M2"]
    (route,) = model.routes
    assert (model.id, route.provider, route.model, route.weight) == ("m", "a", "x/y", 2)
    assert (route.apis, route.collects, route.retains) == (frozenset({Api.CHAT}), True, False)
    assert model.names == ("m", "m2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[catalog.models.m]\nroutes = []\n", "catalog.models"),
        ('[catalog.models.m]\nroutes = [{ to = "noslash" }]\n', "catalog.models"),
        ('[catalog.models.m]\nroutes = [{ to = "a/b", wait = 1 }]\n', "catalog.models"),
        ('[aliases]\nm = "a/b"\n' + ONE, "'m' is an alias too"),
        (
            ONE + '[catalog.models.n]\naliases = ["m"]\nroutes = [{ to = "a/b" }]\n',
            "'m' is the model m of the catalogue",
        ),
        ('[catalog.models." m"]\nroutes = [{ to = "a/b" }]\n', "blanks around it"),
        ("[routing]\nfailures = 0\n", "routing.failures"),
        ('[routing.canary]\nmain = "a"\n', "routing.canary"),
        ("[routing]\nwait = 1\n", "unknown setting"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.parse(text)
    assert said in error.value.message
    assert error.value.message.startswith("trivium.toml:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE, "catalog.models.m.routes: there is no provider 'a'"),
        ('[routing]\nemergency_provider = "z"\n', "routing.emergency_provider: there is no provider 'z'"),
        ('[routing.canary]\nmain = "b"\nto = "z"\n', "routing.canary.to: there is no provider 'z'"),
        ('[routing.canary]\nmain = "b"\nto = "b"\n', "routing.canary.to: the canary must be another provider"),
        ('[catalog.models.m]\nroutes = [{ to = "b/1" }, { to = "b/1" }]\n', "m.routes: 'b/1' stands there twice"),
    ],
)
def test_routes_lead_to_providers_that_there_are(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_routing(config.parse(text), ["b"])
    assert said in error.value.message


async def test_lists_show_a_model_of_the_catalogue_like_any_other() -> None:
    settings = TWO + '[catalog.models.big]\nname = "Big"\ncontext = 5000\nroutes = [{ to = "a/one" }]\n'
    async with running(settings=settings) as house:
        entries = {entry.id: entry for entry, _ in house.gateway.deps.catalog.entries()}
        assert (entries["big"].display_name, entries["big"].context) == ("Big", 5000)
        assert {"twin", "shared", "dead-first"} <= entries.keys()
        assert "pair" not in entries
