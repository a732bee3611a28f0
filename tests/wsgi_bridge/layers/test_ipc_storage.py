"""The storage of the ipc layer beyond the contract: killed processes, what is left in the store."""

import contextlib

import pytest

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.conformance import ManualClock
from wsgi_bridge.layers.ipc import IpcLayer
from wsgi_bridge.layers.ipc.session import Session

from .storage_processes import StorageProcesses


class TestProcesses(StorageProcesses):
    @pytest.fixture
    def url(self, tmp_path):
        return f"ipc://{tmp_path}/ipc"


class TestSweeping:
    """Values and logs come and go by the thousand; their rows must go too."""

    @pytest.fixture
    def clock(self):
        return ManualClock()

    @pytest.fixture
    def layer(self, tmp_path, clock):
        options = {"clock": clock, "expiry": 60, "group_expiry": 1000}
        with contextlib.closing(IpcLayer(tmp_path / "ipc", **options)) as layer:
            yield layer

    def rows(self, layer):
        """Return the first letters of all keys of the storage."""
        store = layer._attach().store
        return store.read(
            lambda txn: {key[:1] for key, _ in Session(txn, 0.0).scan(b"") if key[:1] in b"vhutlew"}
        )

    def test_what_has_expired_leaves_no_row(self, layer, clock):
        storage = layer.storage
        for number in range(300):
            storage.save(f"value {number}", {}, ttl=10, owner=f"p!{number}")
            storage.append(f"log {number}", {}, keep=10, ttl=10)
        clock.advance(1001)
        layer._attach()._sweep_idle(limit=1000)
        layer._attach()._sweep_idle(limit=1000)
        assert self.rows(layer) == set()

    def test_sweeps_in_parts_reach_everything(self, layer, clock):
        storage = layer.storage
        for number in range(50):
            storage.save(f"value {number}", {}, ttl=10)
            storage.append(f"log {number}", {}, keep=10, ttl=10)
        storage.save("kept", {"n": 1}, ttl=1000)
        place = storage.append("kept", {"n": 1}, keep=10, ttl=1000)
        clock.advance(11)
        for _ in range(60):
            layer._attach()._sweep_idle(limit=7)
        assert storage.load("kept").value == {"n": 1}
        assert storage.read("kept", place.epoch).messages == [{"n": 1}]
        store = layer._attach().store
        for prefix, left in ((b"v", 1), (b"e", 1), (b"l", 51)):
            assert store.read(lambda txn, p=prefix: len(list(Session(txn, 0.0).scan(p)))) == left

    def test_what_is_over_leaves_no_row(self, layer, clock):
        storage = layer.storage
        storage.save("key", {}, ttl=10, owner="p!x")
        storage.save("key", None, ttl=10)
        storage.schedule("a", {}, clock(), key="put")
        storage.schedule("a", {}, clock() + 1, key="cancelled")
        storage.release_due()
        storage.cancel("a", "cancelled")
        with layer.listen(["p!"], int):
            storage.set_will("p!x", [("a", {})])
            storage.clear_will("p!x")
            storage.set_will("p!x", [("a", {})])
            layer.forget_channel("p!x")
        storage.append("log", {}, keep=10, ttl=10)
        layer.flush()
        assert self.rows(layer) == set()


def test_a_finalizer_may_not_use_the_storage_in_the_middle_of_an_operation(tmp_path):
    with contextlib.closing(IpcLayer(tmp_path / "ipc")) as layer:
        errors = []

        def finalize(_txn):
            try:
                layer.storage.load("key")
                layer.storage.save("key", {}, ttl=10)
            except ChannelLayerUnavailable as exc:
                errors.append(str(exc))

        layer._attach().store.write(finalize)
        assert "a finalizer" in errors[0]
