"""WebSocket echo that keeps too much for each socket: what a measure of memory must find."""

from tests.benchmarks.apps.echo_bridge import on_message
from tests.benchmarks.apps.hello_wsgi import application as site
from wsgi_bridge import Bridge, route

BYTES = 10_000
kept = []


def on_connect(message):
    """Keep some memory, for ever."""
    kept.append(bytearray(b"x") * BYTES)
    message.reply_channel.send({"accept": True})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", on_connect, path=r"^/echo$"),
        route("websocket.receive", on_message, path=r"^/echo$"),
    ],
)
