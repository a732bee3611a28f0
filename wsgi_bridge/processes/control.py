"""The thread of a worker process that hears its parent, and watches the rest of the process.

It is native also where gevent has patched threading, so that it goes on when a consumer blocks the
hub. What it sees to:

- the parent says what was lost with a sibling: who waits for it is told
- the parent hangs up, or SIGTERM: no more messages are taken, what was taken finishes. What has
  not done so in time is named and abandoned: the process ends
- a consumer that takes long: its stack is logged, once
- enough messages, or too much memory: the parent is told, and sends a replacement
- files that have changed, if they are watched: the parent is told
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable

# Bound now, before gevent may patch: this thread never waits in a hub.
from select import POLLIN, poll
from typing import NoReturn, Protocol

from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.events.processes import (
    WORKER_CONSUMER_ABANDONED,
    WORKER_CONSUMER_SLOW,
    WORKER_WATCH_FAILED,
)
from wsgi_bridge.layers.concurrency import native
from wsgi_bridge.processes.files import Files
from wsgi_bridge.processes.link import Event, Link
from wsgi_bridge.processes.options import Options
from wsgi_bridge.processes.orphans import Orphan
from wsgi_bridge.threads import Unfinished

__all__ = ["ABANDONED", "Control", "Runner"]

logger = logging.getLogger(__name__)

# Seconds between two looks at everything; and at files, where a programmer waits for it.
LOOK_EVERY = 1.0
LOOK_AT_FILES_EVERY = 0.3
# Part of max_messages that is added at random: processes that began together do not end together.
JITTER = 0.1
# The status of a process that left a consumer unfinished.
ABANDONED = 3

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Runner(Protocol):
    """What runs the consumers: a ThreadWorker or a GreenletWorker."""

    @property
    def taken(self) -> int:
        """Messages taken so far."""

    def start(self) -> None:
        """Begin to take messages."""

    def stop(self) -> None:
        """Take no more."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end of what was taken."""

    def unfinished(self) -> list[Unfinished]:
        """Return what is being handled now, the longest first."""

    def stack_of(self, item: Unfinished) -> str:
        """Return where it is now."""


class Control:
    """Sees to the process; to be started in its main thread, before the site is loaded."""

    def __init__(
        self, link: Link, options: Options, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.files: Files | None = Files() if options.reload else None
        self._link = link
        self._options = options
        self._clock = clock
        self._runner: Runner | None = None
        self._tell: Callable[[Orphan], None] | None = None
        self._end_streams: Callable[[], None] | None = None
        self._stream_grace = 0.0
        self._streams_end: float | None = None
        self._deadline: float | None = None
        self._is_exhausted = False
        self._told: set[tuple[int, float]] = set()
        self._most = options.max_messages + secrets.randbelow(
            round(options.max_messages * JITTER) + 1
        )
        self._signals, self._signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def start(self) -> None:
        """Handle signals, and start the thread."""
        # The interpreter writes their numbers to the pipe at once, whatever the main thread does.
        signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, _pass)
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        native("start_new_thread")(self._run, ())

    def attend(
        self,
        runner: Runner,
        tell: Callable[[Orphan], None] | None = None,
        *,
        end_streams: Callable[[], None] | None = None,
        stream_grace: float = 0.0,
    ) -> None:
        """See to this from now on; to be called before it starts.

        `tell`: see `orphans`. `end_streams` is called when it has been stopping for `stream_grace`
        seconds, and from then on: see `streams`.
        """
        self._runner = runner
        self._tell = tell
        self._end_streams = end_streams
        self._stream_grace = min(stream_grace, self._options.graceful_timeout / 2)

    @property
    def is_stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._deadline is not None

    def _run(self) -> None:
        waiting = poll()
        waiting.register(self._link.fileno(), POLLIN)
        waiting.register(self._signals, POLLIN)
        pause = LOOK_AT_FILES_EVERY if self.files else LOOK_EVERY
        while True:
            ready = dict(waiting.poll(pause * 1000))
            try:
                if self._signals in ready:
                    self._on_signals()
                if self._link.fileno() in ready and not self.hear():
                    waiting.unregister(self._link.fileno())
                    self.stop()
                self.look()
            except Exception as exc:
                # Whoever would stop this process depends on this thread.
                WORKER_WATCH_FAILED.log(
                    logger,
                    "the thread that watches the worker process failed",
                    cause=exc,
                    exc_info=True,
                )

    def _on_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            # SIGINT is for everybody at the terminal: what it means is for the parent to say.
            if signal.SIGTERM in os.read(self._signals, 64):
                self.stop()

    def hear(self) -> bool:
        """Hear what the parent says; whether there will be more."""
        for event, text in self._link.hear():
            if event is Event.LOST and self._tell is not None:
                self._tell(Orphan.parse(text))
        return self._link.is_open

    def stop(self) -> None:
        """Take no more messages; finish. Idempotent."""
        if self._deadline is not None:
            return
        self._deadline = self._clock() + self._options.graceful_timeout
        self._streams_end = self._clock() + self._stream_grace
        if self._runner is None:
            _exit(0)  # nothing was taken yet, and the site may load for long
        self._runner.stop()

    def look(self) -> None:
        """Do what is due."""
        tell_suppressed()
        runner = self._runner
        if runner is not None:
            self._tell_what_takes_long(runner)
            if self._streams_end is not None and self._clock() >= self._streams_end:
                self._cut_streams()
            if self._deadline is not None and self._clock() >= self._deadline:
                self._abandon(runner)
            self._look_at_limits(runner)
        if self.files is not None and (changed := self.files.changed()):
            self._link.tell(Event.CHANGED, " ".join(map(os.path.relpath, changed)))

    def _cut_streams(self) -> None:
        if self._end_streams is not None:
            self._end_streams()

    def _tell_what_takes_long(self, runner: Runner) -> None:
        present = set()
        for item in runner.unfinished():
            if item.seconds < self._options.slow_after:
                break
            key = (item.ident, item.since)
            present.add(key)
            if key not in self._told:
                WORKER_CONSUMER_SLOW.log(
                    logger,
                    "%(consumer)s, and not finished; it is at\n%(stack)s",
                    cause="slow",
                    consumer=item,
                    stack=runner.stack_of(item),
                )
        self._told = present

    def _look_at_limits(self, runner: Runner) -> None:
        if self._is_exhausted or self.is_stopping:
            return
        why = ""
        if self._most and runner.taken >= self._most:
            why = f"{runner.taken} messages"
        elif self._options.max_memory and (size := memory()) > self._options.max_memory:
            why = f"{size // 1024 // 1024} MB of memory"
        if why:
            self._is_exhausted = True
            self._link.tell(Event.EXHAUSTED, why)

    def _abandon(self, runner: Runner) -> None:
        for item in runner.unfinished():
            WORKER_CONSUMER_ABANDONED.log(
                logger, "abandoned: %(consumer)s", cause="graceful_timeout", consumer=item
            )
        tell_suppressed(at_once=True)
        _exit(ABANDONED)


def memory() -> int:
    """Return the bytes of this process that are in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE


def _pass(number: int, frame: object) -> None:
    """Do nothing: the number was written to the pipe."""


def _exit(status: int) -> NoReturn:
    logging.shutdown()
    os._exit(status)
