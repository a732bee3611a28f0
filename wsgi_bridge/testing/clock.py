"""FakeClock: a clock that a test moves."""

from __future__ import annotations

import time
from collections.abc import Callable


class FakeClock:
    """Seconds since the epoch, as a layer and a server ask for them.

    It stands still until ``advance``; with ``is_running`` it goes on by itself too, as it must
    where other processes share the layer.
    """

    def __init__(self, *, is_running: bool = False) -> None:
        self._is_running = is_running
        self._start = time.time()
        self._advanced = 0.0
        self._followers: list[Callable[[], object]] = []

    def __call__(self) -> float:
        """Return the time."""
        return self._advanced + (time.time() if self._is_running else self._start)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass at once, and have done what has become due.

        Raise ValueError for less than 0, and what a consumer raised that ran.
        """
        if seconds < 0:
            raise ValueError(f"time goes forward: {seconds!r} s is less than 0")
        self._advanced += seconds
        for follower in list(self._followers):
            follower()

    def follow(self, follower: Callable[[], object]) -> Callable[[], None]:
        """Have ``follower()`` called after each ``advance``; return a function that ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)
