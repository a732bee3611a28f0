"""ProtocolServer: what the connections of one process share.

The registry of connections by reply channel, the dispatch of replies and group messages to them,
the clock's sweeps, the counters. It owns no connection: each has an owner of its own that
registers here. Everything runs in the hub and nothing blocks.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol, TypeVar

from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.events.server import (
    CONNECTION_DELIVERY_FAILED,
    CONNECTION_STOP_FAILED,
    SERVER_DEADLINE_FAILED,
    SERVER_NOTE_FAILED,
    SERVER_RETRY_FAILED,
    SERVER_TICK_FAILED,
)
from wsgi_bridge.exceptions import ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer, Batch
from wsgi_bridge.layers.concurrency import native
from wsgi_bridge.protocols.broadcast import Broadcast
from wsgi_bridge.protocols.frames import SERVICE_RESTART
from wsgi_bridge.server.answers import Answers
from wsgi_bridge.server.linger import Lingerer
from wsgi_bridge.server.outbound import Socket
from wsgi_bridge.server.wills import Wills
from wsgi_bridge.settings import Settings

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
# Called with None, or with what refused a message.
Settle = Callable[[ChannelLayerError | None], None]

READ = 1  # libev's EV_READ
# Replies taken from the layer in one operation.
DISPATCH_BATCH = 256
# Seconds between two looks at all deadlines: how late one may be noticed. A timer of libev for each
# request would cost more than parsing it; ten thousand comparisons take half a millisecond.
TICK = 0.25
# Ticks between two looks at what lasts: a second.
SLOW_TICKS = 4
# The deadline of what waits for nothing.
NEVER = float("inf")
# Seconds before a message that found its channel full is tried again.
RETRY_DELAY = 0.02


class Timed(Protocol):
    """What has a deadline, in seconds of the server's clock; NEVER for none."""

    deadline: float

    def on_due(self) -> None:
        """The deadline has passed. Called once a tick until it is moved."""


class Connection(Protocol):
    """What is registered under a reply channel."""

    def deliver(self, message: dict[str, Any]) -> None:
        """Take one message from the reply channel."""

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Take one group message, shared with other connections."""

    def stop(self, code: int) -> None:
        """The server stops: finish soon."""


@dataclass
class Counters:
    """What this process's server did, for statistics. Plain ints: only the hub writes them."""

    connections: int = 0
    websockets: int = 0
    requests_count: int = 0
    websocket_connects_count: int = 0
    websocket_messages_count: int = 0
    websocket_sent_count: int = 0
    websocket_answers_count: int = 0
    refused_full_count: int = 0
    refused_address_count: int = 0
    refused_handshakes_count: int = 0
    invalid_requests_count: int = 0
    late_requests_count: int = 0
    late_answers_count: int = 0
    slow_client_lost_count: int = 0
    silent_clients_count: int = 0
    unacknowledged_count: int = 0
    invalid_answers_count: int = 0


