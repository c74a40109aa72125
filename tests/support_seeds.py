"""Where fuzzing starts: streams, bodies and requests of all three APIs, recorded and made up."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from support_answers import an_answer
from support_vendors_examples import SOUND
from support_voices import body, stream
from trivium.canon.api import Api

FIXTURES = Path(__file__).parent / "fixtures" / "local"
RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
_LARGEST = 40_000
_ENDS = (b"\n", b"\n", b"\r\n", b"\r")


class Seeds:
    def __init__(self, *, recorded: bool) -> None:
        """`recorded`: with the recordings, where they lie beside the project."""
        self._streams: dict[Api, list[bytes]] = {api: _fixtures(api, "sse") for api in Api}
        self._bodies: dict[Api, list[bytes]] = {api: _fixtures(api, "json") for api in Api}
        self._requests = {api: [json.dumps(said).encode() for said in SOUND[api]] for api in Api}
        for api in Api if recorded else ():
            self._streams[api] += _recorded(api, "response.sse") + _recorded(api, "response.bin")
            self._bodies[api] += _recorded(api, "response.json")
            self._requests[api] += _recorded(api, "request.json")

    @property
    def told(self) -> int:
        kinds = (self._streams, self._bodies, self._requests)
        return sum(len(found) for kind in kinds for found in kind.values())

    def stream(self, api: Api, rnd: Random) -> bytes:
        if rnd.random() < 0.5:
            return stream(an_answer(api, rnd, fails=rnd.random() < 0.1), rnd, rnd.choice(_ENDS))
        return rnd.choice(self._streams[api])

    def body(self, api: Api, rnd: Random) -> bytes:
        if rnd.random() < 0.5:
            return body(an_answer(api, rnd, in_order=api is Api.CHAT))
        return rnd.choice(self._bodies[api])

    def request(self, api: Api, rnd: Random) -> bytes:
        return rnd.choice(self._requests[api])


def _fixtures(api: Api, kind: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(FIXTURES.glob(f"{api.short}*.{kind}"))]


def _recorded(api: Api, name: str) -> list[bytes]:
    found = (path.read_bytes() for path in sorted((RECORDINGS / api.short).glob(f"*/*/{name}")))
    return [data for data in found if len(data) <= _LARGEST]
