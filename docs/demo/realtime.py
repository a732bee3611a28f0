"""The consumers: a chat room per URL and a notice board. Synchronous code, one event at a time.

Events of one socket come to whichever process is there, the next one maybe to one with newer code.

Who may open a socket is decided where the site decides it, by Flask's own session: the cookie comes
with the opening handshake, and `signed_in_name` reads it as Flask would for a view.
"""

from __future__ import annotations

import os
from typing import Any

import releases
from pages import site
from rooms import Room
from werkzeug.test import create_environ

from wsgi_bridge import Group, Message
from wsgi_bridge.exceptions import DenyConnection
from wsgi_bridge.generic import JsonWebsocketConsumer

SOCKETS = "sockets"  # the group of all that are open, to be counted
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
    for group in ("notices", SOCKETS):
        Group(group).add(message.reply_channel)


class RoomChat(JsonWebsocketConsumer):
    """One room: history and who is here on entering, then what is said, who comes and who goes."""

    groups = (SOCKETS,)

    def connect(self, message: Message, *, room: str) -> None:
        who = signed_in_name(message)
        if who is None:
            raise DenyConnection("sign in first")
        here = Room(room)
        # In the group before the history is read: a line said meanwhile then comes twice (the
        # page knows it by its id) rather than never.
        is_new = here.enter(message.reply_channel.name, who)
        message.reply_channel.send({"accept": True})
        self.send({"kind": "welcome", "lines": here.lines(), "people": here.people()})
        if is_new:
            self._tell(here, {"kind": "joined", "who": who, "people": here.people()})

    def receive(self, content: Any, *, room: str) -> None:
        here = Room(room)
        who = here.person(self.message.reply_channel.name)
        if who is None or not isinstance(content, dict):
            return
        self._answer(who, content.get("number"))
        text = content.get("say")
        if isinstance(text, str) and text.strip():
            line = here.add_line(who, text.strip()[:LINE_LENGTH], releases.CURRENT.number)
            self._tell(here, {"kind": "said", "line": line})

    def disconnect(self, message: Message, *, room: str) -> None:
        here = Room(room)
        who = here.leave(message.reply_channel.name)
        if who:
            self._tell(here, {"kind": "left", "who": who, "people": here.people()})

    def _answer(self, who: str, number: Any) -> None:
        """Say which frame was handled, and by what code, in its own words."""
        number_of_code, greet = releases.CURRENT
        answer = {"kind": "answer", "number": number, "release": number_of_code}
        self.send({**answer, "greeting": greet(who), "process": os.getpid()})

    def _tell(self, room: Room, content: dict[str, Any]) -> None:
        self.group_send(room.group, content)
