"""The members of a group in one process: whether each got every message once and in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.layers.messages import WrongMessageError, news


class Crowd:
    """The members of this process, each of which calls `hear` with what it got.

    Calls `finished(number, time)` when the last one has heard a message: the time is that of
    CLOCK_MONOTONIC, which all processes of the machine share.
    """

    def __init__(self, size: int, finished: Callable[[int, float], object]) -> None:
        self._finished = finished
        self._heard = [0] * size
        self._sender = ""
        self._missing = 0

    def hear(self, member: int, message: dict[str, Any]) -> None:
        """Note that a member got a message. Raises WrongMessageError unless it is its next one."""
        number = message["number"]
        if number == 1 and message["sender"] != self._sender:
            self._sender = message["sender"]
            self._heard = [0] * len(self._heard)
        if number != self._heard[member] + 1 or message != news(self._sender, number):
            raise WrongMessageError(
                f"member {member} heard {self._heard[member]} messages of {self._sender}, "
                f"and then got {message!r}"
            )
        self._heard[member] = number
        self._missing = (self._missing or len(self._heard)) - 1
        if not self._missing:
            self._finished(number, time.monotonic())
