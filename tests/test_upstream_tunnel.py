"""Through a proxy, with authorities and certificates of a provider's own, whichever client calls."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from gateway import CHAT, running
from support_upstream import Lab, Peer, answer, drain, plays, scenario
from test_upstream_tls import authority, certified
from trivium import config
from trivium.errors import ConfigError, OperationError, UpstreamUnreachable
from trivium.providers.provider import Network
from trivium.server.deps import Gateway
from trivium.upstream.client import UpstreamRequest, UpstreamResponse

pytestmark = pytest.mark.filterwarnings("error")
BASIC = b"proxy-authorization: basic dtpwqhc="
"""Of `u:p@w`."""


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


def proxied(url: str, user: str = "") -> str:
    """The proxy's address without its path."""
    return url.replace("http://", f"http://{user}").removesuffix("/v1/x?y=z")


async def pass_on(peer: Peer, host: str, port: int) -> None:
    """Both ways, until one end closes."""
    reader, writer = await asyncio.open_connection(host, port)

    async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            to.write(data)
            await to.drain()
        to.close()

    try:
        await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))
    finally:
        writer.close()


async def ask(lab: Lab, url: str, network: Network) -> tuple[int, bytes]:
    response: UpstreamResponse = await lab.client.send(UpstreamRequest(url=url, body=b"{}", network=network))
    return response.status, await drain(response)


@scenario
async def test_a_server_in_tls_is_reached_through_a_tunnel(lab: Lab) -> None:
    heads: list[bytes] = []

    async def proxy(peer: Peer) -> None:
        heads.append((await peer.head()).lower())
        await peer.say(b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n")
        await pass_on(peer, "127.0.0.1", int(heads[0].split(b" ")[1].rpartition(b":")[2]))

    url = await lab.serve(plays(answer(b"1"), answer(b"2")), tls=certified("localhost"))
    with authority().cert_pem.tempfile() as ca_file:
        network = Network(proxy=proxied(await lab.serve(proxy), "u:p%40w@"), ca_file=ca_file)
        assert [await ask(lab, url, network) for _ in range(2)] == [(200, b"1"), (200, b"2")]
    (head,) = heads
    assert head.startswith(b"connect localhost:")
    assert BASIC in head
    await lab.client.close()


@scenario
async def test_a_plain_server_is_asked_for_by_the_proxy_itself(lab: Lab) -> None:
    heads: list[bytes] = []

    async def proxy(peer: Peer) -> None:
        head, _ = await peer.request()
        heads.append(head.lower())
        await peer.say(answer(b"ok"))

    network = Network(proxy=proxied(await lab.serve(proxy), "u:p%40w@"))
    assert await ask(lab, "http://nowhere.invalid:81/a?b=c", network) == (200, b"ok")
    (head,) = heads
    assert head.startswith(b"post http://nowhere.invalid:81/a?b=c http/1.1\r\n")
    assert b"host: nowhere.invalid:81\r\n" in head
    assert BASIC in head


@scenario
async def test_a_proxy_that_refuses_is_an_unreachable_upstream(lab: Lab) -> None:
    for said in (
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"",
    ):

        async def proxy(peer: Peer, said: bytes = said) -> None:
            await peer.head()
            await peer.say(said)

        network = Network(proxy=proxied(await lab.serve(proxy), "user:secret@"))
        with pytest.raises(UpstreamUnreachable) as raised:
            await ask(lab, "https://nowhere.invalid/", network)
        assert "secret" not in f"{raised.value} {raised.value.detail}"


@scenario
async def test_calls_without_a_proxy_do_not_share_its_connections(lab: Lab) -> None:
    async def proxy(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b"through"))

    url = await lab.serve(plays(answer(b"direct")))
    network = Network(proxy=proxied(await lab.serve(proxy)))
    assert (await ask(lab, url, network))[1] == b"through"
    assert (await lab.fetch(url))[2] == b"direct"


@scenario
async def test_a_client_certificate_is_shown(lab: Lab) -> None:
    context = certified("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    url = await lab.serve(plays(answer(b"known")), tls=context)
    ours = authority().issue_cert("gateway")
    with authority().cert_pem.tempfile() as ca_file, ours.private_key_and_cert_chain_pem.tempfile() as client_cert:
        network = Network(ca_file=ca_file, client_cert=client_cert)
        assert await ask(lab, url, network) == (200, b"known")
        with pytest.raises(Exception, match="upstream"):
            await ask(lab, url, Network(ca_file=ca_file))


@scenario
async def test_where_files_are_gone_the_server_cannot_be_reached(lab: Lab) -> None:
    url = await lab.serve(plays(answer()), tls=certified("localhost"))
    for missing in (Network(ca_file="/nowhere/ca.pem"), Network(client_cert="/nowhere/client.pem")):
        with pytest.raises(UpstreamUnreachable) as raised:
            await ask(lab, url, missing)
        assert "nowhere" not in raised.value.message


async def test_a_reload_takes_the_certificate_that_lies_there_by_now(tmp_path: Path, ca_file: str) -> None:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ((_, name),) = writer.get_extra_info("peercert")["subjectAltName"]
        said = b'{"id":"%b","object":"chat.completion","choices":[]}' % name.encode()
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"}]}"):
                writer.write(answer(said, headers=b"content-type: application/json\r\n"))
        writer.close()

    def put(name: str) -> None:
        authority().issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(client_cert))

    context, client_cert = certified("localhost"), tmp_path / "client.pem"
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    put("first")
    server = await asyncio.start_server(answered, "127.0.0.1", 0, ssl=context)
    settings = (
        f'[providers.tls]\nbase_url = "https://localhost:{server.sockets[0].getsockname()[1]}/v1"\nmodels = ["m"]\n'
        f'ca_file = "{ca_file}"\nclient_cert = "{client_cert}"\n'
    )
    async with running(settings=settings) as house:

        async def seen() -> str:
            status, said, _ = await house.post("/v1/chat/completions", {**CHAT, "model": "tls/m"})
            return str(said["id"]) if status == 200 else str(status)

        reload = partial(house.gateway.operations.perform, "config.reload", {})
        assert await seen() == "first"
        put("second")
        assert await seen() == "first"
        assert (await reload())["changed"] == ("providers",)
        assert await seen() == "second"
        assert (await reload())["changed"] == ()
        client_cert.write_text("nothing")
        with pytest.raises(OperationError, match=r"providers\.tls\.client_cert: The client certificate"):
            await reload()
        assert await seen() == "second"
    server.close()


async def test_a_provider_is_called_through_its_proxy() -> None:
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            answer(b'{"id":"c","choices":[],"object":"chat.completion"}', headers=b"content-type: application/json\r\n")
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, running(provider=f"proxy = 'http://127.0.0.1:{port}'") as house:
        status, _, _ = await house.post("/v1/chat/completions", CHAT)
        assert house.upstream.requests == []
    assert status == 200
    assert heads[-1].startswith(f"POST {house.upstream.url}/v1/chat/completions HTTP/1.1".encode())


@pytest.mark.parametrize("setting", ["ca_file", "client_cert"])
def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path, setting: str) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    text = f"[local]\nenabled = false\n[providers.a]\nbase_url = 'https://h'\n{setting} = '{tmp_path / 'x.pem'}'"
    with pytest.raises(ConfigError) as raised:
        Gateway(config.parse(text, "t.toml"), tmp_path, {})
    assert raised.value.message.startswith(f"t.toml:5: providers.a.{setting}: ")
