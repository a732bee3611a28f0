"""Sends of one turn of the hub in one transaction; a thread that looks out before it sleeps."""

from types import SimpleNamespace

import gevent
import pytest

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.ipc import doorbell, gathering
from wsgi_bridge.layers.ipc.doorbell import Doorbell
from wsgi_bridge.layers.ipc.gathering import MOST, Gathering


class Store:
    """What is put, batch by batch; a message to "full" is refused, and one to "gone" fails all."""

    def __init__(self):
        self.batches = []

    def put(self, entries):
        names = [name for name, _ in entries]
        if "gone" in names:
            raise ChannelLayerUnavailable("gone")
        self.batches.append(names)
        return [ChannelFull(name) if name == "full" else None for name in names]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def send(store, monkeypatch):
    # As where gevent has patched time.
    monkeypatch.setattr(gathering, "time", SimpleNamespace(sleep=gevent.sleep))
    return Gathering(store.put).send


class TestGathering:
    def test_what_greenlets_of_one_turn_send_is_put_together_in_order(self, store, send):
        names = [f"c{number}" for number in range(MOST - 1)]
        gevent.joinall([gevent.spawn(send, name, b"x") for name in names], raise_error=True)
        assert store.batches == [names]

    def test_one_that_sends_alone_does_not_wait_for_others(self, store, send):
        for number in range(3):
            send(f"c{number}", b"x")
        assert store.batches == [["c0"], ["c1"], ["c2"]]

    def test_many_are_put_by_and_by(self, store, send):
        greenlets = [gevent.spawn(send, f"c{number}", b"x") for number in range(2 * MOST + 1)]
        gevent.joinall(greenlets, raise_error=True)
        assert [len(batch) for batch in store.batches] == [MOST, MOST, 1]

    def test_large_ones_are_put_by_and_by(self, store, send):
        greenlets = [gevent.spawn(send, f"c{number}", b"x" * 200_000) for number in range(3)]
        gevent.joinall(greenlets, raise_error=True)
        assert [len(batch) for batch in store.batches] == [2, 1]

    def test_each_learns_what_became_of_its_own(self, store, send):
        greenlets = [gevent.spawn(send, name, b"x") for name in ("a", "full", "b")]
        gevent.joinall(greenlets)
        assert [type(each.exception) for each in greenlets] == [
            *(type(None), ChannelFull, type(None))
        ]
        assert store.batches == [["a", "full", "b"]]

    def test_all_learn_that_the_backend_is_gone(self, store, send):
        greenlets = [gevent.spawn(send, name, b"x") for name in ("a", "gone", "b")]
        gevent.joinall(greenlets)
        assert {type(each.exception) for each in greenlets} == {ChannelLayerUnavailable}
        send("c", b"x")
        assert store.batches == [["c"]]

    def test_one_that_is_killed_meanwhile_leaves_none_behind(self, store, send):
        killed = gevent.spawn(send, "a", b"x")
        others = [gevent.spawn(send, name, b"x") for name in ("b", "c")]
        gevent.sleep(0)
        killed.kill(block=False)
        gevent.joinall(others, timeout=5, raise_error=True)
        assert store.batches == [["a", "b", "c"]]


@pytest.fixture
def bell(tmp_path):
    heard = []
    bell = Doorbell(tmp_path, 1, lambda names, _: heard.append(names), lambda: None)
    bell.heard = heard
    bell.listen()
    yield bell
    bell.close()


class TestLookingOut:
    @pytest.fixture(autouse=True)
    def waits(self, bell, monkeypatch):
        monkeypatch.setattr(doorbell, "HAS_CORES", True)
        waits = []
        wait = bell._wait
        monkeypatch.setattr(bell, "_wait", lambda *args: (waits.append(1), wait(*args)))
        return waits

    def test_who_was_woken_at_once_looks_out_the_next_time(self, bell, waits):
        for _ in range(20):  # on a busy machine, not each of them is at once
            bell.ring(1, "a")
            bell.hear(1.0)
            if bell._comes_soon:
                break
        assert bell._comes_soon
        before = len(waits)
        bell.ring(1, "b")
        bell.hear(1.0)
        assert len(waits) == before
        assert bell.heard[-1] == {"b"}

    def test_who_looked_out_in_vain_sleeps_the_next_time(self, bell, waits):
        bell._comes_soon = True
        bell.hear(0.01)
        assert not bell._comes_soon
        assert len(waits) == 1
