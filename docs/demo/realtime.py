"""The consumers: a chat room per URL and a notice board. Synchronous code, one event at a time.

Who may open a socket is decided where the site decides it, by Flask's own session: the cookie comes
with the opening handshake, and `signed_in_name` reads it as Flask would for a view.
"""

from __future__ import annotations

from typing import Any

from pages import site
from rooms import ROOMS
from werkzeug.test import create_environ

from wsgi_bridge import Group, Message
from wsgi_bridge.exceptions import DenyConnection
from wsgi_bridge.generic import JsonWebsocketConsumer

LINE_LENGTH = 500  # characters of one chat line; the rest is cut


def signed_in_name(message: Message) -> str | None:
    """Return the name in the Flask session whose cookie came with this opening handshake."""
    cookies = [value.decode("latin-1") for name, value in message["headers"] if name == b"cookie"]
    environ = create_environ(message["path"], headers={"Cookie": "; ".join(cookies)})
    session = site.session_interface.open_session(site, site.request_class(environ))
    return session.get("name") if session else None


def connect_notices(message: Message) -> None:
    """Let every page hear the notices, signed in or not."""
    message.reply_channel.send({"accept": True})
    Group("notices").add(message.reply_channel)


def echo(message: Message) -> None:
    """Send a frame back, so that the page can time the way through everything and back."""
    if message.get("text") is not None:
        message.reply_channel.send({"text": message["text"]})


class RoomChat(JsonWebsocketConsumer):
    """One room: history and who is here on entering, then what is said, who comes and who goes."""

    def connect(self, message: Message, *, room: str) -> None:
        who = signed_in_name(message)
        if who is None:
            raise DenyConnection("sign in first")
        # In the group before the history is read: a line said meanwhile then comes twice (the
        # page knows it by its id) rather than never.
        Group(f"room.{room}").add(message.reply_channel)
        is_new = ROOMS[room].enter(message.reply_channel.name, who)
        message.reply_channel.send({"accept": True})
        self.send({"kind": "welcome", "lines": ROOMS[room].lines(), "people": ROOMS[room].people()})
        if is_new:
            self._tell(room, {"kind": "joined", "who": who, "people": ROOMS[room].people()})

    def receive(self, content: Any, *, room: str) -> None:
        who = ROOMS[room].person(self.message.reply_channel.name)
        text = content.get("say") if isinstance(content, dict) else None
        if who and isinstance(text, str) and text.strip():
            line = ROOMS[room].add_line(who, text.strip()[:LINE_LENGTH])
            self._tell(room, {"kind": "said", "line": line})

    def disconnect(self, message: Message, *, room: str) -> None:
        who = ROOMS[room].leave(message.reply_channel.name)
        if who:
            self._tell(room, {"kind": "left", "who": who, "people": ROOMS[room].people()})

    def _tell(self, room: str, content: dict[str, Any]) -> None:
        self.group_send(f"room.{room}", content)
