"""Real time for WSGI sites: WebSockets, push, groups and background work over channel layers.

The core. It imports no server: see ``gunicorn_asgi`` and ``uwsgi_asgi`` for those.
"""

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.consumers import Channel, Group, Message
from wsgi_bridge.exceptions import (
    BridgeError,
    ChannelFull,
    ChannelLayerError,
    ChannelLayerUnavailable,
    ConsumeLater,
    ConsumerTimeout,
    DenyConnection,
    InvalidMessage,
    InvalidName,
    MessageTooLarge,
    RequestAborted,
    RoutingError,
)
from wsgi_bridge.generic import JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer
from wsgi_bridge.http_sessions import http_session
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.storage_base import Position
from wsgi_bridge.presence import Member, Presence
from wsgi_bridge.routing import include, route, route_class
from wsgi_bridge.sessions import channel_session

__all__ = [
    "Bridge",
    "BridgeError",
    "Channel",
    "ChannelFull",
    "ChannelLayerError",
    "ChannelLayerUnavailable",
    "ConsumeLater",
    "ConsumerTimeout",
    "DenyConnection",
    "Group",
    "InvalidMessage",
    "InvalidName",
    "JsonWebsocketConsumer",
    "Member",
    "Message",
    "MessageTooLarge",
    "Position",
    "Presence",
    "RequestAborted",
    "RoutingError",
    "WebsocketConsumer",
    "WebsocketDemultiplexer",
    "channel_session",
    "http_session",
    "include",
    "open_layer",
    "route",
    "route_class",
]
