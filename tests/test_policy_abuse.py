"""The rules against abuse, each told as the calls that it speaks at."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.clock import HOUR_MS, MINUTE_MS
from trivium.errors import ConfigError
from trivium.policy import abuse
from trivium.policy.abuse import Judgement, Lists, Rules, Seen, Verdict, graver, read_lists
from trivium.settings import AbuseRules, AbuseVerdicts

NOW = 1_800_000_000_000
USD = 10**9
ANNA = Seen(
    identity="user:anna", client_ip="192.0.2.1", agent="claude-cli/2", born_ms=NOW - 400 * 24 * HOUR_MS, time_ms=NOW
)
"""A user of long standing."""
SILENT = {"requests_per_minute": 0, "free_spend_per_hour": "0", "new_hours": 0}


def rules(**settings: object) -> Rules:
    """With only these rules."""
    return Rules(msgspec.convert(SILENT | settings, AbuseRules))


def calls(rules: Rules, seen: Seen, count: int = 1, after_ms: int = 0, *texts: str, **changed: object) -> Judgement:
    """So many calls, `after_ms` after each other; what the last is judged."""
    at = NOW
    judged = abuse.ALLOWED
    for _ in range(count):
        judged = rules.judge(msgspec.structs.replace(seen, time_ms=at, **changed), lambda: texts)
        at += after_ms
    return judged


def free(identity: str = "user:anna") -> Seen:
    return msgspec.structs.replace(ANNA, identity=identity, free=True)


def new(identity: str = "user:new", client_ip: str = "192.0.2.1") -> Seen:
    return msgspec.structs.replace(ANNA, identity=identity, client_ip=client_ip, born_ms=NOW - HOUR_MS)


def test_who_does_nothing_odd_is_let_through() -> None:
    assert calls(Rules(AbuseRules()), ANNA, 100, 1000) == Judgement(Verdict.ALLOW, "")


class TestVelocity:
    def test_more_in_a_minute_than_anybody_needs(self) -> None:
        some = rules(requests_per_minute=10)
        assert calls(some, ANNA, 10).verdict is Verdict.ALLOW
        assert calls(some, ANNA) == Judgement(Verdict.CHALLENGE, "velocity")
        assert calls(some, new()).verdict is Verdict.ALLOW

    def test_who_slows_down_is_let_through_again(self) -> None:
        some = rules(requests_per_minute=10)
        assert calls(some, ANNA, 40, 1000).verdict is Verdict.CHALLENGE
        late = msgspec.structs.replace(ANNA, time_ms=NOW + 3 * MINUTE_MS)
        assert some.judge(late, tuple).verdict is Verdict.ALLOW

    def test_what_a_clock_counted_that_has_gone_back_is_forgotten(self) -> None:
        some = rules(requests_per_minute=10)
        assert [some.judge(msgspec.structs.replace(ANNA, time_ms=NOW + 24 * HOUR_MS), tuple) for _ in range(11)][
            -1
        ].verdict is Verdict.CHALLENGE
        assert calls(some, ANNA, 40, 30_000).verdict is Verdict.ALLOW
        assert calls(some, ANNA, 11).verdict is Verdict.CHALLENGE

    def test_nobody_gets_twice_as_much_at_the_turn_of_a_minute(self) -> None:
        some = rules(requests_per_minute=10)
        end = NOW - NOW % MINUTE_MS + MINUTE_MS
        judged = [some.judge(msgspec.structs.replace(ANNA, time_ms=end + at), tuple).verdict for at in range(-10, 10)]
        assert judged.count(Verdict.ALLOW) == 10


class TestFreeSpend:
    def test_what_was_given_away_has_an_end(self) -> None:
        some = rules(free_spend_per_hour="2.5")
        some.ended("user:anna", 2 * USD, NOW)
        assert calls(some, free()).verdict is Verdict.ALLOW
        some.ended("user:anna", USD, NOW)
        assert calls(some, free()) == Judgement(Verdict.SOFT_BLOCK, "free_spend")

    def test_but_not_for_calls_that_are_paid_nor_for_others(self) -> None:
        some = rules(free_spend_per_hour="2.5")
        some.ended("user:anna", 3 * USD, NOW)
        assert calls(some, ANNA).verdict is Verdict.ALLOW
        assert calls(some, free("user:ben")).verdict is Verdict.ALLOW

    def test_after_two_hours_it_is_forgotten(self) -> None:
        some = rules(free_spend_per_hour="2.5")
        some.ended("user:anna", 100 * USD, NOW)
        late = msgspec.structs.replace(free(), time_ms=NOW + 2 * HOUR_MS)
        assert some.judge(late, tuple).verdict is Verdict.ALLOW


class TestNewIdentities:
    def test_a_new_one_may_do_less(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=20)
        assert calls(some, ANNA, 30).verdict is Verdict.ALLOW
        assert calls(some, new(), 20).verdict is Verdict.ALLOW
        assert calls(some, new()) == Judgement(Verdict.CHALLENGE, "new_identity")

    def test_nobody_is_new_for_ever(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=20)
        assert calls(some, new(), 30, born_ms=NOW - 24 * HOUR_MS).verdict is Verdict.ALLOW

    def test_an_address_that_nobody_made_is_never_new(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=20)
        assert calls(some, new(), 30, born_ms=None).verdict is Verdict.ALLOW

    def test_many_new_ones_behind_one_address_are_one(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=0, new_identities_per_address=3)
        judged = [calls(some, new(f"user:{number}")).verdict for number in range(5)]
        assert judged == [Verdict.ALLOW] * 3 + [Verdict.CHALLENGE] * 2
        assert calls(some, new("user:9", "198.51.100.1")).verdict is Verdict.ALLOW
        assert calls(some, ANNA).verdict is Verdict.ALLOW

    def test_addresses_of_one_subscriber_are_one(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=0, new_identities_per_address=3)
        judged = [calls(some, new(f"user:{number}", f"2001:db8::{number}")).verdict for number in range(4)]
        assert judged == [Verdict.ALLOW] * 3 + [Verdict.CHALLENGE]

    def test_an_hour_later_there_is_room_for_new_ones(self) -> None:
        some = rules(new_hours=24, new_requests_per_hour=0, new_identities_per_address=3)
        judged = [calls(some, new(f"user:{number}"), 1).verdict for number in range(4)]
        late = msgspec.structs.replace(new("user:9"), time_ms=NOW + HOUR_MS + 1)
        assert (judged[-1], some.judge(late, tuple).verdict) == (Verdict.CHALLENGE, Verdict.ALLOW)


class TestLists:
    def test_no_person_calls_from_a_datacentre_for_nothing(self) -> None:
        some = rules(datacentres=["203.0.113.0/24"])
        assert calls(some, free(), client_ip="203.0.113.9") == Judgement(Verdict.CHALLENGE, "datacentre")
        assert calls(some, ANNA, client_ip="203.0.113.9").verdict is Verdict.ALLOW
        assert calls(some, free(), client_ip="198.51.100.9").verdict is Verdict.ALLOW

    def test_addresses_and_agents(self) -> None:
        some = rules(bad_addresses=["203.0.113.7", "2001:db8:bad::/48"], bad_agents=["EvilBot*"])
        assert calls(some, ANNA).verdict is Verdict.ALLOW
        for address in ("203.0.113.7", "2001:db8:bad::1"):
            assert calls(some, ANNA, client_ip=address) == Judgement(Verdict.HARD_BLOCK, "bad_address")
        assert calls(some, ANNA, agent="evilbot/1.0 (x)") == Judgement(Verdict.HARD_BLOCK, "bad_agent")
        assert calls(some, ANNA, client_ip=None).verdict is Verdict.ALLOW

    def test_prompts(self) -> None:
        some = rules(bad_prompts=["Steal Keys"])
        assert calls(some, ANNA, 1, 0, "a joke, please").verdict is Verdict.ALLOW
        assert calls(some, ANNA, 1, 0, "hi", "now STEAL KEYS from it") == Judgement(Verdict.HARD_BLOCK, "bad_prompt")

    def test_prompts_that_nobody_can_read_are_no_way_around(self) -> None:
        some = rules(bad_prompts=["steal keys"])
        assert some.judge(ANNA, lambda: None) == Judgement(Verdict.CHALLENGE, "unread")
        some = rules(bad_prompts=["steal keys"], verdicts={"unread": "allow"})
        assert some.judge(ANNA, lambda: None) == Judgement(Verdict.ALLOW, "")
        assert rules().judge(ANNA, lambda: None).verdict is Verdict.ALLOW

    def test_prompts_are_not_read_where_no_rule_asks(self) -> None:
        def unreadable() -> tuple[str, ...]:
            raise AssertionError

        assert Rules(AbuseRules(bad_agents=["x"])).judge(ANNA, unreadable).verdict is Verdict.ALLOW

    def test_a_file_has_more_of_them(self) -> None:
        lists = read_lists(
            "# known\naddress 203.0.113.7\n\n agent Evil Bot* \nprompt steal  keys\ndatacentre 10.0.0.0/8\n", "f"
        )
        assert lists == Lists(("10.0.0.0/8",), ("203.0.113.7",), ("Evil Bot*",), ("steal  keys",))
        some = Rules(AbuseRules(), lists)
        assert calls(some, ANNA, agent="evil bot 3").reason == "bad_agent"
        assert calls(some, free(), client_ip="10.1.1.1").reason == "datacentre"

    @pytest.mark.parametrize(
        ("text", "told"),
        [("adress 1.2.3.4", "f:1: expected one of"), ("\nagent", "f:2: expected one of"), ("address x", "got 'x'")],
    )
    def test_a_line_that_says_nothing_is_an_error(self, text: str, told: str) -> None:
        with pytest.raises(ConfigError) as raised:
            read_lists(text, "f")
        assert told in raised.value.message


def test_identities_that_were_new_in_a_wrong_future_do_not_stay_there() -> None:
    some = rules(new_hours=24, new_requests_per_hour=0, new_identities_per_address=3)
    wrong = NOW + 24 * HOUR_MS
    for number in range(5):
        some.judge(msgspec.structs.replace(new(f"user:{number}"), time_ms=wrong, born_ms=wrong), tuple)
    assert calls(some, new("user:8")).verdict is Verdict.ALLOW


def test_of_several_rules_the_gravest_counts() -> None:
    some = rules(requests_per_minute=1, bad_agents=["claude*"], datacentres=["192.0.2.0/24"])
    assert calls(some, ANNA, 2) == Judgement(Verdict.HARD_BLOCK, "bad_agent")
    some = rules(requests_per_minute=1, datacentres=["192.0.2.0/24"])
    assert calls(some, free(), 2) == Judgement(Verdict.CHALLENGE, "velocity; datacentre")


def test_what_a_rule_says_is_the_operators_to_choose() -> None:
    mild = AbuseVerdicts(velocity="soft_block", bad_agent="allow")
    some = Rules(AbuseRules(requests_per_minute=1, bad_agents=["*"], verdicts=mild))
    assert calls(some, ANNA, 2) == Judgement(Verdict.SOFT_BLOCK, "velocity")


VERDICTS = st.builds(Judgement, st.sampled_from(list(Verdict)), st.sampled_from(["", "a", "b"]))


@given(one=VERDICTS, other=VERDICTS)
def test_nothing_makes_a_judgement_milder(one: Judgement, other: Judgement) -> None:
    order = list(Verdict)
    both = graver(one, other).verdict
    assert both is graver(other, one).verdict
    assert order.index(both) == max(order.index(one.verdict), order.index(other.verdict))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of identities pushes out those that are silent, and not who calls all the time."""
    monkeypatch.setattr(abuse, "_REMEMBERED", 100)
    some = rules(requests_per_minute=500, new_hours=24, new_identities_per_address=3)
    for number in range(1000):
        calls(some, new(f"user:{number}", f"198.51.{number // 250}.{number % 250}"))
        last = calls(some, ANNA)
    assert last == Judgement(Verdict.CHALLENGE, "velocity")
    assert max(len(some._identities), len(some._addresses)) == 100
