"""The gateways that Trivium is compared with, each pinned, installed outside the project's own environment, optional.

They run as their makers recommend for production: one worker on one CPU, quiet logs, no database. What a gateway does
for a request differs much; the table says whether it checks keys. Versions are those of the lists in `peers/`.
"""
# ruff: noqa: S603, T201 # installs programs and says so: that is what it is for

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateways import MESSAGES_WORDS
from stage import DIRECT, UPSTREAM_KEY, Cpus, Gateway, Launch, Program, Upstreams, Way, free_port

_LISTS = Path(__file__).parent / "peers"
_FOLDER = Path(__file__).parent.parent / "build" / "bench-peers"
_LONGEST_INSTALLATION = 600
"""Seconds."""
_WHOLE = ('"completion_tokens":140',)
_SPACED = tuple(words.replace(":", ": ") for words in MESSAGES_WORDS)
"""As Python writes JSON."""
_STREAM = ("[DONE]", '"finish_reason":"stop"', '"completion_tokens":140')


class Peer(NamedTuple):
    name: str
    label: str
    does: str
    """In a word: what it does beside forwarding."""
    install: Callable[[Path], list[list[str]]]
    """The commands that fill its folder."""
    pins: Sequence[Path]
    """Files whose contents decide what is installed."""
    launch: Callable[[Path], Launch]
    """From its folder."""
    requests: int
    """That it gets between memory at rest and after."""

    @property
    def version(self) -> str:
        if self.pins[0].suffix == ".json":
            found: Mapping[str, str] = json.loads(self.pins[0].read_text())["dependencies"]
            return next(iter(found.values()))
        lines = self.pins[0].read_text().splitlines()
        return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{self.name}=="))


def installed(peer: Peer) -> Path | None:
    """Its folder, filled if it is not; None where it cannot be had, with a line that says why."""
    folder = _FOLDER / peer.name
    stamp = folder / f".installed-{zlib.crc32(b''.join(path.read_bytes() for path in peer.pins)):08x}"
    if stamp.exists():
        return folder
    print(f"installing {peer.label} {peer.version} into build/bench-peers (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in peer.install(folder):
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_INSTALLATION, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"{peer.label} is left out: {error}")
            return None
        if done.returncode:
            reason = [line for line in done.stderr.splitlines() if line.lower().startswith(("error", "npm err"))]
            print(f"{peer.label} is left out: {' '.join(reason[:2]) or done.stderr.strip()[-300:]}")
            return None
    stamp.touch()
    return folder


def _from_python(name: str) -> Callable[[Path], list[list[str]]]:
    def commands(folder: Path) -> list[list[str]]:
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        what = ["--require-hashes", "--only-binary", ":all:", "-r", str(_LISTS / f"{name}.txt")]
        return [[sys.executable, "-m", "venv", str(folder)], [*pip, *what]]

    return commands


def _from_npm(folder: Path) -> list[list[str]]:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(_LISTS / "portkey" / name, folder)
    return [["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]]


def _ways(way: Way, *, model: str | None = None, streams: int | None = None) -> dict[str, Way]:
    whole = way._replace(model=model, words=_WHOLE)
    stream = whole._replace(words=_STREAM)
    return {"small": whole, "64k": whole, "event": stream, "paced": stream._replace(streams=streams)}


def _env(**more: str) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), **more}


def _smg(place: Path) -> Launch:
    def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
        port = free_port()
        where = ["--host", "127.0.0.1", "--port", str(port)]
        what = ["--backend", "openai", "--worker-urls", f"http://127.0.0.1:{upstreams.loose}", "--log-level", "warn"]
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
        argv = [str(place / "bin" / "smg"), "launch", *where, *what, *metrics]
        return Gateway(Program("smg", argv, folder, cpus.gateway, _env(HOME=str(folder))), port, _ways(DIRECT))

    return launch


