"""What the parts of the suite share: the clock, the layers of a test, and tasks beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from wsgi_bridge.layers.base import BaseLayer

__all__ = ["Case", "ManualClock", "Task", "refused"]

_Error = TypeVar("_Error", bound=Exception)


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time it was moved to."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.now += seconds


class Case:
    """Opens a layer for each test, and closes all that a test opened."""

    #: Seconds after which a task that should have been woken is given up.
    patience = 5.0

    clock: ManualClock
    layer: BaseLayer
    peer: BaseLayer

    def make_layer(self, **options: Any) -> BaseLayer:
        """Return a new, empty layer with these options of BaseLayer."""
        raise NotImplementedError("inherit LayerConformance and return a layer from make_layer")

    def make_peer(self, layer: BaseLayer) -> BaseLayer:
        """Return a second handle on what `layer` is connected to; itself, if it is not shared."""
        return layer

    def setup_method(self) -> None:
        """Open `layer` and its `peer`, with the defaults."""
        self.clock = ManualClock()
        self._opened: list[BaseLayer] = []
        self.layer, self.peer = self.reopen()

    def teardown_method(self) -> None:
        """Close every layer of the test."""
        for layer in self._opened:
            layer.close()

    def reopen(self, **options: Any) -> tuple[BaseLayer, BaseLayer]:
        """Return a layer with other options than the defaults, and its peer; both set as well."""
        self.layer = self.make_layer(clock=self.clock, **options)
        self._opened.append(self.layer)
        self.peer = self.make_peer(self.layer)
        self._opened.append(self.peer)
        return self.layer, self.peer

    def drain(self, *channels: str, compact: bool = False) -> list[tuple[Any, dict[str, Any]]]:
        """Return all that waits on `channels`, in the order of arrival."""
        messages = []
        while batch := self.layer.receive_many(channels, 10, 0.0, compact=compact):
            messages += batch
        return messages


class Task:
    """A call in a thread beside the test (a greenlet, where gevent has patched threading)."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)
        self._outcome: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        function, arguments = self._call
        try:
            self._outcome = function(*arguments)
        except Exception as exc:  # handed to whoever asks for the result
            self._error = exc

    def result(self, patience: float) -> Any:
        """Return what the call returned, or raise what it raised; wait `patience` s at most."""
        self._thread.join(patience)
        assert not self._thread.is_alive(), f"not done after {patience} s: {self._call}"
        if self._error is not None:
            raise self._error
        return self._outcome


@contextlib.contextmanager
def refused(expected: type[_Error], what: object = "") -> Iterator[list[_Error]]:
    """Check that the body raises `expected`, and put it in the list; name `what` if it does not."""
    errors: list[_Error] = []
    try:
        yield errors
    except expected as exc:
        errors.append(exc)
        return
    raise AssertionError(f"expected {expected.__name__}: {what!r}")
