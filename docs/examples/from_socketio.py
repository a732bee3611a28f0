"""What was a Flask-SocketIO chat, as consumers. The old lines stand in the comments."""

import json

from flask import Flask

from wsgi_bridge import Bridge, Group, route

site = Flask(__name__)


def on_connect(message, room):  # @socketio.on("join"): join_room(data["room"])
    Group(f"room-{room}").add(message.reply_channel)


def on_say(message, room):  # @socketio.on("say")
    data = json.loads(message["text"])
    event = {"event": "said", "who": data["who"], "text": data["text"]}
    Group(f"room-{room}").send({"text": json.dumps(event)})  # emit("said", …, to=data["room"])


ROOM = r"^/rooms/(?P<room>\w+)$"
application = Bridge(
    site,
    routing=[
        route("websocket.connect", on_connect, path=ROOM),
        route("websocket.receive", on_say, path=ROOM),
    ],
)
