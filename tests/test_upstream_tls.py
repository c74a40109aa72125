"""Who is trusted: verified chain, verified name, whichever client asks; and what TLS must not change."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from pathlib import Path

import pytest
import trustme

from support_upstream import Lab, Peer, answer, drain, plays, scenario
from trivium.errors import ConfigError, UpstreamBroken, UpstreamUnreachable
from trivium.upstream.client import UpstreamRequest
from trivium.upstream.tls import client_context

pytestmark = pytest.mark.filterwarnings("error")


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def certified(*names: str) -> ssl.SSLContext:
    """A server's context with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority().issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    with authority().cert_pem.tempfile() as ca_file:
        return client_context(ca_file)


@scenario
async def test_an_upstream_of_a_named_authority_is_trusted_and_spoken_to_in_http_1_1(lab: Lab) -> None:
    await lab.equip(tls=trusting())
    url = await lab.serve(plays(answer(b"1"), answer(b"2")), tls=certified("localhost"))
    assert [(await lab.fetch(url))[2] for _ in range(2)] == [b"1", b"2"]
    (peer,) = lab.connections
    assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@scenario
async def test_a_certificate_for_another_name_is_refused(lab: Lab) -> None:
    await lab.equip(tls=trusting())
    elsewhere = await lab.serve(plays(answer()), tls=certified("elsewhere.example"))
    by_address = (await lab.serve(plays(answer()), tls=certified("localhost"))).replace("localhost", "127.0.0.1")
    for url in (elsewhere, by_address):
        with pytest.raises(UpstreamUnreachable):
            await lab.fetch(url)


@scenario
async def test_a_certificate_of_an_unknown_authority_is_refused(lab: Lab) -> None:
    url = await lab.serve(plays(answer()), tls=certified("localhost"))
    with pytest.raises(UpstreamUnreachable):
        await lab.fetch(url)


@scenario
async def test_an_upstream_without_tls_is_unreachable_by_https(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url = await lab.serve(script)
    with pytest.raises(UpstreamUnreachable):
        await lab.fetch(url.replace("http:", "https:"))


@scenario
async def test_large_bodies_pass_both_ways_intact_through_tls(lab: Lab) -> None:
    await lab.equip(tls=trusting())
    sent = bytes(range(256)) * (4 << 12)

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)

    response = await lab.send(await lab.serve(script, tls=certified("localhost")), sent)
    await asyncio.sleep(0.1)  # the server has sent all it can, and waits
    assert await drain(response) == sent


@scenario
async def test_closing_an_unfinished_answer_cuts_the_connection_through_tls(lab: Lab) -> None:
    await lab.equip(tls=trusting())

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        await peer.gone()

    response = await lab.send(await lab.serve(script, tls=certified("localhost")))
    assert await response.read() == b"12345"
    response.close()
    await lab.connections[0].cut.wait()


@scenario
async def test_an_answer_cut_short_is_broken_through_tls(lab: Lab) -> None:
    await lab.equip(tls=trusting())
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345"
    url = await lab.serve(plays(said), tls=certified("localhost"))
    with pytest.raises(UpstreamBroken):
        await drain(await lab.client.send(UpstreamRequest(url=url)))


def test_a_ca_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=path.name):
            client_context(str(path))
