"""One call through the house: its request, and its answer as a stream or a whole body."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from support_grammar import check, told
from support_streams import CHAT, USAGE, chunk, compact, named, sse
from support_translation import ORIGIN, decoded, encoded, encoder, error, translated, translation
from trivium.canon.api import Api
from trivium.canon.events import (
    Begin,
    End,
    Event,
    Fault,
    Finish,
    FinishReason,
    ReasoningDelta,
    ReasoningSeal,
    TextDelta,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Seal
from trivium.canon.size import content_bytes
from trivium.canon.traits import Traits
from trivium.errors import FieldInvalid, InvalidJson
from trivium.wire.body import members
from trivium.wire.codec import decode_answer, stream_decoder
from trivium.wire.cover import Cover
from trivium.wire.destination import Destination
from trivium.wire.fault import BROKEN_OFF, GARBAGE
from trivium.wire.relay import StreamRelay
from trivium.wire.translate import StreamTranslation, Translation, estimated

OTHERS = [Api.RESPONSES, Api.MESSAGES]
TOO_LONG = "a" * 65
START = named({"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 3}}})
STOP = named({"type": "message_stop"})
each_client = pytest.mark.parametrize("client", OTHERS)


def from_chat(client: Api = Api.MESSAGES) -> StreamTranslation:
    return translation(Api.CHAT, client).stream()


def read(client: Api, stream: bytes) -> Answer:
    return fold(decoded(client, stream))


@each_client
class TestStream:
    def test_a_stream_is_told_event_by_event(self, client: Api) -> None:
        stream = from_chat(client)
        begun, words, finish, usage, done = (stream.feed(sse(one)) for one in CHAT)
        assert (begun, usage, done) == (b"", b"", b"")
        assert b'"Hi"' in words
        whole = begun + words + finish + usage + done + stream.close()
        check(client, whole)
        answer = read(client, whole)
        assert (answer.id, answer.text, answer.finish) == ("c1", "Hi", "stop")
        assert answer.usage
        assert (answer.usage.input, answer.usage.output) == (3, 2)

    def test_nothing_is_said_before_there_is_something_to_say(self, client: Api) -> None:
        stream = from_chat(client)
        for silent in (": ping", chunk(role="assistant", content=""), chunk(content=""), USAGE):
            assert stream.feed(sse(silent)) == b""
            assert not stream.content_began
        assert stream.feed(sse(chunk(content="Hi")))
        assert stream.content_began

    def test_an_error_that_comes_first_is_left_to_the_caller(self, client: Api) -> None:
        stream = from_chat(client)
        assert stream.feed(sse(": PROCESSING", {"error": {"code": 402, "message": "no money"}})) == b""
        assert stream.fault == Fault("billing_error", "no money")
        assert not stream.content_began
        assert stream.close() == b""

    def test_an_error_that_comes_later_ends_what_was_said(self, client: Api) -> None:
        stream = from_chat(client)
        out = stream.feed(sse(chunk(content="Hi"), {"error": {"code": "overloaded_error", "message": "no more"}}))
        assert stream.content_began
        assert stream.fault
        out += stream.failure(error(stream.fault))
        check(client, out, failed=True)
        answer = read(client, out)
        assert (answer.text, answer.finish) == ("Hi", FinishReason.ERROR)
        assert answer.error
        assert answer.error.message == "no more"

    def test_a_stream_that_breaks_off_is_no_answer(self, client: Api) -> None:
        stream = from_chat(client)
        stream.feed(sse(chunk(content="Hi")) + b'data: {"choices":[{"delta":{"content":"half')
        assert stream.close() == b""
        assert stream.unterminated
        assert stream.fault
        assert stream.fault.type == BROKEN_OFF
        assert stream.malformed == 1

    def test_what_comes_behind_the_end_still_counts(self, client: Api) -> None:
        stream = from_chat(client)
        out = stream.feed(sse(*CHAT[:3], CHAT[4]))
        assert stream.ended
        out += stream.feed(sse(USAGE)) + stream.close()
        check(client, out)
        usage = read(client, out).usage
        assert usage
        assert usage.output == 2

    def test_a_client_hears_that_all_is_well(self, client: Api) -> None:
        said = from_chat(client).ping()
        assert said.startswith(b"event: ping" if client is Api.MESSAGES else b":")


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@pytest.mark.parametrize("to", [Api.MESSAGES, Api.RESPONSES])
def test_a_character_that_an_upstream_cuts_in_two_arrives_whole(field: str, to: Api) -> None:
    chunks = [chunk(**{field: "x\ud83d"}), chunk(**{field: "\ude00y"}), chunk("stop")]
    said = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in chunks)
    answer = fold(decoded(to, translated(Api.CHAT, to, [said])))
    assert answer.text + answer.reasoning == "x\U0001f600y"


class TestAbout:
    def test_the_answer_without_its_content_is_known_at_the_end(self) -> None:
        stream = from_chat()
        stream.feed(sse(*CHAT))
        stream.close()
        answer = stream.answer()
        assert (answer.id, answer.model, answer.finish, answer.ended) == ("c1", "m", "stop", True)
        assert answer.usage
        assert (answer.text, answer.parts) == ("", ())

    def test_losses_of_the_answer_are_told(self) -> None:
        way = translation(Api.CHAT, Api.MESSAGES)
        stream = way.stream()
        page = {"type": "url_citation", "url_citation": {"url": "http://a", "title": "A"}}
        stream.feed(sse(chunk(content="Hi"), chunk(annotations=[page], audio={"id": "a"}), *CHAT[2:]))
        stream.close()
        assert {loss.field for loss in way.losses()} == {"annotations", "choices[0].message.audio"}

    def test_half_an_event_is_held(self) -> None:
        stream = from_chat()
        stream.feed(b"data: 12345")
        assert stream.held == len(b"data: 12345")
        assert not stream.oversized

    def test_parts_without_number_are_held(self) -> None:
        stream, before = from_chat(), 0
        for at in range(1000):
            stream.feed(sse(chunk(tool_calls=[{"index": at, "id": f"c{at}", "function": {"name": "f"}}])))
            assert stream.held > before
            before = stream.held
        items = translation(Api.RESPONSES, Api.CHAT).stream()
        for at in range(1000):
            item = {"type": "web_search_call", "id": f"w{at}"}
            items.feed(sse({"type": "response.output_item.done", "output_index": at, "item": item}))
        assert min(before, items.held) > 300_000


class TestOneForTheOther:
    """Upstreams answer with a body though a stream was asked for, and the other way round."""

    BODY = compact({
        "id": "c1", "object": "chat.completion", "model": "m", "usage": USAGE["usage"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    }).encode()  # fmt: skip

    @each_client
    def test_a_body_for_a_client_that_streams(self, client: Api) -> None:
        out = from_chat(client).whole(b"\n \n" + self.BODY)
        check(client, out)
        assert read(client, out).text == "Hi"

    @each_client
    def test_a_stream_for_a_client_that_does_not(self, client: Api) -> None:
        said, answer = translation(Api.CHAT, client).whole(sse(*CHAT), streamed=True)
        again = fold(decode_answer(client, said))
        assert (again.text, again.finish, again.usage and again.usage.output) == ("Hi", "stop", 2)
        assert answer.error is None

    @each_client
    def test_a_stream_that_breaks_off_for_a_client_that_does_not(self, client: Api) -> None:
        said, answer = translation(Api.CHAT, client).whole(sse(*CHAT[:2]), streamed=True)
        assert said == b""
        assert answer.error
        assert answer.error.type == BROKEN_OFF

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"{}",
            b'{"choices":[],"usage":{"prompt_tokens":1}}',
            b'{"error":{"message":"no"}}',
            b"[" * 5000,
        ],
    )
    @each_client
    def test_a_body_without_an_answer_is_an_error_either_way(self, client: Api, body: bytes) -> None:
        said, answer = translation(Api.CHAT, client).whole(body)
        assert said == b""
        assert answer.error
        stream = from_chat(client)
        assert stream.whole(body) == b""
        assert stream.fault == answer.error

    def test_a_response_that_has_not_ended_is_none(self) -> None:
        queued = {"object": "response", "status": "queued", "output": []}
        _, answer = translation(Api.RESPONSES, Api.CHAT).whole(compact(queued).encode())
        assert answer.error
        assert answer.error.type == GARBAGE


def test_two_messages_in_one_stream_are_one_answer() -> None:
    """Anthropic's tool search."""
    more = named({"type": "message_start", "message": {"id": "m2", "model": "m", "usage": {"input_tokens": 5}}})
    end = named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}})
    blocks = [
        [named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": said}}), end, STOP]
        for said in ("One. ", "Two.")
    ]
    stream = translation(Api.MESSAGES, Api.CHAT).stream()
    out = stream.feed(sse(START, *blocks[0]))
    assert stream.ended
    out += stream.feed(sse(more, *blocks[1])) + stream.close()
    check(Api.CHAT, out)
    assert read(Api.CHAT, out).text == "One. Two."


def test_an_answer_that_begins_anew_after_it_was_heard_fails() -> None:
    text = named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}})
    again = named({"type": "message_start", "message": {"id": "m2", "model": "m"}})
    out = translated(Api.MESSAGES, Api.CHAT, [sse(START, text, again, text, STOP)])
    check(Api.CHAT, out, failed=True)
    answer = read(Api.CHAT, out)
    assert answer.text == "Hi"
    assert answer.error
    assert answer.error.code == "upstream_restarted"


