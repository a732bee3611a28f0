"""The worker loop: it runs consumers, and survives whatever they do."""

from __future__ import annotations

import pytest

from wsgi_bridge import Bridge, Channel, DenyConnection, Group, open_layer, route
from wsgi_bridge.worker import BATCH, PROTOCOL_CHANNELS, Worker

REPLY = "test.response.P1!c1"
CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Pool:
    """Runs a job at once, or keeps it when told to."""

    def __init__(self, free=100):
        self.free = free
        self.started = []

    def start(self, job, first, second):
        self.started.append(first)
        job(first, second)


class Loop:
    """A worker whose wakeups are counted and run by `turn`."""

    def __init__(self, routing=(), app=None, layer=None, pool=None, **options):
        self.layer = layer or open_layer("memory://", clock=Clock())
        self.bridge = Bridge(app or answers("200 OK"), list(routing), layer=self.layer)
        self.due = []
        self.pool = pool or Pool()
        self.worker = Worker(self.bridge, self.layer, self._make_wakeup, **options)
        self.worker.start(self.pool)
        self.layer.listen([REPLY.partition("!")[0] + "!"], lambda: None)

    def _make_wakeup(self, function):
        return lambda: self.due.append(function)

    def turn(self):
        """Do what is due, and what that makes due."""
        while self.due:
            self.due.pop(0)()

    def send(self, channel, **message):
        self.layer.send(channel, {"reply_channel": REPLY, "path": "/", **message})
        self.turn()

    def connect(self, **message):
        self.send(CONNECT, order=0, method="GET", headers=[], query_string=b"", **message)

    def answers(self):
        """Return what was sent to the reply channel."""
        reader = REPLY.partition("!")[0] + "!"
        return [message for _, message in self.layer.receive_many([reader], 100)]


def answers(status, content=b"x"):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return [content]

    return app


def failing(exc):
    def consumer(message):
        raise exc

    return consumer


FAILURES = {
    "an exception": ValueError("x"),
    "sys.exit": SystemExit(3),
    "a full channel": None,
    "an exception that is not an Exception": KeyboardInterrupt(),
}


def make_failing(exc):
    def consumer(message):
        message.reply_channel.send({"text": "before"})
        if exc is None:
            for _ in range(200):
                Channel("full").send({"a": 1}, immediately=True)
        raise exc

    return consumer


def survive(loop, function):
    """Run what may let an exception out to the pool, which logs it."""
    try:
        function()
    except BaseException as exc:  # noqa: BLE001 - as the pool does
        assert isinstance(exc, KeyboardInterrupt)
    loop.turn()


# Taking messages


def test_every_channel_of_the_protocols_is_received_and_those_routed():
    loop = Loop([route("thumbnails", lambda message: None)])
    assert set(loop.worker.channels) == PROTOCOL_CHANNELS | {"thumbnails"}


def test_messages_that_waited_before_the_start_are_taken():
    layer, seen = open_layer("memory://"), []
    layer.send("jobs", {"a": 1})
    loop = Loop([route("jobs", lambda message: seen.append(message["a"]))], layer=layer)
    loop.turn()
    assert seen == [1]


def test_no_more_messages_are_taken_than_can_run():
    seen = []
    loop = Loop([route("jobs", lambda message: seen.append(message["n"]))], pool=Pool(free=0))
    for number in range(3):
        loop.send("jobs", n=number)
    assert seen == []
    assert loop.layer.channel_statistics("jobs")["messages_pending"] == 3
    loop.pool.free = 2
    loop.worker.pump_soon()
    loop.turn()
    assert seen == [0, 1, 2]


def test_a_burst_is_taken_in_batches():
    layer, seen = open_layer("memory://", capacity=1000), []
    loop = Loop([route("jobs", lambda message: seen.append(1))], layer=layer, pool=Pool(1000))
    for _ in range(3 * BATCH):
        layer.send("jobs", {})
    loop.turn()
    assert len(seen) == 3 * BATCH


def test_a_worker_that_was_stopped_takes_nothing():
    loop = Loop([route("jobs", failing(ValueError()))])
    loop.worker.stop()
    loop.worker.stop()
    loop.send("jobs")
    assert loop.pool.started == []


# What consumers send


def test_sends_go_out_when_the_consumer_ends():
    seen = []

    def consumer(message):
        message.reply_channel.send({"text": "a"})
        Group("g").send({"text": "b"})
        seen.append(loop.answers())

    loop = Loop([route("jobs", consumer)])
    loop.layer.group_add("g", REPLY)
    loop.send("jobs")
    assert seen == [[]]
    assert loop.answers() == [{"text": "a"}, {"text": "b"}]


