"""The charge rule: the provider's word, else the book's, else an estimate of what was delivered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_prices import price, quote
from trivium.canon.usage import Usage
from trivium.metering.charge import NO_CHARGE, WHOLE, Charge, Delivery, Payer, charge, payer_of
from trivium.metering.cost import cost
from trivium.metering.prices import Quote
from trivium.money import to_nano

PLAIN = quote(price(cache_read="0.3"))
TOKENS = Usage(input_uncached=25, output=20)
COST = 25 * 3_000 + 20 * 15_000


def delivered(content: int = 0, *, complete: bool = True, most: int = 1_000) -> Delivery:
    """Of a request of about 30 tokens."""
    return Delivery(input_tokens=30, content_bytes=content, output_most=most, complete=complete)


def house(usage: Usage | None, delivery: Delivery | None = None, of: Quote | None = PLAIN, **rest: Any) -> Charge:
    return charge(usage, delivery or delivered(), of, Payer.HOUSE, **rest)


def told(cost: str | None = None, *, market: str | None = None, byok: bool | None = None) -> Usage:
    return msgspec.structs.replace(
        TOKENS,
        reported_cost=None if cost is None else Decimal(cost),
        market_cost=None if market is None else Decimal(market),
        is_byok=byok,
    )


def summed(found: Charge) -> tuple[int, int | None, str | None, str]:
    return found.nano, found.market_nano, found.source, " ".join(found.flags)


class TestWhoseWordCounts:
    def test_usage_is_priced_by_the_book(self) -> None:
        assert summed(house(TOKENS)) == (COST, COST, "computed", "")

    def test_the_providers_own_cost_wins(self) -> None:
        assert summed(house(told("0.0003"))) == (300_000, 300_000, "reported", "")

    def test_it_needs_no_price(self) -> None:
        assert summed(house(told("0.0003"), of=None)) == (300_000, 300_000, "reported", "")

    def test_a_cost_of_nothing_is_a_word_too(self) -> None:
        assert summed(house(told("0"))) == (0, 0, "reported", "")

    def test_beside_a_market_cost_the_cost_is_charged(self) -> None:
        assert summed(house(told("0.0003", market="0.000375"))) == (300_000, 375_000, "reported", "")

    def test_a_market_cost_alone_is_the_cost(self) -> None:
        assert summed(house(told(market="0.000375"))) == (375_000, 375_000, "reported", "")

    def test_but_under_the_accounts_own_key_it_is_somebody_elses_bill(self) -> None:
        assert summed(house(told(market="0.000375", byok=True))) == (0, 375_000, "reported", "")

    def test_under_the_accounts_own_key_the_cost_is_the_fee(self) -> None:
        assert summed(house(told("0.0001", market="0.0021", byok=True))) == (100_000, 2_100_000, "reported", "")

    def test_of_a_fee_alone_the_book_knows_what_the_call_is_worth(self) -> None:
        assert summed(house(told("0.0001", byok=True))) == (100_000, COST, "reported", "")

    def test_that_the_accounts_own_key_paid_is_no_cost_told(self) -> None:
        assert summed(house(told(byok=True))) == (COST, COST, "computed", "")

    def test_of_a_cost_that_was_told_nothing_is_guessed_even_if_a_count_is_missing(self) -> None:
        found = house(msgspec.structs.replace(told("0.0003"), output=0), delivered(36))
        assert (summed(found), found.usage and found.usage.output) == ((300_000, 300_000, "reported", ""), 0)

    def test_without_a_price_nothing_is_charged_and_it_is_said(self) -> None:
        assert summed(house(TOKENS, of=None)) == (0, None, None, "unpriced")


class TestWhatNobodyCounted:
    def test_nothing_delivered_costs_nothing(self) -> None:
        assert house(None, delivered(complete=False)) == NO_CHARGE

    def test_of_what_was_delivered_the_tokens_are_guessed(self) -> None:
        found = house(None, delivered(36, complete=False))
        assert found.usage == Usage(input_uncached=30, output=10, image_output=0)
        assert summed(found) == (30 * 3_000 + 10 * 15_000, 30 * 3_000 + 10 * 15_000, "estimated", "estimated")

    @pytest.mark.parametrize("usage", [None, Usage(input_uncached=30)])
    def test_what_was_delivered_are_words_also_of_a_model_whose_images_have_their_own_price(
        self, usage: Usage | None
    ) -> None:
        assert house(usage, delivered(36), quote(price(image_output="60"))).nano == 30 * 3_000 + 10 * 15_000

    def test_a_whole_answer_that_told_no_usage_is_guessed_even_if_it_was_empty(self) -> None:
        assert house(None, delivered(0)).nano == 30 * 3_000

    def test_a_single_byte_is_a_token(self) -> None:
        found = house(None, delivered(1, complete=False))
        assert found.usage is not None
        assert found.usage.output == 1

    def test_no_guess_is_longer_than_the_answer_can_be(self) -> None:
        assert house(None, delivered(36, most=7)).usage == Usage(input_uncached=30, output=7, image_output=0)
        found = house(Usage(input_uncached=25, output=1), delivered(36, most=7, complete=False))
        assert found.usage == Usage(input_uncached=25, output=7)

    def test_where_the_end_is_missing_the_input_is_known_and_the_output_is_what_came_at_least(self) -> None:
        found = house(Usage(input_uncached=25, output=1), delivered(36, complete=False))
        assert (found.usage, found.source) == (Usage(input_uncached=25, output=10), "estimated")

    def test_the_output_that_the_provider_had_told_by_then_may_be_more(self) -> None:
        found = house(TOKENS, delivered(36, complete=False))
        assert (found.usage, found.source, found.flags) == (TOKENS, "computed", ())

    def test_a_complete_answer_is_not_guessed_at_whatever_its_length(self) -> None:
        assert house(TOKENS, delivered(100_000)).nano == COST

    def test_a_reported_cost_is_the_last_word_even_of_a_broken_answer(self) -> None:
        assert summed(house(told("0.0003"), delivered(3_600, complete=False))) == (300_000, 300_000, "reported", "")

    def test_calls_of_tools_that_the_answer_showed_count_until_a_last_usage_tells(self) -> None:
        searching = quote(price(tools={"web_search": "10"}))
        shown = {"server_tools": {"web_search": 2}}
        begun, ended = (
            msgspec.structs.replace(delivered(36, complete=complete), **shown) for complete in (False, True)
        )
        counted = msgspec.structs.replace(TOKENS, server_tools={"web_search": 3, "other": 1})
        assert house(TOKENS, begun, of=searching).nano == COST + 20_000_000
        assert house(TOKENS, ended, of=searching).nano == COST
        assert house(counted, begun, of=searching).nano == COST + 30_000_000
        assert summed(house(None, begun, of=searching)) == (20_240_000, 20_240_000, "estimated", "estimated")
        nothing = msgspec.structs.replace(begun, content_bytes=0)
        assert house(None, nothing, of=searching) == NO_CHARGE

    def test_a_guess_without_a_price_says_both(self) -> None:
        assert house(None, delivered(36), of=None).flags == ("estimated", "unpriced")

    def test_of_an_answer_that_must_have_told_its_usage_and_did_not_nothing_is_guessed(self) -> None:
        a_call = quote(price(request="12"))
        assert house(None, WHOLE, a_call) == NO_CHARGE
        assert house(TOKENS, WHOLE, a_call) == house(TOKENS, delivered(), a_call)


GIFT = quote(price("0", "0"))


class TestPayers:
    @pytest.mark.parametrize(
        ("call", "payer"),
        [
            ({}, Payer.HOUSE),
            ({"byok": True}, Payer.BYOK),
            ({"byok": True, "fee": True}, Payer.FEE),
            ({"byok": True, "promoted": True, "free": True}, Payer.BYOK),
            ({"fee": True}, Payer.HOUSE),
            ({"promoted": True}, Payer.PROMOTION),
            ({"promoted": True, "free": True}, Payer.PROMOTION),
            ({"free": True}, Payer.FREE),
        ],
    )
    def test_an_own_key_pays_first_then_what_the_house_gives_away_and_last_the_house(
        self, call: dict[str, bool], payer: Payer
    ) -> None:
        said: dict[str, Any] = {"byok": False, **call}
        assert payer_of(PLAIN, **said) is payer_of(None, **said) is payer

    def test_nobody_pays_for_a_model_that_costs_nothing(self) -> None:
        assert payer_of(GIFT, byok=False) is Payer.FREE
        assert payer_of(GIFT, byok=True) is Payer.BYOK

    @pytest.mark.parametrize("payer", [Payer.BYOK, Payer.FREE, Payer.PROMOTION])
    @pytest.mark.parametrize("usage", [TOKENS, told("0.0003"), told("0.0001", market="0.0021", byok=True)])
    def test_who_is_not_the_house_is_charged_nothing_and_the_market_cost_stays(
        self, payer: Payer, usage: Usage
    ) -> None:
        theirs, ours = charge(usage, delivered(), PLAIN, payer), house(usage)
        assert (theirs.nano, theirs.market_nano, theirs.source) == (0, ours.market_nano, ours.source)

    def test_a_gateways_fee_for_an_own_key_is_charged_and_nothing_else(self) -> None:
        def owner(usage: Usage) -> Charge:
            return charge(usage, delivered(), PLAIN, Payer.FEE, tells_byok=True)

        assert summed(owner(told("0.0001", market="0.0021", byok=True))) == (100_000, 2_100_000, "reported", "")
        assert owner(TOKENS).nano == 0  # what the call is worth is no fee
        assert owner(told(market="0.0021", byok=True)).nano == 0
        assert owner(told(byok=True)).nano == 0  # nobody said what the fee was
        assert owner(told("0.0021", byok=False)).nano == 0  # no fee, but the house's own money

    @pytest.mark.parametrize("ppm", [100_000, -1_000_000])
    def test_a_markup_is_on_the_charge_and_not_on_the_market_cost(self, ppm: int) -> None:
        marked = quote(PLAIN.price, ppm)
        assert summed(house(TOKENS, of=marked))[:2] == (COST * (10**6 + ppm) // 10**6, COST)
        assert summed(house(told("0.0003"), of=marked))[:2] == (300_000 * (10**6 + ppm) // 10**6, 300_000)

    def test_cost_and_markup_are_rounded_once(self) -> None:
        """1.4 nanodollars and half of it are 2.1; rounded one after the other they would be 1.5, and so 2 or 1."""
        assert house(told("0.0000000014"), of=quote(PLAIN.price, 500_000)).nano == 2
        assert house(told("0.0000000017"), of=quote(PLAIN.price, 500_000)).nano == 3


class TestTiersAndFlags:
    def test_the_tier_that_was_asked_for_counts_only_where_the_answer_names_none(self) -> None:
        tiered = quote(price(tiers={"priority": {"input": "6", "output": "30"}}))
        found = house(TOKENS, of=tiered, asked_tier="priority")
        assert (found.nano, found.usage and found.usage.service_tier) == (COST * 2, "priority")
        usual = msgspec.structs.replace(TOKENS, service_tier="default")
        assert house(usual, of=tiered, asked_tier="priority").nano == COST

    @pytest.mark.parametrize(
        ("usage", "suspicious"),
        [
            (told("0.0003", byok=False), False),
            (told("0.0003", market="0.001", byok=False), False),
            (told("0.0003"), True),
            (told("0.0001", market="0.0021", byok=True), False),
            (told("0.001", market="0.003", byok=True), True),
            (told("0", market="0.002", byok=True), False),
            (told("0.0001", byok=True), False),
            (TOKENS, False),
        ],
    )
    def test_of_a_provider_that_tells_who_paid_odd_combinations_are_flagged(
        self, usage: Usage, suspicious: bool
    ) -> None:
        found, unaware = house(usage, tells_byok=True), house(usage)
        assert ("suspicious_cost" in found.flags) is suspicious
        assert (found.nano, found.market_nano) == (unaware.nano, unaware.market_nano)
        assert unaware.flags == ()

    def test_a_very_large_input_that_no_cache_served_is_flagged(self) -> None:
        assert house(Usage(input_uncached=100_000, cache_read=10**6)).flags == ()
        assert house(Usage(input_uncached=100_001)).flags == ("large_input",)


counts = st.integers(0, 10**7)
amounts = st.none() | st.decimals(0, 10**6, places=15)
usages = st.builds(
    Usage,
    input_uncached=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
    cache_write_other=counts,
    output=counts,
    reasoning=counts,
    audio_input=counts,
    image_input=counts,
    server_tools=st.dictionaries(st.sampled_from(["web_search", "other"]), counts, max_size=2),
    service_tier=st.sampled_from([None, "flex", "unheard of"]),
    reported_cost=amounts,
    market_cost=amounts,
    is_byok=st.sampled_from([None, True, False]),
)
quotes = st.none() | st.builds(
    lambda input, output, ppm: quote(
        price(str(input), str(output), tools={"web_search": "10"}, tiers={"flex": {"input": "0.5"}}), ppm
    ),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(-(10**6), 10**7),
)
deliveries = st.builds(Delivery, input_tokens=counts, content_bytes=counts, output_most=counts, complete=st.booleans())
payers = st.sampled_from(list(Payer))


@given(st.none() | usages, deliveries, quotes, payers)
def test_a_charge_is_never_negative_and_only_the_house_pays(
    usage: Usage | None, delivery: Delivery, of: Quote | None, payer: Payer
) -> None:
    found = charge(usage, delivery, of, payer)
    assert found.nano >= 0
    assert found.market_nano is None or found.market_nano >= 0
    told_fee = payer is Payer.FEE and usage is not None and usage.is_byok
    assert payer is Payer.HOUSE or told_fee or found.nano == 0
    assert found == charge(usage, delivery, of, payer)


@given(st.none() | usages, deliveries, quotes)
def test_a_charge_is_never_more_than_the_dearest_of_what_anybody_says(
    usage: Usage | None, delivery: Delivery, of: Quote | None
) -> None:
    """The provider's figure, or all that it counted and all that was delivered at the price, each with the markup."""
    counted = usage or Usage(input_uncached=delivery.input_tokens)
    longest = msgspec.structs.replace(counted, output=counted.output + delivery.content_bytes)
    most = max(cost(longest, of, tier).nano for tier in (None, counted.service_tier)) if of else 0
    markup = 1 + Decimal(of.markup_ppm if of else 0) / 10**6
    for amount in (counted.reported_cost, counted.market_cost):
        most = max(most, to_nano((amount or 0) * markup))
    assert house(usage, delivery, of).nano <= most


