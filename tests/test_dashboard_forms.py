"""Forms of operations' arguments, and arguments of what was sent."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from trivium.dashboard.forms import Field, Unfit, arguments, carried, changes, fields, filled, rebased
from trivium.operations.byok import Add as AddUpstreamKey
from trivium.operations.custom_models import Set as SetModel
from trivium.operations.keys import CreateKey, SetKey
from trivium.operations.operations import Backup
from trivium.operations.orgs import SetSettings
from trivium.operations.prices import Set as SetPrice

CREATE, SET = msgspec.json.schema(CreateKey), msgspec.json.schema(SetKey)


def by_name(made: list[Field]) -> dict[str, Field]:
    return {field.name: field for field in made}


def test_a_field_is_of_the_kind_that_its_type_says() -> None:
    made = by_name(fields(CREATE) + fields(msgspec.json.schema(SetPrice)))
    kinds = {name: field.kind for name, field in made.items()}
    assert kinds["name"] == "text"
    assert kinds["strict"] == "check"
    assert kinds["expires_ms"] == "moment"
    assert kinds["scopes.apis"] == "choices"
    assert kinds["scopes.models"] == "lines"
    assert kinds["limits.requests_per_minute"] == "number"
    assert kinds["budget.period"] == "choice"
    assert kinds["price"] == "json"
    assert kinds["note"] == "area"
    assert list(made["scopes.apis"].choices) == ["chat_completions", "embeddings", "fim", "messages", "responses"]
    assert (made["name"].required, made["project"].required) == (True, False)


def test_what_is_secret_is_typed_unseen_and_not_shown_again() -> None:
    made = fields(msgspec.json.schema(AddUpstreamKey), only=("credential",))
    assert {field.name: field.kind for field in made} == {
        "credential.key": "secret",
        "credential.access_key_id": "text",
        "credential.session_token": "secret",
    }
    assert by_name(made)["credential.key"].required
    again = filled(made, {"credential.key": ["sk-1"], "credential.access_key_id": ["AK"]})
    assert [field.value for field in again] == ["", "AK", ""]


def test_what_is_left_empty_is_left_out() -> None:
    made = fields(CREATE)
    sent = {
        "name": [" ann "],
        "project": [""],
        "scopes.models": ["a\r\n\r\n b \r\n"],
        "limits.requests_per_minute": [" "],
    }
    assert arguments(made, sent) == {
        "name": "ann",
        "strict": False,
        "short_lived": False,
        "capture": False,
        "scopes": {"models": ["a", "b"]},
    }


def test_each_kind_is_read_as_what_it_is() -> None:
    made = fields(CREATE) + fields(msgspec.json.schema(SetPrice), only=("price",))
    sent = {
        "name": ["k"],
        "strict": ["on"],
        "expires_ms": ["2026-01-31T12:30"],
        "scopes.apis": ["messages", "fim"],
        "limits.requests_per_minute": ["12"],
        "price": ['{"input": 3}'],
    }
    found = arguments(made, sent)
    assert found["expires_ms"] == 1769862600000
    assert (found["strict"], found["scopes"], found["price"]) == (True, {"apis": ["messages", "fim"]}, {"input": 3})
    assert found["limits"] == {"requests_per_minute": 12}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("limits.requests_per_minute", "many", "requests per minute: expected a number."),
        ("limits.requests_per_minute", "nan", "requests per minute: expected a number."),
        ("limits.requests_per_minute", "-inf", "requests per minute: expected a number."),
        ("limits.requests_per_minute", "1e999", "requests per minute: expected a number."),
        ("limits.requests_per_minute", "9" * 5000, "requests per minute: expected a number."),
        ("expires_ms", "tomorrow", "expires: expected a date and a time."),
        ("price", "{", "price: expected JSON."),
        ("price", "[" * 100_000, "price: expected JSON."),
        ("price", '{"input": NaN}', "price: expected JSON."),
        ("price", '{"input": "\\ud83d"}', "price: expected JSON."),
    ],
)
def test_what_does_not_fit_is_told_by_its_label(name: str, text: str, said: str) -> None:
    made = fields(CREATE) + fields(msgspec.json.schema(SetPrice), only=("price",))
    with pytest.raises(Unfit) as raised:
        arguments(made, {name: [text]})
    assert str(raised.value) == said


class TestChanges:
    ROW: ClassVar[dict[str, Any]] = {
        "name": "ann",
        "project": "web",
        "strict": True,
        "expires_ms": 1769862600000,
        "scopes": {"apis": ["fim"], "models": ["m"], "networks": []},
        "limits": {"requests_per_minute": 5, "concurrent_requests": 2},
    }

    def _made(self) -> tuple[list[Field], dict[str, list[str]]]:
        """The form, and what a browser sends of it untouched."""
        made = fields(SET, without=("key", "organization", "user"), values=self.ROW)
        sent = {
            field.name: list(field.value) if field.kind == "choices" else [str(field.value)]
            for field in made
            if field.kind != "check" or field.value
        }
        return made, sent

    def test_an_untouched_form_changes_nothing(self) -> None:
        made, sent = self._made()
        assert changes(made, sent) == {}

    def test_of_an_object_all_members_are_sent_where_one_has_changed(self) -> None:
        made, sent = self._made()
        sent |= {"limits.requests_per_minute": ["7"]}
        assert changes(made, sent) == {"limits": {"requests_per_minute": 7, "concurrent_requests": 2}}

    def test_what_is_emptied_is_ended(self) -> None:
        made, sent = self._made()
        del sent["strict"], sent["scopes.apis"]
        sent |= {"project": [""], "expires_ms": [""], "scopes.models": [""]}
        assert changes(made, sent) == {"strict": False, "project": None, "expires_ms": None, "scopes": {}}

    def test_a_list_to_choose_from_is_empty_rather_than_nothing(self) -> None:
        made = fields(msgspec.json.schema(SetModel), only=("apis",), values={"apis": ["chat"]})
        assert changes(made, {}) == {"apis": []}

    def test_what_others_have_changed_meanwhile_stays(self) -> None:
        made, sent = self._made()
        with_it = carried(made)
        now = {
            **self.ROW,
            "strict": False,
            "scopes": {},
            "limits": {"requests_per_minute": 1, "concurrent_requests": 2},
        }
        today = fields(SET, without=("key", "organization", "user"), values=now)
        rest, clashing = rebased(today, sent, with_it)
        assert (changes(today, rest), clashing) == ({}, [])
        touched = {**sent, "name": ["bob"], "limits.concurrent_requests": ["3"]}
        rest, clashing = rebased(today, touched, with_it)
        assert clashing == []
        changed = {"name": "bob", "limits": {"requests_per_minute": 1, "concurrent_requests": 3}}
        assert changes(today, rest) == changed

    def test_what_both_have_changed_is_told_unless_it_is_the_same(self) -> None:
        made, sent = self._made()
        now = {**self.ROW, "name": "cat", "limits": {"requests_per_minute": 1, "concurrent_requests": 2}}
        today = fields(SET, without=("key", "organization", "user"), values=now)
        touched = {**sent, "name": ["cat"], "limits.requests_per_minute": ["7"]}
        rest, clashing = rebased(today, touched, carried(made))
        assert clashing == ["requests per minute"]
        again, clashing = rebased(today, rest, carried(today))  # as the form comes back with what there is by now
        assert (changes(today, again), clashing) == (
            {"limits": {"requests_per_minute": 7, "concurrent_requests": 2}},
            [],
        )

    def test_a_form_carries_marks_alone_and_none_of_what_is_typed_unseen(self) -> None:
        made = fields(msgspec.json.schema(AddUpstreamKey), values={"credential": {"key": "sk-1"}, "name": "ann"})
        assert "ann" not in carried(made)
        assert "credential.key" not in carried(made)
        with pytest.raises(Unfit):
            rebased(made, {}, '{"name": 1')


def test_settings_are_a_form_of_all_they_have() -> None:
    made = fields(msgspec.json.schema(SetSettings), only=("settings",), values={"settings": {"policy": {"zdr": True}}})
    found = by_name(made)
    assert found["settings.policy.zdr"].value is True
    assert found["settings.policy.zdr"].label == "zero data retention"
    assert found["settings.policy.data_collection"].value == "allow"
    assert found["settings.limits.concurrent_requests"].group == "settings.limits"


def test_only_what_is_asked_for_is_asked() -> None:
    assert [field.name for field in fields(CREATE, only=("project", "name", "none"))] == ["project", "name"]
    assert [field.name for field in fields(msgspec.json.schema(Backup))] == ["file"]
