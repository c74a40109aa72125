"""Does the bound hold that a hold is sized by? Requests of many kinds, counted by the embedded model's tokenizer.

    .venv/bin/python bench/trust/bound.py [--count N] [--seed S]

A request is made from its number alone: in one of the three APIs, of prose in many languages, code, tables, JSON, logs,
base64, emoji, blanks and noise, as compact, indented or escaped JSON, with or without tools. The model's server counts
what it would read; `most_input` must not be less. Gemma has a token for each digit, so that it is one of the least
thrifty. Prints how many requests exceed the bound and the median of bound / count; ends with `exceeded=K of N`, and
with status 1 where more than one in 10,000 do.
"""
# ruff: noqa: T201, RUF001, S311 # prints its report; letters of the world; noise that comes again

from __future__ import annotations

import argparse
import json
import string
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from trivium.canon.api import Api
from trivium.metering.bound import most_input
from trivium.wire.request import parse
from trivium.wire.size import measure

ALLOWED = 10_000
"""One request in so many may exceed the bound."""
LONGEST = 24_000
"""Letters of a request."""

PROSE = (
    "The boat left the harbour at dawn, and nobody on the shore could say when it would come back.",
    "Please summarize the following notes, list every open question, and propose what we should do next.",
    "Der Zug nach München fährt heute wegen einer Störung erst um Viertel nach acht von Gleis zwölf ab.",
    "La bibliothèque a été rénovée l'été dernier ; les élèves y trouvent désormais plus de lumière.",
    "El mercado abre muy temprano, y los vendedores ofrecen frutas que llegaron durante la noche.",
    "A reunião começou tarde porque ninguém tinha a chave da sala onde estavam os documentos.",
    "Kirjaston ikkunasta näkyy järvi, jonka rannalla lapset leikkivät koko pitkän kesäpäivän.",
    "Akşam yemeğinden sonra komşularımızla birlikte bahçede oturup eski günlerden konuştuk.",
    "Wczoraj wieczorem długo szukaliśmy źródła dźwięku, który dochodził zza ściany kuchni.",
    "Chiều hôm qua trời mưa rất to nên chúng tôi phải đợi dưới mái hiên của một quán nước nhỏ.",
    "Anak-anak itu berlari ke lapangan segera setelah bel sekolah berbunyi untuk terakhir kalinya.",
    "Старый мост закрыли на ремонт, и теперь все едут через соседнюю деревню вдоль реки.",
    "Το καράβι έφτασε στο νησί αργά το βράδυ, όταν τα περισσότερα μαγαζιά είχαν ήδη κλείσει.",
    "وصلنا إلى المدينة القديمة قبل غروب الشمس وجلسنا نشرب الشاي قرب الباب الكبير.",
    "הספרייה נסגרת מוקדם בימי שישי, ולכן כדאי להגיע לפני הצהריים אם רוצים לעבוד בשקט.",
    "बारिश शुरू होते ही सब लोग दुकान के अंदर चले गए और चाय का इंतज़ार करने लगे।",
    "আজ সকালে নদীর ধারে অনেক মানুষ জড়ো হয়েছিল নৌকা বাইচ দেখার জন্য।",
    "மழை நின்ற பிறகு குழந்தைகள் தெருவில் விளையாட வந்தார்கள், பறவைகளும் பாடத் தொடங்கின.",
    "เมื่อวานนี้เราไปตลาดน้ำตั้งแต่เช้าและซื้อผลไม้กลับบ้านหลายอย่าง",
    "昨天下午我们在图书馆里讨论了新的计划，大家都觉得时间太紧，需要再请两个人帮忙。",
    "駅前の喫茶店で友達と待ち合わせをして、それから一緒に新しい美術館へ行きました。",
    "어제 저녁에는 비가 많이 와서 집에서 따뜻한 국을 끓여 먹으며 오래된 영화를 보았다.",
    "ძველი ქალაქის ქუჩებში დილით ჯერ კიდევ სიჩუმე იყო, მხოლოდ პურის სუნი იგრძნობოდა.",
    "ጠዋት ላይ ገበያው በሰዎች ተሞልቶ ነበር፤ ሁሉም ትኩስ ቡና ይፈልጉ ነበር።",
    "နံနက်စောစောမှာ ရွာသားတွေဟာ လယ်ထဲကို ထွက်သွားကြတယ်။",
)
EMOJI = "😀🎉🚀👩‍💻🇫🇮❤️🔥🧑🏽‍🚒✅⚠️🏴󠁧󠁢󠁳󠁣󠁴󠁿🫠👨‍👩‍👧"
SIGNS = "∀∂∈ℝ∧∪≡∞↑↗↨│┤╗☺♀☹①②③½¼⟨⟩∑∏√∫≈≠≤≥×÷±→⇒"
SCRIPTS = ((0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x0400, 0x04FF), (0x0900, 0x097F), (0x0E01, 0x0E5B), (0x1200, 0x1357))
SOURCES = ("argparse.py", "ast.py", "difflib.py", "heapq.py", "inspect.py", "tarfile.py", "textwrap.py", "typing.py")


