"""The catalogues, for whoever makes a table of them: the documentation, and the tests."""

from __future__ import annotations

from importlib import import_module

from wsgi_bridge.events.event import Event

__all__ = ["CATALOGUES", "catalogue"]

#: The modules that have Events; those of servers are imported only when asked for.
CATALOGUES = (
    "gunicorn_asgi.events",
    "uwsgi_asgi.events",
    "wsgi_bridge.events.server",
    "wsgi_bridge.events.consumers",
    "wsgi_bridge.events.layers",
    "wsgi_bridge.events.processes",
    "uwsgi_asgi.decorators.events",
)


def catalogue(module: str) -> dict[str, Event]:
    """Return the Events of a module by their constants, in its order."""
    return {
        name: value
        for name, value in vars(import_module(module)).items()
        if isinstance(value, Event)
    }