# Requests, and what answers need of them.


def way(client: Api, upstream: Api, **traits: Any) -> Translation:
    to = Destination(api=upstream, model="m", traits=Traits(**traits), origin=ORIGIN)
    return Translation(client, to, id="1", created=1)


def asked(translation: Translation, **said: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(translation.request(members(compact(said).encode())).body)
    return body


def call(name: str, *arguments: str) -> bytes:
    begun = chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": name, "arguments": ""}}])
    more = [chunk(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in arguments]
    return sse(begun, *more, chunk("tool_calls"), "data: [DONE]")


INPUT = [{"role": "user", "content": "hi"}]


class TestNames:
    def test_a_tool_whose_name_had_to_change_is_called_by_its_own(self) -> None:
        through = way(Api.MESSAGES, Api.CHAT)
        tools = [{"name": TOO_LONG, "input_schema": {"type": "object"}}]
        (tool,) = asked(through, model="x", messages=INPUT, max_tokens=9, tools=tools)["tools"]
        sent = tool["function"]["name"]
        assert len(sent) == 64
        out = _all(through, call(sent, "{}"))
        assert [one.name for one in read(Api.MESSAGES, out).tool_calls] == [TOO_LONG]

    def test_a_tool_in_a_namespace_is_called_there(self) -> None:
        through = way(Api.RESPONSES, Api.CHAT)
        inner = {"type": "function", "name": "close", "parameters": {}}
        (tool,) = asked(through, input="hi", tools=[{"type": "namespace", "name": "ns", "tools": [inner]}])["tools"]
        out = _all(through, call(tool["function"]["name"], "{}"))
        (one,) = read(Api.RESPONSES, out).tool_calls
        assert (one.name, one.namespace) == ("close", "ns")

    def test_a_free_text_tool_gets_its_text_while_it_comes(self) -> None:
        through = way(Api.RESPONSES, Api.CHAT)
        asked(through, input="hi", tools=[{"type": "custom", "name": "patch"}])
        stream = through.stream()
        begun, *rest = call("patch", '{"inp', 'ut": "a\\n', "\\u00e", '9b"', "}").split(b"\n\n")[:-1]
        said = [stream.feed(piece + b"\n\n") for piece in (begun, *rest)]
        deltas = [[event["delta"] for event in told(out) if "delta" in event] for out in said]
        assert deltas[:6] == [[], [], ["a\n"], [], ["éb"], []]
        (one,) = read(Api.RESPONSES, b"".join(said) + stream.close()).tool_calls
        assert (one.kind, one.arguments) == ("custom", "a\néb")

    def test_a_tool_that_stands_for_a_form_is_no_call(self) -> None:
        through = way(Api.CHAT, Api.MESSAGES)
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        (tool,) = asked(through, messages=INPUT, response_format=form)["tools"]
        block = {"type": "tool_use", "id": "t", "name": tool["name"], "input": {"x": 1}}
        body = {"type": "message", "id": "m1", "model": "m", "content": [block], "stop_reason": "tool_use"}
        answer = fold(decode_answer(Api.CHAT, through.whole(compact(body).encode())[0]))
        assert (answer.text, answer.tool_calls, answer.finish) == ('{"x":1}', (), "stop")


UNREAD: dict[Api, dict[str, Any]] = {
    Api.CHAT: {"messages": INPUT, "reasoning": {"effort": "high", "exclude": True}},
    Api.RESPONSES: {"input": "hi", "reasoning": {"effort": "high", "summary": "none"}},
    Api.MESSAGES: {
        "messages": INPUT,
        "max_tokens": 9000,
        "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
    },
}
SEALED: dict[Api, list[Event]] = {
    Api.CHAT: [],
    Api.MESSAGES: [ReasoningSeal(0, Seal("signature", "sig"))],
    Api.RESPONSES: [ReasoningSeal(0, Seal("encrypted", "sig"))],
}


def thought(upstream: Api) -> bytes:
    said: list[Event] = [ReasoningDelta("Hm"), ReasoningDelta("m. "), ReasoningDelta("Ah, Köln."), *SEALED[upstream]]
    events = [Begin("id", "m"), *said, TextDelta("Hi", 1), Finish(FinishReason.STOP, None), End()]
    return encoded(encoder(upstream), events)


def answered(client: Api, body: bytes) -> dict[str, Any]:
    """The same question, behind an answer that the client sends back as it came."""
    said, more = json.loads(body), {"role": "user", "content": "go on"}
    match client:
        case Api.CHAT:
            return UNREAD[client] | {"messages": [*INPUT, said["choices"][0]["message"], more]}
        case Api.RESPONSES:
            return UNREAD[client] | {"input": [*INPUT, *said["output"], more]}
        case _:
            return UNREAD[client] | {"messages": [*INPUT, {"role": "assistant", "content": said["content"]}, more]}


@pytest.mark.parametrize(("client", "upstream"), [(a, b) for a in Api for b in Api if a is not b])
class TestReasoningThatNobodyWantsToRead:
    def test_its_text_is_left_out_whole_or_streamed(self, client: Api, upstream: Api) -> None:
        through = way(client, upstream, reasoning="effort")
        for unread in (False, True):
            if unread:
                asked(through, **UNREAD[client])
            stream = _all(through, thought(upstream))
            whole, _ = through.whole(thought(upstream), streamed=True)
            check(client, stream)
            assert [b"Ah, K" in stream, b"Ah, K" in whole] == [not unread, not unread]
            streamed = read(client, stream)
            assert (streamed.text, streamed.finish) == ("Hi", "stop")
            assert streamed.parts == fold(decode_answer(client, whole)).parts

    def test_whoever_thought_gets_all_of_it_back(self, client: Api, upstream: Api) -> None:
        through = way(client, upstream, reasoning="effort", reasoning_member="reasoning_content")
        asked(through, **UNREAD[client])
        whole, _ = through.whole(thought(upstream), streamed=True)
        sent = json.dumps(asked(through, **answered(client, whole)), ensure_ascii=False)
        assert "Hmm. Ah, Köln." in sent
        assert "~tv1." not in sent
        assert ('"sig"' in sent) is bool(SEALED[upstream])

    def test_nobody_else_gets_any(self, client: Api, upstream: Api) -> None:
        through = way(client, upstream)
        asked(through, **UNREAD[client])
        whole, _ = through.whole(thought(upstream), streamed=True)
        elsewhere = Destination(api=upstream, model="other", origin="another_tag")
        rendered = Translation(client, elsewhere, id="1", created=1).request(
            members(compact(answered(client, whole)).encode())
        )
        assert b"Ah" not in rendered.body
        assert any("only its origin takes it back" in loss.why for loss in rendered.losses)

    def test_it_is_delivered_with_its_envelope(self, client: Api, upstream: Api) -> None:
        through = way(client, upstream)
        asked(through, **UNREAD[client])
        stream = through.stream()
        for event in thought(upstream).split(b"\n\n"):
            before = stream.content_bytes
            if b"~tv1." in stream.feed(event + b"\n\n"):
                assert before == 0
        stream.close()
        assert stream.content_bytes == len("Hmm. Ah, Köln.Hi".encode())


@pytest.mark.parametrize("api", [Api.RESPONSES, Api.MESSAGES])
def test_a_stealth_model_gets_back_what_it_thought(api: Api) -> None:
    to = Destination(api=api, model="m", traits=Traits(reasoning="effort"), origin=ORIGIN)
    through = Translation(api, to, id="1", created=1, cover=Cover("house/m", hides=True))
    asked(through, **UNREAD[api])
    whole, _ = through.whole(thought(api), streamed=True)
    assert b"Ah" not in whole
    assert b"sig" not in whole.replace(b'"signature"', b"")
    sent = json.dumps(asked(through, **answered(api, whole)), ensure_ascii=False)
    assert "Hmm. Ah, Köln." in sent
    assert '"sig"' in sent


def test_who_says_so_in_openrouters_older_word_is_heard() -> None:
    through = way(Api.CHAT, Api.MESSAGES)
    asked(through, messages=INPUT, include_reasoning=False)
    assert b"Ah" not in _all(through, thought(Api.MESSAGES))
    asked(through, messages=INPUT, include_reasoning=True)
    assert b"Ah" in _all(through, thought(Api.MESSAGES))


def _all(through: Translation, stream: bytes) -> bytes:
    translating = through.stream()
    return translating.feed(stream) + translating.close()


class TestExpected:
    def test_a_response_repeats_its_request(self) -> None:
        through = way(Api.RESPONSES, Api.CHAT)
        said = compact({"input": "hi", "temperature": 0.5, "store": True, "tools": []}).encode()
        through.expect(members(said), wants_usage=True)
        first = told(_all(through, sse(*CHAT)))[0]["response"]
        assert (first["temperature"], first["store"], first["tools"]) == (0.5, False, [])

    def test_usage_is_for_clients_that_asked(self) -> None:
        through = way(Api.CHAT, Api.MESSAGES)
        through.expect(members(b"{}"), wants_usage=False)
        text = named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}})
        assert b'"usage":{' not in _all(through, sse(START, text, STOP))

    def test_who_speaks_of_functions_hears_of_function_call(self) -> None:
        """OpenAI's first form of tools, whose clients read no `tool_calls`."""
        calls = [{"type": "tool_use", "id": f"t{at}", "name": name, "input": {"q": at}} for at, name in enumerate("fg")]
        blocks = [
            named({"type": "content_block_start", "index": at, "content_block": block})
            for at, block in enumerate(calls)
        ]
        end = named({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}})
        through = way(Api.CHAT, Api.MESSAGES)
        through.expect(members(b'{"functions":[{"name":"f"}]}'), wants_usage=False)
        chunks = told(_all(through, sse(START, *blocks, end, STOP)))
        choices = [chunk["choices"][0] for chunk in chunks if "choices" in chunk]
        assert [choice["delta"] for choice in choices][1:-1] == [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": '{"q":0}'}},
        ]
        assert choices[-1]["finish_reason"] == "function_call"
        assert [loss.field for loss in through.losses()] == ["tool_calls"]
        body = compact({"id": "m", "type": "message", "model": "m", "content": calls, "stop_reason": "tool_use"})
        choice = json.loads(through.whole(body.encode())[0])["choices"][0]
        assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"q":0}'}
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "function_call"

    def test_who_speaks_of_tools_as_well_hears_of_tool_calls(self) -> None:
        through = way(Api.CHAT, Api.MESSAGES)
        through.expect(members(b'{"functions":[{"name":"f"}],"tools":[]}'), wants_usage=False)
        use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        call = named({"type": "content_block_start", "index": 0, "content_block": use})
        assert b'"tool_calls":[' in _all(through, sse(START, call, STOP))


