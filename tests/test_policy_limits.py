"""Which limits a call counts in, and the words for one that is reached."""

from __future__ import annotations

import pytest

from trivium.policy.access import HouseSettings
from trivium.policy.caller import Caller, Limits, Organization, OrganizationSettings
from trivium.policy.counters import Claim, Denial, Taken, Use
from trivium.policy.limits import Rule, RuleBook, Rules, refusal, rooms
from trivium.wire.ratelimits import Room

ALL = Limits(requests_per_minute=1, input_tokens_per_minute=2, output_tokens_per_minute=3, concurrent_requests=4)
ACME = Organization(
    id="acme", name="Acme", settings=OrganizationSettings(limits=Limits(requests_per_minute=70, concurrent_requests=7))
)
NOTHING = HouseSettings()


def keys(
    caller: Caller | None, house: HouseSettings = NOTHING, model: str = "m", book: RuleBook | None = None
) -> list[str]:
    rules = (book or RuleBook()).rules(caller, "up", model, house)
    return [f"{rule.claim.key} {rule.claim.limit}" for rule in rules.all] if rules else []


class TestRules:
    def test_who_has_no_limits_has_no_rules(self) -> None:
        assert keys(Caller(id="k", user_id="u", organization=Organization(id="o", name="O"))) == []
        assert keys(None) == []

    def test_each_kind_is_a_claim_of_its_own(self) -> None:
        rules = RuleBook().rules(Caller(id="k", limits=ALL), "up", "m", NOTHING)
        assert rules
        assert rules.claims == [
            Claim("requests:key:k", 1, 1, 60),
            Claim("input_tokens:key:k", 2, 0, 60),
            Claim("output_tokens:key:k", 3, 0, 60),
            Claim("concurrent:key:k", 4, 1, 0),
        ]
        assert (rules.of_requests, rules.of_input) == (["requests:key:k"], ["input_tokens:key:k"])
        assert (rules.of_output, rules.gauges) == (["output_tokens:key:k"], ["concurrent:key:k"])

    def test_key_user_organization_and_model_all_count(self) -> None:
        one = Limits(requests_per_minute=9)
        caller = Caller(id="k", user_id="u", limits=one, user_limits=one, organization=ACME)
        assert keys(caller, HouseSettings(limits_by_model={"m": one})) == [
            "requests:key:k 9",
            "requests:user:u 9",
            "requests:organization:acme 70",
            "concurrent:organization:acme 7",
            "requests:model:m 9",
        ]

    def test_a_model_that_is_not_the_houses_counts_in_no_limit_of_its_name(self) -> None:
        one = Limits(requests_per_minute=9)
        house, caller = HouseSettings(limits_by_model={"*": one}), Caller(id="k", limits=one)
        rules = RuleBook().rules(caller, "custom@acme", "m", house, of_model=False)
        assert rules
        assert [rule.claim.key for rule in rules.all] == ["requests:key:k"]

    def test_the_houses_defaults_are_for_what_own_limits_say_nothing_of(self) -> None:
        house = HouseSettings(
            key_limits=Limits(requests_per_minute=1),
            user_limits=Limits(requests_per_minute=2),
            organization_limits=Limits(requests_per_minute=3),
        )
        assert keys(Caller(id="k"), house) == ["requests:key:k 1"]
        own = Caller(id="k", user_id="u", limits=Limits(concurrent_requests=5), organization=ACME)
        assert keys(own, house) == [
            "requests:key:k 1",
            "concurrent:key:k 5",
            "requests:user:u 2",
            "requests:organization:acme 70",
            "concurrent:organization:acme 7",
        ]
        assert keys(None, house) == [], "nobody's call has no key"

    @pytest.mark.parametrize(
        ("house", "key"),
        [
            (HouseSettings(key_limits=Limits(requests_per_minute=1)), "requests:key:k 1"),
            (HouseSettings(user_limits=Limits(requests_per_minute=2)), "requests:user:u 2"),
            (HouseSettings(organization_limits=Limits(requests_per_minute=3)), "requests:organization:o 3"),
        ],
    )
    def test_each_of_them_also_where_there_is_no_other(self, house: HouseSettings, key: str) -> None:
        assert keys(Caller(id="k", user_id="u", organization=Organization(id="o", name="O")), house) == [key]

    @pytest.mark.parametrize("pattern", ["m", "up/m", "m:free", "up/*", "*"])
    def test_a_models_limit_is_found_by_every_name_and_counts_under_the_pattern(self, pattern: str) -> None:
        house = HouseSettings(limits_by_model={pattern: Limits(requests_per_minute=1), "x": ALL})
        assert keys(None, house) == [f"requests:model:{pattern} 1"]
        assert keys(None, house, model="m:online") == [f"requests:model:{pattern} 1"]

    def test_what_is_changed_counts_at_once(self) -> None:
        book = RuleBook()
        for limit in (1, 2):
            assert keys(Caller(id="k", limits=Limits(requests_per_minute=limit)), book=book) == [
                f"requests:key:k {limit}"
            ]
            house = HouseSettings(limits_by_model={"m": Limits(requests_per_minute=limit)})
            assert keys(None, house, book=book) == [f"requests:model:m {limit}"]

    def test_so_does_what_is_changed_of_the_same_key(self) -> None:
        book = RuleBook()
        for limit in (1, 2):
            caller = Caller(id="k", limits=Limits(requests_per_minute=limit))
            assert keys(caller, book=book) == [f"requests:key:k {limit}"]

    def test_and_what_the_house_gives_everybody(self) -> None:
        book, caller = RuleBook(), Caller(id="k")
        for limit in (1, 2):
            house = HouseSettings(key_limits=Limits(requests_per_minute=limit))
            assert keys(caller, house, book=book) == [f"requests:key:k {limit}"]

    def test_one_key_for_two_organizations_has_the_limits_of_each(self) -> None:
        book, other = RuleBook(), Organization(id="other", name="O", settings=ACME.settings)
        for organization in (ACME, other, ACME):
            found = keys(Caller(id="k", organization=organization), book=book)
            assert found[0] == f"requests:organization:{organization.id} 70"


