"""ThreadWorker: consumers in native threads, over a memory layer and an ipc layer."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, RECEIVE, REPLY, answers
from wsgi_bridge import Bridge, open_layer, route
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.concurrency import is_cooperative
from wsgi_bridge.threads import ThreadWorker
from wsgi_bridge.worker import Worker

# Seconds until what has to happen is taken for not happening.
LONG = 20.0
READER = REPLY.partition("!")[0] + "!"

variable = ContextVar("variable", default="unset")


@pytest.fixture(params=["memory", "ipc"])
def layer(request, tmp_path):
    url = "memory://" if request.param == "memory" else f"ipc://{tmp_path}/layer"
    opened = open_layer(url, capacity=1000)
    yield opened
    opened.close()


@pytest.fixture(params=["kept", "given up"])
def lead(request, monkeypatch):
    """Whether messages are taken for short at first."""
    monkeypatch.setattr("wsgi_bridge.threads.SHORT", 10.0 if request.param == "kept" else 0.0)
    return request.param


@pytest.fixture
def start(layer, lead):
    """Return a function that starts a ThreadWorker; all are stopped at the end."""
    started = []

    def start_threads(routing=(), *, app=None, threads=1, **options):
        bridge = Bridge(app or answers("200 OK"), list(routing), layer=layer)
        worker = Worker(bridge, layer, lambda function: function)
        threads = ThreadWorker(worker, options.pop("layer", layer), threads=threads, **options)
        threads.start()
        started.append(threads)
        return threads

    yield start_threads
    for threads in started:
        threads.stop()
        assert threads.join(LONG)


@pytest.fixture
def door():
    """Return what a consumer waits for; opened at the end at the latest."""
    event = threading.Event()
    yield event
    event.set()


def wait_for(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def replies(layer, count):
    """Return so many messages from the reply channel."""
    found = []
    while len(found) < count:
        batch = layer.receive_many([READER], count - len(found), LONG)
        assert batch, f"{len(found)} of {count} replies: {found}"
        found += [message for _, message in batch]
    return found


def ask(layer, path="/", reply=REPLY):
    layer.send(
        "http.request",
        {
            "reply_channel": reply,
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
        },
    )


# Taking and running


def test_a_request_is_answered_by_the_site(layer, start):
    start()
    ask(layer)
    assert replies(layer, 1)[0]["content"] == b"x"


def test_messages_that_waited_before_the_start_are_handled(layer, start):
    seen = []
    for number in range(5):
        layer.send("jobs", {"n": number})
    threads = start([route("jobs", lambda message: seen.append(message["n"]))])
    wait_for(lambda: len(seen) == 5)
    assert (seen, threads.taken) == ([0, 1, 2, 3, 4], 5)


def test_one_thread_handles_messages_in_their_order(layer, start):
    seen = []
    start([route("jobs", lambda message: seen.append(message["n"]))])
    for number in range(200):
        layer.send("jobs", {"n": number})
    wait_for(lambda: len(seen) == 200)
    assert seen == list(range(200))


def test_a_consumer_that_blocks_delays_nobody_while_a_thread_is_left(layer, start, door):
    start([route("jobs", lambda message: door.wait(LONG))], threads=3)
    layer.send("jobs", {})
    layer.send("jobs", {})
    for number in range(50):
        ask(layer, f"/{number}")
    assert len(replies(layer, 50)) == 50
    assert not door.is_set()


def test_all_threads_run_beside_each_other(layer, start):
    together, seen = threading.Barrier(4), []
    start([route("jobs", lambda message: seen.append(together.wait(LONG)))], threads=4)
    for _ in range(4):
        layer.send("jobs", {})
    wait_for(lambda: len(seen) == 4)


def test_no_more_is_taken_than_there_are_idle_threads(layer, start, door):
    threads = start([route("jobs", lambda message: door.wait(LONG))], threads=2)
    for _ in range(7):
        layer.send("jobs", {})
    wait_for(lambda: threads.running == 2)
    assert layer.channel_statistics("jobs")["messages_pending"] == 5
    door.set()
    wait_for(lambda: threads.taken == 7 and threads.running == 0)


def test_an_event_is_acknowledged_after_its_consumer_whatever_the_thread(layer, start):
    start([route(RECEIVE, lambda message: message.reply_channel.send({"text": "a"}))], threads=4)
    for order in range(1, 50):
        layer.send(RECEIVE, {"reply_channel": REPLY, "path": "/", "order": order, "text": "x"})
        assert replies(layer, 1) == [{"text": "a", "ack": order}]


def count_acquires(threads):
    """Count from now on how often a thread of a worker, which has not begun, asks for the lead."""
    lock, calls = threads._lead._lock, []

    class Counting:
        def acquire(self):
            calls.append(threading.current_thread().name)
            return lock.acquire()

        def release(self):
            lock.release()

    threads._lead._lock = Counting()
    return calls


@pytest.mark.parametrize("number", [1, 4])
def test_short_messages_are_handled_by_one_thread_without_a_lock(layer, monkeypatch, number):
    monkeypatch.setattr("wsgi_bridge.threads.SHORT", 10.0)
    monkeypatch.setattr("wsgi_bridge.lead.PATIENCE", LONG)
    seen = []
    bridge = Bridge(
        answers("200 OK"), [route("jobs", lambda message: seen.append(threading.get_ident()))]
    )
    worker = Worker(bridge, layer, lambda function: function)
    threads = ThreadWorker(worker, layer, threads=number)
    acquires = count_acquires(threads)
    threads.start()
    for _ in range(200):
        layer.send("jobs", {})
    wait_for(lambda: len(seen) == 200)
    assert len(set(seen)) == 1
    assert len(acquires) <= number
    threads.stop()
    assert threads.join(LONG)


def test_messages_that_wait_are_handled_beside_each_other_once_that_is_known(layer, start, lead):
    threads = start([route("jobs", lambda message: time.sleep(0.002))], threads=4)
    for _ in range(200):
        layer.send("jobs", {})
    wait_for(lambda: threads.taken == 200 and not threads.running)
    assert threads._usual > 0.000_25


# Whatever a consumer does


@pytest.mark.parametrize("exc", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_a_consumer_that_raises_costs_no_thread(layer, start, exc, caplog):
    def consumer(message):
        raise exc

    threads = start([route("jobs", consumer)])
    for _ in range(5):
        layer.send("jobs", {})
    wait_for(lambda: threads.taken == 5)
    ask(layer)
    assert len(replies(layer, 1)) == 1
    assert caplog.text.count("the consumer failed: jobs ->") == 5


@pytest.mark.parametrize("exc", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_a_site_that_raises_costs_no_thread(layer, start, exc):
    def app(environ, start_response):
        raise exc

    start(app=app)
    for _ in range(5):
        ask(layer)
    assert [reply["status"] for reply in replies(layer, 5)] == [500] * 5


def test_each_message_has_a_context_of_its_own(layer, start):
    seen = []

    def consumer(message):
        seen.append(variable.get())
        variable.set("set by an earlier message")

    start([route("jobs", consumer)])
    layer.send("jobs", {})
    layer.send("jobs", {})
    wait_for(lambda: len(seen) == 2)
    assert seen == ["unset", "unset"]


def test_the_log_names_the_thread(layer, start, caplog):
    def consumer(message):
        logging.getLogger("site").warning("something")

    start([route("jobs", consumer)], name="worker")
    layer.send("jobs", {})
    wait_for(lambda: caplog.records)
    assert caplog.records[0].threadName == "worker-1"


# What is being handled


def test_what_is_unfinished_is_told_with_its_route(layer, start, door):
    def stuck(message):
        door.wait(LONG)

    threads = start([route(CONNECT, stuck, path="^/chat")], threads=2)
    layer.send(CONNECT, {"reply_channel": REPLY, "path": "/chat/1", "order": 0})
    wait_for(lambda: threads.running == 1)
    [found] = threads.unfinished()
    assert found.channel == CONNECT
    assert "websocket.connect path='^/chat' ->" in found.route
    assert found.path == "/chat/1"
    assert found.seconds < LONG
    assert found.ident in {thread.ident for thread in threading.enumerate()}
    assert "for /chat/1, " in str(found)
    if not is_cooperative():  # then it would be a greenlet's
        assert "door.wait(LONG)" in threads.stack_of(found)


def test_what_the_site_is_busy_with_is_called_by_its_channel(layer, start, door):
    def app(environ, start_response):
        door.wait(LONG)
        return answers("200 OK")(environ, start_response)

    threads = start(app=app)
    ask(layer, "/slow")
    wait_for(lambda: threads.running == 1)
    assert str(threads.unfinished()[0]).startswith("http.request for /slow, ")


# Stopping


def test_an_idle_worker_stops_at_once(start):
    threads = start(threads=3)
    threads.stop()
    threads.stop()
    assert threads.join(LONG)
    assert not [item for item in threading.enumerate() if item.name.startswith("consumer-")]


def test_what_was_taken_is_finished(layer, start, door):
    seen = []

    def consumer(message):
        door.wait(LONG)
        seen.append(message["n"])

    threads = start([route("jobs", consumer)], threads=3)
    for number in range(10):
        layer.send("jobs", {"n": number})
    wait_for(lambda: threads.running == 3)
    threads.stop()
    assert not threads.join(0)
    door.set()
    assert threads.join(LONG)
    assert sorted(seen) == [0, 1, 2]
    assert layer.channel_statistics("jobs")["messages_pending"] == 7


def test_nothing_is_lost_when_workers_stop_and_start_under_load(layer, start):
    seen = []
    routing = [route("jobs", lambda message: seen.append(message["n"]))]
    for number in range(300):
        layer.send("jobs", {"n": number})
    for _ in range(10):
        before, threads = len(seen), start(routing, threads=4)
        wait_for(lambda before=before: len(seen) > before or len(seen) == 300)
        threads.stop()
        assert threads.join(LONG)
    start(routing)
    wait_for(lambda: len(seen) == 300)
    assert sorted(seen) == list(range(300))


def test_a_consumer_that_blocks_for_ever_does_not_hold_up_the_join(layer, start, door):
    threads = start([route("jobs", lambda message: door.wait())], threads=2)
    layer.send("jobs", {})
    wait_for(lambda: threads.running == 1)
    threads.stop()
    assert not threads.join(0.05)
    assert [item.channel for item in threads.unfinished()] == ["jobs"]


def test_what_is_for_the_releaser_reaches_it_from_the_thread_that_waits(layer, start):
    """Nobody else listens: on ipc another listener would cost each wait a thread in between."""
    got = []
    threads = start([route("jobs", lambda message: got.append(dict(message)))], threads=2)
    releaser = threads._worker.releaser
    wait_for(lambda: releaser._thread is not None)
    layer.send("asgi.delay", {"channel": "jobs", "delay": 0, "content": {"n": 1}})
    wait_for(lambda: got == [{"n": 1}])
    assert releaser._listener is None
    assert releaser.figures.received == 1
    assert threads.taken == 1


def test_what_is_for_the_releaser_is_late_by_a_second_when_no_thread_is_left(layer, start, door):
    threads = start([route("jobs", lambda _: door.wait(LONG))])
    layer.send("jobs", {})
    wait_for(lambda: threads.running == 1)
    layer.send("asgi.delay", {"channel": "others", "delay": 0, "content": {"n": 1}})
    assert layer.receive(["others"], block=True, timeout=LONG) == ("others", {"n": 1})


def test_there_is_at_least_one_thread(start):
    with pytest.raises(ValueError, match="threads is 1 or more"):
        start(threads=0)


# A layer that fails


class Failing:
    """A layer whose receive fails a few times."""

    def __init__(self, layer, exc, times):
        self._layer = layer
        self._exc = exc
        self.times = times

    def __getattr__(self, name):
        return getattr(self._layer, name)

    def receive_many(self, *arguments):
        if self.times:
            self.times -= 1
            raise self._exc
        return self._layer.receive_many(*arguments)


@pytest.mark.parametrize("exc", [ChannelLayerUnavailable("gone"), OSError("unforeseen")])
def test_a_layer_that_comes_back_is_received_from_again(layer, start, exc, monkeypatch):
    monkeypatch.setattr("wsgi_bridge.threads.RETRY_DELAY", 0.001)
    start(layer=Failing(layer, exc, times=3), threads=2)
    ask(layer)
    assert len(replies(layer, 1)) == 1


def test_a_worker_stops_when_its_layer_is_gone(layer, start):
    threads = start(layer=Failing(layer, ChannelLayerUnavailable("gone"), times=10**9))
    threads.stop()
    assert threads.join(LONG)