def test_a_send_with_immediately_goes_out_at_once():
    seen = []

    def consumer(message):
        message.reply_channel.send({"text": "a"}, immediately=True)
        seen.append(loop.answers())

    loop = Loop([route("jobs", consumer)])
    loop.send("jobs")
    assert seen == [[{"text": "a"}]]


def test_a_send_that_fails_does_not_stop_those_after_it(caplog):
    def consumer(message):
        for _ in range(101):
            Channel("full").send({"a": 1})
        message.reply_channel.send({"text": "after"})

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"text": "after", "ack": 1}]
    assert "a message to full was lost" in caplog.text
    assert "websocket.receive" in caplog.text


def test_named_groups_are_keyword_arguments():
    seen = []
    routing = [route(RECEIVE, lambda message, room: seen.append(room), path=r"^/(?P<room>\w+)$")]
    loop = Loop(routing)
    loop.send(RECEIVE, path="/lobby", text="x", order=1)
    assert seen == ["lobby"]


# Consumers that fail


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_receive_that_fails_sends_what_it_sent_then_1011_and_its_acknowledgement(exc, caplog):
    loop = Loop([route(RECEIVE, make_failing(exc), path="^/")])
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=7))
    assert loop.answers() == [{"text": "before"}, {"close": 1011, "ack": 7}]
    assert "the consumer failed: websocket.receive path='^/' ->" in caplog.text


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_receive_that_may_go_on_is_acknowledged_only(exc):
    loop = Loop([route(RECEIVE, make_failing(exc), on_error="continue")])
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=7))
    assert loop.answers() == [{"text": "before", "ack": 7}]


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_connect_that_fails_is_a_500_and_never_an_accept(exc):
    loop = Loop([route(CONNECT, make_failing(exc), on_error="continue")])
    survive(loop, loop.connect)
    [answer] = loop.answers()
    assert (answer["accept"], answer["status"]) == (False, 500)
    assert "text" not in answer


def test_a_connect_that_fails_after_accepting_at_once_is_closed_with_1011():
    def consumer(message):
        message.reply_channel.send({"accept": True}, immediately=True)
        raise ValueError("too late for a 500")

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    accept, failure = loop.answers()
    assert (accept, failure["close"]) == ({"accept": True}, 1011)


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_disconnect_that_fails_answers_nothing_more(exc, caplog):
    loop = Loop([route(DISCONNECT, make_failing(exc))])
    survive(loop, lambda: loop.send(DISCONNECT, code=1000, order=2))
    assert loop.answers() == [{"text": "before"}]
    assert "the consumer failed: websocket.disconnect ->" in caplog.text


def test_an_http_consumer_that_fails_is_a_500():
    loop = Loop([route("http.request", failing(ValueError()))])
    loop.send("http.request", method="GET")
    assert loop.answers()[-1]["status"] == 500


def test_a_consumer_without_a_reply_channel_may_fail_too(caplog):
    loop = Loop([route("jobs", failing(ValueError()))])
    loop.layer.send("jobs", {"n": 1})
    loop.turn()
    assert "the consumer failed: jobs ->" in caplog.text


def test_the_loop_goes_on_after_every_failure():
    seen = []

    def consumer(message):
        seen.append(message["n"])
        raise ValueError

    loop = Loop([route("jobs", consumer)])
    for number in range(5):
        loop.send("jobs", n=number)
    assert seen == [0, 1, 2, 3, 4]


def test_closing_twice_is_no_error(caplog):
    def consumer(message):
        message.reply_channel.send({"close": True})
        message.reply_channel.send({"close": 4000})

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"close": True}, {"close": 4000, "ack": 1}]
    assert caplog.records == []


def test_a_message_that_cannot_be_sent_fails_on_the_consumers_line():
    seen = []

    def consumer(message):
        with pytest.raises(TypeError) as caught:
            message.reply_channel.send({"text": object()})
        seen.append(str(caught.value))

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert "text" in seen[0]
    assert loop.answers() == [{"ack": 1}]


# Acknowledgements


def test_an_event_is_acknowledged_after_what_its_consumer_sent():
    def consumer(message):
        message.reply_channel.send({"text": "a"})
        Group("g").send({"text": "b"})

    loop = Loop([route(RECEIVE, consumer)])
    loop.layer.group_add("g", REPLY)
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"text": "a"}, {"text": "b"}, {"ack": 3}]


