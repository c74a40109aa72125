"""Access tokens of Google's for who has no service account's key: from its metadata server, or by an identity
elsewhere. The servers are scripted, and reached over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from gateway import MESSAGES, running
from trivium import config
from trivium.errors import ConfigError
from trivium.mock import Match, Reply, Rule
from trivium.providers import builtin
from trivium.providers.account import ExternalAccount, GoogleAccount, MetadataServer
from trivium.providers.google_files import account_of
from trivium.upstream.google import AccessToken, Google
from trivium.upstream.http1 import Http1Client

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
NOW = 1_700_000_000_000
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


class Servers:
    """`says` are status and body by path; `asked` is method, path with query, headers and body."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.host = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.path_qs, headers, await request.text()))
        status, said = self.says.get(request.path, (404, {}))
        text = said if isinstance(said, str) else json.dumps(said)
        return web.Response(status=status, text=text, content_type="application/json")

    async def token(self, account: GoogleAccount) -> AccessToken:
        client = Http1Client()
        try:
            return await Google(client).token(account, None, NOW)
        finally:
            await client.close()

    async def problem(self, account: GoogleAccount) -> str:
        with pytest.raises(ValueError) as told:  # its words are what is looked at
            await self.token(account)
        return str(told.value)


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    double, app = Servers(), web.Application()
    app.router.add_route("*", "/{path:.*}", double.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    double.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield double
    finally:
        await runner.cleanup()


def external(at: Servers, **source: Any) -> dict[str, Any]:
    """A file as `gcloud iam workload-identity-pools create-cred-config` writes it."""
    return {
        "type": "external_account",
        "universe_domain": "googleapis.com",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{at.url}/v1/token",
        "credential_source": source,
    }


def read(file: dict[str, Any]) -> ExternalAccount:
    account = account_of(json.dumps(file))
    assert isinstance(account, ExternalAccount)
    return account


async def test_the_metadata_server_is_asked_as_it_wants_to_be() -> None:
    async with servers() as at:
        at.says[METADATA] = 200, {"access_token": "t1", "expires_in": 3599, "token_type": "Bearer"}
        token = await at.token(MetadataServer(host=at.host))
    ((method, path, headers, _),) = at.asked
    assert (token.text, token.lasts_s, token.early_s) == ("t1", 3599, 225)
    assert (method, path.partition("?")[0], headers["metadata-flavor"]) == ("GET", METADATA, "Google")
    assert "t1" not in repr(token)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ((404, "Not Found"), "status 404 the answer is no token"),
        ((200, {"expires_in": 10}), "status 200"),
        ((200, {"access_token": "t", "expires_in": 0}), "status 200"),
        ((403, {"error": {"message": "no such account", "code": 403}}), "status 403 no such account"),
        ((400, {"error": "invalid_grant", "error_description": "too old"}), "status 400 invalid_grant too old"),
    ],
)
async def test_what_it_says_otherwise_is_told(says: tuple[int, Any], said: str) -> None:
    async with servers() as at:
        at.says[METADATA] = says
        assert await at.problem(MetadataServer(host=at.host)) == said


async def test_the_token_of_an_identity_elsewhere_is_exchanged(tmp_path: Path) -> None:
    subject = tmp_path / "token"
    subject.write_text("subject-1\n")
    async with servers() as at:
        at.says["/v1/token"] = 200, {"access_token": "federated", "expires_in": 3600, "token_type": "Bearer"}
        account = read(external(at, file=str(subject)))
        assert (await at.token(account)).text == "federated"
        subject.write_text("subject-2")  # whoever keeps the file renews it
        await at.token(account)
        asked = [dict(form) for form in map(_form, at.asked)]
    assert [form["subject_token"] for form in asked] == ["subject-1", "subject-2"]
    assert asked[0] | {"subject_token": ""} == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": account.audience,
        "scope": SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": "",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }


def _form(asked: tuple[str, str, dict[str, str], str]) -> list[tuple[str, str]]:
    assert asked[0] == "POST"
    return parse_qsl(asked[3])


async def test_a_url_may_have_it_in_json_and_a_service_account_may_be_asked_for_another() -> None:
    async with servers() as at:
        at.says |= {
            "/identity": (200, {"access_token": "subject", "other": 1}),
            "/v1/token": (200, {"access_token": "federated", "expires_in": 3600}),
            "/v1/sa:generateAccessToken": (200, {"accessToken": "of-sa", "expireTime": "2023-11-14T22:43:20Z"}),
        }
        form = {"type": "json", "subject_token_field_name": "access_token"}
        file = external(at, url=f"{at.url}/identity?resource=x", headers={"Metadata": "true"}, format=form)
        file["service_account_impersonation_url"] = f"{at.url}/v1/sa:generateAccessToken"
        file["service_account_impersonation"] = {"token_lifetime_seconds": 1800}
        token = await at.token(read(file))
        (_, path, asked, _), exchanged, (_, _, headers, body) = at.asked
    assert (path, asked["metadata"]) == ("/identity?resource=x", "true")
    assert dict(_form(exchanged))["subject_token"] == "subject"
    assert (headers["authorization"], json.loads(body)) == ("Bearer federated", {"scope": [SCOPE], "lifetime": "1800s"})
    assert (token.text, token.lasts_s) == ("of-sa", 1800)


