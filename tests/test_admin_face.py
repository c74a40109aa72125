"""The admin API as an operator meets it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gateway import CHAT, running
from support_admin import Operator, administered
from trivium import ids
from trivium.admin.face import MOST_BYTES
from trivium.errors import StoreUnavailable
from trivium.policy.guesses import MOST
from trivium.store.answers import Keeping

KEY = {"idempotency-key": "k-1"}


async def acme(house: Operator) -> Operator:
    """An organization with an owner; the owner."""
    await house.made("/users", {"id": "ann", "name": "Ann"})
    await house.made("/organizations", {"id": "acme", "name": "Acme", "owner": "ann"})
    return await house.of_user("ann")


class TestCredentials:
    async def test_whatever_is_no_live_credential_gets_one_answer(self) -> None:
        async with administered() as house:
            revoked = await house.of_user(None)
            (id,) = [row["id"] for row in (await house("GET", "/admins")).body["data"] if row["name"] == "test"]
            assert (await revoked("GET", "/users")).status == 200
            assert (await house("DELETE", f"/admins/{id}")).status == 200
            none = [
                *(None, "x", "tva-", ids.new_admin_credential(), house.house.key, ids.new_api_key()),
                *(revoked.credential, f"{house.credential}x", "anonymous"),
            ]
            told = [await house.as_(credential)("GET", "/users") for credential in none]
            told.append(await house.as_(None)("GET", "/users", headers={"x-api-key": house.credential or ""}))
            told.append(await house.as_(None)("GET", "/users", headers={"authorization": house.credential or ""}))
        assert {answer.status for answer in told} == {401}
        assert len({answer.raw for answer in told}) == 1
        assert told[0].headers["www-authenticate"].startswith("Bearer")
        assert told[0].body["error"]["code"] == "invalid_admin_credential"

    async def test_a_credential_is_no_api_key(self) -> None:
        async with administered() as house:
            assert (await house.house.post("/v1/chat/completions", CHAT, key=house.credential))[0] == 401

    async def test_guessing_ends_and_locks_nobody_out_who_is_known(self) -> None:
        async with administered() as house:
            late = await house.of_user(None)
            assert (await house("GET", "/users")).status == 200
            guesses = [await house.as_(ids.new_admin_credential())("GET", "/users") for _ in range(MOST + 1)]
            assert [answer.status for answer in guesses] == [401] * MOST + [429]
            assert int(guesses[-1].headers["retry-after"]) > 0
            assert (await house("GET", "/users")).status == 200
            assert (await late("GET", "/users")).status == 429
            assert (await house.house.post("/v1/chat/completions", CHAT))[0] == 200  # its own count

    async def test_roles_are_those_of_this_moment(self) -> None:
        async with administered() as house:
            ann = await acme(house)
            await house.made("/users", {"id": "bob", "name": "Bob"})
            await ann.made("/organizations/acme/members/bob", {"role": "member"}, "PUT")
            bob = await house.of_user("bob")
            assert (await bob("GET", "/organizations/acme")).status == 404
            assert (await bob("POST", "/organizations/acme/members/bob/accept", {"role": "member"})).status == 200
            rename = ("PATCH", "/organizations/acme", {"name": "B"})
            assert await bob.error(*rename) == (403, "role_missing", None)
            await ann.made("/organizations/acme/members/bob", {"role": "admin"}, "PUT")
            assert (await bob(*rename)).status == 200
            assert (await ann("DELETE", "/organizations/acme/members/bob")).status == 200
            assert await bob.error(*rename) == (404, "not_found", None)
            await house.made("/blocked-users", {"users": ["ann"]})
            assert (await ann("GET", "/organizations/acme")).status == 401

    async def test_a_store_that_is_gone_is_no_wrong_credential(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def gone(*_: object) -> None:
            raise StoreUnavailable("The store cannot be reached.")

        async with administered() as house:
            monkeypatch.setattr(house.house.gateway.store.admins.database, "ask", gone)
            told = await house("GET", "/users")
            monkeypatch.undo()
            assert (await house("GET", "/users")).status == 200
        assert (told.status, told.body["error"]["code"]) == (503, "store_unavailable")
        assert told.headers["retry-after"] == "1"

    async def test_it_can_be_switched_off(self) -> None:
        async with running(settings="[admin]\nenabled = false\n") as house:
            assert (await house.post("/admin/v1/users", {}))[0] == 404


class TestRequests:
    async def test_every_answer_has_its_id_and_is_not_stored(self) -> None:
        async with administered() as house:
            told = [
                await house("GET", "/users"),
                await house("GET", "/nowhere"),
                await house("POST", "/users", {}),
                await house.as_(None)("GET", "/users"),
                await house("OPTIONS", "/users"),
                await house("HEAD", "/users"),
            ]
        assert len({answer.headers["x-trivium-request-id"] for answer in told}) == len(told)
        assert {answer.headers["cache-control"] for answer in told} == {"no-store"}
        assert not any(name.startswith("access-control") for answer in told for name in answer.headers)

    async def test_paths_and_methods(self) -> None:
        async with administered() as house:
            for path in ("", "/", "/nowhere", "/users/", "/users//unblock", "/users/ann/x", "/organizations/acme/x"):
                assert await house.error("GET", path) == (404, "path_not_found", None)
            wrong = await house("PUT", "/users", {})
            options, head = await house("OPTIONS", "/users"), await house("HEAD", "/users")
            assert (await house("GET", "/users/%ff")).status == 400
            assert (await house("GET", "/users/a%00b")).status == 400
            assert (await house("GET", "/users/a%2Fb")).status == 400  # one part, and no id
        assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
        assert (options.status, options.headers["allow"], options.raw) == (204, "GET, POST, HEAD, OPTIONS", b"")
        assert (head.status, head.raw, int(head.headers["content-length"]) > 0) == (200, b"", True)

    async def test_bodies_that_are_none(self) -> None:
        async with administered() as house:
            assert await house.error("POST", "/users", raw=b"{") == (400, "invalid_json", None)
            assert await house.error("POST", "/users", raw=b"") == (400, "invalid_json", None)
            assert await house.error("POST", "/users", raw=b"\xff") == (400, "invalid_json", None)
            assert await house.error("POST", "/users", raw=b"[" * 100_000) == (400, "invalid_json", None)
            assert await house.error("POST", "/users", raw=b"[1]") == (400, "invalid_field", None)
            assert await house.error("POST", "/users", {"name": "a\0b"}) == (400, "invalid_field", None)
            text = {"content-type": "text/plain"}
            assert await house.error("POST", "/users", raw=b"{}", headers=text) == (415, "not_json", "Content-Type")
            packed = {"content-encoding": "gzip"}
            assert (await house.error("POST", "/users", raw=b"{}", headers=packed))[0] == 415
            assert (await house("POST", "/users/ann/unblock", {"name": "x"})).status == 400
            charset = {"content-type": "Application/JSON; charset=utf-8"}
            assert (await house("POST", "/users", {"name": "x"}, headers=charset)).status == 201

    async def test_a_body_that_is_too_large_is_refused_unread_or_read(self) -> None:
        async with administered() as house:
            large = b'{"name": "' + b"x" * MOST_BYTES + b'"}'
            assert (await house.error("POST", "/users", raw=large))[:2] == (413, "body_too_large")

            async def parts() -> Any:
                for _ in range(18):
                    yield b"x" * (MOST_BYTES // 16)

            assert (await house.error("POST", "/users", raw=parts()))[:2] == (413, "body_too_large")

    async def test_a_stranger_is_told_so_before_the_body_is_read(self) -> None:
        async with administered() as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.house.port)
            writer.write(b"POST /admin/v1/users HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
            writer.close()

    @pytest.mark.parametrize(
        ("method", "path", "body", "param"),
        [
            ("POST", "/users", {}, "name"),
            ("POST", "/users", {"name": 1}, "name"),
            ("POST", "/users", {"name": "x", "nmae": "y"}, "nmae"),
            ("POST", "/users", {"name": "x", "limits": {"requests_per_minute": "1"}}, "limits.requests_per_minute"),
            ("POST", "/users", {"name": "x", "limits": {"a": 1}}, "limits.a"),
            ("POST", "/users", {"name": "x", "id": "a/b"}, "id"),
            ("POST", "/blocked-users", {"users": ["a", 1]}, "users[1]"),
            ("GET", "/users?limit=x", None, "limit"),
            ("GET", "/users?limit=0", None, "limit"),
            ("GET", "/users?limit=1&limit=2", None, "limit"),
            ("GET", "/users?cursor=%00", None, "cursor"),
            ("GET", "/users?after=a", None, "after"),
            ("GET", "/users?name=a", None, "name"),
            ("DELETE", "/admins/x?y=1", None, "y"),
            ("GET", "/users/a%20b", None, "user"),
            ("GET", "/organizations/acme/entries?user=ann", None, "user"),
            ("GET", "/organizations/acme/accounts?user=ann", None, "user"),
        ],
    )
    async def test_what_is_wrong_is_named(self, method: str, path: str, body: Any, param: str) -> None:
        async with administered() as house:
            assert await house.error(method, path, body) == (400, "invalid_field", param)

    @pytest.mark.parametrize(
        ("method", "path", "body", "words"),
        [
            ("GET", "/requests?outcome=lost", None, "success, refused, failed, aborted"),
            ("GET", "/usage/report?by=model&by=colour", None, "hour, day, model, "),
            ("PUT", "/organizations/acme/members/ann", {"role": "boss"}, "owner, admin, member, billing"),
            ("PUT", "/settings", {"apis": {"soap": {}}}, "chat_completions, "),
            ("POST", "/keys", {"name": "k", "scopes": {"apis": ["soap"]}}, "chat_completions, "),
        ],
    )
    async def test_of_words_the_possible_ones_are_told(self, method: str, path: str, body: Any, words: str) -> None:
        async with administered() as house:
            told = await house(method, path, body)
            assert told.status == 400
            assert f"; expected one of {words}" in told.body["error"]["message"]

    async def test_what_belongs_to_nobody_is_not_there(self) -> None:
        async with administered() as house:
            for path in ("/accounts/nope/entries", "/users/nope/invitations", "/users/nope/upstream-keys"):
                assert await house.error("GET", path) == (404, "not_found", None)
            assert (await house("GET", "/keys?user=nope")).body["data"] == []
            await house.made("/users", {"id": "ann", "name": "Ann"})
            for path in ("/accounts/ann/entries", "/users/ann/invitations", "/users/ann/upstream-keys"):
                assert (await house("GET", path)).body["data"] == []

    async def test_a_fault_of_ours_is_one_answer_and_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        async with administered() as house:
            operations = house.house.gateway.operations

            async def act(*_: Any) -> None:
                raise ZeroDivisionError("secret-canary")

            operations.table["users.list"] = msgspec.structs.replace(operations.table["users.list"], act=act)
            told = await house("GET", "/users")
        assert (told.status, told.body["error"]["code"]) == (500, "internal_error")
        assert b"canary" not in told.raw
        assert told.headers["x-trivium-request-id"] in caplog.text


class TestLists:
    async def test_they_come_in_parts(self) -> None:
        async with administered() as house:
            for n in range(5):
                await house.made("/users", {"id": f"u{n}", "name": "x"})
            seen, path = [], "/users?limit=2"
            while True:
                part = (await house("GET", path)).body
                assert set(part) == {"data", "next_cursor"}
                seen.append([user["id"] for user in part["data"]])
                if part["next_cursor"] is None:
                    break
                path = f"/users?limit=2&cursor={part['next_cursor']}"
        assert seen == [["u0", "u1"], ["u2", "u3"], ["u4"]]

    async def test_the_log_is_newest_first_and_names_who_did_it(self) -> None:
        async with administered() as house:
            for n in range(3):
                await house.made("/users", {"id": f"u{n}", "name": "x"})
            first = (await house("GET", "/changes?limit=2")).body
            second = (await house("GET", f"/changes?limit=2&cursor={first['next_cursor']}")).body
            (admin,) = (await house("GET", "/admins")).body["data"]
        assert [row["target"] for row in first["data"]] == ["u2", "u1"]
        assert [row["target"] for row in second["data"]] == ["u0", admin["id"]]
        assert {row["actor"] for row in first["data"]} == {admin["id"]}


class TestSettings:
    async def test_what_was_changed_meanwhile_is_not_overwritten(self) -> None:
        async with administered() as house:
            ann = await acme(house)
            path = "/organizations/acme/settings"
            first = await ann("GET", path)
            mine = {**first.body["settings"], "limits": {"requests_per_minute": 5}}
            assert await ann.error("PUT", path, mine) == (428, "version_required", "If-Match")
            tag = {"if-match": first.headers["etag"]}
            done = await ann("PUT", path, mine, headers=tag)
            late = await ann("PUT", path, mine, headers=tag)
            assert (done.status, late.status, late.body["error"]["code"]) == (200, 412, "changed_meanwhile")
            assert done.headers["etag"] != first.headers["etag"]
            assert (await ann("PUT", path, mine, headers={"if-match": "*"})).status == 200
            for odd, status in (
                ('W/"4"', 412),
                ('"x"', 412),
                ('"\u0661"', 412),
                ("4", 400),
                ("", 400),
                ('"3", "4"', 400),
            ):
                assert (await ann.error("PUT", path, mine, headers={"if-match": odd}))[0] == status
            wrong = await ann.error("PUT", path, {"policy": {"zdr": 1}}, headers={"if-match": "*"})
            assert wrong == (400, "invalid_field", "policy.zdr")

    async def test_what_the_caller_knows_is_not_sent_again(self) -> None:
        async with administered() as house:
            first = await house("GET", "/settings")
            same = await house("GET", "/settings", headers={"if-none-match": f'"x", {first.headers["etag"]}'})
            other = await house("GET", "/settings", headers={"if-none-match": '"99"'})
            await house("PUT", "/settings", {"key_limits": {"requests_per_minute": 1}}, headers={"if-match": "*"})
            after = await house("GET", "/settings", headers={"if-none-match": first.headers["etag"]})
        assert (first.status, same.status, other.status, after.status) == (200, 304, 200, 200)
        assert (same.raw, same.headers["etag"]) == (b"", first.headers["etag"])
        assert after.body["settings"]["key_limits"]["requests_per_minute"] == 1


class TestIdempotency:
    async def test_the_same_again_gets_the_same_answer(self) -> None:
        async with administered() as house:
            first = await house("POST", "/keys", {"name": "x"}, headers=KEY)
            again = await house("POST", "/keys", {"name": "x"}, headers=KEY)
            fresh = await house("POST", "/keys", {"name": "x"}, headers={"idempotency-key": "k-2"})
            keys = (await house("GET", "/keys")).body["data"]
        assert (first.status, again.status) == (201, 201)
        assert first.body["key"].startswith("tv-")
        assert again.raw == first.raw
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
        assert fresh.body["id"] != first.body["id"]
        assert sum(key["name"] == "x" for key in keys) == 2

    async def test_who_may_not_any_more_is_not_told_again_what_was_answered(self) -> None:
        async with administered() as house:
            await acme(house)
            await house.made("/users", {"id": "mike", "name": "Mike"})
            await house.made("/organizations/acme/members/mike", {"role": "admin"}, "PUT")
            mike = await house.of_user("mike")
            asked = ("POST", "/organizations/acme/keys", {"name": "ci"})
            first = await mike(*asked, headers=KEY)
            assert (await mike(*asked, headers=KEY)).body == first.body
            await house.made("/organizations/acme/members/mike", {"role": "member"}, "PUT")
            assert (await mike(*asked, headers=KEY)).status == 403
            assert (await house("DELETE", "/organizations/acme/members/mike")).status == 200
            assert (await mike(*asked, headers=KEY)).status == 404

    async def test_another_request_under_the_same_key_is_refused(self) -> None:
        async with administered() as house:
            await house("POST", "/users", {"name": "x"}, headers=KEY)
            for method, path, body in (
                ("POST", "/users", {"name": "y"}),
                ("POST", "/keys", {"name": "x"}),
                ("PATCH", "/users/x", {"name": "x"}),
            ):
                refused = await house.error(method, path, body, headers=KEY)
                assert refused == (422, "idempotency_key_reused", "Idempotency-Key")

    async def test_of_other_credits_at_once_one_is_made(self) -> None:
        async with administered() as house:
            await acme(house)
            tried = [
                house("POST", f"/accounts/acme/{kind}", {"usd": usd}, headers=KEY)
                for kind in ("grants", "top-ups")
                for usd in ("1", "2", "3")
            ]
            told = await asyncio.gather(*tried)
            assert sorted(answer.status for answer in told) == [201, *[422] * 5]
            for answer in told:
                if answer.status == 422:
                    assert answer.body["error"]["code"] == "idempotency_key_reused"
                    assert KEY["idempotency-key"] not in str(answer.body)

    async def test_of_many_at_once_one_is_made(self) -> None:
        async with administered() as house:
            tried = [house("POST", "/keys", {"name": "x"}, headers=KEY) for _ in range(20)]
            told = await asyncio.gather(*tried)
            keys = (await house("GET", "/keys")).body["data"]
        assert {answer.status for answer in told} == {201}
        assert len({answer.raw for answer in told}) == 1
        assert sum(key["name"] == "x" for key in keys) == 1

    @pytest.mark.parametrize(("path", "body"), [("/accounts", {"name": "x"}), ("/secrets/rotate", {})])
    async def test_of_many_at_once_all_get_the_answer_also_where_it_is_known_last(self, path: str, body: Any) -> None:
        async with administered() as house:
            told = await asyncio.gather(*(house("POST", path, body, headers=KEY) for _ in range(8)))
        assert len({answer.raw for answer in told}) == 1
        assert told[0].status < 300
        assert sum("idempotent-replayed" in answer.headers for answer in told) == 7

    async def test_what_a_crash_cut_off_is_answered_afterwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def crash(*_: object) -> None:
            raise SystemError("as if the process ended here")

        async with administered() as house:
            other = {"idempotency-key": "k-2"}
            with monkeypatch.context() as patched:
                patched.setattr(Keeping, "complete", crash)
                assert (await house("POST", "/keys", {"name": "x"}, headers=KEY)).status == 500
                assert (await house("POST", "/accounts", {"name": "x"}, headers=other)).status == 500
            account = await house("POST", "/accounts", {"name": "x"}, headers=other)
            assert (account.status, account.body) == (201, (await house("GET", "/accounts")).body["data"][0])
            (made,) = [key for key in (await house("GET", "/keys")).body["data"] if key["name"] == "x"]
            again = await house("POST", "/keys", {"name": "x"}, headers=KEY)
            assert (again.status, again.body["id"]) == (201, made["id"])
            assert (await house.house.post("/v1/chat/completions", CHAT, key=again.body["key"]))[0] == 200
            assert sum(key["name"] == "x" for key in (await house("GET", "/keys")).body["data"]) == 1

    async def test_one_callers_keys_are_not_anothers(self) -> None:
        async with administered() as house:
            other = await house.of_user(None)
            first = await house("POST", "/users", {"name": "x"}, headers=KEY)
            second = await other("POST", "/users", {"name": "x"}, headers=KEY)
        assert first.body["id"] != second.body["id"]

    async def test_a_refusal_may_be_mended(self) -> None:
        async with administered() as house:
            assert (await house("PATCH", "/users/ann", {"name": "A"}, headers=KEY)).status == 404
            await house.made("/users", {"id": "ann", "name": "Ann"})
            assert (await house("PATCH", "/users/ann", {"name": "A"}, headers=KEY)).status == 200

    async def test_a_key_must_be_one(self) -> None:
        async with administered() as house:
            for key in ("", "x" * 256, "a b", "\u00e9"):
                refused = await house.error("POST", "/users", {"name": "x"}, headers={"idempotency-key": key})
                assert refused == (400, "invalid_field", "Idempotency-Key")

    async def test_credits_are_given_once_also_by_the_ledgers_own_account(self) -> None:
        async with administered() as house:
            await house.made("/accounts", {"id": "acme", "name": "Acme"})
            for _ in range(2):
                told = await house("POST", "/accounts/acme/grants", {"usd": "5"}, headers=KEY)
                assert told.body["account"]["balance_usd"] == "5"
            with house.house.gateway.store.database.transaction() as tx:
                tx.execute("DELETE FROM answers")
            again = await house("POST", "/accounts/acme/grants", {"usd": "5"}, headers=KEY)
            assert (again.body["made"], again.body["account"]["balance_usd"]) == (False, "5")

    async def test_a_key_for_credits_is_as_long_as_any(self) -> None:
        longest = {"idempotency-key": "k" * 255}
        async with administered() as house:
            await house.made("/accounts", {"id": "acme", "name": "Acme"})
            for _ in range(2):
                told = await house("POST", "/accounts/acme/grants", {"usd": "5"}, headers=longest)
                assert (told.status, told.body["account"]["balance_usd"]) == (201, "5")

    async def test_nothing_that_is_kept_can_be_read_in_the_database(self) -> None:
        async with administered() as house:
            made = await house("POST", "/keys", {"name": "x"}, headers=KEY)
            rows = house.house.gateway.store.database.query("SELECT * FROM answers")[1]
        raw = b"".join(bytes(value) for row in rows for value in row if not isinstance(value, int))
        assert len(rows) == 1
        assert made.body["key"].encode() not in raw
        assert made.body["id"].encode() not in raw


@pytest.mark.parametrize(
    "path", ["/accounts/nope/grants", "/accounts/nope/top-ups", "/accounts/nope/adjustments", "/requests/req_n/refunds"]
)
async def test_money_for_what_is_not_there_is_not_found(path: str) -> None:
    async with administered() as house:
        assert (await house.error("POST", path, {"usd": "1"}))[:2] == (404, "not_found")


async def test_lists_in_queries_are_given_once_or_more_often() -> None:
    async with administered() as house:
        owner = await acme(house)
        key = (await house.made("/organizations/acme/keys", {"name": "k"}))["key"]
        for model in ("up/a", "up/b"):
            await house.house.post("/v1/chat/completions", {**CHAT, "model": model}, key=key)
        await house.house.records()
        for who, place in ((house, "/usage"), (owner, "/organizations/acme/usage")):
            for kind in ("", "/report", "/csv"):
                for query in ("by=model", "by=model&by=key", "only=model:up/a", "only=api:chat&only=outcome:success"):
                    for asked in (query, query.replace("only", "without")):
                        told = await who("GET", f"{place}{kind}?{asked}")
                        assert told.status == 200, (kind, asked, told)
        told = await owner("GET", "/organizations/acme/usage/report?by=key&by=model&only=model:up/a&only=model:up/b")
        assert told.body["by"] == ["key", "model"]
        assert [row["figures"]["requests"] for row in told.body["rows"]] == [1, 1]
        told = await owner("GET", "/organizations/acme/usage/report?by=model&without=model:up/a")
        assert [row["keys"] for row in told.body["rows"]] == [["up/b"]]
        wrong = await owner.error("GET", "/organizations/acme/usage/report?by=model&by=key&by=day")
        assert wrong == (400, "invalid_field", "by")
