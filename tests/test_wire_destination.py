"""Where a request goes: what the upstream may have back, how losses are named, and what renderers share."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.canon.parts import Data, Document, Image, Reasoning, Seal, Text, ToolCall, ToolKind, Url
from trivium.canon.request import Request, Role, Turn
from trivium.wire.destination import (
    FOREIGN_REASONING,
    Destination,
    Wanted,
    arguments_of,
    failed,
    joined,
    leading,
    limit_of,
    no_words,
    nothing_said,
    path,
    plain_text,
    texts,
    user_hash,
)
from trivium.wire.envelope import close, open_
from trivium.wire.losses import Loss, Losses
from trivium.wire.toolnames import ToolNames


def wanted(api: Api = Api.MESSAGES, origin: str = "me") -> Wanted:
    return Wanted(Destination(api=api, model="m", origin=origin), ToolNames(api), Losses())


def request(api: Api = Api.CHAT, **members: Any) -> Request:
    return Request(api=api, model="m", turns=(), **members)


class TestReasoning:
    @pytest.mark.parametrize(
        "seal",
        [
            open_(close(Seal("signature", "s"), "me", "Hm."), "Hm.", "signature"),
            open_(close(Seal("plain"), "me", "Hm."), "Hm.", "signature"),
            Seal("signature", "s"),
        ],
    )
    def test_its_origin_takes_it_back(self, seal: Seal) -> None:
        to = wanted()
        assert to.takes(Reasoning("Hm.", "at", seal))
        assert to.losses.told() == ()

    @pytest.mark.parametrize("seal", [None, Seal("signature", "s", "other"), Seal("encrypted", "s"), Seal("plain")])
    def test_nobody_else_gets_it_and_it_is_lost_by_name(self, seal: Seal | None) -> None:
        to = wanted()
        assert not to.takes(Reasoning("Hm.", "messages[1].reasoning_content", seal))
        assert to.losses.told() == (Loss("messages[1].reasoning_content", FOREIGN_REASONING),)

    @pytest.mark.parametrize(
        ("form", "kin", "takes"), [("plain", "us", True), ("plain", "", False), ("detail", "", False)]
    )
    def test_its_kin_take_what_nobody_sealed(self, form: str, kin: str, takes: bool) -> None:
        to = Wanted(Destination(api=Api.CHAT, model="m", origin="me", kin="us"), ToolNames(Api.CHAT), Losses())
        seal = open_(close(Seal(form), kin, "Hm."), "Hm.", "signature")
        assert (to.takes(Reasoning("Hm.", "at", seal)), wanted(Api.CHAT).takes(Reasoning("Hm.", "at", seal))) == (
            takes,
            False,
        )
        altered = open_(close(Seal(form), kin, "Hm."), "Hm!", "signature")
        assert not to.takes(Reasoning("Hm!", "at", altered))

    @pytest.mark.parametrize("origin", ["me", "another"])
    def test_an_empty_envelope_is_of_use_to_nobody_and_no_loss(self, origin: str) -> None:
        to = wanted()
        assert not to.takes(Reasoning("", "at", open_(close(Seal("plain"), origin, ""), "", "redacted")))
        assert to.losses.told() == ()


class TestNamesOfLosses:
    def test_members_that_are_set_are_lost_in_the_clients_words(self) -> None:
        to = wanted()
        to.lose(request(Api.RESPONSES), max_tokens=5, verbosity="low", cache_key=None, seed=0)
        assert to.losses.told() == (
            Loss("max_output_tokens", "Messages has no such setting"),
            Loss("text.verbosity", "Messages has no such setting"),
            Loss("seed", "Messages has no such setting"),
        )

    @pytest.mark.parametrize(
        ("api", "name", "said"),
        [
            (Api.CHAT, "thinking", "reasoning_effort"),
            (Api.CHAT, "max_tokens", "max_tokens"),
            (Api.RESPONSES, "format", "text.format"),
            (Api.MESSAGES, "stop", "stop_sequences"),
            (Api.MESSAGES, "user", "metadata.user_id"),
            (Api.MESSAGES, "temperature", "temperature"),
        ],
    )
    def test_a_member_has_the_clients_name(self, api: Api, name: str, said: str) -> None:
        assert path(request(api), name) == said

    def test_what_cannot_be_said_at_all_is_an_error_that_names_place_model_and_api(self) -> None:
        error = no_words("messages[0].content[1]", "audio", wanted().to)
        assert error.message == "`messages[0].content[1]`: audio cannot be said to `m` through Messages."
        assert (error.status, error.param) == (400, "messages[0].content[1]")

    @pytest.mark.parametrize(
        ("api", "name"), [(Api.CHAT, "messages"), (Api.MESSAGES, "messages"), (Api.RESPONSES, "input")]
    )
    def test_a_request_that_says_nothing_names_what_is_empty(self, api: Api, name: str) -> None:
        assert nothing_said(request(api)).param == name


def test_a_limit_of_none_at_all_becomes_one_with_a_loss() -> None:
    to = wanted()
    assert [limit_of(request(max_tokens=limit), to) for limit in (None, 1, 500)] == [None, 1, 500]
    assert to.losses.told() == ()
    assert limit_of(request(Api.RESPONSES, max_tokens=0), to) == 1
    assert [loss.field for loss in to.losses.told()] == ["max_output_tokens"]


def test_leading_instructions_are_those_before_everything_else() -> None:
    first, then = Turn(Role.SYSTEM, (Text("a"),)), Turn(Role.DEVELOPER, (Text("b"), Text("c")))
    rest = (Turn(Role.USER, (Text("hi"),)), Turn(Role.SYSTEM, (Text("d"),)))
    assert leading((first, then, *rest)) == ([Text("a"), Text("b"), Text("c")], rest)
    assert leading(rest) == ([], rest)
    assert leading(()) == ([], ())


def test_texts_are_joined_as_paragraphs() -> None:
    assert joined(texts([Text("a"), Image(Url("https://x")), Text("b")])) == "a\n\nb"


def test_a_failure_says_so_once() -> None:
    assert failed("Exit code 3") == failed(failed("Exit code 3")) == "The tool failed: Exit code 3"


def test_a_user_is_the_same_person_under_another_name() -> None:
    assert user_hash("ann@example.com") == user_hash("ann@example.com") != user_hash("bob@example.com")
    assert "ann" not in user_hash("ann@example.com")
    assert user_hash("\ud83d")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("c", "f", '{"a": 1.50}'), '{"a": 1.50}'),
        (ToolCall("c", "f", ""), "{}"),
        (ToolCall("c", "f", '{"a'), '{"a'),
        (ToolCall("c", "sql", 'select "1"', ToolKind.CUSTOM), '{"input":"select \\"1\\""}'),
    ],
)
def test_arguments_are_those_of_a_function(call: ToolCall, arguments: str) -> None:
    assert arguments_of(call) == arguments


class TestFilesOfText:
    def said(self, media_type: str, data: bytes | str, title: str | None = None) -> str | None:
        coded = data if isinstance(data, str) else base64.b64encode(data).decode()
        return plain_text(Document(Data(media_type, coded), title=title))

    def test_they_are_text_under_their_title(self) -> None:
        assert self.said("text/csv", b"a,b", "t.csv") == "<document>\nt.csv\na,b\n</document>"
        assert self.said("text/plain", "é".encode()) == "<document>\n\né\n</document>"

    def test_bytes_that_are_no_utf_8_do_no_harm(self) -> None:
        assert "\ufffd" in (self.said("text/plain", b"\xff") or "")

    def test_other_files_are_none(self) -> None:
        assert self.said("application/pdf", b"%PDF") is None
        assert self.said("text/plain", "A") is None
        assert plain_text(Document(Url("https://x/a.txt"))) is None
