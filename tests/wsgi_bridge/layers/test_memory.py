"""The memory layer beyond the contract: its lock, its sweeping, forks, finalizers, logs."""

import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from wsgi_bridge.exceptions import ChannelFull, InvalidMessage
from wsgi_bridge.layers import memory
from wsgi_bridge.layers.conformance import ManualClock
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.queue import NO_ROOM, ROOM, Room
from wsgi_bridge.layers.statistics import RATE_WINDOW, Meter


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def layer(clock):
    layer = MemoryLayer(clock=clock, expiry=60, capacity=3)
    yield layer
    layer.close()


class TestSweeping:
    """Queues of single-reader channels come and go by the thousand; their memory must go too."""

    def test_queues_that_were_used_once_are_forgotten_and_stay_counted(self, layer, clock):
        for number in range(5 * memory.SWEEP_SIZE):
            clock.advance(0.01)
            layer.send(f"body?{number}", {})
            layer.receive([f"body?{number}"])
        assert len(layer._queues) < 2 * memory.SWEEP_SIZE
        assert layer.global_statistics()["messages_count"] == 5 * memory.SWEEP_SIZE
        rate = layer.global_statistics()["messages_count_per_second"]
        assert 80 <= rate <= 120

    def test_abandoned_messages_are_forgotten_once_expired(self, layer, clock):
        for number in range(5 * memory.SWEEP_SIZE):
            clock.advance(1)
            layer.send(f"body?{number}", {"content": b"x"})
        assert len(layer._queues) < 2 * memory.SWEEP_SIZE

    def test_a_channel_with_a_listener_or_a_message_is_kept(self, layer, clock):
        woken = threading.Event()
        with layer.listen(["quiet"], woken.set):
            clock.advance(59)
            layer.send("waiting", {"n": 1})
            for number in range(3 * memory.SWEEP_SIZE):
                layer.receive([f"body?{number}"])
            layer.send("quiet", {"n": 2})
            assert woken.is_set()
        assert layer.receive(["waiting"]) == ("waiting", {"n": 1})
        assert layer.receive(["quiet"]) == ("quiet", {"n": 2})

    def test_nothing_is_kept_of_groups_that_everybody_left(self, layer, clock):
        for number in range(100):
            layer.group_add(f"user-{number}", f"p!{number}")
            layer.group_add(f"user-{number}", f"a{number}")
            layer.group_discard(f"user-{number}", f"p!{number}")
            layer.forget_channel(f"a{number}")
        assert layer._groups._groups == {}
        assert layer._groups._joined == {}


