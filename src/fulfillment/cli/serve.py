"""fulfillment serve: the database, the API and the worker, started, watched and stopped together."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from socket import socket
from typing import Final

import psycopg

from fulfillment.infra import migrate, shares
from fulfillment.infra.external import ExternalPostgres
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.processes import Interrupted, ProcessKeeper, Program, Signals, listen, say
from fulfillment.infra.settings import Settings
from fulfillment.kernel.errors import FulfillmentError

Database = EmbeddedPostgres | ExternalPostgres
FirstStart = Callable[[Settings, str], Sequence[str]]

_PATIENCE_SECONDS: Final = 10.0  # then the API starts without the database, and answers 503 until it is there
_RECOVERY_PATIENCE_SECONDS: Final = 2.0  # where the schema is there already: what takes longer is a recovery
_LOOK_SECONDS: Final = 0.2  # between two looks at a database that can't be used yet
_API: Final = "API"
_WORKER: Final = "worker"
_SEED: Final = """
import gc
gc.disable()  # as in cli/child.py; this process is short
from fulfillment import seeding
from fulfillment.infra import settings
loaded = settings.load()
print(*seeding.first_start(loaded, loaded.database_url.get_secret_value()), sep="\\n")
"""
API_COMMAND: Final = (sys.executable, "-m", "fulfillment.cli.child", "fulfillment.app")
WORKER_COMMAND: Final = (sys.executable, "-m", "fulfillment.cli.child", "fulfillment.worker.__main__")


def serve(
    settings: Settings,
    *,
    api: Sequence[str] = API_COMMAND,
    worker: Sequence[str] = WORKER_COMMAND,
    first_start: FirstStart | None = None,
) -> int:
    """Run everything until SIGINT or SIGTERM, and return the exit status: 0, or 1 with a sentence on stderr.

    SIGHUP replaces API and worker processes without refusing a request.

    Args:
        api: Command of an API process; ``--fd N`` (listening socket), ``--shares-fd N`` (`infra.shares`) and
            ``--ready-fd N`` are added.
        worker: Command of a worker process; ``--ready-fd N`` is added.
        first_start: Seeds the sandbox, returns lines to print; default ``fulfillment.seeding.first_start``.
            Called at every start, so that one that was killed half way is made good.
    """
    with Signals() as signals:
        try:
            _Server(settings, signals, api, worker, first_start).run()
        except Interrupted:
            return 0
        except FulfillmentError as fault:
            sys.stderr.write(f"{fault.detail}\n")
            return 1
    return 0


class _Server:
    def __init__(
        self,
        settings: Settings,
        signals: Signals,
        api: Sequence[str],
        worker: Sequence[str],
        first_start: FirstStart | None,
    ) -> None:
        self._settings = settings
        self._signals = signals
        self._api, self._worker = api, worker
        self._first_start = first_start
        self._database = _database(settings)
        self._keeper = ProcessKeeper(signals, between=self._watch_database)
        self._prepared = False  # the schema is this code's
        self._seeded = settings.environment != "sandbox"
        self._listening = False
        self._look_again = 0.0

    def run(self) -> None:
        listener: socket | None = None
        rows = shares.create()
        try:
            with self._signals.interrupting():
                self._database.acquire()
                listener = listen(self._settings.host, self._settings.port)
                self._settings = self._settings.model_copy(update={"port": listener.getsockname()[1]})
                self._start_database()
            shared = ["--fd", str(listener.fileno()), "--shares-fd", str(rows)]
            self._keeper.add(self._program(_API, [*self._api, *shared], (listener.fileno(), rows)), self._count)
            self._start_worker()
            self._supervise()
        finally:
            if self._listening:
                say("Stopping: requests under way are finished.")
            if listener is not None:
                listener.close()
            os.close(rows)
            self._keeper.stop()
            self._database.stop(hurry=lambda: self._signals.hurried)

    @property
    def _count(self) -> int:
        return self._settings.processes

    def _start_database(self) -> None:
        patience = _RECOVERY_PATIENCE_SECONDS if self._database.exists else _PATIENCE_SECONDS
        if self._database.start(patience):
            say(self._database.describe())
            self._prepare()
        else:
            say(f"{self._database.describe()}: not usable yet. Until it is, the API answers 503.")

    def _prepare(self) -> None:
        """Migrate, and seed a new database. A database that goes away meanwhile is tried again later."""
        try:
            new = _migrate(self._database.owner_dsn)
        except psycopg.OperationalError:
            say("The database went away during the preparations: they are tried again.")
            return
        self._prepared = True
        if new:
            self._seed()

    def _seed(self) -> None:
        """Seed the sandbox, once; what fails here is no reason not to serve, and the next start tries again."""
        if self._seeded:
            return
        self._seeded = True
        if self._first_start is not None:
            lines = self._first_start(self._settings, self._database.app_dsn)
        else:
            lines = _seeding(environment(self._settings, self._database))
        for line in lines:
            say(line)

    def _seed_late(self) -> None:
        """Look after the demo data of an old database only when the API serves: the start is not held up."""
        if self._prepared and self._keeper.ready(_API):
            with self._signals.interrupting():
                self._seed()

    def _supervise(self) -> None:
        while not self._signals.stopping:
            self._keeper.tick()
            self._watch_database()
            self._prepare_late()
            self._seed_late()
            self._announce()
            if self._signals.take_reload():
                self._reload()
            self._keeper.rest()

    def _watch_database(self) -> None:
        self._database.check_and_restart()

    def _prepare_late(self) -> None:
        if self._prepared or time.monotonic() < self._look_again:
            return
        self._look_again = time.monotonic() + _LOOK_SECONDS
        with self._signals.interrupting():
            if self._database.ready():
                self._prepare()
        self._start_worker()

    def _start_worker(self) -> None:
        if self._prepared and self._settings.worker:
            self._keeper.add(self._program(_WORKER, self._worker), self._settings.workers)

    def _announce(self) -> None:
        if self._listening or not self._keeper.ready(_API):
            return
        self._listening = True
        say(f"Listening on {url(self._settings)}")
        say("Ctrl-C stops everything.")

    def _reload(self) -> None:
        """Replace all processes, after the schema: new code may need it, and old code must bear it."""
        say("Replacing the processes one by one.")
        try:
            with self._signals.interrupting():
                _migrate(self._database.owner_dsn)
        except (FulfillmentError, psycopg.Error) as fault:
            reason = fault.detail if isinstance(fault, FulfillmentError) else "the database does not answer"
            say(f"Nothing was replaced: {reason}")
            return
        if self._keeper.reload():
            say("All processes are new.")

    def _program(self, name: str, argv: Sequence[str], descriptors: tuple[int, ...] = ()) -> Program:
        return Program(name, argv, environment(self._settings, self._database), descriptors)


def url(settings: Settings) -> str:
    """Return where the server is reached from this machine; the settings' port is the real one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(settings.host, settings.host)  # noqa: S104  # nosec B104
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"