class TestRefused:
    @pytest.mark.parametrize("said", [{}, {"input": []}, {"input": 7}, {"input": [7]}])
    def test_a_conversation_that_is_none(self, said: dict[str, Any]) -> None:
        with pytest.raises(FieldInvalid):
            asked(way(Api.RESPONSES, Api.CHAT), **said)

    @pytest.mark.parametrize("colon", [b":", b" :"], ids=["together", "apart"])
    def test_one_that_would_hold_everybody_up(self, colon: bytes) -> None:
        many = b",".join([b'{"role":"user","content":""}'.replace(b":", colon)] * 30_000)
        with pytest.raises(InvalidJson, match="too many"):
            way(Api.CHAT, Api.MESSAGES).request(members(b'{"messages":[%b]}' % many))

    def test_but_not_one_that_tells_of_many_things(self) -> None:
        file = json.dumps([{"role": "user", "content": ""}] * 30_000)
        said = asked(way(Api.CHAT, Api.RESPONSES), messages=[{"role": "user", "content": file}])
        assert said["input"][0]["content"][0]["text"] == file

    def test_tokens_are_estimated_for_any_api(self) -> None:
        said = members(compact({"model": "m", "messages": INPUT}).encode())
        assert estimated(Api.MESSAGES, said) == estimated(Api.CHAT, said) > 0


