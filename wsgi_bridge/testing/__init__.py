"""For tests of sites: a client that drives a Bridge in process, without a server or sockets.

It runs the project's own protocol server and worker loop, in the calling thread and in an order
that does not change; see `Client`. For pytest there are fixtures in
``wsgi_bridge.testing.pytest_plugin``. It needs neither gevent nor gunicorn to run.
"""

from wsgi_bridge.testing.client import Client, Pending
from wsgi_bridge.testing.clock import FakeClock
from wsgi_bridge.testing.exceptions import HandshakeRefused, NothingReceived, SocketClosed
from wsgi_bridge.testing.headers import Headers
from wsgi_bridge.testing.response import Response
from wsgi_bridge.testing.websocket import WebSocket

__all__ = [
    "Client",
    "FakeClock",
    "HandshakeRefused",
    "Headers",
    "NothingReceived",
    "Pending",
    "Response",
    "SocketClosed",
    "WebSocket",
]
