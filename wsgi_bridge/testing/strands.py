"""Strands: consumers that run one at a time in the caller's thread, and can be left halfway.

A strand is a greenlet: its thread-local data, its database connections and its debugger are the
test's own. It runs until it ends, or until it would have to wait for the server, which is the
test's thread as well; then the test goes on, and comes back to it. It is left nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import greenlet

from wsgi_bridge.exceptions import ConsumerTimeout, RequestAborted
from wsgi_bridge.testing.clock import FakeClock

NEVER = float("inf")


class Strand(greenlet.greenlet):
    """One run of one consumer."""

    #: The channels that it waits for; none when it can go on.
    channels: Sequence[str] = ()
    #: The reply channel that it has just sent to.
    replied_to = ""
    #: When it is to be interrupted.
    deadline = NEVER


class _Interrupt(BaseException):
    """The time of a strand is up. No Exception, which a consumer might catch and go on."""


class Strands:
    """The pool of a test client's worker: it runs one message after the other.

    ``held`` are reply channels whose sender is to be left where it is, ``abandoned`` those whose
    client has gone.
    """

    #: So that the server has its turn between two messages.
    free = 1

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.held: set[str] = set()
        self.abandoned: set[str] = set()
        self._parked: list[Strand] = []
        self._is_closed = False

    @property
    def channels(self) -> set[str]:
        """What somebody waits for."""
        return {channel for strand in self._parked for channel in strand.channels}

    def start(self, job: Callable[[Any, Any], None], first: Any, second: Any) -> None:
        """Run ``job(first, second)`` until it ends or waits."""
        strand = Strand(lambda: job(first, second))
        # As in a server: what a request sets is not seen by the next one.
        strand.gr_context = Context()
        strand.switch()

    def run(self) -> bool:
        """Go on with everything that is left halfway; whether any of it could."""
        has_moved = False
        for strand in list(self._parked):
            is_late = strand.deadline <= self._clock()
            if strand.replied_to in self.held and not is_late:
                continue
            can_go_on = is_late or not strand.channels
            self._parked.remove(strand)
            strand.parent = greenlet.getcurrent()
            strand.throw(_Interrupt()) if is_late else strand.switch()
            has_moved = has_moved or can_go_on or strand.dead
        return has_moved

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Raise ConsumerTimeout out of a block that waits for longer, by the test's clock."""
        strand = greenlet.getcurrent()
        assert isinstance(strand, Strand)
        strand.deadline = self._clock() + seconds
        try:
            yield
        except _Interrupt as exc:
            raise ConsumerTimeout(f"not done in {seconds} s") from exc
        finally:
            strand.deadline = NEVER
            strand.channels, strand.replied_to = (), ""

    def pause(self, reply_channel: str) -> None:
        """Let the server have its turn with what was sent; no more than that outside a strand.

        Raise RequestAborted, once, when the client has gone: in a server an app that goes on to
        send learns that within a tenth of a second.
        """
        strand = greenlet.getcurrent()
        if not isinstance(strand, Strand) or self._is_closed:
            return
        strand.replied_to = reply_channel
        self._park(strand)
        strand.replied_to = ""
        if reply_channel in self.abandoned:
            self.abandoned.discard(reply_channel)
            raise RequestAborted("the client went away while its response was written")

    def wait(self, channels: Sequence[str]) -> None:
        """Let everybody else have their turn: nothing is on these channels. In a strand only."""
        strand = greenlet.getcurrent()
        assert isinstance(strand, Strand)
        strand.channels = channels
        self._park(strand)
        strand.channels = ()

    def close(self) -> None:
        """End what is left halfway, as a server that stops does."""
        self._is_closed = True
        while self._parked:
            strand = self._parked.pop()
            strand.parent = greenlet.getcurrent()
            strand.throw()

    def _park(self, strand: Strand) -> None:
        self._parked.append(strand)
        assert strand.parent is not None
        strand.parent.switch()


def is_in_strand() -> bool:
    """Whether the caller is a consumer that a test client runs, and no thread that it started."""
    return isinstance(greenlet.getcurrent(), Strand)
