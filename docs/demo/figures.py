"""The live figures: what the channel layer counts, sent to a page as often as it asks.

The layer is what all processes share, so that it does not matter which one answers; and nothing
is counted, or has to be started and stopped, in any of them.
"""

from __future__ import annotations

from typing import Any

from realtime import SOCKETS

from wsgi_bridge.generic import JsonWebsocketConsumer
from wsgi_bridge.layers import BaseLayer


def figures(layer: BaseLayer) -> dict[str, int]:
    """Return the sockets that are open, and counts from which the page makes rates."""
    sockets = layer.statistics_by_group().get(SOCKETS)
    return {
        "sockets": sockets["members_count"] if sockets else 0,
        "messages": layer.global_statistics()["messages_count"],
        "requests": layer.channel_statistics("http.request")["messages_count"],
    }


class Figures(JsonWebsocketConsumer):
    """Sends each frame back, so that the page can time the way; a ping comes with the figures."""

    groups = (SOCKETS,)

    def receive(self, content: Any) -> None:
        if not isinstance(content, dict):
            return
        if "ping" in content:
            content.update(figures(self.message.channel_layer))
        self.send(content)
