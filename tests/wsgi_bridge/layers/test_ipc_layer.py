"""The ipc layer in one process, beyond the contract: sweeping, finalizers, changes in groups."""

import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from wsgi_bridge.layers.concurrency import is_cooperative
from wsgi_bridge.layers.conformance import ManualClock
from wsgi_bridge.layers.ipc import IpcLayer, figures, membership
from wsgi_bridge.layers.ipc.records import PLAIN, encode_entry
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.statistics import RATE_WINDOW


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def layer(tmp_path, clock):
    with contextlib.closing(IpcLayer(tmp_path / "ipc", clock=clock, capacity=1000)) as layer:
        yield layer


def keys(layer, prefix):
    """Return what is in the store under a letter of `records`."""
    scan = layer._attach().store.read
    return scan(lambda txn: [key for key, _ in Session(txn, 0.0).scan(prefix)])


def sweep(layer):
    layer._attach()._sweep_idle(limit=10_000)


class TestSweeping:
    def test_channels_that_were_used_once_are_forgotten_and_stay_counted(self, layer, clock):
        for number in range(300):
            layer.send(f"body?{number}", {})
            layer.receive([f"body?{number}"])
        clock.advance(RATE_WINDOW + 2)
        sweep(layer)
        assert keys(layer, b"c") == keys(layer, b"r") == keys(layer, b"o") == []
        assert layer.global_statistics()["messages_count"] == 300

    def test_channels_are_forgotten_as_fast_as_they_come(self, layer, clock, monkeypatch):
        monkeypatch.setattr(figures, "SWEEP_SIZE", 20)
        for number in range(300):
            layer.send(f"body?{number}", {})
            layer.receive([f"body?{number}"])
        layer._attach()._sweep()
        assert len(keys(layer, b"c")) == 300
        clock.advance(RATE_WINDOW + 2)
        for _ in range(2):  # the first one goes on from where it was, to the end
            layer._attach()._sweep()
        assert keys(layer, b"c") == []

    def test_abandoned_messages_are_forgotten_once_expired(self, layer, clock):
        for number in range(300):
            layer.send(f"body?{number}", {"content": b"x"})
        clock.advance(61)
        sweep(layer)
        clock.advance(RATE_WINDOW + 2)
        sweep(layer)
        assert keys(layer, b"q") == keys(layer, b"c") == []
        assert layer.global_statistics()["messages_expired_count"] == 300

    def test_a_channel_with_a_listener_or_a_message_is_kept(self, layer, clock):
        with layer.listen(["quiet"], int):
            layer.send("waiting", {"n": 1})
            clock.advance(RATE_WINDOW + 2)
            sweep(layer)
            assert keys(layer, b"c") == [b"quiet", b"waiting"]

    def test_nothing_is_kept_of_groups_that_everybody_left(self, layer):
        for number in range(100):
            for name in (f"p!{number}", f"a{number}"):
                layer.group_add(f"user-{number}", name)
            layer.group_discard(f"user-{number}", f"p!{number}")
            layer.forget_channel(f"a{number}")
        layer.receive(["p!"])
        assert keys(layer, b"m") == keys(layer, b"g") == keys(layer, b"k") == []


class TestChanges:
    def test_changes_that_nobody_takes_note_of_are_bounded(self, layer):
        for _ in range(membership.CHANGES_TO_KEEP):
            layer.group_add("group", "p!x")
            layer.group_add("group", "p!y")
            layer.group_discard("group", "p!y")
        assert len(keys(layer, b"k")) <= membership.CHANGES_TO_KEEP
        layer.send_group("group", {})
        assert layer.receive_many(["p!"], 10, compact=True) == [(("p!x",), {})]

    def test_a_new_owner_finds_the_members_as_of_each_message(self, layer):
        layer.group_add("group", "p!a")
        layer.send_group("group", {"n": 1})
        assert layer.receive_many(["p!"], 1, compact=True) == [(("p!a",), {"n": 1})]
        layer.group_add("group", "p!b")
        layer.send_group("group", {"n": 2})
        layer.group_discard("group", "p!a")
        layer.send_group("group", {"n": 3})
        layer._attach().memberships.disown()  # as by another process
        first, second = layer.receive_many(["p!"], 10, compact=True)
        assert (sorted(first[0]), first[1]) == (["p!a", "p!b"], {"n": 2})
        assert second == (("p!b",), {"n": 3})


