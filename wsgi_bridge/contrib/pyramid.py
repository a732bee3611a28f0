"""Pyramid's session in consumers.

    from wsgi_bridge.contrib.pyramid import http_session

    @http_session(site)
    def connect(message):
        if "name" not in message.http_session:
            raise DenyConnection("sign in first")

`site` is what `config.make_wsgi_app()` returned, of a configuration with a session factory. The
session is for reading: Pyramid's own factories keep it in the browser's cookie, which a socket
cannot set. One that is kept on a server and saves by itself when it is changed does so here too.
"""

from __future__ import annotations

from typing import Any

from pyramid.router import Router

from wsgi_bridge.consumers import Message
from wsgi_bridge.http_sessions import HttpSession, Save

__all__ = ["http_session"]


class PyramidSession(HttpSession):
    """Gives messages the session of a Pyramid site. Made by `http_session`."""

    def __init__(self, site: Router) -> None:
        """Take sessions of the session factory that `site` was configured with."""
        if not isinstance(site, Router):
            raise TypeError(f"http_session: {site!r}; expected what make_wsgi_app() returned")
        self._site = site

    def fill(self, message: Message, environ: dict[str, Any]) -> Save | None:
        """Give `message` the session; raise AttributeError if there is no session factory."""
        with self._site.request_context(environ) as request:
            message.http_session = request.session
        return None


def http_session(site: Router) -> PyramidSession:
    """Make a decorator that gives consumers `message.http_session`, the session of `site`."""
    return PyramidSession(site)
