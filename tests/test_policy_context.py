"""What clients tell of themselves in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.policy.context import FEATURES, ORGANIZATION, Context, context_of, first

KILO = {
    b"x-kilocode-mode": b"Architect",
    b"x-kilocode-taskid": b"ses_1",
    b"x-kilocode-parent-taskid": b"ses_0",
    b"x-session-id": b"ses_9",
    b"x-kilocode-projectid": b"https://me:secret@git.example/team/shop.git",
    b"x-kilocode-editorname": b"Kilo CLI 7.7.7",
    b"x-kilocode-machineid": b"d3101ccd",
    b"x-kilocode-version": b"7.7.7",
    b"x-kilocode-feature": b"CLI",
}
OURS = {
    b"x-trivium-mode": b" architect ",
    b"x-trivium-task": b"ses_1",
    b"x-trivium-parent-task": b"ses_0",
    b"x-trivium-session": b"ses_9",
    b"x-trivium-project": b"shop",
    b"x-trivium-editor": b"Kilo CLI 7.7.7",
    b"x-trivium-machine": b"d3101ccd",
    b"x-trivium-version": b"7.7.7",
    b"x-trivium-feature": b"cli",
}
TOLD = Context(
    mode="architect",
    task="ses_1",
    parent_task="ses_0",
    session="ses_9",
    project="shop",
    editor="Kilo CLI 7.7.7",
    machine="d3101ccd",
    version="7.7.7",
    feature="cli",
)


@pytest.mark.parametrize("headers", [KILO, OURS], ids=["kilo", "trivium"])
def test_both_names_of_a_header_say_the_same(headers: dict[bytes, bytes]) -> None:
    assert context_of(headers) == TOLD


def test_our_name_wins_and_an_empty_one_says_nothing() -> None:
    assert context_of({b"x-trivium-task": b"a", b"x-kilocode-taskid": b"b"}).task == "a"
    assert context_of({b"x-trivium-task": b" ", b"x-kilocode-taskid": b"b"}).task == "b"
    assert context_of({b"x-trivium-mode": b""}) == Context()


def test_who_sends_none_of_them_shares_one_value() -> None:
    headers = {b"host": b"x", b"authorization": b"Bearer tv-1", b"content-type": b"application/json"}
    assert context_of(headers) is context_of({})


@pytest.mark.parametrize(
    ("said", "project"),
    [
        ("https://github.com/acme/shop.git", "shop"),
        ("https://github.com/acme/shop/", "shop"),
        ("https://me:secret@github.com/acme/shop?x=1#y", "shop"),
        ("git@github.com:acme/shop.git", "shop"),
        ("deploy@git.acme.test:shop.git", "shop"),
        ("ssh://git@github.com:22/acme/shop.git", "shop"),
        ("SSH://git@github.com/acme/shop", "shop"),
        ("file:///home/me/shop", "shop"),
        ("shop", "shop"),
        ("my shop / north", "my shop / north"),
        ("p" * 300, "p" * 256),
        ("https://", None),
    ],
)
def test_a_project_is_a_name_and_of_a_git_url_the_repositorys(said: str, project: str | None) -> None:
    assert context_of({b"x-kilocode-projectid": said.encode()}).project == project


def test_a_feature_is_one_of_the_list_or_none() -> None:
    assert context_of({b"x-kilocode-feature": b" VSCode-Extension "}).feature == "vscode-extension"
    assert context_of({b"x-kilocode-feature": b"crypto-miner"}).feature is None


def test_values_are_cut_to_500_characters_and_read_as_utf_8() -> None:
    told = context_of({b"x-trivium-editor": "ü".encode() * 600, b"x-trivium-task": b"\xff\xfe"})
    assert told.editor == "ü" * 500
    assert told.task == "\ufffd\ufffd"


def test_the_organization_has_two_names() -> None:
    assert first({b"x-kilocode-organizationid": b"acme"}, ORGANIZATION) == "acme"
    assert first({b"x-kilocode-organizationid": b"acme", b"x-trivium-organization": b"ours"}, ORGANIZATION) == "ours"
    assert first({}, ORGANIZATION) is None


@given(st.dictionaries(st.sampled_from([*KILO, *OURS]), st.binary(max_size=2000)))
def test_whatever_is_sent_is_short_text_or_nothing(headers: dict[bytes, bytes]) -> None:
    told = context_of(headers)
    values = [getattr(told, name) for name in Context.__struct_fields__]
    assert all(value is None or 0 < len(value) <= 1000 for value in values)
    assert told.project is None or len(told.project) <= 256
    assert told.feature in (None, *FEATURES)
    assert all("".join(filter(None, values)).encode() for _ in values if any(values))
