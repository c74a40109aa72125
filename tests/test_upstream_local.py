"""The embedded model: how its process is started, watched and ended, with a scripted child; and the real one once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support_wait import until
from trivium.errors import ConfigError, UpstreamUnreachable
from trivium.upstream import local_child, local_log
from trivium.upstream.local import LocalModel, Pace
from trivium.upstream.local_log import LocalLog
from trivium.upstream.local_model import SERVER, WEIGHTS

PATIENCE = 60.0
HASTY = Pace(load=5, check=0.05, strikes=2, retreat=0.01, longest_retreat=0.02, farewell=0.2)

CHILD = '''
"""A child that behaves as its first argument says; it notes each of its lives and obeys the end of its input."""
import json, os, signal, socket, sys, threading, time
from pathlib import Path
mode, options = sys.argv[1], dict(option.split("=") for option in sys.argv[2:])
notes = Path(options["--cache"]).parent / "lives"
with notes.open("a") as file:
    print(json.dumps({"pid": os.getpid(), "env": dict(os.environ), "port": int(options["--port"])}), file=file)
life = len(notes.read_text().splitlines())
say = lambda **report: print(json.dumps(report), flush=True)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
say(stage="loading")
if mode == "talks":
    print("warning: something", flush=True)
if (mode == "fails first" and life == 1) or (mode == "cannot return" and options["--port"] != "0"):
    sys.exit("no such file: weights")
if mode == "never ready":
    time.sleep(60)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(options["--port"])))
listener.listen()
listener.settimeout(30)
say(port=listener.getsockname()[1])
while True:
    connection, _ = listener.accept()
    if not (mode == "deaf first" and life == 1):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
    connection.close()
'''


@asynccontextmanager
async def scripted(tmp_path: Path, mode: str, pace: Pace = HASTY) -> AsyncIterator[LocalModel]:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    model = LocalModel(tmp_path, command=(sys.executable, str(script), mode), packages=(), pace=pace)
    await model.start()
    try:
        yield model
    finally:
        await model.stop()


def lives(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "lives").read_text().splitlines()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def test_without_its_packages_the_model_says_what_to_install(tmp_path: Path) -> None:
    model = LocalModel(tmp_path, packages=("json", "no_such_package"))
    line = f"{sys.executable} -m pip install 'trivium[local]'"
    assert model.available() == f"the embedded model needs {line} (missing: no_such_package)"
    with pytest.raises(ConfigError, match="no_such_package"):
        await model.start()


async def test_all_who_start_it_share_one_child(tmp_path: Path) -> None:
    async with scripted(tmp_path, "serves") as model:
        await asyncio.gather(*(model.start() for _ in range(5)))
        heard: list[str] = []
        await asyncio.gather(model.wait_ready(PATIENCE, heard.append), model.wait_ready(PATIENCE))
        await model.start()
        assert model.state.phase == "serving"
        assert model.base_url == f"http://127.0.0.1:{model.port}"
        assert len(lives(tmp_path)) == 1
        assert heard[0] == "starting"


async def test_a_start_that_fails_is_told_with_the_last_words_and_tried_again(tmp_path: Path) -> None:
    async with scripted(tmp_path, "fails first") as model:
        with pytest.raises(UpstreamUnreachable, match="ended with code 1 before it was ready") as caught:
            await model.wait_ready(PATIENCE)
        assert caught.value.detail == "no such file: weights"
        await until(lambda: model.state.phase == "serving")
        assert model.restarts == 1


async def test_who_waits_too_long_is_told_what_it_is_still_doing(tmp_path: Path) -> None:
    async with scripted(tmp_path, "never ready") as model:
        await until(lambda: model.state.words == "loading")
        with pytest.raises(UpstreamUnreachable, match=r"is not ready after 0\.01 s \(loading\)"):
            await model.wait_ready(0.01)


async def test_a_word_that_is_no_report_is_passed_over(tmp_path: Path) -> None:
    async with scripted(tmp_path, "talks") as model:
        await model.wait_ready(PATIENCE)
        assert (model.state.phase, model.restarts) == ("serving", 0)


async def test_a_child_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    async with scripted(tmp_path, "never ready", Pace(load=0.5, retreat=60, farewell=0.2)) as model:
        with pytest.raises(UpstreamUnreachable, match=r"was not ready after 0\.5 s"):
            await model.wait_ready(PATIENCE)
        assert not is_alive(lives(tmp_path)[0]["pid"])


async def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    model = LocalModel(tmp_path, command=(str(tmp_path / "nothing"),), packages=(), pace=HASTY)
    await model.start()
    with pytest.raises(UpstreamUnreachable, match="could not be started"):
        await model.wait_ready(PATIENCE)
    await model.stop()


async def test_a_dead_child_is_replaced_at_the_same_address(tmp_path: Path) -> None:
    async with scripted(tmp_path, "serves") as model:
        await model.wait_ready(PATIENCE)
        address = model.base_url
        os.kill(lives(tmp_path)[0]["pid"], signal.SIGKILL)
        await until(lambda: model.restarts == 1)
        await model.wait_ready(PATIENCE)
        assert model.base_url == address


async def test_a_child_whose_address_was_taken_gets_another(tmp_path: Path) -> None:
    async with scripted(tmp_path, "cannot return") as model:
        await model.wait_ready(PATIENCE)
        taken = model.port
        os.kill(lives(tmp_path)[0]["pid"], signal.SIGKILL)
        await until(lambda: model.state.phase == "serving" and model.restarts > 0)
        assert [life["port"] for life in lives(tmp_path)] == [0, taken, 0]


async def test_a_child_that_stops_answering_is_replaced(tmp_path: Path) -> None:
    async with scripted(tmp_path, "deaf first") as model:
        await until(lambda: model.restarts == 1)
        await model.wait_ready(PATIENCE)
        first, second = lives(tmp_path)
        assert not is_alive(first["pid"])
        assert is_alive(second["pid"])


@pytest.mark.parametrize("mode", ["serves", "stubborn", "never ready"])
async def test_stopping_leaves_no_process_behind(tmp_path: Path, mode: str) -> None:
    async with scripted(tmp_path, mode) as model:
        await until((tmp_path / "lives").exists)
        await until(lambda: bool(lives(tmp_path)))
        await model.stop()
        await model.stop()
        assert not is_alive(lives(tmp_path)[0]["pid"])
        assert model.state.phase == "stopped"
        with pytest.raises(UpstreamUnreachable, match="is not started"):
            await model.wait_ready(PATIENCE)


async def test_a_stopped_model_can_be_started_again(tmp_path: Path) -> None:
    async with scripted(tmp_path, "serves") as model:
        await model.wait_ready(PATIENCE)
        await model.stop()
        await model.start()
        await model.wait_ready(PATIENCE)
        assert len(lives(tmp_path)) == 2


async def test_the_child_does_not_see_the_keys_in_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "sk-secret")
    async with scripted(tmp_path, "serves") as model:
        await model.wait_ready(PATIENCE)
        environment = lives(tmp_path)[0]["env"]
        assert "PATH" in environment
        assert "SOME_PROVIDER_API_KEY" not in environment


def test_a_long_log_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    log = LocalLog(tmp_path / "log")
    with log.opened() as child:
        child.write(b"an old line\n" * 200_000 + b"the last line\n")
        child.flush()
        log.trim()
        child.write(b"a new line\n")
    assert log.path.stat().st_size < local_log.KEPT + 100
    assert log.last_words().endswith("an old line\nthe last line\na new line")
    assert log.path.stat().st_mode & 0o077 == 0


def test_the_last_words_are_those_of_the_last_life(tmp_path: Path) -> None:
    log = LocalLog(tmp_path / "log")
    assert log.last_words() == ""
    for life in (b"first\n", b"second\n"):
        with log.opened() as child:
            child.write(life)
    assert log.last_words() == "second"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An installed package of weights: 3 MB in two chunks."""
    chunks = [tmp_path / "part0", tmp_path / "part1"]
    for chunk in chunks:
        chunk.write_bytes(os.urandom(1_500_000))
    whole = b"".join(chunk.read_bytes() for chunk in chunks)
    package = SimpleNamespace(
        MODEL_NAME="tiny.gguf",
        EXPECTED_SHA256=hashlib.sha256(whole).hexdigest(),
        chunk_paths=lambda: chunks,
        whole=whole,
    )
    monkeypatch.setitem(sys.modules, WEIGHTS, package)
    return package


