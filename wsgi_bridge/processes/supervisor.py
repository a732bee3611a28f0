"""The parent of worker processes: it starts them, restarts those that die, and replaces them.

It imports nothing of the site, opens no layer and has no thread: whatever the site does, it goes
on. A child is *wanted* if it is of the present generation and not exhausted; there are as many of
these as there should be processes. All others are told to stop as soon as the wanted ones are
ready. That is all there is to a deploy (SIGHUP begins a generation), to recycling, and to TTIN and
TTOU: nothing is stopped before its replacement takes messages. What was under way in a child that
has died is told to another one, which can tell those who wait for it (`orphans`).

    SIGTERM, SIGINT    stop: take no more, finish what was taken, kill what is left at the time-out
    SIGINT again, SIGQUIT    stop at once
    SIGHUP             replace the processes by new ones, with new code
    SIGTTIN, SIGTTOU   one process more, one less
    SIGUSR1            each process writes the stacks of its threads to stderr
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from select import POLLIN, poll
from typing import NoReturn

from wsgi_bridge.events.processes import (
    WORKER_DIED,
    WORKER_KILLED,
    WORKER_NOT_RELOADED,
    WORKER_NOT_STARTED,
)
from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.child import run_child
from wsgi_bridge.processes.link import Event, Link
from wsgi_bridge.processes.options import Options
from wsgi_bridge.processes.orphans import Orphan
from wsgi_bridge.processes.systemd import notify
from wsgi_bridge.processes.target import BadTarget

__all__ = ["SUPERVISED", "Supervisor"]

logger = logging.getLogger(__name__)

# Seconds after a process became ready in which its death counts as a failure to start.
YOUNG = 1.0
# Seconds before the next start, after one failure; twice that after each more, up to the longest.
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
# Seconds before the next attempt at a fork: there are too many processes, or too little memory.
FORK_DELAY = 1.0
# Seconds beyond graceful_timeout: a process abandons what is unfinished itself, and names it.
KILL_MARGIN = 2.0

#: What the parent handles.
SUPERVISED = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1),
)


@dataclass(eq=False)
class _Child:
    """A worker process."""

    pid: int
    link: Link
    board: Board
    generation: int
    started: float
    ready: float | None = None
    is_exhausted: bool = False
    has_failed: bool = False
    kill_at: float | None = None

    @property
    def is_stopping(self) -> bool:
        return self.kill_at is not None


class Supervisor:
    """Runs ``options.processes`` worker processes until it is told to stop."""

    def __init__(
        self,
        options: Options,
        *,
        run_child: Callable[[Options, Link, Board], int] = run_child,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Processes that have died, each of which was replaced.
        self.deaths = 0
        self._options = options
        self._run_child = run_child
        self._clock = clock
        self._size = options.processes
        self._children: list[_Child] = []
        self._generation = 1
        self._failures = 0
        self._start_at = 0.0
        self._was_ready = False
        self._error: BadTarget | None = None
        self._orphans: list[Orphan] = []
        self._is_stopping = False
        self._signals, self._signalled = -1, -1

    def run(self) -> None:
        """Supervise until the end. Raises BadTarget if nothing could be run in the first place."""
        with self._handling_signals():
            while self._children or not self._is_stopping:
                self._replenish()
                self._hand_on()
                self._wait()
                self._reap()
        if self._error is not None:
            raise self._error

    # Signals

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        self._signals, self._signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # They stay: a signal that comes when all is done must not spoil the exit status.
        for number in SUPERVISED:
            signal.signal(number, _pass)
        pid = os.getpid()
        signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        try:
            yield
        finally:
            if os.getpid() == pid:  # a child leaves as well, with signals of its own
                signal.set_wakeup_fd(-1)
                os.close(self._signals)
                os.close(self._signalled)

    def _on_signals(self) -> None:
        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self._interrupt,
            signal.SIGQUIT: self._kill,
            signal.SIGHUP: self.replace,
            signal.SIGTTIN: lambda: self.resize(1),
            signal.SIGTTOU: lambda: self.resize(-1),
            signal.SIGUSR1: self._dump,
        }
        for number in os.read(self._signals, 64):
            if number in actions:  # SIGCHLD only wakes
                actions[signal.Signals(number)]()

    def stop(self) -> None:
        """Stop gracefully; idempotent."""
        if not self._is_stopping:
            self._is_stopping = True
            logger.info("stopping")
            notify("STOPPING=1")
        for child in self._children:
            self._stop(child)

    def replace(self) -> None:
        """Replace all processes by new ones, with new code."""
        logger.info("replacing the worker processes")
        self._begin_generation()

    def resize(self, more: int) -> None:
        """Have so many processes more, or less; one at least."""
        self._size = max(1, self._size + more)
        logger.info("%d worker processes from now on", self._size)

    def _interrupt(self) -> None:
        if self._is_stopping:
            self._kill()
        else:
            self.stop()

    def _kill(self) -> None:
        self.stop()
        for child in self._children:
            os.kill(child.pid, signal.SIGKILL)

    def _dump(self) -> None:
        for child in self._children:
            os.kill(child.pid, signal.SIGUSR1)

    # Children

    def _begin_generation(self) -> None:
        self._generation += 1
        self._failures, self._start_at = 0, 0.0

    def _replenish(self) -> None:
        """Start what is missing; stop what is too many, when nothing is missing."""
        if self._is_stopping:
            return
        while len(self._wanted()) < self._size and self._clock() >= self._start_at:
            self._start()
        ready = [child for child in self._wanted() if child.ready is not None][: self._size]
        if len(ready) < self._size:
            return
        if not self._was_ready:
            self._was_ready = True
            logger.info("ready: %d worker processes", self._size)
            notify("READY=1")
        for child in self._children:
            if child not in ready:
                self._stop(child)

    def _hand_on(self) -> None:
        """Tell a child that takes messages of what was lost with others."""
        if self._orphans:
            for child in self._children:
                if child.ready is not None and not child.is_stopping:
                    for orphan in self._orphans:
                        child.link.tell(Event.LOST, str(orphan))
                    self._orphans = []
                    break

    def _wanted(self) -> list[_Child]:
        return [
            child
            for child in self._children
            if child.generation == self._generation
            and not child.is_exhausted
            and not child.is_stopping
        ]

    def _start(self) -> None:
        ours, theirs = Link.pair()
        board = Board(max(self._options.threads, self._options.greenlets))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else the child writes it once more
        try:
            pid = self._fork(ours, theirs, board)
        except OSError as exc:
            WORKER_NOT_STARTED.log(logger, "no process can be started: %(cause)s", cause=exc)
            ours.hang_up()
            theirs.hang_up()
            self._start_at = self._clock() + FORK_DELAY
            return
        theirs.hang_up()  # not in the child, which leaves by SystemExit and still listens there
        self._children.append(_Child(pid, ours, board, self._generation, self._clock()))
        logger.info("worker process %d starts", pid)

    def _fork(self, ours: Link, theirs: Link, board: Board) -> int:
        # A signal for the child must not go to the parent's pipe, which it has until it is set up.
        signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_child(ours, theirs, board)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED)

    def _be_child(self, parent: Link, link: Link, board: Board) -> NoReturn:
        # Else they would hear their parent hang up only when this process has ended.
        for other in [parent, *(child.link for child in self._children)]:
            other.hang_up()
        signal.set_wakeup_fd(-1)
        for number in SUPERVISED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED)
        os.close(self._signals)
        os.close(self._signalled)
        sys.exit(self._run_child(self._options, link, board))

    def _stop(self, child: _Child) -> None:
        if not child.is_stopping:
            child.kill_at = self._clock() + self._options.graceful_timeout + KILL_MARGIN
            child.link.hang_up()

    # What happens

    def _wait(self) -> None:
        """Wait for a signal, a word of a child, or the next thing that is due."""
        waiting = poll()
        waiting.register(self._signals, POLLIN)
        links = {child.link.fileno(): child for child in self._children if child.link.is_open}
        for descriptor in links:
            waiting.register(descriptor, POLLIN)
        ready = waiting.poll(self._timeout())
        for descriptor, _ in ready:
            if descriptor == self._signals:
                self._on_signals()
            elif (child := links[descriptor]).link.is_open:
                for event, text in child.link.hear():
                    self._on_event(child, event, text)
        for child in self._children:
            if child.kill_at is not None and self._clock() >= child.kill_at:
                child.kill_at = float("inf")
                os.kill(child.pid, signal.SIGKILL)

    def _timeout(self) -> float | None:
        """Return milliseconds, as poll takes them."""
        due = [child.kill_at for child in self._children if child.kill_at is not None]
        if not self._is_stopping and len(self._wanted()) < self._size:
            due.append(self._start_at)
        if not due or min(due) == float("inf"):
            return None
        return 1000 * max(0.0, min(due) - self._clock()) + 1

    def _on_event(self, child: _Child, event: Event, text: str) -> None:
        if event is Event.READY:
            child.ready = self._clock()
            logger.info("worker process %d is ready", child.pid)
        elif event is Event.EXHAUSTED:
            child.is_exhausted = True
            logger.info("worker process %d has had %s: it is replaced", child.pid, text)
        elif event is Event.CHANGED:
            self._on_changed(child, text)
        else:
            child.has_failed = True
            self._on_failed(BadTarget(text, is_misuse=event is Event.MISUSED))

    def _on_changed(self, child: _Child, text: str) -> None:
        if child.generation == self._generation and not self._is_stopping:
            logger.info("changed: %s", text)
            self._begin_generation()
            for each in self._children:
                self._stop(each)  # at once: whoever looks now wants to see the new code

    def _on_failed(self, error: BadTarget) -> None:
        if self._was_ready or self._options.reload:
            WORKER_NOT_RELOADED.log(logger, "%(cause)s", cause=error)
        elif not self._is_stopping:
            self._error = error
            self.stop()

    def _reap(self) -> None:
        for child in list(self._children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._on_event_left(child)
                self._children.remove(child)
                child.link.hang_up()
                self._on_death(child, os.waitstatus_to_exitcode(status))
                self._orphans += child.board.orphans()
                child.board.close()

    def _on_event_left(self, child: _Child) -> None:
        """Hear what a child has said before it ended."""
        if child.link.is_open:
            for event, text in child.link.hear():
                self._on_event(child, event, text)

    def _on_death(self, child: _Child, code: int) -> None:
        busy = str(child.board) if child.board.lines() else ""
        at = " while busy with %(busy)s" if busy else ""
        how = _ending(code)
        if child.is_stopping and (code == 0 or child.has_failed):
            logger.info("worker process %d %s%s", child.pid, how, at % {"busy": busy})
            return
        if child.is_stopping:
            text = f"worker process %(pid)d %(cause)s{at}"
            WORKER_KILLED.log(logger, text, cause=how, pid=child.pid, busy=busy)
            return
        self.deaths += 1
        now = self._clock()
        if child.ready is None or now - child.ready < YOUNG:
            delay = FIRST_DELAY * 2 ** min(self._failures, 16)
            self._failures += 1
            self._start_at = now + min(delay, LONGEST_DELAY)
        else:
            self._failures = 0
        WORKER_DIED.log(
            logger,
            f"worker process %(pid)d %(cause)s after %(seconds).1f s{at}; "
            "deaths so far: %(deaths)d",
            cause=how,
            pid=child.pid,
            seconds=now - child.started,
            busy=busy,
            deaths=self.deaths,
        )
        if not self._was_ready and child.ready is None and not self._options.reload:
            self._on_failed(BadTarget(f"a worker process {_ending(code)} as it started"))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _pass(number: int, frame: object) -> None:
    """Do nothing: the number was written to the pipe."""
