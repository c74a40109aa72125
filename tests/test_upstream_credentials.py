"""Credentials of the house that end after a while: got once, renewed beside the calls, and missed in plain words."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import MESSAGES, running
from support_clock import Standing
from support_wait import until
from trivium.canon.api import Api
from trivium.errors import UpstreamError, UpstreamRefusedUs, UpstreamUnreachable
from trivium.mock import Match, Reply, Rule
from trivium.providers.account import Account, CredentialChain, ServiceAccount
from trivium.providers.provider import Provider
from trivium.providers.sigv4 import Signing
from trivium.upstream import credentials
from trivium.upstream.aws import ChainFailed
from trivium.upstream.client import Headers, UpstreamRequest, UpstreamResponse
from trivium.upstream.credentials import HouseCredentials

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = ServiceAccount(
    client_email="me@p.iam.gserviceaccount.com", private_key=PEM, private_key_id="k1", token_uri="https://oauth2/token"
)
START = 1_700_000_000_000


class Answer:
    def __init__(self, status: int, said: Any) -> None:
        self.status = status
        self.headers: Headers = []
        self._pieces = [json.dumps(said).encode()]

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None:
        pass


class Google:
    """A client whose token endpoint counts."""

    def __init__(self) -> None:
        self.asked: list[UpstreamRequest] = []
        self.refusal: tuple[int, Any] | UpstreamError | None = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        await asyncio.sleep(0)
        if isinstance(self.refusal, UpstreamError):
            raise self.refusal
        if self.refusal is not None:
            return Answer(*self.refusal)
        return Answer(200, {"access_token": f"t{len(self.asked)}", "expires_in": 3600, "token_type": "Bearer"})

    async def close(self) -> None:
        pass


class Desk:
    def __init__(self, account: Account = ACCOUNT) -> None:
        self.google, self.clock = Google(), Standing(START)
        self.credentials = HouseCredentials(self.google, self.clock)
        self.provider = Provider(name="vertex", base_url="http://h", apis=frozenset({Api.MESSAGES}), account=account)

    async def token(self) -> str:
        signing, headers = await self.credentials.of(self.provider)
        assert signing is None
        ((name, value),) = headers
        assert name == b"authorization"
        return value.decode()

    async def settle(self) -> None:
        await until(lambda: not self.credentials._asking)


async def test_a_token_is_asked_for_with_a_signed_request() -> None:
    desk = Desk()
    assert await desk.token() == "Bearer t1"
    (asked,) = desk.google.asked
    form = parse_qs(asked.body.decode())
    assert (asked.method, asked.url) == ("POST", "https://oauth2/token")
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    ignored: Any = {"verify_exp": False, "verify_iat": False}
    assertion = form["assertion"][0]
    said = jwt.decode(assertion, KEY.public_key(), ["RS256"], audience=ACCOUNT.token_uri, options=ignored)
    assert said == {
        "iss": ACCOUNT.client_email,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": ACCOUNT.token_uri,
        "iat": START // 1000,
        "exp": START // 1000 + 3600,
    }
    assert jwt.get_unverified_header(assertion)["kid"] == "k1"


async def test_many_calls_at_once_share_one_question_and_its_answer() -> None:
    desk = Desk()
    assert await asyncio.gather(*(desk.token() for _ in range(50))) == ["Bearer t1"] * 50
    desk.clock.ms += 3_000_000
    assert await desk.token() == "Bearer t1"
    assert len(desk.google.asked) == 1


async def test_it_is_renewed_beside_the_calls_before_it_ends() -> None:
    desk = Desk()
    await desk.token()
    desk.clock.ms += 3_301_000
    assert await desk.token() == "Bearer t1"
    await desk.settle()
    assert await desk.token() == "Bearer t2"
    assert len(desk.google.asked) == 2


async def test_one_that_the_provider_refuses_is_asked_for_anew() -> None:
    desk = Desk()
    _, refused = await desk.credentials.of(desk.provider)
    desk.credentials.refused(desk.provider, refused)
    assert await desk.token() == "Bearer t2"
    desk.credentials.refused(desk.provider, refused)  # by a call that had left before
    assert await desk.token() == "Bearer t2"


async def test_a_clock_that_is_set_back_makes_none_last_longer() -> None:
    desk = Desk()
    assert await desk.token() == "Bearer t1"
    desk.clock.off_ms -= 7_200_000
    assert await desk.token() == "Bearer t2"
    assert await desk.token() == "Bearer t2"


async def test_while_it_cannot_be_renewed_the_old_one_serves_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    await desk.token()
    desk.google.refusal = UpstreamUnreachable("no way", detail="oauth2:443")
    desk.clock.ms += 3_400_000
    with caplog.at_level(logging.ERROR, "trivium.credentials"):
        assert await desk.token() == "Bearer t1"
        await desk.settle()
    assert "vertex: no way oauth2:443" in caplog.text
    desk.clock.ms += 195_000
    with pytest.raises(UpstreamRefusedUs) as raised:
        await desk.token()
    assert raised.value.status == 503
    assert "operator" in raised.value.message
    assert raised.value.detail == "vertex: no way oauth2:443"
    desk.google.refusal = None
    desk.clock.ms += 6_000
    assert (await desk.token()).startswith("Bearer t")


async def test_after_a_failure_nobody_asks_again_for_a_while() -> None:
    desk = Desk()
    desk.google.refusal = 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    for _ in range(3):
        with pytest.raises(UpstreamRefusedUs, match="does not serve"):
            await desk.token()
    assert len(desk.google.asked) == 1
    desk.clock.ms += 5_000
    with pytest.raises(UpstreamRefusedUs) as raised:
        await desk.token()
    assert raised.value.detail == "vertex: status 400 invalid_grant Invalid JWT Signature."
    assert len(desk.google.asked) == 2


async def test_a_clock_that_is_set_back_makes_no_failure_last_longer() -> None:
    desk = Desk()
    desk.google.refusal = 400, {"error": "invalid_grant", "error_description": "Token must be a short-lived token"}
    with pytest.raises(UpstreamRefusedUs):
        await desk.token()
    desk.google.refusal = None
    desk.clock.off_ms -= 7_200_000
    desk.clock.ms += 5_000
    assert await desk.token() == "Bearer t2"


NO_TOKENS: list[tuple[int, Any]] = [
    (200, {}),
    (200, []),
    (200, {"access_token": "t"}),
    (500, "x"),
    (200, {"access_token": "é", "expires_in": 9}),
]


@pytest.mark.parametrize("answer", NO_TOKENS)
async def test_what_is_no_token_is_an_error(answer: tuple[int, Any]) -> None:
    desk = Desk()
    desk.google.refusal = answer
    with pytest.raises(UpstreamRefusedUs):
        await desk.token()


async def test_a_key_that_cannot_be_read_is_said_without_it(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(ServiceAccount(client_email="me", private_key="-----BEGIN PRIVATE KEY-----\nsecret"))
    with pytest.raises(UpstreamRefusedUs):
        await desk.token()
    assert "cannot be read" in caplog.text
    assert "secret" not in caplog.text


async def test_a_caller_who_leaves_takes_the_question_of_others_with_him_not() -> None:
    desk = Desk()
    first = asyncio.create_task(desk.token())
    second = asyncio.create_task(desk.token())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "Bearer t1"


def chain_of(monkeypatch: pytest.MonkeyPatch, answer: Callable[[CredentialChain], Signing]) -> None:
    monkeypatch.setattr(credentials, "chain_signing", answer)


async def test_aws_credentials_are_looked_at_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[CredentialChain] = []

    def answer(chain: CredentialChain) -> Signing:
        asked.append(chain)
        return Signing(access_key_id=f"A{len(asked)}", secret_access_key="s", region=chain.region)

    chain_of(monkeypatch, answer)
    desk = Desk(CredentialChain(region="eu-west-1"))

    async def id_now() -> str:
        signing, headers = await desk.credentials.of(desk.provider)
        assert signing is not None
        assert headers == []
        await desk.settle()
        return signing.access_key_id

    assert [await id_now(), await id_now()] == ["A1", "A1"]
    desk.clock.ms += 61_000
    assert [await id_now(), await id_now()] == ["A1", "A2"]


async def test_where_aws_finds_nothing_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(chain: CredentialChain) -> Signing:
        raise ChainFailed("AWS's SDK finds no credentials")

    chain_of(monkeypatch, answer)
    with pytest.raises(UpstreamRefusedUs):
        await Desk(CredentialChain(region="eu-west-1")).credentials.of(
            Provider(name="b", base_url="", apis=frozenset(), account=CredentialChain(region="eu-west-1"))
        )
    assert "b: AWS's SDK finds no credentials" in caplog.text


def vertex(token_uri: str) -> str:
    account = {
        "type": "service_account", "client_email": "me", "private_key": PEM, "project_id": "p", "token_uri": token_uri
    }  # fmt: skip
    return f"type = 'vertex'\nmodels = ['claude-x']\nservice_account = '''{json.dumps(account)}'''"


async def test_a_call_goes_to_vertex_with_a_token_of_the_service_account() -> None:
    token = Rule(Reply(body={"access_token": "ya29", "expires_in": 3600}), Match(path="/token"))
    said = {
        "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [{"type": "text", "text": "Hi."}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}
    }  # fmt: skip
    answer = Rule(Reply(body=said), Match(path="*:rawPredict"))
    async with running(token) as other, running(answer, provider=vertex(f"{other.upstream.url}/token")) as house:
        for _ in range(2):
            status, told, _ = await house.post("/v1/messages", {**MESSAGES, "model": "claude-x"})
            assert (status, told) == (200, said)
        asked = house.upstream.requests
        assert len(other.upstream.requests) == 1
    path = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-x:rawPredict"
    assert [one.path for one in asked] == [path] * 2
    assert dict(asked[0].headers)["authorization"] == "Bearer ya29"
    assert json.loads(asked[0].body)["anthropic_version"] == "vertex-2023-10-16"


async def test_a_token_that_vertex_quotes_in_an_error_is_shown_to_nobody() -> None:
    token = Rule(Reply(body={"access_token": "ya29.secret", "expires_in": 3600}), Match(path="/token"))
    said = {"error": {"code": 400, "message": "bad request of ya29.secret"}}
    quoted = Rule(Reply(status=400, body=said), Match(path="*:rawPredict"))
    async with running(token) as other, running(quoted, provider=vertex(f"{other.upstream.url}/token")) as house:
        status, told, _ = await house.post("/v1/messages", {**MESSAGES, "model": "claude-x"})
        record = await house.record()
    assert status == 400
    assert "bad request of ***********" in str(told)
    assert "ya29" not in f"{told}{record}"


async def test_vertex_counts_tokens_for_clients_of_all_apis() -> None:
    rule = Rule(Reply(body={"input_tokens": 7}), Match(path="*/models/count-tokens:rawPredict"))
    async with running(rule, provider="type = 'vertex'\nkey = 'ya29'\nproject = 'p'\nmodels = ['claude-x']") as house:
        _, native, _ = await house.post("/v1/messages/count_tokens", {**MESSAGES, "model": "claude-x"})
        _, other, _ = await house.post("/v1/responses/input_tokens", {"model": "claude-x", "input": "hi"})
        bodies = [json.loads(one.body) for one in house.upstream.requests]
    assert native == {"input_tokens": 7}
    assert other["input_tokens"] == 7
    assert "estimated" not in other
    assert [(body["model"], body["anthropic_version"]) for body in bodies] == [("claude-x", "vertex-2023-10-16")] * 2


async def test_without_a_token_the_caller_reads_a_503() -> None:
    async with running(provider=vertex("http://127.0.0.1:9/token")) as house:
        status, told, headers = await house.post("/v1/messages", {**MESSAGES, "model": "claude-x"})
        record = await house.record()
        assert house.upstream.requests == []
    assert (status, told["type"], headers["retry-after"]) == (503, "error", "60")
    assert "operator" in told["error"]["message"]
    assert (record["status"], record["upstream_status"]) == (503, None)