async def test_where_there_is_no_subject_token_nobody_is_asked(tmp_path: Path) -> None:
    empty, form = tmp_path / "empty", {"type": "json", "subject_token_field_name": "token"}
    empty.write_text(" \n")
    async with servers() as at:
        at.says["/identity"] = 200, "not JSON"
        told = [
            await at.problem(read(external(at, **source)))
            for source in (
                {"file": str(tmp_path / "absent")},
                {"file": str(empty)},
                {"url": f"{at.url}/nowhere"},
                {"url": f"{at.url}/identity", "format": form},
            )
        ]
        assert {path for _, path, _, _ in at.asked} == {"/nowhere", "/identity"}
    assert told == [
        "the subject token cannot be read: FileNotFoundError",
        "the subject token is empty",
        "status 404 where the subject token should be",
        "there is no subject token called 'token'",
    ]


@pytest.mark.parametrize("said", [{}, {"accessToken": "t"}, {"accessToken": "t", "expireTime": "2023-11-14T22:43:20"}])
async def test_what_is_no_service_accounts_token_is_none(said: dict[str, str], tmp_path: Path) -> None:
    subject = tmp_path / "token"
    subject.write_text("subject")
    async with servers() as at:
        at.says |= {"/v1/token": (200, {"access_token": "federated", "expires_in": 3600}), "/sa": (200, said)}
        file = external(at, file=str(subject)) | {"service_account_impersonation_url": f"{at.url}/sa"}
        assert await at.problem(read(file)) == "the answer is no token of a service account"


VERTEX = "[providers.vertex]\nproject = 'p'\nservice_account = '{}'\n"
FILE = external(Servers(), file="/run/token") | {"token_url": "https://sts.googleapis.com/v1/token"}
WRONG: list[dict[str, Any]] = [
    {"type": "authorized_user"},
    FILE | {"credential_source": {"environment_id": "aws1", "regional_cred_verification_url": "https://sts/x"}},
    FILE | {"credential_source": {"executable": {"command": "/bin/x"}}},
    FILE | {"credential_source": {"file": "/a", "url": "https://b"}},
    FILE | {"credential_source": {"file": "/a", "format": {"type": "json"}}},
    FILE | {"token_url": "file:///etc/passwd"},
    FILE | {"service_account_impersonation_url": "x"},
]


@pytest.mark.parametrize("said", WRONG)
def test_a_file_that_tells_no_way_to_a_token_is_refused_at_the_start(said: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="expected the JSON key of a service account of Google's, a file of workload"):
        builtin.build(config.parse(VERTEX.format(f"file:{file}")), {})


def test_the_file_may_be_where_googles_libraries_look_for_it(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(FILE))
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "ANTHROPIC_VERTEX_PROJECT_ID": "p"}
    assert isinstance(builtin.build(config.parse(""), env)["vertex"].account, ExternalAccount)


@pytest.mark.parametrize(
    ("env", "host"), [({}, "metadata.google.internal"), ({"GCE_METADATA_HOST": "10.0.0.1:80"}, "10.0.0.1:80")]
)
def test_the_metadata_server_is_where_googles_libraries_look_for_it(env: dict[str, str], host: str) -> None:
    built = builtin.build(config.parse(VERTEX.format("metadata")), env)
    assert built["vertex"].account == MetadataServer(host=host)


async def test_calls_to_vertex_go_out_with_the_machines_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers() as at:
        at.says[METADATA] = 200, {"access_token": "of-the-machine", "expires_in": 3599}
        provider = "type = 'vertex'\nproject = 'p'\nservice_account = 'metadata'\nmodels = ['m']"
        monkeypatch.setattr("trivium.providers.access.MetadataServer", lambda **_: MetadataServer(host=at.host))
        async with running(Rule(Reply(text="hello"), Match(path="*rawPredict")), provider=provider) as house:
            for _ in range(2):
                status, _, _ = await house.post("/v1/messages", MESSAGES)
                assert status == 200
            asked = [dict(one.headers)["authorization"] for one in house.upstream.requests]
    assert asked == ["Bearer of-the-machine"] * 2
    assert len(at.asked) == 1
