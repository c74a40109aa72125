"""Signing in to the dashboard: by link, by password, by an OpenID provider; and being signed out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import Running
from support_dashboard import Browser, browser, dashboard
from trivium.dashboard.oidc import Provider, fresh, packed, unpacked
from trivium.errors import Conflict, CredentialInvalid, RateLimited, RoleMissing, Unavailable
from trivium.settings_dashboard import OidcSettings
from trivium.store.sessions import USED

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse battery"


class Issuer:
    """An OpenID provider that says what the test wants."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.url = ""
        self.claims: dict[str, Any] = {}
        self.signed_with: Any = self.key
        self.algorithm = "RS256"
        self.asked: dict[str, str] = {}
        """What the browser was sent with."""
        self.forms: list[dict[str, str]] = []
        self.methods: list[str] | None = None
        """How a client may show its secret, as the metadata say it."""
        self.told: dict[str, Any] | None = None
        """What it says of a person to whoever asks with a token; None: it says nothing."""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._metadata)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._userinfo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
        return runner

    async def _metadata(self, _: web.Request) -> web.Response:
        told: dict[str, Any] = {
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            **({"token_endpoint_auth_methods_supported": self.methods} if self.methods is not None else {}),
        }
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **told})

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        """In several pieces, as an answer of some length comes."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        told = json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}).encode()
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (told[:50], told[50:]):
            await response.write(part)
            await asyncio.sleep(0.001)
        await response.write_eof()
        return response

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.methods is not None:
            form["authorization"] = request.headers.get("authorization", "")
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != self.asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": "trivium", "sub": "s1", "iat": now, "exp": now + 60}
        told = {**claims, "nonce": self.asked["nonce"], **self.claims}
        told = {name: value for name, value in told.items() if value is not None}
        token = jwt.encode(told, self.signed_with, algorithm=self.algorithm, headers={"kid": "k1"})
        return web.json_response({"id_token": token, "access_token": "a", "token_type": "Bearer"})

    async def _userinfo(self, request: web.Request) -> web.Response:
        known = request.headers.get("authorization") == "Bearer a" and self.told is not None
        return web.json_response(self.told) if known else web.Response(status=401)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(issuer: Issuer) -> AsyncIterator[Running]:
    settings = f"""
