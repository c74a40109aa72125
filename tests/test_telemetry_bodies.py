"""What is taken out of bodies before they are kept."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from trivium.telemetry.bodies import Masks, parts
from trivium.telemetry.redaction import REDACTION

KEY = "sk-proj-Abcd1234Efgh5678Ijkl"
IMAGE = "iVBORw0KGgo/AAAA+" * 40


def masked(text: str, *, torn: bool = False, stream: bool = False, **how: Any) -> str:
    return Masks(**how).masked(text.encode(), torn=torn, stream=stream)


def event(**members: Any) -> str:
    return f"data: {json.dumps(members)}\n\n"


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            f'{{"content": "use {KEY} please"}}',
            '{"content": "curl -H \\"Authorization: Bearer abcdefgh12345678\\""}',
            '{"tool": "{\\"x-api-key\\": \\"0123456789abcdef\\"}"}',
            '{"env": "OPENAI_API_KEY=0123456789abcdef"}',
            '{"url": "postgres://jo:0123456789abcdef@db/x"}',
            '{"key": "tv-0123456789ABCDEFGHIJabcdefghij0123456789abc"}',
            '{"har": {"name": "Cookie", "value": "a=b; session=0123456789abcdef"}}',
            f'{{"content": "Incorrect key:\\n{KEY}\\tis none"}}',
            f'{{"tool": "{{\\"said\\": \\"a\\\\n{KEY}\\"}}"}}',
        ],
    )
    def test_those_that_are_known_by_their_shape_go(self, text: str) -> None:
        told = masked(text)
        assert "***" in told
        assert not any(secret in told for secret in (KEY, "abcdefgh1234", "0123456789abcdef", "0123456789ABCDEF"))
        json.loads(told)  # it is still what it was

    @pytest.mark.parametrize(
        "text",
        [
            '{"content": "\\u0073k-proj-Abcd1234Efgh5678Ijkl"}',
            '{"content": "sk\\u002dproj\\u002DAbcd1234Efgh5678Ijkl"}',
            '{"content": "authorization: Bearer ab\\/Abcd1234Efgh5678Ijkl"}',
            '{"content": "Bearer abcdefgh1\\u002BAbcd1234Efgh5678Ijkl"}',
            '{"tool": "{\\"\\\\u0061pi_key\\": \\"Abcd1234Efgh5678Ijkl\\"}"}',
            '{"a very": "plain\\/secret-Abcd1234Efgh5678Ijkl"}',
        ],
    )
    def test_those_that_json_says_by_escapes_go(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(REDACTION, "_known", ["plain/secret-Abcd1234Efgh5678Ijkl"])
        told = masked(text)
        assert "Efgh5678" not in json.dumps(json.loads(told))
        assert "***" in told

    def test_escapes_without_a_secret_behind_them_stay_as_they_are(self) -> None:
        text = '{"a": "\\u0041\\/b", "c": "C:\\\\u0041 \\u00e9 \\u0022"}'
        assert masked(text) == text

    def test_those_of_the_configuration_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(REDACTION, "_known", ["a very plain secret"])
        assert masked('"a very plain secret"') == '"***"'

    def test_those_that_the_operator_describes_go(self) -> None:
        assert masked('"badge 123-456"', hide=[r"\d{3}-\d{3}"]) == '"badge ***"'
        assert masked('"badges:\\nb123\\tb456"', hide=[r"\bb\d{3}\b"]) == '"badges:\\n***\\t***"'

    def test_a_secret_that_a_cut_has_torn_goes_with_what_is_left_of_it(self) -> None:
        assert masked('{"content": "take sk-proj', torn=True) == '{"content": "take '
        assert masked('{"content": "take sk-proj') == '{"content": "take sk-proj'

    @pytest.mark.parametrize("before", range(16_200, 16_400, 7))
    def test_none_of_a_long_row_of_cookies_gets_through_there(self, before: int) -> None:
        text = "a " * (before // 2) + "cookie: " + "; ".join(f"c{n}=plain{n}" for n in range(60))
        assert "plain" not in masked(f'{text}" ' + "b " * 20_000)

    @pytest.mark.parametrize("before", range(16_200, 16_400, 7))
    def test_nor_does_a_credential_of_several_words(self, before: int) -> None:
        text = "a " * (before // 2) + 'Digest username="plain1", realm="plain2", nonce="plain3", response="plain4" '
        assert "plain" not in masked(text + "b " * 20_000)

    @pytest.mark.parametrize("before", range(16_200, 16_400, 7))
    def test_none_gets_through_where_a_long_text_is_parted(self, before: int) -> None:
        text = "a " * (before // 2) + f'authorization: Bearer plainsecretwithoutdigits "x-api-key": "abc" {KEY} '
        told = masked(text + "b " * 20_000)
        assert not any(secret in told for secret in ("plainsecret", '"abc"', KEY))
        assert len("".join(parts(text))) == len(text)

    def test_a_text_without_any_break_is_parted_between_its_words(self) -> None:
        text = f"{KEY}," * 10_000
        pieces = list(parts(text))
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= 65_536
        assert masked(text) == "***," * 10_000


class TestMedia:
    def test_size_and_hash_stand_in_its_place(self) -> None:
        told = masked(json.dumps({"url": f"data:image/png;base64,{IMAGE}", "short": "data:text/plain;base64,SGk="}))
        digest = hashlib.sha256(IMAGE.encode()).hexdigest()[:16]
        assert f"data:image/png;base64,[base64 {len(IMAGE)} characters sha256 {digest}]" in told
        assert "data:text/plain;base64,[base64 4 characters" in told
        assert json.loads(told)["short"].startswith("data:")

    def test_it_is_the_same_with_escaped_strokes(self) -> None:
        escaped = masked('{"data": "' + IMAGE.replace("/", "\\/") + '"}')
        assert escaped == masked(json.dumps({"data": IMAGE}))

    def test_what_is_left_of_torn_media_is_media(self) -> None:
        assert masked('{"data": "' + IMAGE, torn=True).startswith('{"data": "[base64 ')

    def test_it_stays_where_that_is_wanted(self) -> None:
        assert masked(json.dumps({"data": IMAGE}), media=True) == json.dumps({"data": IMAGE})

    def test_ordinary_text_is_none(self) -> None:
        text = json.dumps({"content": "a/long/path/of/words " * 200})
        assert masked(text) == text


class TestStreams:
    def test_a_stream_without_secrets_stays_as_it_was_to_the_byte(self) -> None:
        text = ": ping\n\n" + event(choices=[{"index": 0, "delta": {"content": "Hel"}}]) + "data: [DONE]\n\n"
        assert masked(text, stream=True) == text

    @pytest.mark.parametrize(
        "made",
        [
            lambda piece, n: event(choices=[{"index": n, "delta": {"content": piece}}]),
            lambda piece, n: event(type="content_block_delta", index=n, delta={"type": "text_delta", "text": piece}),
            lambda piece, n: event(type="response.output_text.delta", output_index=n, item_id="i", delta=piece),
            lambda piece, n: event(type="response.output_text.delta", output_index=n, item_id=piece[:2], delta=piece),
            lambda piece, n: event(choices=[{"index": n, "text": piece}]),
            lambda piece, n: event(
                choices=[{"index": 0, "delta": {"tool_calls": [{"index": n, "function": {"arguments": piece}}]}}]
            ),
        ],
    )
    def test_a_secret_in_pieces_is_found(self, made: Any) -> None:
        pieces = ["It is ", *(KEY[at : at + 3] for at in range(0, len(KEY), 3)), " indeed"]
        told = masked("".join(made(piece, 0) + made("other", 1) for piece in pieces), stream=True)
        assert told.count("It is *** indeed") == told.count("***") == 1
        assert not any(made(piece, 0) in told for piece in pieces)
        assert told.count("other") == len(pieces)

    def test_what_is_no_json_harms_nothing(self) -> None:
        text = 'data: {"delta": \n\ndata: {"delta": [1, {"delta": "x"}]}\n\ndata: 7 delta\n\n'
        assert masked(text, stream=True) == text


def test_a_long_word_takes_no_longer_than_others() -> None:
    began = time.process_time()
    for text in ('"' + "A" * 2_000_000 + '"', ("x" * 255 + "!") * 8_000, "~" * 2_000_000):
        masked(text, torn=True)
    for text in ("-eyJ" * 200_000, "\\" * 800_000 + '"', "cookie:" * 16_000):
        masked(text, media=True)
    assert time.process_time() - began < 5
