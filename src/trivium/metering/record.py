"""The record of one request: one for each that was received, whatever became of it (behaviour page, section 9)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from trivium.canon.usage import Usage
from trivium.money import usd_text


class Outcome(enum.StrEnum):
    SUCCESS = "success"
    REFUSED = "refused"
    """Ours: nothing was sent upstream."""
    FAILED = "failed"
    """Sent upstream and not answered as the API promises, in-band errors and cut streams included."""
    ABORTED = "aborted"
    """The client left, or the gateway was stopped, before the end."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """Its fields are the columns of the record table, in order, in which `pipeline/recorded.py` gives them. Durations
    are in microseconds since the arrival."""

    id: str
    time_ms: int
    """Arrival, milliseconds since the epoch."""
    api: str
    """The client's API, by its record name; of the path where no API is certain: empty."""
    operation: str
    """`generate` or `count_tokens`."""
    outcome: str
    status: int
    """HTTP status the client got; 499 when it left before it got one."""
    key_id: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    upstream_api: str | None = None
    upstream_model: str | None = None
    answer_model: str | None = None
    """The model that the upstream says it was."""
    upstream_status: int | None = None
    upstream_id: str | None = None
    stream: bool = False
    error_code: str | None = None
    """Ours for refusals and broken calls, the upstream's own type for errors that it told."""
    error_message: str | None = None
    in_band_error: bool = False
    """The error came inside a 200 answer."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    usage_known: bool = False
    """False: no usage arrived, and the zeros below mean nothing."""
    input_uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_other_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    server_tools: str | None = None
    """JSON object of counts by tool, or null."""
    service_tier: str | None = None
    reported_cost_usd: str | None = None
    market_cost_usd: str | None = None
    is_byok: bool | None = None
    flags: str = ""
    """Space-separated words (docs/usage.md, "Flags")."""
    losses: str | None = None
    """JSON list of [field, why], or null."""
    max_tokens: int | None = None
    queue_us: int | None = None
    """Until the upstream was called."""
    ttfb_us: int | None = None
    """Until the first byte of the answer was there."""
    first_token_us: int | None = None
    """Until the first content of a stream was there."""
    total_us: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    client_app: str | None = None
    """The first product of the User-Agent header."""
    client_ip: str | None = None
    requests: int = 1
    """How many requests the record stands for: more than one where a flood of refusals was counted together."""
    account_id: str | None = None
    """Whose balance was charged, or would have been; in meter mode nobody's."""
    user_id: str | None = None
    project_id: str | None = None
    payer: str | None = None
    """Who pays the provider: `house`, `byok`, `byok_fee`, `free` or `promotion`; null where no provider was called."""
    cost_nano: int = 0
    """What the request was charged, in nanodollars."""
    market_cost_nano: int | None = None
    """What it is worth at the provider's price, whoever paid; null where nobody knows."""
    cost_source: str | None = None
    """`reported`, `computed` or `estimated`; null where there was nothing to charge for."""
    price_version: str | None = None
    """Of the price that was in force; `trivium prices show --version` has its rates."""
    markup_ppm: int = 0
    """Part of the charge: parts per million on top of the cost, less where negative."""
    hold_nano: int = 0
    """What was put aside for it before it was sent."""
    exposure_nano: int = 0
    """What it may have cost without anybody knowing: of a call whose end nobody saw."""
    content_bytes: int = 0
    """Bytes of content that were delivered, where no usage arrived and they had to be counted instead."""
    rules: str | None = None
    """Space-separated names of what was done to the request on its way (`providers/adaptations.py`); null: nothing."""
    organization_id: str | None = None
    """For which organization the call was made, whose policy held, whether balances are charged or not."""
    prompt_prefix: str | None = None
    """The first 100 letters of what the user said last; empty where that is nothing, null where it is not kept."""
    system_prompt_prefix: str | None = None
    """The first 100 letters of the system prompt; null where there is none, or it is not kept."""
    system_prompt_length: int | None = None
    """Its letters."""
    abuse_verdict: str | None = None
    """`allow`, `soft_block`, `challenge` or `hard_block`; null where nobody judged the call."""
    abuse_reason: str | None = None
    """Which rules spoke, or the classifier's word."""
    task_id: str | None = None
    """This and what follows is what the client says of itself (`policy/context.py`)."""
    parent_task_id: str | None = None
    session_id: str | None = None
    client_project: str | None = None
    """Where the key names no project. Budgets know nothing of it."""
    editor: str | None = None
    machine_id: str | None = None
    client_version: str | None = None
    feature: str | None = None
    mode: str | None = None
    public_model: str | None = None
    """Of a stealth model: its id, by which alone the caller's side knows who answered; null where that is no secret."""
    told_code: str | None = None
    """The error that the client was told, where we told it; `error_code` and `error_message` are the operator's."""
    told_message: str | None = None
    routing: str | None = None
    """JSON: why this route was taken, which were tried before it and which could not be; null where there was no choice
    (`pipeline/journey.Journey`)."""
    auto_model: str | None = None
    """The id of the auto model that was asked for, under whatever name; null where none was."""
    auto_mode: str | None = None
    """The mode for which it chose: the client's, or the model's default."""
    resolved_model: str | None = None
    """What it chose, by the name with which a request would ask for it."""
    model_listed: int | None = None
    """1 of a call that its upstream refused, or never answered, or whose end nobody saw, where the gateway knows that
    there is such a model: it is counted under its name (`store/rollups.py`)."""
    inference_provider: str | None = None
    """Whom a provider that is a gateway itself says it asked, in its own words."""
    client_country: str | None = None
    """This and the next as a trusted proxy tells them (`policy/edge.py`)."""
    tls_fingerprint: str | None = None
    tools_available: str | None = None
    """JSON list of the tools that the request offers (`wire/prompts.offered_tools`); null where there are none, or they
    are not kept."""
    tools_used: str | None = None
    """Likewise, of those that its conversation says were called."""
    runs: str | None = None
    """JSON list of the tokens of each run of the model, where they were several (`Usage.runs`)."""
    image_output_tokens: int | None = None
    """Of the output; null where the provider does not tell."""


