"""WebSocket echo by a function consumer."""

from tests.benchmarks.apps.hello_wsgi import application as site
from wsgi_bridge import Bridge, route


def on_message(message):
    """Send the text back to the socket it came from."""
    message.reply_channel.send({"text": message["text"]})


application = Bridge(site, routing=[route("websocket.receive", on_message, path=r"^/echo$")])