def prose(random: Random, size: int) -> str:
    """Of one language as a rule."""
    pool = [random.choice(PROSE)] if random.random() < 0.5 else random.sample(PROSE, 3)
    words = [word for sentence in pool for word in sentence.split(" ")]
    return " ".join(
        random.choice(pool) if random.random() < 0.7 else random.choice(words) for _ in range(size // 60 + 1)
    )


def english(random: Random, size: int) -> str:
    words = [word for sentence in PROSE[:2] for word in sentence.split(" ")]
    return " ".join(random.choice(words) for _ in range(size // 6 + 1))


def code(random: Random, size: int) -> str:
    source = (Path(sysconfig.get_path("stdlib")) / random.choice(SOURCES)).read_text()
    start = random.randrange(max(1, len(source) - size))
    return source[start : start + size]


def minified(random: Random, size: int) -> str:
    """Names of a letter or two between signs."""
    names = random.choices(string.ascii_letters, k=40) + [f"{a}{b}" for a, b in zip("abcdef", "tnrxyz", strict=True)]
    signs = ("(", ")", "{", "}", "=", "=>", ",", ".", ";", "&&", "||", "?", ":", "!", "[0]", "var ", "return ")
    return "".join(random.choice(names) + random.choice(signs) for _ in range(size // 3 + 1))


def table(random: Random, size: int) -> str:
    mark = random.choice((",", ";", "\t", " | "))
    rows = (
        mark.join(f"{random.uniform(-1e4, 1e4):.{random.randrange(7)}f}" for _ in range(6))
        for _ in range(size // 45 + 1)
    )
    return "\n".join(rows)


def digits(random: Random, size: int) -> str:
    mark = random.choice(("", "", " ", "\n"))
    return mark.join(random.choices(string.digits, k=size // (1 + len(mark)) + 1))


def data(random: Random, size: int) -> str:
    rows = [
        {
            "id": random.getrandbits(40),
            "ok": random.random() < 0.5,
            "name": random.choice(PROSE)[:12],
            "x": [random.random()],
        }
        for _ in range(size // 70 + 1)
    ]
    return json.dumps(rows, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 1, 4)))


def log(random: Random, size: int) -> str:
    lines = (
        f"2026-01-{random.randrange(1, 29):02}T0{random.randrange(9)}:11:{random.uniform(0, 59):06.3f}Z "
        f"{random.choice(('INFO', 'WARN', 'ERROR'))} worker[{random.randrange(9999)}] "
        f"GET /v1/items/{random.getrandbits(64):x} {random.choice((200, 404))} {random.randrange(900)}ms"
        for _ in range(size // 80 + 1)
    )
    return "\n".join(lines)


def base64(random: Random, size: int) -> str:
    return "".join(random.choices(string.ascii_letters + string.digits + "+/", k=size))


def hexadecimal(random: Random, size: int) -> str:
    mark, width = random.choice((("", 32), ("-", 8), (" ", 2), (":", 2)))
    return mark.join(f"{random.getrandbits(4 * width):0{width}x}" for _ in range(size // (width + 1) + 1))


def links(random: Random, size: int) -> str:
    return "\n".join(
        f"https://example.com/{random.choice(('a', 'b/c'))}/{random.getrandbits(60):x}?q={random.getrandbits(30)}%20"
        for _ in range(size // 55 + 1)
    )


def blanks(random: Random, size: int) -> str:
    runs = (
        random.choice((" ", "\n", "\t", "\n  ", " \t", "\r\n")) * random.randrange(1, 60) for _ in range(size // 40 + 1)
    )
    return "a".join(runs)


def printable(random: Random, size: int) -> str:
    return "".join(random.choices(string.printable[:95], k=size))


def emoji(random: Random, size: int) -> str:
    return "".join(random.choices(EMOJI, k=size // 3 + 1))


def signs(random: Random, size: int) -> str:
    return random.choice(("", " ")).join(random.choices(SIGNS, k=size // 3 + 1))


def letters(random: Random, size: int) -> str:
    """Of one script, without sense."""
    first, last = random.choice(SCRIPTS)
    return "".join(chr(random.randint(first, last)) for _ in range(size // 3 + 1))


def listing(random: Random, size: int) -> str:
    return "\n".join(
        f"{number}. {random.choice(string.ascii_uppercase)}: {random.choice('yn')}" for number in range(size // 8 + 1)
    )


KINDS: tuple[Callable[[Random, int], str], ...] = (
    prose, english, code, minified, table, digits, data, log, base64, hexadecimal, links, blanks, printable, emoji,
    signs, letters, listing,
)  # fmt: skip


class Asked(NamedTuple):
    """One request: in an API, and in Messages for the one who counts."""

    api: Api
    body: bytes
    counted: bytes
    kind: str


def request(seed: int, number: int) -> Asked:
    """The request of a number."""
    random = Random(seed * 1_000_003 + number)
    kind = random.choice(KINDS)
    size = min(LONGEST, int(random.lognormvariate(6.5, 1.6)))
    turns = random.choice((1, 1, 1, 3, 5, 15))
    said = [kind(random, max(1, size // turns)) if random.random() < 0.8 else english(random, 80) for _ in range(turns)]
    tools = [_tool(random, number) for number in range(random.choice((0, 0, 0, 1, 3, 12)))]
    indent = random.choice((None, None, None, 2))
    escaped = random.random() < 0.2
    api = random.choice(list(Api))

    def written(value: Any) -> bytes:
        marks = (",", ":") if indent is None else (",", ": ")
        return json.dumps(value, ensure_ascii=escaped, indent=indent, separators=marks).encode()

    return Asked(api, written(_said(api, said, tools)), written(_said(Api.MESSAGES, said, tools)), kind.__name__)


def _tool(random: Random, number: int) -> dict[str, Any]:
    words = random.choice(PROSE)
    fields = {
        f"{random.choice(('path', 'query', 'n'))}_{place}": _field(random) for place in range(random.randrange(1, 7))
    }
    return {"name": f"tool_{number}", "description": words, "schema": {"type": "object", "properties": fields}}


def _field(random: Random) -> dict[str, Any]:
    return {"type": random.choice(("string", "integer", "boolean")), "description": random.choice(PROSE[:4])}


def _said(api: Api, said: list[str], tools: list[dict[str, Any]]) -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    body: dict[str, Any] = {"model": "gemma-3-270m", ("input" if api is Api.RESPONSES else "messages"): turns}
    if api is Api.MESSAGES:
        body["max_tokens"] = 9
    if tools:
        body["tools"] = [_FORMS[api](tool) for tool in tools]
    return body


_FORMS: dict[Api, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Api.CHAT: lambda tool: {"type": "function", "function": _named(tool, "parameters")},
    Api.RESPONSES: lambda tool: {"type": "function", **_named(tool, "parameters")},
    Api.MESSAGES: lambda tool: _named(tool, "input_schema"),
}


def _named(tool: dict[str, Any], schema: str) -> dict[str, Any]:
    return {"name": tool["name"], "description": tool["description"], schema: tool["schema"]}


@contextmanager
def counter() -> Iterator[Callable[[bytes], int]]:
    """Counts the tokens of a Messages request. The embedded model's server runs as long."""
    with tempfile.TemporaryDirectory(prefix="trivium-bound-") as cache:
        command = [sys.executable, "-m", "trivium.upstream.local_child", "--cache", cache, "--slots", "1"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            assert process.stdout is not None
            port = next(told["port"] for told in map(json.loads, process.stdout) if "port" in told)
            yield lambda body: _count(port, body)
        finally:
            process.kill()
            process.wait()


def _count(port: int, body: bytes) -> int:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/messages/count_tokens", body, headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        return int(json.load(answer)["input_tokens"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=ALLOWED)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {kind.__name__: [] for kind in KINDS}
    exceeded = 0
    with counter() as count:
        for number in range(options.count):
            asked = request(options.seed, number)
            actual, bound = count(asked.counted), most_input(measure(parse(asked.api, asked.body)))
            ratios[asked.kind].append(bound / actual)
            if actual > bound:
                exceeded += 1
                print(f"request {number}: {asked.kind}, {asked.api.short}: {actual} tokens, bound {bound}")
    for kind, found in sorted(ratios.items()):
        if found:
            print(f"{kind:12} median {median(found):5.2f}  lowest {min(found):5.2f}")
    print(f"median bound/count={median(ratio for found in ratios.values() for ratio in found):.2f}")
    print(f"exceeded={exceeded} of {options.count}")
    return int(exceeded * ALLOWED > options.count)


if __name__ == "__main__":
    sys.exit(main())