[server]
trusted_proxies = ["127.0.0.1"]
[dashboard]
passwords = true
admins = ["boss"]
[dashboard.oidc]
issuer = "{issuer.url}"
client_id = "trivium"
client_secret = "s3cret"
sign_up = true
name = "Acme"
domains = ["acme.example"]
"""
    async with dashboard(settings) as made:
        perform = made.gateway.operations.perform
        for id in ("ann", "boss", "bob"):
            await perform("users.create", {"id": id, "name": id.title(), "email": f"{id}@acme.example"})
            await perform("passwords.set", {"user": id, "password": PASSWORD})
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def visit(house: Running, issuer: Issuer) -> AsyncIterator[Browser]:
    issuer.claims, issuer.signed_with, issuer.algorithm, issuer.told = {}, issuer.key, "RS256", None
    house.gateway.sessions._by_address._wrong.clear()
    house.gateway.sessions._by_login._wrong.clear()
    async with browser(house) as one:
        yield one


class TestLinks:
    async def test_a_link_is_good_once_and_not_used_up_by_a_look(self, house: Running, visit: Browser) -> None:
        made = await house.gateway.operations.perform("sessions.link", {})
        path = f"/dashboard/sign-in?link={made['token']}"
        for _ in range(2):
            page = await visit.get(path)
            assert "Sign in with this link" in page.words
        form = {"csrf": page.csrf, "link": made["token"]}
        told = await visit.post("/dashboard/sign-in/link", form)
        assert (told.status, told.headers["location"]) == (303, "/")
        async with browser(house) as other:
            form["csrf"] = (await other.get(path)).csrf
            again = await other.post("/dashboard/sign-in/link", form)
            assert (again.status, again.problem) == (400, USED)
            assert (await other.get("/")).status == 303

    async def test_the_cookie_is_no_scripts_and_no_other_sites(self, visit: Browser) -> None:
        told = await visit.sign_in()
        (cookie,) = [one for one in told.cookies if one.startswith("trivium_session=tvs-")]
        for said in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"):
            assert said in cookie
        assert "Secure" not in cookie  # over plain HTTP a browser would not send it back

    async def test_over_tls_it_is_this_hosts_alone(self, house: Running, visit: Browser) -> None:
        made = await house.gateway.operations.perform("sessions.link", {})
        tls = {"x_forwarded_proto": "https", "host": "llm.acme.example"}
        page = await visit.get(f"/dashboard/sign-in?link={made['token']}", **tls)
        (form,) = page.cookies
        assert form.startswith("__Host-trivium_form=")
        assert "Secure" in form
        cookie = form.partition(";")[0]
        sent = {"csrf": page.csrf, "link": made["token"]}
        told = await visit.post(
            "/dashboard/sign-in/link", sent, **tls, origin="https://llm.acme.example", cookie=cookie
        )
        assert told.status == 303
        assert any(one.startswith("__Host-trivium_session=") and "Secure" in one for one in told.cookies)

    async def test_a_session_that_was_there_before_ends(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        before = visit.cookies()["trivium_session"]
        assert (await house.gateway.sessions.actor(before)).user_id == "ann"
        await visit.sign_in("boss")
        assert visit.cookies()["trivium_session"] != before
        with pytest.raises(CredentialInvalid):
            await house.gateway.sessions.actor(before)

    @pytest.mark.parametrize(
        "next",
        ["//evil.example", "https://evil.example", "/\\evil.example", "/dashboard/..//evil.example", "javascript:x"],
    )
    async def test_nobody_is_sent_elsewhere(self, house: Running, visit: Browser, next: str) -> None:
        made = await house.gateway.operations.perform("sessions.link", {})
        page = await visit.get("/dashboard/sign-in")
        form = {"csrf": page.csrf, "link": made["token"], "next": next}
        assert (await visit.post("/dashboard/sign-in/link", form)).headers["location"] == "/"

    async def test_who_came_for_a_page_gets_there(self, house: Running, visit: Browser) -> None:
        sent = await visit.get("/dashboard/house/keys?after=k")
        page = await visit.get(sent.headers["location"])
        made = await house.gateway.operations.perform("sessions.link", {})
        form = {"csrf": page.csrf, "link": made["token"], "next": "/dashboard/house/keys?after=k"}
        assert 'name="next" value="/dashboard/house/keys?after=k"' in page.text
        assert (await visit.post("/dashboard/sign-in/link", form)).headers["location"] == form["next"]

    async def test_without_the_token_of_the_form_nobody_is_signed_in(self, house: Running, visit: Browser) -> None:
        made = await house.gateway.operations.perform("sessions.link", {})
        await visit.get("/dashboard/sign-in")
        for csrf in ("", "0" * 48):
            told = await visit.post("/dashboard/sign-in/link", {"csrf": csrf, "link": made["token"]})
            assert told.status == 403


class TestPasswords:
    async def test_who_knows_it_is_in(self, visit: Browser) -> None:
        for login in ("ann", "ANN@acme.example"):
            told = await visit.send("/dashboard/sign-in/password", _login(login), at="/dashboard/sign-in")
            assert (told.status, told.headers["location"]) == (303, "/")

    @pytest.mark.parametrize(("login", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("ann", ""), ("", "")])
    async def test_who_does_not_hears_the_same_whatever_is_wrong(
        self, visit: Browser, login: str, password: str
    ) -> None:
        told = await visit.send("/dashboard/sign-in/password", _login(login, password), at="/dashboard/sign-in")
        assert (told.status, told.problem) == (401, "No user has this name and password.")

    async def test_guessers_are_not_listened_to(self, visit: Browser) -> None:
        for _ in range(10):
            await visit.send("/dashboard/sign-in/password", _login("bob", "wrong"), at="/dashboard/sign-in")
        told = await visit.send("/dashboard/sign-in/password", _login("bob"), at="/dashboard/sign-in")
        assert told.status == 429
        assert "Too many" in told.problem

    async def test_nor_are_those_who_guess_side_by_side(self, visit: Browser) -> None:
        csrf = (await visit.get("/dashboard/sign-in")).csrf
        forms = [{"csrf": csrf, **_login("bob", f"wrong {n}")} for n in range(20)]
        told = await asyncio.gather(*(visit.post("/dashboard/sign-in/password", form) for form in forms))
        assert sorted(page.status for page in told) == [401] * 10 + [429] * 10

    async def test_a_user_has_two_names_and_no_more_tries_for_that(self, house: Running, visit: Browser) -> None:
        for n in range(31):
            login = _login(("bob", "bob@acme.example", "BOB@acme.example ")[n % 3], "wrong")
            expected = CredentialInvalid if n < 30 else RateLimited
            with pytest.raises(expected):
                await house.gateway.operations.perform(
                    "sessions.open_by_password", {**login, "address": f"192.0.2.{n}"}
                )

    async def test_a_blocked_user_is_not_let_in_and_put_out(self, house: Running, visit: Browser) -> None:
        await visit.send("/dashboard/sign-in/password", _login("bob"), at="/dashboard/sign-in")
        assert (await visit.get("/")).status == 200
        await house.gateway.operations.perform("users.block", {"users": ["bob"]})
        assert (await visit.get("/")).status == 303
        told = await visit.send("/dashboard/sign-in/password", _login("bob"), at="/dashboard/sign-in")
        assert told.status == 400
        assert "blocked" in told.problem
        await house.gateway.operations.perform("users.unblock", {"user": "bob"})

    async def test_a_new_one_ends_all_other_sessions(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        async with browser(house) as other:
            await other.sign_in("ann")
            at = {"at": "/dashboard/you"}
            form = {"present": "wrong", "password": "another horse", "again": "another horse"}
            told = await visit.send("/dashboard/you/password", form, **at)
            assert told.problem == "The password so far is another one."
            told = await visit.send("/dashboard/you/password", {**form, "present": PASSWORD, "again": "x"}, **at)
            assert told.problem == "The two new passwords are not the same."
            told = await visit.send("/dashboard/you/password", {**form, "present": PASSWORD}, **at)
            assert told.status == 303
            assert (await visit.get("/dashboard/you")).status == 200
            assert (await other.get("/dashboard/you")).status == 303
        await house.gateway.operations.perform("passwords.set", {"user": "ann", "password": PASSWORD})


class TestOddRequests:
    """Of strangers: none is an error of ours, and none writes into the log."""

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            ("application/x-www-form-urlencoded; charset=punycode", 415),  # half a minute for a megabyte
            ("application/x-www-form-urlencoded; charset=zlib", 415),
            ("application/x-www-form-urlencoded; charset=unicode_escape", 415),
            ("multipart/form-data; boundary=x", 415),
            ("text/plain", 403),
        ],
    )
    async def test_a_form_that_is_none_of_ours(self, house: Running, visit: Browser, kind: str, status: int) -> None:
        await visit.get("/dashboard/sign-in")
        path = "/dashboard/sign-in/link%0a2026-01-01 00:00:00 ERROR forged"
        told = await visit.post(path, "csrf=\\ud800&link=x", content_type=kind)
        assert told.status == status
        assert _logged(house) == ""

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://["},
            {"cookie": "trivium_form=\udcff", "x_csrf_token": "\udcff"},
            {"cookie": f"trivium_session={'x' * 20_000}"},
            {"sec_fetch_site": "cross-site"},
        ],
    )
    async def test_headers_that_make_no_sense(self, house: Running, visit: Browser, headers: dict[str, str]) -> None:
        told = await visit.post("/dashboard/sign-in/link", {"csrf": "x", "link": "x"}, **headers)
        assert told.status in (400, 403)
        assert _logged(house) == ""


class TestSessions:
    async def test_signing_out_ends_it_for_good(self, visit: Browser) -> None:
        await visit.sign_in("ann")
        token = visit.cookies()["trivium_session"]
        told = await visit.send("/dashboard/sign-out", at="/dashboard/you")
        assert told.headers["location"] == "/dashboard/sign-in"
        assert "trivium_session" not in visit.cookies()
        assert (await visit.get("/dashboard/you", cookie=f"trivium_session={token}")).status == 303

    async def test_other_sessions_are_seen_and_ended(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        async with browser(house) as other:
            await other.sign_in("ann")
            mine = (await house.gateway.sessions.actor(visit.cookies()["trivium_session"])).session
            theirs = (await house.gateway.sessions.actor(other.cookies()["trivium_session"])).session
            page = await visit.get("/dashboard/you")
            assert f'value="{theirs}"' in page.text
            assert f'value="{mine}"' not in page.text
            await visit.send("/dashboard/you/session", {"session": theirs}, at="/dashboard/you")
            assert (await other.get("/dashboard/you")).status == 303
        assert (await visit.get("/dashboard/you")).status == 200

    async def test_nobody_ends_those_of_others(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        async with browser(house) as other:
            await other.sign_in("boss")
            theirs = (await house.gateway.sessions.actor(other.cookies()["trivium_session"])).session
            told = await visit.send("/dashboard/you/session", {"session": theirs}, at="/dashboard/you")
            assert told.status == 400
            assert (await other.get("/dashboard/you")).status == 200

    async def test_who_is_named_in_the_settings_may_do_everything(self, visit: Browser) -> None:
        await visit.sign_in("boss")
        assert (await visit.get("/dashboard/house/users")).status == 200
        await visit.sign_in("ann")
        assert (await visit.get("/dashboard/house/users")).status == 404


class TestRights:
    """Whose rights change gets another text of the session with the next page; the one before is good for nothing."""

    @staticmethod
    async def old_and_new(visit: Browser, path: str = "/dashboard/you") -> tuple[str, str]:
        """The cookie before and behind a look at a page, which the browser does not notice otherwise."""
        before = visit.cookies()["trivium_session"]
        assert (await visit.get(path)).status == 200
        return before, visit.cookies()["trivium_session"]

    @staticmethod
    async def is_good(visit: Browser, token: str) -> bool:
        async with browser(visit.house) as other:
            return (await other.get("/dashboard/you", cookie=f"trivium_session={token}")).status == 200

    async def test_nothing_happens_while_nothing_changes(self, visit: Browser) -> None:
        await visit.sign_in("ann")
        for _ in range(3):
            before, after = await self.old_and_new(visit)
            assert before == after

    async def test_a_role_that_is_given_changed_and_taken(self, house: Running, visit: Browser) -> None:
        perform = house.gateway.operations.perform
        await perform("orgs.create", {"id": "acme", "name": "Acme", "owner": "boss"})
        await visit.sign_in("ann")
        await visit.get("/dashboard/you")
        texts = []
        for role in ("billing", "admin", "member"):
            await perform("members.set", {"organization": "acme", "user": "ann", "role": role})
            before, after = await self.old_and_new(visit, "/dashboard/o/acme")
            assert before != after
            texts.append(before)
            # What the role allows, it allows at once.
            assert ((await visit.get("/dashboard/o/acme/members/new")).status == 200) == (role == "admin")
        await perform("members.remove", {"organization": "acme", "user": "ann"})
        before = visit.cookies()["trivium_session"]
        assert (await visit.get("/dashboard/o/acme")).status == 404  # at once, on the page that brings the new text
        assert visit.cookies()["trivium_session"] != before
        for text in (*texts, before):
            assert not await self.is_good(visit, text)
        assert (await visit.get("/dashboard/you")).status == 200

    async def test_who_becomes_one_of_the_house_and_is_none_any_more(self, house: Running, visit: Browser) -> None:
        sessions = house.gateway.sessions
        await visit.sign_in("ann")
        await visit.get("/dashboard/you")
        kept = sessions.settings
        sessions.settings = msgspec.structs.replace(kept, admins=("boss", "ann"))
        first, second = await self.old_and_new(visit, "/dashboard/house/users")
        sessions.settings = kept
        assert (await visit.get("/dashboard/house/users")).status == 404
        third = visit.cookies()["trivium_session"]
        assert len({first, second, third}) == 3
        assert [await self.is_good(visit, text) for text in (first, second, third)] == [False, False, True]

    async def test_a_new_password_renews_the_session_that_it_is_set_in(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        await visit.get("/dashboard/you")
        form = {"present": PASSWORD, "password": "another horse", "again": "another horse"}
        before = visit.cookies()["trivium_session"]
        assert (await visit.send("/dashboard/you/password", form, at="/dashboard/you")).status == 303
        assert "Done." in (await visit.get("/dashboard/you?saved=1")).words
        assert visit.cookies()["trivium_session"] != before
        assert not await self.is_good(visit, before)
        # One that the house sets ends all of them.
        await house.gateway.operations.perform("passwords.set", {"user": "ann", "password": PASSWORD})
        assert (await visit.get("/dashboard/you")).status == 303

    async def test_a_form_that_is_sent_meanwhile_does_what_it_says(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        page = await visit.get("/dashboard/me/keys/new")
        before = visit.cookies()["trivium_session"]
        await house.gateway.operations.perform("users.set", {"user": "ann", "staff": True})
        told = await visit.post("/dashboard/me/keys/new", {"csrf": page.csrf, "name": "sent meanwhile"})
        assert (told.status, "tv-" in told.text) == (200, True)
        after = visit.cookies()["trivium_session"]
        assert after != before
        # Pages from before have forms of a session that is no more, and are told so.
        late = await visit.post("/dashboard/me/keys/new", {"csrf": page.csrf, "name": "later"})
        assert (late.status, "load the page again" in late.words) == (403, True)
        await visit.send("/dashboard/me/keys/new", {"name": "again"})
        assert visit.cookies()["trivium_session"] == after
        (cookie,) = told.cookies
        lasts = int(re.search(r"Max-Age=(\d+)", cookie)[1])  # type: ignore[index]
        assert 604_000 < lasts <= 604_800  # as long as before
        assert "HttpOnly" in cookie

    async def test_requests_side_by_side_do_not_sign_anybody_out(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        await visit.get("/dashboard/you")
        staff = not (await house.gateway.store.users.get("ann")).staff
        await house.gateway.operations.perform("users.set", {"user": "ann", "staff": staff})
        told = await asyncio.gather(*(visit.get("/dashboard/you") for _ in range(8)))
        assert sum(bool(page.cookies) for page in told) == 1  # one text, and nobody takes it away again
        for page in told:
            if page.status != 200:  # it came with the text from before
                sent = await visit.get(page.headers["location"])
                assert (sent.status, sent.headers["location"]) == (303, "/dashboard/you")
        assert (await visit.get("/dashboard/you")).status == 200

    async def test_signing_out_with_a_text_that_is_renewed_just_then(self, house: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        page = await visit.get("/dashboard/you")
        mine = (await house.gateway.sessions.actor(visit.cookies()["trivium_session"])).session
        staff = not (await house.gateway.store.users.get("ann")).staff
        await house.gateway.operations.perform("users.set", {"user": "ann", "staff": staff})
        await visit.post("/dashboard/sign-out", {"csrf": page.csrf})
        assert "trivium_session" not in visit.cookies()
        listed = await house.gateway.operations.perform("sessions.list", {"user": "ann"})
        assert mine not in [session["id"] for session in listed["items"]]

    @pytest.mark.parametrize(
        ("block", "unblock"),
        [
            (("users.block", {"users": ["bob"]}), ("users.unblock", {"user": "bob"})),
            (("domains.block", {"domain": "acme.example"}), ("domains.unblock", {"domain": "acme.example"})),
        ],
    )
    async def test_who_was_blocked_signs_in_again(
        self, house: Running, visit: Browser, block: tuple[str, Any], unblock: tuple[str, Any]
    ) -> None:
        await visit.sign_in("bob")
        assert (await visit.get("/dashboard/you")).status == 200
        await house.gateway.operations.perform(*block)
        await house.gateway.operations.perform(*unblock)
        assert (await visit.get("/dashboard/you")).status == 303


class TestOpenId:
    async def test_somebody_known_by_the_address_signs_in(self, house: Running, issuer: Issuer, visit: Browser) -> None:
        issuer.claims = {"sub": "ann-1", "email": "Ann@acme.example", "email_verified": True}
        told = await _through(issuer, visit, "/dashboard/me/keys")
        assert (told.status, told.headers["location"]) == (303, "/dashboard/me/keys")
        assert (await house.gateway.sessions.actor(visit.cookies()["trivium_session"])).user_id == "ann"
        assert issuer.asked["redirect_uri"] == f"{house.url}/dashboard/sign-in/callback"
        assert issuer.asked["code_challenge_method"] == "S256"
        assert issuer.forms[-1]["client_secret"] == "s3cret"
        issuer.claims = {"sub": "ann-1", "email": "new@acme.example", "email_verified": True}
        await _through(issuer, visit)
        assert (await house.gateway.sessions.actor(visit.cookies()["trivium_session"])).user_id == "ann"

    @pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post", "client_secret_basic"]])
    async def test_the_secret_is_shown_as_the_provider_takes_it(self, issuer: Issuer, methods: list[str]) -> None:
        """Authelia takes it as HTTP Basic alone unless a client is registered otherwise."""
        issuer.methods = methods
        settings = OidcSettings(issuer=issuer.url, client_id="a client", client_secret="s:cr+t")
        one = fresh("")
        issuer.asked = {"code_challenge": "", "nonce": one.nonce}
        try:
            with contextlib.suppress(Unavailable):
                await Provider(settings).identity(one, {"state": one.state, "code": "c"}, "https://gateway.example/")
        finally:
            issuer.methods = None
        sent = issuer.forms[-1]
        if len(methods) == 1:
            assert sent["authorization"] == "Basic " + base64.b64encode(b"a+client:s%3Acr%2Bt").decode()
            assert not {"client_id", "client_secret"} & sent.keys()
        else:
            assert (sent["authorization"], sent["client_id"], sent["client_secret"]) == ("", "a client", "s:cr+t")

    @pytest.mark.parametrize(
        ("trusted", "verified", "email"),
        [(True, None, "ann@acme.example"), (True, False, None), (True, "false", None), (False, None, None)],
    )
    async def test_an_address_counts_that_is_not_said_to_be_verified_where_the_operator_trusts_it(
        self, issuer: Issuer, trusted: bool, verified: Any, email: str | None
    ) -> None:
        """Entra ID says nothing of it."""
        one = fresh("")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(one.verifier.encode()).digest()).rstrip(b"=").decode()
        issuer.asked = {"code_challenge": challenge, "nonce": one.nonce}
        issuer.claims, issuer.signed_with, issuer.algorithm = {"email": "ann@acme.example"}, issuer.key, "RS256"
        issuer.claims["email_verified"] = verified
        provider = Provider(OidcSettings(issuer=issuer.url, client_id="trivium", trust_emails=trusted))
        found = await provider.identity(one, {"state": one.state, "code": "c"}, "https://gateway.example/")
        assert found.email == email

    @pytest.mark.parametrize("verified", [True, "true"])
    @pytest.mark.parametrize("said", [{}, {"email": "ann@acme.example"}])
    async def test_who_somebody_is_may_be_told_to_whoever_asks_alone(
        self, house: Running, issuer: Issuer, visit: Browser, said: dict[str, str], verified: Any
    ) -> None:
        """As Authelia and Zitadel tell it. Cognito and Apple say `true` in a text."""
        issuer.claims = {"sub": "ann-2", **said}
        issuer.told = {"sub": "ann-2", "email": "ann@acme.example", "email_verified": verified}
        assert (await _through(issuer, visit)).status == 303
        assert (await house.gateway.sessions.actor(visit.cookies()["trivium_session"])).user_id == "ann"
        issuer.told = {**issuer.told, "sub": "boss-2"}
        assert "somebody else" in (await _through(issuer, visit)).problem
        issuer.told = None  # the subject is known, and of whom nothing else is, no domain is
        assert (await _through(issuer, visit)).problem == "Nobody with this e-mail address signs in here."

    async def test_a_browser_may_begin_in_several_tabs(self, issuer: Issuer, visit: Browser) -> None:
        issuer.claims = {"sub": "ann-3", "email": "ann@acme.example", "email_verified": True}
        await _asked(issuer, visit, "/dashboard/me/keys")
        first = issuer.asked
        await _asked(issuer, visit, "/dashboard/me/usage")
        for asked, where in ((issuer.asked, "/dashboard/me/usage"), (first, "/dashboard/me/keys")):
            issuer.asked = asked
            told = await visit.get(f"/dashboard/sign-in/callback?code=c&state={asked['state']}")
            assert (told.status, told.headers["location"]) == (303, where)
        assert not [name for name in visit.cookies() if "try" in name]

    async def test_somebody_new_becomes_a_user(self, house: Running, issuer: Issuer, visit: Browser) -> None:
        issuer.claims = {"sub": "eve-1", "email": "eve@acme.example", "email_verified": True, "name": "Eve \u202e\n<b>"}
        assert (await _through(issuer, visit)).headers["location"] == "/"
        actor = await house.gateway.sessions.actor(visit.cookies()["trivium_session"])
        assert actor.user_id is not None
        user = await house.gateway.store.users.get(actor.user_id)
        assert (user.name, user.email) == ("Eve <b>", "eve@acme.example")

    async def test_of_sign_ins_side_by_side_one_makes_the_user(self, house: Running, issuer: Issuer) -> None:
        for told in (
            {"subject": "zoe-1", "email": "Zoe@acme.example"},
            {"subject": "zoe-2", "email": "zoe@acme.example"},
        ):
            opened = await asyncio.gather(*(_identified(house, issuer, **told) for _ in range(6)))
            assert len(set(opened)) == 1
        (found,) = (await house.gateway.operations.perform("users.list", {"email": "zoe@acme.example"}))["items"]
        assert found["id"] == opened[0]

    @pytest.mark.parametrize(
        "email",
        [
            *("mi\u212ae@acme.example", "mike@acme.example.", " mike@acme.example", "mike@acme.example\u200b"),
            *("x@evil.example,mike@acme.example", "@acme.example", "mike@ac\u212ae.example"),
        ],
    )
    async def test_an_address_that_looks_like_anothers_is_not_that(
        self, house: Running, issuer: Issuer, email: str
    ) -> None:
        with contextlib.suppress(Conflict):
            await house.gateway.operations.perform(
                "users.create", {"id": "mike", "name": "M", "email": "Mike@acme.example"}
            )
        assert await _identified(house, issuer, "mike-1", "mike@ACME.example") == "mike"
        with contextlib.suppress(RoleMissing):
            assert await _identified(house, issuer, f"odd {email}", email) != "mike"

    async def test_who_is_known_signs_in_whatever_the_address_looks_like(self, house: Running, issuer: Issuer) -> None:
        assert await _identified(house, issuer, "bob-1", "bob@acme.example") == "bob"
        assert await _identified(house, issuer, "bob-1", "bob the builder@acme.example") == "bob"
        with pytest.raises(RoleMissing, match="You are no user here yet"):
            await _identified(house, issuer, "bob-2", "bob the builder@acme.example")

    @pytest.mark.parametrize(
        ("claims", "said"),
        [
            ({"email": "ann@evil.example", "email_verified": True}, "Nobody with this e-mail address signs in here."),
            ({"email": "boss@acme.example"}, "Nobody with this e-mail address signs in here."),
            ({"email": "boss@acme.example", "email_verified": "yes"}, "Nobody with this e-mail address"),
            ({"nonce": "another"}, "This sign-in was not begun in this browser"),
            ({"nonce": None}, "This sign-in was not begun in this browser"),
            ({"aud": "somebody"}, "The sign-in provider's word is not good."),
            ({"aud": ["trivium", "somebody"]}, "The sign-in provider's word is for somebody else."),
            ({"azp": "somebody"}, "The sign-in provider's word is for somebody else."),
            ({"iss": "https://evil.example"}, "The sign-in provider's word is not good."),
            ({"exp": 1}, "The sign-in provider's word is not good."),
            ({"exp": None}, "The sign-in provider's word is not good."),
        ],
    )
    async def test_a_word_that_is_not_good_lets_nobody_in(
        self, issuer: Issuer, visit: Browser, claims: dict[str, Any], said: str
    ) -> None:
        issuer.claims = {"sub": "x", **claims}
        told = await _through(issuer, visit)
        assert told.status in (400, 403)
        assert told.problem.startswith(said)
        assert "trivium_session" not in visit.cookies()

    async def test_nor_does_one_that_somebody_else_signed(self, issuer: Issuer, visit: Browser) -> None:
        issuer.claims = {"email": "boss@acme.example", "email_verified": True}
        issuer.signed_with = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert (await _through(issuer, visit)).problem == "The sign-in provider's word is not good."
        issuer.signed_with, issuer.algorithm = "s3cret" * 10, "HS256"
        assert (await _through(issuer, visit)).problem == "The sign-in provider's word is not good."
        issuer.signed_with, issuer.algorithm = None, "none"
        assert (await _through(issuer, visit)).problem == "The sign-in provider's word is not good."

    async def test_an_answer_is_for_the_browser_that_asked(
        self, house: Running, issuer: Issuer, visit: Browser
    ) -> None:
        state = await _asked(issuer, visit)
        async with browser(house) as other:
            told = await other.get(f"/dashboard/sign-in/callback?code=c&state={state}")
            assert (told.status, "not begun in this browser" in told.problem) == (400, True)
        told = await visit.get("/dashboard/sign-in/callback?code=c&state=another")
        assert (told.status, "not begun in this browser" in told.problem) == (400, True)
        assert (await visit.get(f"/dashboard/sign-in/callback?state={state}")).status == 400
        told = await visit.get(f"/dashboard/sign-in/callback?code=c&state={state}")
        assert "not begun in this browser" in told.problem  # a try is over with its answer

    async def test_a_try_that_another_host_put_there_leads_nowhere_else(self, issuer: Issuer, visit: Browser) -> None:
        await _asked(issuer, visit)
        ((cookie, value),) = [one for one in visit.cookies().items() if one[0].startswith("trivium_try_")]
        one = unpacked(value.strip('"'))
        forged = packed(msgspec.structs.replace(one, next="https://evil.example"))
        issuer.claims = {"sub": "b", "email": "boss@acme.example", "email_verified": True}
        told = await visit.get(f"/dashboard/sign-in/callback?code=c&state={one.state}", cookie=f'{cookie}="{forged}"')
        assert (told.status, told.headers.get("location")) == (303, "/")
        deep = base64.urlsafe_b64encode(b'{"x":' + b"[" * 3_000).decode()
        told = await visit.get(f"/dashboard/sign-in/callback?code=c&state={one.state}", cookie=f'{cookie}="{deep}"')
        assert (told.status, "not begun in this browser" in told.problem) == (400, True)
        tls = {"x_forwarded_proto": "https", "host": "llm.acme.example"}
        (cookie,) = (await visit.get("/dashboard/sign-in/provider", **tls)).cookies
        assert cookie.startswith("__Host-trivium_try_")
        assert "Path=/;" in cookie

    async def test_a_refusal_is_told(self, issuer: Issuer, visit: Browser) -> None:
        state = await _asked(issuer, visit)
        told = await visit.get(f"/dashboard/sign-in/callback?error=access_denied&state={state}")
        assert (told.status, told.problem) == (400, "The sign-in provider did not let you in.")


async def test_ways_that_are_not_configured_are_not_there() -> None:
    async with dashboard() as plain, browser(plain) as visit:
        page = await visit.get("/dashboard/sign-in")
        assert "Password" not in page.words
        assert "Sign in with" not in page.words
        assert "trivium login-link" in page.words
        assert (await visit.get("/dashboard/sign-in/provider")).status == 404
        assert (await visit.post("/dashboard/sign-in/password", _login("ann"))).status == 403
        with pytest.raises(RoleMissing, match="Nobody signs in with a password here"):
            await plain.gateway.operations.perform("sessions.open_by_password", _login("ann"))


def _logged(house: Running) -> str:
    """By the dashboard's process since its start."""
    return (house.gateway.folder / "dashboard.log").read_text().rpartition("=== start ===\n")[2]


def _login(login: str, password: str = PASSWORD) -> dict[str, str]:
    return {"login": login, "password": password}


async def _identified(house: Running, issuer: Issuer, subject: str, email: str) -> str:
    """The id of the user who is signed in then."""
    told = {"issuer": issuer.url, "subject": subject, "email": email}
    opened = await house.gateway.operations.perform("sessions.open_by_identity", told)
    return str(opened["session"]["user_id"])


async def _asked(issuer: Issuer, visit: Browser, next: str = "") -> str:
    """The state with which the browser was sent to the issuer."""
    sent = await visit.get(f"/dashboard/sign-in/provider?next={next}")
    assert sent.status == 303
    address = urlsplit(sent.headers["location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{issuer.url}/authorize"
    issuer.asked = {name: values[0] for name, values in parse_qs(address.query).items()}
    return issuer.asked["state"]


async def _through(issuer: Issuer, visit: Browser, next: str = "") -> Any:
    state = await _asked(issuer, visit, next)
    return await visit.get(f"/dashboard/sign-in/callback?code=c&state={state}")
