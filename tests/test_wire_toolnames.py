"""Ids and names of tools: something every API takes, and the way back."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.parts import ToolKind
from trivium.wire.toolnames import ToolName, ToolNames, fitting_id, inward_id, nine_letters, outward_id


class TestIds:
    @pytest.mark.parametrize("id", ["call_1", "toolu_01AbC-x", "0"])
    def test_one_that_every_api_takes_stays(self, id: str) -> None:
        assert outward_id(id) == inward_id(id) == id

    def test_one_that_others_would_refuse_is_coded_for_the_client_and_decoded_for_its_upstream(self) -> None:
        assert outward_id("functions.add:0") == "tvid_ZnVuY3Rpb25zLmFkZDow"
        assert inward_id("tvid_ZnVuY3Rpb25zLmFkZDow") == "functions.add:0"

    def test_an_upstreams_id_that_looks_coded_already_comes_back_as_it_was(self) -> None:
        once = outward_id("functions.add:0")
        assert inward_id(outward_id(once)) == once

    @given(st.text() | st.text("tvid_aZ0=", max_size=9))
    def test_every_id_comes_back_as_itself_from_letters_that_all_take(self, id: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", outward_id(id))
        assert inward_id(outward_id(id)) == id

    @pytest.mark.parametrize("id", ["tvid_!", "tvid_a", "tvid_gICA", "tvid_ü"])
    def test_a_clients_own_id_that_looks_coded_and_is_not_stays(self, id: str) -> None:
        assert inward_id(id) == id

    @pytest.mark.parametrize("api", list(Api))
    def test_a_long_id_is_cut_and_told_apart_by_a_hash(self, api: Api) -> None:
        one, other = "x" * 100 + "1", "x" * 100 + "2"
        assert fitting_id("x" * 64, api) == "x" * 64
        assert len(fitting_id(one, api)) == 64
        assert fitting_id(one, api) == fitting_id(one, api) != fitting_id(other, api)

    def test_only_messages_is_strict_about_letters(self) -> None:
        assert fitting_id("functions.add:0", Api.CHAT) == "functions.add:0"
        assert fitting_id("functions.add:0", Api.MESSAGES) == hashlib.sha256(b"functions.add:0").hexdigest()
        assert fitting_id("functions.add:0", Api.MESSAGES) != fitting_id("functions_add.0", Api.MESSAGES)


class TestNames:
    def test_a_name_that_the_upstream_takes_stays_and_needs_no_way_back(self) -> None:
        names = ToolNames(Api.CHAT)
        assert names.upstream("get_weather") == "get_weather"
        assert names.originals == {}

    @pytest.mark.parametrize(("api", "longest"), [(Api.CHAT, 64), (Api.RESPONSES, 64), (Api.MESSAGES, 128)])
    def test_a_long_one_is_cut_and_the_way_back_is_kept(self, api: Api, longest: int) -> None:
        names = ToolNames(api)
        assert names.upstream("n" * longest) == "n" * longest
        short = names.upstream("n" * (longest + 1))
        assert len(short) == longest
        assert names.originals == {short: ToolName("n" * (longest + 1))}

    def test_letters_that_the_upstream_would_refuse_are_replaced(self) -> None:
        names = ToolNames(Api.MESSAGES)
        assert re.fullmatch(r"wetter_k_ln_[0-9a-f]{8}", names.upstream("wetter.köln"))

    def test_a_tool_in_a_namespace_is_named_by_both(self) -> None:
        names = ToolNames(Api.CHAT)
        assert names.upstream("close_agent", "multi_agent_v1") == "multi_agent_v1__close_agent"
        assert names.upstream("query", "mcp__db__") == "mcp__db__query"
        assert names.originals["mcp__db__query"] == ToolName("query", "mcp__db__")

    def test_the_same_tool_has_the_same_name_whenever_asked(self) -> None:
        names = ToolNames(Api.CHAT)
        asked = [names.upstream(name, space) for _ in range(2) for name, space in (("a.b", None), ("a", "b"))]
        assert asked[:2] == asked[2:]

    def test_two_tools_never_share_a_name(self) -> None:
        names = ToolNames(Api.CHAT)
        tools = [("a__b", None), ("b", "a"), ("b", "a__")]
        told = [names.upstream(*tool) for tool in tools]
        assert len(set(told)) == 3
        assert told[0] == "a__b"
        assert [names.originals[name] for name in told[1:]] == [ToolName("b", "a"), ToolName("b", "a__")]

    def test_a_free_text_tool_that_goes_as_a_function_is_remembered_as_what_it_is(self) -> None:
        names = ToolNames(Api.MESSAGES)
        assert names.upstream("apply_patch", kind=ToolKind.CUSTOM, wrapped=True) == "apply_patch"
        assert names.originals["apply_patch"].kind is ToolKind.CUSTOM

    @given(st.lists(st.tuples(st.text(max_size=70), st.none() | st.text(max_size=70)), unique=True, max_size=8))
    def test_any_names_are_names_and_lead_back(self, tools: list[tuple[str, str | None]]) -> None:
        names = ToolNames(Api.CHAT)
        told = [names.upstream(*tool) for tool in tools]
        assert len(set(told)) == len(tools)
        for (name, space), said in zip(tools, told, strict=True):
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", said)
            assert names.originals.get(said, ToolName(said)) == ToolName(name, space)


def test_a_schemas_name_gets_the_letters_of_tools_names() -> None:
    names = ToolNames(Api.CHAT)
    assert names.plain("answer") == "answer"
    assert re.fullmatch(r"my_answer_[0-9a-f]{8}", names.plain("my answer"))


def test_calls_of_free_text_tools_are_remembered_by_id_and_messages_are_numbered() -> None:
    names = ToolNames(Api.RESPONSES)
    names.custom_call("a")
    assert (names.is_custom_call("a"), names.is_custom_call("b")) == (True, False)
    assert (names.message_id(), names.message_id()) == ("msg_00000001", "msg_00000002")


@pytest.mark.parametrize(("id", "nine"), [("a1B2c3D4e", "a1B2c3D4e"), ("call_1", None), ("äbcdefghi", None)])
def test_mistrals_ids_are_nine_letters_or_digits(id: str, nine: str | None) -> None:
    made = nine_letters(id)
    assert made == (nine or made)
    assert len(made) == 9
    assert made.isascii()
    assert made.isalnum()
    assert nine_letters(made) == made