def test_the_weights_are_unpacked_once(tmp_path: Path, package: SimpleNamespace) -> None:
    path = local_child.unpack(tmp_path / "cache")
    assert path.read_bytes() == package.whole
    written = path.stat().st_mtime_ns
    assert local_child.unpack(tmp_path / "cache") == path
    assert path.stat().st_mtime_ns == written


def test_half_a_file_is_unpacked_again(tmp_path: Path, package: SimpleNamespace) -> None:
    path = local_child.unpack(tmp_path / "cache")
    path.write_bytes(package.whole[:1000])
    assert local_child.unpack(tmp_path / "cache").read_bytes() == package.whole


def test_damaged_chunks_are_refused_and_leave_nothing(tmp_path: Path, package: SimpleNamespace) -> None:
    package.chunk_paths()[0].write_bytes(os.urandom(1_500_000))
    with pytest.raises(ValueError, match="the installed weights are damaged"):
        local_child.unpack(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["weights.lock"]


def test_starts_at_the_same_time_share_one_unpacking(tmp_path: Path, package: SimpleNamespace) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(local_child.unpack, [tmp_path / "cache"] * 8))
    assert [path.read_bytes() == package.whole for path in paths] == [True]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        *(path.name for path in paths),
        "weights.lock",
    ]


@pytest.mark.parametrize("intact", [True, False])
def test_weights_that_went_bad_on_the_disk_are_thrown_away(
    tmp_path: Path, package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, intact: bool
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("cannot load")

    params = SimpleNamespace(
        model=SimpleNamespace(),
        cpuparams=SimpleNamespace(),
        cpuparams_batch=SimpleNamespace(),
        sampling=SimpleNamespace(),
    )
    monkeypatch.setitem(sys.modules, SERVER, SimpleNamespace(CommonParams=lambda: params, Server=refuse))
    path = local_child.unpack(tmp_path / "cache")
    if not intact:
        path.write_bytes(bytes(len(package.whole)))
    with pytest.raises(RuntimeError, match="cannot load"):
        local_child._serve(path, SimpleNamespace(port=0, slots=1, context=1, threads=1))  # type: ignore[arg-type]
    assert path.exists() is intact


def ask(model: LocalModel, path: str, **body: object) -> Any:
    request = urllib.request.Request(model.base_url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


needs_the_model = pytest.mark.skipif(LocalModel(Path()).available() is not None, reason="the extra `local` is missing")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder that is not kept afterwards: 250 MB come into it."""
    yield tmp_path / "data"
    shutil.rmtree(tmp_path)


@needs_the_model
async def test_the_real_model_answers_in_all_three_apis(folder: Path) -> None:
    model, heard = LocalModel(folder), list[str]()
    await model.start()
    await model.wait_ready(60, heard.append)
    question = {"role": "user", "content": "Hi!"}
    try:
        chat = await asyncio.to_thread(ask, model, "/v1/chat/completions", messages=[question], max_tokens=16)
        responses = await asyncio.to_thread(ask, model, "/v1/responses", input="Hi!", max_output_tokens=16)
        messages = await asyncio.to_thread(ask, model, "/v1/messages", messages=[question], max_tokens=16)
    finally:
        await model.stop()
    assert "unpacking the model" in heard
    assert chat["choices"][0]["message"]["content"]
    assert responses["output"][0]["content"][0]["text"]
    assert messages["content"][0]["text"]
    assert messages["model"] == "gemma-3-270m"


HOLDS_THE_LOCK = """
import ctypes
from trivium.upstream.local_child import _end_with_parent
_end_with_parent(0)
print("now", flush=True)
ctypes.PyDLL(None).sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child that is busy in C ends when it is done there")
def test_a_child_busy_in_native_code_ends_with_its_parent_all_the_same() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_LOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"now\n"
        child.stdin.close()
        assert child.wait(PATIENCE) in (0, -signal.SIGIO)


def test_a_child_whose_parent_is_gone_already_ends() -> None:
    program = "import time; from trivium.upstream.local_child import _end_with_parent as f; f(0); time.sleep(60)"
    subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, timeout=PATIENCE, check=True)


KEEPER = """
import asyncio, sys
from pathlib import Path
from trivium.upstream.local import LocalModel

async def main():
    model = LocalModel(Path(sys.argv[1]))
    await model.start()
    while model.state.words != sys.argv[2] and model.state.phase != sys.argv[2]:
        await asyncio.sleep(0.01)
    print("now", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@needs_the_model
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the child in /proc")
@pytest.mark.parametrize("moment", ["unpacking the model", "loading the model", "serving"])
def test_the_real_child_does_not_outlive_a_killed_parent(folder: Path, moment: str) -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER, str(folder), moment], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"now\n"
        (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    while is_alive(int(child)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(int(child))