def environment(settings: Settings, database: Database) -> Mapping[str, str]:
    """Return a child's environment: ours, with what the command line and the start decided."""
    return os.environ | {
        "FULFILLMENT_ENVIRONMENT": settings.environment,
        "FULFILLMENT_HOST": settings.host,
        "FULFILLMENT_PORT": str(settings.port),
        "FULFILLMENT_PUBLIC_PORT": str(settings.port),
        "FULFILLMENT_DATA_DIR": os.path.abspath(settings.data_dir),
        "FULFILLMENT_PROCESSES": str(settings.processes),
        "FULFILLMENT_LOG_LEVEL": settings.log_level,
        "FULFILLMENT_DATABASE_URL": database.app_dsn,
        "FULFILLMENT_MIGRATION_DATABASE_URL": database.owner_dsn,
    }


def _database(settings: Settings) -> Database:
    if settings.database_url is None:
        return EmbeddedPostgres(settings.data_dir, bin_dir=settings.postgres_bin)
    app_dsn = settings.database_url.get_secret_value()
    owner = settings.migration_database_url
    return ExternalPostgres(app_dsn, owner.get_secret_value() if owner is not None else app_dsn)


def _seeding(variables: Mapping[str, str]) -> Sequence[str]:
    """Seed in a process of its own: the whole application would stay in our memory."""
    done = subprocess.run(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-c", _SEED],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        return ["The demo data can't be made (see above); everything else works."]
    return done.stdout.splitlines()


def _migrate(dsn: str) -> bool:
    """Apply what is missing, and return whether the database was empty before."""
    applied = migrate.up(dsn)
    if applied:
        say(f"Migrations: {len(applied)} applied, now at {applied[-1]}")
    if newer := migrate.newer(dsn):
        say(f"The database is newer than this release ({newer[-1]}): fine while an upgrade is under way.")
    return migrate.versions()[:1] == applied[:1]
