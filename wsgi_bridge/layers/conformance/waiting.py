"""Blocking receives and listeners: woken, never polling, never missed."""

from __future__ import annotations

import contextlib
import resource
import statistics
import threading
import time

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.conformance.support import Case, Task, refused

__all__ = ["WaitingTests"]

#: Seconds from a send to the return of a receive that waits for it, in the median, at most: far
#: more than a wake takes, less than half of the 50 ms at which the ancestors polled.
LATENCY = 0.01

#: Seconds of waiting in which a poller would give itself away.
WAIT = 0.3
#: Seconds of a wait that is over at once.
MOMENT = 0.001

#: Seconds after which a task that was started is almost certainly in its wait. A test where it is
#: not is easier, never wrong.
SETTLE = 0.005


class WaitingTests(Case):
    """MESSAGES.md section 1: `receive` with `block`, and BaseLayer.listen."""

    #: Voluntary context switches that a wait of WAIT seconds has beyond one of a MOMENT, at most.
    #: What a receive does before it waits is in both, and some are lost, here or there, to whoever
    #: has the interpreter just then; what it does while it waits grows with the time. Polling every
    #: 50 ms makes 6 of them, polling every LATENCY 30.
    switches = 5

    def test_a_blocked_receive_gets_a_message_that_is_sent_later(self) -> None:
        """`block` waits for a message, which ends the wait long before its timeout."""
        for name in ("a", "b?c", "p!x"):
            task = Task(self.layer.receive, ["a", "b?c", "p!"], True, 4 * self.patience)
            time.sleep(SETTLE)
            self.peer.send(name, {"n": name})
            assert task.result(self.patience) == (name, {"n": name})

    def test_receive_does_not_wait_unless_asked_to(self) -> None:
        """`block=False`: whatever the timeout, the answer comes at once."""
        started = time.monotonic()
        assert self.layer.receive(["channel"], False, self.patience) == (None, None)
        assert self.layer.receive_many(["channel"], 10) == []
        assert time.monotonic() - started < self.patience

    def test_a_blocked_receive_ends_after_its_timeout(self) -> None:
        """`timeout` seconds at most, and not less."""
        started = time.monotonic()
        assert self.layer.receive(["channel"], block=True, timeout=0.02) == (None, None)
        assert self.layer.receive_many(["channel"], 10, timeout=0.02) == []
        assert 0.035 < time.monotonic() - started < 0.04 + self.patience

    def test_a_message_wakes_a_blocked_receive_at_once(self) -> None:
        """`block` waits without polling: a message goes to and fro in less than a poll would."""
        rounds = 20
        answering = Task(_answer, self.peer, rounds, self.patience)
        times = []
        for number in range(rounds):
            started = time.monotonic()
            self.layer.send("ping", {"n": number})
            expected = ("pong", {"n": number})
            assert self.layer.receive(["pong"], True, self.patience) == expected
            times.append(time.monotonic() - started)
        answering.result(self.patience)
        # A busy machine delays some of them, a poll all.
        took = statistics.median(times)
        assert took < 2 * LATENCY, f"{took / 2 * 1000:.1f} ms each"

    def test_a_blocked_receive_sleeps(self) -> None:
        """`block` waits without polling: the thread that waits is not scheduled meanwhile."""
        # Up to three times: a busy machine adds some, but takes none away for long.
        for _ in range(3):
            switches = Task(_count_polls, self.layer).result(self.patience)
            if switches <= self.switches:
                return
        raise AssertionError(f"{switches} context switches while nothing happened")

    def test_each_blocked_receiver_gets_a_message(self) -> None:
        """As many receivers end their wait as there are messages."""
        tasks = [Task(self.layer.receive, ["channel"], True, 4 * self.patience) for _ in range(4)]
        time.sleep(SETTLE)
        for number in range(4):
            self.peer.send("channel", {"n": number})
        received = [task.result(self.patience)[1] for task in tasks]
        numbers = sorted(message["n"] for message in received if message is not None)
        assert numbers == [0, 1, 2, 3]

    def test_a_group_message_wakes_a_blocked_receive(self) -> None:
        """`block` waits for group messages as well."""
        for channel, reader in (("a", "a"), ("p!x", "p!")):
            self.peer.group_add("group", channel)
            task = Task(self.layer.receive, [reader], True, 4 * self.patience)
            time.sleep(SETTLE)
            self.peer.send_group("group", {"n": 1})
            assert task.result(self.patience) == (channel, {"n": 1})
            self.peer.group_discard("group", channel)

    def test_close_ends_a_blocked_receive(self) -> None:
        """Who waits in a receive is woken, and raises ChannelLayerUnavailable."""
        task = Task(self.layer.receive, ["channel"], True, 4 * self.patience)
        time.sleep(SETTLE)
        self.layer.close()
        with refused(ChannelLayerUnavailable, "closed while waiting"):
            task.result(self.patience)

    def test_a_listener_is_woken_by_every_kind_of_put(self) -> None:
        """`wake()` is called whenever a message is put on one of `channels`."""
        self.peer.group_add("group", "p!y")
        puts = [(self.peer.send, name) for name in ("a", "b?c", "p!x")]
        for put, name in [*puts, (self.peer.send_group, "group")]:
            woken = threading.Event()
            with self.layer.listen(["a", "b?c", "p!"], woken.set):
                put(name, {})
                assert woken.wait(self.patience), "not woken"
            assert len(self.drain("a", "b?c", "p!")) == 1

    def test_who_takes_after_each_wake_misses_nothing(self) -> None:
        """It may be called for nothing, but is never missed."""
        self.reopen(capacity=1000)
        woken = threading.Event()
        received: list[int] = []
        with self.layer.listen(["channel"], woken.set):
            sending = Task(_send_numbers, self.peer, 300)
            while len(received) < 300:
                assert woken.wait(self.patience), f"{len(received)} received of 300"
                woken.clear()
                received += [message["n"] for _, message in self.drain("channel")]
        sending.result(self.patience)
        assert received == list(range(300))

    def test_a_closed_listener_is_not_woken(self) -> None:
        """`close` ends the registration; idempotent."""
        calls: list[str] = []
        kept = threading.Event()
        closed = self.layer.listen(["channel"], lambda: calls.append("closed"))
        with self.layer.listen(["channel"], kept.set):
            closed.close()
            closed.close()
            self.peer.send("channel", {})
            assert kept.wait(self.patience)
        assert calls == []

    def test_a_wake_may_use_the_layer(self) -> None:
        """No lock is held while `wake` is called."""

        def forward() -> None:
            self.layer.send("b", {"n": 1})

        with self.layer.listen(["a"], forward):
            Task(self.peer.send, "a", {}).result(self.patience)
            assert self.layer.receive(["b"], True, self.patience) == ("b", {"n": 1})


def _answer(layer: BaseLayer, rounds: int, patience: float) -> None:
    for _ in range(rounds):
        _, message = layer.receive(["ping"], True, patience)
        layer.send("pong", message or {})


def _send_numbers(layer: BaseLayer, count: int) -> None:
    for number in range(count):
        layer.send("channel", {"n": number})


def _count_polls(layer: BaseLayer) -> int:
    """Return how many more switches there are in a long wait than in a short one."""
    with contextlib.suppress(ChannelLayerUnavailable):
        layer.receive(["channel"], True, MOMENT)  # connects, imports
    return _count_switches(layer, WAIT) - _count_switches(layer, MOMENT)


def _count_switches(layer: BaseLayer, seconds: float) -> int:
    # Of this thread where the system tells them apart (Linux), else of the process.
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    before = resource.getrusage(who).ru_nvcsw
    layer.receive(["channel"], True, seconds)
    return resource.getrusage(who).ru_nvcsw - before
