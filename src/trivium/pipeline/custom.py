"""Custom models of the organization that pays for a call: they stand before the catalogue, and cost nothing here
(behaviour page, sections 6 and 7)."""

from __future__ import annotations

from trivium.errors import OwnKeyRefused, OwnKeyUnreadable, SecretUnreadable
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.forward import forward
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller
from trivium.providers.custom import CustomModel, provider_of
from trivium.routing.catalog import ModelEntry, Target
from trivium.upstream.client import UpstreamResponse
from trivium.upstream.masked import MaskedResponse
from trivium.wire.fault import ABOUT_KEY
from trivium.wire.translate import Translation


def custom_target(caller: Caller | None, name: str, deps: Deps) -> Target | None:
    """The custom model of this name that the caller sees, if there is one. Its key is opened when it is called: what a
    caller may not do must be said whether or not it can be opened."""
    if caller is None or caller.organization is None or deps.custom_models is None:
        return None
    model = deps.custom_models.of(caller.organization.id).get(name)
    return _target(model) if model is not None else None


def custom_entries(caller: Caller | None, deps: Deps) -> list[tuple[ModelEntry, Target]]:
    """The custom models that the caller sees."""
    if caller is None or caller.organization is None or deps.custom_models is None:
        return []
    seen = deps.custom_models.of(caller.organization.id).values()
    return [(_entry(model), _target(model)) for model in seen]


async def send_custom(  # noqa: PLR0917
    call: Call, body: bytes, model: CustomModel, way: Translation | None, run: Run, deps: Deps
) -> UpstreamResponse:
    """As `forward`, to a custom model, whose key nobody is shown. Raises OwnKeyRefused, OwnKeyUnreadable too."""
    provider = provider_of(model, _opened(model, deps))
    response = await forward(call, body, Target(provider, model.upstream_id, custom=model, listed=True), way, run, deps)
    if response.status in ABOUT_KEY:
        response.close()
        raise _refused(model, response.status)
    keys = [value.removeprefix(b"Bearer ") for _, value in provider.headers]
    return MaskedResponse(response, keys) if keys else response


def _refused(model: CustomModel, status: int) -> OwnKeyRefused:
    """What its server says of its key is for its admins, who can ask it themselves."""
    error = OwnKeyRefused(
        f"The server of the model `{model.name}` refused the gateway with status {status}. An admin of the "
        "organization whose it is can give it another key."
    )
    error.status = status
    error.hints = ((b"x-should-retry", b"false"),)
    return error


def _target(model: CustomModel) -> Target:
    return Target(provider_of(model, None), model.upstream_id, custom=model, listed=True)


def _opened(model: CustomModel, deps: Deps) -> str | None:
    """The model's key, if it has one."""
    try:
        return deps.custom_models.key(model) if deps.custom_models is not None else None
    except SecretUnreadable as error:
        raise OwnKeyUnreadable(
            f"The key of the model `{model.name}` cannot be opened at the moment. The operator of this gateway has to "
            "put back what it was sealed with.",
            detail=error.message,
        ) from None


def _entry(model: CustomModel) -> ModelEntry:
    return ModelEntry(
        model.name,
        "custom",
        created=model.created_ms // 1000,
        display_name=model.settings.display_name,
        context=model.settings.context,
        output_limit=model.settings.output_limit,
    )
