"""In which order routes are tried; ten thousand calls at once show the shares."""

from __future__ import annotations

from collections import Counter

from trivium.canon.api import Api
from trivium.providers.provider import Provider
from trivium.routing.catalog import Target
from trivium.routing.health import Health
from trivium.routing.plan import Asked, Canary, Plan, bucket_of, plan
from trivium.settings_routing import CanarySettings

CALLS = 10_000


def target(route: str, *, weight: int = 0, apis: set[Api] | None = None) -> Target:
    provider, _, model = route.partition("/")
    found = Provider(name=provider, base_url="http://h/v1", apis=frozenset(apis or Api))
    return Target(found, model, weight=weight)


A, B, C = target("a/m"), target("b/m"), target("c/m")


def asked(whose: str = "ann", *, api: Api = Api.CHAT, kept: str | None = None) -> Asked:
    return Asked(api=api, salt="salt", whose=whose, kept=kept)


def health() -> Health:
    return Health(failures=3, rest_s=30)


def resting(*routes: str) -> Health:
    found = health()
    for route in routes:
        for now in range(3):
            found.failed(route, now)
    return found


def order(found: Plan) -> list[str]:
    return [choice.target.route for choice in found.tried]


def test_routes_are_tried_in_the_order_of_the_catalogue() -> None:
    assert order(plan([A, B, C], asked(), health(), 0)) == ["a/m", "b/m", "c/m"]


def test_one_that_speaks_the_clients_api_comes_first() -> None:
    other = target("a/m", apis={Api.MESSAGES})
    found = plan([other, B, C], asked(), health(), 0)
    assert order(found) == ["b/m", "c/m", "a/m"]
    assert found.tried[0].why == "the first that speaks the client's API"
    assert order(plan([other, B, C], asked(api=Api.MESSAGES), health(), 0))[0] == "a/m"


def test_one_that_rests_comes_last_and_still_comes() -> None:
    found = plan([A, B], asked(), resting("a/m"), 10)
    assert order(found) == ["b/m", "a/m"]
    assert found.tried[1].why == "it rests for 30 s: only when no other is left"
    assert order(plan([A], asked(), resting("a/m"), 10)) == ["a/m"]


def test_it_is_said_of_which_routes_the_first_was_the_first_and_which_rested() -> None:
    other, a, b = target("a/m", apis={Api.MESSAGES}), target("a/m", weight=2), target("b/m", weight=3)
    for routes, rests, why in (
        ([A, B, C], "a/m", "the first route that does not rest"),
        ([A, B, C], "b/m", "the first route"),
        ([other, B, C], "b/m", "the first that speaks the client's API and does not rest"),
        ([a, b, C], "a/m", "its share is 3 of 3 of those that do not rest"),
    ):
        found = plan(routes, asked(), resting(rests), 10)
        assert found.tried[0].why == why
        assert found.rested == found.tried[-1:]
        assert found.rested[0].target.route == rests
    assert plan([A, B], asked(), health(), 0).rested == ()
    assert plan([A], asked(), resting("a/m"), 10).rested == ()


def test_a_session_keeps_its_route_unless_that_rests() -> None:
    assert order(plan([A, B], asked(kept="b/m"), health(), 0)) == ["b/m", "a/m"]
    assert order(plan([A, B], asked(kept="b/m"), resting("b/m"), 10)) == ["a/m", "b/m"]
    assert order(plan([A, B], asked(kept="gone/m"), health(), 0)) == ["a/m", "b/m"]


def shares(routes: list[Target], canary: Canary | None = None, how: Health | None = None) -> Counter[str]:
    how = how or health()
    return Counter(order(plan(routes, asked(f"task {n}"), how, 0, canary))[0] for n in range(CALLS))


def test_weights_share_ten_thousand_calls_within_one_percent() -> None:
    found = shares([target("a/m", weight=70), target("b/m", weight=25), target("c/m", weight=5)])
    for route, share in (("a/m", 70), ("b/m", 25), ("c/m", 5)):
        assert abs(found[route] / CALLS * 100 - share) <= 1


def test_who_is_in_which_share_is_always_the_same() -> None:
    first, second = ([bucket_of("salt", f"task {n}") for n in range(CALLS)] for _ in range(2))
    assert first == second
    assert first != [bucket_of("pepper", f"task {n}") for n in range(CALLS)]
    assert bucket_of("salt", "task 1") == 9  # the first 4 bytes of SHA-256("salt_task 1"), big-endian, modulo 100


def canary(percent: int = 10) -> Canary:
    return Canary(B, CanarySettings(main="a", to="b", percent=percent))


def test_the_canary_gets_its_share_within_one_percent() -> None:
    found = shares([A], canary())
    assert abs(found["b/m"] / CALLS * 100 - 10) <= 1
    assert found["a/m"] + found["b/m"] == CALLS


def test_while_the_main_provider_fails_most_calls_go_to_the_canary_and_come_back() -> None:
    failing = Health(failures=10**9, rest_s=1)
    for _ in range(11):
        failing.failed("a/other", 0)
    for _ in range(10):
        failing.answered("a/m", 0)
    assert abs(shares([A], canary(), failing)["b/m"] / CALLS * 100 - 90) <= 1
    for _ in range(2):
        failing.answered("a/m", 0)
    assert abs(shares([A], canary(), failing)["b/m"] / CALLS * 100 - 10) <= 1


def test_no_failover_to_a_canary_that_fails_too() -> None:
    both = Health(failures=10**9, rest_s=1)
    for route in ("a/m", "b/m"):
        both.failed(route, 0)
    assert abs(shares([A], canary(), both)["b/m"] / CALLS * 100 - 10) <= 1


def test_a_whole_failure_and_recovery() -> None:
    """A route fails from one moment on: three calls see it, then none until one looks again; then all are back."""
    how, seen = health(), []
    for second in range(120):
        now = second * 1000
        down = 20 <= second < 45
        for route in order(plan([A, B], asked(), how, now)):
            how.begins(route, now)
            if route == "a/m" and down:
                how.failed(route, now)
                seen.append((second, "failed"))
                continue
            how.answered(route, now)
            seen.append((second, route))
            break
    assert [second for second, what in seen if what == "failed"] == [20, 21, 22]
    assert {what for second, what in seen if 23 <= second < 52} == {"b/m"}
    assert {what for second, what in seen if second >= 52} == {"a/m"}


def test_the_least_rested_of_all_that_rest_is_tried_first() -> None:
    how = health()
    how.failed("a/m", 0, wish_s=60)
    how.failed("b/m", 0, wish_s=5)
    assert order(plan([A, B], asked(), how, 10)) == ["b/m", "a/m"]