def test_an_event_that_no_consumer_takes_is_acknowledged():
    loop = Loop([route(RECEIVE, failing(ValueError()), path="^/other$")])
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"ack": 3}]


@pytest.mark.parametrize("routing", [[], [route(RECEIVE, lambda message: None)]])
def test_an_acknowledgement_waits_for_a_full_reply_channel(routing, monkeypatch):
    loop = Loop(routing)
    for _ in range(100):
        loop.layer.send(REPLY, {"text": "in the way"})
    monkeypatch.setattr("wsgi_bridge.worker.time.sleep", lambda seconds: loop.answers())
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"ack": 3}]


def test_an_event_without_an_order_loses_nothing():
    loop = Loop([route(RECEIVE, lambda message: message.reply_channel.send({"text": "a"}))])
    loop.send(RECEIVE, text="made by hand")
    assert loop.answers()[0]["text"] == "a"


# Handshakes


def test_a_connect_that_says_nothing_is_accepted():
    loop = Loop([route(CONNECT, lambda message: None)])
    loop.connect()
    assert loop.answers() == [{"accept": True}]


@pytest.mark.parametrize("answer", [{"accept": False}, {"close": True}, {"text": "hello"}])
def test_a_connect_that_answers_is_not_answered_again(answer):
    loop = Loop([route(CONNECT, lambda message: message.reply_channel.send(answer))])
    loop.connect()
    assert loop.answers() == [answer]


def test_a_connect_that_answers_at_once_is_not_answered_again():
    def consumer(message):
        message.reply_channel.send({"accept": False}, immediately=True)

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    assert loop.answers() == [{"accept": False}]


def test_a_connect_that_is_denied_has_its_status_and_reason_and_nothing_it_sent():
    def consumer(message):
        message.reply_channel.send({"accept": True, "text": "secret"})
        raise DenyConnection("not you", status=401)

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    assert loop.answers() == [{"accept": False, "status": 401, "content": b"not you"}]


def test_a_path_with_any_websocket_route_is_accepted():
    loop = Loop([route(RECEIVE, lambda message: None, path="^/chat$")])
    loop.connect(path="/chat")
    assert loop.answers() == [{"accept": True}]


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "404 Not Found"])
def test_a_path_without_one_is_a_404(status):
    loop = Loop([route(RECEIVE, lambda message: None, path="^/chat$")], app=answers(status))
    loop.connect(path="/nowhere")
    [answer] = loop.answers()
    assert (answer["accept"], answer["status"]) == (False, 404)


# Handshakes that the site may take


class Socket:
    def __init__(self, is_taken):
        self.is_taken = is_taken
        self.finished = 0

    def finish(self):
        self.finished += 1


def shown_to_site(app, is_taken=False):
    socket = Socket(is_taken)
    loop = Loop([], app=app, socket_of=lambda reply: socket, socket_key="the.socket")
    loop.connect(path="/sock", scheme="ws", http_version="1.1", root_path="")
    return loop.answers(), socket


def test_the_site_finds_the_socket_in_its_environ():
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return answers("404 Not Found")(environ, start_response)

    _, socket = shown_to_site(app)
    assert seen[0]["the.socket"] is socket
    assert (seen[0]["PATH_INFO"], seen[0]["REQUEST_METHOD"]) == ("/sock", "GET")
    assert socket.finished == 0


def test_a_site_that_took_the_socket_is_not_answered_for():
    def app(environ, start_response):
        raise StopIteration

    found, socket = shown_to_site(app, is_taken=True)
    assert (found, socket.finished) == ([], 1)


@pytest.mark.parametrize(("status", "expected"), [("302 Found", 302), ("401 No", 401)])
def test_a_sites_refusal_is_the_handshakes(status, expected):
    [answer], _ = shown_to_site(answers(status, b"why"))
    assert (answer["accept"], answer["status"], answer["content"]) == (False, expected, b"why")


def test_a_site_that_answers_with_a_page_knows_no_websockets_there():
    [answer], _ = shown_to_site(answers("200 OK", b"a page"))
    assert (answer["accept"], answer["status"]) == (False, 404)


def test_a_site_that_fails_is_a_500():
    def app(environ, start_response):
        raise ValueError("x")

    [answer], _ = shown_to_site(app)
    assert (answer["accept"], answer["status"]) == (False, 500)
