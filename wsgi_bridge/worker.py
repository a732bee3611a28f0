"""The worker loop: takes messages from the layer, runs their consumers, survives whatever they do.

It knows no server and no gevent: what runs a consumer (a pool of greenlets, later of threads) and
what calls ``pump`` soon are given to it. Rules kept here:

- a consumer may raise, exit, send to full channels or close twice: it is logged with the route's
  name, the peer is answered (MESSAGES.md section 5), and the loop goes on
- what a consumer sent goes out when it has ended, also when it failed; the acknowledgement of a
  WebSocket event goes out after that, always, and exactly once (section 3)
- messages are taken only as fast as there is room to run them: what cannot run waits in the layer,
  where its capacity counts
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_bridge.add_ons import AllRecurring
from wsgi_bridge.consumers import Message, Outbox
from wsgi_bridge.deadlines import Deadlines, stack_of
from wsgi_bridge.delays import DELAY
from wsgi_bridge.events.consumers import (
    CONSUMER_FAILED,
    CONSUMER_GIVEN_UP,
    CONSUMER_LAYER_UNAVAILABLE,
    CONSUMER_MESSAGE_LOST,
    CONSUMER_NOT_PUT_OFF,
    CONSUMER_TIMEOUT,
)
from wsgi_bridge.exceptions import (
    ChannelLayerError,
    ChannelLayerUnavailable,
    ConsumeLater,
    ConsumerTimeout,
    DenyConnection,
)
from wsgi_bridge.outbox import Failures, Outlet, current_outbox
from wsgi_bridge.presence import PresenceRegister
from wsgi_bridge.presence.roll import CHECK
from wsgi_bridge.protocols.http import error_response
from wsgi_bridge.releaser import Releaser
from wsgi_bridge.retries import put_off
from wsgi_bridge.route_reports import RouteReporter, load_snapshots, merge
from wsgi_bridge.route_statistics import RouteStatistics, count_routes, report, take_snapshot
from wsgi_bridge.routing import Match
from wsgi_bridge.site import HijackedSocket, Site
from wsgi_bridge.wsgi import RETRY_AFTER, WsgiApp

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.layers.base import BaseLayer, Batch
    from wsgi_bridge.outgoing import Outgoing

logger = logging.getLogger(__name__)

# Messages taken in one operation at most.
BATCH = 64
# Seconds between two attempts at an acknowledgement whose reply channel is full.
ACK_RETRY_DELAY = 0.05
# Every channel that a protocol server sends to, routed or not: what nobody receives would fill up.
PROTOCOL_CHANNELS = frozenset(
    (
        "http.request",
        "http.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
    )
)

_SERVER_ERROR = {"status": 500, "headers": [[b"Content-Type", b"text/plain; charset=utf-8"]],
                 "content": b"500 Internal Server Error\n"}  # fmt: skip
_UNAVAILABLE = error_response(503, headers=RETRY_AFTER)


# A context manager, made with a number of seconds, which raises ConsumerTimeout out of its block.
TimeLimit = Callable[[float], AbstractContextManager[object]]


class Pool(Protocol):
    """What runs consumers."""

    @property
    def free(self) -> int:
        """How many more can start now."""

    @property
    def time_limit(self) -> TimeLimit | None:
        """Interrupts who runs in the pool; None if nothing can."""

    def start(self, job: Callable[[Any, Any], None], first: Any, second: Any) -> None:
        """Run ``job(first, second)``."""


class Worker:
    """The worker loop of one process.

    ``pump_soon`` is to be called whenever there may be something to take, and room to run it: it is
    the layer's wake, and the pool's when it has room again. ``make_wakeup(function)`` returns a
    callable that has ``function`` called soon. ``app`` is served in place of the bridge's own;
    ``environ`` is added to the environ of every request; ``socket_of`` gives the socket behind a
    reply channel, under ``socket_key`` in the environ, to an app that hijacks.
    """

    def __init__(
        self,
        bridge: Bridge,
        layer: BaseLayer,
        make_wakeup: Callable[[Callable[[], None]], Callable[[], None]],
        *,
        software: str = "wsgi-bridge",
        multithread: bool = True,
        multiprocess: bool = False,
        environ: dict[str, object] | None = None,
        app: WsgiApp | None = None,
        socket_of: Callable[[str], HijackedSocket | None] | None = None,
        socket_key: str = "gunicorn.socket",
    ) -> None:
        self.bridge = bridge
        self.layer = layer
        self.router = bridge.router
        self.channels = sorted(channels_of(bridge))
        self.pump_soon = make_wakeup(self.pump)
        self.pool: Pool
        self._listener: Any = None
        self._time_limit: TimeLimit | None = None
        self._outlet: Outlet | None = None
        self._deadlines = Deadlines()
        #: Puts scheduled messages on their channels; see `start_services`.
        self.releaser = Releaser(
            layer,
            serves_delays=DELAY not in self.router.channels,
            periodic=AllRecurring(bridge.periodic),
        )
        self._presence = PresenceRegister(layer, self.router.channels, self.releaser.wake)
        self._site = Site(
            app or bridge.app,
            layer,
            self.router,
            environ={} if environ is None else environ,
            software=software,
            multithread=multithread,
            multiprocess=multiprocess,
            socket_of=socket_of,
            socket_key=socket_key,
        )
        self._statistics = {
            route: RouteStatistics(route.name, route.channels) for route in self.router.routes
        }
        #: Reports what was counted to where other processes find it.
        self.reporter = RouteReporter(layer, self._take_snapshot, self._changes)
        bridge.attach_routes(self.statistics, self.all_statistics)
        bridge.attach_delays(self.releaser.statistics)
        self._unrouted: dict[str, Callable[[dict[str, Any]], None]] = {
            "http.request": self._site.run,
            "websocket.connect": self._site.answer_connect,
            "websocket.receive": self._acknowledge,
            CHECK: self._presence.check,
        }
        self._watches_ends = self._presence.is_in_use
        if self._watches_ends:
            self._unrouted["websocket.disconnect"] = self._presence.on_disconnect

    def start(self, pool: Pool) -> None:
        """Begin to take messages, and to run their consumers in ``pool``."""
        self.pool = pool
        self._time_limit = pool.time_limit
        self._listener = self.layer.listen(self.channels, self.pump_soon)
        self.pump_soon()
        self.start_services()

    @property
    def outgoing(self) -> Outgoing | None:
        """Where the last messages of a run wait for those of the next, if its pool has that."""
        return None if self._outlet is None else self._outlet[0]

    @outgoing.setter
    def outgoing(self, outgoing: Outgoing | None) -> None:
        self._outlet = None if outgoing is None else (outgoing, self._settle)
        self._site.outgoing = outgoing

    def start_services(self, *, is_fed: bool = False) -> None:
        """Report what is counted, put what is scheduled when it is due, and serve `asgi.delay`.

        Until `stop`. For who takes the messages in place of `pump`; `start` does it. `is_fed`:
        whether the releaser is told what comes on its channels; see Releaser.
        """
        self.reporter.start()
        self.releaser.start(is_fed=is_fed)

    def stop(self) -> None:
        """Take no more messages. Those taken go on. From any thread; idempotent."""
        self.releaser.stop()
        self.reporter.stop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def pump(self) -> None:
        """Take as many messages as can run now, one batch at the most, and start them."""
        room = min(self.pool.free, BATCH)
        if room <= 0 or self._listener is None:
            return  # the pool calls again when it has room
        try:
            batch = self.layer.receive_many(self.channels, room)
        except ChannelLayerUnavailable:
            return  # it says so in the log itself, and wakes us when it is back
        self.note_taken(batch)
        start, run = self.pool.start, self.run
        for channel, message in batch:
            start(run, channel, message)
        if len(batch) == room:
            self.pump_soon()

    def note_taken(self, batch: Batch) -> None:
        """Hear of messages before the first of them is run: for who keeps accounts."""

    def run(self, channel: str, message: dict[str, Any]) -> None:
        """Handle one message. Raises nothing but what ends a greenlet or the process."""
        self.run_match(self.router.match(channel, message), channel, message)

    def run_match(self, match: Match | None, channel: str, message: dict[str, Any]) -> None:
        """Handle one message, which has been matched."""
        if match is not None:
            self._run_consumer(match, channel, message)
            return
        handle = self._unrouted.get(channel)
        if handle is not None:
            handle(message)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return what was counted of each route, and of the site under SITE.

        Asks the layer; raises ChannelLayerUnavailable.
        """
        return report(self._counted(), self.layer)

    def all_statistics(self) -> dict[str, dict[str, Any]]:
        """Return the same of all processes that share the layer, others as of their last report.

        Asks the layer; raises ChannelLayerUnavailable.
        """
        others = load_snapshots(self.layer, without=self.reporter.name)
        return merge([self._take_snapshot(), *others], self.layer)

    def route_counts(self) -> dict[str, dict[str, int]]:
        """Return what was counted of each route and only grows. Asks nobody."""
        return count_routes(self._counted())

    def _take_snapshot(self) -> dict[str, dict[str, Any]]:
        return take_snapshot(self._counted())

    def _changes(self) -> int:
        return sum(route.changes for route in self._counted())

    def _counted(self) -> list[RouteStatistics]:
        return [self._site.statistics, *self._statistics.values()]

    def route_name(self, channel: str, message: dict[str, Any]) -> str:
        """Return what logs call the consumer of a message: its route's line, or the channel."""
        match = self.router.match(channel, message)
        return channel if match is None else match.route.name

    # Consumers

    def _run_consumer(self, match: Match, channel: str, content: dict[str, Any]) -> None:
        route = match.route
        outbox = Outbox(self.layer, route.name)
        reply = content.get("reply_channel")
        statistics = self._statistics[route]
        statistics.begun = number = statistics.begun + 1
        begun = perf_counter() if number >= statistics.next_timed else 0.0
        token = current_outbox.set(outbox)  # as `with outbox` does, without its two calls
        try:
            if route.timeout is None:
                match.consumer(Message(content, channel, self.layer), **match.kwargs)
            else:
                self._run_in_time(match, channel, content, outbox, route.timeout)
        except DenyConnection as exc:
            self._deny(outbox, reply, exc)
        except BaseException as exc:
            is_put_off = isinstance(exc, ConsumeLater) and not outbox.is_shut
            if is_put_off and self._put_off(match, channel, content, exc):
                outbox.shut()
            else:
                self._fail(match, channel, reply, outbox, exc)
            # Whatever it is: a gevent.Timeout is no Exception, and must not accept a handshake.
            if not isinstance(exc, (Exception, SystemExit)):
                raise
        finally:
            current_outbox.reset(token)
            statistics.ended += 1
            if begun:
                statistics.add_time(perf_counter() - begun)
            if not outbox.is_shut:
                self._flush(outbox, channel, content, reply)

    def _fail(
        self, match: Match, channel: str, reply: str | None, outbox: Outbox, exc: BaseException
    ) -> None:
        """Log and count a failure, and tell the peer, unless it was told already."""
        statistics = self._statistics[match.route]
        answer = _SERVER_ERROR
        if isinstance(exc, ChannelLayerUnavailable):
            CONSUMER_LAYER_UNAVAILABLE.log(
                logger,
                "the consumer failed: %(route)s: %(cause)s",
                cause=exc,
                route=match.route.name,
            )
            answer = _UNAVAILABLE
        else:
            CONSUMER_FAILED.log(
                logger,
                "the consumer failed: %(route)s",
                cause=exc,
                exc_info=exc,
                route=match.route.name,
            )
        if not outbox.is_shut:
            statistics.errors += 1
            statistics.timeouts += isinstance(exc, ConsumerTimeout)
            _answer_failure(outbox, channel, reply, match.route.on_error, answer)

    def _put_off(
        self, match: Match, channel: str, content: dict[str, Any], exc: BaseException
    ) -> bool:
        """Have a message come again, and its peer wait till then; False when it cannot."""
        try:
            due = put_off(self.layer, match.route, channel, content, exc)
        except (ChannelLayerError, NotImplementedError) as failure:
            CONSUMER_NOT_PUT_OFF.log(
                logger,
                "%(route)s: a message cannot be put off: %(cause)s",
                cause=failure,
                route=match.route.name,
            )
            return False
        if due is None:
            CONSUMER_GIVEN_UP.log(
                logger,
                "%(route)s: given up after %(retries)d retries",
                cause=exc,
                route=match.route.name,
                retries=match.route.retries,
            )
            return False
        self._statistics[match.route].retries += 1
        logger.info("%s: again later: %s", match.route.name, exc)
        self.releaser.wake()
        return True

    def _run_in_time(
        self, match: Match, channel: str, content: dict[str, Any], outbox: Outbox, seconds: float
    ) -> None:
        """Run a consumer that may take no longer than that: interrupt it, or else give it up."""
        if self._time_limit is not None:
            limit = self._time_limit(seconds)
        else:
            give_up = partial(self._give_up, match, channel, content, outbox)
            limit = self._deadlines.within(seconds, give_up)
        with limit:
            match.consumer(Message(content, channel, self.layer), **match.kwargs)

    def _give_up(
        self, match: Match, channel: str, content: dict[str, Any], outbox: Outbox, ident: int
    ) -> None:
        """Answer in place of a consumer that nothing can interrupt. Called while it still runs."""
        route = match.route
        statistics = self._statistics[route]
        statistics.errors += 1
        statistics.timeouts += 1
        CONSUMER_TIMEOUT.log(
            logger,
            "the consumer is not done in %(timeout)s s, and given up: %(route)s; "
            "it is at\n%(stack)s",
            cause="timeout",
            timeout=route.timeout,
            route=route.name,
            stack=stack_of(ident),
        )
        _answer_failure(outbox, channel, content.get("reply_channel"), route.on_error)
        outbox.shut()
        self._flush(outbox, channel, content, content.get("reply_channel"))

    def _flush(
        self,
        outbox: Outbox,
        channel: str,
        content: dict[str, Any],
        reply: str | None,
    ) -> None:
        """Send what the consumer sent; what the contract says beside it."""
        ack = None
        if channel == "websocket.receive" and reply is not None:
            ack = (reply, content.get("order", 0))
        elif channel == "websocket.connect" and reply is not None:
            if not outbox.answered(reply):
                # A path with a route is accepted unless its consumer says otherwise.
                outbox.send(reply, {"accept": True})
            window = self.router.window_of(content)
            if window > 1:
                outbox.widen(reply, window)
        failures = outbox.flush(ack=ack, outlet=self._outlet)
        if failures:
            _log_lost(failures, outbox)
            if ack is not None and not outbox.acknowledged:
                self._acknowledge_late(*ack)
        if self._watches_ends and channel == "websocket.disconnect":
            self._presence.on_disconnect(content)

    def _settle(self, outbox: Outbox, failures: Failures) -> None:
        """Take note of what failed in the end, in a thread that may not wait."""
        _log_lost(failures, outbox)
        if outbox.ack is not None and not outbox.acknowledged:
            Thread(target=self._acknowledge_late, args=outbox.ack, daemon=True).start()

    def _acknowledge_late(self, reply: str, order: int) -> None:
        """Try again: without its acknowledgement a socket waits until the layer's expiry."""
        deadline = time.monotonic() + self.layer.expiry
        while time.monotonic() < deadline:
            time.sleep(ACK_RETRY_DELAY)
            try:
                self.layer.send(reply, {"ack": order})
            except ChannelLayerError:
                continue
            return

    def _deny(self, outbox: Outbox, reply: str | None, exc: DenyConnection) -> None:
        if reply is not None:
            outbox.withdraw(reply)
            content = exc.reason.encode()
            outbox.send(reply, {"accept": False, "status": exc.status, "content": content})

    def _acknowledge(self, message: dict[str, Any]) -> None:
        """Let the next event of a socket come whose events nobody has a route for."""
        reply, order = message["reply_channel"], message["order"]
        try:
            self.layer.send(reply, {"ack": order})
        except ChannelLayerError:
            self._acknowledge_late(reply, order)


