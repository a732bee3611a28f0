"""Class-based consumers: one class for all events of a socket, with a method for each.

    from wsgi_bridge.generic import JsonWebsocketConsumer

    class Liveblog(JsonWebsocketConsumer):
        def connection_groups(self, slug):
            return [f"liveblog-{slug}"]

    routing = [route_class(Liveblog, path=r"^/liveblog/(?P<slug>[a-z]+)/$")]

What it is: the generic API of Django Channels 1.1, without Django. `websocket` has the consumers,
`multiplex` several streams on one socket.
"""

from wsgi_bridge.generic.multiplex import WebsocketDemultiplexer, WebsocketMultiplexer
from wsgi_bridge.generic.websocket import BaseConsumer, JsonWebsocketConsumer, WebsocketConsumer

__all__ = [
    "BaseConsumer",
    "JsonWebsocketConsumer",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "WebsocketMultiplexer",
]