_TENSORZERO = """\
[gateway]
bind_address = "127.0.0.1:0"
observability.enabled = false
disable_pseudonymous_usage_analytics = true

[models.gpt-mock]
routing = ["bench"]

[models.gpt-mock.providers.bench]
type = "openai"
model_name = "gpt-mock"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "env::BENCH_UPSTREAM_KEY"
"""


def _tensorzero(place: Path) -> Launch:
    def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
        config = folder / "tensorzero.toml"
        config.write_text(_TENSORZERO.format(upstream=upstreams.loose))
        argv = [place / "bin" / "python", _LISTS / "tensorzero_gateway.py", config]
        env = _env(HOME=str(folder), BENCH_UPSTREAM_KEY=UPSTREAM_KEY, RUST_LOG="warn")
        program = Program("tensorzero", argv, folder, cpus.gateway, env)
        port = int(program.wait_for("port ").rstrip("/").split(":")[2].split("/")[0])
        way = Way(path="/openai/v1/chat/completions")
        return Gateway(program, port, _ways(way, model="tensorzero::model_name::gpt-mock"))

    return launch


def _portkey(place: Path) -> Launch:
    def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
        port = free_port()
        script = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        env = _env(HOME=str(folder), NODE_ENV="production")
        program = Program("portkey", ["node", script, f"--port={port}", "--headless"], folder, cpus.gateway, env)
        host = f"x-portkey-custom-host: http://127.0.0.1:{upstreams.loose}/v1"
        way = Way(headers=["x-portkey-provider: openai", host, *DIRECT.headers])
        return Gateway(program, port, _ways(way, streams=30))

    return launch


_LITELLM = """\
model_list:
{models}
litellm_settings:
  set_verbose: false
  telemetry: false
  request_timeout: 600
  use_chat_completions_url_for_anthropic_messages: true
general_settings:
  master_key: sk-bench
"""
_LITELLM_MODEL = """\
  - model_name: {name}
    litellm_params:
      model: openai/{name}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: {key}
"""


def _litellm(place: Path) -> Launch:
    def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
        port, config = free_port(), folder / "litellm.yaml"
        names = ("gpt-mock", "gpt-said")
        models = "".join(_LITELLM_MODEL.format(name=name, upstream=upstreams.loose, key=UPSTREAM_KEY) for name in names)
        config.write_text(_LITELLM.format(models=models))
        # Without the last two it looks for a newer table of prices, and tells its makers that it runs.
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        env = _env(HOME=str(folder), LITELLM_MODE="PRODUCTION", LITELLM_LOG="ERROR", **quiet)
        where = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        argv = [str(place / "bin" / "litellm"), "--config", str(config), *where]
        program = Program("litellm", argv, folder, cpus.gateway, env)
        way = Way(headers=["Authorization: Bearer sk-bench"])
        ways = _ways(way)
        del ways["paced"]  # 15,000 events a second are ten times what it can do
        ways["event"] = ways["event"]._replace(streams=4)
        ways["translated"] = ways["event"]._replace(path="/v1/messages", words=_SPACED)
        return Gateway(program, port, ways, has_keys=True)

    return launch


PEERS = (
    Peer("smg", "SGLang model gateway (Rust)", "no keys", _from_python("smg"), [_LISTS / "smg.txt"], _smg, 100_000),
    Peer(
        "tensorzero",
        "TensorZero, embedded (Rust)",
        "no keys, no observability",
        _from_python("tensorzero"),
        [_LISTS / "tensorzero.txt"],
        _tensorzero,
        100_000,
    ),
    Peer(
        "portkey",
        "Portkey gateway (Node)",
        "no keys",
        _from_npm,
        [_LISTS / "portkey" / "package.json", _LISTS / "portkey" / "package-lock.json"],
        _portkey,
        10_000,
    ),
    Peer(
        "litellm",
        "LiteLLM proxy (Python)",
        "one key",
        _from_python("litellm"),
        [_LISTS / "litellm.txt"],
        _litellm,
        2_000,
    ),
)
