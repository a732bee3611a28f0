"""Engine: a protocol server and a worker around a site, in one thread, without sockets.

The server, its WebSockets, the worker loop and the layer are the real ones. The engine takes the
place of the hub: ``run`` lets everybody have their turn, the server first, until nothing is due.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.consumers import set_default_layer
from wsgi_bridge.layers import BaseLayer, open_layer
from wsgi_bridge.layers.base import ChannelCapacity
from wsgi_bridge.outbox import maybe_default_layer
from wsgi_bridge.server.server import ProtocolServer
from wsgi_bridge.server.sockets import WebSockets
from wsgi_bridge.testing.clock import FakeClock
from wsgi_bridge.testing.interleaved import InterleavedLayer, Polled
from wsgi_bridge.testing.loop import Loop
from wsgi_bridge.testing.strands import Strands
from wsgi_bridge.testing.worker import NoSocket, WatchedWorker

# Messages of one process: what a burst of its connections has in flight is no overload (as in
# gunicorn_asgi.Worker).
CAPACITY = 1000
CHANNEL_CAPACITY: ChannelCapacity = {
    "http.*": CAPACITY,
    "websocket.*": CAPACITY,
    "asgi.delay": CAPACITY,
    "test.response.*": 16 * CAPACITY,
}


class Engine:
    """Runs a site for test clients. Use it from one thread.

    ``layer`` is a URL, or an open layer, which is left open. It is the process's layer until
    ``close``.
    """

    def __init__(
        self,
        application: Bridge | Callable[..., Iterable[bytes]],
        layer: str | BaseLayer,
        *,
        clock: FakeClock | None = None,
        hold: Sequence[str] = (),
        environ: dict[str, object] | None = None,
        raise_exceptions: bool = True,
    ) -> None:
        self.bridge = application if isinstance(application, Bridge) else Bridge(application)
        is_shared = not (isinstance(layer, str) and layer.startswith("memory:"))
        self.clock = clock or FakeClock(is_running=is_shared)
        self.raise_exceptions = raise_exceptions
        self._opened = self._open(layer) if isinstance(layer, str) else None
        self.strands = Strands(self.clock)
        self.shared_layer = self._opened or cast(BaseLayer, layer)
        self._turns = InterleavedLayer(self.shared_layer, self.strands, self.clock)
        self.layer = cast(BaseLayer, self._turns)
        self._outer_layer = maybe_default_layer()
        self._give_back = self.bridge.lend_layer(self.layer)
        self.loop = Loop(self.clock)
        # A test moves its clock by hours, and its clients answer pings when they are read.
        settings = dataclasses.replace(self.bridge.settings, ping_interval=0.0)
        self.server = ProtocolServer(
            self.layer, settings, name="test", clock=self.clock, loop=self.loop,
            make_wakeup=Polled,
        )  # fmt: skip
        self._turns.reply_prefix = self.server.reply_prefix
        self.sockets = WebSockets(self.server)
        self.worker = WatchedWorker(
            self.bridge,
            self.layer,
            Polled,
            multithread=False,
            environ=environ,
            socket_of=lambda _: NoSocket(),
            hold=hold,
        )
        self.worker.start(self.strands)
        self.server.start()
        self._unfollow = self.clock.follow(self._on_advance)

    def _open(self, url: str) -> BaseLayer:
        return open_layer(url, clock=self.clock, channel_capacity=CHANNEL_CAPACITY)

    def close(self) -> None:
        """End everything: connections as if their clients had gone, and what consumers wait for."""
        self._unfollow()
        self.strands.close()
        self.worker.stop()
        self.server.close()
        self._give_back()
        set_default_layer(self._outer_layer)
        if self._opened is not None:
            self._opened.close()

    # Turns

    def run(self) -> None:
        """Do everything that is due, and what that makes due. Then raise what a consumer raised."""
        self._run_all()
        while self.loop.run_retries() and self._run_all():
            pass
        self.raise_failure()

    def _run_all(self) -> bool:
        """Let everybody have their turn until nobody needs one; whether anybody did."""
        has_run = False
        while self._run_server() or self.strands.run() or self._run_worker() or self._release_due():
            has_run = True
        return has_run

    def _run_server(self) -> bool:
        taken = self._turns.taken
        self.server.dispatch()
        return self.loop.run_callbacks() or self._turns.taken > taken

    def _run_worker(self) -> bool:
        taken = self._turns.taken
        self.worker.pump()
        return self._turns.taken > taken

    def _release_due(self) -> bool:
        return self.worker.releaser.turn().has_worked

    def run_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Run until ``condition()``; wait up to ``timeout`` real seconds for what others send.

        Return whether it came true. Blocks.
        """
        self.run()
        if condition() or not timeout:
            return condition()
        end = time.monotonic() + timeout
        woken = threading.Event()
        channels = [*self.worker.channels, *self.worker.releaser.channels]
        channels += [self.server.reply_prefix, *self.strands.channels]
        with self.shared_layer.listen(list(dict.fromkeys(channels)), woken.set):
            while not condition():
                self.run()
                if condition() or not woken.wait(max(0.0, end - time.monotonic())):
                    break
                woken.clear()
        return condition()

    def raise_failure(self) -> None:
        """Raise the first exception that a consumer let out since the last time."""
        failures, self.worker.failures = self.worker.failures, []
        if failures and self.raise_exceptions:
            raise failures[0]

    def run_channel(self, channel: str) -> int:
        """Run the consumer of each message that waits on ``channel``; return how many there were.

        For a channel that is held, which nothing else takes from.
        """
        count = 0
        while batch := self.layer.receive_many([channel], 1):
            for name, message in batch:
                self.strands.start(self.worker.run, name, message)
            count += 1
            self.run()
        return count

    def _on_advance(self) -> None:
        self.loop.run_timers()
        self.run()


def describe(waiting: Any) -> str:
    """Return what consumers wait for, for a message."""
    names = ", ".join(sorted(waiting))
    return f"; a consumer waits for {names}" if names else ""
