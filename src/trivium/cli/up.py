"""`trivium up`: start the gateway, and say how to use it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path

import click
import msgspec

from trivium.canon.api import Api
from trivium.cli.ask import settings_and_folder
from trivium.cli.options import config_option
from trivium.errors import RequestError
from trivium.providers.provider import PATHS
from trivium.routing.catalog import Catalog
from trivium.server import run
from trivium.server.deps import Gateway
from trivium.settings import MOST_WORKERS

_BODIES = {
    Api.CHAT: {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64},
    Api.RESPONSES: {"input": "Say hello.", "max_output_tokens": 64},
    Api.MESSAGES: {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64},
}


@click.command()
@config_option
@click.option(
    "--workers", type=click.IntRange(1, MOST_WORKERS), metavar="N", help="Processes that share the port (default: 1)."
)
def up(config_file: str | None, workers: int | None) -> None:
    """Start the gateway. SIGTERM and Ctrl-C end it cleanly."""
    env = {**os.environ, **({"TRIVIUM_WORKERS": str(workers)} if workers is not None else {})}
    settings, folder = settings_and_folder(config_file, env)
    click.echo(f"data in {folder}")
    run.up(settings, folder, env, Console(_program(), config_file))


class Console:
    """A terminal, or a log: every line is of use alone. `program` is how the command is called here, with the file
    that it was given."""

    def __init__(self, program: str = "trivium", config_file: str | None = None) -> None:
        self._program = program
        self._config = "" if config_file is None else f" --config {shlex.quote(config_file)}"

    @property
    def is_attended(self) -> bool:
        """A person reads along: not a log, not a pipe."""
        return sys.stdout.isatty()

    def say(self, text: str) -> None:
        click.echo(text)

    def ready(self, url: str, key: str | None, gateway: Gateway) -> None:
        curls = [_curl(url, key, api, model) for api in Api if (model := _model(gateway.deps.catalog, api))]
        unnamed = gateway.providers and not curls
        make_key = f"{self._program} keys create --name NAME{self._config}"
        lines = [
            "ready",
            "",
            f"  OpenAI base URL      {url}/v1",
            f"  Anthropic base URL   {url}",
            f"  API key              {key or f'revoked; make one with: {make_key}'}",
            f"  Providers            {', '.join(gateway.providers) or 'none: see the README on configuration'}",
            *(
                [f"  Dashboard            {url}/ (sign in with a link: {self._program} login-link{self._config})"]
                if gateway.panel
                else []
            ),
            *(["  Models               none is known by name; call one as PROVIDER/MODEL"] if unnamed else []),
            "",
            *curls,
            "",
        ]
        click.echo("\n".join(lines))


def _program() -> str:
    """What calls this command once more, from the same folder."""
    called, found = Path(sys.argv[0]), shutil.which("trivium")
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m trivium"
    is_found = found is not None and called.exists() and called.samefile(found)
    return "trivium" if is_found else shlex.quote(str(called))


def _model(catalog: Catalog, api: Api) -> str | None:
    """The first model whose upstream speaks this API; else the first that answers through it, translated."""
    translated = None
    for entry, _ in catalog.listed:
        with contextlib.suppress(RequestError):
            spoken = catalog.resolve(entry.id).provider.apis
            if api in spoken:
                return entry.id
            if translated is None and any(isinstance(one, Api) for one in spoken):
                translated = entry.id
    return translated


def _curl(url: str, key: str | None, api: Api, model: str) -> str:
    """A line that a shell can run. Names in it were chosen by strangers."""
    body = msgspec.json.encode({"model": model, **_BODIES[api]}).decode()
    header = "x-api-key: " if api is Api.MESSAGES else "Authorization: Bearer "
    auth = shlex.quote(header + key) if key else f'"{header}$TRIVIUM_KEY"'
    return f"  curl {url}/v1{PATHS[api]} -H {auth} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
