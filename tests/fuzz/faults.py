"""Faults that nobody is told of but the log: an exception in the hub, or one that was caught."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from gevent import get_hub


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])

    def take(self, context: Any, kind: Any, exc: BaseException, traceback: Any) -> None:
        self.found.append(exc)


@contextlib.contextmanager
def revealed() -> Iterator[None]:
    """Raise, at the end of the block, the first of those that were in it."""
    faults, root, hub = _Faults(), logging.getLogger(), get_hub()
    root.addHandler(faults)
    hub.print_exception = faults.take
    try:
        yield
    finally:
        root.removeHandler(faults)
        del hub.print_exception
    if faults.found:
        raise faults.found[0]
