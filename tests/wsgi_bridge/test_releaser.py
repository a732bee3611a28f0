"""The thread that puts what is scheduled, on layers of one process and of several."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import Bridge, Channel, Group, open_layer, releaser
from wsgi_bridge.delays import Periodic
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.releaser import Releaser
from wsgi_bridge.threads import ThreadWorker
from wsgi_bridge.worker import Worker

PATIENCE = 20.0
#: Seconds that nobody waits for here: what is not rung for stays where it is.
NEVER = 1000.0


@pytest.fixture(scope="module")
def redis_server():
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["memory", "ipc", "redis", "local first"])
def layers(request, tmp_path):
    """Two layers on one backend, as of two processes; one and the same in memory."""
    kind = request.param
    with contextlib.ExitStack() as stack:
        if kind == "redis":
            url = request.getfixturevalue("redis_server").url
            options = {"prefix": tmp_path.name}
        else:
            url, options = f"ipc://{tmp_path}/layer", {}
        opened = [
            stack.enter_context(contextlib.closing(open_layer(url, **options))) for _ in range(2)
        ]
        if kind == "memory":
            opened = [stack.enter_context(contextlib.closing(open_layer("memory://")))] * 2
        if kind == "local first":
            opened[0] = LocalFirstLayer.over(opened[0])
        yield opened


@pytest.fixture
def run():
    """Start releasers, which are stopped in the end."""
    running = []

    def start(layer, **options):
        one = Releaser(layer, **options)
        running.append(one)
        one.start()
        return one

    yield start
    for one in running:
        one.stop()
        one._thread.join(PATIENCE)
        assert not one._thread.is_alive()


def receive(layer, channel="jobs"):
    found = layer.receive([channel], block=True, timeout=PATIENCE)[1]
    assert found is not None
    return found


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s"
        time.sleep(0.005)


def is_idle(one):
    """Whether it has nothing to do but to wait."""
    return one._listener is not None and one._waiter._lock.locked()


def test_what_another_process_schedules_is_put_without_a_look(layers, run, monkeypatch):
    here, there = layers
    monkeypatch.setattr(releaser, "LOOK_EVERY", NEVER)
    one = run(here)
    until(lambda: is_idle(one))
    for delay in (0.0, 0.05, 1.0):
        due = time.time() + delay
        Channel("jobs", there).send_later({"n": delay}, delay=delay)
        assert receive(there) == {"n": delay}
        assert time.time() >= due


def test_what_is_soonest_comes_first(layers, run):
    here, there = layers
    run(here)
    Channel("jobs", there).send_later({"n": 2}, delay=0.6)
    Channel("jobs", there).send_later({"n": 1}, delay=0.3)
    assert [receive(here)["n"], receive(here)["n"]] == [1, 2]


def test_a_group_is_sent_to_from_another_process(layers, run):
    here, there = layers
    run(here)
    Group("room", there).add("member")
    Group("room", there).send_later({"n": 1}, delay=0.05)
    assert receive(there, "member") == {"n": 1}


def test_asgi_delay_is_served_by_one_of_several(layers, run):
    here, there = layers
    both = [run(here), run(there)]
    for number in range(50):
        message = {"channel": "jobs", "delay": number, "content": {"n": number}}
        there.send("asgi.delay", message)
    found = sorted(receive(there)["n"] for _ in range(50))
    assert found == list(range(50))
    assert sum(one.figures.received for one in both) == 50
    until(lambda: sum(one.figures.released for one in both) == 50)
    assert there.receive(["jobs"]) == (None, None)


def test_what_was_left_behind_is_put_by_who_comes(layers, run):
    here, there = layers
    Channel("jobs", there).send_later({"n": 1}, delay=0)
    run(here)
    assert receive(here) == {"n": 1}


def test_who_was_not_rung_looks(layers, run, monkeypatch):
    """The process that was rung has been killed."""
    here, there = layers
    if not here.storage.is_shared:
        pytest.skip("there is nobody else")
    monkeypatch.setattr(releaser, "LOOK_EVERY", 0.05)
    one = run(here)
    until(lambda: is_idle(one))
    there.storage.schedule("jobs", {"n": 1}, time.time() + 0.1)  # no ring
    assert receive(here) == {"n": 1}


def test_processes_that_schedule_the_same_id_have_one_message(layers, run):
    here, there = layers
    begun = time.time()
    for layer in layers:
        Channel("jobs", layer).send_later({"n": 1}, every=0.2, id="x")
    assert there.storage.scheduled().number == 1
    run(here)
    run(there)
    for _ in range(4):
        receive(here)
    assert time.time() >= begun + 4 * 0.2
    assert Channel("jobs", there).cancel("x")


def test_a_full_channel_keeps_nobody_waiting(layers, run):
    here, there = layers
    for number in range(100):
        there.send("full", {"n": number})
    Channel("full", there).send_later({"n": 100}, delay=0)
    Channel("jobs", there).send_later({"n": 1}, delay=0.01)
    run(here)
    assert receive(here) == {"n": 1}
    assert sorted(receive(there, "full")["n"] for _ in range(101)) == list(range(101))


def test_a_worker_of_threads_releases(layers):
    here, there = layers
    worker = Worker(Bridge(answers("200 OK"), layer=here), here, lambda function: function)
    threads = ThreadWorker(worker, here, threads=1)
    threads.start()
    there.send("asgi.delay", {"channel": "jobs", "delay": 10, "content": {"n": 1}})
    assert receive(there) == {"n": 1}
    threads.stop()
    assert threads.join(PATIENCE)
    worker.releaser._thread.join(PATIENCE)
    assert not worker.releaser._thread.is_alive()


def test_what_is_periodic_is_back_soon_after_redis_was_restarted_empty(run, monkeypatch):
    need_redis()
    monkeypatch.setattr(releaser, "SCHEDULE_EVERY", 0.1)
    monkeypatch.setattr(releaser, "LOOK_EVERY", 0.05)
    with RedisServer() as server, contextlib.closing(open_layer(server.url)) as layer:
        one = run(layer, periodic=[Periodic.make(0.3, "jobs", {"n": 1}, "x")])
        assert receive(layer) == {"n": 1}
        server.restart()
        until(lambda: is_put_again(layer))
        one.stop()
        one._thread.join(PATIENCE)


def is_put_again(layer):
    try:
        return layer.receive(["jobs"]) == ("jobs", {"n": 1})
    except ChannelLayerUnavailable:
        return False


# One process


@pytest.fixture
def layer():
    with contextlib.closing(open_layer("memory://")) as layer:
        yield layer


def test_nothing_is_done_on_a_layer_without_storage(layer):
    one = Releaser(SimpleNamespace(extensions=("groups",)))
    one.start()
    assert one._thread is None
    assert one.turn() == (False, None)
    one.stop()


def test_in_memory_nobody_looks_while_nothing_is_scheduled(layer, run):
    one = run(layer)
    until(lambda: is_idle(one))
    assert one._next() is None
    Channel("jobs", layer).send_later({}, delay=100)
    until(lambda: one._next() == releaser.LOOK_EVERY)


def test_it_goes_on_when_the_layer_is_back(layer, run, caplog):
    gone = [ChannelLayerUnavailable("gone")] * 2 + [RuntimeError("a fault of its own")]
    release_due = layer.storage.release_due

    def release(limit):
        if gone:
            raise gone.pop()
        return release_due(limit)

    layer.storage.release_due = release
    one = run(layer)
    Channel("jobs", layer).send_later({"n": 1}, delay=0)
    for _ in range(2):
        until(lambda: is_idle(one) or not gone)
        one.wake()
    assert receive(layer) == {"n": 1}
    assert caplog.text.count("scheduled messages cannot be put") == 1


def test_what_was_taken_is_kept_until_the_layer_is_back(layer):
    schedule = layer.storage.schedule
    one = Releaser(layer)
    layer.send_many(
        [("asgi.delay", {"channel": "jobs", "delay": 0, "content": {"n": n}}) for n in range(3)]
    )

    def fail(*arguments, **options):
        raise ChannelLayerUnavailable("gone")

    layer.storage.schedule = fail
    with pytest.raises(ChannelLayerUnavailable):
        one.turn()
    layer.storage.schedule = schedule
    one.turn()
    assert [receive(layer)["n"] for _ in range(3)] == [0, 1, 2]
    assert one.figures.received == 3


def test_one_that_was_stopped_ends(layer):
    one = Releaser(layer)
    one.start()
    one.start()
    assert sum(thread.name == "releaser" for thread in threading.enumerate()) >= 1
    one.stop()
    one.stop()
    one._thread.join(PATIENCE)
    assert not one._thread.is_alive()
