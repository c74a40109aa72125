"""What it costs to find a call's way: CPU of each request with a catalogue of 2,000 models that have 5 routes each.

    .venv/bin/python bench/routing.py [--repeat N] [--models N] [--routes N]

From the model's name to the routes in their order: the name found, each route checked against an organization's
policy, health, shares, the session's route, price and payer of each. Without a network and without a body. Medians of N
runs.
"""
# ruff: noqa: T201 # prints its report

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from trivium import config
from trivium.canon.api import Api
from trivium.pipeline.authenticate import authenticate
from trivium.pipeline.call import Call
from trivium.pipeline.free import find
from trivium.pipeline.legs import fallbacks_of, legs_of
from trivium.pipeline.settle import Run
from trivium.policy.caller import OrganizationSettings, Policy, Role
from trivium.server.deps import Gateway
from trivium.server.run import settle_down
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User
from trivium.wire.request import parse

GOAL = 15.0
"""Microseconds of one core for each request (issue 6)."""
ROUNDS = 5_000


def _settings(models: int, routes: int) -> str:
    listed = ", ".join(f'"m{number}"' for number in range(models))
    providers = "".join(
        f'[providers.p{number}]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = [{listed}]\n' for number in range(routes)
    )
    catalogue = "".join(
        f'[catalog.models."model {number}"]\nroutes = ['
        + ", ".join(f'{{ to = "p{way}/m{number}", weight = {way + 1} }}' for way in range(routes))
        + "]\n"
        for number in range(models)
    )
    return f"[local]\nenabled = false\n{providers}{catalogue}"


async def _caller(gateway: Gateway) -> str:
    """The text of a key of a member of an organization with a policy."""
    store = gateway.store
    policy = Policy(models_deny=("openai/*",), providers_deny=("nobody",))
    row = OrganizationRow(id="acme", name="acme", settings=OrganizationSettings(policy=policy), created_ms=1)
    await store.organizations.add(row, None, "op")
    await store.users.add(User(id="ann", name="Ann", created_ms=1), "op")
    await store.organizations.set_member("acme", "ann", Role.MEMBER, "op")
    return store.keys.create("acme", user_id="ann", account_id="acme")[1]


async def cpu(models: int, routes: int, repeat: int) -> dict[str, float]:
    """Microseconds of CPU by case."""
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(config.parse(_settings(models, routes)), Path(folder), {})
        await gateway.open()
        settle_down()
        plain, strict = gateway.store.keys.create("plain")[1], await _caller(gateway)
        found = {}
        for case, key, model, headers in (
            ("one route", plain, "p0/m7", {}),
            (f"{routes} routes", plain, "model {}", {}),
            (f"{routes} routes, a session, an organization's policy", strict, "model {}", {b"x-trivium-session": b"s"}),
        ):
            call = Call(
                id="req_1",
                api=Api.CHAT,
                headers={b"authorization": b"Bearer " + key.encode(), **headers},
                client_ip="192.0.2.1",
                time_ms=gateway.deps.clock.now_ms(),
                started_ns=0,
            )
            found[case] = median([await _timed(gateway, call, model, models) for _ in range(repeat)])
        await gateway.close()
    return found


async def _timed(gateway: Gateway, call: Call, model: str, models: int) -> float:
    deps = gateway.deps
    caller = await authenticate(call.headers, call.client_ip, deps)
    asked = [
        parse(Api.CHAT, b'{"model":"%b","messages":[]}' % model.format(number * 7 % models).encode())
        for number in range(ROUNDS)
    ]
    run = Run(call, deps)
    run.key = caller
    began = time.process_time_ns()
    for request in asked:
        target = find(caller, request.model, deps, run)
        if isinstance(target, Exception):
            raise target
        await legs_of(call, request, target, fallbacks_of(call, request), run, deps)
    return (time.process_time_ns() - began) / ROUNDS / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--models", type=int, default=2_000)
    parser.add_argument("--routes", type=int, default=5)
    said = parser.parse_args()
    print(f"CPU of finding a call's way among {said.models:,} models, microseconds")
    figures = asyncio.run(cpu(said.models, said.routes, said.repeat))
    for case, figure in figures.items():
        print(f"  {case:60} {figure:6.1f}")
    dearest = max(figures.values())
    print(f"routing: {dearest:.1f} us of {GOAL:.0f}")
    sys.exit(dearest > GOAL)


if __name__ == "__main__":
    main()
