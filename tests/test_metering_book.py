"""The price book: who knows a price first, from when until when, for whom."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_prices import dataset, price, vendor
from trivium import config
from trivium.canon.usage import Usage
from trivium.errors import ConfigError
from trivium.metering import book as module
from trivium.metering.book import Entry, Override, PriceBook, entries
from trivium.metering.cost import cost
from trivium.metering.overlay import day
from trivium.metering.prices import FREE, Limits, Price, Quote, version_of
from trivium.routing.catalog import ModelEntry

NOW = day("2026-11-20")
ANTHROPIC, OPENROUTER, VERCEL = vendor("anthropic"), vendor("openrouter"), vendor("vercel")
HOUSE = vendor("house")


def override(pattern: str, effective: int = 0, **fields: Any) -> Override:
    return Override(pattern=pattern, effective_ms=effective, **fields)


def configured(text: str) -> tuple[Entry, ...]:
    return entries(config.parse(text, "t.toml"))


def input_rate(quote: Quote | None) -> float | None:
    """USD per million tokens."""
    return quote.price.rates.input / 10**9 if quote else None


class TestSources:
    """Each knows the model at another price; the first that there is wins."""

    LISTED: ClassVar[dict[str, Any]] = {
        "anthropic": {"claude-opus-5-5": ModelEntry("claude-opus-5-5", "anthropic", price=price(3))}
    }
    CONFIG = configured('[models."anthropic/claude-*"]\nprice = { input = 2, output = 1 }')
    OVERRIDE = override("anthropic/claude-opus-5-5", price=price(1))

    @pytest.mark.parametrize(
        ("book", "rate", "source"),
        [
            (PriceBook(dataset(), CONFIG, [OVERRIDE], LISTED), 1, "override"),
            (PriceBook(dataset(), CONFIG, [], LISTED), 2, "config"),
            (PriceBook(dataset(), (), [], LISTED), 3, "list"),
            (PriceBook(dataset()), 4, f"dataset {dataset().version} anthropic/claude-opus-5-5"),
            (PriceBook(), None, None),
        ],
    )
    def test_in_their_order(self, book: PriceBook, rate: float | None, source: str | None) -> None:
        quote = book.quote(vendor("anthropic", lists_prices=True), "claude-opus-5-5", None, NOW)
        assert input_rate(quote) == rate
        assert (quote.source if quote else None) == source

    def test_a_list_in_who_knows_which_unit_is_passed_over(self) -> None:
        quote = PriceBook(dataset(), (), [], self.LISTED).quote(ANTHROPIC, "claude-opus-5-5", None, NOW)
        assert quote is not None
        assert quote.source.startswith("dataset")
        assert PriceBook(listed=self.LISTED).quote(ANTHROPIC, "claude-opus-5-5", None, NOW) is None

    def test_a_list_that_tells_no_price_of_a_model_leaves_it_to_the_data(self) -> None:
        listed = {"anthropic": {"claude-opus-5-5": ModelEntry("claude-opus-5-5", "anthropic", context=9)}}
        lister = vendor("anthropic", lists_prices=True)
        assert input_rate(PriceBook(dataset(), listed=listed).quote(lister, "claude-opus-5-5", None, NOW)) == 4

    def test_a_model_that_the_data_has_without_a_price_has_none(self) -> None:
        assert dataset().find("groq", "canopylabs/orpheus-v1-english") is not None
        assert PriceBook(dataset()).quote(vendor("groq"), "canopylabs/orpheus-v1-english", None, NOW) is None

    def test_a_quote_names_the_model_and_the_version_of_its_price(self) -> None:
        quote = PriceBook(dataset()).quote(ANTHROPIC, "claude-opus-5-5", None, NOW)
        assert quote is not None
        assert (quote.provider, quote.model, quote.version, quote.free) == (
            "anthropic", "claude-opus-5-5", version_of(quote.price), False,
        )  # fmt: skip

    def test_the_embedded_model_is_free_unless_somebody_says_otherwise(self) -> None:
        local = vendor("local", "", kind="local")
        quote = PriceBook(dataset()).quote(local, "gemma", None, NOW)
        assert quote is not None
        assert (quote.free, quote.price, quote.source) == (True, FREE, "free")
        paid = PriceBook(overrides=[override("local/*", price=price(1))]).quote(local, "gemma", None, NOW)
        assert input_rate(paid) == 1

    def test_a_gateways_models_are_the_vendors_where_its_own_list_and_the_data_say_nothing(self) -> None:
        book = PriceBook(dataset())
        for gateway, name, source in (
            (VERCEL, "anthropic/claude-opus-5-5", "anthropic/claude-opus-5-5"),
            (VERCEL, "xai/grok-4.7", "x-ai/grok-4.7"),
            (VERCEL, "mistral/mistral-large-2512", "mistral/mistral-large-2512"),
            (OPENROUTER, "openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ):
            quote = book.quote(gateway, name, None, NOW)
            assert quote is not None
            assert quote.source == f"dataset {dataset().version} {source}"
        assert book.quote(VERCEL, "nobody/claude-opus-5-5", None, NOW) is None
        assert book.quote(OPENROUTER, "anthropic/claude-opus-99", None, NOW) is None

    @pytest.mark.parametrize(
        ("provider", "model", "known"),
        [
            (vendor("fast", "https://api.groq.com/openai/v1"), "openai/gpt-oss-120b", True),
            (vendor("groq"), "openai/gpt-oss-120b", True),
            (vendor("xai"), "grok-4.7", True),
            (vendor("mine", "http://10.0.0.1/v1", kind="anthropic"), "claude-opus-5", True),
            (vendor("mine", "http://10.0.0.1/v1", kind="xai"), "grok-4", True),
            (vendor("mine", "http://10.0.0.1/v1", kind="moonshot"), "kimi-k2-0905-preview", True),
            (vendor("mine", "http://10.0.0.1/v1", kind="vertex"), "claude-haiku-4-5@20251001", True),
            (vendor("mine", "http://10.0.0.1", kind="bedrock"), "eu.anthropic.claude-haiku-4-5-20251001-v1:0", True),
            (vendor("mine", "http://10.0.0.1/v1", kind="azure-deployments"), "gpt-5", True),
            (HOUSE, "gpt-5", False),
            (HOUSE, "openai/gpt-5", False),
            (vendor("my-openai"), "gpt-5", False),
        ],
    )
    def test_a_provider_is_known_by_address_kind_or_name_and_no_model_by_its_name_alone(
        self, provider: Any, model: str, known: bool
    ) -> None:
        assert (PriceBook(dataset()).quote(provider, model, None, NOW) is not None) is known

    def test_a_price_of_nothing_is_free_whoever_says_so(self) -> None:
        for of in (
            PriceBook(entries=configured('[models."house/m"]\nfree = true')),
            PriceBook(overrides=[override("house/m", price=price(0, 0))]),
            PriceBook(listed={"house": {"m": ModelEntry("m", "house", price=price(0, 0))}}),
        ):
            quote = of.quote(vendor("house", lists_prices=True), "m", None, NOW)
            assert quote is not None
            assert quote.free


class TestOverrides:
    def test_the_most_particular_one_rules(self) -> None:
        said = [
            override("*", price=price(1)),
            override("house/*", price=price(2)),
            override("house/m-*", price=price(3)),
            override("house/m-1", price=price(4)),
            override("*", price=price(5), account_id="acme"),
        ]
        for order in (said, said[::-1]):
            book = PriceBook(overrides=order)
            rates = [
                input_rate(book.quote(provider, model, account, NOW))
                for provider, model, account in (
                    (ANTHROPIC, "x", None), (HOUSE, "x", None), (HOUSE, "m-2", None), (HOUSE, "m-1", "other"),
                    (HOUSE, "m-1", "acme"),
                )
            ]  # fmt: skip
            assert rates == [1, 2, 3, 4, 5]

    def test_of_the_same_pattern_the_one_that_came_into_force_last_and_was_said_last(self) -> None:
        book = PriceBook(
            overrides=[
                override("house/m", 100, price=price(1), seq=1),
                override("house/m", 300, price=price(3), seq=2),
                override("house/m", 200, price=price(2), seq=3),
                override("house/m", 300, price=price(4), seq=4),
            ]
        )
        moments = (99, 100, 199, 200, 299, 300, 10**15)
        rates = [input_rate(book.quote(HOUSE, "m", None, moment)) for moment in moments]
        assert rates == [None, 1, 1, 2, 2, 4, 4]

    def test_an_end_lets_through_what_lies_below(self) -> None:
        book = PriceBook(
            overrides=[
                override("*", 0, price=price(9), markup_ppm=7),
                override("house/m", 0, price=price(1), markup_ppm=5),
                override("house/m", 100),
            ]
        )
        before, after = book.quote(HOUSE, "m", None, 99), book.quote(HOUSE, "m", None, 100)
        assert before
        assert after
        assert (input_rate(before), before.markup_ppm, input_rate(after), after.markup_ppm) == (1, 5, 9, 7)

    def test_a_markup_lies_on_whatever_price_there_is_and_a_price_ends_no_markup(self) -> None:
        book = PriceBook(
            dataset(),
            overrides=[
                override("*", markup_ppm=50_000),
                override("anthropic/*", markup_ppm=-100_000, account_id="acme"),
                override("anthropic/*", 500, price=price(1), account_id="acme"),
            ],
        )
        plain = book.quote(ANTHROPIC, "claude-opus-5-5", None, NOW)
        acme = book.quote(ANTHROPIC, "claude-opus-5-5", "acme", NOW)
        assert plain
        assert acme
        assert (input_rate(plain), plain.markup_ppm, input_rate(acme), acme.markup_ppm) == (4, 50_000, 1, -100_000)

    def test_a_markup_changes_no_version(self) -> None:
        marked = PriceBook(overrides=[override("*", price=price(1)), override("*", markup_ppm=5)])
        plain = PriceBook(overrides=[override("*", price=price(1))])
        assert [one.quote(HOUSE, "m", None, NOW).version for one in (marked, plain)] == [  # type: ignore[union-attr]
            version_of(price(1))
        ] * 2

    @pytest.mark.parametrize("ppm", [-1_000_001, 10**9])
    def test_no_discount_is_more_than_all_of_it(self, ppm: int) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"pattern": "*", "effective_ms": 0, "markup_ppm": ppm}, Override)


class TestTime:
    def test_a_price_changes_with_the_requests_time_however_the_clock_jumps(self) -> None:
        book = PriceBook(dataset())
        deepseek = vendor("deepseek")
        night, noon = day("2026-01-01") + 17 * 3_600_000, day("2026-01-01") + 12 * 3_600_000
        for moment, rate in ((noon, 0.27), (night, 0.135), (noon, 0.27), (night + 86_400_000, 0.135), (noon, 0.27)):
            assert input_rate(book.quote(deepseek, "deepseek-chat", None, moment)) == rate

    @given(
        st.lists(
            st.builds(
                override,
                st.sampled_from(["house/m", "house/*", "*"]),
                st.integers(0, 20),
                account_id=st.sampled_from([None, "a"]),
                price=st.none() | st.integers(1, 5).map(price),
                markup_ppm=st.none() | st.integers(-5, 5),
                seq=st.integers(0, 9),
            ),
            max_size=6,
        ),
        st.lists(st.tuples(st.integers(0, 25), st.sampled_from([None, "a", "b"])), min_size=1, max_size=12),
    )
    def test_what_was_kept_is_what_a_new_book_says(
        self, said: list[Override], asked: list[tuple[int, str | None]]
    ) -> None:
        book = PriceBook(overrides=said)
        for moment, account in asked:
            assert book.quote(HOUSE, "m", account, moment) == PriceBook(overrides=said).quote(
                HOUSE, "m", account, moment
            )


class TestMemory:
    def test_names_of_callers_take_none_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_CACHED", 10)
        book = PriceBook(overrides=[override("*", price=price(1))])
        for n in range(100):
            assert book.quote(HOUSE, f"m{n}", None, NOW)
            book.limits(HOUSE, f"m{n}")
        assert len(book._quotes) == len(book._limits) == 10

    def test_a_name_in_use_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_CACHED", 3)
        book = PriceBook(overrides=[override("*", price=price(1))])
        used = book.quote(HOUSE, "used", None, NOW)
        for n in range(10):
            book.quote(HOUSE, f"m{n}", None, NOW)
            assert book.quote(HOUSE, "used", None, NOW) is used

    def test_another_snapshot_knows_nothing_of_the_last_one(self) -> None:
        book, lister = PriceBook(overrides=[override("*", price=price(1))]), vendor("house", lists_prices=True)
        assert input_rate(book.quote(lister, "m", None, NOW)) == 1
        assert input_rate(book.with_overrides([override("*", price=price(2))]).quote(lister, "m", None, NOW)) == 2
        listed = {"house": {"m": ModelEntry("m", "house", price=price(3))}}
        over = book.with_overrides(()).with_listed(listed)
        assert input_rate(over.quote(lister, "m", None, NOW)) == 3
        said = over.with_listed(listed, configured('[models."house/m"]\nprice = { input = 4, output = 1 }'))
        for one in (said, said.with_listed({}), said.with_dataset(dataset())):
            assert input_rate(one.quote(lister, "m", None, NOW)) == 4
        assert input_rate(said.with_dataset(dataset()).quote(ANTHROPIC, "claude-opus-5-5", None, NOW)) == 4
        assert input_rate(book.quote(lister, "m", None, NOW)) == 1

    def test_two_providers_at_one_address_have_prices_of_their_own(self) -> None:
        book = PriceBook(overrides=[override("one/*", price=price(1)), override("two/*", price=price(2))])
        quotes = [book.quote(vendor(name), "m", None, NOW) for name in ("one", "two", "one")]
        assert [quote and (quote.provider, input_rate(quote)) for quote in quotes] == [
            ("one", 1), ("two", 2), ("one", 1),
        ]  # fmt: skip


class TestLimits:
    LISTED: ClassVar[dict[str, Any]] = {
        "anthropic": {"claude-opus-5-5": ModelEntry("claude-opus-5-5", "x", context=500_000, output_limit=9)}
    }

    def test_each_is_that_of_the_first_who_knows_it(self) -> None:
        said = configured('[models."anthropic/*"]\ncontext = 100')
        name = "claude-opus-5-5"
        assert PriceBook(dataset()).limits(ANTHROPIC, name) == Limits(1_000_000, 128_000)
        assert PriceBook().limits(ANTHROPIC, name) == Limits(None, 128_000)
        assert PriceBook(dataset(), listed=self.LISTED).limits(ANTHROPIC, name) == Limits(500_000, 9)
        assert PriceBook(dataset(), said, listed=self.LISTED).limits(ANTHROPIC, name) == Limits(100, 9)
        assert PriceBook(dataset(), said).limits(ANTHROPIC, name) == Limits(100, 100)
        assert PriceBook(dataset()).limits(HOUSE, "m") == Limits(None, None)


class TestConfiguration:
    def test_models_of_the_configuration_arrive(self) -> None:
        first, second, third = configured(
            '[models."a/m"]\nprice = { input = 3, output = "15" }\ncontext = 8192\noutput_limit = 1024\n'
            '[models."a/*"]\nfree = true\n[models."b/x"]\ncontext = 5'
        )
        assert first == Entry(pattern="a/m", price=price(3, 15), limits=Limits(8192, 1024))
        assert (second.price, third.price) == (FREE, None)

    def test_the_most_particular_one_that_tells_something_tells_it_and_the_others_the_rest(self) -> None:
        book = PriceBook(
            entries=configured(
                '[models."house/*"]\nprice = { input = 9, output = 9 }\ncontext = 4096\n'
                '[models."house/small-*"]\noutput_limit = 512\n'
                '[models."house/small-1"]\nprice = { input = 1, output = 1 }\ncontext = 8192'
            )
        )
        told = {
            name: (input_rate(book.quote(HOUSE, name, None, NOW)), book.limits(HOUSE, name))
            for name in ("small-1", "small-2", "big")
        }
        assert told == {
            "small-1": (1, Limits(8192, 512)),
            "small-2": (9, Limits(4096, 512)),
            "big": (9, Limits(4096, None)),
        }

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                '[models."a/m"]\nfree = false\nprice = { input = -1, output = 1 }',
                "t.toml:3: models.a/m.price.input: expected an amount in USD that is not negative",
            ),
            ('[models."a/m".price]\ninput = 1\noutput = nan', "t.toml:3: models.a/m.price.output: expected an amount"),
            ('[models."a/m".price]\ninput = 1\noutptu = 1', "t.toml:3: models.a/m.price.outptu: unknown"),
            ('[models."a/m".price]\ninput = 1', "models.a/m.price.output: missing"),
            ('[models."a/m"]\nprice = {}', "t.toml:2: models.a/m.price.input: missing"),
        ],
    )
    def test_a_price_that_is_none_stops_the_start_with_file_line_and_key(self, text: str, said: str) -> None:
        with pytest.raises(ConfigError) as raised:
            configured(text)
        assert said in raised.value.message


def test_a_version_means_the_same_rates_whatever_the_moment() -> None:
    """A record is priced again by its version alone: equal versions are equal prices."""
    book, seen = PriceBook(dataset()), dict[str, Price]()
    for name in ("deepseek-chat", "deepseek-v4-pro", "deepseek-reasoner"):
        for hour in range(0, 24 * 40, 7):
            quote = book.quote(vendor("deepseek"), name, None, day("2026-08-01") + hour * 3_600_000)
            assert quote
            assert seen.setdefault(quote.version, quote.price) == quote.price
    assert len(seen) > 3


def test_a_quote_is_all_that_a_cost_needs() -> None:
    quote = PriceBook(dataset(), overrides=[override("*", markup_ppm=50_000)]).quote(
        ANTHROPIC, "claude-opus-5-5", None, NOW
    )
    assert quote
    assert cost(Usage(input_uncached=1_000_000), quote).nano == 4_200_000_000
