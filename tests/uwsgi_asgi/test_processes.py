"""@lock, @harakiri, @postfork, @thread, @rpc, @erlang; and all of them inside uWSGI."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wsgi_bridge.worker_loop import answers
from uwsgi_asgi.decorators import (
    erlang,
    harakiri,
    lock,
    postfork,
    postfork_chain_hook,
    rpc,
    signal,
    thread,
)
from uwsgi_asgi.decorators.host import maybe_uwsgi
from uwsgi_asgi.decorators.locking import KEY, LEASE
from wsgi_bridge import Bridge, ConsumerTimeout
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.outbox import maybe_default_layer, set_default_layer

PATIENCE = 20.0


@pytest.fixture
def layer() -> Iterator[MemoryLayer]:
    before = maybe_default_layer()
    set_default_layer(MemoryLayer())
    found = maybe_default_layer()
    assert isinstance(found, MemoryLayer)
    yield found
    set_default_layer(before)


class FakeUwsgi(types.ModuleType):
    """What the decorators ask uWSGI for."""

    def __init__(self, worker: int = 1, mule: int = 0) -> None:
        super().__init__("uwsgi")
        self.ids = (worker, mule)
        self.did: list[Any] = []
        self.opt: dict[str, bytes] = {}

    def masterpid(self) -> int:
        return 1

    def worker_id(self) -> int:
        return self.ids[0]

    def mule_id(self) -> int:
        return self.ids[1]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__") or name == "post_fork_hook":
            raise AttributeError(name)
        return lambda *args: self.did.append((name, *args))


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> FakeUwsgi:
    monkeypatch.setattr("uwsgi_asgi.decorators.postforks._hooked", [])
    monkeypatch.setitem(sys.modules, "uwsgi", FakeUwsgi())
    # Not installed here, and it would not want this one.
    monkeypatch.setitem(sys.modules, "uwsgidecorators", None)
    found = sys.modules["uwsgi"]
    assert isinstance(found, FakeUwsgi)
    return found


# @lock


def test_functions_with_a_lock_run_one_at_a_time(layer):
    inside: list[int] = []
    most: list[int] = []

    @lock
    def work(number):
        inside.append(number)
        most.append(len(inside))
        time.sleep(0.002)
        inside.remove(number)
        return number * 2

    results: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(work(n)), args=()) for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert set(most) == {1}
    assert sorted(results) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_the_lock_is_let_go_when_a_function_raises(layer):
    @lock
    def work():
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            work()
    assert layer.storage.load(KEY).value is None


def test_one_that_calls_another_one_goes_through(layer):
    inner = lock(lambda: "inner")
    assert lock(inner)() == "inner"


def test_the_lock_of_a_process_that_died_is_free_after_a_while():
    now = [1000.0]
    before = maybe_default_layer()
    layer = MemoryLayer(clock=lambda: now[0])
    set_default_layer(layer)
    try:
        layer.storage.save(KEY, {"by": "the dead"}, ttl=LEASE)
        found: list[str] = []
        waiting = threading.Thread(target=lambda: found.append(lock(lambda: "mine")()))
        waiting.start()
        waiting.join(0.01)
        assert found == []
        now[0] += LEASE
        waiting.join(PATIENCE)
        assert found == ["mine"]
    finally:
        set_default_layer(before)


# @harakiri


def test_a_function_that_takes_too_long_is_interrupted():
    @harakiri(0.05)
    def work():
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(0.001)

    with pytest.raises(ConsumerTimeout, match=r"not done in 0\.05 s"):
        work()


def test_one_that_is_in_time_is_left_alone():
    @harakiri(PATIENCE)
    def work(number):
        return number * 2

    assert work(2) == 4


def test_a_time_out_of_its_own_passes():
    mine = ConsumerTimeout("mine")

    @harakiri(PATIENCE)
    def work():
        raise mine

    with pytest.raises(ConsumerTimeout) as raised:
        work()
    assert raised.value is mine


def test_in_a_worker_of_uwsgi_it_is_uwsgis(uwsgi):
    @harakiri(5)
    def work():
        uwsgi.did.append("work")
        raise OSError

    with pytest.raises(OSError):
        work()
    assert uwsgi.did == [("set_user_harakiri", 5), "work", ("set_user_harakiri", 0)]


def test_in_a_mule_it_leaves_the_other_consumers_alone(uwsgi):
    uwsgi.ids = (0, 1)
    assert harakiri(5)(lambda: "done")() == "done"
    assert uwsgi.did == []


# @postfork


PRELOADED = """
import os
from uwsgi_asgi.decorators import postfork

