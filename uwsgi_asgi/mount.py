"""What the fragment mounts on a prefix: an app that hands every WebSocket there over.

So the site's own `module` stays as it is. uWSGI loads this file as an app of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from uwsgi_asgi.handoff import (
    Environ,
    StartResponse,
    asks_for_websocket,
    find_queue,
    hand_websocket_off,
    refuse,
)


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a request over."""
    queue = find_queue()
    if queue is None:
        return refuse(start_response, 503, "uwsgi_asgi.master was not imported")
    if "HTTP_UPGRADE" in environ and asks_for_websocket(environ):
        return hand_websocket_off(queue, environ, start_response, has_root=False)
    return refuse(start_response, 426, "this is for WebSockets", [("Upgrade", "websocket")])
