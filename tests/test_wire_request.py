"""What is read of a request, what is refused in it, and what of it an upstream gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.errors import FieldInvalid, FieldUnsupported, InvalidJson, ModelMissing, RequestError
from trivium.wire.request import MAX_TOKENS, Request, check_stateless, parse, render, without_body


def ask(api: Api, **fields: Any) -> Request:
    return parse(api, json.dumps({"model": "m", **fields}).encode())


def sent(request: Request, model: str = "m") -> Any:
    return json.loads(render(request, model).body)


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


OTHERS = ("Web_Search_Options", "Mcp_Servers", "Compound_Custom", "Safety_Model", "draft_Models", "Speed")


class TestParse:
    @pytest.mark.parametrize("api", list(Api))
    def test_the_model_is_named_without_the_blanks_around_it(self, api: Api) -> None:
        assert parse(api, b'{"model": " \\t a/b:free\\u00a0 "}').model == "a/b:free"

    @pytest.mark.parametrize(
        "body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"model":" \\n "}', b'{"Model":"m"}']
    )
    def test_without_a_model_there_is_nothing_to_do(self, body: bytes) -> None:
        with pytest.raises(ModelMissing) as raised:
            parse(Api.CHAT, body)
        assert (raised.value.param, raised.value.status) == ("model", 400)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            (b'{"model":["m"]}', "model"),
            (b'{"model":1}', "model"),
            (b'{"model":"m","stream":1}', "stream"),
            (b'{"model":"m","stream":"true"}', "stream"),
        ],
    )
    def test_a_field_of_the_wrong_type_is_named(self, body: bytes, param: str) -> None:
        with pytest.raises(FieldUnsupported, match=f"`{param}` must be") as raised:
            parse(Api.MESSAGES, body)
        assert raised.value.param == param

    @pytest.mark.parametrize(
        ("api", "fields", "tokens"),
        [
            (Api.CHAT, {"max_tokens": 5}, 5),
            (Api.CHAT, {"max_tokens": 5, "max_completion_tokens": 7}, 7),
            (Api.RESPONSES, {"max_output_tokens": 5, "max_tokens": 7}, 5),
            (Api.MESSAGES, {"max_tokens": 5}, 5),
            (Api.CHAT, {"max_tokens": 9, "max_completion_tokens": 7}, 9),  # whichever its server reads
            (Api.CHAT, {"max_tokens": 9, "max_completion_tokens": -1}, None),
            (Api.CHAT, {"max_tokens": 9, "max_completion_tokens": "\u0035" * 30}, None),
            (Api.CHAT, {"max_tokens": 9, "max_completion_tokens": None}, 9),
            (Api.MESSAGES, {"max_tokens": 0}, None),
            (Api.MESSAGES, {"max_tokens": "5"}, 5),
            (Api.MESSAGES, {"max_tokens": 10**30}, None),
            (Api.MESSAGES, {"max_tokens": -5}, None),
            (Api.MESSAGES, {}, None),
        ],
    )
    def test_the_limit_of_tokens_is_read_where_the_api_has_it(
        self, api: Api, fields: dict[str, Any], tokens: int | None
    ) -> None:
        assert ask(api, **fields).max_tokens == tokens

    @pytest.mark.parametrize("n", [10**30, "five", [2], -1, "\x00"])
    def test_a_number_of_answers_that_cannot_be_read_is_refused(self, n: Any) -> None:
        with pytest.raises(FieldUnsupported, match="`n` must be a whole number"):
            ask(Api.CHAT, n=n)
        for good in (None, 3, 3.0, "3"):
            assert ask(Api.CHAT, n=good)

    def test_fields_that_nobody_asks_for_may_hold_anything(self) -> None:
        request = parse(Api.CHAT, b'{"model":"m","messages":"\\u0000","future":[1e999]}')
        assert render(request, "m").body == request.body

    def test_a_field_that_is_read_must_be_json(self) -> None:
        with pytest.raises(InvalidJson, match="`stream_options`"):
            parse(Api.CHAT, b'{"model":"m","stream":true,"stream_options":{"a":1e999}}')

    def test_bytes_that_are_no_utf8_are_no_json_wherever_they_stand(self) -> None:
        for body in (b'{"model":"\xff"}', b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}'):
            with pytest.raises(InvalidJson, match="it is not UTF-8"):
                parse(Api.CHAT, body)


class TestStateless:
    @pytest.mark.parametrize(
        ("api", "fields"),
        [
            (Api.RESPONSES, {"previous_response_id": None, "conversation": None, "background": False}),
            (Api.RESPONSES, {"input": "item_reference", "store": True, "thread": "t"}),
            (Api.RESPONSES, {"input": [{"role": "user", "content": "an item_reference"}, "item_reference", None]}),
            (Api.RESPONSES, {"input": {"type": "item_reference"}}),
            (Api.CHAT, {"previous_response_id": "x", "thread": "t", "background": True, "store": True}),
            (Api.MESSAGES, {"previous_response_id": "x", "conversation": "c", "thread": None}),
        ],
    )
    def test_what_needs_no_memory_passes(self, api: Api, fields: dict[str, Any]) -> None:
        check_stateless(ask(api, **fields))

    @pytest.mark.parametrize(
        ("api", "field", "content"),
        [
            (Api.RESPONSES, "previous_response_id", "resp_1"),
            (Api.RESPONSES, "previous_response_id", ""),
            (Api.RESPONSES, "conversation", {"id": "c"}),
            (Api.RESPONSES, "background", True),
            (Api.RESPONSES, "input", [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "i"}]),
            (Api.MESSAGES, "thread", "t"),
        ],
    )
    def test_what_only_a_memory_could_honour_is_refused_by_name(self, api: Api, field: str, content: Any) -> None:
        with pytest.raises(FieldUnsupported, match=f"`{field}` needs state") as raised:
            check_stateless(ask(api, **{field: content}))
        assert raised.value.param == field

    @pytest.mark.parametrize(("api", "field"), [(api, name) for api in Api for name in MAX_TOKENS[api]])
    def test_an_answer_longer_than_any_is_refused_for_good(self, api: Api, field: str) -> None:
        check_stateless(ask(api, **{field: 99_999_999_999}))
        with pytest.raises(FieldInvalid, match=f"ask for fewer in `{field}`") as raised:
            check_stateless(ask(api, **{field: 100_000_000_000}))
        assert (raised.value.status, raised.value.code, raised.value.retry_after) == (503, "unavailable", 3600)

    def test_what_to_do_instead_is_said_of_each(self) -> None:
        for field, content, instead in (
            ("conversation", "c", "send the whole conversation instead"),
            ("background", True, "leave it out and wait for the answer"),
            ("input", [{"type": "item_reference", "id": "i"}], "in the AI SDK `providerOptions.openai.store = false`"),
        ):
            with pytest.raises(FieldUnsupported, match=f"{instead}\\.$"):
                check_stateless(ask(Api.RESPONSES, **{field: content}))

    @pytest.mark.parametrize(
        "item", [b'{"type":"item\\u005freference","id":"i"}', b'{"id":"i"}', b'{"type":null,"id":"i"}']
    )
    def test_a_reference_is_one_however_it_is_written(self, item: bytes) -> None:
        with pytest.raises(FieldUnsupported):
            check_stateless(parse(Api.RESPONSES, b'{"model":"m","input":[%b]}' % item))

    def test_an_input_that_is_no_json_is_the_callers_fault(self) -> None:
        request = parse(Api.RESPONSES, b'{"model":"m","input":[{"type":"item_reference","id":1e999}]}')
        with pytest.raises(RequestError):
            check_stateless(request)


class TestRender:
    @pytest.mark.parametrize("api", list(Api))
    def test_a_request_that_needs_no_change_keeps_every_byte(self, api: Api) -> None:
        body = b' {"n" : 1.50,\n\t"model":"m" ,"x":"\xc3\xa9"}  \n'
        assert render(parse(api, body), "m").body == body

    def test_letters_as_pythons_json_writes_them_are_no_reason_to_rebuild_the_body(self) -> None:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "café <b>"}]}).encode()
        assert render(parse(Api.CHAT, body), "m").body == body

    @pytest.mark.parametrize("api", list(Api))
    @pytest.mark.parametrize("model", ["vendor/m:free", 'a"b', "é\u2028"])
    def test_the_model_is_the_upstreams(self, api: Api, model: str) -> None:
        rendered = render(ask(api, messages=[{"model": "x"}], n=1.5), model)
        assert json.loads(rendered.body) == {"model": model, "messages": [{"model": "x"}], "n": 1.5}
        assert rendered.losses == ()

    def test_padding_around_the_model_goes(self) -> None:
        assert render(parse(Api.CHAT, b'{"model":" m "}'), "m").body == b'{"model":"m"}'

    @pytest.mark.parametrize(
        ("options", "after"),
        [
            ({}, {"include_usage": True}),
            ({"stream_options": None}, {"include_usage": True}),
            ({"stream_options": {"include_usage": False, "x": 1}}, {"include_usage": True, "x": 1}),
            ({"stream_options": {"include_usage": 1}}, {"include_usage": True}),
            ({"stream_options": "odd"}, {"include_usage": True}),
            ({"stream_options": {"Include_Usage": False, "x": 1}}, {"include_usage": True, "x": 1}),
        ],
    )
    def test_usage_is_asked_for_in_a_chat_stream(self, options: dict[str, Any], after: dict[str, Any]) -> None:
        request = ask(Api.CHAT, stream=True, **options)
        assert not request.wants_usage
        assert sent(request) == {"model": "m", "stream": True, "stream_options": after}

    def test_it_is_asked_for_whoever_reads_the_options(self) -> None:
        """Servers in Go overlook capitals and take the last of two; others take the first."""
        for options in (
            '{"include_usage":true,"Include_Usage":false}',
            '{"include\\u005fusage":false,"include_usage":true}',
        ):
            body = f'{{"model":"m","stream":true,"stream_options":{options}}}'.encode()
            assert b'"stream_options":{"include_usage":true}' in render(parse(Api.CHAT, body), "m").body

    @pytest.mark.parametrize(
        ("api", "fields"),
        [
            (Api.CHAT, {"stream": True, "stream_options": {"include_usage": True, "x": 1}}),
            (Api.CHAT, {"stream": False}),
            (Api.CHAT, {}),
            (Api.RESPONSES, {"stream": True}),
            (Api.MESSAGES, {"stream": True}),
        ],
    )
    def test_elsewhere_nothing_is_added(self, api: Api, fields: dict[str, Any]) -> None:
        request = ask(api, **fields)
        assert request.wants_usage
        assert render(request, "m").body == request.body

    @pytest.mark.parametrize("name", ["models", "fallbacks"])
    @pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.MESSAGES])
    def test_lists_of_other_models_are_taken_out_and_told(self, api: Api, name: str) -> None:
        done = render(ask(api, **{name: ["dear/one"], "x": 1}), "up/m")
        told = json.loads(done.body)
        assert name not in told
        assert (told["model"], told["x"]) == ("up/m", 1)
        assert [loss.field for loss in done.losses] == [name]

    @pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.MESSAGES])
    def test_a_preset_is_refused_however_it_is_named(self, api: Api) -> None:
        for request, param in (
            (ask(api, preset="mine"), "preset"),
            (parse(api, b'{"model":"openrouter/openai/gpt-5@Preset/mine"}'), "model"),
            (parse(api, b'{"model":"openrouter/@preset/mine"}'), "model"),
        ):
            with pytest.raises(FieldUnsupported) as raised:
                check_stateless(request)
            assert raised.value.param == param

    @pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.MESSAGES])
    def test_a_name_that_some_servers_take_for_another_is_refused(self, api: Api) -> None:
        """Those in Go overlook capitals, and of `model` and `Model` take the one that comes last."""
        for name in ("Model", "MODEL", "Max_Tokens", "max_tokenS", "Tools", "tool\u017f", "N", "Temperature", *OTHERS):
            with pytest.raises(FieldUnsupported) as raised:
                check_stateless(ask(api, **{"max_tokens": 5, "temperature": 1, name: "dear/one"}))
            assert raised.value.param == name
        check_stateless(ask(api, topP=1, logitBias={}, metaData={}))

    @pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.MESSAGES])
    def test_where_a_request_goes_is_not_the_clients_to_say(self, api: Api) -> None:
        with pytest.raises(FieldUnsupported) as raised:
            check_stateless(ask(api, providerOptions={"gateway": {"models": ["dear/one"]}}))
        assert raised.value.param == "providerOptions"

    def test_store_is_sent_on_as_false_and_the_loss_is_told(self) -> None:
        rendered = render(ask(Api.RESPONSES, store=True), "m")
        assert json.loads(rendered.body)["store"] is False
        assert [loss.field for loss in rendered.losses] == ["store"]
        for api, store in ((Api.RESPONSES, False), (Api.RESPONSES, None), (Api.CHAT, True)):
            assert render(ask(api, store=store), "m").losses == ()
            assert sent(ask(api, store=store))["store"] is store

    def test_what_is_kept_of_it_is_small_and_still_says_what_it_was(self) -> None:
        request = ask(Api.CHAT, stream=True, messages=["x" * 1000])
        kept = without_body(request)
        assert (kept.body, kept.members) == (b"", {})
        assert (kept.model, kept.stream, kept.wants_usage) == ("m", True, False)


MADE_ONE = {
    "model": (Api.CHAT, b'{"model":"forbidden","model":"m"}'),
    "model, escaped": (Api.CHAT, b'{"\\u006dodel":"forbidden","model":"m"}'),
    "store, escaped": (Api.RESPONSES, b'{"model":"m","\\u0073tore":true,"store":false}'),
    "model, escaped behind": (Api.CHAT, b'{"model":"m","mode\\u006C":"m"}'),
}
SEEN_BY_OTHERS = {
    "stream": (Api.CHAT, b'{"model":"m","stream":true,"stream":false}'),
    "store": (Api.RESPONSES, b'{"model":"m","store":true,"store":false}'),
    "memory": (Api.RESPONSES, b'{"model":"m","previous_response_id":"r","previous_response_id":null}'),
    "background": (Api.RESPONSES, b'{"model":"m","background":true,"background":false}'),
    "input": (Api.RESPONSES, b'{"model":"m","input":[{"type":"item_reference","id":"i"}],"input":"x"}'),
    "thread": (Api.MESSAGES, b'{"model":"m","thread":"t","thread":null}'),
    "options": (
        Api.CHAT,
        b'{"model":"m","stream":true,"stream_options":{"include_usage":false},"stream_options":{"include_usage":true}}',
    ),
    "inside the options": (
        Api.CHAT,
        b'{"model":"m","stream":true,"stream_options":{"include_usage":false,"include_usage":true}}',
    ),
    "limit": (Api.MESSAGES, b'{"model":"m","max_tokens":99999,"max_tokens":1}'),
    "answers": (Api.CHAT, b'{"model": "m", "n": 100, "messages": [], "n": 1}'),
    "tools": (Api.CHAT, b'{"model": "m", "tools": [{"type":"openrouter:fusion"}], "tools": [{"type":"function"}]}'),
    "plugins": (Api.CHAT, b'{"model": "m", "plugins": [{"id":"fusion"}], "plugins": []}'),
    "tier": (Api.CHAT, b'{"model": "m", "service_tier": "priority", "service_tier": "flex"}'),
    "speed": (Api.MESSAGES, b'{"model": "m", "speed": "fast", "speed": "standard"}'),
    "search": (Api.CHAT, b'{"model": "m", "web_search_options": {}, "web_search_options": null}'),
}


def reads_the_same(api: Api, body: bytes) -> bool:
    """Whether a parser that takes the first of two members reads what we read, who take the last."""
    request = parse(api, body)
    check_stateless(request)
    out = render(request, "m").body
    return bool(json.loads(out, object_pairs_hook=first_wins) == json.loads(out))


@pytest.mark.parametrize(("api", "body"), MADE_ONE.values(), ids=MADE_ONE)
def test_a_body_with_a_second_model_is_rebuilt_with_one_of_everything(api: Api, body: bytes) -> None:
    assert reads_the_same(api, body)


@pytest.mark.parametrize(("api", "body"), SEEN_BY_OTHERS.values(), ids=SEEN_BY_OTHERS)
def test_an_upstream_reads_every_member_that_was_checked_whichever_of_two_it_takes(api: Api, body: bytes) -> None:
    assert reads_the_same(api, body)
