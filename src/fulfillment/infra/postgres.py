"""The PostgreSQL inside the data dir: started, watched, started again, stopped."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import psycopg

from fulfillment.infra.embedded import binaries, cluster, home, leftovers, roles
from fulfillment.infra.embedded.account import Identity
from fulfillment.infra.embedded.binaries import Binaries
from fulfillment.infra.embedded.errors import DataDirBusy, PostgresFailed
from fulfillment.infra.embedded.home import Home
from fulfillment.infra.embedded.log import Log
from fulfillment.infra.processes import Echo, say, tied_to_parent

_PROGRESS_SECONDS: Final = 10.0
_STARTS_TRIED: Final = 5
_SMART_SECONDS: Final = 10.0
_FAST_SECONDS: Final = 60.0
_IMMEDIATE_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 5.0
_STABLE_SECONDS: Final = 10.0  # one that lived this long is started again without a pause
_ROOM_BYTES: Final = 48 * 1024 * 1024  # three segments of WAL: with less, a recovery ends as it began
# They work on the files, so they run as the files' owner. All others are clients and run as we do.
_SERVER_TOOLS: Final = frozenset(
    {
        "initdb",
        "pg_checksums",
        "pg_controldata",
        "pg_ctl",
        "pg_resetwal",
        "pg_rewind",
        "pg_upgrade",
        "postgres",
    }
)


class EmbeddedPostgres:
    """PostgreSQL inside *data_dir*. Constructing it touches nothing.

    Call ``start`` from the thread that lives longest: when that thread ends, PostgreSQL shuts down.

    Args:
        data_dir: Created when missing; holds the cluster, the socket's folder, the log and the lock.
        bin_dir: PostgreSQL's programs, if not the wheel's.
        echo: Takes lines for the operator.
        shared_dir: Used as root only: copies of programs and clusters that others can't reach in their place.
    """

    def __init__(
        self, data_dir: Path, *, bin_dir: Path | None = None, echo: Echo = say, shared_dir: Path = home.SHARED
    ) -> None:
        self.data_dir = Path(os.path.abspath(data_dir))
        self._bin_dir = bin_dir
        self._echo = echo
        self._shared_dir = shared_dir
        self._home: Home | None = None
        self._binaries: Binaries | None = None
        self._locks: list[home.Lock] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: Log | None = None
        self._prepared = False  # roles and database are there
        self._failures = 0
        self._started = 0.0  # monotonic seconds, as all times here
        self._due = 0.0
        self._ended = False  # and is not started again yet
        self._told_of_room = False

    @property
    def app_dsn(self) -> str:
        """URL of the application's role."""
        return self.dsn(roles.APPLICATION)

    @property
    def owner_dsn(self) -> str:
        """URL of the role that owns the database and runs the migrations."""
        return self.dsn(roles.OWNER)

    @property
    def superuser_dsn(self) -> str:
        """URL of the superuser, in the database ``postgres``."""
        return self.dsn(roles.SUPERUSER, "postgres")

    @property
    def bin_dir(self) -> Path:
        """Where the programs are that this cluster is run with."""
        return self._programs().folder

    @property
    def cluster_dir(self) -> Path:
        """PGDATA."""
        return self._place().cluster

    @property
    def exists(self) -> bool:
        """Whether a cluster was made at an earlier start."""
        return cluster.is_complete(self._place().cluster)

    @property
    def version(self) -> str:
        """The server's version, such as 18.6."""
        return self._programs().version

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while we run it."""
        return self._process.pid if self._process is not None else None

    def describe(self) -> str:
        """Return one line that says what the database is and where."""
        return f"Database: PostgreSQL {self.version} in {self.cluster_dir}"

    def dsn(self, role: str, database: str = roles.DATABASE) -> str:
        """Return a URL that psycopg, libpq's programs and dbmate understand."""
        place = urlencode({"host": str(self._place().sockets)}, quote_via=quote)
        return f"postgresql://{role}@/{quote(database, safe='')}?{place}"

    def acquire(self) -> None:
        """Take the data dir for this process; nothing happens if we have it.

        Raises:
            DataDirBusy: Another process has it.
            DataDirUnusable: It can't be read or written.
        """
        if self._locks:
            return
        home.make_data_dir(self.data_dir)
        lock = home.Lock(self.data_dir)
        lock.acquire()
        self._locks = [lock]
        try:
            self._home = self._log_file = None  # judged anew, now that nobody else can change it
            place = self._place()
            home.prepare(place, self._echo)
            if place.elsewhere:  # a copied data dir names the same cluster
                second = home.Lock(place.folder)
                second.acquire()
                self._locks.append(second)
            place.account.give(lock.path)
        except BaseException:
            self._release()
            raise

    def start(self, wait_seconds: float | None = None) -> bool:
        """Start PostgreSQL, creating the cluster if there is none, and wait until it can be used.

        Args:
            wait_seconds: Give up waiting (not starting) after this long; None waits for as long as it takes,
                since recovery after a crash may take minutes.

        Returns:
            Whether it can be used. If not yet, ask ``ready`` again later.

        Raises:
            DataDirBusy: Another process has the data dir.
            DataDirUnusable: The data dir can't be read or written.
            PostgresFailed: PostgreSQL can't be started.
        """
        self.acquire()
        try:
            place, programs = self._place(), self._programs()
            self._clear_the_way()
            cluster.ensure(place, programs, self._users(), self._echo)
            self._spawn()
            return self._wait(wait_seconds)
        except BaseException:
            self.stop(hurry=lambda: True)
            raise

    def ready(self) -> bool:
        """Return whether PostgreSQL can be used now. When it first can, roles and database are made."""
        if self._process is not None and self._process.poll() is not None:
            return False
        try:
            with psycopg.connect(self.superuser_dsn, connect_timeout=2, autocommit=True):
                pass
            if not self._prepared and self._locks:
                roles.ensure(self.superuser_dsn)
                self._prepared = True
        except psycopg.OperationalError:
            return False
        self._failures = 0
        return True

    def check_and_restart(self) -> bool:
        """Start PostgreSQL again if it has died. Never waits; call it a few times a second.

        Returns:
            Whether it was started just now.
        """
        if self._process is None:
            return False
        if self._process.poll() is None:
            self._log().rotate()
            return False
        if not self._ended:
            self._ended = True
            if time.monotonic() - self._started > _STABLE_SECONDS:
                self._failures = 0
        if time.monotonic() < self._due or self._must_wait_for_room():
            return False
        self._ended = False
        self._echo(f"PostgreSQL ended ({self._last_words()}); it is started again.")
        pause = min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**self._failures) if self._failures else 0.0
        self._failures = min(self._failures + 1, 10)
        self._due = time.monotonic() + pause
        try:
            self._clear_the_way()
            self._spawn()
        except (PostgresFailed, OSError) as fault:
            self._echo(f"PostgreSQL can't be started: {fault}")
            return False
        return True

    def _must_wait_for_room(self) -> bool:
        """Return whether a start is of no use: the one before failed, and the disk is full."""
        waits = self._failures > 0 and free_bytes(self._place().cluster) < _ROOM_BYTES
        if waits and not self._told_of_room:
            megabytes = _ROOM_BYTES // 1024 // 1024
            self._echo(f"PostgreSQL ended and its disk is full: it is started again when {megabytes} MB are free.")
        self._told_of_room = waits
        return waits

    def stop(self, *, gently: bool = False, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop PostgreSQL and give the data dir back. Harmless if it isn't running.

        Args:
            gently: Let other processes' sessions end by themselves first, for a few seconds.
            hurry: Asked while waiting; once true, PostgreSQL stops at once (and recovers at the next start).
        """
        process, self._process = self._process, None
        try:
            if process is not None:
                self._end(process, gently, hurry)
            if self._locks and self._home is not None:
                leftovers.kill(self._home.cluster, self._home.account)
        finally:
            self._prepared = False
            self._release()

    def erase(self) -> None:
        """Stop PostgreSQL and delete the cluster, wherever it is."""
        self.stop(hurry=lambda: True)
        self.acquire()
        try:
            place = self._place()
            for folder in (place.cluster, place.sockets, *([place.folder] if place.elsewhere else [])):
                shutil.rmtree(folder, ignore_errors=True)
            (self.data_dir / home.LOCATION).unlink(missing_ok=True)
        finally:
            self._release()
            self._home = self._log_file = None

    def run_tool(
        self, name: str, *arguments: str | Path, text_input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs (pg_dump, pg_restore, psql, pgbench ...) as its superuser.

        Client programs run as our own user, so they read and write our files; those that work on the
        cluster's files (pg_ctl, pg_controldata ...) run as the cluster's owner. The database is
        ``fulfillment`` unless another is named.

        Raises:
            PostgresFailed: It ends with another status than 0; the sentence holds its last line.
        """
        place = self._place()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment |= {
            "PGHOST": str(place.sockets),
            "PGUSER": roles.SUPERUSER,
            "PGDATABASE": roles.DATABASE,
            "PGDATA": str(place.cluster),
        }
        done = subprocess.run(  # noqa: S603  # no shell
            [self.bin_dir / name, *arguments],
            env=environment,
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **(place.account.identity() if name in _SERVER_TOOLS else Identity()),
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise PostgresFailed(f"{name} failed: {said[-1] if said else f'status {done.returncode}'}")
        return done

    def _place(self) -> Home:
        if self._home is None:
            self._home = home.find(self.data_dir, self._shared_dir)
        return self._home

    def _programs(self) -> Binaries:
        if self._binaries is None:
            folder = self._bin_dir or binaries.wheel_folder()
            self._binaries = binaries.executable(folder, self._place().account, self._shared_dir, self._echo)
        return self._binaries

    def _log(self) -> Log:
        if self._log_file is None:
            self._log_file = Log(self._place().log, self._place().account)
        return self._log_file

    def _users(self) -> list[str]:
        ours = pwd.getpwuid(os.geteuid()).pw_name
        return sorted({ours, self._place().account.name})

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _clear_the_way(self) -> None:
        place = self._place()
        leftovers.end(place.cluster, place.account, self._echo)
        leftovers.clear_pid_files(place.cluster, place.sockets)

    def _spawn(self) -> None:
        place = self._place()
        descriptor = self._log().open()
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # no shell; paths are ours
                [self.bin_dir / "postgres", "-D", place.cluster],
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C must not stop it before the API has finished
                preexec_fn=tied_to_parent(signal.SIGINT),  # a fast shutdown
                **place.account.identity(),
            )
        finally:
            os.close(descriptor)

    def _wait(self, seconds: float | None) -> bool:
        began = told = time.monotonic()
        starts = 1
        while not self.ready():
            if self._process is None or self._process.poll() is not None:
                # Another process of this cluster was on its way out: clear the way and try again.
                if starts == _STARTS_TRIED or not self._may_pass():
                    raise PostgresFailed(f"PostgreSQL can't be started: {self._last_words()}. See {self._place().log}.")
                starts += 1
                time.sleep(0.3)
                self._clear_the_way()
                self._spawn()
            now = time.monotonic()
            if seconds is not None and now - began > seconds:
                return False
            if now - told > _PROGRESS_SECONDS:
                told = now
                self._echo(f"PostgreSQL is still starting after {now - began:.0f} s: recovery takes time.")
            time.sleep(0.02 if now - began < 2 else 0.25)
        return True

    def _may_pass(self) -> bool:
        said = self._log().text()
        return any(sign in said for sign in ("shared memory", "lock file", "postmaster.pid"))

    def _end(self, process: subprocess.Popen[bytes], gently: bool, hurry: Callable[[], bool]) -> None:
        steps = [(signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)]
        for number, seconds in [(signal.SIGTERM, _SMART_SECONDS)] * gently + steps:
            if hurry() and number != signal.SIGQUIT:
                continue
            process.send_signal(number)
            deadline = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < deadline:
                if hurry() and number != signal.SIGQUIT:
                    break
                time.sleep(0.01)
            if process.poll() is not None:
                return
        process.kill()
        process.wait()

    def _last_words(self) -> str:
        status = self._process.returncode if self._process is not None else None
        if status is not None and status < 0:
            return f"signal {-status}"
        return self._log().last_words() or f"status {status}"


@contextmanager
def using(data_dir: Path, *, bin_dir: Path | None = None, echo: Echo = say) -> Generator[EmbeddedPostgres]:
    """Yield the database of *data_dir*: the running server's, or one started for as long as the block lasts.

    Raises:
        DataDirUnusable: The data dir can't be read or written.
        PostgresFailed: PostgreSQL can't be started, or the process that has the data dir runs none.
    """
    database = EmbeddedPostgres(data_dir, bin_dir=bin_dir, echo=echo)
    try:
        database.start()
    except DataDirBusy as busy:
        _attach(database, busy)
        yield database
        return
    try:
        yield database
    finally:
        database.stop(gently=True)


def _attach(database: EmbeddedPostgres, busy: DataDirBusy) -> None:
    deadline = time.monotonic() + 60  # the other process may be in the middle of its start
    while not _answers(database.app_dsn):
        if time.monotonic() > deadline:
            raise PostgresFailed(f"{busy.detail} Its PostgreSQL does not answer.")
        time.sleep(0.2)


def free_bytes(folder: Path) -> int:
    """Return how much room the file system of *folder* has for others than root."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
