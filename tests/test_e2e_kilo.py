"""Calls as Kilo's clients make them: headers, error members, tokens; and that `/v1` is as it was."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway import CALLS, CHAT, Running, running
from support_kilo import KILO_HEADERS, get, key_of, organization, person
from support_money import CREDITS, customer
from support_tokens import KEY, part, signed, token
from trivium.mock import Reply
from trivium.policy.caller import Role

TOKENS = f'[tokens]\nkey = "{KEY}"\n'
PLACES = [(prefix + path.removeprefix("/v1"), body) for prefix in ("/v1", "/api/openrouter") for path, body in CALLS]


def now() -> int:
    return int(time.time() * 1000)


async def last(house: Running) -> dict[str, Any]:
    return (await house.records())[0]


class TestHeaders:
    @pytest.mark.parametrize(("path", "body"), CALLS)
    async def test_what_a_client_tells_is_in_the_record(self, path: str, body: dict[str, Any]) -> None:
        async with running(Reply(text="Hi")) as house:
            project = {"x-kilocode-projectid": "git@example.com:acme/shop.git"}
            assert (await house.post(path, body, headers={**KILO_HEADERS, **project}))[0] == 200
            record = await house.record()
            sent = house.upstream.requests[-1].headers
        assert (record["task_id"], record["session_id"]) == (KILO_HEADERS["x-kilocode-taskid"],) * 2
        assert (record["mode"], record["feature"], record["editor"]) == ("code", "cli", "Kilo CLI 7.7.7")
        assert (record["machine_id"], record["client_project"]) == (KILO_HEADERS["x-kilocode-machineid"], "shop")
        assert (record["parent_task_id"], record["client_version"]) == (None, None)
        assert not [name for name, *_ in sent if "kilocode" in str(name).lower()]

    async def test_a_refusal_has_them_too_and_a_keys_project_wins(self) -> None:
        async with running() as house:
            key = key_of(house, project_id="ours")
            head = {**KILO_HEADERS, "x-kilocode-projectid": "theirs"}
            await house.post("/v1/chat/completions", {**CHAT, "model": ""}, key=key, headers=head)
            record = await house.record()
        assert (record["outcome"], record["feature"]) == ("refused", "cli")
        assert (record["project_id"], record["client_project"]) == ("ours", None)

    @pytest.mark.parametrize("name", ["x-trivium-organization", "x-kilocode-organizationid"])
    async def test_the_organization_has_two_names(self, name: str) -> None:
        async with running(Reply(text="Hi")) as house:
            key = await person(house)
            await organization(house, "acme", {"alice": Role.MEMBER}, models_deny=("m",))
            assert (await house.post("/v1/chat/completions", CHAT, key=key))[0] == 200
            status, answer, _ = await house.post("/v1/chat/completions", CHAT, key=key, headers={name: "acme"})
            stranger = await house.post("/v1/chat/completions", CHAT, key=key, headers={name: "other"})
        assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
        assert (stranger[0], stranger[1]["error"]["code"]) == (403, "not_a_member")


class TestErrors:
    @pytest.mark.parametrize("credential", [{}, {"authorization": "Bearer anonymous"}, {"x-api-key": "anonymous"}])
    @pytest.mark.parametrize(("path", "body"), PLACES)
    async def test_without_a_credential_clients_are_asked_to_sign_in(
        self, path: str, body: dict[str, Any], credential: dict[str, str]
    ) -> None:
        async with running() as house:
            status, answer, _ = await house.post(path, body, key=None, headers=credential)
            record = await house.record()
        code = "paid_model_auth_required"
        assert status == 401
        assert answer["error"]["code"] == (code.upper() if path.startswith("/api/") else code)
        assert record["error_code"] == code

    @pytest.mark.parametrize(("path", "body"), PLACES)
    async def test_a_402_tells_what_they_show(self, path: str, body: dict[str, Any]) -> None:
        async with running(settings=CREDITS) as house:
            await customer(house, "0.000001")
            status, answer, _ = await house.post(path, body)
        error = answer["error"]
        assert (status, error["code"], error["balance_usd"]) == (402, "insufficient_credits", "0.000001")
        if path.startswith("/v1"):
            assert not {"title", "balance", "buyCreditsUrl"} & error.keys()
            return
        told = (error["title"], error["balance"], error["buyCreditsUrl"])
        assert told == ("Credits needed", 0.000001, "https://pay.example/credits")
        assert "add credits" in error["message"]


class TestTokens:
    async def test_a_token_calls_as_its_user(self) -> None:
        async with running(Reply(text="Hi"), settings=TOKENS) as house:
            await person(house)
            for path, body in CALLS:
                assert (await house.post(path, body, key=token(now())))[0] == 200
            status, _, _ = await house.post("/v1/messages", CALLS[2][1], key=None, headers={"x-api-key": token(now())})
            record = await last(house)
            _, said = await get(house, "/api/profile", token(now()))
            of_alice = await house.gateway.operations.perform("requests", {"user": "alice"})
            summed = await house.gateway.operations.perform("usage", {"user": "alice", "by": ["key"]})
        assert status == 200
        assert len(of_alice["items"]) == summed[0]["requests"] == len(CALLS) + 1
        assert (record["user_id"], record["key_id"][:4]) == ("alice", "tok_")
        assert said["user"]["email"] == "alice@example.com"

    async def test_every_other_token_gets_the_one_answer_of_a_wrong_key(self) -> None:
        async with running(settings=TOKENS + 'issuer = "https://id.example"\n') as house:
            await person(house)
            good = {"kiloUserId": "alice", "exp": now() // 1000 + 60, "iss": "https://id.example"}
            head = {"alg": "HS256"}
            wrong = [
                f"{part({'alg': 'none'})}.{part(good)}.",
                signed({"alg": "HS384"}, good, hash="sha384"),
                signed(head, {**good, "iss": "https://other.example"}),
                signed(head, {**good, "exp": now() // 1000 - 1}),
                signed(head, {**good, "nbf": now() // 1000 + 600}),
                signed(b'{"alg":"HS256","alg":"HS256"}', good),
                signed(head, good, key="not the issuer's key, though long enough"),
                signed(head, {**good, "kiloUserId": "mallory"}),
            ]
            assert (await house.post("/v1/chat/completions", CHAT, key=signed(head, good)))[0] == 200
            _, expected, _ = await house.post("/v1/chat/completions", CHAT, key="tv-wrong")
            for text in wrong:
                status, answer, _ = await house.post("/v1/chat/completions", CHAT, key=text)
                assert (status, answer) == (401, expected), text

    async def test_where_no_issuer_is_trusted_none_is_a_credential(self) -> None:
        async with running() as house:
            await person(house)
            assert (await house.post("/v1/chat/completions", CHAT, key=token(now())))[0] == 401

    async def test_a_reset_and_a_block_take_effect_at_once(self) -> None:
        async with running(Reply(text="Hi"), settings=TOKENS) as house:
            await person(house)
            old = token(now())
            assert (await house.post("/v1/chat/completions", CHAT, key=old))[0] == 200
            made = await house.gateway.operations.perform("tokens.reset", {"user": "alice"})
            assert (await house.post("/v1/chat/completions", CHAT, key=old))[0] == 401
            fresh = token(now(), apiTokenPepper=made["pepper"])
            assert (await house.post("/v1/chat/completions", CHAT, key=fresh))[0] == 200
            await house.gateway.store.users.block(["alice"], None, "operator")
            status, answer, _ = await house.post("/v1/chat/completions", CHAT, key=fresh)
        assert (status, answer["error"]["code"]) == (403, "caller_blocked")

    async def test_for_an_organization_the_user_must_be_a_member(self) -> None:
        async with running(Reply(text="Hi"), settings=TOKENS) as house:
            await person(house)
            await organization(house, "acme", {"alice": Role.MEMBER})
            await organization(house, "other")
            seen = {
                id: (await house.post("/v1/chat/completions", CHAT, key=token(now(), organizationId=id)))[0]
                for id in ("acme", "other", "nowhere")
            }
            elsewhere = await house.post(
                "/v1/chat/completions",
                CHAT,
                key=token(now(), organizationId="acme"),
                headers={"x-kilocode-organizationid": "other"},
            )
        assert seen == {"acme": 200, "other": 403, "nowhere": 403}
        assert elsewhere[0] == 403

    async def test_beside_a_key_of_another_vendor_the_token_counts(self) -> None:
        async with running(Reply(text="Hi"), settings=TOKENS) as house:
            await person(house)
            head = {"x-api-key": "sk-ant-left-over"}
            assert (await house.post("/v1/chat/completions", CHAT, key=token(now()), headers=head))[0] == 200
            assert (await house.post("/v1/chat/completions", CHAT, headers={"x-api-key": token(now())}))[0] == 200
            record = await last(house)
        assert record["key_id"].startswith("key_")  # of a key of ours and a token, the key