COLUMNS = Record.__struct_fields__
TOLD_BY_CLIENT = (
    *("task_id", "parent_task_id", "session_id", "client_project", "editor", "machine_id"),
    *("client_version", "feature", "mode"),
)
"""What the client says of itself."""

TOKENS = {
    "input_uncached_tokens": "input_uncached",
    "cache_read_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "cache_write_other_tokens": "cache_write_other",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "audio_input_tokens": "audio_input",
    "audio_output_tokens": "audio_output",
    "image_input_tokens": "image_input",
}
"""Counts of tokens by their columns, and what a usage calls them."""
_tokens = attrgetter(*TOKENS.values())


def told_by(usage: Usage) -> dict[str, Any]:
    """The columns that a usage fills."""
    columns: dict[str, Any] = dict(zip(TOKENS, _tokens(usage), strict=True))
    columns["server_tools"] = json_of({short(name): calls for name, calls in usage.server_tools.items()})
    columns["service_tier"] = short(usage.service_tier)
    columns["runs"] = runs_of(usage)
    columns["image_output_tokens"] = usage.image_output
    columns["reported_cost_usd"] = usd_of(usage.reported_cost)
    columns["market_cost_usd"] = usd_of(usage.market_cost)
    columns["is_byok"] = usage.is_byok
    return columns


def usage_of(row: Mapping[str, Any]) -> Usage:
    """The tokens and calls of tools that a row of the record table holds."""
    tools = msgspec.json.decode(row["server_tools"], type=dict[str, int]) if row["server_tools"] else {}
    tokens: dict[str, Any] = {name: row[column] or 0 for column, name in TOKENS.items()}
    runs = msgspec.json.decode(row["runs"], type=tuple[Usage, ...]) if row["runs"] else ()
    return Usage(server_tools=tools, runs=runs, image_output=row["image_output_tokens"], **tokens)


def runs_of(usage: Usage) -> str | None:
    """The column `runs`: what is not 0 of each, by the names of `Usage`."""
    runs = [dict(zip(TOKENS.values(), _tokens(run), strict=True)) for run in usage.runs]
    return json_of([{name: count for name, count in run.items() if count} for run in runs])


def short(text: str | None) -> str | None:
    """Names come from strangers; none of them may fill the disk."""
    return text[:256] if text else text


def usd_of(amount: Decimal | None) -> str | None:
    return None if amount is None else usd_text(amount)


def json_of(value: object) -> str | None:
    """Of what is empty, nothing."""
    return msgspec.json.encode(value).decode() if value else None
