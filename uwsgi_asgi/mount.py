"""What the fragment mounts on a prefix: an app that hands everything there over.

So the site's own `module` stays as it is. uWSGI loads this file as an app of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from uwsgi_asgi.handoff import (
    Environ,
    StartResponse,
    asks_for_websocket,
    find_worker,
    hand_request_off,
    hand_websocket_off,
    refuse,
)


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a request over."""
    worker = find_worker()
    if worker is None:
        return refuse(start_response, 503, "uwsgi_asgi.master was not imported")
    if "HTTP_UPGRADE" in environ and asks_for_websocket(environ):
        return hand_websocket_off(worker.queue, environ, start_response, has_root=False)
    return hand_request_off(worker.queue, environ, start_response, has_root=False)
