"""Recorded traffic of many providers, translated for the clients of the other APIs: they read the same answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from support_answers import Facts, as_read, facts
from support_grammar import check
from support_translation import decoded, error, translated, translation
from trivium.canon.api import Api
from trivium.canon.conventions import conventions_for
from trivium.canon.fold import Answer, fold
from trivium.canon.usage import Conventions
from trivium.operations.wire import read_capture
from trivium.wire.codec import decode_answer
from trivium.wire.errors import is_native, render
from trivium.wire.eventstream import is_frame, unframed

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
FOLDERS = sorted(path.parent for api in Api for path in (RECORDINGS / api.short).glob("*/*/meta.json"))
CHUNK = 1021
BEGUN_ANEW = ("openai-reasoning-encrypted-content-1-chunks-05ad88", "spliced-message-start-chunks-d6e338")
"""Streams that begin another answer after content of the first has gone out: for the client the answer failed."""
GOES_ON = "anthropic-tool-search-regex-1-chunks-dd82ac"
"""A stream of two messages, the second of which goes on with what the first said."""

pytestmark = pytest.mark.skipif(not FOLDERS, reason="no recordings at ../shared/wire")


def each(*suffixes: str) -> pytest.MarkDecorator:
    folders = [folder for folder in FOLDERS if capture(folder).suffix in suffixes and folder.name not in BEGUN_ANEW]
    return pytest.mark.parametrize("folder", folders, ids=lambda path: "/".join(path.parts[-3:]))


def capture(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.stem == "response")


def api_of(folder: Path) -> Api:
    return Api.parse(folder.parts[-3])


def others(api: Api) -> list[Api]:
    return [to for to in Api if to is not api]


def counting(folder: Path) -> Conventions:
    return conventions_for(folder.parts[-2])


def as_recorded(folder: Path) -> Answer:
    return read_capture(capture(folder).read_bytes(), api_of(folder), folder.parts[-2])


@each(".sse", ".bin")
def test_a_recorded_stream_says_the_same_in_the_other_apis(folder: Path) -> None:
    source, before = api_of(folder), as_recorded(folder)
    data = capture(folder).read_bytes()
    data = unframed(data) if is_frame(data) else data
    for to in others(source):
        chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
        out = translated(source, to, chunks, conventions=counting(folder))
        assert out == translated(source, to, [data], conventions=counting(folder))
        check(to, out, failed=before.error is not None)
        after = fold(decoded(to, out))
        agree(before, after, source, to, whole=False)


@each(".json", ".txt")
def test_a_recorded_body_says_the_same_in_the_other_apis(folder: Path) -> None:
    source, before = api_of(folder), as_recorded(folder)
    for to in others(source):
        said, _ = translation(source, to).whole(capture(folder).read_bytes(), counting(folder))
        if before.error:
            assert said == b""
            said = render(to, error(before.error))
            assert is_native(to, said)
        agree(before, fold(decode_answer(to, said)), source, to, whole=True)


@pytest.mark.parametrize(
    "folder", [folder for folder in FOLDERS if folder.name in BEGUN_ANEW], ids=lambda path: path.name
)
def test_a_recorded_stream_that_begins_another_answer_fails_for_the_client(folder: Path) -> None:
    source, before = api_of(folder), as_recorded(folder)
    assert before.error is None
    for to in others(source):
        out = translated(source, to, [capture(folder).read_bytes()])
        check(to, out, failed=True)
        after = fold(decoded(to, out))
        assert after.error
        assert "upstream_restarted" in (after.error.code, after.error.type)
        assert after.parts


def test_a_recorded_stream_of_two_messages_is_one_answer() -> None:
    """Its first message calls a tool: the client has that to do, whatever the second says."""
    (folder,) = [folder for folder in FOLDERS if folder.name == GOES_ON]
    before = as_recorded(folder)
    assert (before.finish, len(before.tool_calls)) == ("stop", 1)
    for to in others(Api.MESSAGES):
        after = fold(decoded(to, translated(Api.MESSAGES, to, [capture(folder).read_bytes()])))
        assert (after.finish, facts(after).spoken) == ("tool_calls", facts(as_read(before, to)).spoken)


def agree(before: Answer, after: Answer, source: Api, to: Api, *, whole: bool) -> None:
    if before.error:
        assert after.error
        assert after.error.message == before.error.message
        return
    found, wanted = facts(after), facts(as_read(before, to), upstream=True)
    assert comparable(found, source, to, whole) == comparable(named(wanted, found), source, to, whole)


def comparable(said: Facts, source: Api, to: Api, whole: bool) -> Facts:
    """Pages do not reach Messages clients, and a body of Chat has one place for each kind of thing."""
    cited = [] if Api.MESSAGES in (source, to) else said.cited
    return msgspec.structs.replace(said, cited=cited, order=[] if whole and to is Api.CHAT else said.order)


def named(said: Facts, after: Facts) -> Facts:
    """Calls that came without an id (Google's) get one each."""
    assert len({*after.call_ids}) == len(after.call_ids)
    ids = [id or after.call_ids[place] for place, id in enumerate(said.call_ids)]
    return msgspec.structs.replace(said, call_ids=ids)