def channels_of(bridge: Bridge) -> frozenset[str]:
    """Return the channels that a worker of this site takes messages from."""
    return PROTOCOL_CHANNELS | bridge.router.channels | {CHECK}


def _log_lost(failures: Failures, outbox: Outbox) -> None:
    """Say which messages of a consumer were lost; a burst of them in one line."""
    lost = Counter((name, repr(exc)) for name, exc in failures)
    for (name, error), times in lost.items():
        more = " (%(times)d times)" if times > 1 else ""
        CONSUMER_MESSAGE_LOST.log(
            logger,
            "%(route)s: a message to %(channel)s was lost: %(cause)s" + more,
            cause=error,
            route=outbox.sender,
            channel=name,
            times=times,
        )


def _answer_failure(
    outbox: Outbox,
    channel: str,
    reply: str | None,
    on_error: str,
    answer: dict[str, Any] = _SERVER_ERROR,
) -> None:
    """Tell the peer that its consumer failed: the table of MESSAGES.md section 5."""
    if reply is None:
        return
    if channel == "http.request":
        # Ends the response if its head is out already: a second head breaks it off.
        outbox.send(reply, answer)
    elif channel == "websocket.connect":
        outbox.withdraw(reply)
        # A socket that the consumer accepted at once (`immediately`) is open: 1011 is for that one.
        outbox.send(reply, {"accept": False, "close": 1011, **answer})
    elif channel == "websocket.receive" and on_error == "close":
        outbox.send(reply, {"close": 1011})
