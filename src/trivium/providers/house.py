"""Models that the house gives away under ids of its own: who answers, and what may be told of it (behaviour page,
section 4)."""

from __future__ import annotations

from collections.abc import Container, Mapping

import msgspec

from trivium.settings import FreeModelSettings, FreeSettings, Settings, wrong_setting


class HouseModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the house. Of a stealth one nothing but this value's id, name, sizes and abilities is told."""

    id: str
    provider: str
    """By its name."""
    model: str
    """The provider's own id of it."""
    said: FreeModelSettings

    @property
    def stealth(self) -> bool:
        return self.said.stealth

    def collects(self, *, provider_collects: bool) -> bool:
        """Whether whoever answers may keep prompts or learn from them. Of a stealth model the answer does not depend on
        the provider, for it would tell something of it."""
        if self.said.requires_data_collection is not None:
            return self.said.requires_data_collection
        return self.stealth or provider_collects


def house_models(settings: FreeSettings) -> Mapping[str, HouseModel]:
    """All that are configured, by their ids."""
    found = {}
    for id, said in settings.models.items():
        provider, _, model = said.route.partition("/")
        found[id] = HouseModel(id=id, provider=provider, model=model, said=said)
    return found


def check_routes(settings: Settings, providers: Container[str]) -> None:
    """Every route begins with a provider that there is. Raises ConfigError."""
    for id, model in house_models(settings.free).items():
        if model.provider not in providers:
            path, problem = ("free", "models", id, "route"), f"there is no provider {model.provider!r}"
            raise wrong_setting(settings.source, path, problem)
