"""Points of the review that must hold, by their numbers and in policy's part: 11, 15 and 16.

Each in all three APIs, and with no call upstream where one is refused.
"""

from __future__ import annotations

from typing import Any

from support_money import APIS, in_every_api, shop, whole
from support_people import People
from trivium.mock import Reply

RECORDS = {"chat": "chat_completions", "responses": "responses", "messages": "messages"}
"""An API by the name that gates have for it."""


@in_every_api
async def test_review_point_16_a_gate_for_admins_is_a_403_in_the_apis_shape_to_others(api: str) -> None:
    async with shop(Reply(body=whole(api, "Hi", None))) as house:
        people = People(house)
        await people("users.create", id="ann", name="Ann", staff=True)
        staff, other = await people.key(user="ann"), await people.user("bob")
        await people.settings(apis={RECORDS[api]: {"open_to": "admins"}})
        for key in (other, house.key):
            assert await people.refusal(api, key) == (403, "api_not_available")
        assert house.upstream.requests == []
        assert (await people.ask(api, staff))[0] == 200
        # The other APIs are open as before, and so is this one when the gate is.
        open_ones = [name for name in APIS if name != api]
        assert [(await people.ask(name, other))[0] != 403 for name in open_ones] == [True, True]
        await people.settings()
        assert (await people.ask(api, other))[0] == 200
        refused = [row for row in await house.records() if row["error_code"] == "api_not_available"]
        assert [(row["status"], row["outcome"], row["cost_nano"]) for row in refused] == [(403, "refused", 0)] * 2


@in_every_api
async def test_review_point_11_who_denies_data_collection_reaches_no_provider_that_may_collect(api: str) -> None:
    quiet = 'apis = ["chat", "responses", "messages"]\ncollects_data = false\n'
    for provider, status in (('apis = ["chat", "responses", "messages"]\n', 403), (quiet, 200)):
        async with shop(Reply(body=whole(api, "Hi", None)), provider=provider) as house:
            people = People(house)
            await people.organization("acme", policy={"data_collection": "deny"})
            key = await people.key(organization="acme", user="acme-member")
            assert (await people.ask(api, key))[0] == status
            assert len(house.upstream.requests) == (status == 200)
            # Others reach it all the same.
            assert (await people.ask(api, house.key))[0] == 200


@in_every_api
async def test_review_point_15_models_in_a_body_reach_nothing_beside_the_allow_list(api: str) -> None:
    fallbacks: list[dict[str, Any]] = [
        {"models": ["up/dear"]},
        {"fallbacks": ["dear"]},
        {"models": ["up/m", "dear"]},
        {"tools": [{"type": "openrouter:advisor", "parameters": {"model": "dear"}}], "tool_choice": "required"},
        {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]},
        {"tools": [{"type": "image_generation", "model": "dear"}]},
        {"plugins": [{"id": "fusion", "analysis_models": ["dear"], "model": "dear"}]},
        {"Model": "dear"},
        {"safety_model": "dear"},
        *(
            [{"input": [{"type": "additional_tools", "tools": [{"type": "x:y", "model": "dear"}]}]}]
            if api == "responses"
            else []
        ),
    ]
    async with shop(Reply(body=whole(api, "Hi", None))) as house:
        people = People(house)
        await people.organization("acme", policy={"models_allow": ["up/m"]})
        key = await people.key(organization="acme", user="acme-member")
        assert await people.refusal(api, key, "up/dear") == (403, "model_not_allowed")
        for more in fallbacks:
            status, _ = await people.ask(api, key, **more)
            assert status in (200, 400)
        for asked in house.upstream.requests:
            assert asked.json["model"] == "m"
            assert "dear" not in str(asked.json)


@in_every_api
async def test_review_point_15_a_preset_is_no_fallback(api: str) -> None:
    """Its name is that of a model which is allowed; what it brings along nobody here knows."""
    async with shop(Reply(status=500, body={"error": {"message": "no"}})) as house:
        people = People(house)
        await people.organization("acme", policy={"models_allow": ["up/m"]})
        key = await people.key(organization="acme", user="acme-member")
        status, body = await people.ask(api, key, trivium_fallbacks=["up/m@preset/dear"])
        assert (status, body["error"]["code"]) == (400, "unsupported_field")
        status, _ = await people.ask(api, key, trivium_fallbacks=["up/m:nitro"])
        assert status >= 500
        assert ["@" in asked.json["model"] for asked in house.upstream.requests] == [False, False]