class ProtocolServer:
    """The server half of one process.

    ``name`` begins its reply channels (``gunicorn.response.…``). ``access_log`` is called with
    (request, status, headers, content bytes, seconds) for each finished request and socket, or is
    None. ``gathers``: whether requests and frames are put on the layer together, once a turn of the
    hub: where every one of them crosses to another process, each would cost a transaction.
    ``loop`` and ``make_wakeup`` are gevent's of this thread unless given: see testing.loop.
    """

    def __init__(
        self,
        layer: BaseLayer,
        settings: Settings,
        *,
        name: str = "gunicorn",
        software: str = "wsgi-bridge",
        access_log: Callable[..., None] | None = None,
        gathers: bool = False,
        clock: Callable[[], float] = time.monotonic,
        loop: Any = None,
        make_wakeup: Callable[[Callable[[], None]], Callable[[], None]] | None = None,
    ) -> None:
        self.layer = layer
        self.settings = settings
        self.access_log = access_log
        self.gathers = gathers
        self.clock = clock
        self.loop = loop or _hub_loop()
        self.counters = Counters()
        self.answers = Answers()
        self.connections: dict[str, Connection] = {}
        self.wills = Wills(layer)
        self.reply_prefix = f"{name}.response.{secrets.token_hex(6)}!"
        self.is_stopping = False
        self.stop_window = 0.0  # seconds over which sockets are closed, when it is stopping
        self.preamble = b""
        self._software = software.encode()
        self._sequence = itertools.count(1)
        # A dict for its order: what is asked for twice is done once.
        self._retries: dict[Callable[[], None], None] = {}
        self._posts: list[tuple[str, dict[str, Any], Settle]] = []
        self._retry_timer: Any = None
        self._tick_timer: Any = None
        self._listener: Any = None
        self._dispatch_soon = (make_wakeup or _hub_wakeup)(self.dispatch)
        self.timed: set[Timed] = set()
        self._ticks = 0
        self._slow: list[Callable[[], None]] = []
        self._often: list[Callable[[], None]] = []
        self._refresh_preamble()

    # Life

    def start(self) -> None:
        """Begin to take replies from the layer, and to look at deadlines."""
        self._listener = self.layer.listen([self.reply_prefix], self._dispatch_soon)
        self._tick_timer = self.loop.timer(TICK, TICK)
        self._tick_timer.start(self._tick)

    def stop(self, code: int = SERVICE_RESTART, window: float = 0.0) -> None:
        """Ask every connection to finish: requests are answered, sockets closed with ``code``.

        The sockets over ``window`` seconds at most. Called again with none, at once.
        """
        self.is_stopping = True
        self.stop_window = window
        for connection in list(self.connections.values()):
            try:
                connection.stop(code)
            except Exception as exc:
                CONNECTION_STOP_FAILED.log(
                    logger, "a connection could not be stopped", cause=exc, exc_info=True
                )

    def close(self) -> None:
        """Stop everything at once."""
        tell_suppressed(at_once=True)
        if self._listener is not None:
            self._listener.close()
        for timer in (self._tick_timer, self._retry_timer):
            if timer is not None:
                timer.stop()
                timer.close()

    # What connections use

    def register(self, connection: Connection) -> str:
        """Return a new reply channel that leads to ``connection``, until ``unregister``."""
        name = f"{self.reply_prefix}{next(self._sequence)}"
        self.connections[name] = connection
        return name

    def unregister(self, reply_channel: str) -> None:
        """Forget a reply channel: what still comes for it is dropped."""
        self.connections.pop(reply_channel, None)

    def linger(self, sock: Socket, watcher: Any) -> None:
        """Close ``sock`` once the peer has (or LINGER_TIMEOUT); see linger.py."""
        Lingerer(self, sock, watcher)

    def watch(self, descriptor: int, function: Callable[[], object]) -> Callable[[], object]:
        """Call ``function`` whenever ``descriptor`` is readable; return what ends that.

        What ``BaseLayer.hear_with`` is given. For the hub's thread.
        """
        watcher = self.loop.io(descriptor, READ)
        watcher.start(function)

        def unwatch() -> None:
            watcher.stop()
            watcher.close()

        return unwatch

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run ``function`` in the hub; return or raise what it does. Blocks: for other threads."""
        done = native("allocate_lock")()
        done.acquire()
        outcome: list[_Result | Exception] = []

        def run() -> None:
            try:
                outcome.append(function())
            except Exception as exc:  # the caller's, not the hub's
                outcome.append(exc)
            done.release()

        self.loop.run_callback_threadsafe(run)
        done.acquire()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def post(self, channel: str, message: dict[str, Any], settle: Settle) -> None:
        """Put a message on the layer together with all others of this turn of the hub.

        For a server that ``gathers``. ``settle`` is called in the hub, later, with None or with
        what refused the message. Who has posted a message posts no other that must come after it
        before that.
        """
        if not self._posts:
            self.loop.run_callback(self._exchange)
        self._posts.append((channel, message, settle))

    def deliver_posts(self) -> None:
        """Put what was posted on the layer now: something is about to be sent that follows it."""
        posts, self._posts = self._posts, []
        if posts:
            messages = [(channel, message) for channel, message, _ in posts]
            self._settle(posts, self.layer.hand_over_many(messages))

    def _exchange(self) -> None:
        """Put what was posted, and hand out the replies that wait: both in one operation."""
        posts, self._posts = self._posts, []
        if posts:
            messages = [(channel, message) for channel, message, _ in posts]
            readers = [self.reply_prefix]
            refusals, batch = self.layer.exchange(messages, readers, DISPATCH_BATCH, compact=True)
            self._settle(posts, refusals)
            self._hand_out(batch)

    def _settle(
        self,
        posts: list[tuple[str, dict[str, Any], Settle]],
        refusals: Sequence[ChannelLayerError | None],
    ) -> None:
        for (_, _, settle), refusal in zip(posts, refusals, strict=True):
            try:
                settle(refusal)
            except Exception as exc:
                SERVER_NOTE_FAILED.log(
                    logger,
                    "what was refused, or was not, could not be told",
                    cause=exc,
                    exc_info=True,
                )

    def retry(self, function: Callable[[], None]) -> None:
        """Call ``function`` once, a little later: its channel was full."""
        if not self._retries:
            # A new one each time: a libev timer that has run is started again with no time left.
            if self._retry_timer is not None:
                self._retry_timer.close()
            self._retry_timer = self.loop.timer(RETRY_DELAY)
            self._retry_timer.start(self._run_retries)
        self._retries[function] = None

    def watch_slowly(self, function: Callable[[], None]) -> None:
        """Call ``function`` every second."""
        self._slow.append(function)

    def watch_ticks(self, function: Callable[[], None]) -> None:
        """Call ``function`` every TICK."""
        self._often.append(function)

    # Replies

    def dispatch(self) -> None:
        """Hand every waiting reply to its connection."""
        try:
            batch = self.layer.receive_many([self.reply_prefix], DISPATCH_BATCH, compact=True)
        except ChannelLayerUnavailable:
            return  # it says so in the log itself, and wakes us when it is back
        self._hand_out(batch)

    def _hand_out(self, batch: Batch) -> None:
        connections = self.connections
        for channel, message in batch:
            if type(channel) is tuple:
                self._broadcast(channel, message)
                continue
            connection = connections.get(channel)  # type: ignore[arg-type]
            if connection is not None:
                try:
                    connection.deliver(message)
                except Exception as exc:
                    CONNECTION_DELIVERY_FAILED.log(
                        logger,
                        "reply on %(channel)s could not be delivered",
                        cause=exc,
                        exc_info=True,
                        channel=channel,
                    )
            elif "flow_channel" in message:
                self._turn_away(message["flow_channel"])
        if len(batch) == DISPATCH_BATCH:
            self._dispatch_soon()  # reads and writes of sockets get their turn in between

    def _turn_away(self, flow_channel: str) -> None:
        """Tell who begins to stream that the client has gone, or was given another answer."""
        try:
            self.layer.hand_over(flow_channel, {"closed": True})
        except ChannelLayerError as exc:
            logger.info("%s was not told: %r", flow_channel, exc)

    def _broadcast(self, members: tuple[str, ...], message: dict[str, Any]) -> None:
        broadcast = Broadcast(message)
        connections = self.connections
        for name in members:
            connection = connections.get(name)
            if connection is None:
                self.layer.forget_channel(name)  # a request that was answered meanwhile
                continue
            try:
                connection.deliver_broadcast(broadcast)
            except Exception as exc:
                CONNECTION_DELIVERY_FAILED.log(
                    logger,
                    "group message for %(channel)s could not be delivered",
                    cause=exc,
                    exc_info=True,
                    channel=name,
                )

    # The clock

    def _tick(self) -> None:
        self._refresh_preamble()
        now = self.clock()
        for item in [item for item in self.timed if item.deadline <= now]:
            try:
                item.on_due()
            except Exception as exc:
                SERVER_DEADLINE_FAILED.log(
                    logger, "what a deadline asks for failed", cause=exc, exc_info=True
                )
        for function in self._often:
            try:
                function()
            except Exception as exc:
                SERVER_TICK_FAILED.log(
                    logger, "what is done every tick failed", cause=exc, exc_info=True
                )
        self._ticks += 1
        if self._ticks % SLOW_TICKS == 0:
            tell_suppressed()
            for function in self._slow:
                function()

    def _refresh_preamble(self) -> None:
        date = formatdate(usegmt=True).encode()
        self.preamble = b"Server: %b\r\nDate: %b\r\n" % (self._software, date)

    def _run_retries(self) -> None:
        retries, self._retries = self._retries, {}
        for function in retries:
            try:
                function()
            except Exception as exc:
                SERVER_RETRY_FAILED.log(
                    logger,
                    "a message that found its channel full could not be tried again",
                    cause=exc,
                    exc_info=True,
                )


def _hub_loop() -> Any:
    """Return this thread's libev loop. Imported here: a loop may be given where gevent is not."""
    from gevent import get_hub

    return get_hub().loop


def _hub_wakeup(function: Callable[[], None]) -> Callable[[], None]:
    from wsgi_bridge.server.wakeup import Wakeup

    return Wakeup(function)
