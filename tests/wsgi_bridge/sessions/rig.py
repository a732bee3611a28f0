"""Consumers of one socket, run as a worker would; and what they ask the storage for."""

from __future__ import annotations

from tests.wsgi_bridge.worker_loop import RECEIVE, REPLY
from wsgi_bridge import channel_session
from wsgi_bridge.consumers import Message
from wsgi_bridge.outbox import Outbox
from wsgi_bridge.sessions import ChannelSession

READER = REPLY.partition("!")[0] + "!"
KEY = f"channel_session {REPLY}"


def run(layer, consumer, channel=RECEIVE, **content):
    """Have a worker run a consumer of the one socket; return what it returned."""
    returned = []
    decorated = channel_session(consumer)
    outbox = Outbox(layer)
    with outbox:
        message = Message({"reply_channel": REPLY, "path": "/", **content}, channel, layer)
        returned.append(decorated(message))
    return returned[0]


def keep(layer, **values):
    run(layer, lambda message: message.channel_session.update(values))


def kept(layer):
    """Return what the next consumer finds."""
    return run(layer, lambda message: dict(message.channel_session))


def operations(layer, monkeypatch):
    """Return a list that notes what the storage is asked for."""
    asked = []
    for name in ("_load", "_save"):
        function = getattr(layer.storage, name)

        def noted(*arguments, name=name, function=function, **options):
            asked.append(name.strip("_"))
            return function(*arguments, **options)

        monkeypatch.setattr(layer.storage, name, noted)
    return asked


def beside(layer, **values):
    """Do what another consumer does at the same time."""
    session = ChannelSession(layer, REPLY)
    session.update(values)
    session.save()