def test_an_endpoint_that_counts_gets_only_what_it_takes() -> None:
    said = members(compact({"messages": INPUT, "max_tokens": 9, "temperature": 1}).encode())
    body = way(Api.CHAT, Api.MESSAGES).request(said, count_only=True).body
    assert json.loads(body).keys() == {"model", "messages"}


class TestContentBytes:
    """The bytes of content that went on to the client."""

    WORDS = ("Grüße, ", 'he said "no"', "\n", "你好", "😀 ", " ")

    @each_client
    def test_a_stream_has_as_many_as_one_that_is_relayed(self, client: Api) -> None:
        deltas = [chunk(content=word) for word in self.WORDS] + [chunk(reasoning_content=word) for word in self.WORDS]
        said = [*deltas, chunk("stop"), USAGE, "data: [DONE]"]
        stream, relayed = from_chat(client), StreamRelay(Api.CHAT, stream_decoder(Api.CHAT))
        for one in said:
            stream.feed(sse(one))
            relayed.feed(sse(one))
            assert stream.content_bytes == relayed.content_bytes
        stream.close()
        assert stream.content_bytes == relayed.content_bytes == 2 * len("".join(self.WORDS).encode())

    @each_client
    def test_so_has_a_body(self, client: Api) -> None:
        message = {"role": "assistant", "content": "Grüße", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]}  # fmt: skip
        body = compact({"id": "c", "choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        stream = from_chat(client)
        stream.whole(body)
        _, answer = translation(Api.CHAT, client).whole(body)
        assert stream.content_bytes == content_bytes(answer) == 7 + 7

    @each_client
    def test_what_waits_for_an_open_call_is_not_yet_content(self, client: Api) -> None:
        def fragment(index: int, arguments: str, **more: Any) -> bytes:
            function = {"arguments": arguments, **({"name": "f"} if more else {})}
            return sse(chunk(tool_calls=[{"index": index, **more, "function": function}]))

        stream = from_chat(client)
        stream.feed(fragment(0, '{"a":', id="a") + fragment(1, '{"b":1}', id="b"))
        assert stream.content_bytes == 5
        stream.feed(fragment(0, "1}"))
        assert stream.content_bytes == 14

    @each_client
    def test_what_comes_behind_an_error_is_none(self, client: Api) -> None:
        stream = from_chat(client)
        stream.feed(sse(chunk(content="Hi"), {"error": {"message": "no"}}, chunk(content="more")))
        assert stream.content_bytes == 2

    def test_the_text_of_a_free_text_tool_counts_as_the_client_gets_it(self) -> None:
        through = way(Api.RESPONSES, Api.CHAT)
        asked(through, input="hi", tools=[{"type": "custom", "name": "patch"}])
        stream = through.stream()
        stream.feed(call("patch", '{"input": "a\\nb"}'))
        assert stream.content_bytes == 3

    @each_client
    def test_half_an_event_at_the_end_of_a_broken_stream_is_not_told_but_its_figures_are(self, client: Api) -> None:
        stream = from_chat(client)
        out = stream.feed(sse(chunk(content="Hi")))
        said = stream.feed(sse({**chunk(content=" more"), "usage": USAGE["usage"]}).rstrip(b"\n")) + stream.close()
        assert stream.unterminated
        assert (said, stream.content_bytes) == (b"", 2)
        assert stream.answer().usage
        assert stream.fault
        check(client, out + stream.failure(error(stream.fault)), failed=True)


@each_client
def test_a_stream_leaves_nothing_to_the_garbage_collector(client: Api) -> None:
    def once() -> None:
        stream = from_chat(client)
        for one in CHAT:
            stream.feed(sse(one))
        stream.close()

    once()
    gc.collect()
    once()
    assert gc.collect() == 0
