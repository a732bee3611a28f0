"""A broadcast by function consumers: one `Group.send` a message."""

from tests.benchmarks.apps.hello_wsgi import application as site
from wsgi_bridge import Bridge, Group, route


def on_connect(message):
    """Make the socket a member, and accept it."""
    Group("bench").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def on_message(message):
    """Send the text to the whole group."""
    Group("bench").send({"text": message["text"]})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", on_connect, path=r"^/group$"),
        route("websocket.receive", on_message, path=r"^/group$"),
    ],
)
