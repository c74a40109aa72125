"""Which settings of a new configuration hold at once, and which wait for the next start."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from trivium import config
from trivium.operations.config import _FIXED, differing, held
from trivium.settings import Settings

FIXED = {
    "server.host": '[server]\nhost = "0.0.0.0"',
    "server.port": "[server]\nport = 1",
    "server.keep_alive": "[server]\nkeep_alive = 5",
    "server.shutdown_grace": "[server]\nshutdown_grace = 5",
    "server.workers": "[server]\nworkers = 5",
    "storage.data": '[storage]\ndata = "/elsewhere"',
    "storage.url": '[storage]\nurl = "postgresql://h/d"',
    "storage.retention": '[storage]\nretention = "9d"',
    "upstream.client": '[upstream]\nclient = "aiohttp"',
    "upstream.max_connections": "[upstream]\nmax_connections = 5",
    "local.enabled": "[local]\nenabled = false",
    "local.start": '[local]\nstart = "first-use"',
    "security.allow_networks": '[security]\nallow_networks = ["10.0.0.0/8"]',
    "security.deny_networks": '[security]\ndeny_networks = ["10.0.0.0/8"]',
    "security.allow_http": "[security]\nallow_http = true",
    "secrets.keys": '[secrets]\nkeys = ["a=env:A"]',
    "limits.redis_url": '[limits]\nredis_url = "redis://h"',
    "limits.redis_timeout": "[limits]\nredis_timeout = 0.5",
    "admin.enabled": "[admin]\nenabled = false",
    "dashboard.enabled": "[dashboard]\nenabled = false",
    "dashboard.rest_minutes": "[dashboard]\nrest_minutes = 1",
    "log.format": '[log]\nformat = "json"',
    "log.requests": "[log]\nrequests = true",
    "telemetry.max_models": "[telemetry]\nmax_models = 5",
    "telemetry.prometheus": "[telemetry.prometheus]\nenabled = false",
    "telemetry.events": '[telemetry.events]\nurl = "http://h/"',
    "telemetry.otel": "[telemetry.otel]\nsample = 0.5",
    "alerts.apps": '[alerts]\napps = ["x"]',
    "alerts.slack": '[alerts.slack.a]\nurl = "http://h/"',
    "alerts.webhooks": '[alerts.webhooks.a]\nurl = "http://h/"',
    "alerts.email": '[alerts.email.a]\nhost = "h"\nsender = "a@b"\nto = ["c@d"]',
    "payments.provider": '[payments]\nprovider = "stripe"',
    "payments.secret_key": '[payments]\nsecret_key = "env:A"',
    "payments.webhook_secrets": '[payments]\nwebhook_secrets = ["env:A"]',
    "payments.least_usd": '[payments]\nleast_usd = "7"',
    "payments.most_usd": '[payments]\nmost_usd = "7"',
    "payments.fee_percent": "[payments]\nfee_percent = 7",
    "payments.fee_usd": '[payments]\nfee_usd = "7"',
    "payments.auto_top_up": "[payments]\nauto_top_up = true",
    "payments.auto_failures": "[payments]\nauto_failures = 7",
    "payments.return_url": '[payments]\nreturn_url = "https://h"',
    "payments.api_url": '[payments]\napi_url = "https://h"',
    "idempotency.hours": "[idempotency]\nhours = 1",
    "idempotency.max_answer_bytes": "[idempotency]\nmax_answer_bytes = 1",
    "idempotency.max_total_bytes": "[idempotency]\nmax_total_bytes = 1",
    "idempotency.organizations": "[idempotency]\norganizations = true",
}


@pytest.mark.parametrize("name", FIXED)
def test_what_is_built_once_waits_for_the_next_start_and_is_named(name: str) -> None:
    wanted = config.parse(FIXED[name] + '\n[aliases]\nquick = "m"')
    settings, waits = held(Settings(), wanted)
    assert waits == (name,)
    assert differing(Settings(), settings) == ("aliases",)
    assert settings.source is wanted.source


def test_every_setting_that_waits_is_tried_here() -> None:
    assert {f"{section}.{name}" for section, names in _FIXED.items() for name in names} == set(FIXED)
    for section, names in _FIXED.items():
        assert set(names) <= {field.name for field in msgspec.structs.fields(getattr(Settings(), section))}


def test_of_a_section_only_what_waits_waits() -> None:
    settings, waits = held(Settings(), config.parse("[server]\nport = 1\nmax_calls = 7"))
    assert (settings.server.port, settings.server.max_calls, waits) == (4000, 7, ("server.port",))
    assert differing(Settings(), settings) == ("server",)


def test_the_same_configuration_changes_nothing() -> None:
    text = '[server]\nport = 1\n[catalog]\npreferred = ["a"]\n[providers.up]\nbase_url = "http://h"'
    assert held(config.parse(text), config.parse(text))[1] == ()
    assert differing(config.parse(text), config.parse(text + "\n# a comment")) == ()


def test_the_page_says_what_needs_a_restart() -> None:
    page = (Path(__file__).parents[1] / "docs" / "catalog.md").read_text()
    table = page.partition("| needs a restart | |")[2].partition("\n\n")[0]
    _, whole, *parts = [re.findall(r"`(\w+)`", row) for row in table.strip().splitlines()]
    assert {*whole, *(names[0] for names in parts)} == set(_FIXED)
    assert {section: tuple(names) for section, *names in parts} == {section: _FIXED[section] for section, *_ in parts}
    for section in whole:
        assert set(type(getattr(Settings(), section)).__struct_fields__) == set(_FIXED[section])
