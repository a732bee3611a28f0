"""What of a uWSGI configuration cannot work with a hand-over, each with what to do instead.

uWSGI would start with all of these, and WebSockets would fail one by one, in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["find_refusals"]

# Sockets on which the worker itself ends TLS: what is behind the descriptor is encrypted, and the
# keys are in the worker.
TLS_IN_WORKER = ("https-socket", "ssl-socket", "suwsgi-socket")
# The routers that forward frames only when they are told to.
ROUTERS = ("http", "https", "http2", "httprouter")

Configuration = Mapping[str, Any]


def find_refusals(opt: Configuration) -> list[str]:
    """Return why this configuration (``uwsgi.opt``) cannot work: sentences, none if it can."""
    found = [
        f"{name} ends TLS in the worker, which cannot hand a connection over: use https, whose "
        "router is a process of its own, or let nginx do it"
        for name in TLS_IN_WORKER
        if name in opt
    ]
    if "http11-socket" in opt and "gevent" in opt:
        found.append(
            "http11-socket hangs with gevent from the second request of a connection on: use "
            "http-socket, or http with http-keepalive"
        )
    routers = [name for name in ROUTERS if name in opt]
    if routers and "http-websockets" not in opt:
        found.append(
            f"{routers[0]} forwards no WebSocket unless told so: set http-websockets = true"
        )
    if "master" not in opt and "M" not in opt:
        found.append("there is nobody to run mules: set master = true")
    if "single-interpreter" not in opt:
        found.append(
            "with an interpreter for each app an app cannot find what hands over: set "
            "single-interpreter = true"
        )
    return found
