"""The logger that the websockets library is given: connections are logged by their owner."""

from __future__ import annotations

from typing import Any


class _Silence:
    """A logger that drops everything, without asking what it costs to find out."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802 - as logging has it
        return False

    def info(self, *args: object, **kwargs: object) -> None:
        """Drop it."""

    error = debug = info


SILENCE: Any = _Silence()
