"""Child processes that are kept alive, replaced without a gap and stopped in order."""

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final, Self

from fulfillment.kernel.errors import FulfillmentError, Kind

Echo = Callable[[str], None]

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_STABLE_SECONDS: Final = 10.0  # a child that lived this long is started again without a pause to speak of
_BACKLOG: Final = 2048
_PR_SET_PDEATHSIG: Final = 1
# Loaded before any fork: a child may not load libraries between fork and exec.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class PortTaken(FulfillmentError):
    """The address can't be listened on."""

    kind = Kind.CONFLICT
    code = "port_taken"
    title = "The address is not free"


class Interrupted(BaseException):
    """SIGINT or SIGTERM came while the start was under way. No Exception: nothing may swallow it."""


def say(line: str) -> None:
    """Print *line*; a terminal or pipe that has gone away is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def tied_to_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a preexec function: the child gets signal *number* when the thread that forked it ends.

    Linux only. The child also starts with no signal blocked or ignored.
    """
    parent = os.getpid()

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return tie


def listen(host: str, port: int, *, patience_seconds: float = 1.5) -> socket.socket:
    """Return a listening TCP socket that children may inherit; port 0 takes a free one.

    Args:
        patience_seconds: A server that was killed a moment ago may still hold the port this long.

    Raises:
        PortTaken: Something else listens there, or the address isn't ours.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return _listening(host, port)
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise PortTaken(_why_not(host, port, fault)) from fault


def _listening(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def _why_not(host: str, port: int, fault: OSError) -> str:
    if fault.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another program: stop it, or choose another with --port."
    return f"Can't listen on {host} port {port}: {fault.strerror or fault}."


class Signals:
    """SIGINT, SIGTERM and SIGHUP as facts to ask for, and a way to sleep until one comes.

    Use as a context manager, in the main thread.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._reload = False
        self._interrupting = False
        self._previous: dict[signal.Signals, object] = {}
        self._had_terminal = _has_terminal()

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._previous_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  # what signal() returned
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._read)
        os.close(self._write)

    @property
    def stopping(self) -> bool:
        """True once a stop was asked for."""
        return self.stops > 0

    @property
    def hurried(self) -> bool:
        """True once a stop was asked for twice."""
        return self.stops > 1

    def take_reload(self) -> bool:
        """Return whether SIGHUP came since the last call."""
        asked, self._reload = self._reload, False
        return asked

    @contextlib.contextmanager
    def interrupting(self) -> Generator[None]:
        """Let the first stop signal raise Interrupted inside the block.

        Raises:
            Interrupted: A stop was asked for, before the block or in it.
        """
        if self.stopping:
            raise Interrupted
        self._interrupting = True
        try:
            yield
        finally:
            self._interrupting = False

    def rest(self, seconds: float, descriptors: Iterable[int] = ()) -> None:
        """Sleep until a signal comes, a descriptor is readable, or the time is over."""
        select.select([self._read, *descriptors], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return  # only to wake rest()
        if number == signal.SIGHUP and not (self._had_terminal and not _has_terminal()):
            self._reload = True
            return
        # SIGHUP because the terminal was closed means what it means to every program: stop.
        self.stops += 1
        if self._interrupting:
            self._interrupting = False
            raise Interrupted


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs. ``--ready-fd N`` is added: the child writes a line to it once it serves."""

    name: str  # for people: "API"
    argv: Sequence[str]
    env: Mapping[str, str]
    descriptors: tuple[int, ...] = ()  # inherited by the child, such as the listening socket


class Child:
    """One running instance of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ready = False
        self.started = time.monotonic()
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and modules
                [*program.argv, "--ready-fd", str(theirs)],
                env=dict(program.env),
                pass_fds=(*program.descriptors, theirs),
                stdin=subprocess.DEVNULL,
                # Its own session: Ctrl-C at the terminal reaches us alone, and we stop the children in order.
                start_new_session=True,
                preexec_fn=tied_to_parent(signal.SIGKILL),
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self._pipe_open = True

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait on for news."""
        return (self._pipe,) if self._pipe_open else ()

    def listen_for_ready(self) -> None:
        """Take note if the child has said that it serves."""
        if not self._pipe_open:
            return
        try:
            said = os.read(self._pipe, 64)
        except BlockingIOError:
            return
        self.ready = self.ready or bool(said)
        self._close_pipe()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill what still runs and free what we hold."""
        if self.status is None:
            self._process.kill()
        self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe_open:
            os.close(self._pipe)
            self._pipe_open = False


class _Slot:
    """A place where one instance of a program is kept running."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.child: Child | None = None
        self.failures = 0
        self.due = 0.0  # monotonic seconds: not started again before


class ProcessKeeper:
    """Keeps programs running until told to stop.

    Args:
        signals: Where a stop is asked for, and what we sleep on.
        echo: Takes lines for people.
        between: Called between two looks while a replacement is awaited, so that other things live on.
        grace_seconds: What a child has to finish its work after SIGTERM.
        ready_seconds: What a replacement has to say that it serves.
    """

    def __init__(
        self,
        signals: Signals,
        *,
        echo: Echo = say,
        between: Callable[[], None] = lambda: None,
        grace_seconds: float = 15.0,
        ready_seconds: float = 60.0,
    ) -> None:
        self._signals = signals
        self._echo = echo
        self._between = between
        self._grace_seconds = grace_seconds
        self._ready_seconds = ready_seconds
        self._slots: list[_Slot] = []

    def add(self, program: Program, count: int = 1) -> None:
        """Start *count* instances. Those added first are stopped first."""
        added = [_Slot(program) for _ in range(count)]
        self._slots += added
        for slot in added:
            self._start(slot)

    def ready(self, name: str) -> int:
        """Return how many instances of the program of that name serve."""
        return sum(
            1 for slot in self._slots if slot.program.name == name and slot.child is not None and slot.child.ready
        )

    def pids(self, name: str) -> list[int]:
        """Return the process ids of the program of that name."""
        return [slot.child.pid for slot in self._slots if slot.program.name == name and slot.child is not None]

    def tick(self) -> None:
        """Look once: note who serves, and start again who died and has paused long enough."""
        for slot in self._slots:
            if slot.child is not None:
                slot.child.listen_for_ready()
                if slot.child.status is not None:
                    self._bury(slot, slot.child)
            if slot.child is None and time.monotonic() >= slot.due:
                self._start(slot)

    def rest(self, seconds: float = 0.25) -> None:
        """Sleep until there is news of a child or a signal, or the time is over."""
        self._signals.rest(seconds, self._descriptors())

    def reload(self) -> bool:
        """Replace every child: start the new one, wait until it serves, then stop the old one.

        Returns:
            False when a replacement didn't come up: it is dropped, and the old ones stay.
        """
        return all(self._replace(slot) for slot in list(self._slots))

    def stop(self) -> None:
        """Stop everything: SIGTERM program by program, those added first, and SIGKILL after the grace."""
        while self._slots:
            name = self._slots[0].program.name
            group = [slot.child for slot in self._slots if slot.program.name == name and slot.child is not None]
            self._slots = [slot for slot in self._slots if slot.program.name != name]
            self._stop_all(group)

    def _start(self, slot: _Slot) -> None:
        try:
            slot.child = Child(slot.program)
        except OSError as fault:  # no memory, no process: the next turn may have it
            self._postpone(slot)
            self._echo(f"The {slot.program.name} process can't be started: {fault.strerror}.")

    def _bury(self, slot: _Slot, child: Child) -> None:
        if time.monotonic() - child.started > _STABLE_SECONDS:
            slot.failures = 0
        status, slot.child = child.status, None
        child.end()
        self._postpone(slot)
        self._echo(f"The {slot.program.name} process (pid {child.pid}) ended {_ending(status)}; it is started again.")

    def _postpone(self, slot: _Slot) -> None:
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**slot.failures)
        slot.failures = min(slot.failures + 1, 10)
        slot.due = time.monotonic() + pause

    def _replace(self, slot: _Slot) -> bool:
        if self._signals.stopping:
            return False
        fresh = Child(slot.program)
        deadline = time.monotonic() + self._ready_seconds
        while not fresh.ready and fresh.status is None and time.monotonic() < deadline:
            if self._signals.stopping:
                break
            self._turn(fresh.descriptors)
            fresh.listen_for_ready()
        if not fresh.ready or fresh.status is not None:
            fresh.end()
            if not self._signals.stopping:
                self._echo(f"The new {slot.program.name} process didn't come up; the old one keeps serving.")
            return False
        old, slot.child, slot.failures = slot.child, fresh, 0
        if old is not None:
            self._stop_all([old], self._turn)
        return True

    def _turn(self, descriptors: Iterable[int] = ()) -> None:
        self._signals.rest(0.25, [*self._descriptors(), *descriptors])
        self.tick()
        self._between()

    def _stop_all(self, children: Sequence[Child], turn: Callable[[], None] | None = None) -> None:
        for child in children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while any(child.status is None for child in children):
            if self._signals.hurried or time.monotonic() > deadline:
                break
            if turn is None:
                self._signals.rest(0.25)
            else:
                turn()
        for child in children:
            child.end()

    def _descriptors(self) -> list[int]:
        return [fd for slot in self._slots if slot.child is not None for fd in slot.child.descriptors]


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return f"by signal {-status}"
    return f"with status {status}"
