"""Echo by a function consumer."""

from tests.conformance.apps import MAX_SIZE
from wsgi_bridge import Bridge, route


def site(environ, start_response):
    """Answer every request with nothing."""
    start_response("204 No Content", [])
    return []


def echo(message):
    """Send back what came."""
    kind = "text" if message.get("text") is not None else "bytes"
    message.reply_channel.send({kind: message[kind]})


application = Bridge(
    site,
    routing=[route("websocket.receive", echo)],
    layer=f"memory://?max_message_size={MAX_SIZE + 65536}",
    max_message_size=MAX_SIZE,
)