@postfork
def open_database():
    print("opened", os.getpid() != master, flush=True)

master = os.getpid()
print("loaded", flush=True)
for _ in range(2):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_it_runs_in_each_forked_process_and_not_in_its_parent():
    run = subprocess.run(
        [sys.executable, "-c", PRELOADED], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (run.stdout, run.stderr) == ("loaded\nopened True\nopened True\n", "")


def test_it_runs_once_where_a_process_that_was_not_forked_opens_its_layer():
    pids: list[int] = []

    @postfork
    def open_database():
        pids.append(os.getpid())

    bridge = Bridge(answers("200 OK"))
    before = maybe_default_layer()
    try:
        bridge.open_layer()
        bridge.open_layer()
    finally:
        set_default_layer(before)
    assert pids == [os.getpid()]
    postfork_chain_hook()
    assert pids == [os.getpid()]


def test_one_that_raises_keeps_neither_the_others_nor_the_process(caplog):
    calls: list[int] = []
    postfork(lambda: 1 / 0)
    postfork(lambda: calls.append(1))
    postfork_chain_hook()
    assert calls == [1]
    assert "ZeroDivisionError" in caplog.text


def test_under_uwsgi_its_hook_runs_them_after_what_was_there(uwsgi):
    calls: list[str] = []
    uwsgi.post_fork_hook = lambda: calls.append("earlier")

    @postfork
    def first():
        calls.append("first")

    @postfork(2)
    def second():
        calls.append("second")

    @postfork(1)
    def third():
        calls.append("third")

    uwsgi.post_fork_hook()
    assert calls == ["earlier", "first", "third"]


def test_under_uwsgi_uwsgidecorators_runs_them_if_it_is_there(uwsgi, monkeypatch):
    theirs = types.ModuleType("uwsgidecorators")
    chain: list[Any] = []
    theirs.postfork = chain.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uwsgidecorators", theirs)
    postfork(lambda: None)
    assert chain == [postfork_chain_hook]


def test_the_master_of_uwsgi_runs_none(uwsgi):
    calls: list[int] = []
    uwsgi.ids = (0, 0)
    postfork(lambda: calls.append(1))
    before = maybe_default_layer()
    try:
        Bridge(answers("200 OK")).open_layer()
    finally:
        set_default_layer(before)
    assert calls == []


# The others


def test_a_thread_runs_each_call(layer):
    done = threading.Event()

    def function(event):
        assert threading.current_thread().daemon
        event.set()

    assert thread(function)(done) is function
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("decorator", [rpc, erlang])
def test_what_only_uwsgi_has_is_told_elsewhere(caplog, decorator):
    assert decorator("name")(len) is len
    assert f"@{decorator.__name__} of builtins:len has no effect outside of uWSGI" in caplog.text


def test_a_module_of_the_site_that_has_that_name_is_not_uwsgi(tmp_path, monkeypatch):
    (tmp_path / "uwsgi.py").write_text("raise AssertionError('somebody imports it')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert maybe_uwsgi() is None
    monkeypatch.setitem(sys.modules, "uwsgi", types.ModuleType("uwsgi"))
    assert maybe_uwsgi() is None


def test_what_only_uwsgi_has_is_uwsgis(uwsgi):
    rpc("a")(len)
    erlang("b")(len)
    assert uwsgi.did == [("register_rpc", "a", len), ("erlang_register_process", "b", len)]


def test_a_signal_of_uwsgi_goes_the_same_way(uwsgi, layer):
    uwsgi.signal_registered = lambda number: True
    signal(17)(print)
    [(name, number, target, forward)] = uwsgi.did
    assert (name, number, target) == ("register_signal", 17, "")
    forward(17)
    [(_, message)] = layer.receive_many(["uwsgi.signal"], 10)
    assert message == {"signum": 17}


@pytest.mark.parametrize("ids", [(0, 0), (0, 1)])
def test_a_master_may_register_a_signal_once_and_a_mule_never(uwsgi, ids):
    uwsgi.ids = ids
    uwsgi.signal_registered = lambda number: number != 18
    signal(17)(print)
    signal(18)(print)
    registered = [number for _, number, *_ in uwsgi.did]
    assert registered == ([] if ids[1] else [18])
