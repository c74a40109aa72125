"""Envelopes around seals: opened for whoever made them, over the same text, and for nobody else."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.parts import Reasoning, Seal
from trivium.wire.envelope import (
    DETAIL,
    ENCRYPTED,
    GOOGLE,
    PLAIN,
    REDACTED,
    SIGNATURE,
    VEILED,
    close,
    fits,
    open_,
    origin_tag,
    unveiled,
    veiled,
)

CLAUDE = origin_tag("anthropic", Api.MESSAGES, "claude-opus-4-6")
FORMS = (SIGNATURE, REDACTED, ENCRYPTED, DETAIL, GOOGLE, PLAIN)


@given(st.sampled_from(FORMS), st.text(), st.text())
def test_a_seal_comes_back_as_it_was_whatever_it_holds(form: str, data: str, text: str) -> None:
    seal = open_(close(Seal(form, data), CLAUDE, text), text, "another")
    assert (seal.form, seal.data) == (form, data)
    assert any(fits(seal, CLAUDE, api) for api in Api)


def test_an_envelope_names_its_form_and_not_its_maker() -> None:
    sealed = close(Seal(SIGNATURE, "c2ln"), CLAUDE, "Hm.")
    assert re.fullmatch(r"~tv1\.[\w-]{12}\.signature\.[\w-]{12}\.c2ln", sealed)
    assert not re.search("anthropic|claude|Hm", sealed)


def test_an_origin_is_the_same_for_the_same_provider_api_and_model_only() -> None:
    assert origin_tag("anthropic", Api.MESSAGES, "claude-opus-4-6") == CLAUDE
    others = {
        origin_tag("vertex", Api.MESSAGES, "claude-opus-4-6"),
        origin_tag("anthropic", Api.CHAT, "claude-opus-4-6"),
        origin_tag("anthropic", Api.MESSAGES, "claude-opus-4-7"),
    }
    assert len(others | {CLAUDE}) == 4


class TestWhoGetsIt:
    def test_its_maker_does(self) -> None:
        seal = open_(close(Seal(SIGNATURE, "s"), CLAUDE, "Hm."), "Hm.", SIGNATURE)
        assert fits(seal, CLAUDE, Api.MESSAGES)

    def test_another_model_or_provider_does_not_even_in_the_same_api(self) -> None:
        seal = open_(close(Seal(SIGNATURE, "s"), CLAUDE, "Hm."), "Hm.", SIGNATURE)
        assert not fits(seal, origin_tag("anthropic", Api.MESSAGES, "claude-opus-4-7"), Api.MESSAGES)

    @pytest.mark.parametrize("told", ["Hm", "Hm. ", "", "hm."])
    def test_nobody_does_once_the_text_beside_it_was_altered(self, told: str) -> None:
        seal = open_(close(Seal(SIGNATURE, "s"), CLAUDE, "Hm."), told, SIGNATURE)
        assert not any(fits(seal, origin, api) for origin in (CLAUDE, "", "altered.") for api in Api)

    @pytest.mark.parametrize(
        ("form", "home"),
        [
            (SIGNATURE, Api.MESSAGES),
            (REDACTED, Api.MESSAGES),
            (ENCRYPTED, Api.RESPONSES),
            (DETAIL, Api.CHAT),
            (GOOGLE, Api.CHAT),
            (PLAIN, None),
        ],
    )
    def test_one_that_nobody_tagged_is_trusted_for_its_own_api(self, form: str, home: Api | None) -> None:
        assert [api for api in Api if fits(open_("EqQBCgIYAg==", "Hm.", form), CLAUDE, api)] == ([home] if home else [])

    @pytest.mark.parametrize("place", [1, 2, 3, 4])
    def test_nobody_does_once_the_envelope_was_altered(self, place: int) -> None:
        fields = close(Seal(DETAIL, "{}"), CLAUDE, "Hm.").split(".")
        fields[place] = "plain" if place == 2 else fields[place][:-1] + "x"
        seal = open_(".".join(fields), "Hm.", SIGNATURE)
        assert not any(fits(seal, CLAUDE, api) for api in Api)

    def test_nobody_can_write_one_without_the_gateways_secret(self) -> None:
        ours = origin_tag("anthropic", Api.MESSAGES, "claude-opus-4-6", b"secret")
        forged = close(Seal(SIGNATURE, "s"), CLAUDE, "Hm.")
        assert not fits(open_(forged, "Hm.", SIGNATURE), ours, Api.MESSAGES)
        assert ours not in close(Seal(SIGNATURE, "s"), ours, "Hm.")

    def test_a_seal_of_another_api_has_no_place_in_this_one(self) -> None:
        seal = open_(close(Seal(DETAIL, "{}"), CLAUDE, "Hm."), "Hm.", SIGNATURE)
        assert [api for api in Api if fits(seal, CLAUDE, api)] == [Api.CHAT]

    def test_reasoning_without_a_seal_goes_to_nobody(self) -> None:
        assert not any(fits(None, CLAUDE, api) for api in Api)


@pytest.mark.parametrize("sealed", ["", "EqQB", "~tv1.", "~tv1.origin.signature.digest", "tv2.a.b.c.d", "a.b.c.d.e"])
def test_what_is_no_envelope_is_a_seal_as_it_stands(sealed: str) -> None:
    assert open_(sealed, "Hm.", ENCRYPTED) == Seal(ENCRYPTED, sealed)


@given(st.sampled_from([DETAIL, ENCRYPTED, GOOGLE, PLAIN, REDACTED, SIGNATURE]), st.text(), st.text())
def test_a_veiled_seal_is_legible_for_its_origin_alone(form: str, data: str, text: str) -> None:
    data = data.encode("utf-8", "replace").decode()
    sealed = close(veiled(Seal(form, data), "origin"), "origin", text)
    back = unveiled(Reasoning(text, "at", open_(sealed, text, SIGNATURE)), "origin").seal
    assert back
    assert (back.form, back.data) == (form, data)
    home = next((api for api in Api if fits(Seal(form), "", api)), Api.CHAT)
    assert fits(back, "origin", home)
    assert not fits(back, "other", home)
    stranger = unveiled(Reasoning(text, "at", open_(sealed, text, SIGNATURE)), "other").seal
    assert stranger
    assert stranger.form == VEILED
    assert not any(fits(stranger, origin, api) for origin in ("origin", "other") for api in Api)


@given(st.sampled_from([DETAIL, ENCRYPTED, GOOGLE, PLAIN, REDACTED, SIGNATURE]), st.text(), st.text(min_size=1))
def test_a_veil_holds_the_text_that_nobody_gets_beside_it(form: str, data: str, text: str) -> None:
    data, text = (said.encode("utf-8", "replace").decode() for said in (data, text))
    sealed = close(veiled(Seal(form, data), "origin", text), "origin", "")
    sent = Reasoning("", "at", open_(sealed, "", SIGNATURE))
    back = unveiled(sent, "origin")
    assert back == Reasoning(text, "at", open_(close(Seal(form, data), "origin", text), text, SIGNATURE))
    assert unveiled(sent, "other") == sent
    assert len(sealed) < 100 + 4 / 3 * len(f"{data}{text}".encode())


def test_neither_form_nor_letters_of_a_veiled_seal_are_seen() -> None:
    sealed = close(veiled(Seal(SIGNATURE, "acme" * 20), "origin"), "origin", "text")
    assert sealed.split(".")[2] == VEILED
    assert "signature" not in sealed
    assert b"acme" not in base64.urlsafe_b64decode(sealed.split(".")[4])
    other = close(veiled(Seal(SIGNATURE, "acme" * 20), "another"), "another", "text")
    assert not set(sealed.split(".")[1:]) & set(other.split(".")[1:]) - {VEILED}


@given(st.text(), st.text())
def test_a_veil_that_a_client_made_up_or_changed_is_not_lifted(data: str, text: str) -> None:
    honest = close(veiled(Seal(SIGNATURE, "abc"), "origin"), "origin", text)
    head, _, sealed = honest.rpartition(".")
    for said in (f"{head}.{data}", f"{head}.{sealed[:-1]}", f"~tv1.tag.veiled.proof.{data}"):
        if said != honest:
            seal = unveiled(Reasoning(text, "at", open_(said, text, SIGNATURE)), "origin").seal
            assert not any(fits(seal, "origin", api) for api in Api)
