"""What a protocol server wants of libev, in memory: sockets, watchers, timers, callbacks.

Nothing happens by itself: each method named ``run_…`` does what has become due, and says whether
there was any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from wsgi_bridge.testing.clock import FakeClock

Callback = Callable[..., object]


class ServerEnd:
    """The server's end of a connection; the client's side of it are its attributes.

    The kernel's buffers have no end here: every write is taken at once.
    """

    def __init__(self) -> None:
        self.received = bytearray()  # from the client, not read yet
        self.sent = bytearray()  # to the client, not read yet
        self.is_eof = False  # the client sends no more
        self.is_lost = False  # the client is gone
        self.is_shut = False  # the server sends no more

    @property
    def is_readable(self) -> bool:
        """Whether ``recv`` would return something."""
        return bool(self.received) or self.is_eof or self.is_lost

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end; BlockingIOError if none have come."""
        data = bytes(self.received[:size])
        if not data and not (self.is_eof or self.is_lost):
            raise BlockingIOError
        del self.received[:size]
        return data

    def send(self, data: bytes) -> int:
        """Take all of ``data``; raise BrokenPipeError when the client is gone."""
        if self.is_lost:
            raise BrokenPipeError
        self.sent += data
        return len(data)

    def fileno(self) -> int:
        """Return what no descriptor is."""
        return -1

    def shutdown(self, how: int) -> None:  # noqa: ARG002 - as a socket has it
        """Send no more."""
        self.is_shut = True

    def close(self) -> None:
        """Send and read no more."""
        self.is_shut = True


class Watcher:
    """Calls its callback while its socket has something to read. Made stopped."""

    def __init__(self, loop: Loop, sock: ServerEnd) -> None:
        self.sock = sock
        self.callback: Callback | None = None
        self._loop = loop

    def start(self, callback: Callback) -> None:
        """Call ``callback`` from now on."""
        self.callback = callback
        self._loop.watchers[self] = None

    def stop(self) -> None:
        """Call nothing."""
        self.callback = None
        self._loop.watchers.pop(self, None)

    close = stop


class Timer:
    """Calls its callback ``after`` seconds, and every ``repeat`` seconds from then on."""

    def __init__(self, loop: Loop, after: float, repeat: float) -> None:
        self.repeat = repeat
        self.deadline = 0.0
        self.callback: Callback = lambda: None
        self._loop = loop
        self._after = after

    def start(self, callback: Callback) -> None:
        """Begin."""
        self.callback = callback
        self.deadline = self._loop.clock() + self._after
        self._loop.timers[self] = None

    def stop(self) -> None:
        """Do not call any more."""
        self._loop.timers.pop(self, None)

    close = stop


class Loop:
    """The loop of one test client's server."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        # Dicts for their order: what is due runs in the order in which it was asked for.
        self.watchers: dict[Watcher, None] = {}
        self.timers: dict[Timer, None] = {}
        self._callbacks: deque[tuple[Callback, tuple[Any, ...]]] = deque()

    def run_callback(self, callback: Callback, *arguments: Any) -> None:
        """Have ``callback(*arguments)`` called soon."""
        self._callbacks.append((callback, arguments))

    def timer(self, after: float, repeat: float = 0.0) -> Timer:
        """Return a timer, not started."""
        return Timer(self, after, repeat)

    def run_callbacks(self) -> bool:
        """Call what is to be called soon, and the callbacks of readable sockets."""
        was_any = bool(self._callbacks)
        while self._callbacks:
            callback, arguments = self._callbacks.popleft()
            callback(*arguments)
        for watcher in list(self.watchers):
            if watcher.callback is not None and watcher.sock.is_readable:
                was_any = True
                watcher.callback()
        return was_any

    def run_timers(self) -> None:
        """Call what the clock has reached; a timer that repeats, once."""
        now = self.clock()
        for timer in [timer for timer in self.timers if timer.deadline <= now]:
            self._fire(timer, now)

    def run_retries(self) -> bool:
        """Call timers that do not repeat, before their time: they wait for the others' turn."""
        retries = [timer for timer in self.timers if not timer.repeat]
        for timer in retries:
            self._fire(timer, self.clock())
        return bool(retries)

    def _fire(self, timer: Timer, now: float) -> None:
        if timer.repeat:
            timer.deadline = now + timer.repeat
        else:
            timer.stop()
        timer.callback()
