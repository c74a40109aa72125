"""Every setting, once: frozen values, each with its default. `config.py` reads them from a file and the environment."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from trivium.errors import ConfigError
from trivium.patterns import Secret, Tokens, matching
from trivium.settings_alerts import AlertSettings
from trivium.settings_auto import AutoTable
from trivium.settings_capture import CaptureSettings
from trivium.settings_dashboard import DashboardSettings
from trivium.settings_idempotency import IdempotencySettings
from trivium.settings_payments import PaymentSettings
from trivium.settings_providers import ProviderSettings
from trivium.settings_requests import AdaptSettings, IdentitySettings
from trivium.settings_routing import CatalogSettings, RoutePlace, RoutingSettings, Seconds
from trivium.settings_telemetry import TelemetrySettings

MIB = 1024 * 1024

MOST_WORKERS = 256
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: the listening socket and what keeps one client from harming the others."""

    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Port = 4000
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 32 * MIB
    max_anonymous_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1 * MIB
    max_header_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    header_timeout: Seconds = 10
    """From the first byte of a request (or the connection) to the end of its headers."""
    body_timeout: Seconds = 30
    """Longest silence while a request body is being sent."""
    send_timeout: Seconds = 120
    """Longest that a client may take nothing of an answer that waits for it."""
    keep_alive: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 75
    """Seconds that a client connection may rest between two requests."""
    stream_keep_alive: Seconds = 10
    """Silence of an upstream after which a translated stream says that it is still there."""
    max_in_flight_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 512 * MIB
    """Request and answer bytes held in memory by all calls together; beyond it calls get 503."""
    max_calls: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Calls in progress at once; beyond it calls get 503."""
    shutdown_grace: Seconds = 30
    """How long running streams may go on after SIGTERM, and a store that is away is waited for."""
    trusted_proxies: list[str] = []
    """Addresses and networks (CIDR) whose `X-Forwarded-For` is believed."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=MOST_WORKERS)] = 1
    """Processes that share the port (docs/operations.md)."""

    @property
    def room(self) -> tuple[int, int]:
        """How many bytes and calls one of the workers may hold."""
        return self.max_in_flight_bytes // self.workers, max(1, self.max_calls // self.workers)


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[storage]`."""

    data: str | None = None
    """Folder of the database, the bootstrap key and the model cache. Default: `$XDG_DATA_HOME/trivium`."""
    url: Secret | None = None
    """`postgresql://...`, a secret: the database of one or several gateways, instead of a file in the folder."""
    retention: Annotated[str, matching("^[1-9][0-9]{0,4}[hd]$", "hours or days, as 24h or 90d")] | None = None
    """Age up to which records are kept, as `90d` or `36h`. Default: for ever."""


class SecuritySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[security]`: where URLs that users supply may lead (docs/custom-models.md)."""

    allow_networks: list[str] = []
    """Addresses and networks (CIDR) that are allowed though they are not of the public internet."""
    deny_networks: list[str] = []
    """Those that are refused though they are."""
    allow_http: bool = False
    """Whether such a URL may be plain `http:`."""


class SecretsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[secrets]`: what upstream keys of users and organizations are kept under (docs/byok.md)."""

    keys: list[str] = []
    """`VERSION=env:NAME` or `VERSION=file:PATH`, the current one first: 32 bytes as base64 or hexadecimal digits. By
    default the file `secrets.key` of the data folder."""


class RegisteringSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[byok.openrouter]`: how such keys are registered there (docs/byok.md)."""

    management_key: Secret
    """As `env:NAME` or `file:PATH`."""
    workspace: Annotated[str, matching(r"^[0-9a-f-]{36}\Z", "the workspace's id, 36 characters of 0-9, a-f and -")]
    """The id of one that has nothing else in it."""
    monthly_limit_usd: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 5.0
    """What one key may cost the house's account there in a month: fees, and whatever no key pays for."""


class ByokSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[byok]`: how calls with such keys go to their vendors."""

    via: dict[str, Literal["direct", "vercel", "openrouter"]] = {}
    """By vendor. `vercel`: with the house's own account there, which is told the key with each call. `openrouter`: with
    its account there, where the key is registered."""
    openrouter: RegisteringSettings | None = None

    def vendors_via(self, gateway: str) -> list[str]:
        return [vendor for vendor, via in self.via.items() if via == gateway]


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[upstream]`: the HTTP client that calls providers."""

    client: Literal["http1", "aiohttp"] = "http1"
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Per provider origin."""


class LocalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[local]`: the embedded model."""

    enabled: bool = True
    """False leaves the provider `local` out even where its packages are installed."""
    start: Literal["up", "first-use"] = "up"


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[admin]`: the admin API under `/admin/v1`."""

    enabled: bool = True
    """Where nobody has made an admin credential it answers nobody, so that it may be there from the start."""


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    requests: bool = False
    """Whether each request is a line, behind its answer."""


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[limits]`: where they are counted. What they are is said while the gateway runs."""

    redis_url: Secret | None = None
    """`redis://...`, `rediss://...` or `unix://...`, a secret: the counters of several gateways together."""
    redis_timeout: Annotated[float, msgspec.Meta(gt=0, le=5)] = 0.05
    """Seconds; where Redis takes longer, this process counts alone until it answers again."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."PROVIDER/MODEL"]`, `*` and `?` as wildcards: what is known better here than anywhere else."""

    price: dict[str, Any] | None = None
    """USD per million tokens; `metering/sheet.py` says what may stand in it."""
    free: bool = False
    context: Tokens | None = None
    output_limit: Tokens | None = None


class PromotionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[billing.promotions]]`: calls that cost their callers nothing for a while."""

    model: Annotated[str, matching("/", "PROVIDER/MODEL")]
    """`PROVIDER/MODEL`, `*` and `?` as wildcards."""
    until: date
    """The last day, UTC."""
    account: str | None = None
    """Only of this account, by its id."""
    key: str | None = None
    """Only with this key, by its id."""


class BillingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[billing]`."""

    mode: Literal["meter", "credits"] = "meter"
    """Whether what calls cost is only measured, or taken from balances."""
    cost_header: bool = False
    """Answers tell their charge: whole ones in the header `x-trivium-cost-usd`, streams in a last comment."""
    buy_credits_url: str | None = None
    """Where callers without credits are sent."""
    promotions: list[PromotionSettings] = []


class RecordSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[records]`: what is kept of a request beyond its figures."""

    prompts: bool = False
    """Beginnings of prompts: 100 letters of what the user said last and of the system prompt. None of organizations."""
    tools: bool = False
    """Names of the tools that a request offers, and of those that its conversation says were called."""


Verdict = Literal["allow", "soft_block", "challenge", "hard_block"]


class AbuseVerdicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[abuse.rules.verdicts]`: what each rule says where it holds."""

    velocity: Verdict = "challenge"
    free_spend: Verdict = "soft_block"
    new_identity: Verdict = "challenge"
    new_identities: Verdict = "challenge"
    datacentre: Verdict = "challenge"
    bad_address: Verdict = "hard_block"
    bad_agent: Verdict = "hard_block"
    bad_prompt: Verdict = "hard_block"
    unread: Verdict = "challenge"
    """Of a call in which nobody can look for bad prompts."""


class AbuseRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[abuse.rules]`. Of an identity: a user, else a key, else an address. 0 switches a rule off."""

    requests_per_minute: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 1200
    free_spend_per_hour: Annotated[str, matching(r"^[0-9]{1,9}(\.[0-9]{1,9})?\Z", "an amount, as 12.50")] = "5"
    """USD at the market's price, of calls that cost their caller nothing."""
    new_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 24
    """How long an identity is new."""
    new_requests_per_hour: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 600
    """Of a new identity."""
    new_identities_per_address: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 10
    """New identities that call from one address within an hour."""
    datacentres: list[str] = []
    """Networks (CIDR) from which no person calls; only calls on the free tier are held against them."""
    bad_addresses: list[str] = []
    """Addresses and networks."""
    bad_agents: list[str] = []
    """Of the User-Agent header, `*` and `?` as wildcards, capitals or not."""
    bad_prompts: list[Annotated[str, msgspec.Meta(min_length=3)]] = []
    """Texts that occur in what the user says last or in the system prompt, capitals or not."""
    lists: str | None = None
    """A file with more of them: lines of `datacentre`, `address`, `agent` or `prompt`, and what is listed."""
    verdicts: AbuseVerdicts = AbuseVerdicts()


class ClassifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[abuse.classifier]`: a service that judges calls (docs/abuse.md)."""

    url: Annotated[str, matching("^https?://", "a URL that begins with https:// or http://")]
    key: Secret | None = None
    """Sent as `Authorization: Bearer`."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=30)] = 2
    """Seconds that an answer may take; in mode `enforce` the call waits so long at the most, then goes on."""
    max_prompt: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 200_000
    """Letters of each prompt that are sent."""
    organization_prompts: bool = False
    """Whether it may read prompts of calls that an organization pays for."""


class AbuseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[abuse]`."""

    mode: Literal["off", "log", "enforce"] = "log"
    soft_block_model: str | None = None
    """What answers in place of the model that was asked for; without it a soft block is a challenge."""
    challenge: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    """What a caller is told to do who is challenged."""
    rules: AbuseRules = AbuseRules()
    classifier: ClassifierSettings | None = None


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tokens]`: whose tokens are credentials like keys."""

    key: Secret | None = None
    """The secret, of 32 bytes or more, with which the issuer signs (HS256). Without one tokens are no credentials."""
    issuer: str | None = None
    """What the claim `iss` must be; by default it is not looked at."""
    audience: str | None = None
    """What the claim `aud` must be or have; by default a token for somebody in particular is refused."""
    user_claim: str = "kiloUserId"
    organization_claim: str = "organizationId"
    pepper_claim: str = "apiTokenPepper"


class FreeModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[free.models."ID"]`: a model that the house gives away, under an id of its own."""

    route: RoutePlace
    """Who answers."""
    name: str | None = None
    """For lists that people read."""
    context: Tokens | None = None
    output_limit: Tokens | None = None
    vision: bool = False
    """It reads images."""
    reasoning: bool = False
    """It thinks, and can be asked how hard."""
    prompt_cache: bool = False
    """It reads what was said before from a cache: lists have a price for that, which is 0."""
    stealth: bool = False
    """Nobody is told who answers."""
    requires_data_collection: bool | None = None
    """Whoever answers keeps prompts, or learns from them. Default: as is known of the provider; true if stealth."""
    disabled: bool = False
    """The time in which it was free is over."""


class FreeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[free]`: models that cost their callers nothing, and callers without a key, who get no others."""

    anonymous: bool = False
    """Whether calls without a key are answered."""
    patterns: tuple[str, ...] = ("*:free",)
    """Models that are free, by `PROVIDER/MODEL` or the provider's own id: of those that stand in a list, configured or
    told by the provider, under exactly this name."""
    hidden: tuple[str, ...] = ()
    """Models that nobody sees or reaches, by the same names or the id of one of ours; `*` and `?` as wildcards."""
    per_ip_per_hour: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 200
    """Requests of an address for the models below, with a key or without."""
    anonymous_per_ip_per_day: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 2000
    """Requests without a key of an address, in 24 hours."""
    per_user_per_hour: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    """Requests of a user (or of a key that belongs to none) for free models. Default: no limit."""
    per_user_per_day: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    sign_up_url: str | None = None
    """Where those who need a key are sent."""
    models: dict[str, FreeModelSettings] = {}
    """By the id under which they are asked for."""


NOTHING_FREE = FreeSettings()
"""What holds where nothing is said."""


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    local: LocalSettings = LocalSettings()
    log: LogSettings = LogSettings()
    security: SecuritySettings = SecuritySettings()
    billing: BillingSettings = BillingSettings()
    records: RecordSettings = RecordSettings()
    capture: CaptureSettings = CaptureSettings()
    abuse: AbuseSettings = AbuseSettings(mode="off")
    catalog: CatalogSettings = CatalogSettings()
    routing: RoutingSettings = RoutingSettings()
    tokens: TokenSettings = TokenSettings()
    free: FreeSettings = NOTHING_FREE
    secrets: SecretsSettings = SecretsSettings()
    byok: ByokSettings = ByokSettings()
    identity: IdentitySettings = IdentitySettings()
    adapt: AdaptSettings = AdaptSettings()
    admin: AdminSettings = AdminSettings()
    dashboard: DashboardSettings = DashboardSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    models: dict[str, ModelSettings] = {}
    providers: dict[str, ProviderSettings] = {}
    limits: LimitSettings = LimitSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    alerts: AlertSettings = AlertSettings()
    payments: PaymentSettings = PaymentSettings()
    aliases: dict[str, str] = {}
    auto: AutoTable = AutoTable()
    source: Source | None = None
    """Where the values came from, to say so in an error found later."""


class Source(msgspec.Struct, frozen=True):
    """A configuration file's name and text."""

    name: str
    text: str
    file: Path | None = None
    """Where it can be read again."""

    def error(self, path: tuple[str, ...], expected: str) -> ConfigError:
        """An error that names file, line and key."""
        lines = (_line_of(self.text, path[:end]) for end in range(len(path), 0, -1))
        line = next(filter(None, lines), None)  # of a setting that is missing: of the table that lacks it
        place = f"{self.name}:{line}" if line else self.name
        return ConfigError(f"{place}: {'.'.join(path)}: {expected}")


def wrong_setting(source: Source | None, path: tuple[str, ...], expected: str) -> ConfigError:
    """The error, with file and line where the settings came from a file."""
    return source.error(path, expected) if source else ConfigError(f"{'.'.join(path)}: {expected}")


def _line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line on which a key's value ends: the shortest prefix of the file that is TOML and has the key."""
    lines = text.replace("\r\n", "\n").split("\n")
    for count in range(1, len(lines) + 1):
        try:
            document: Any = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(document, path):
            return count
    return None


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            return False
    return True
