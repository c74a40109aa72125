"""The two gateways that every comparison has: nginx as the floor, and Trivium as it comes."""
# ruff: noqa: S603, T201 # installs nginx and makes keys: that is what it is for

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import books
from stage import DIRECT, UPSTREAM_KEY, BenchError, Cpus, Gateway, Launch, Program, Upstreams, Way, free_port

MESSAGES_WORDS = ('"type":"message_stop"', '"output_tokens":140', '"stop_reason":"end_turn"')
"""What a stream of Messages ends with, translated from the upstream's."""

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    client_body_buffer_size 128k;
    keepalive_requests 1000000000;
    upstream provider {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
_TRIVIUM = """\
[local]
enabled = false

[providers.bench]
base_url = "http://127.0.0.1:{exact}/v1"
key = "{key}"
apis = ["chat"]
models = ["gpt-mock", "gpt-priced"]

[providers.said]
base_url = "http://127.0.0.1:{loose}/v1"
key = "{key}"
apis = ["chat"]
models = ["gpt-said"]

[models."bench/gpt-priced".price]
input = "2.50"
output = "10"
"""


def nginx_launch() -> Launch | None:
    """nginx: a reverse proxy that looks at nothing, one worker. None where there is none to be had."""
    binary = find_nginx()
    if binary is None:
        return None

    def launch(folder: Path, cpus: Cpus, upstreams: Upstreams) -> Gateway:
        port, config = free_port(), folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstreams.exact))
        program = Program("nginx", [binary, "-c", config], folder, cpus.gateway, {})
        return Gateway(program, port, dict.fromkeys(("small", "64k", "event", "paced"), DIRECT))

    return launch


def find_nginx() -> str | None:
    """nginx, installed on the way where we are root on a Debian; None where there is none to be had."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found, installer = shutil.which("nginx", path=places), shutil.which("apt-get")
    if found or installer is None or os.geteuid() != 0:
        return found
    print("nginx is missing: installing it with apt-get (once; not part of the minute)", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "nginx"]):
        done = subprocess.run(
            [installer, "-q", *command], env=env, capture_output=True, text=True, timeout=300, check=False
        )
    if done.returncode:
        print(f"apt-get could not install it: {done.stderr.strip()[-300:]}")
    return shutil.which("nginx", path=places)


def trivium(
    folder: Path,
    cpus: Cpus,
    upstreams: Upstreams,
    name: str = "trivium",
    more: str = "",
    *,
    command: Sequence[str] = (),
) -> Gateway:
    """`trivium up` on a data folder of its own, keys checked; `more` goes into its configuration, `command` before its
    `-m`. Raises BenchError."""
    config = _TRIVIUM.format(exact=upstreams.exact, loose=upstreams.loose, key=UPSTREAM_KEY) + more
    return launch_trivium(folder, cpus, config, name, command=command)


def launch_trivium(
    folder: Path, cpus: Cpus, config: str, name: str = "trivium", command: Sequence[str] = ()
) -> Gateway:
    """`trivium up` with such a configuration. The data folder is made at the first call. Raises BenchError."""
    (folder / "trivium.toml").write_text(config)
    plain, limited = _keys(folder)
    port = free_port()
    env = trivium_env(folder) | {"TRIVIUM_PORT": str(port)}
    program = Program(name, [sys.executable, *command, "-m", "trivium", "up"], folder, cpus.gateway, env)
    way = Way(headers=[f"Authorization: Bearer {plain}"])
    ways = dict.fromkeys(("small", "64k", "event", "paced"), way)
    ways["translated"] = way._replace(path="/v1/messages", words=MESSAGES_WORDS)
    ways["held"] = Way(headers=[f"Authorization: Bearer {limited}"])
    return Gateway(program, port, ways, has_keys=True, ask=books.sqlite(folder / "data" / "trivium.db"))


def trivium_env(folder: Path) -> dict[str, str]:
    """Nothing else of our environment: a provider's key in it would make Trivium ask that provider for its models."""
    passed = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    ours = {"TRIVIUM_DATA": str(folder / "data"), "TRIVIUM_CONFIG": str(folder / "trivium.toml")}
    return {"HOME": str(folder), **passed, **ours}


def _keys(folder: Path) -> list[str]:
    """The texts of two keys: one without a limit, and one with a budget, so that priced calls need a hold."""
    kept = folder / "keys.json"
    if not kept.exists():
        env = trivium_env(folder)
        texts = [_key(env, "plain"), _key(env, "limited", "--budget", "1000000", "--period", "total")]
        kept.write_text(json.dumps(texts))
    made: list[str] = json.loads(kept.read_text())
    return made


def _key(env: Mapping[str, str], name: str, *options: str) -> str:
    command = [sys.executable, "-m", "trivium", "keys", "create", "--name", name, "--json", *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise BenchError(f"trivium cannot make a key: {done.stderr.strip()[-500:]}")
    text: str = json.loads(done.stdout)["key"]
    return text
