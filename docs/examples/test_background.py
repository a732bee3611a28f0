"""Tests of work in the background, of time, and of what goes wrong."""

import pytest
from background import application as auctions

from wsgi_bridge import Bridge, Channel, route
from wsgi_bridge.testing import Client, SocketClosed


def upload(message):
    Channel("thumbnails").send({"name": message["text"], "for": message.reply_channel.name})


def make_thumbnail(message):
    if not message["name"].endswith(".png"):
        raise ValueError(f"no picture: {message['name']}")
    Channel(message["for"]).send({"text": f"done: {message['name']}"})


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"%d\n" % number for number in range(1_000_000))


application = Bridge(
    site,
    routing=[
        route("websocket.receive", upload, path="^/upload$"),
        route("thumbnails", make_thumbnail, timeout=30.0),
    ],
)


# start: background
def test_background_work_is_done_when_send_returns():
    with Client(application) as client, client.websocket("/upload") as socket:
        socket.send("cat.png")
        assert socket.receive() == "done: cat.png"


def test_background_work_may_be_held_back():
    with Client(application, hold=["thumbnails"]) as client, client.websocket("/upload") as socket:
        socket.send("cat.png")
        assert socket.receive_nothing()
        client.run("thumbnails")
        assert socket.receive() == "done: cat.png"


def test_work_that_nobody_does_in_a_minute_is_dropped():
    with Client(application, hold=["thumbnails"]) as client, client.websocket("/upload") as socket:
        socket.send("cat.png")
        client.clock.advance(60)
        assert client.messages("thumbnails") == []


# end: background


# start: later
def test_a_bid_puts_the_end_of_an_auction_off():
    with Client(auctions) as client, client.websocket("/editors") as socket:
        client.post("/auctions/7/bids")
        client.clock.advance(3)
        assert socket.receive() == "7: going once"
        client.post("/auctions/7/bids")
        client.clock.advance(3)
        assert socket.receive() == "7: going once"
        client.clock.advance(3)
        assert socket.receive() == "7: sold"


def test_an_auction_that_was_withdrawn_does_not_end():
    with Client(auctions) as client, client.websocket("/editors") as socket:
        client.post("/auctions/7/bids")
        assert client.delete("/auctions/7").json() == {"was_open": True}
        client.clock.advance(60)
        assert socket.receive().startswith("it is ")  # what is sent every minute


# end: later


# start: failures
def test_an_exception_comes_out_where_it_was_caused():
    with Client(application) as client:
        socket = client.websocket("/upload")
        with pytest.raises(ValueError, match="no picture"):
            socket.send("cat.txt")


def test_the_peer_of_a_failed_job_sees_nothing():
    with Client(application, raise_exceptions=False) as client:
        socket = client.websocket("/upload")
        socket.send("cat.txt")
        assert socket.receive_nothing()


def test_a_message_that_is_too_large_closes_the_socket():
    with Client(application) as client, client.websocket("/upload") as socket:
        socket.send("x" * 1_048_577)
        with pytest.raises(SocketClosed) as closed:
            socket.receive()
        assert closed.value.code == 1009


# end: failures


# start: stream
def test_a_stream_is_made_as_it_is_read():
    with Client(application) as client, client.get("/", stream=True) as response:
        lines = iter(response)
        assert [next(lines), next(lines)] == [b"0\n", b"1\n"]


# end: stream