class TestLock:
    def test_a_finalizer_that_runs_under_the_lock_may_use_the_layer(self, layer):
        # A generator of an application, in a cycle, is finished by the garbage collector: anywhere.
        layer.group_add("group", "p!x")

        def application():
            try:
                yield
            finally:
                layer.group_discard("group", "p!x")

        iterator = application()
        next(iterator)
        cycle = [iterator]
        cycle.append(cycle)
        del cycle, iterator
        with layer._lock:
            gc.collect()
        assert layer.group_channels("group") == []

    def test_the_lock_is_native_where_gevent_has_patched(self):
        pytest.importorskip("gevent")
        code = """
            from gevent import monkey
            monkey.patch_all()
            import threading, _thread
            from wsgi_bridge.layers import open_layer
            layer = open_layer("memory://")
            native = monkey.get_original("_thread", "RLock")
            assert isinstance(layer._lock, native), layer._lock
            assert "gevent" not in type(layer._lock).__module__

            # A greenlet waits while others run, and is woken by them and by a native thread.
            import gevent
            waiting = gevent.spawn(layer.receive, ["a"], True, 5)
            gevent.sleep(0)
            layer.send("a", {"n": 1})
            assert waiting.get(timeout=5) == ("a", {"n": 1})
            waiting = gevent.spawn(layer.receive, ["a"], True, 5)
            gevent.sleep(0)
            gevent.get_hub().threadpool.spawn(layer.send, "a", {"n": 2})
            assert waiting.get(timeout=5) == ("a", {"n": 2})
        """
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        arguments = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr

    def test_the_core_does_not_import_gevent(self):
        code = "import sys, wsgi_bridge.layers.memory; assert 'gevent' not in sys.modules"
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_empty_and_unlocked(layer):
    layer.send("a", {"n": 1})
    layer.group_add("group", "a")
    with layer._lock:
        child = os.fork()
        if not child:
            empty = layer.receive(["a"]) == (None, None) and layer.group_channels("group") == []
            os._exit(0 if empty else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert layer.receive(["a"]) == ("a", {"n": 1})


class TestLosses:
    def test_a_loss_is_logged_once_a_burst(self, layer, caplog):
        caplog.set_level(logging.WARNING, logger="wsgi_bridge")
        layer.group_add("group", "p!x")
        layer.group_add("group", "p!y")
        for _ in range(10):
            layer.send_group("group", {"text": "secret"})
        assert [record.getMessage() for record in caplog.records] == [
            "a message to group group is lost for 2 members: channel p! is at capacity"
        ]
        layer.receive_many(["p!"], 100)
        for _ in range(10):
            layer.send_group("group", {})
        assert len(caplog.records) == 2

    def test_a_failed_send_changes_no_figure_but_its_own(self, layer):
        for _ in range(3):
            layer.send("a", {})
        before = layer.global_statistics()
        with pytest.raises(ChannelFull):
            layer.send("a", {})
        after = layer.global_statistics()
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {"channel_full_count", "channel_full_count_per_second"}


class TestRoom:
    """`offer` puts what nobody need be asked for, and says when somebody has to be."""

    def offered(self, layer, channel="jobs", times=3):
        return [layer.offer(channel, {"n": number}) for number in range(times)]

    def test_a_channel_has_room_up_to_its_capacity_once_it_has_a_queue(self, layer):
        assert self.offered(layer) == [False] * 3
        layer.listen(["jobs"], lambda: None)
        assert self.offered(layer, times=4) == [True] * 3 + [False]
        assert layer.pending("jobs") == 3

    def test_a_process_specific_one_too(self, layer):
        layer.listen(["reply!"], lambda: None)
        assert layer.offer("reply!a", {"n": 1})
        assert layer.receive(["reply!"]) == ("reply!a", {"n": 1})

    @pytest.mark.parametrize("is_open_before", [True, False])
    def test_a_guard_says_how_much(self, layer, is_open_before):
        if is_open_before:
            layer.listen(["jobs", "other"], lambda: None)
        layer.guard(lambda reader: Room(1) if reader == "jobs" else NO_ROOM)
        layer.listen(["jobs", "other"], lambda: None)
        assert self.offered(layer) == [True, False, False]
        assert self.offered(layer, "other") == [False] * 3
        layer.set_room("jobs", ROOM)
        assert self.offered(layer) == [True, True, False]

    def test_more_than_its_size_may_wait_while_the_oldest_is_fresh(self, layer, clock):
        layer.guard(lambda _: Room(1, patience=0.5))
        layer.listen(["jobs"], lambda: None)
        assert self.offered(layer, times=2) == [True, True]
        clock.advance(0.5)
        assert self.offered(layer, times=1) == [False]
        layer.receive_many(["jobs"], 10)
        assert self.offered(layer, times=4) == [True] * 3 + [False]

    def test_what_expired_takes_no_room(self, layer, clock):
        layer.listen(["jobs"], lambda: None)
        assert self.offered(layer) == [True] * 3
        clock.advance(61)
        layer.hand_over("jobs", {"n": 3})
        assert layer.receive_many(["jobs"], 10) == [("jobs", {"n": 3})]

    def test_a_strict_layer_checks_all(self, clock):
        layer = MemoryLayer(clock=clock, strict=True)
        layer.listen(["jobs"], lambda: None)
        assert self.offered(layer) == [False] * 3
        with pytest.raises(InvalidMessage):
            layer.hand_over("jobs", {"n": object()})


class TestMeter:
    @pytest.mark.parametrize(
        ("times", "now", "rate"),
        [
            ([], 0.0, 0.0),
            ([0.0] * 10, 0.0, 10 / RATE_WINDOW),
            ([0.0] * 10, RATE_WINDOW - 0.1, 10 / RATE_WINDOW),
            ([0.0] * 10, RATE_WINDOW, 0.0),
            ([0.0] * 10 + [4.0] * 5, 6.0, 5 / RATE_WINDOW),
            ([number / 10 for number in range(1000)], 100.0, 10.0),
        ],
    )
    def test_a_rate_is_over_the_last_window(self, times, now, rate):
        meter = Meter()
        for time in times:
            meter.add(time)
        assert meter.total == len(times)
        assert meter.rate(now) == pytest.approx(rate, rel=0.25)

    def test_a_meter_stays_small(self):
        meter = Meter()
        for number in range(10_000):
            meter.add(number / 7)
        assert len(meter.marks) <= RATE_WINDOW + 1