def told(kind: str, claim: Claim, used: int, retry_after: int = 12, owner: str = "key") -> str:
    error = refusal(Rules([Rule(kind, owner, "NAME", claim)]), Denial(claim, used, retry_after))  # type: ignore[arg-type]
    assert error.status == 429
    assert error.facts["limit_of"] == owner
    return f"{error.message} [{error.retry_after}]"


class TestWords:
    def test_requests_and_whose(self) -> None:
        claim = Claim("k", 1_000)
        for owner, whose in (
            ("key", "this API key"),
            ("user", "the user NAME"),
            ("organization", "the organization NAME"),
            ("model", "the model NAME"),
        ):
            assert told("requests", claim, 1_000, owner=owner) == (
                f"The limit of 1,000 requests per minute of {whose} is reached. Try again in 12 seconds. [12]"
            )

    def test_a_limit_of_one_lets_one_through_each_minute(self) -> None:
        assert told("requests", Claim("k", 1), 1) == (
            "The limit of 1 requests per minute of this API key is reached. Try again in 12 seconds. [12]"
        )

    def test_tokens(self) -> None:
        assert told("output_tokens", Claim("k", 5_000, 0), 5_100, 1) == (
            "The limit of 5,000 output tokens per minute of this API key is reached. Try again in 1 second. [1]"
        )
        assert told("input_tokens", Claim("k", 5_000, 700), 4_400) == (
            "The limit of 5,000 input tokens per minute of this API key has too little room: 4,400 are used, and this "
            "request has about 700. Try again in 12 seconds. [12]"
        )
        assert told("input_tokens", Claim("k", 5_000, 7_000), 0) == (
            "The limit of 5,000 input tokens per minute of this API key is smaller than this request, which has about "
            "7,000. Send a shorter one. [3600]"
        )

    def test_at_once_and_never(self) -> None:
        assert told("concurrent", Claim("k", 2, 1, 0), 2, 1) == (
            "The limit of 2 requests at once of this API key is reached. Send the next one when one has ended. [1]"
        )
        assert told("concurrent", Claim("k", 0, 1, 0), 0, 1) == (
            "The limit of 0 requests at once of this API key allows no request. [3600]"
        )


class TestRooms:
    RULES = RuleBook().rules(
        Caller(id="k", user_id="u", limits=Limits(requests_per_minute=10), user_limits=Limits(requests_per_minute=5)),
        "up",
        "m",
        HouseSettings(limits_by_model={"m": Limits(requests_per_minute=2)}),
    )
    USES = (Use(7, 1_000), Use(1, 2_000), Use(2, 3_000))

    def test_the_nearest_of_each_kind_is_shown_but_not_a_models(self) -> None:
        assert self.RULES
        assert rooms(self.RULES, Taken(None, self.USES)) == {"requests": Room(10, 3, 1_000)}
        assert rooms(self.RULES, Taken(None, (Use(7, 1_000), Use(4, 2_000), Use(2, 3_000)))) == {
            "requests": Room(5, 1, 2_000)
        }

    def test_the_one_that_was_reached_is_shown_whosever_it_is(self) -> None:
        assert self.RULES
        denial = Denial(self.RULES.claims[2], 2, 5)
        assert rooms(self.RULES, Taken(denial, self.USES)) == {"requests": Room(2, 0, 3_000)}

    def test_nothing_less_than_nothing_remains(self) -> None:
        rules = Rules([Rule("requests", "key", "k", Claim("k", 10))])
        assert rooms(rules, Taken(None, (Use(12, 1),))) == {"requests": Room(10, 0, 1)}

    def test_calls_at_once_are_told_where_they_stopped_one(self) -> None:
        rules = Rules([Rule("concurrent", "key", "k", claim := Claim("k", 2, 1, 0))])
        assert rooms(rules, Taken(None, (Use(1, 0),))) == {}
        assert rooms(rules, Taken(Denial(claim, 2, 1), (Use(2, 0),))) == {"concurrent": Room(2, 0, 0)}


def test_a_models_limit_holds_by_each_of_its_names() -> None:
    house = HouseSettings(limits_by_model={"fast": Limits(requests_per_minute=1)})
    book = RuleBook()
    assert book.rules(None, "up", "m", house) is None
    assert book.rules(None, "up", "m", house, ("fast",)) is not None