class TestWaiting:
    @pytest.mark.skipif(is_cooperative(), reason="only native threads hear for themselves")
    def test_a_thread_that_has_heard_something_goes_back_to_sleep(self, layer, monkeypatch):
        attachment, received, looks = layer._attach(), [], []
        hear = attachment.doorbell.hear
        monkeypatch.setattr(
            attachment.doorbell, "hear", lambda timeout: (looks.append(1), hear(timeout))
        )
        waiting = threading.Thread(target=lambda: received.append(layer.receive(["jobs"], True)))
        waiting.start()
        while not looks:
            time.sleep(0.001)
        attachment.rouse("jobs")  # as another process does whose message somebody else has taken
        while len(looks) < 2:
            time.sleep(0.001)
        time.sleep(0.01)
        assert len(looks) < 50  # one a second is for the sweep
        layer.send("jobs", {"n": 1})
        waiting.join()
        assert received == [("jobs", {"n": 1})]

    def test_several_threads_that_wait_each_get_what_is_theirs(self, layer):
        got = {}

        def wait(name):
            got[name] = layer.receive([name], True, 10)

        threads = [threading.Thread(target=wait, args=(f"c{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for number in range(6):
            layer.send(f"c{number}", {"n": number})
        for thread in threads:
            thread.join(10)
        assert got == {f"c{number}": (f"c{number}", {"n": number}) for number in range(6)}

    def test_a_listener_beside_a_thread_that_waits_is_woken(self, layer):
        woken = threading.Event()
        waiting = threading.Thread(target=layer.receive, args=(["a"], True, 10))
        waiting.start()
        with layer.listen(["b"], woken.set):
            layer.send("b", {})
            assert woken.wait(10)
        layer.send("a", {})
        waiting.join(10)
        assert not waiting.is_alive()


class TestLock:
    def test_a_finalizer_that_runs_in_a_transaction_may_use_the_layer(self, layer):
        layer.group_add("group", "a")

        def application():
            try:
                yield
            finally:
                layer.group_discard("group", "a")
                layer.send("b", {})
                assert layer.receive(["b"]) == (None, None)

        iterator = application()
        next(iterator)
        cycle = [iterator]
        cycle.append(cycle)
        del cycle, iterator
        layer._attach().store.write(lambda txn: gc.collect())
        assert layer.group_channels("group") == []
        assert layer.receive(["b"]) == ("b", {})

    def test_the_layer_imports_no_gevent(self):
        code = "import sys, wsgi_bridge.layers.ipc; assert 'gevent' not in sys.modules"
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        subprocess.run(command, env=environ, check=True, timeout=30)


@pytest.mark.parametrize(
    "row",
    [b"", b"\0" * 12, b"\xff" * 20, encode_entry(0.0, PLAIN, "", b"")[:9],
     encode_entry(2.0**40, PLAIN, "", b"\xc1"), encode_entry(2.0**40, PLAIN, "", b"\x05")],
)  # fmt: skip
def test_a_message_that_is_none_is_counted_and_keeps_no_other_back(layer, clock, row):
    def put(txn):
        session = Session(txn, clock())
        layer._attach().queues.put(session, session.record("a"), row)
        session.save()

    layer.send("a", {"n": 1})
    layer._attach().write(put)
    layer.send("a", {"n": 2})
    assert layer.channel_statistics("a")["messages_pending"] == 3
    taken = [message for _ in range(2) for _, message in layer.receive_many(["a"], 10)]
    assert taken == [{"n": 1}, {"n": 2}]
    assert layer.channel_statistics("a")["messages_undecodable_count"] == 1
    clock.advance(RATE_WINDOW + 2)
    sweep(layer)
    assert layer.global_statistics()["messages_undecodable_count"] == 1


def test_a_message_that_is_none_expires_with_those_before_it(layer, clock):
    def put(txn):
        session = Session(txn, clock())
        layer._attach().queues.put(session, session.record("a"), b"none")
        session.save()

    layer.send("a", {"n": 1})
    layer._attach().write(put)
    clock.advance(layer.expiry + 1)
    sweep(layer)
    figures = layer.global_statistics()
    assert (figures["messages_expired_count"], figures["messages_undecodable_count"]) == (1, 1)
    assert figures["messages_pending"] == 0
