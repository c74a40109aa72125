"""`trivium up`: start the gateway, and say how to use it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys

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
    run.up(settings, folder, env, Console())


class Console:
    """A terminal, or a log: every line is of use alone."""

    @property
    def is_attended(self) -> bool:
        """A person reads along: not a log, not a pipe."""
        return sys.stdout.isatty()

    def say(self, text: str) -> None:
        click.echo(text)

    def ready(self, url: str, key: str | None, gateway: Gateway) -> None:
        lines = [
            "ready",
            "",
            f"  OpenAI base URL      {url}/v1",
            f"  Anthropic base URL   {url}",
            f"  API key              {key or 'revoked; make one with: trivium keys create --name NAME'}",
            f"  Providers            {', '.join(gateway.providers) or 'none: see the README on configuration'}",
            *([f"  Dashboard            {url}/ (sign in with a link: trivium login-link)"] if gateway.panel else []),
            "",
            *(_curl(url, key, api, model) for api in Api if (model := _model(gateway.deps.catalog, api))),
            "",
        ]
        click.echo("\n".join(lines))


def _model(catalog: Catalog, api: Api) -> str | None:
    """The first model that answers through this API; a placeholder where a provider does not list its own."""
    for entry, _ in catalog.entries():
        with contextlib.suppress(RequestError):
            if api in catalog.resolve(entry.id).provider.apis:
                return entry.id
    spoken = any(api in provider.apis for provider in catalog.providers.values())
    return "MODEL" if spoken else None


def _curl(url: str, key: str | None, api: Api, model: str) -> str:
    """A line that a shell can run. Names in it were chosen by strangers."""
    body = msgspec.json.encode({"model": model, **_BODIES[api]}).decode()
    header = "x-api-key: " if api is Api.MESSAGES else "Authorization: Bearer "
    auth = shlex.quote(header + key) if key else f'"{header}$TRIVIUM_KEY"'
    return f"  curl {url}/v1{PATHS[api]} -H {auth} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