@given(usages, deliveries, quotes, st.decimals(0, 10**6, places=15))
def test_a_reported_cost_is_charged_whatever_else_is_known(
    usage: Usage, delivery: Delivery, of: Quote | None, amount: Decimal
) -> None:
    found = house(msgspec.structs.replace(usage, reported_cost=amount), delivery, of)
    assert found.source == "reported"
    if of is None or not of.markup_ppm:
        assert found.nano == to_nano(amount)


@given(st.none() | usages, deliveries, quotes, st.integers(1, 10**6))
def test_more_that_was_delivered_never_costs_less(
    usage: Usage | None, delivery: Delivery, of: Quote | None, more: int
) -> None:
    longer = msgspec.structs.replace(delivery, content_bytes=delivery.content_bytes + more)
    assert house(usage, longer, of).nano >= house(usage, delivery, of).nano


@given(usages, deliveries, quotes, st.sampled_from(["input_uncached", "cache_read", "output"]), st.integers(1, 10**6))
def test_more_tokens_never_cost_less(
    usage: Usage, delivery: Delivery, of: Quote | None, bucket: str, more: int
) -> None:
    larger = msgspec.structs.replace(usage, **{bucket: getattr(usage, bucket) + more})
    less, found = house(usage, delivery, of), house(larger, delivery, of)
    # A usage without output, of an answer that has some, is not believed: the estimate may be more than what one tells.
    assert found.nano >= less.nano or (less.source, found.source) == ("estimated", "computed")


@given(usages, deliveries, quotes)
def test_the_market_cost_knows_no_markup_and_no_payer(usage: Usage, delivery: Delivery, of: Quote | None) -> None:
    plain = msgspec.structs.replace(of, markup_ppm=0) if of else None
    markets = {charge(usage, delivery, one, payer).market_nano for one in (of, plain) for payer in Payer}
    assert len(markets) == 1
