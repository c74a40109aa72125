"""The process of the embedded model: llama.cpp's server around the packaged weights. `LocalModel` starts it.

    python -m trivium.upstream.local_child --cache DIR [--port N] [--slots N] [--context N] [--threads N]

* standard input is a pipe that the parent holds open and never writes to. Its end means that the parent is gone, and
  this process ends at once, whatever it is doing.
* standard output carries one JSON object a line: `{"stage": "..."}` while preparing, `{"port": N}` once it serves.
* standard error is the log. A start that fails ends with a non-zero exit code and its reason there.

Only this module imports the packages of the extra `local`, and only when it runs.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from trivium.providers.embedded import STOPS
from trivium.upstream.local_model import CHAT_TEMPLATE, MODEL, SERVER, WEIGHTS

LOG_LIMIT = 4 << 20
"""Bytes. The log can never grow beyond this: the kernel refuses the write."""
DEFAULT_ANSWER = 1024
"""Tokens of an answer whose request names no limit; a small model may otherwise run on until its context is full."""
HTTP_THREADS = 128
"""llama.cpp keeps a thread for every open connection, waiting ones included; health checks must still get through."""
BATCH = 512
"""Tokens that are read at once. No text for which a vector is asked may have more, and memory for it grows by 1.8 MB a
token, with the words that the model knows."""
MEAN_POOLING = 1
"""`LLAMA_POOLING_TYPE_MEAN` of llama.h."""
PING = 5
"""Seconds of silence after which a stream carries a comment line."""

Report = Callable[..., None]


def main(argv: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(argv)
    report = _claim_stdout()
    parent = _end_with_parent(sys.stdin.fileno())
    report(stage="unpacking the model")
    path = unpack(options.cache)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_LIMIT, LOG_LIMIT))
    report(stage="loading the model")
    server = _serve(path, options)
    report(port=int(server.listening_address.rpartition(":")[2]))
    parent.join()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trivium.upstream.local_child")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def _claim_stdout() -> Report:
    """Keeps standard output for the reports alone: whatever native code prints goes to the log."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def report(**fields: object) -> None:
        print(json.dumps(fields), file=out, flush=True)

    return report


def _end_with_parent(pipe: int) -> threading.Thread:
    """Loading the model holds the interpreter's lock for seconds, so a thread alone would come late. On Linux the
    kernel does it: it sends SIGIO when the pipe's other end closes, and SIGIO kills by default. Elsewhere SIGIO is
    ignored by default and the thread ends us as soon as the model is loaded. The thread also sees an end that came
    before the signal was asked for."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)

    def wait_for_the_end() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(0)

    thread = threading.Thread(target=wait_for_the_end, daemon=True)
    thread.start()
    return thread


def unpack(cache: Path) -> Path:
    """The weights as one file in `cache`, put together from the installed chunks when it is not there yet.

    The digest is checked while the file is written; it gets its name only when it is whole and on the disk, so that a
    later start needs to look at its size alone. A lock keeps two starts apart. Raises ValueError for damaged chunks.
    """
    package = import_module(WEIGHTS)
    chunks: list[Path] = package.chunk_paths()
    target = cache / f"{package.EXPECTED_SHA256[:12]}-{package.MODEL_NAME}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "weights.lock"):
        if not target.exists() or target.stat().st_size != sum(chunk.stat().st_size for chunk in chunks):
            _join(chunks, target, package.EXPECTED_SHA256)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _join(chunks: Sequence[Path], target: Path, sha256: str) -> None:
    part = target.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as out:
            for block in _blocks(chunks):
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != sha256:
            raise ValueError(f"the installed weights are damaged: sha256 is {digest.hexdigest()}, not {sha256}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _blocks(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block


def _serve(path: Path, options: argparse.Namespace) -> Any:
    """llama.cpp's server, loaded and listening. Raises RuntimeError; weights that went bad on the disk are removed, so
    that the next start unpacks them again."""
    server = import_module(SERVER)
    try:
        return server.Server(_parameters(server.CommonParams(), path, options))
    except RuntimeError:
        if _digest(path) != import_module(WEIGHTS).EXPECTED_SHA256:
            path.unlink(missing_ok=True)
        raise


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parameters(params: Any, path: Path, options: argparse.Namespace) -> Any:
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.port = options.port  # on 127.0.0.1; 0 lets the kernel choose
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # wait without spinning
    params.n_batch = BATCH
    params.embedding = True  # beside chat, which it does not slow down
    params.pooling_type = MEAN_POOLING  # one vector of a text, and not one of each token; its length is 1 by default
    params.n_predict = DEFAULT_ANSWER
    params.n_threads_http = HTTP_THREADS
    params.sse_ping_interval = PING
    params.cache_ram_mib = 0  # the default may keep 8 GiB of old prompts
    params.cache_idle_slots = False
    params.chat_template = CHAT_TEMPLATE
    params.antiprompt = list(STOPS)  # a request with stop sequences has them too: the rule `embedded-stops`
    params.sampling.temp = 0.1
    params.sampling.penalty_repeat = 1.1
    params.endpoint_metrics = True  # what the health check asks
    params.endpoint_slots = False  # it would show one caller's prompt to another
    params.ui = False
    params.cors_origins = ""  # no page in a browser may read from it
    params.cors_origins_explicit = True
    params.cors_credentials = False
    params.verbosity = 2  # warnings and errors
    return params


if __name__ == "__main__":
    main()
