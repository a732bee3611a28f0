"""The generic consumers: a class for each kind of socket."""

from flask import Flask

from wsgi_bridge import Bridge, JsonWebsocketConsumer, WebsocketDemultiplexer, route_class

site = Flask(__name__)


class Board(JsonWebsocketConsumer):
    """A whiteboard per URL: whatever one draws, all see."""

    def connection_groups(self, *, name):
        return [f"board-{name}"]

    def receive(self, content, *, name):
        self.group_send(f"board-{name}", {"drawn": content})


# start: streams
class Echo(JsonWebsocketConsumer):
    """Answers its own stream."""

    def connect(self, message, multiplexer, **kwargs):
        multiplexer.send({"hello": multiplexer.stream})

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send(content)


class Streams(WebsocketDemultiplexer):
    """Several conversations over one socket."""

    consumers = {"left": Echo, "right": Echo}  # noqa: RUF012


# end: streams

application = Bridge(
    site,
    routing=[
        route_class(Board, path=r"^/boards/(?P<name>\w+)$"),
        route_class(Streams, path=r"^/streams$"),
    ],
)
