"""Point 5 of the review that must hold: `auto/frontier` and every mode of the table, on each API, with no setting of
the client's, gives exactly the fields of the vendors page."""

from __future__ import annotations

from typing import Any

from gateway import ALL_APIS, Running, running
from support_money import BODIES, PATHS, in_every_api
from trivium.mock import Reply

OPUS, SONNET = "anthropic/claude-opus-4.7", "anthropic/claude-sonnet-4.6"
TABLE: dict[str | None, tuple[str, str]] = {
    **dict.fromkeys(("plan", "architect", "orchestrator", "ask", "debug"), (OPUS, "high")),
    "general": (OPUS, "medium"),
    **dict.fromkeys(("build", "explore", "", None), (SONNET, "medium")),
    **dict.fromkeys(("code", "anything-else"), (SONNET, "low")),
}
OPENROUTER = f'type = "openrouter"\nkey = "sk"\n{ALL_APIS}\nmodels = ["{OPUS}", "{SONNET}"]'
_UNMARKED = "[adapt]\ncache_marks = false\n"
"""Without a rule that is not about auto models."""
ON = _UNMARKED + '[auto]\nenabled = true\n[models."up/*"]\nfree = true\n'
OFF = (
    _UNMARKED
    + '[models."up/*"]\nfree = true\n[[auto."auto/dull".choices]]\nmodels = ["*claude-*"]\nreasoning = false\n'
)


async def sent(house: Running, api: str, model: str, mode: str | None, **more: Any) -> dict[str, Any]:
    """What of the upstream's request the client did not write."""
    body = {**BODIES[api], "model": model, **more}
    headers = {"x-trivium-mode": mode} if mode is not None else None
    status, said, _ = await house.post(PATHS[api], body, headers=headers)
    assert status == 200, said
    return {name: value for name, value in house.upstream.requests[-1].json.items() if body.get(name) != value}


def fields(api: str, effort: str) -> dict[str, Any]:
    if api == "chat":
        return {"reasoning": {"enabled": True}, "verbosity": effort}
    if api == "responses":
        return {"reasoning": {"enabled": True}, "text": {"verbosity": effort}}
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}


@in_every_api
async def test_review_point_5_every_mode_of_frontier_sets_exactly_the_fields_of_the_table(api: str) -> None:
    async with running(Reply(text="Hi"), settings=ON, provider=OPENROUTER) as house:
        for id in ("auto/frontier", "kilo-auto/frontier", "kilo/auto"):
            for mode, (model, effort) in TABLE.items():
                for spelt in (mode, f"  {mode.upper()} ") if mode else (mode,):
                    found = await sent(house, api, id, spelt)
                    assert found == {"model": model, **fields(api, effort)}, (id, spelt)


async def test_review_point_5_messages_at_anthropic_itself() -> None:
    provider = 'type = "anthropic"\nkey = "sk"\nmodels = ["claude-opus-4-7", "claude-sonnet-4-6"]'
    async with running(Reply(text="Hi"), settings=ON, provider=provider) as house:
        found = await sent(house, "messages", "auto/frontier", "plan")
    assert found == {
        "model": "claude-opus-4-7",
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }


@in_every_api
async def test_review_point_5_reasoning_off_is_disabled(api: str) -> None:
    async with running(Reply(text="Hi"), settings=OFF, provider=OPENROUTER) as house:
        found = await sent(house, api, "auto/dull", "plan")
    off = {"thinking": {"type": "disabled"}} if api == "messages" else {"reasoning": {"enabled": False}}
    assert found == {"model": OPUS, **off}
