"""What a caller may use: gates of the house, scopes of the key, policies of the organization."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.errors import (
    ApiNotAvailable,
    CallerBlocked,
    Forbidden,
    KeyNotHere,
    ModelNotAllowed,
    NotAMember,
    ProviderNotAllowed,
)
from trivium.policy.access import (
    Gate,
    HouseSettings,
    as_told,
    check_api,
    check_auto,
    check_caller,
    check_model,
    check_provider,
    permits,
)
from trivium.policy.caller import Caller, Organization, OrganizationSettings, Policy, Role, Scopes, names_of

OPEN = HouseSettings()


def caller(**what: Any) -> Caller:
    return Caller(id="key_1", **what)


def of_acme(**policy: Any) -> Caller:
    settings = OrganizationSettings(policy=Policy(**policy))
    organization = Organization(id="acme", name="Acme", settings=settings)
    return caller(user_id="ann", role=Role.MEMBER, organization=organization)


def may(caller: Caller, model: str = "up/m", house: HouseSettings = OPEN) -> bool:
    provider, _, id = model.partition("/")
    try:
        check_model(caller, provider, id, house)
    except ModelNotAllowed as error:
        assert error.param == "model"
        return False
    return True


class TestCaller:
    def test_who_is_blocked_is_told_so_before_anything_else(self) -> None:
        with pytest.raises(CallerBlocked):
            check_caller(caller(blocked=True, scopes=Scopes(networks=("10.0.0.0/8",))), "192.0.2.1")

    @pytest.mark.parametrize(
        ("address", "good"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("2001:db8::5", True),
            ("11.0.0.1", False),
            ("2001:db9::5", False),
            (None, False),
            ("no address", False),
        ],
    )
    def test_addresses_are_those_of_the_scopes(self, address: str | None, good: bool) -> None:
        scoped = caller(scopes=Scopes(networks=("10.0.0.0/8", "2001:db8::/32")))
        if good:
            check_caller(scoped, address)
            return
        with pytest.raises(KeyNotHere):
            check_caller(scoped, address)

    @pytest.mark.parametrize("network", ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "::ffff:0:0/96"])
    def test_a_network_of_ipv4_may_be_written_as_ipv6(self, network: str) -> None:
        check_caller(caller(scopes=Scopes(networks=(network,))), "10.1.2.3")
        with pytest.raises(KeyNotHere):
            check_caller(caller(scopes=Scopes(networks=(network,))), "2001:db8::1")

    @pytest.mark.parametrize("role", [None, *Role])
    def test_an_organization_is_spent_from_by_members_but_those_for_billing(self, role: Role | None) -> None:
        acting = caller(user_id="ann", role=role, organization=Organization(id="acme", name="Acme"))
        if role in {None, Role.BILLING}:
            with pytest.raises(NotAMember):
                check_caller(acting, None)
        else:
            check_caller(acting, None)

    def test_an_organizations_own_key_needs_no_member(self) -> None:
        check_caller(caller(organization=Organization(id="acme", name="Acme")), None)


class TestGates:
    @pytest.mark.parametrize(
        ("gate", "who", "is_open"),
        [
            (Gate(), caller(), True),
            (Gate(open_to="admins"), caller(), False),
            (Gate(open_to="admins"), caller(user_id="ann", staff=True), True),
            (Gate(open_to="admins", users=("ann",)), caller(user_id="ann"), True),
            (Gate(open_to="named", users=("ann",)), caller(user_id="ann"), True),
            (Gate(open_to="named", users=("ann",)), caller(user_id="bob", staff=True), False),
            (Gate(open_to="named", organizations=("acme",)), of_acme(), True),
            (Gate(open_to="named", organizations=("blue",)), of_acme(), False),
            (Gate(open_to="named"), caller(), False),
        ],
    )
    def test_one_is_open_to_whom_it_says(self, gate: Gate, who: Caller, is_open: bool) -> None:
        house = HouseSettings(apis={"messages": gate}, models={"up/m": gate})
        assert may(who, house=house) is is_open
        check_api(who, Api.CHAT, house)
        if is_open:
            check_api(who, Api.MESSAGES, house)
            return
        with pytest.raises(ApiNotAvailable, match="`messages` is not available"):
            check_api(who, Api.MESSAGES, house)

    def test_every_gate_that_fits_must_be_open(self) -> None:
        house = HouseSettings(models={"*": Gate(), "up/*": Gate(open_to="admins")})
        assert not may(caller(), "up/m", house)
        assert may(caller(), "other/m", house)


class TestWhatIsSaid:
    """Each refusal says what to do next."""

    def test_of_an_api_whether_it_is_closed_or_the_key_is_for_others(self) -> None:
        with pytest.raises(ApiNotAvailable, match="ask the operator of this gateway to open it"):
            check_api(caller(), Api.CHAT, HouseSettings(apis={"chat_completions": Gate(open_to="admins")}))
        with pytest.raises(ApiNotAvailable, match=r"which is good for `messages`\. Use one of these, or another"):
            check_api(caller(scopes=Scopes(apis=("messages",))), Api.CHAT, OPEN)

    def test_of_a_model_and_a_provider_whether_they_are_denied_or_not_on_the_list(self) -> None:
        denying, listing = of_acme(models_deny=("up/m",)), of_acme(models_allow=("up/n",))
        with pytest.raises(ModelNotAllowed, match="The organization denies it"):
            check_model(denying, "up", "m", OPEN)
        with pytest.raises(ModelNotAllowed, match="list of models does not have it"):
            check_model(listing, "up", "m", OPEN)
        with pytest.raises(ProviderNotAllowed, match="The organization denies up"):
            check_provider(Policy(providers_deny=("up",)), "up", collects=False, retains=False)
        with pytest.raises(ProviderNotAllowed, match="list of providers does not have up"):
            check_provider(Policy(providers_allow=("other",)), "up", collects=False, retains=False)

    def test_of_a_key_who_can_help(self) -> None:
        acme = Organization(id="acme", name="Acme")
        with pytest.raises(KeyNotHere, match="Whoever made it can change them"):
            check_caller(caller(scopes=Scopes(networks=("10.0.0.0/8",))), "192.0.2.1")
        with pytest.raises(NotAMember, match="Its owners and admins can add"):
            check_caller(caller(user_id="ann", organization=acme), None)
        with pytest.raises(NotAMember, match="another role"):
            check_caller(caller(user_id="ann", role=Role.BILLING, organization=acme), None)


class TestScopes:
    def test_apis_and_models_are_those_that_are_said(self) -> None:
        scoped = caller(scopes=Scopes(apis=("messages",), models=("up/m", "other/*")))
        check_api(scoped, Api.MESSAGES, OPEN)
        with pytest.raises(ApiNotAvailable):
            check_api(scoped, Api.CHAT, OPEN)
        assert [may(scoped, model) for model in ("up/m", "other/x", "up/n", "up/mm")] == [True, True, False, False]


class TestPolicy:
    @pytest.mark.parametrize(
        ("policy", "model", "allowed"),
        [
            ({}, "up/m", True),
            ({"models_allow": ("up/m",)}, "up/m", True),
            ({"models_allow": ("m",)}, "up/m", True),
            ({"models_allow": ("m",)}, "up/mm", False),
            ({"models_allow": ("up/*",)}, "up/a/b", True),
            ({"models_allow": ("vendor/*",)}, "up/vendor/m", True),
            ({"models_allow": ("vendor/*",)}, "up/other/m", False),
            ({"models_allow": ("up/m",)}, "up/m:free", True),
            ({"models_allow": ("up/m:free",)}, "up/m", True),
            ({"models_deny": ("up/m",)}, "up/m:online", False),
            ({"models_deny": ("m:free",)}, "up/m", False),
            ({"models_deny": ("*:free",)}, "up/m:free", False),
            ({"models_deny": ("*:free",)}, "up/m", True),
            ({"models_deny": ("up/m",)}, "up/M", False),
            ({"models_deny": ("UP/M",)}, "up/m", False),
            ({"models_deny": ("up/m",)}, "up/ m ", False),
            ({"models_deny": ("up/m",)}, "up/m :x", False),
            ({"models_allow": ("up/*",), "models_deny": ("up/m",)}, "up/m", False),
        ],
    )
    def test_lists_mean_models_whatever_their_suffix_or_spelling(
        self, policy: dict[str, Any], model: str, allowed: bool
    ) -> None:
        assert may(of_acme(**policy), model) is allowed

    @given(st.text(max_size=20), st.sampled_from(["m", "up/m", "M", "*"]))
    def test_what_is_denied_is_denied_under_any_suffix(self, suffix: str, pattern: str) -> None:
        assert not permits(Policy(models_deny=(pattern,)), names_of("up", f"m:{suffix}"))

    @pytest.mark.parametrize(
        ("policy", "collects", "retains", "allowed"),
        [
            ({}, True, True, True),
            ({"providers_allow": ("up",)}, True, True, True),
            ({"providers_allow": ("other",)}, False, False, False),
            ({"providers_allow": ("U*",)}, False, False, True),
            ({"providers_deny": ("up",)}, False, False, False),
            ({"providers_allow": ("up/amazon-bedrock",)}, False, False, True),
            ({"providers_allow": ("upper/amazon-bedrock",)}, False, False, False),
            ({"providers_allow": ("up/x",), "providers_deny": ("up",)}, False, False, False),
            ({"providers_allow": ("*",), "providers_deny": ("UP",)}, False, False, False),
            ({"data_collection": "deny"}, True, False, False),
            ({"data_collection": "deny"}, False, True, True),
            ({"zdr": True}, False, True, False),
            ({"zdr": True}, True, False, True),
            ({"zdr": True, "data_collection": "deny"}, False, False, True),
        ],
    )
    def test_providers_are_those_that_it_lets_prompts_go_to(
        self, policy: dict[str, Any], collects: bool, retains: bool, allowed: bool
    ) -> None:
        if allowed:
            check_provider(Policy(**policy), "up", collects=collects, retains=retains)
            return
        with pytest.raises(ProviderNotAllowed):
            check_provider(Policy(**policy), "up", collects=collects, retains=retains)

    @pytest.mark.parametrize(
        ("policy", "honours", "does"),
        [
            ({}, ("data_collection", "zdr"), (True, True)),
            ({"data_collection": "deny"}, ("data_collection",), (False, True)),
            ({"data_collection": "deny"}, ("zdr",), (True, True)),
            ({"data_collection": "deny", "zdr": True}, ("zdr",), (False, False)),
            ({"zdr": True}, ("data_collection",), (True, True)),
            ({"zdr": True}, ("zdr",), (False, False)),
        ],
    )
    def test_a_provider_that_is_told_does_no_more_than_it_honours(
        self, policy: dict[str, Any], honours: tuple[str, ...], does: tuple[bool, bool]
    ) -> None:
        assert as_told(Policy(**policy), frozenset(honours), collects=True, retains=True) == does
        assert as_told(Policy(**policy), frozenset(honours), collects=False, retains=False) == (False, False)

    def test_all_refusals_are_of_one_kind(self) -> None:
        """By which the catalogue knows what to leave out."""
        kinds = (ApiNotAvailable, ModelNotAllowed, ProviderNotAllowed, NotAMember, KeyNotHere, CallerBlocked)
        assert all(issubclass(kind, Forbidden) for kind in kinds)


class TestAutoModels:
    NAMES = ("auto/best", "house/best")

    @pytest.mark.parametrize("gate", ["auto/best", "House/Best", "*/best", "auto/best:free"])
    def test_gates_mean_them_by_every_name(self, gate: str) -> None:
        house = HouseSettings(models={gate: Gate(open_to="admins")})
        with pytest.raises(ModelNotAllowed, match="`asked` is not allowed"):
            check_auto(caller(), self.NAMES, "asked", house)
        check_auto(caller(user_id="boss", staff=True), self.NAMES, "asked", house)
        check_auto(caller(), ("auto/other",), "asked", house)

    def test_they_can_be_denied_and_need_not_be_allowed(self) -> None:
        with pytest.raises(ModelNotAllowed):
            check_auto(of_acme(models_deny=("house/*",)), self.NAMES, "asked", OPEN)
        check_auto(of_acme(models_allow=("up/m",), models_deny=("up/n",)), self.NAMES, "asked", OPEN)
        check_auto(caller(scopes=Scopes(models=("up/m",))), self.NAMES, "asked", OPEN)
