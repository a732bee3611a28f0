"""Flask's session in consumers.

    from wsgi_bridge.contrib.flask import http_session

    @http_session(site)
    def connect(message):
        if "name" not in message.http_session:
            raise DenyConnection("sign in first")

- Flask itself keeps the session in the browser's cookie. So a consumer reads what it was at the
  opening handshake, and cannot change it: a socket sets no cookie.
- With an extension that keeps sessions on the server, a consumer reads what it is now, and what it
  changes is saved.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from wsgi_bridge.consumers import Message
from wsgi_bridge.http_sessions import HttpSession, Save

__all__ = ["http_session"]


class FlaskSession(HttpSession):
    """Gives messages the session of a Flask site. Made by `http_session`."""

    def __init__(self, site: Flask) -> None:
        """Take sessions of the `session_interface` that `site` has when a message comes."""
        if not isinstance(site, Flask):
            raise TypeError(f"http_session: {site!r}; expected the Flask object")
        self._site = site

    def cookie_names(self) -> Collection[str]:
        """Return the name of the site's cookie."""
        return (self._site.session_interface.get_cookie_name(self._site),)

    def fill(self, message: Message, environ: dict[str, Any]) -> Save:
        """Give `message` the session, an empty one if there is none or its signature is wrong."""
        site = self._site
        with site.app_context():
            session = site.session_interface.open_session(site, site.request_class(environ))
            if session is None:  # it has no secret key
                session = site.session_interface.make_null_session(site)
        message.http_session = session
        return lambda: self._save(session)

    def _save(self, session: Any) -> None:
        if not session.modified:
            return
        site = self._site
        if isinstance(site.session_interface, SecureCookieSessionInterface):
            raise RuntimeError(
                "http_session was changed, but Flask keeps it in the browser's cookie: change it "
                "in a view, or use channel_session"
            )
        with site.app_context():
            site.session_interface.save_session(site, session, site.response_class())


def http_session(site: Flask) -> FlaskSession:
    """Make a decorator that gives consumers `message.http_session`, the session of `site`."""
    return FlaskSession(site)
