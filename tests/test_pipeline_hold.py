"""What is put aside for a call before its upstream hears of it, and what the ledger is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from support_prices import price, vendor
from trivium.canon.api import Api, Kind, Solo
from trivium.errors import BudgetExceeded, InsufficientCredits, PriceUnknown, RequestError, StoreUnavailable
from trivium.metering.book import Entry, PriceBook
from trivium.metering.bound import most_usage
from trivium.metering.charge import HOUSE
from trivium.metering.cost import cost
from trivium.metering.prices import FREE, Limits, Price, Quote
from trivium.metering.start import Start
from trivium.pipeline import hold
from trivium.pipeline.bill import Bill, account_of
from trivium.pipeline.call import Call, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.hold import begin
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller, Organization
from trivium.policy.promotions import Promotions
from trivium.policy.spending import Budget, Period, Refusal, Window, refused_by, window_start
from trivium.providers.house import HouseModel
from trivium.providers.provider import Provider
from trivium.routing.catalog import Target
from trivium.settings import BillingSettings, FreeModelSettings, PromotionSettings
from trivium.wire.request import parse
from trivium.wire.size import measure

ACCOUNT = "acme"
PLAIN = price(tiers={"priority": {"input": "6", "output": "30"}, "flex": {"input": "1.5", "output": "7.5"}})
QUOTE = Quote(price=PLAIN, version="", source="", provider="up", model="m")
UP = vendor("up")


class Ledger:
    """Remembers what it was told, in order; says no if it is told to."""

    def accepts(self) -> bool:
        return True

    def __init__(self, *, counts: str | None = None, answer: Refusal | StoreUnavailable | None = None) -> None:
        """`counts` is the scope of a budget."""
        self._counts = counts
        self._answer = answer
        self.told: list[Quote | Start] = []

    async def counts(self, scopes: Iterable[str]) -> bool:
        return any(scope == self._counts for scope in scopes)

    def priced(self, quote: Quote) -> None:
        self.told.append(quote)

    async def start(self, start: Start) -> Refusal | None:
        self.told.append(start)
        if isinstance(self._answer, StoreUnavailable):
            raise self._answer
        return self._answer

    @property
    def started(self) -> Start:
        start = self.told[-1]
        assert isinstance(start, Start)
        return start


class Counter:
    """Where calls begin."""

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        of: Price | None = PLAIN,
        credits: bool = True,
        limits: Limits = Limits(output=1_000),  # noqa: B008 # frozen
        provider: Provider = UP,
        url: str | None = None,
        promotion: PromotionSettings | None = None,
        house: HouseModel | None = None,
        **key: Any,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.provider = provider
        self.limits = limits
        self.house = house
        self.key = msgspec.convert({"id": "key_1", "account_id": ACCOUNT, **key}, Caller)
        billing = BillingSettings(mode="credits" if credits else "meter", buy_credits_url=url)
        book = PriceBook(entries=[Entry(pattern="up/*", price=of, limits=limits)])
        self.deps = cast(
            Deps,
            SimpleNamespace(
                ledger=self.ledger,
                prices=book,
                billing=billing,
                promotions=Promotions([promotion] if promotion else []),
            ),
        )

    async def begin(
        self, *, model: str = "m", operation: Operation = Operation.GENERATE, others: Sequence[Bill] = (), **body: Any
    ) -> Run:
        call = Call(id="req_1", api=Api.CHAT, operation=operation, headers={}, client_ip=None, time_ms=7, started_ns=0)
        run = Run(call, self.deps)
        run.key = self.key
        run.account_id = account_of(self.key, self.deps)
        said = {"model": model, "messages": [{"role": "user", "content": "hi"}], **body}
        request = parse(Api.CHAT, msgspec.json.encode(said))
        self.run = run
        await begin(call, request, Target(self.provider, model, house=self.house), run, self.deps, others)
        return run

    async def refusal(self, **body: Any) -> RequestError:
        with pytest.raises(RequestError) as refused:
            await self.begin(**body)
        assert self.run.hold_nano == 0
        return refused.value


def most(counter: Counter, longest: int, tier: str | None = None, /, **body: Any) -> int:
    """What a request may cost by the tables of bounds, which have tests of their own."""
    said = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
    size = measure(parse(Api.CHAT, msgspec.json.encode(said)))
    return cost(most_usage(size, longest, counter.limits, PLAIN.tiers.get(tier or "", PLAIN)), QUOTE, tier).nano


class TestHowMuch:
    async def test_all_that_it_may_cost(self) -> None:
        counter = Counter()
        run = await counter.begin(max_tokens=50)
        assert counter.ledger.started.hold_nano == run.hold_nano == most(counter, 50, max_tokens=50)

    @pytest.mark.parametrize("asked", [1_001, 10**9, None])
    async def test_no_more_than_the_model_can_say(self, asked: int | None) -> None:
        """Of the body nothing but its length changes."""
        counter = Counter()
        body: dict[str, Any] = {} if asked is None else {"max_tokens": asked}
        await counter.begin(**body)
        assert counter.ledger.started.hold_nano == most(counter, 1_000, **body)

    async def test_the_dearer_of_the_tier_that_is_asked_for_and_the_usual_one(self) -> None:
        counter = Counter()
        holds = {}
        for tier in ("priority", "flex", "auto"):
            holds[tier] = (await counter.begin(service_tier=tier, max_tokens=50)).hold_nano
        usual = {tier: most(counter, 50, service_tier=tier, max_tokens=50) for tier in holds}
        assert holds == {**usual, "priority": most(counter, 50, "priority", service_tier="priority", max_tokens=50)}
        assert holds["priority"] > usual["priority"]

    async def test_where_balances_are_not_charged_only_budgets_need_it(self) -> None:
        plain, limited = Counter(credits=False), Counter(Ledger(counts="key:key_1"), credits=False)
        others = Counter(Ledger(counts="key:key_2"), credits=False)
        assert (await others.begin(max_tokens=50)).hold_nano == 0
        assert (await plain.begin(max_tokens=50)).hold_nano == 0
        assert (await limited.begin(max_tokens=50)).hold_nano == most(limited, 50, max_tokens=50)
        assert [counter.ledger.started.account_id for counter in (plain, limited)] == [None, None]

    @pytest.mark.parametrize(
        "counter",
        [
            Counter(of=FREE),
            Counter(provider=msgspec.structs.replace(UP, byok=True)),
            Counter(of=None, promotion=PromotionSettings(model="up/m", until=date(2026, 1, 1), account="acme")),
            Counter(of=None, promotion=PromotionSettings(model="up/m", until=date(2026, 1, 1), key="key_1")),
        ],
        ids=["free", "byok", "promotion", "promotion of the key"],
    )
    async def test_what_costs_nobody_anything_needs_none_and_counts_in_no_budget(self, counter: Counter) -> None:
        await counter.begin()
        start = counter.ledger.started
        assert (start.hold_nano, start.account_id, start.scopes) == (0, None, ())

    @pytest.mark.parametrize("whose", [{"account": "other"}, {"key": "key_2"}])
    async def test_a_promotion_of_others_is_none(self, whose: dict[str, str]) -> None:
        theirs = PromotionSettings(model="up/m", until=date(2026, 1, 1), **whose)
        assert (await Counter(promotion=theirs).begin()).hold_nano > 0

    async def test_of_the_routes_that_a_call_may_take_the_dearest_that_the_house_pays_for(self) -> None:
        """Whatever it costs somebody else elsewhere."""
        ours = Bill(Target(UP, "m"), QUOTE, HOUSE)
        theirs = Counter(of=price("3000", "15000"), provider=msgspec.structs.replace(UP, byok=True))
        run = await theirs.begin(max_tokens=50, others=[ours])
        assert run.hold_nano == most(theirs, 50, max_tokens=50)
        cheap = Counter(of=price("0.3", "1.5"))
        assert (await cheap.begin(max_tokens=50, others=[ours])).hold_nano == most(cheap, 50, max_tokens=50)

    async def test_counting_tokens_needs_none(self) -> None:
        counter = Counter(of=None)
        run = await counter.begin(operation=Operation.COUNT_TOKENS)
        start = counter.ledger.started
        assert (start.hold_nano, start.account_id, start.scopes, run.payer) == (0, None, (), None)


class TestWhose:
    async def test_every_scope_that_a_budget_may_be_set_for(self) -> None:
        counter = Counter(user_id="jo", project_id="web")
        await counter.begin()
        assert set(counter.ledger.started.scopes) == {
            "key:key_1", "user:jo", "account:acme", "member:acme/jo", "project:web",
        }  # fmt: skip

    async def test_an_organizations_project_is_no_word_of_other_keys(self) -> None:
        counter = Counter(organization=Organization(id="acme", name="Acme"), project_id="web")
        await counter.begin()
        assert counter.ledger.started.scopes == ("key:key_1", "account:acme", "project:acme/web")
        assert counter.ledger.started.organization_id == "acme"

    async def test_a_key_of_nobody_is_paid_for_by_the_default_account_and_counts_there(self) -> None:
        counter = Counter(account_id=None)
        await counter.begin()
        assert counter.ledger.started.account_id == "default"
        assert counter.ledger.started.scopes == ("key:key_1", "account:default")

    async def test_where_balances_are_not_charged_budgets_count_all_the_same(self) -> None:
        counter = Counter(account_id=None, credits=False)
        await counter.begin()
        scopes = ("key:key_1", "account:default")
        assert (counter.ledger.started.account_id, counter.ledger.started.scopes) == (None, scopes)


class TestWhatIsKept:
    async def test_the_price_is_there_before_the_call_that_names_it(self) -> None:
        counter = Counter()
        run = await counter.begin()
        quote, start = counter.ledger.told
        assert isinstance(quote, Quote)
        assert isinstance(start, Start)
        assert start.price_version == quote.version
        assert run.quote == quote

    async def test_the_call_is_named_as_its_record_will_be(self) -> None:
        counter = Counter()
        await counter.begin(model="m" * 1_000)
        start = counter.ledger.started
        assert (start.id, start.time_ms, start.key_id, start.provider) == ("req_1", 7, "key_1", "up")
        assert start.requested_model == start.upstream_model == "m" * 256
        assert (start.stream, start.public_model) == (False, None)
        await counter.begin(stream=True)
        assert counter.ledger.started.stream

    async def test_of_a_stealth_model_it_is_told_by_that_models_id_though_the_gateway_dies_before_it_ends(self) -> None:
        said = FreeModelSettings(route="up/m", stealth=True)
        counter = Counter(house=HouseModel(id="house/cloak", provider="up", model="m", said=said))
        await counter.begin()
        assert counter.ledger.started.public_model == "house/cloak"


class TestRefusals:
    async def test_without_a_price_nothing_begins(self) -> None:
        counter = Counter(of=None)
        refused = await counter.refusal()
        assert isinstance(refused, PriceUnknown)
        assert (refused.status, refused.param, counter.ledger.told) == (400, "model", [])

    async def test_but_where_balances_are_not_charged_it_does(self) -> None:
        counter = Counter(Ledger(counts="key:key_1"), of=None, credits=False)
        run = await counter.begin()
        assert (run.hold_nano, counter.ledger.started.price_version) == (0, None)

    async def test_credits_that_are_not_enough(self) -> None:
        refusal = Refusal(needed=15_600_000, free=2_000_000, held=3_000_000)
        refused = await Counter(Ledger(answer=refusal), url="https://pay.example").refusal(max_tokens=9)
        assert isinstance(refused, InsufficientCredits)
        assert refused.message == (
            "This request may cost up to $0.0156, and $0.002 of credits are free ($0.003 is put aside for calls in "
            "progress). Lower `max_tokens`, or add credits."
        )
        assert refused.facts == {
            "balance_usd": "0.002", "needed_usd": "0.0156", "buy_credits_url": "https://pay.example",
        }  # fmt: skip

    async def test_credits_that_are_owed(self) -> None:
        """Else whoever adds what is said to be needed would be refused again."""
        refused = await Counter(Ledger(answer=Refusal(needed=500_000_000, free=-1_010_000_000, held=0))).refusal()
        assert "may cost up to $0.5, and -$1.01 of credits are free." in refused.message
        assert refused.facts == {"balance_usd": "-1.01", "needed_usd": "0.5"}

    async def test_nothing_is_said_of_calls_that_there_are_not_or_a_limit_that_was_not_sent(self) -> None:
        refused = await Counter(Ledger(answer=Refusal(needed=2, free=0, held=0))).refusal()
        assert refused.message == (
            "This request may cost up to $0.000000002, and $0 of credits are free. Send a smaller `max_tokens`, or add "
            "credits."
        )
        assert set(refused.facts) == {"balance_usd", "needed_usd"}

    @pytest.mark.parametrize(
        ("api", "sent", "advice"),
        [
            (Api.CHAT, {}, "Send a smaller `max_tokens`"),
            (Api.CHAT, {"max_completion_tokens": 9}, "Lower `max_completion_tokens`"),
            (Api.RESPONSES, {}, "Send a smaller `max_output_tokens`"),
            (Api.RESPONSES, {"max_output_tokens": 9}, "Lower `max_output_tokens`"),
            (Api.MESSAGES, {"max_tokens": 9}, "Lower `max_tokens`"),
            (Solo.EMBEDDINGS, {}, "Send less `input` at once"),
            (Solo.FIM, {"max_tokens": 9}, "Lower `max_tokens`"),
            (
                Api.RESPONSES,
                {"tools": [{"type": "image_generation"}, {"type": "web_search"}]},
                "Send a smaller `max_output_tokens`, allow fewer calls of `image_generation` and `web_search` "
                "(`max_tool_calls`)",
            ),
            (
                Api.RESPONSES,
                {"tools": [{"type": "web_search"}], "max_tool_calls": 1},
                "Send a smaller `max_output_tokens`",
            ),
            (
                Api.MESSAGES,
                {"max_tokens": 9, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
                "Lower `max_tokens`, allow fewer calls of `web_search` (`max_uses`)",
            ),
            (Api.MESSAGES, {"max_tokens": 9, "mcp_servers": [{"type": "url", "name": "x"}]}, "Lower `max_tokens`"),
        ],
    )
    def test_what_costs_less_is_named_as_the_api_has_it(self, api: Kind, sent: dict[str, Any], advice: str) -> None:
        body = {"model": "m", "messages": [], "input": "x", "prompt": "x", **sent}
        told = hold.refused(Refusal(needed=2, free=1, held=0), parse(api, msgspec.json.encode(body)), Counter().deps)
        assert f"{advice}, or add credits." in told.message

    @pytest.mark.parametrize(
        ("period", "words", "resets_at"),
        [
            ("day", "the daily budget", "2026-11-28T00:00:00Z"),
            ("week", "the weekly budget", "2026-11-30T00:00:00Z"),
            ("month", "the monthly budget", "2026-12-01T00:00:00Z"),
            ("total", "the budget", None),
        ],
    )
    async def test_a_budget_that_is_not_enough(self, period: Period, words: str, resets_at: str | None) -> None:
        budget = Budget(id="bud_1", scope="key:key_1", period=period, limit_nano=10**9, created_ms=0)
        at = window_start(period, 1_795_786_200_000)  # 2026-11-27T13:30:00Z
        refused = await Counter(Ledger(answer=refused_by(Window(budget, at, spent=998_000_000), 15_600_000))).refusal()
        assert isinstance(refused, BudgetExceeded)
        assert refused.message == (
            f"This request may cost up to $0.0156, and $0.002 are left of {words} of $1 of key:key_1. Send a smaller "
            f"`max_tokens`, or have the budget raised.{f' It begins anew at {resets_at}.' if resets_at else ''}"
        )
        assert refused.facts == {
            "budget": "key:key_1", "budget_usd": "1", "balance_usd": "0.002", "needed_usd": "0.0156",
            **({"budget_resets_at": resets_at} if resets_at else {}),
        }  # fmt: skip

    async def test_a_store_that_fails_begins_nothing(self) -> None:
        counter = Counter(Ledger(answer=StoreUnavailable("no disk")))
        with pytest.raises(StoreUnavailable):
            await counter.begin()
        assert counter.run.hold_nano == 0
