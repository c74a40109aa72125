"""Damaged streams, bodies and requests, translated in every direction: `.venv/bin/python tests/fuzz_wire.py`.

No exception may escape but the request errors that a client is told; what a client gets keeps the promises of its API;
time and memory stay in proportion to what came in. Each case follows from its number alone: `--only 4711` repeats one.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from random import Random

import msgspec

from support_damage import damaged_body, damaged_stream
from support_grammar import check
from support_seeds import Seeds
from support_translation import ORIGIN, error
from trivium.canon.api import Api
from trivium.canon.fold import fold
from trivium.errors import RequestError
from trivium.providers.traits import traits_of
from trivium.wire import body as json_body
from trivium.wire.codec import decode_answer
from trivium.wire.destination import Destination
from trivium.wire.errors import render
from trivium.wire.eventstream import is_frame, unframed
from trivium.wire.translate import Translation, estimated

SECONDS = 0.3
SECONDS_PER_BYTE = 5e-6
"""Of one case in all its directions; a plain stream takes a tenth of that."""
BYTES = 64 * 1024
BYTES_PER_BYTE = 60
"""What a client gets for what came: an event of one letter is 300 bytes of Responses."""
MEMORY = 4 * 1024 * 1024
MEMORY_PER_BYTE = 200
"""Three bytes of JSON can be an empty list, which is 56 in memory, and its place in another."""
MEASURED = 50
"""One in so many cases has its memory measured, which is slow."""
UPSTREAMS = (
    ("openai", "gpt-5"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-3-haiku"),
    ("openrouter", "anthropic/claude-opus-4-7"),
    ("unknown", "qwen3"),
)


class Case(msgspec.Struct, frozen=True):
    kind: str
    api: Api
    data: bytes
    other: bytes
    """For a request: the stream that answers it."""


def case(number: int, seed: int, seeds: Seeds) -> Case:
    rnd = Random(f"{seed}/{number}")
    kind, api = rnd.choice(("stream", "stream", "stream", "body", "request")), rnd.choice(list(Api))
    if kind == "stream":
        return Case(
            kind, api, damaged_stream(seeds.stream(api, rnd), seeds.stream(rnd.choice(list(Api)), rnd), rnd), b""
        )
    if kind == "body":
        return Case(kind, api, damaged_body(seeds.body(api, rnd), rnd), b"")
    return Case(kind, api, damaged_body(seeds.request(api, rnd), rnd), seeds.stream(rnd.choice(list(Api)), rnd))


def run(one: Case, rnd: Random) -> str:
    """Translates a case in all its directions. What came of it, in a word."""
    words = {_KINDS[one.kind](one, to, rnd) for to in Api if one.kind == "request" or to is not one.api}
    return f"{one.kind}: {' '.join(sorted(words))}"


def way(client: Api, upstream: Api, rnd: Random) -> Translation:
    kind, model = rnd.choice(UPSTREAMS)
    to = Destination(api=upstream, model=model, traits=traits_of(kind, upstream, model), origin=ORIGIN)
    return Translation(client, to, id="1", created=1)


def _stream(one: Case, to: Api, rnd: Random) -> str:
    return _answered(way(to, one.api, rnd), to, one.data, rnd)


def _answered(translation: Translation, to: Api, data: bytes, rnd: Random, repeated: int = 0) -> str:
    """`repeated`: bytes of the request, which a response repeats."""
    data = unframed(data) if is_frame(data) else data
    stream = translation.stream()
    pieces = [stream.ping()]
    for chunk in _chunks(data, rnd):
        pieces.append(stream.feed(chunk))
        if stream.fault:
            break
    else:
        pieces.append(stream.close())
    if stream.fault:
        pieces.append(stream.failure(error(stream.fault)))
    out = b"".join(pieces)
    assert len(out) <= BYTES + BYTES_PER_BYTE * (len(data) + repeated), f"{len(out)} bytes of {len(data)}"
    check(to, out, failed=stream.fault is not None)
    stream.answer()
    msgspec.json.encode(translation.losses())
    return "failed" if stream.fault else "told"


def _chunks(data: bytes, rnd: Random) -> Iterable[bytes]:
    size = rnd.choice((1, 3, 64, 1000, 1000, 10**9)) if len(data) < 50_000 else 10_000
    return (data[at : at + size] for at in range(0, len(data), size))


def _body(one: Case, to: Api, rnd: Random) -> str:
    translation = way(to, one.api, rnd)
    said, answer = translation.whole(one.data)
    msgspec.json.encode(translation.losses())
    assert (said == b"") == (answer.error is not None)
    if answer.error:
        assert msgspec.json.decode(render(to, error(answer.error)))
        return "failed"
    assert len(said) <= BYTES + BYTES_PER_BYTE * len(one.data), f"{len(said)} bytes of {len(one.data)}"
    again = fold(decode_answer(to, said))
    assert again.error is None
    out = way(to, one.api, rnd).stream().whole(one.data)
    check(to, out)
    return "told"


def _request(one: Case, to: Api, rnd: Random) -> str:
    translation = way(one.api, to, rnd)
    try:
        members = json_body.members(one.data)
        rendered = translation.request(members, count_only=rnd.random() < 0.1 and to is not Api.CHAT)
        estimated(one.api, members)
    except RequestError:
        return "refused"
    assert len(rendered.body) <= BYTES + BYTES_PER_BYTE * len(one.data)
    assert msgspec.json.decode(rendered.body)
    msgspec.json.encode(rendered.losses)
    translation.expect(members, wants_usage=rnd.random() < 0.5)
    _answered(translation, one.api, one.other, rnd, len(one.data))
    return "rendered"


_KINDS = {"stream": _stream, "body": _body, "request": _request}


class Found:
    """What a run came to."""

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()
        self.failures: list[tuple[int, str]] = []
        self.slowest: list[tuple[float, int, int]] = []
        """Seconds per allowed second, the case, its bytes."""
        self.largest: list[tuple[float, int, int]] = []
        """Memory per allowed byte, the case, its bytes."""

    def keep(self, number: int, size: int, seconds: float, memory: int) -> None:
        self.slowest = sorted([*self.slowest, (seconds / (SECONDS + SECONDS_PER_BYTE * size), number, size)])[-5:]
        self.largest = sorted([*self.largest, (memory / (MEMORY + MEMORY_PER_BYTE * size), number, size)])[-5:]


def fuzz(numbers: Iterable[int], seed: int, seeds: Seeds, *, measured: int = MEASURED) -> Found:
    found = Found()
    for number in numbers:
        one = case(number, seed, seeds)
        rnd = Random(f"{seed}/{number}/run")
        size = len(one.data) + len(one.other)
        is_measured = number % measured == 0
        if is_measured:
            tracemalloc.start()
        began = time.process_time()
        try:
            found.words[run(one, rnd)] += 1
        except Exception:
            found.failures.append((number, traceback.format_exc()))
        seconds = 0.0 if is_measured else time.process_time() - began
        memory = tracemalloc.get_traced_memory()[1] if is_measured else 0
        tracemalloc.stop()
        found.keep(number, size, seconds, memory)
    return found


def complaints(found: Found) -> list[str]:
    """What went wrong."""
    slow = [f"case {number}: {part:.0%} of its time ({size} bytes)" for part, number, size in found.slowest if part > 1]
    large = [
        f"case {number}: {part:.0%} of its memory ({size} bytes)" for part, number, size in found.largest if part > 1
    ]
    return [f"case {number}:\n{trace}" for number, trace in found.failures] + slow + large


def _listed(kept: list[tuple[float, int, int]]) -> str:
    return ", ".join(
        f"{part:.1%} of what is allowed (case {number}, {size} bytes)" for part, number, size in kept[::-1]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, by its number")
    asked = parser.parse_args()
    seeds = Seeds(recorded=True)
    numbers = range(asked.count) if asked.only is None else [asked.only]
    began = time.monotonic()
    found = fuzz(numbers, asked.seed, seeds)
    wrong = complaints(found)
    lines = [f"{len(numbers)} cases of {seeds.told} seeds in {time.monotonic() - began:.0f} s"]
    lines += [f"  {count:8} {word}" for word, count in sorted(found.words.items())]
    lines += [f"slowest: {_listed(found.slowest)}", f"largest: {_listed(found.largest)}"]
    sys.stdout.write("\n".join([*lines, *(wrong[:20] or ["nothing escaped"]), ""]))
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
