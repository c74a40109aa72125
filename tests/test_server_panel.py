"""The dashboard's process as the gateway sees it, with a scripted one in its place."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support_pace import Watch
from support_wait import until
from trivium.admin.face import Asked
from trivium.server import panel as server_panel
from trivium.server.panel import MOST_BYTES, Panel, Pulse, wants_page
from trivium.settings_dashboard import DashboardSettings
from trivium.telemetry.logs import REQUEST
from trivium.upstream.local_log import TOO_LONG

PROCESS = """
import os, socket, sys, threading
folder, name = (one.partition("=")[2] for one in sys.argv[-2:])
os.chdir(folder)
if os.path.exists("broken"):
    sys.exit("no")
if os.path.exists(name):
    os.unlink(name)
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen()
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    one, _ = listener.accept()
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += one.recv(65536)
    if b" /die" in head:
        os._exit(3)
    if b" /cut" in head:
        one.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 100\\r\\n\\r\\nhalf")
    else:
        one.sendall(b"HTTP/1.1 200 OK\\r\\nset-cookie: a=1\\r\\nset-cookie: b=2\\r\\ndate: then\\r\\n"
                    b"connection: close\\r\\ncontent-length: %d\\r\\n\\r\\n%b" % (len(head), head))
    one.close()
"""


class Body:
    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    async def read(self) -> tuple[bytes, bool]:
        chunk = self._chunks.pop(0) if self._chunks else b""
        return chunk, bool(self._chunks)


class Heard:
    """A reply as a client hears it."""

    provisional = started = was_cut = False
    status = 0

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, headers

    async def write(self, data: bytes) -> None:
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        self.body += data

    def cut(self) -> None:
        self.was_cut = True


@pytest.fixture
async def panel(tmp_path: Path) -> AsyncIterator[Panel]:
    made = Panel(tmp_path, DashboardSettings(), (sys.executable, "-c", PROCESS))
    yield made
    await made.stop()


async def ask(panel: Panel, path: str = "/x", *body: bytes, secure: bool = False, **headers: bytes) -> Heard:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    asked = Asked(id="req_1", method="POST", path=path.encode(), query=b"a=%20b", headers=named, client_ip="192.0.2.1")
    heard = Heard()
    await panel.serve(asked, secure, Body(*body), heard)
    return heard


async def test_it_is_started_by_the_first_visit_and_hears_what_it_needs(panel: Panel, tmp_path: Path) -> None:
    before = panel.is_running
    heard = await ask(panel, "/x%2Fy", b"half ", b"whole", secure=True, host=b"llm.example", cookie=b"c=1", te=b"x")
    assert (before, panel.is_running) == (False, True)
    assert heard.status == 200
    assert heard.body.startswith(b"POST /x%2Fy?a=%20b HTTP/1.1\r\n")
    for line in (b"cookie: c=1", b"x-trivium-host: llm.example", b"x-trivium-scheme: https"):
        assert line in heard.body
    assert b"x-trivium-address: 192.0.2.1" in heard.body
    assert b"te: x" not in heard.body  # nor anything else that is between two neighbours
    assert heard.headers[:2] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert b"date" not in dict(heard.headers)


async def test_a_forged_word_about_the_visitor_is_not_passed_on(panel: Panel) -> None:
    heard = await ask(panel, x_trivium_address=b"203.0.113.9", x_trivium_scheme=b"https", x_trivium_host=b"evil")
    assert b"203.0.113.9" not in heard.body
    assert b"evil" not in heard.body
    assert b"x-trivium-scheme: http\r\n" in heard.body


async def test_after_its_death_the_next_visit_starts_another(panel: Panel) -> None:
    assert (await ask(panel, "/die")).status == 503
    assert panel._life is not None
    await asyncio.wait([panel._life], timeout=30)
    assert (await ask(panel)).status == 200


async def test_what_cannot_be_started_is_told_and_not_tried_at_once_again(panel: Panel, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    for words in (b"could not be started", b"could not be started", b"started again in a moment"):
        heard = await ask(panel)
        assert heard.status == 503
        assert words in heard.body
        if panel._life is not None and not panel._life.done():
            await asyncio.wait([panel._life], timeout=30)
    assert dict(heard.headers)[b"content-security-policy"] == b"default-src 'none'"
    (tmp_path / "broken").unlink()
    panel._not_before = 0
    assert (await ask(panel)).status == 200


def pid_of(panel: Panel) -> int:
    """Of the process that serves now: it tells where it is asked."""
    return int((panel._folder / "pid").read_text())


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Panel]:
    """One whose process is looked at often, and tells who it is."""
    command = (sys.executable, "-c", PROCESS.replace("listener.listen()", "listener.listen(); SAY_WHO"))
    command = (*command[:2], command[2].replace("SAY_WHO", "open('pid', 'w').write(str(os.getpid()))"))
    made = Panel(tmp_path, DashboardSettings(), command, Pulse(every=0.02, within=60))
    yield made
    await made.stop()


async def test_one_that_hangs_is_killed_and_started_again_while_readers_are_told(
    watched: Panel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.ERROR, "trivium.dashboard")
    watch = Watch(watched, monkeypatch)
    assert (await ask(watched)).status == 200
    first = pid_of(watched)
    await watch.stop(first)
    waiting = await asyncio.gather(*(ask(watched) for _ in range(3)))
    watch.be_patient()
    for heard in waiting:
        assert heard.status == 503
        assert b"<h1>The dashboard is not there</h1>" in heard.body
        assert b"Calls are answered all the same." in heard.body
        assert dict(heard.headers)[b"retry-after"] == b"1"
    async with asyncio.timeout(30):
        while not watched.lost["hung"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert watched._ready is not None
        await watched._ready  # it comes back though nobody visits
    assert pid_of(watched) != first
    assert (await ask(watched)).status == 200
    assert dict(watched.lost) == {"ended": 0, "hung": 1}
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    (line,) = caplog.records
    assert line.getMessage() == (
        f"the dashboard, process {first}, does not answer within 0.5 s: it is killed and started again"
    )


async def test_one_that_hangs_again_and_again_is_given_pauses(watched: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_panel, "_PAUSE", 100.0)
    watch = Watch(watched, monkeypatch)
    assert (await ask(watched)).status == 200
    for times in (1, 2):
        await watch.stop(pid_of(watched))
        async with asyncio.timeout(30):
            while watched.lost["hung"] < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            watch.be_patient()
            if times == 1:
                while (await ask(watched)).status != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    heard = await ask(watched)
    assert heard.status == 503
    assert b"is started again in a moment" in heard.body


async def test_one_that_never_serves_is_killed_too(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    panel = Panel(tmp_path, DashboardSettings(), command, Pulse(start=0.2))
    heard = await ask(panel)
    assert (heard.status, b"not started within 0.2 s" in heard.body) == (503, True)
    await until(lambda: panel.lost["hung"])
    await panel.stop()
    assert not panel.is_running


async def test_one_that_answers_is_left_alone(watched: Panel) -> None:
    assert (await ask(watched)).status == 200
    first = pid_of(watched)
    await asyncio.sleep(0.2)
    assert pid_of(watched) == first
    assert dict(watched.lost) == {"ended": 0, "hung": 0}


async def test_its_end_by_itself_is_counted_and_told(watched: Panel, caplog: pytest.LogCaptureFixture) -> None:
    assert (await ask(watched, "/die")).status == 503
    assert watched._life is not None
    await asyncio.wait([watched._life], timeout=30)
    assert dict(watched.lost) == {"ended": 1, "hung": 0}
    assert "ended by itself with status 3" in caplog.text


async def test_what_the_log_says_of_it_is_about_no_visit(watched: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    token = REQUEST.set("req_first")
    said: list[str | None] = []
    monkeypatch.setattr("trivium.server.panel._LOG.error", lambda *_: said.append(REQUEST.get()))
    await ask(watched)
    REQUEST.reset(token)
    life = watched._life
    assert life is not None
    await ask(watched, "/die")
    await asyncio.wait([life], timeout=30)
    assert said == [None]


async def test_it_rests_when_nobody_comes(tmp_path: Path) -> None:
    panel = Panel(tmp_path, DashboardSettings(rest_minutes=0.0001), (sys.executable, "-c", PROCESS))
    assert (await ask(panel)).status == 200
    life = panel._life
    assert life is not None
    await asyncio.wait([life], timeout=30)
    assert not panel.is_running
    assert (await ask(panel)).status == 200
    await panel.stop()


async def test_an_answer_that_breaks_off_does_not_look_whole(panel: Panel) -> None:
    heard = await ask(panel, "/cut")
    assert (heard.body, heard.was_cut) == (b"half", True)


async def test_more_than_a_form_has_is_refused(panel: Panel) -> None:
    heard = await ask(panel, "/x", b"x" * MOST_BYTES, b"y")
    assert heard.status == 413
    assert b"<h1>The form is too long</h1>" in heard.body


class Stuck(Body):
    """One that does not go on."""

    async def read(self) -> tuple[bytes, bool]:
        if self._chunks:
            return self._chunks.pop(0), True
        await asyncio.Event().wait()
        raise AssertionError


async def test_bodies_that_do_not_come_hold_bounded_memory_for_a_bounded_time(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_panel, "_HELD", 15)
    asked = Asked(id="req_1", method="POST", path=b"/x", query=b"", headers={}, client_ip="192.0.2.1")
    stuck = Heard()
    task = asyncio.create_task(panel.serve(asked, False, Stuck(b"0123456789"), stuck))
    await asyncio.sleep(0)
    assert (await ask(panel, "/x", b"0123456789")).status == 503
    assert (await ask(panel, "/x", b"01234")).status == 200
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert (await ask(panel, "/x", b"0123456789")).status == 200
    monkeypatch.setattr(server_panel, "_ARRIVES", 0.01)
    await panel.serve(asked, False, Stuck(b"0123456789"), stuck)
    assert stuck.status == 408


async def test_headers_are_passed_on_in_ascii(panel: Panel) -> None:
    heard = await ask(panel, cookie=b"a=\xff\xc3\xa4", host=b"h\xff")
    assert b"cookie: a=??\r\n" in heard.body
    assert b"x-trivium-host: h?\r\n" in heard.body


async def test_its_log_is_cut_back_while_it_runs(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_panel, "_LOOKS", 0.01)
    assert (await ask(panel)).status == 200
    log = tmp_path / "dashboard.log"
    log.write_bytes(b"x" * 2 * TOO_LONG)
    await until(lambda: log.stat().st_size <= TOO_LONG)


@pytest.mark.parametrize(
    ("method", "path", "accept", "wanted"),
    [
        ("GET", "/", b"text/html,*/*;q=0.8", True),
        ("GET", "/", b"*/*", False),
        ("GET", "/", b"application/json", False),
        ("HEAD", "/", b"text/html", False),
        ("POST", "/", b"text/html", False),
        ("GET", "/dashboard", b"", True),
        ("POST", "/dashboard/x", b"", True),
        ("GET", "/dashboards", b"text/html", False),
        ("GET", "/v1/models", b"text/html", False),
    ],
)
def test_whose_requests_are_for_the_dashboard(method: str, path: str, accept: bytes, wanted: bool) -> None:
    assert wants_page(method, path, {b"accept": accept}) is wanted
