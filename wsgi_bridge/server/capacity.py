"""How much room a protocol server asks of its layer for its own channels."""

from __future__ import annotations

import re

__all__ = ["MIN_CAPACITY", "server_capacity"]

#: Messages that wait for consumers of one process, at least. Also gunicorn's default of
#: worker_connections.
MIN_CAPACITY = 1000


def server_capacity(connections: int = MIN_CAPACITY) -> dict[str | re.Pattern[str], int]:
    """Return `channel_capacity` for what `connections` clients of one process have in flight.

    Each connection has one request or one event on its way, and a consumer a window of messages: a
    burst of all of them at once is no overload.
    """
    most = max(MIN_CAPACITY, connections)
    return {
        "http.*": most,
        "websocket.*": most,
        "asgi.delay": most,
        "gunicorn.response.*": 16 * most,
        "uwsgi.response.*": 16 * most,
    }
